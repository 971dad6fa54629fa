// SPDX-License-Identifier: MIT
/* Goals of the scavenger, and that memory really goes back. */
#include "os/procfs.h"
#include "support/test_heap.h"

#include <criterion/criterion.h>

#define MIB ((uint64_t)1 << 20)

/* A heap with `used` bytes in use and `idle` bytes free, all touched. */
static struct heap *heap_with(uint64_t used, uint64_t idle) {
  struct heap *h = test_heap();
  struct mspan *a = mheap_alloc_large(h, used, 0, true, NULL);
  struct mspan *b = mheap_alloc_large(h, idle, 0, true, NULL);
  memset((void *)a->base, 1, used);
  memset((void *)b->base, 1, idle);
  mheap_free(h, b);
  h->last_heap_inuse = used;
  return h;
}

Test(scavenger, no_goal_before_the_first_collection) {
  struct heap *h = heap_with(8 * MIB, 24 * MIB);
  cr_assert_eq(scavenge_excess(h), 0);
  scavenger_pace(h, 4 * MIB, 0, INT64_MAX);
  cr_assert_eq(scavenge_excess(h), 0);
}

struct pace_case {
  uint64_t goal, last_goal;
  int64_t limit;
  uint64_t want_low, want_high; /* of scavenge_excess */
};

Test(scavenger, goals_follow_go) {
  /* 8 MiB in use, 24 MiB idle: 32 MiB retained. */
  static const struct pace_case cases[] = {
      /* 1.1 * 8 MiB stay. */
      {16 * MIB, 16 * MIB, INT64_MAX, 32 * MIB - 9232384, 32 * MIB - 9220096},
      /* The heap is to double: 1.1 * 16 MiB. */
      {16 * MIB, 8 * MIB, INT64_MAX, 32 * MIB - 18464768, 32 * MIB - 18440192},
      /* It is to grow beyond all that is retained. */
      {80 * MIB, 8 * MIB, INT64_MAX, 0, 0},
      /* A limit far away. */
      {80 * MIB, 8 * MIB, (int64_t)(100 * MIB), 0, 0},
      /* 95 % of a limit of 20 MiB, metadata counted. */
      {80 * MIB, 8 * MIB, (int64_t)(20 * MIB), 13 * MIB, 15 * MIB},
      /* The stricter of the two. */
      {16 * MIB, 16 * MIB, (int64_t)(31 * MIB), 23 * MIB, 24 * MIB},
      {16 * MIB, 16 * MIB, -1, 23 * MIB, 24 * MIB},
  };
  struct heap *h = heap_with(8 * MIB, 24 * MIB);
  for (size_t i = 0; i < array_len(cases); i++) {
    const struct pace_case *k = &cases[i];
    scavenger_pace(h, k->goal, k->last_goal, k->limit);
    uint64_t got = scavenge_excess(h);
    cr_expect(got >= k->want_low && got <= k->want_high,
              "case %zu: %llu not in %llu..%llu", i, (unsigned long long)got,
              (unsigned long long)k->want_low,
              (unsigned long long)k->want_high);
  }
}

Test(scavenger, giving_back_the_excess_reaches_the_goal) {
  struct heap *h = heap_with(8 * MIB, 24 * MIB);
  scavenger_pace(h, 16 * MIB, 16 * MIB, INT64_MAX);
  uint64_t excess = scavenge_excess(h);
  size_t n = scavenge_now(h, excess);
  cr_assert_geq(n, excess);
  cr_assert_eq(scavenge_excess(h), 0);
  cr_assert_eq(atomic_u64_load_relaxed(&h->stats.scavenged_total), n);
  mheap_verify(h);
}

#if !MGC_TSAN && !defined(__SANITIZE_ADDRESS__)
static uint64_t resident(void) {
  struct procfs_statm st;
  cr_assert(procfs_statm(&st));
  return st.resident;
}

Test(scavenger, resident_memory_goes_down_by_what_is_given_back) {
  struct heap *h = heap_with(8 * MIB, 64 * MIB);
  uint64_t before = resident();
  size_t n = scavenge_now(h, 48 * MIB);
  uint64_t after = resident();
  cr_assert(n >= 48 * MIB && n <= 50 * MIB, "%zu", n);
  cr_assert(before > after && before - after >= n - MIB, "%llu -> %llu",
            (unsigned long long)before, (unsigned long long)after);
}
#endif

Test(scavenger, background_leaves_dense_chunks_alone) {
  struct heap *h = test_heap();
  enum { N = 512 };
  struct mspan *s[N];
  for (int i = 0; i < N; i++) {
    s[i] = mheap_alloc_large(h, MGC_PAGE_SIZE, 0, true, NULL);
    memset((void *)s[i]->base, 1, MGC_PAGE_SIZE);
  }
  for (int i = 0; i < 10; i++) mheap_free(h, s[i * 50]);
  cr_assert_eq(scavenge_background(h, MIB), 0, "502 of 512 pages in use");
  cr_assert_geq(scavenge_now(h, 10 * MGC_PAGE_SIZE), 10 * MGC_PAGE_SIZE);
  mheap_verify(h);
}

Test(scavenger, everything_idle_can_go) {
  struct heap *h = heap_with(8 * MIB, 24 * MIB);
  uint64_t sys = memstat_load(&h->stats.heap_sys);
  scavenge_now(h, SIZE_MAX);
  cr_assert_eq(sys - memstat_load(&h->stats.heap_released), 8 * MIB);
  cr_assert_eq(scavenge_now(h, SIZE_MAX), 0);
}
