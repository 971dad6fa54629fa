// SPDX-License-Identifier: MIT
/* Bitmaps of a chunk and their summaries. See pallocbits.h, pallocsum.h. */
#include "page/pallocbits.h"
#include "base/fatal.h"

/* The bits of word k that belong to pages [i, i + n). */
static inline uint64_t word_mask(unsigned k, unsigned i, unsigned n) {
  unsigned lo = k * 64, hi = lo + 64;
  unsigned a = i > lo ? i - lo : 0;
  unsigned b = i + n < hi ? i + n - lo : 64;
  return low_mask64(b) & ~low_mask64(a);
}

void pallocbits_set_range(struct pallocbits *b, unsigned i, unsigned n) {
  for (unsigned k = i / 64; k <= (i + n - 1) / 64; k++)
    b->w[k] |= word_mask(k, i, n);
}

void pallocbits_clear_range(struct pallocbits *b, unsigned i, unsigned n) {
  for (unsigned k = i / 64; k <= (i + n - 1) / 64; k++)
    b->w[k] &= ~word_mask(k, i, n);
}

unsigned pallocbits_popcount_range(const struct pallocbits *b, unsigned i,
                                   unsigned n) {
  unsigned count = 0;
  for (unsigned k = i / 64; k <= (i + n - 1) / 64; k++)
    count += popcount64(b->w[k] & word_mask(k, i, n));
  return count;
}

unsigned pallocbits_next_set(const struct pallocbits *b, unsigned i,
                             unsigned limit) {
  for (unsigned k = i / 64; k * 64 < limit; k++) {
    uint64_t w = b->w[k];
    if (k == i / 64) w &= ~low_mask64(i % 64);
    if (w == 0) continue;
    unsigned at = k * 64 + ctz64(w);
    return at < limit ? at : limit;
  }
  return limit;
}

/* The starts of the runs of n (1 to 64) ones in x: bit i is set when bits i to
 * i + n - 1 of x are. Each step doubles the length that a set bit vouches for,
 * so that 64 takes six steps. */
static inline uint64_t run_starts(uint64_t x, unsigned n) {
  unsigned have = 1;
  while (have < n && x != 0) {
    unsigned step = have < n - have ? have : n - have;
    x &= x >> step;
    have += step;
  }
  return x;
}

unsigned find_bit_range64(uint64_t x, unsigned n) {
  return ctz64(run_starts(x, n));
}

unsigned pallocbits_find(const struct pallocbits *b, unsigned n,
                         unsigned from) {
  unsigned run = 0; /* free pages just below the word */
  for (unsigned k = from / 64; k < PALLOCBITS_WORDS; k++) {
    uint64_t used = b->w[k];
    if (k == from / 64) used |= low_mask64(from % 64);
    if (used == ~0ull) {
      run = 0;
      continue;
    }
    if (run + ctz64(used) >= n) return k * 64 - run;
    if (used == 0) {
      run += 64;
      continue;
    }
    if (n <= 64) {
      unsigned i = find_bit_range64(~used, n);
      if (i < 64) return k * 64 + i;
    }
    run = clz64(used);
  }
  return PALLOCBITS_NONE;
}

unsigned pallocbits_free_at_end(const struct pallocbits *b, unsigned from) {
  unsigned run = 0;
  for (unsigned k = PALLOCBITS_WORDS; k-- > from / 64;) {
    run += clz64(b->w[k]);
    if (b->w[k] != 0) break;
  }
  unsigned most = PALLOC_CHUNK_PAGES - from;
  return run < most ? run : most;
}

struct pallocsum pallocbits_summarize(const struct pallocbits *b) {
  unsigned start = PALLOCBITS_NONE, max = 0, run = 0;
  for (unsigned k = 0; k < PALLOCBITS_WORDS; k++) {
    uint64_t used = b->w[k];
    if (used == 0) {
      run += 64;
      continue;
    }
    run += ctz64(used);
    if (start == PALLOCBITS_NONE) start = run;
    if (run > max) max = run;
    run = clz64(used);
    /* Runs inside the word matter only when they beat the longest so far; a
     * word with an end taken has fewer than 64 free. */
    if (max >= 62) continue;
    uint64_t better = run_starts(~used, max + 1);
    while (better != 0) {
      max++;
      better &= better >> 1;
    }
  }
  if (start == PALLOCBITS_NONE) start = run;
  if (run > max) max = run;
  return pallocsum_pack(start, max, run);
}

struct pallocsum pallocsum_merge(const struct pallocsum *sums, unsigned n,
                                 unsigned log_pages) {
  unsigned size = 1u << log_pages;
  unsigned start = 0, max = 0, run = 0; /* run: free pages just below */
  bool all_free = true;                 /* so far */
  for (unsigned i = 0; i < n; i++) {
    struct pallocruns s = pallocsum_unpack(sums[i]);
    if (all_free) start += s.start;
    all_free = all_free && s.start == size;
    if (run + s.start > max) max = run + s.start;
    if (s.max > max) max = s.max;
    run = s.start == size ? run + size : s.end;
  }
  return pallocsum_pack(start, max, run);
}

unsigned pallocdata_alloc_range(struct pallocdata *d, unsigned i, unsigned n) {
  mgc_assert(pallocbits_popcount_range(&d->alloc, i, n) == 0);
  unsigned scav = pallocbits_popcount_range(&d->scavenged, i, n);
  pallocbits_set_range(&d->alloc, i, n);
  if (scav) pallocbits_clear_range(&d->scavenged, i, n);
  return scav;
}

void pallocdata_free_range(struct pallocdata *d, unsigned i, unsigned n) {
  pallocbits_clear_range(&d->alloc, i, n);
}

uint64_t fill_aligned64(uint64_t x, unsigned m) {
  /* Fold each group onto its lowest bit, then spread that bit over it. */
  for (unsigned s = 1; s < m; s *= 2) x |= x >> s;
  if (m >= 64) return (x & 1) ? ~0ull : 0;
  uint64_t lowest = ~0ull / low_mask64(m); /* one bit a group */
  return (x & lowest) * low_mask64(m);
}

/* The bits of word k that scavenging must leave alone. */
static uint64_t unwanted_word(const struct pallocdata *d, unsigned k,
                              unsigned min) {
  return fill_aligned64(d->alloc.w[k] | d->scavenged.w[k], min);
}

struct scavrun pallocdata_scavenge_candidate(const struct pallocdata *d,
                                             unsigned min, unsigned max,
                                             unsigned huge) {
  mgc_check(is_pow2(min) && min <= 64, "scavenge candidate: min=%u pages", min);
  unsigned k = PALLOCBITS_WORDS;
  uint64_t w = ~0ull;
  while (w == ~0ull && k > 0) w = unwanted_word(d, --k, min);
  if (w == ~0ull) return (struct scavrun){0, 0};

  unsigned taken_above = clz64(~w);
  unsigned end = k * 64 + 64 - taken_above;
  unsigned run = clz64(w << taken_above);
  if (run >= 64 - taken_above) { /* it goes on in the words below */
    run = 64 - taken_above;
    while (k > 0) {
      unsigned more = clz64(unwanted_word(d, --k, min));
      run += more;
      if (more < 64) break;
    }
  }
  if (max > PALLOC_CHUNK_PAGES) max = PALLOC_CHUNK_PAGES;
  unsigned size = (unsigned)align_up(max < min ? min : max, min);
  if (size > run) size = run;
  unsigned start = end - size;
  if (huge > 1) {
    unsigned below = (unsigned)align_down(start, huge);
    bool splits = (unsigned)align_up(start, huge) <= end;
    if (splits && below >= end - run) start = below;
  }
  return (struct scavrun){start, end - start};
}
