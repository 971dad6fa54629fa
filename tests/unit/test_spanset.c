// SPDX-License-Identifier: MIT
/* spanSet: a bag, alone and under threads; spines and blocks that run out. */
#include "heap/spanset.h"
#include "support/fakesource.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

struct set_fixture {
  struct fake_source src;
  struct persistent meta;
  struct spanset_pool pool;
  struct spanset set;
};

static void fixture_init(struct set_fixture *f, uint64_t fail_at) {
  memset(f, 0, sizeof *f);
  fake_source_init(&f->src, fail_at);
  persistent_init(&f->meta, &f->src.src);
  f->pool.meta = &f->meta;
  spanset_init(&f->set, &f->pool);
}

/* Spans are only pointers here. */
static struct mspan *span_number(uintptr_t i) {
  return (struct mspan *)((i + 1) * 64);
}
static uintptr_t number_of(struct mspan *s) { return (uintptr_t)s / 64 - 1; }

Test(spanset, empty_set_gives_null) {
  struct set_fixture f;
  fixture_init(&f, 0);
  cr_assert_null(spanset_pop(&f.set));
  cr_assert_eq(spanset_len(&f.set), 0);
  spanset_reset(&f.set);
  cr_assert_null(spanset_pop(&f.set));
}

Test(spanset, gives_back_what_was_pushed_across_blocks_and_spines) {
  enum { N = SPANSET_BLOCK_ENTRIES * (SPANSET_INIT_SPINE + 3) };
  static bool seen[N];
  struct set_fixture f;
  fixture_init(&f, 0);
  for (uintptr_t i = 0; i < N; i++)
    cr_assert(spanset_push(&f.set, span_number(i)));
  cr_assert_eq(spanset_len(&f.set), N);
  for (uintptr_t i = 0; i < N; i++) {
    uintptr_t n = number_of(spanset_pop(&f.set));
    cr_assert_lt(n, (uintptr_t)N);
    cr_assert_not(seen[n]);
    seen[n] = true;
  }
  cr_assert_null(spanset_pop(&f.set));
}

Test(spanset, random_pushes_pops_and_resets_agree_with_a_count) {
  struct rng r = rng_seed();
  struct set_fixture f;
  fixture_init(&f, 0);
  size_t n = 0;
  for (int round = 0; round < 40; round++) {
    for (int i = 0; i < 3000; i++) {
      if (rng_below(&r, 100) < (round % 2 ? 70u : 30u)) {
        cr_assert(spanset_push(&f.set, span_number(n++)));
      } else {
        struct mspan *s = spanset_pop(&f.set);
        cr_assert_eq(s != NULL, n > 0);
        if (s) n--;
      }
      cr_assert_eq(spanset_len(&f.set), n);
    }
    if (round % 5 != 4) continue;
    while (spanset_pop(&f.set)) n--;
    cr_assert_eq(n, 0);
    spanset_reset(&f.set);
  }
}

Test(spanset, blocks_are_used_again) {
  struct set_fixture f;
  fixture_init(&f, 0);
  for (uintptr_t i = 0; i < 200 * SPANSET_BLOCK_ENTRIES; i++) {
    cr_assert(spanset_push(&f.set, span_number(i)));
    cr_assert_eq(spanset_pop(&f.set), span_number(i));
  }
  /* 200 blocks are 0.9 MB; two, and a spine, fit in the first chunk. */
  cr_assert_leq(atomic_u64_load_relaxed(&f.src.bytes), 256u << 10);
}

Test(spanset, resets_give_blocks_back) {
  struct set_fixture f;
  fixture_init(&f, 0);
  for (uintptr_t i = 0; i < 300; i++) {
    cr_assert(spanset_push(&f.set, span_number(i)));
    cr_assert_eq(spanset_pop(&f.set), span_number(i));
    spanset_reset(&f.set);
  }
  cr_assert_leq(atomic_u64_load_relaxed(&f.src.bytes), 256u << 10);
}

Test(spanset, push_without_memory_fails_and_leaves_the_set_whole) {
  struct set_fixture f;
  fixture_init(&f, 2); /* one chunk of 256 KiB: about 56 blocks */
  uintptr_t n = 0;
  while (spanset_push(&f.set, span_number(n))) n++;
  cr_assert_eq(n % SPANSET_BLOCK_ENTRIES, 0);
  cr_assert_eq(spanset_len(&f.set), n);
  for (uintptr_t i = 0; i < SPANSET_BLOCK_ENTRIES; i++)
    cr_assert_eq(spanset_pop(&f.set), span_number(i));
  cr_assert(spanset_push(&f.set, span_number(n)), "a block is free again");
  for (uintptr_t i = SPANSET_BLOCK_ENTRIES; i <= n; i++)
    cr_assert_eq(spanset_pop(&f.set), span_number(i));
  cr_assert_null(spanset_pop(&f.set));
}

static void count_visit(struct mspan *s, void *arg) {
  *(uintptr_t *)arg += number_of(s);
}

Test(spanset, visit_sees_what_is_in_the_set) {
  struct set_fixture f;
  fixture_init(&f, 0);
  uintptr_t want = 0, got = 0;
  for (uintptr_t i = 0; i < 1500; i++) spanset_push(&f.set, span_number(i));
  for (uintptr_t i = 0; i < 700; i++) spanset_pop(&f.set);
  for (uintptr_t i = 700; i < 1500; i++) want += i;
  spanset_visit(&f.set, count_visit, &got);
  cr_assert_eq(got, want);
}

Test(spanset, reset_of_a_set_with_spans_is_fatal, .signal = SIGABRT) {
  struct set_fixture f;
  fixture_init(&f, 0);
  spanset_push(&f.set, span_number(0));
  spanset_reset(&f.set);
}

/* --- threads: two sets that share a pool; every span is popped once --- */

enum { NTHREADS = 4, PER_THREAD = 30000 };

struct worker {
  struct spanset *sets;
  struct atomic_u8 *popped;
  unsigned id;
};

static void take(struct worker *w, struct spanset *set) {
  struct mspan *s = spanset_pop(set);
  if (s) atomic_u8_fetch_add_relaxed(&w->popped[number_of(s)], 1);
}

static void *work(void *arg) {
  struct worker *w = arg;
  struct rng r = rng_from(w->id);
  for (uintptr_t i = 0; i < PER_THREAD; i++) {
    struct spanset *set = &w->sets[rng_below(&r, 2)];
    cr_assert(spanset_push(set, span_number(w->id * PER_THREAD + i)));
    /* In bursts, so that the sets drain and fill over block boundaries. */
    if (i / 1024 % 2) {
      take(w, &w->sets[0]);
      take(w, &w->sets[1]);
    }
  }
  return NULL;
}

Test(spanset, threads_pop_every_span_exactly_once) {
  static struct atomic_u8 popped[NTHREADS * PER_THREAD];
  struct set_fixture f;
  fixture_init(&f, 0);
  struct spanset sets[2];
  spanset_init(&sets[0], &f.pool);
  spanset_init(&sets[1], &f.pool);
  pthread_t t[NTHREADS];
  struct worker w[NTHREADS];
  for (unsigned i = 0; i < NTHREADS; i++) {
    w[i] = (struct worker){.sets = sets, .popped = popped, .id = i};
    pthread_create(&t[i], NULL, work, &w[i]);
  }
  for (unsigned i = 0; i < NTHREADS; i++) pthread_join(t[i], NULL);
  for (unsigned i = 0; i < 2; i++)
    while (spanset_len(&sets[i])) take(&w[0], &sets[i]);
  for (size_t i = 0; i < array_len(popped); i++)
    cr_assert_eq(atomic_u8_load_relaxed(&popped[i]), 1, "span %zu", i);
}
