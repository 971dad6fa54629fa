// SPDX-License-Identifier: MIT
/* Mark buffers: nothing is lost or doubled, also between threads; and what
 * happens when there is no memory for one. */
#include "gc/mark.h"
#include "gc/roots.h"
#include "support/rng.h"
#include "support/test_heap.h"
#include <criterion/criterion.h>
#include <pthread.h>

static struct marking *make(struct heap *h) {
  static struct roots roots;
  struct marking *m = persistent_alloc(&h->meta, sizeof *m, 64, NULL);
  roots_init(&roots, &h->meta, NULL);
  cr_assert(mark_init(m, h, &roots, NULL));
  return m;
}

static void push(struct marker *k, uintptr_t edge) {
  if (k->n + WORK_ROOM > WORKBUF_ENTRIES) work_make_room(k);
  k->cur->edge[k->n++] = edge;
}

static bool pop(struct marker *k, uintptr_t *edge) {
  if (k->n == 0 && !work_refill(k)) return false;
  *edge = k->cur->edge[--k->n];
  return true;
}

Test(gcwork, what_is_pushed_is_popped_once) {
  struct marking *m = make(test_heap());
  struct marker *k = &m->marker[0];
  struct rng r = rng_seed();
  for (int round = 0; round < 20; round++) {
    size_t n = 1 + rng_below(&r, 20000), live = 0;
    uint64_t sum = 0;
    for (size_t i = 1; i <= n; i++) {
      push(k, i);
      sum += i;
      live++;
      uintptr_t e;
      while (rng_chance(&r, 3) && pop(k, &e)) sum -= e, live--;
    }
    for (uintptr_t e; pop(k, &e); live--) sum -= e;
    cr_assert_eq(live, 0);
    cr_assert_eq(sum, 0);
  }
  /* 20,000 edges need 80 buffers; they are used again. */
  cr_assert_lt(atomic_u32_load_relaxed(&m->nbufs), 120);
}

Test(gcwork, without_memory_edges_are_forgotten_and_it_is_told) {
  struct marking *m = make(test_heap());
  struct marker *k = &m->marker[0];
  atomic_u32_store_relaxed(&m->max_bufs, atomic_u32_load_relaxed(&m->nbufs));
  for (uintptr_t i = 0; i < 100000; i++) push(k, i);
  cr_assert(atomic_u32_load_relaxed(&m->overflow));
  uintptr_t e;
  size_t n = 0;
  while (pop(k, &e)) n++;
  cr_assert_gt(n, 0);
  cr_assert_lt(n, 17 * WORKBUF_ENTRIES);
}

#define MARKERS 4
static struct marking *shared_marking;
static struct atomic_u64 popped_sum, popped, produced;

static void *consume(void *arg) {
  struct marker *k = arg;
  struct rng r = rng_from(k->index + 1);
  uintptr_t e;
  uint64_t made = 0;
  /* Marker 0 begins with everything; each edge above 1 makes two halves. */
  for (int idle = 0; idle < 2000;) {
    if (!pop(k, &e)) {
      idle++;
      atomic_u32_fetch_add_relaxed(&k->m->idlers, 1);
      sched_yield();
      atomic_u32_fetch_sub_relaxed(&k->m->idlers, 1);
      continue;
    }
    idle = 0;
    atomic_u64_fetch_add_relaxed(&popped, 1);
    if (e == 1) {
      atomic_u64_fetch_add_relaxed(&popped_sum, 1);
      continue;
    }
    push(k, e / 2);
    push(k, e - e / 2);
    made += 2;
    if (rng_chance(&r, 64)) work_share(k);
  }
  atomic_u64_fetch_add_relaxed(&produced, made);
  return NULL;
}

Test(gcwork, markers_share_without_losing_an_edge) {
  struct marking *m = shared_marking = make(test_heap());
  pthread_t t[MARKERS];
  m->shared = true;
  for (unsigned i = 0; i < MARKERS; i++) cr_assert(work_init_marker(m, i));
  push(&m->marker[0], 200000);
  for (unsigned i = 0; i < MARKERS; i++)
    pthread_create(&t[i], NULL, consume, &m->marker[i]);
  for (unsigned i = 0; i < MARKERS; i++) pthread_join(t[i], NULL);
  cr_assert_eq(atomic_u64_load_relaxed(&popped_sum), 200000);
  cr_assert_eq(atomic_u64_load_relaxed(&popped),
               atomic_u64_load_relaxed(&produced) + 1);
  cr_assert(lfstack_empty(&m->full));
}
