// SPDX-License-Identifier: MIT
/* Runs: every class to exhaustion, types and zeroing, explicit frees, counts. */
#include "heap/heapbits.h"
#include "support/rng.h"
#include "support/test_heap.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>

static uint64_t live(struct heap *h, struct mcache *c) {
  mcache_settle_live(h, c);
  return atomic_u64_load_relaxed(&h->heap_live);
}

static void *take(struct heap *h, struct mcache *c, struct spanclass spc,
                  const struct mgc_type *type) {
  struct mgc_run *r = &c->pub.run[spc.v];
  uintptr_t p;
  if (mgc_run_take(r, r->elemsize, &p)) return (void *)p;
  cr_assert_not_null(mcache_refill(h, c, spc, type));
  cr_assert_eq(r->type, type);
  return mgc_run_take(r, r->elemsize, &p) ? (void *)p : NULL;
}

static const struct mgc_type *type_for(struct spanclass spc) {
  return spanclass_noscan(spc) ? mgc_run_zeroed : &mgc_type_conservative;
}

/* Every slot of three spans of the class: distinct, inside, zero, counted. */
static void exhaust(struct heap *h, struct spanclass spc) {
  struct mcache *c = mcache_new(h);
  unsigned sc = spanclass_size(spc);
  size_t size = h->classes->size[sc];
  size_t nelems = h->classes->npages[sc] * MGC_PAGE_SIZE / size;
  uint64_t before = live(h, c);
  struct mspan *s = NULL;
  for (size_t i = 0; i < 3 * nelems; i++) {
    uint64_t *p = take(h, c, spc, type_for(spc));
    mcache_verify(h, c);
    struct mspan *at = span_of_heap(&h->arenas, (uintptr_t)p);
    cr_assert(at && at->spanclass.v == spc.v, "class %u", spc.v);
    cr_assert_eq(mspan_slot(at, mspan_index(at, (uintptr_t)p)), (uintptr_t)p);
    cr_assert_eq(*p, 0, "class %u slot %zu was handed out before", spc.v, i);
    *p = (uintptr_t)p;
    cr_assert(at == s || i % nelems == 0, "a span is used up in one piece");
    s = at;
  }
  cr_assert_eq(c->counts.nalloc[sc], 3 * nelems);
  cr_assert_eq(live(h, c) - before, 3 * nelems * size);
  mcache_delete(h, c);
}

Test(mcache, refill_serves_every_slot_of_every_class_once) {
  struct heap *h = test_heap();
  for (unsigned i = 2; i < NUM_SPAN_CLASSES; i++)
    exhaust(h, (struct spanclass){(uint8_t)i});
  mheap_verify(h);
  for (unsigned sc = 1; sc < NUM_SIZE_CLASSES; sc++)
    cr_assert_gt(atomic_u64_load_relaxed(&h->stats.nalloc[sc]), 0);
}

Test(mcache, runs_are_at_most_a_page_or_one_slot) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  for (unsigned i = 2; i < NUM_SPAN_CLASSES; i++) {
    struct spanclass spc = {(uint8_t)i};
    mcache_refill(h, c, spc, type_for(spc));
    struct mgc_run *r = &c->pub.run[i];
    cr_assert(r->end - r->cur <= 8192 || r->end - r->cur == r->elemsize);
  }
}

Test(mcache, flush_takes_back_what_was_not_used) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  struct spanclass spc = spanclass_make(5, true);
  for (int i = 0; i < 7; i++) take(h, c, spc, mgc_run_raw);
  struct mspan *s = c->span[spc.v];
  atomic_uptr_store_relaxed(&c->tiny, 16);
  mcache_flush(h, c);
  cr_assert_eq(mspan_count_alloc(s), 7);
  cr_assert_eq(c->counts.nalloc[5], 7);
  cr_assert_eq(live(h, c), 7 * 48);
  cr_assert_eq(atomic_uptr_load_relaxed(&c->tiny), 0);
  uintptr_t none;
  cr_assert_not(mgc_run_take(&c->pub.run[spc.v], 48, &none));
  mheap_verify(h);
  /* The same span comes back, and its next free slot. */
  cr_assert_eq(take(h, c, spc, mgc_run_raw), (void *)mspan_slot(s, 7));
  mcache_release_all(h, c);
  mheap_verify(h);
}

static bool slot_has_mask(struct heap *h, void *p, size_t size, uint64_t mask) {
  const struct heap_arena *a = arena_of(&h->arenas, (uintptr_t)p);
  return heapbits_load(a, (uintptr_t)p, (uintptr_t)p + size) == mask;
}

static const uint64_t mask_a = 0x5, mask_b = 0x12;
static const struct mgc_type type_a = {.size = 48,
                                       .ptrdata = 24,
                                       .align = 8,
                                       .kind = MGC_KIND_STRUCT,
                                       .gcdata = (const uint8_t *)&mask_a};
static const struct mgc_type type_b = {.size = 48,
                                       .ptrdata = 40,
                                       .align = 8,
                                       .kind = MGC_KIND_STRUCT,
                                       .gcdata = (const uint8_t *)&mask_b};

Test(mcache, the_first_type_marks_the_whole_span) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  struct spanclass spc = spanclass_make(5, false); /* 48 bytes */
  take(h, c, spc, &type_a);
  struct mspan *s = c->span[spc.v];
  cr_assert_eq(atomic_ptr_load_relaxed(&s->masktype), &type_a);
  for (unsigned i = 0; i < s->nelems; i++)
    cr_assert(slot_has_mask(h, (void *)mspan_slot(s, i), 48, mask_a));
}

Test(mcache, a_second_type_marks_its_run_only) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  struct spanclass spc = spanclass_make(5, false);
  char *a = take(h, c, spc, &type_a);
  mcache_flush(h, c);
  char *b = take(h, c, spc, &type_b);
  cr_assert_eq(b, a + 48);
  cr_assert(slot_has_mask(h, a, 48, mask_a));
  cr_assert(slot_has_mask(h, b, 48, mask_b));
  struct mspan *s = c->span[spc.v];
  cr_assert_null(atomic_ptr_load_relaxed(&s->masktype));
}

Test(mcache, a_second_run_of_the_type_keeps_the_spans_mask) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  struct spanclass spc = spanclass_make(41, false); /* 3072: 8 in 3 pages */
  for (int i = 0; i < 5; i++) take(h, c, spc, &type_a);
  struct mspan *s = c->span[spc.v];
  cr_assert_eq(atomic_ptr_load_relaxed(&s->masktype), &type_a);
}

Test(mcache, another_type_after_a_sweep_spares_the_living) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  struct spanclass spc = spanclass_make(5, false);
  char *a = take(h, c, spc, &type_a);
  struct mspan *s = c->span[spc.v];
  mcache_flush(h, c);
  mspan_set_mark(s, mspan_index(s, (uintptr_t)a));
  sweep_start_cycle(h);
  char *b = take(h, c, spc, &type_b);
  cr_assert_eq(b, a + 48);
  cr_assert(slot_has_mask(h, a, 48, mask_a));
  cr_assert(slot_has_mask(h, b, 48, mask_b));
}

Test(mcache, caches_that_come_and_go_leave_nothing) {
  struct heap *h = test_heap();
  uint64_t first = 0;
  for (int i = 0; i < 300; i++) {
    struct mcache *c = mcache_new(h);
    take(h, c, spanclass_make(3, true), mgc_run_raw);
    take(h, c, spanclass_make(30, true), mgc_run_raw);
    struct mspan *s = c->span[spanclass_make(3, true).v];
    mcache_push_reuse(h, c, s, mspan_slot(s, 100));
    mcache_delete(h, c);
    uint64_t bytes =
        memstat_load(&h->stats.span_meta) + memstat_load(&h->stats.cache_meta);
    if (i < 20) first = bytes; /* sets and stocks are made once */
    cr_assert_eq(bytes, first, "cache %d", i);
  }
  mheap_verify(h);
}

/* --- explicit frees --- */

Test(mcache, a_reused_slot_that_was_not_taken_is_free_again) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  struct spanclass spc = spanclass_make(40, true); /* 3 slots */
  char *p = take(h, c, spc, mgc_run_raw);
  for (int i = 0; i < 3; i++) take(h, c, spc, mgc_run_raw);
  struct mspan *s = span_of_heap(&h->arenas, (uintptr_t)p);
  cr_assert(mcache_free_slot(h, c, s, 0));
  mcache_flush(h, c);
  /* In another span now; the freed slot comes as a run of its own. */
  cr_assert(mcache_push_reuse(h, c, s, (uintptr_t)p));
  cr_assert_eq(mcache_refill(h, c, spc, mgc_run_raw), s);
  cr_assert(mspan_is_alloc(s, 0));
  mcache_flush(h, c);
  cr_assert_not(mspan_is_alloc(s, 0));
  cr_assert_eq(live(h, c), 3 * 2688);
  mheap_verify(h);
}

Test(mcache, freed_slots_come_back_zeroed_before_new_ones) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  struct spanclass spc = spanclass_make(8, false); /* 96 bytes, 85 slots */
  char *p[85];
  for (int i = 0; i < 85; i++)
    memset(p[i] = take(h, c, spc, &type_a), 0xcc, 96);
  uint64_t before = live(h, c);
  struct mspan *s = c->span[spc.v];
  cr_assert(mcache_free_slot(h, c, s, 11));
  cr_assert(mcache_free_slot(h, c, s, 22));
  cr_assert_not(mcache_free_slot(h, c, s, 22), "double free");
  cr_assert_eq(live(h, c), before - 2 * 96);
  char *q = take(h, c, spc, &type_b), *r = take(h, c, spc, &type_b);
  cr_assert(q == p[22] && r == p[11]);
  for (int i = 0; i < 96; i++) cr_assert(q[i] == 0 && r[i] == 0);
  cr_assert(slot_has_mask(h, q, 96, mask_b | mask_b << 6));
  cr_assert(slot_has_mask(h, p[12], 96, mask_a | mask_a << 6));
  cr_assert_eq(c->counts.nfree[8], 2);
  cr_assert_eq(live(h, c), before);
}

/* A program that frees all it allocates uses no more memory in the long run,
 * whatever the order, and without any collection. */
Test(mcache, alloc_free_without_collections_is_bounded) {
  enum { N = 4000 };
  static void *p[N];
  struct rng r = rng_seed();
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  uint64_t first = 0;
  for (int round = 0; round < 60; round++) {
    for (int i = 0; i < N; i++)
      p[i] = take(h, c, spanclass_make(4, true), mgc_run_raw);
    for (int i = N - 1; i > 0; i--) {
      size_t j = rng_below(&r, (size_t)i + 1);
      void *t = p[i];
      p[i] = p[j];
      p[j] = t;
    }
    for (int i = 0; i < N; i++) {
      struct mspan *s = span_of_heap(&h->arenas, (uintptr_t)p[i]);
      cr_assert(mcache_free_slot(h, c, s, mspan_index(s, (uintptr_t)p[i])));
    }
    uint64_t pages = atomic_u64_load_relaxed(&h->stats.pages_inuse);
    if (round == 0) first = pages;
    cr_assert_leq(pages, first + 1, "round %d", round);
  }
  mcache_flush(h, c); /* gives back what is left of the last run */
  cr_assert_eq(live(h, c), 0);
  mheap_verify(h);
}

Test(mcache, a_forgotten_reuse_list_loses_no_slot) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  struct spanclass spc = spanclass_make(40, true); /* 2688 bytes, 3 slots */
  char *p[9];
  for (int i = 0; i < 9; i++) p[i] = take(h, c, spc, mgc_run_raw);
  struct mspan *s = span_of_heap(&h->arenas, (uintptr_t)p[1]);
  cr_assert(mcache_free_slot(h, c, s, 1));
  mcache_delete(h, c);
  mheap_verify(h);
  c = mcache_new(h);
  cr_assert_eq(take(h, c, spc, mgc_run_raw), p[1]);
}

Test(mcache, verify_finds_a_run_outside_its_span, .signal = SIGABRT) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  struct spanclass spc = spanclass_make(2, true);
  take(h, c, spc, mgc_run_raw);
  c->pub.run[spc.v].end += 16;
  mcache_verify(h, c);
}

/* --- threads: allocate, hand over, free, exit --- */

enum { NTHREADS = 4, NSLOTS = 512, STEPS = 20000 };

struct shared_slots {
  struct heap *h;
  struct atomic_ptr slot[NSLOTS];
};

static struct shared_slots x;

static void free_object(struct mcache *c, uintptr_t *p) {
  struct mspan *s = span_of_heap(&x.h->arenas, (uintptr_t)p);
  cr_assert_eq(p[0], (uintptr_t)p ^ p[1], "somebody else wrote here");
  p[0] = 0xdead;
  cr_assert(mcache_free_slot(x.h, c, s, mspan_index(s, (uintptr_t)p)));
}

static void *exchange_objects(void *arg) {
  struct rng r = rng_from((uintptr_t)arg);
  struct mcache *c = mcache_new(x.h);
  for (int i = 0; i < STEPS; i++) {
    unsigned sc = 2 + (unsigned)rng_below(&r, 45);
    struct spanclass spc = spanclass_make(sc, rng_chance(&r, 2));
    uintptr_t *p = take(x.h, c, spc, type_for(spc));
    cr_assert(p[0] == 0 && p[1] == 0);
    p[1] = rng_u64(&r);
    p[0] = (uintptr_t)p ^ p[1];
    struct atomic_ptr *slot = &x.slot[rng_below(&r, NSLOTS)];
    p = atomic_ptr_exchange_acq_rel(slot, p);
    if (p) free_object(c, p);
    if (rng_chance(&r, 4000)) { /* as when a thread ends and one begins */
      mcache_delete(x.h, c);
      c = mcache_new(x.h);
    }
  }
  mcache_delete(x.h, c);
  return NULL;
}

Test(mcache, threads_free_each_others_objects) {
  pthread_t t[NTHREADS];
  x.h = test_heap();
  for (uintptr_t i = 0; i < NTHREADS; i++)
    pthread_create(&t[i], NULL, exchange_objects, (void *)(i + 1));
  for (int i = 0; i < NTHREADS; i++) pthread_join(t[i], NULL);
  struct mcache *c = mcache_new(x.h);
  for (int i = 0; i < NSLOTS; i++) {
    uintptr_t *p = atomic_ptr_load_acquire(&x.slot[i]);
    if (p) free_object(c, p);
  }
  mcache_delete(x.h, c);
  uint64_t nalloc = 0, nfree = 0;
  for (unsigned sc = 1; sc < NUM_SIZE_CLASSES; sc++) {
    nalloc += atomic_u64_load_relaxed(&x.h->stats.nalloc[sc]);
    nfree += atomic_u64_load_relaxed(&x.h->stats.nfree[sc]);
  }
  cr_assert_eq(nalloc, NTHREADS * STEPS);
  cr_assert_eq(nfree, nalloc);
  cr_assert_eq(atomic_u64_load_relaxed(&x.h->heap_live), 0);
  mheap_verify(x.h);
}
