// SPDX-License-Identifier: MIT
/* Slots of a span against a model of bytes; runs under threads. */
#include "heap/mspan.h"
#include "page/page.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#define BASE ((uintptr_t)1 << 32)

struct span_box {
  struct mspan s;
  struct mspan_bits bits[16];
};

static struct mspan *make_span(struct span_box *b, unsigned sizeclass) {
  const struct sizeclass_table *t = &sizeclasses_heap;
  size_t npages = t->npages[sizeclass];
  size_t nelems = npages * MGC_PAGE_SIZE / t->size[sizeclass];
  memset(b, 0, sizeof *b);
  b->s.bits_class = (uint8_t)mspan_bits_class(nelems);
  b->s.bits = b->s.bits_class ? b->bits : &b->s.inline_bits;
  mspan_init(&b->s, BASE, npages, spanclass_make(sizeclass, false),
             t->size[sizeclass], t->divmagic[sizeclass]);
  return &b->s;
}

Test(mspan, init_satisfies_the_invariants_in_every_class) {
  for (unsigned c = 1; c < NUM_SIZE_CLASSES; c++) {
    struct span_box b;
    struct mspan *s = make_span(&b, c);
    mspan_verify(s);
    cr_assert_eq(mspan_count_alloc(s), 0);
    for (unsigned i = 0; i < s->nelems; i++) {
      cr_assert_eq(mspan_index(s, mspan_slot(s, i)), i);
      cr_assert_eq(mspan_index(s, mspan_slot(s, i + 1) - 1), i);
    }
  }
}

Test(mspan, bits_class_holds_the_slots) {
  static const struct {
    size_t nelems;
    unsigned want;
  } cases[] = {{1, 0},   {64, 0},  {65, 1},  {128, 1}, {129, 2},
               {256, 2}, {257, 3}, {512, 3}, {513, 4}, {1024, 4}};
  for (size_t i = 0; i < array_len(cases); i++)
    cr_expect_eq(mspan_bits_class(cases[i].nelems), cases[i].want, "%zu",
                 cases[i].nelems);
}

/* The slow reference of mspan_next_run. */
static bool model_next_run(const uint8_t *alloc, unsigned nelems,
                           unsigned freeindex, unsigned max, unsigned *first,
                           unsigned *n) {
  unsigned i = freeindex;
  while (i < nelems && alloc[i]) i++;
  if (i == nelems) return false;
  *first = i;
  *n = 0;
  while (i < nelems && !alloc[i] && *n < max) {
    i++;
    ++*n;
  }
  return true;
}

static void check_model(const struct mspan *s, const uint8_t *alloc) {
  unsigned count = 0;
  for (unsigned i = 0; i < s->nelems; i++) {
    cr_assert_eq(mspan_is_alloc(s, i), alloc[i] != 0, "slot %u", i);
    count += alloc[i];
  }
  cr_assert_eq(mspan_count_alloc(s), count);
  mspan_verify(s);
}

static void step_model(struct rng *r, struct mspan *s, uint8_t *alloc) {
  unsigned i = (unsigned)rng_below(r, s->nelems), first, n, wf = 0, wn = 0;
  switch (rng_below(r, 5)) {
  case 0:
  case 1: {
    unsigned max = 1 + (unsigned)rng_below(r, 200);
    bool want = model_next_run(alloc, s->nelems, s->freeindex, max, &wf, &wn);
    bool got = mspan_next_run(s, max, &first, &n);
    cr_assert_eq(got, want);
    if (!got) {
      s->freeindex = 0; /* as when the span is cached again */
      return;
    }
    cr_assert_eq(first, wf);
    cr_assert_eq(n, wn);
    memset(alloc + first, 1, n);
    unsigned back = (unsigned)rng_below(r, n + 1);
    if (back == 0 || rng_chance(r, 2)) return;
    mspan_return_slots(s, first + n - back, back);
    memset(alloc + first + n - back, 0, back);
    cr_assert_eq(s->freeindex, first + n - back);
    return;
  }
  case 2:
    cr_assert_eq(mspan_claim_slot(s, i), !alloc[i]);
    alloc[i] = 1;
    return;
  default:
    cr_assert_eq(mspan_free_slot(s, i), alloc[i] != 0);
    alloc[i] = 0;
  }
}

Test(mspan, random_runs_claims_and_frees_agree_with_the_model) {
  struct rng r = rng_seed();
  for (unsigned c = 1; c < NUM_SIZE_CLASSES; c++) {
    struct span_box b;
    struct mspan *s = make_span(&b, c);
    uint8_t alloc[MAX_OBJS_PER_SPAN] = {0};
    for (int step = 0; step < 400; step++) step_model(&r, s, alloc);
    check_model(s, alloc);
  }
}

Test(mspan, a_fresh_span_gives_runs_up_to_the_maximum_in_order) {
  struct span_box b;
  struct mspan *s = make_span(&b, 1); /* 1024 slots */
  unsigned first, n;
  cr_assert(mspan_next_run(s, 1000, &first, &n));
  cr_assert(first == 0 && n == 1000);
  cr_assert(mspan_next_run(s, 1000, &first, &n));
  cr_assert(first == 1000 && n == 24);
  cr_assert_not(mspan_next_run(s, 1000, &first, &n));
}

Test(mspan, marks_are_set_once_and_counted) {
  struct span_box b;
  struct mspan *s = make_span(&b, 2);
  unsigned first, n;
  cr_assert(mspan_next_run(s, 512, &first, &n));
  cr_assert(mspan_set_mark(s, 77));
  cr_assert_not(mspan_set_mark(s, 77));
  cr_assert(mspan_is_marked(s, 77) && !mspan_is_marked(s, 76));
  cr_assert_eq(mspan_count_mark(s), 1);
  mspan_verify(s);
}

Test(mspan, explicit_free_makes_the_span_dirty) {
  struct span_box b;
  struct mspan *s = make_span(&b, 5);
  unsigned first, n;
  cr_assert(mspan_next_run(s, 1, &first, &n));
  cr_assert_eq(atomic_u8_load_relaxed(&s->dirty), 0);
  cr_assert(mspan_free_slot(s, 0));
  cr_assert_eq(atomic_u8_load_relaxed(&s->dirty), 1);
  cr_assert_not(mspan_free_slot(s, 0), "a double free is told");
}

Test(mspan, verify_finds_a_marked_free_slot, .signal = SIGABRT) {
  struct span_box b;
  struct mspan *s = make_span(&b, 5);
  mspan_set_mark(s, 3);
  mspan_verify(s);
}

Test(mspan, verify_finds_bits_past_the_end, .signal = SIGABRT) {
  struct span_box b;
  struct mspan *s = make_span(&b, 7); /* 102 slots */
  atomic_u64_store_relaxed(&s->bits[1].alloc, 1ull << (102 - 64));
  mspan_verify(s);
}

Test(mspan, return_of_free_slots_is_fatal, .signal = SIGABRT) {
  struct span_box b;
  mspan_return_slots(make_span(&b, 5), 3, 2);
}

/* --- threads: an owner takes runs while others free and claim --- */

enum { NHELPERS = 3, ROUNDS = MGC_TSAN ? 3000 : 20000 };

struct shared_span {
  struct span_box b;
  struct atomic_u32 owners[MAX_OBJS_PER_SPAN]; /* must be 0 or 1 */
  struct atomic_u32 stop;
};

static void own(struct shared_span *x, unsigned i) {
  cr_assert_eq(atomic_u32_fetch_add_relaxed(&x->owners[i], 1), 0, "slot %u", i);
}
static void disown(struct shared_span *x, unsigned i) {
  atomic_u32_fetch_sub_relaxed(&x->owners[i], 1);
  cr_assert(mspan_free_slot(&x->b.s, i));
}

static void *claim_and_free(void *arg) {
  struct shared_span *x = arg;
  struct rng r = rng_from((uintptr_t)&r);
  while (!atomic_u32_load_relaxed(&x->stop)) {
    unsigned i = (unsigned)rng_below(&r, x->b.s.nelems);
    if (!mspan_claim_slot(&x->b.s, i)) continue;
    own(x, i);
    disown(x, i);
  }
  return NULL;
}

Test(mspan, threads_never_share_a_slot) {
  static struct shared_span x;
  struct mspan *s = make_span(&x.b, 2);
  struct rng r = rng_seed();
  pthread_t t[NHELPERS];
  for (int i = 0; i < NHELPERS; i++)
    pthread_create(&t[i], NULL, claim_and_free, &x);
  for (int round = 0; round < ROUNDS; round++) {
    unsigned first, n;
    s->freeindex = (uint16_t)rng_below(&r, s->nelems);
    if (!mspan_next_run(s, 1 + (unsigned)rng_below(&r, 150), &first, &n))
      continue;
    for (unsigned i = first; i < first + n; i++) own(&x, i);
    for (unsigned i = first; i < first + n; i++) disown(&x, i);
  }
  atomic_u32_store_relaxed(&x.stop, 1);
  for (int i = 0; i < NHELPERS; i++) pthread_join(t[i], NULL);
  cr_assert_eq(mspan_count_alloc(s), 0);
}
