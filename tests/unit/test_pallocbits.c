// SPDX-License-Identifier: MIT
/* Chunk bitmaps against slow references that look at one bit at a time. */
#include "page/pallocbits.h"
#include "support/rng.h"
#include <criterion/criterion.h>
#include <string.h>

#define NPAGES PALLOC_CHUNK_PAGES

/* Bitmaps of three textures: noise, long runs, nearly full. */
static struct pallocbits random_bits(struct rng *r) {
  struct pallocbits b = {{0}};
  switch (rng_below(r, 4)) {
  case 0:
    for (unsigned k = 0; k < PALLOCBITS_WORDS; k++) b.w[k] = rng_u64(r);
    break;
  case 1:
    for (unsigned k = 0; k < PALLOCBITS_WORDS; k++)
      b.w[k] = rng_u64(r) | rng_u64(r) | rng_u64(r);
    break;
  default: {
    bool used = rng_chance(r, 2);
    for (unsigned i = 0; i < NPAGES; used = !used) {
      unsigned n = 1 + (unsigned)rng_below(r, rng_chance(r, 3) ? 200 : 12);
      for (; n > 0 && i < NPAGES; n--, i++)
        if (used) b.w[i / 64] |= 1ull << (i % 64);
    }
  }
  }
  return b;
}

static struct pallocruns slow_summarize(const struct pallocbits *b) {
  struct pallocruns s = {0, 0, 0};
  unsigned run = 0;
  bool seen_used = false;
  for (unsigned i = 0; i < NPAGES; i++) {
    if (pallocbits_get(b, i)) {
      if (!seen_used) s.start = run;
      seen_used = true;
      run = 0;
    } else {
      run++;
    }
    if (run > s.max) s.max = run;
  }
  s.end = run;
  if (!seen_used) s.start = run;
  return s;
}

static unsigned slow_find(const struct pallocbits *b, unsigned n,
                          unsigned from) {
  unsigned run = 0;
  for (unsigned i = from; i < NPAGES; i++) {
    run = pallocbits_get(b, i) ? 0 : run + 1;
    if (run == n) return i + 1 - n;
  }
  return PALLOCBITS_NONE;
}

Test(pallocbits, set_and_clear_every_range_touches_only_it) {
  for (unsigned i = 0; i < NPAGES; i += 7) {
    for (unsigned n = 1; i + n <= NPAGES; n += 3) {
      struct pallocbits b = {{0}}, full;
      memset(&full, 0xff, sizeof(full));
      pallocbits_set_range(&b, i, n);
      pallocbits_clear_range(&full, i, n);
      for (unsigned k = 0; k < NPAGES; k++) {
        bool in = k >= i && k < i + n;
        cr_assert_eq(pallocbits_get(&b, k), in, "set i=%u n=%u k=%u", i, n, k);
        cr_assert_eq(pallocbits_get(&full, k), !in, "clear %u %u %u", i, n, k);
      }
    }
  }
}

Test(pallocbits, popcount_range_random_equals_slow) {
  struct rng r = rng_seed();
  for (int round = 0; round < 2000; round++) {
    struct pallocbits b = random_bits(&r);
    unsigned i = (unsigned)rng_below(&r, NPAGES);
    unsigned n = 1 + (unsigned)rng_below(&r, NPAGES - i);
    unsigned want = 0;
    for (unsigned k = i; k < i + n; k++) want += pallocbits_get(&b, k);
    cr_assert_eq(pallocbits_popcount_range(&b, i, n), want);
    unsigned next = i;
    while (next < i + n && !pallocbits_get(&b, next)) next++;
    cr_assert_eq(pallocbits_next_set(&b, i, i + n), next);
  }
}

static void check_summary(const struct pallocbits *b) {
  struct pallocruns got = pallocsum_unpack(pallocbits_summarize(b));
  struct pallocruns want = slow_summarize(b);
  cr_assert_eq(got.start, want.start, "start %u want %u", got.start,
               want.start);
  cr_assert_eq(got.max, want.max, "max %u want %u", got.max, want.max);
  cr_assert_eq(got.end, want.end, "end %u want %u", got.end, want.end);
}

Test(pallocbits, summarize_every_single_free_run_equals_slow) {
  for (unsigned i = 0; i < NPAGES; i += 5) {
    for (unsigned n = 1; i + n <= NPAGES; n++) {
      struct pallocbits b;
      memset(&b, 0xff, sizeof(b));
      pallocbits_clear_range(&b, i, n);
      check_summary(&b);
    }
  }
}

/* Two runs, the second inside a word: the shortcuts for runs in a word. */
Test(pallocbits, summarize_two_runs_equals_slow) {
  for (unsigned n = 1; n <= 66; n++) {
    for (unsigned m = 1; m <= 66; m++) {
      struct pallocbits b;
      memset(&b, 0xff, sizeof(b));
      pallocbits_clear_range(&b, 1, n);
      pallocbits_clear_range(&b, 193, m);
      check_summary(&b);
      pallocbits_set_range(&b, 193, m);
      pallocbits_clear_range(&b, 256 - m, m);
      check_summary(&b);
    }
  }
}

Test(pallocbits, summarize_random_equals_slow) {
  struct rng r = rng_seed();
  for (int round = 0; round < 20000; round++) {
    struct pallocbits b = random_bits(&r);
    check_summary(&b);
  }
}

Test(pallocbits, find_every_run_length_equals_slow) {
  struct rng r = rng_seed();
  for (int round = 0; round < 300; round++) {
    struct pallocbits b = random_bits(&r);
    unsigned from = rng_chance(&r, 2) ? 0 : (unsigned)rng_below(&r, NPAGES);
    for (unsigned n = 1; n <= NPAGES; n += n < 70 ? 1 : 13)
      cr_assert_eq(pallocbits_find(&b, n, from), slow_find(&b, n, from),
                   "n=%u from=%u", n, from);
    unsigned at_end = 0;
    while (NPAGES - at_end > from && !pallocbits_get(&b, NPAGES - 1 - at_end))
      at_end++;
    cr_assert_eq(pallocbits_free_at_end(&b, from), at_end);
  }
}

Test(pallocbits, find_bit_range64_random_equals_slow) {
  struct rng r = rng_seed();
  for (int round = 0; round < 3000; round++) {
    uint64_t x = rng_u64(&r);
    if (rng_chance(&r, 2)) x |= rng_u64(&r) | rng_u64(&r);
    if (rng_chance(&r, 50)) x = ~0ull;
    for (unsigned n = 1; n <= 64; n++) {
      unsigned want = 64;
      for (unsigned i = 0; i + n <= 64 && want == 64; i++)
        if (((x >> i) & low_mask64(n)) == low_mask64(n)) want = i;
      cr_assert_eq(find_bit_range64(x, n), want, "x=%llx n=%u",
                   (unsigned long long)x, n);
    }
  }
}

Test(pallocbits, fill_aligned_every_power_of_two_equals_slow) {
  struct rng r = rng_seed();
  for (int round = 0; round < 3000; round++) {
    uint64_t x = rng_u64(&r);
    for (uint64_t thin = rng_below(&r, 6); thin > 0; thin--) x &= rng_u64(&r);
    for (unsigned m = 1; m <= 64; m *= 2) {
      uint64_t want = 0;
      for (unsigned g = 0; g < 64; g += m)
        if ((x >> g) & low_mask64(m)) want |= low_mask64(m) << g;
      cr_assert_eq(fill_aligned64(x, m), want, "x=%llx m=%u",
                   (unsigned long long)x, m);
    }
  }
}

Test(pallocbits, alloc_range_counts_and_clears_scavenged) {
  struct pallocdata d = {{{0}}, {{0}}};
  pallocbits_set_range(&d.scavenged, 60, 10);
  cr_assert_eq(pallocdata_alloc_range(&d, 50, 15), 5u);
  cr_assert_eq(pallocbits_popcount_range(&d.scavenged, 0, NPAGES), 5u);
  cr_assert_eq(pallocbits_popcount_range(&d.alloc, 0, NPAGES), 15u);
  pallocdata_free_range(&d, 50, 15);
  cr_assert_eq(pallocbits_popcount_range(&d.alloc, 0, NPAGES), 0u);
  cr_assert_eq(pallocbits_popcount_range(&d.scavenged, 0, NPAGES), 5u,
               "freed pages are not scavenged");
}

/* ---- scavenge candidates ---- */

/* One bit at a time: the definition in pallocbits.h. */
static struct scavrun slow_candidate(const struct pallocdata *d, unsigned min,
                                     unsigned max, unsigned huge) {
  bool want[NPAGES];
  for (unsigned g = 0; g < NPAGES; g += min) {
    bool ok = true;
    for (unsigned i = g; i < g + min; i++)
      ok = ok && !pallocbits_get(&d->alloc, i) &&
           !pallocbits_get(&d->scavenged, i);
    for (unsigned i = g; i < g + min; i++) want[i] = ok;
  }
  unsigned end = NPAGES;
  while (end > 0 && !want[end - 1]) end--;
  unsigned lo = end;
  while (lo > 0 && want[lo - 1]) lo--;
  if (lo == end) return (struct scavrun){0, 0};
  unsigned size = max < min ? min : (max + min - 1) / min * min;
  unsigned start = end - lo <= size ? lo : end - size;
  if (huge > 1) {
    unsigned above = (start + huge - 1) / huge * huge;
    unsigned below = start / huge * huge;
    if (above <= end && below >= lo) start = below;
  }
  return (struct scavrun){start, end - start};
}

Test(pallocbits, scavenge_candidate_random_equals_slow) {
  struct rng r = rng_seed();
  for (int round = 0; round < 20000; round++) {
    struct pallocdata d = {random_bits(&r), random_bits(&r)};
    if (rng_chance(&r, 3)) memset(&d.scavenged, 0, sizeof(d.scavenged));
    for (unsigned k = 0; k < PALLOCBITS_WORDS; k++)
      d.scavenged.w[k] &= ~d.alloc.w[k];
    unsigned min = 1u << rng_below(&r, 7);
    unsigned max = (unsigned)rng_below(&r, NPAGES + 1);
    unsigned huge = rng_chance(&r, 2) ? 0 : 2u << rng_below(&r, 9);
    struct scavrun got = pallocdata_scavenge_candidate(&d, min, max, huge);
    struct scavrun want = slow_candidate(&d, min, max, huge);
    cr_assert_eq(got.npages, want.npages, "min=%u max=%u huge=%u: %u+%u, %u+%u",
                 min, max, huge, got.start, got.npages, want.start,
                 want.npages);
    if (want.npages) cr_assert_eq(got.start, want.start);
  }
}

struct candidate_case {
  const char *what;
  unsigned used[4][2]; /* page, count; the rest is free and backed */
  unsigned min, max, huge;
  struct scavrun want;
};

Test(pallocbits, scavenge_candidate_named_cases) {
  static const struct candidate_case cases[] = {
      {"all free, whole chunk", {{0, 0}}, 1, 512, 0, {0, 512}},
      {"max 0 means min", {{0, 0}}, 1, 0, 0, {511, 1}},
      {"max 0 with physical pages of 4", {{0, 0}}, 4, 0, 0, {508, 4}},
      {"max unaligned rounds up to min", {{0, 0}}, 4, 5, 0, {504, 8}},
      {"nothing free", {{0, 512}}, 1, 512, 0, {0, 0}},
      {"bottom edge", {{1, 511}}, 1, 512, 0, {0, 1}},
      {"top edge", {{0, 511}}, 1, 512, 0, {511, 1}},
      {"straddles words", {{0, 60}, {70, 442}}, 1, 512, 0, {60, 10}},
      {"run smaller than min", {{0, 61}, {64, 448}}, 4, 512, 0, {0, 0}},
      {"highest run wins", {{10, 190}, {210, 302}}, 1, 512, 0, {200, 10}},
      {"huge page of 256 kept whole", {{0, 0}}, 1, 8, 256, {256, 256}},
      {"run that has no huge page is cut", {{0, 300}}, 1, 8, 256, {504, 8}},
      {"start inside, huge page not free below",
       {{0, 257}},
       1,
       100,
       256,
       {412, 100}},
      {"start on a huge page stays", {{0, 0}}, 1, 256, 256, {256, 256}},
      {"second huge page below is left", {{0, 0}}, 1, 257, 256, {0, 512}},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const struct candidate_case *c = &cases[i];
    struct pallocdata d = {{{0}}, {{0}}};
    for (int k = 0; k < 4; k++)
      if (c->used[k][1])
        pallocbits_set_range(&d.alloc, c->used[k][0], c->used[k][1]);
    struct scavrun got =
        pallocdata_scavenge_candidate(&d, c->min, c->max, c->huge);
    cr_expect_eq(got.npages, c->want.npages, "%s: %u+%u", c->what, got.start,
                 got.npages);
    if (c->want.npages)
      cr_expect_eq(got.start, c->want.start, "%s: %u+%u", c->what, got.start,
                   got.npages);
  }
}
