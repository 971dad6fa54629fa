// SPDX-License-Identifier: MIT
/* Sweeping against a model: what was marked stays, all else is free. */
#include "support/rng.h"
#include "support/test_heap.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>

/* --- a heap of objects and what the test knows of them --- */

enum { MAX_OBJECTS = 20000 };

struct object {
  uintptr_t p;
  struct mspan *s;
  unsigned index;
  bool live;
};

static struct object objects[MAX_OBJECTS];
static size_t nobjects;

static void add_object(struct mspan *s, uintptr_t p) {
  objects[nobjects++] = (struct object){
      .p = p, .s = s, .index = s->divmul ? mspan_index(s, p) : 0};
}

static uintptr_t take(struct heap *h, struct mcache *c, struct spanclass spc) {
  struct mgc_run *r = &c->pub.run[spc.v];
  const struct mgc_type *type =
      spanclass_noscan(spc) ? mgc_run_zeroed : TEST_TYPE_WORDS;
  uintptr_t p;
  if (!mgc_run_take(r, r->elemsize, &p)) {
    cr_assert_not_null(mcache_refill(h, c, spc, type));
    cr_assert(mgc_run_take(r, r->elemsize, &p));
  }
  for (size_t i = 0; i < r->elemsize / 8; i++)
    cr_assert_eq(((uint64_t *)p)[i], 0, "class %u", spc.v);
  memset((void *)p, 0x77, r->elemsize);
  return p;
}

static void allocate(struct heap *h, struct mcache *c, struct rng *r,
                     size_t n) {
  while (n-- > 0 && nobjects < MAX_OBJECTS) {
    if (rng_chance(r, 50)) {
      struct mspan *s = mheap_alloc_large(h, 32769 + rng_below(r, 100000), 0,
                                          rng_chance(r, 2), c);
      add_object(s, s->base);
      continue;
    }
    unsigned sc = 1 + (unsigned)rng_below(r, rng_chance(r, 4) ? 67 : 20);
    uintptr_t p = take(h, c, spanclass_make(sc, rng_chance(r, 2)));
    add_object(span_of_heap(&h->arenas, p), p);
  }
}

/* Marks objects as a collector would; one in one_in survives. */
static void mark(struct heap *h, struct rng *r, unsigned one_in) {
  for (size_t i = 0; i < nobjects; i++) {
    struct object *o = &objects[i];
    o->live = rng_chance(r, one_in);
    if (!o->live) continue;
    mspan_set_mark(o->s, o->index);
    if (atomic_u8_load_relaxed(&o->s->has_marks)) continue;
    atomic_u8_store_relaxed(&o->s->has_marks, 1);
    arena_page_bit_set(arena_of(&h->arenas, o->s->base)->page_marks,
                       o->s->base);
  }
}

/* After sweeping: live ones are allocated and untouched, dead ones free. */
static void check_and_drop(struct heap *h) {
  size_t kept = 0;
  for (size_t i = 0; i < nobjects; i++) {
    struct object *o = &objects[i];
    struct mspan *s = span_of_heap(&h->arenas, o->p);
    bool alloc = s == o->s && mspan_is_alloc(s, o->index);
    cr_assert_eq(alloc, o->live, "object %zu", i);
    if (!o->live) continue;
    if (s->divmul) cr_assert_eq(*(uint8_t *)(o->p + s->elemsize - 1), 0x77);
    objects[kept++] = *o;
  }
  nobjects = kept;
}

static uint64_t count_alloc(struct heap *h);

/* Every way to sweep, at random, and then the rest. */
static void sweep_somehow(struct heap *h, struct mcache *c, struct rng *r) {
  for (int i = 0; i < 100; i++) {
    struct object *o = nobjects ? &objects[rng_below(r, nobjects)] : NULL;
    switch (rng_below(r, 4)) {
    case 0:
      sweep_one(h);
      break;
    case 1:
      if (o && o->live) sweep_ensure(h, o->s);
      break;
    case 2:
      sweep_reclaim(h, 1 + rng_below(r, 30));
      break;
    default: {
      unsigned spc = 2 + (unsigned)rng_below(r, NUM_SPAN_CLASSES - 2);
      mcache_refill(h, c, (struct spanclass){(uint8_t)spc},
                    spc & 1 ? mgc_run_raw : TEST_TYPE_WORDS);
    }
    }
  }
  mcache_flush(h, c);
  sweep_all(h);
}

static void count_span(struct mspan *s, void *arg) {
  *(uint64_t *)arg += mspan_count_alloc(s);
  cr_assert_eq(mspan_count_mark(s), 0);
}

static uint64_t count_alloc(struct heap *h) {
  uint64_t n = 0;
  mheap_visit_spans(h, count_span, &n);
  return n;
}

Test(sweep, random_marks_agree_with_the_model_over_cycles) {
  struct rng r = rng_seed();
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  for (int cycle = 0; cycle < 12; cycle++) {
    allocate(h, c, &r, 2000);
    mcache_flush(h, c);
    mheap_verify(h);
    mark(h, &r, 1 + (unsigned)rng_below(&r, 4));
    sweep_start_cycle(h);
    mheap_verify(h);
    sweep_somehow(h, c, &r);
    check_and_drop(h);
    cr_assert_eq(count_alloc(h), nobjects);
    cr_assert_eq(sweep_one(h), SIZE_MAX);
    mheap_verify(h);
  }
  mark(h, &r, 1u << 31);
  sweep_start_cycle(h);
  sweep_all(h);
  mheap_verify(h);
}

Test(sweep, counts_of_frees_match_what_was_allocated) {
  struct rng r = rng_seed();
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  allocate(h, c, &r, 5000);
  mcache_delete(h, c);
  sweep_start_cycle(h);
  sweep_all(h);
  for (unsigned sc = 1; sc < NUM_SIZE_CLASSES; sc++)
    cr_assert_eq(atomic_u64_load_relaxed(&h->stats.nalloc[sc]),
                 atomic_u64_load_relaxed(&h->stats.nfree[sc]));
  cr_assert_gt(atomic_u64_load_relaxed(&h->stats.large_nfree), 0);
  cr_assert_eq(atomic_u64_load_relaxed(&h->stats.pages_inuse), 0);
  cr_assert_eq(memstat_load(&h->stats.heap_inuse), 0);
}

Test(sweep, reclaim_finds_the_pages_it_was_asked_for) {
  struct heap *h = test_heap();
  for (int i = 0; i < 20; i++) {
    struct mspan *s = mheap_alloc_large(h, 1 << 20, 0, true, NULL);
    if (i % 2) mspan_set_mark(s, 0);
  }
  sweep_start_cycle(h);
  uint64_t before = atomic_u64_load_relaxed(&h->stats.pages_inuse);
  sweep_reclaim(h, 300);
  uint64_t freed = before - atomic_u64_load_relaxed(&h->stats.pages_inuse);
  cr_assert(freed >= 300 && freed <= 512, "%llu", (unsigned long long)freed);
  sweep_reclaim(h, SIZE_MAX / 2);
  cr_assert_eq(atomic_u64_load_relaxed(&h->stats.pages_inuse), 10 * 128);
  sweep_all(h);
  mheap_verify(h);
  sweep_start_cycle(h);
  sweep_reclaim(h, 10 * 128);
  cr_assert_eq(atomic_u64_load_relaxed(&h->stats.pages_inuse), 0,
               "a new cycle begins at the first page");
}

Test(sweep, sets_begin_their_numbers_again_in_each_cycle) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  struct spanset *partial = h->central[5].partial;
  for (int cycle = 0; cycle < 12; cycle++) {
    take(h, c, (struct spanclass){5});
    mcache_flush(h, c);
    sweep_start_cycle(h);
    sweep_all(h);
    for (int i = 0; i < 2; i++) {
      uint64_t index = atomic_u64_load_relaxed(&partial[i].index);
      cr_assert_leq((uint32_t)index, 2);
    }
  }
}

Test(sweep, ensure_keeps_an_empty_small_span) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  uintptr_t p = take(h, c, spanclass_make(7, true));
  struct mspan *s = span_of_heap(&h->arenas, p);
  mcache_flush(h, c);
  sweep_start_cycle(h);
  sweep_ensure(h, s);
  cr_assert_eq(span_of_heap(&h->arenas, p), s);
  cr_assert_eq(mspan_count_alloc(s), 0);
  sweep_ensure(h, s); /* nothing left to do */
  sweep_all(h);
  mheap_verify(h);
}

Test(sweep, clobber_fills_dead_slots) {
  struct heap *h = test_heap_cfg(
      (struct heap_config){.opt = {.clobber_free = true, .window_log2 = 34}});
  struct mcache *c = mcache_new(h);
  uintptr_t dead = take(h, c, spanclass_make(8, true));
  uintptr_t alive = take(h, c, spanclass_make(8, true));
  struct mspan *s = span_of_heap(&h->arenas, alive);
  mcache_flush(h, c);
  mspan_set_mark(s, mspan_index(s, alive));
  sweep_start_cycle(h);
  sweep_all(h);
  for (int i = 0; i < 96; i++) {
    cr_assert_eq(((uint8_t *)dead)[i], 0xdb);
    cr_assert_eq(((uint8_t *)alive)[i], 0x77);
  }
}

static unsigned specials_seen;
static bool odd_ones_live(struct heap *h, struct mspan *s, unsigned i) {
  (void)h, (void)s;
  specials_seen++;
  return i % 2 != 0;
}

Test(sweep, specials_may_keep_dead_objects) {
  struct heap *h = test_heap();
  h->hooks.special_dead = odd_ones_live;
  struct mcache *c = mcache_new(h);
  uintptr_t p = 0;
  for (int i = 0; i < 20; i++) p = take(h, c, spanclass_make(8, false));
  struct mspan *s = span_of_heap(&h->arenas, p);
  mcache_flush(h, c);
  s->specials = (struct special *)(void *)s; /* any: the hook looks at it */
  mspan_set_mark(s, 4);
  sweep_start_cycle(h);
  sweep_all(h);
  cr_assert_eq(specials_seen, 19);
  cr_assert_eq(mspan_count_alloc(s), 11);
}

Test(sweep, a_marked_free_slot_is_fatal, .signal = SIGABRT) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  uintptr_t p = take(h, c, spanclass_make(8, true));
  struct mspan *s = span_of_heap(&h->arenas, p);
  mcache_flush(h, c);
  mspan_set_mark(s, 60);
  sweep_start_cycle(h);
  sweep_all(h);
}

Test(sweep, a_cycle_before_the_last_is_swept_is_fatal, .signal = SIGABRT) {
  struct heap *h = test_heap();
  mheap_alloc_large(h, 1 << 20, 0, true, NULL);
  sweep_start_cycle(h);
  sweep_start_cycle(h);
}

Test(sweep, needzero_is_set_only_when_something_was_freed) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  uintptr_t p = take(h, c, spanclass_make(8, false));
  struct mspan *s = span_of_heap(&h->arenas, p);
  for (int dies = 0; dies < 2; dies++) {
    mcache_flush(h, c);
    if (!dies) mspan_set_mark(s, mspan_index(s, p));
    sweep_start_cycle(h);
    struct mspan *again = mcache_refill(h, c, s->spanclass, TEST_TYPE_WORDS);
    cr_assert_eq(again, s);
    cr_assert_eq(s->needzero, dies);
    mcache_flush(h, c);
    sweep_all(h);
  }
}

/* --- threads: everybody sweeps at once while some allocate and free --- */

enum { NTHREADS = 4 };

struct sweeper {
  struct heap *h;
  struct mcache *c;
  uint64_t seed;
  size_t from, to; /* live objects of its own, to free */
};

static void *sweep_in_thread(void *arg) {
  struct sweeper *w = arg;
  struct rng r = rng_from(w->seed);
  size_t next = w->from;
  for (int i = 0; i < 600; i++) {
    switch (rng_below(&r, 4)) {
    case 0:
      sweep_one(w->h);
      break;
    case 1:
      sweep_reclaim(w->h, 2);
      break;
    case 2: {
      struct object *o = next < w->to ? &objects[next++] : NULL;
      if (!o || !o->live || !o->s->divmul) break;
      cr_assert(mcache_free_slot(w->h, w->c, o->s, o->index));
      o->live = false;
      break;
    }
    default:
      take(w->h, w->c, spanclass_make(1 + (unsigned)rng_below(&r, 40), true));
    }
  }
  return NULL;
}

Test(sweep, threads_sweep_free_and_allocate_together) {
  struct rng r = rng_seed();
  struct heap *h = test_heap();
  struct sweeper w[NTHREADS];
  pthread_t t[NTHREADS];
  for (int i = 0; i < NTHREADS; i++)
    w[i] = (struct sweeper){.h = h, .c = mcache_new(h)};
  for (int cycle = 0; cycle < 6; cycle++) {
    nobjects = 0;
    allocate(h, w[0].c, &r, 4000);
    for (int i = 0; i < NTHREADS; i++) mcache_flush(h, w[i].c);
    mark(h, &r, 3);
    sweep_start_cycle(h);
    for (size_t i = 0; i < NTHREADS; i++) {
      w[i].seed = rng_u64(&r);
      w[i].from = i * nobjects / NTHREADS;
      w[i].to = (i + 1) * nobjects / NTHREADS;
      pthread_create(&t[i], NULL, sweep_in_thread, &w[i]);
    }
    for (int i = 0; i < NTHREADS; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < NTHREADS; i++) mcache_flush(h, w[i].c);
    sweep_all(h);
    mheap_verify(h);
    for (size_t i = 0; i < nobjects; i++)
      if (objects[i].live)
        cr_assert(mspan_is_alloc(objects[i].s, objects[i].index));
  }
}

static size_t inuse(struct heap *h) {
  return memstat_load(&h->stats.heap_inuse);
}

Test(sweep, empty_spans_stay_for_one_cycle_with_the_class_that_took_them) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  struct spanclass spc = spanclass_make(4, false);
  while (inuse(h) < 40 * MGC_PAGE_SIZE) (void)take(h, c, spc);
  size_t before = inuse(h);
  mcache_flush(h, c);
  h->sweep_keeps_room = true;
  sweep_start_cycle(h); /* nothing is marked: all spans are empty */
  sweep_all(h);
  cr_assert_eq(inuse(h), before);
  mheap_verify(h);
  sweep_start_cycle(h); /* nothing was taken since */
  sweep_all(h);
  cr_assert_eq(inuse(h), 0);
  mheap_verify(h);
}
