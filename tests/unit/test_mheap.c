// SPDX-License-Identifier: MIT
/* Spans from pages: windows, accounting, zeroing, alignment, in-place growth,
 * and memory that runs out. */
#include "heap/mheap_internal.h"
#include "support/rng.h"
#include "support/test_heap.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#define MIB ((size_t)1 << 20)

static struct spanclass noscan_class(unsigned sc) {
  return spanclass_make(sc, true);
}

/* --- windows --- */

Test(mheap, full_window_begins_at_the_hint_or_anywhere) {
  struct heap *h = test_heap_cfg((struct heap_config){0});
  cr_assert_not_null(h);
  cr_assert_eq(h->arenas.count, (uintptr_t)1 << 22);
  struct mspan *s = mheap_alloc_large(h, 3 * HEAP_ARENA_BYTES, 0, true, NULL);
  cr_assert_not_null(s, "more than one arena in a piece");
  cr_assert(is_aligned(s->base, HEAP_ARENA_BYTES) || s->base > 0);
  cr_assert_eq(span_of_heap(&h->arenas, s->limit - 1), s);
  mheap_verify(h);
}

Test(mheap, tiny_arenas_lie_apart) {
  struct heap *h =
      test_heap_cfg((struct heap_config){.opt = {.tiny_arenas = true}});
  uintptr_t base[3];
  for (int i = 0; i < 3; i++) {
    struct mspan *s =
        mheap_alloc_large(h, HEAP_ARENA_BYTES / 2 + MIB, 0, true, NULL);
    base[i] = align_down(s->base, HEAP_ARENA_BYTES);
  }
  cr_assert(base[1] - base[0] != HEAP_ARENA_BYTES);
  cr_assert(base[2] - base[1] != HEAP_ARENA_BYTES);
  /* What a left arena had is not lost. */
  uint64_t sys = memstat_load(&h->stats.heap_sys);
  cr_assert_geq(sys, 2 * (uint64_t)HEAP_ARENA_BYTES + 33 * MIB);
  mheap_verify(h);
}

struct region_case {
  uint64_t left;
  unsigned log2;
  uint64_t want; /* bytes of the region; 0: refused */
};

Test(mheap, limited_address_space_gives_one_region_of_half) {
  static const struct region_case cases[] = {
      {2048 * MIB, 0, 1024 * MIB},
      {600 * MIB, 0, 512 * MIB},
      {511 * MIB, 0, 0},
      {UINT64_MAX, 34, 1ull << 34},
      {64ull << 30, 0, 32ull << 30},
      {64ull << 30, 34, 16ull << 30},
      {2000 * MIB, 0, 960 * MIB},
  };
  for (size_t i = 0; i < array_len(cases); i++) {
    struct heap *h = test_heap_raw();
    char detail[200] = "";
    struct heap_config cfg = {.vm = vm_system(),
                              .classes = &sizeclasses_heap,
                              .opt.window_log2 = cases[i].log2,
                              .address_space_left = cases[i].left};
    enum heap_init_status st = heap_init(h, &cfg, detail, sizeof detail);
    if (cases[i].want == 0) {
      cr_assert_eq(st, HEAP_INIT_ADDRESS_SPACE);
      cr_assert(strstr(detail, "cannot reserve 536870912 bytes of address "
                               "space for the heap") == detail,
                "%s", detail);
      continue;
    }
    cr_assert_eq(st, HEAP_INIT_OK, "case %zu: %s", i, detail);
    cr_assert_eq(h->cur_arena_end - h->cur_arena, cases[i].want, "case %zu", i);
    /* Tables must stay small beside the region. */
    uint64_t meta =
        memstat_load(&h->stats.arena_meta) + memstat_load(&h->stats.page_meta);
    cr_assert_lt(meta, MIB);
    cr_assert_not_null(mheap_alloc(h, 1, noscan_class(2), NULL));
  }
}

Test(mheap, a_region_is_used_to_its_last_page_and_no_further) {
  struct heap *h =
      test_heap_cfg((struct heap_config){.address_space_left = 1024 * MIB});
  size_t n = 0;
  while (mheap_alloc_large(h, 16 * MIB, 0, true, NULL)) n++;
  cr_assert_eq(n, 32, "512 MiB");
  cr_assert_null(mheap_alloc(h, 1, noscan_class(2), NULL));
  mheap_verify(h);
}

Test(mheap, large_physical_pages_are_refused) {
  struct vm vm = *vm_system();
  vm.page_size = 16384;
  struct heap *h = test_heap_raw();
  struct heap_config cfg = {.vm = &vm, .classes = &sizeclasses_heap};
  char detail[100];
  cr_assert_eq(heap_init(h, &cfg, detail, sizeof detail), HEAP_INIT_PAGE_SIZE);
  cr_assert_not_null(strstr(detail, "16384"));
}

#if !MGC_TSAN && !defined(__SANITIZE_ADDRESS__)
static enum heap_init_status init_under_limit(size_t bytes, struct heap **out) {
  struct rlimit lim = {bytes, bytes};
  struct heap *h = *out = test_heap_raw();
  cr_assert_eq(setrlimit(RLIMIT_AS, &lim), 0);
  struct heap_config cfg = {.vm = vm_system(),
                            .classes = &sizeclasses_heap,
                            .address_space_left = vm_address_space_left()};
  return heap_init(h, &cfg, NULL, 0);
}

Test(mheap, comes_up_under_two_gib_of_address_space) {
  struct heap *h;
  cr_assert_eq(init_under_limit(2048 * MIB, &h), HEAP_INIT_OK);
  struct mspan *s = mheap_alloc_large(h, 300 * MIB, 0, true, NULL);
  cr_assert_not_null(s);
  memset((void *)s->base, 1, MIB);
}

Test(mheap, fails_clearly_under_half_a_gib) {
  struct heap *h;
  cr_assert_eq(init_under_limit(512 * MIB, &h), HEAP_INIT_ADDRESS_SPACE);
}
#endif

/* --- allocating and freeing --- */

enum { MAX_SPANS = 300 };

static void check_accounting(struct heap *h, struct mspan **spans, size_t n) {
  size_t npages = 0;
  for (size_t i = 0; i < n; i++) npages += spans[i]->npages;
  cr_assert_eq(atomic_u64_load_relaxed(&h->stats.pages_inuse), npages);
  cr_assert_eq(memstat_load(&h->stats.heap_inuse), npages * MGC_PAGE_SIZE);
}

static struct mspan *random_span(struct rng *r, struct heap *h,
                                 struct mcache *c) {
  if (rng_chance(r, 3)) {
    size_t size = 1 + rng_below(r, rng_chance(r, 10) ? 8 * MIB : 200000);
    size_t align = (size_t)1 << rng_below(r, 21);
    struct mspan *s = mheap_alloc_large(h, size, align, rng_chance(r, 2), c);
    cr_assert(s && is_aligned(s->base, align < 8192 ? 8192 : align));
    cr_assert_geq(s->elemsize, size);
    cr_assert_lt(s->elemsize - size, MGC_PAGE_SIZE);
    cr_assert(mspan_is_alloc(s, 0));
    return s;
  }
  unsigned sc = 1 + (unsigned)rng_below(r, NUM_SIZE_CLASSES - 1);
  struct mspan *s = mheap_alloc(h, h->classes->npages[sc], noscan_class(sc), c);
  cr_assert(s && mspan_count_alloc(s) == 0);
  mcentral_file_swept(h, s); /* or the verifier would miss it */
  return s;
}

static void find_span(struct mspan *s, void *arg) {
  struct mspan **want = arg;
  if (s == *want) *want = NULL;
}

static void random_alloc_free(struct heap *h, struct mcache *c) {
  static struct mspan *spans[MAX_SPANS];
  struct rng r = rng_seed();
  size_t n = 0;
  for (int step = 0; step < 3000; step++) {
    if (n < MAX_SPANS && rng_below(&r, MAX_SPANS) > n) {
      struct mspan *s = spans[n++] = random_span(&r, h, c);
      /* Memory that is not zero must be said to be. */
      for (size_t off = 0; !s->needzero && off < s->elemsize; off += 1000)
        cr_assert_eq(*(uint8_t *)(s->base + off), 0);
      for (size_t off = 0; off < s->elemsize; off += 1000)
        *(uint8_t *)(s->base + off) = 0xee;
    } else if (n > 0) {
      size_t i = rng_below(&r, n);
      uintptr_t base = spans[i]->base;
      mheap_free(h, spans[i]);
      spans[i] = spans[--n];
      cr_assert_null(span_of(&h->arenas, base));
    }
    if (step % 200 == 0) check_accounting(h, spans, n);
    if (step % 1000 == 0) mheap_verify(h);
  }
  for (size_t i = 0; i < n; i++) {
    struct mspan *s = spans[i];
    mheap_visit_spans(h, find_span, &s);
    cr_assert_null(s, "a span in use is not visited");
  }
  while (n > 0) mheap_free(h, spans[--n]);
  check_accounting(h, spans, 0);
  mheap_verify(h);
}

Test(mheap, random_spans_keep_the_books) {
  random_alloc_free(test_heap(), NULL);
}

Test(mheap, random_spans_through_a_cache_keep_the_books) {
  struct heap *h = test_heap();
  struct mcache *c = mcache_new(h);
  random_alloc_free(h, c);
  mcache_delete(h, c);
  mheap_verify(h);
  uint64_t sys = memstat_load(&h->stats.heap_sys);
  scavenge_now(h, SIZE_MAX);
  cr_assert_eq(memstat_load(&h->stats.heap_released), sys,
               "no page has leaked");
}

Test(mheap, freed_memory_is_dirty_until_it_is_scavenged) {
  struct heap *h = test_heap();
  struct mspan *s = mheap_alloc_large(h, 4 * MIB, 0, false, NULL);
  uintptr_t base = s->base;
  cr_assert_not(s->needzero, "fresh");
  memset((void *)base, 0xaa, 4 * MIB);
  mheap_free(h, s);
  s = mheap_alloc_large(h, 4 * MIB, 0, false, NULL);
  cr_assert(s->base == base && s->needzero, "dirty");
  mheap_free(h, s);
  cr_assert_geq(scavenge_now(h, SIZE_MAX), 4 * MIB);
  s = mheap_alloc_large(h, 4 * MIB, 0, false, NULL);
  cr_assert(s->base == base && !s->needzero, "given back: zero again");
  for (size_t i = 0; i < 4 * MIB; i++) cr_assert_eq(((uint8_t *)base)[i], 0);
}

Test(mheap, absurd_sizes_are_refused) {
  struct heap *h = test_heap();
  static const size_t sizes[] = {
      0,           SIZE_MAX,        (size_t)PTRDIFF_MAX + 1,
      PTRDIFF_MAX, (size_t)1 << 47, 17ull << 30};
  for (size_t i = 0; i < array_len(sizes); i++)
    cr_assert_null(mheap_alloc_large(h, sizes[i], 0, true, NULL), "%zu",
                   sizes[i]);
  cr_assert_null(mheap_alloc_large(h, 1, (size_t)1 << 62, true, NULL));
  mheap_verify(h);
}

/* --- in place --- */

Test(mheap, extend_takes_free_pages_behind_and_zeroes_them) {
  struct heap *h = test_heap();
  struct mspan *a = mheap_alloc_large(h, MIB, 0, false, NULL);
  struct mspan *b = mheap_alloc_large(h, MIB, 0, false, NULL);
  cr_assert_eq(b->base, a->limit);
  cr_assert_not(mheap_try_extend(h, a, MIB + 1), "b is in the way");
  uint64_t live = atomic_u64_load_relaxed(&h->heap_live);
  memset((void *)b->base, 0xbb, MIB);
  mheap_free(h, b);
  cr_assert(mheap_try_extend(h, a, MIB + 100000));
  size_t more = align_up(100000, MGC_PAGE_SIZE);
  cr_assert_eq(a->elemsize, MIB + more);
  cr_assert_eq(a->req_size, MIB + 100000);
  cr_assert_eq(span_of_heap(&h->arenas, a->limit - 1), a);
  cr_assert_eq(atomic_u64_load_relaxed(&h->heap_live), live + more);
  for (size_t i = 0; i < more; i++)
    cr_assert_eq(((uint8_t *)a->base)[MIB + i], 0);
  mheap_verify(h);
  cr_assert(mheap_try_extend(h, a, 1000), "it fits");
  struct mspan *small = mheap_alloc(h, 1, noscan_class(3), NULL);
  cr_assert_not(mheap_try_extend(h, small, 100000));
  mheap_free(h, small);
  mheap_free(h, a);
  mheap_verify(h);
}

/* --- the verifier itself --- */

Test(mheap, verify_finds_a_wrong_page_in_use_bit, .signal = SIGABRT) {
  struct heap *h = test_heap();
  struct mspan *s = mheap_alloc_large(h, MIB, 0, true, NULL);
  struct heap_arena *a = arena_of(&h->arenas, s->base);
  arena_page_bit_set(a->page_in_use, s->base + MGC_PAGE_SIZE);
  mheap_verify(h);
}

Test(mheap, verify_finds_a_lost_spans_entry, .signal = SIGABRT) {
  struct heap *h = test_heap();
  struct mspan *s = mheap_alloc_large(h, MIB, 0, true, NULL);
  arena_set_spans(&h->arenas, s->base + MGC_PAGE_SIZE, 1, NULL);
  mheap_verify(h);
}

Test(mheap, verify_finds_a_span_in_no_set, .signal = SIGABRT) {
  struct heap *h = test_heap();
  mheap_alloc(h, 1, noscan_class(2), NULL);
  mheap_verify(h);
}

Test(mheap, free_of_a_dead_span_is_fatal, .signal = SIGABRT) {
  struct heap *h = test_heap();
  struct mspan *s = mheap_alloc_large(h, MIB, 0, true, NULL);
  mheap_free(h, s);
  mheap_free(h, s);
}

/* --- every VM call fails in turn --- */

static const struct mgc_type *run_type(struct spanclass spc) {
  return spanclass_noscan(spc) ? mgc_run_zeroed : TEST_TYPE_WORDS;
}

/* Allocates a little of everything; any of it may fail. */
static void exercise(struct heap *h) {
  struct mcache *c = mcache_new(h);
  for (unsigned i = 2; c && i < NUM_SPAN_CLASSES; i += 3) {
    struct spanclass spc = {(uint8_t)i};
    for (int n = 0; n < 3; n++) mcache_refill(h, c, spc, run_type(spc));
  }
  struct mspan *s = mheap_alloc_large(h, 100 * MIB, 0, false, c);
  struct mspan *t = mheap_alloc_large(h, MIB, MIB, true, c);
  if (s) {
    mheap_try_extend(h, s, 101 * MIB);
    mheap_free(h, s);
  }
  if (t) mspan_set_mark(t, 0);
  if (c) mcache_flush(h, c);
  sweep_start_cycle(h);
  sweep_all(h);
  if (c) mcache_refill(h, c, noscan_class(5), mgc_run_raw);
  if (c) mcache_delete(h, c);
}

static bool exercise_failing(uint64_t fail_at, bool forever, unsigned log2) {
  static struct vm_faulty faulty;
  struct heap_config cfg = {
      .vm = vm_faulty_init(&faulty, vm_system(), fail_at, forever),
      .opt.window_log2 = log2};
  struct heap *h = test_heap_cfg(cfg);
  if (h) exercise(h);
  uint64_t ncalls = atomic_u64_load_relaxed(&faulty.ncalls);
  if (h) {
    mheap_verify(h);
    faulty.fail_at = 0;
    scavenge_now(h, SIZE_MAX);
    cr_assert_eq(memstat_load(&h->stats.heap_sys) -
                     memstat_load(&h->stats.heap_released),
                 memstat_load(&h->stats.heap_inuse), "pages leaked");
  }
  return ncalls >= fail_at;
}

Test(mheap, each_vm_call_may_fail_once_or_for_ever) {
  for (unsigned forever = 0; forever < 2; forever++)
    for (unsigned log2 = MGC_TSAN ? 34 : 0; log2 <= 34; log2 += 34) {
      uint64_t n = 1;
      while (exercise_failing(n, forever, log2)) n++;
      cr_assert_gt(n, 10, "the scenario makes calls");
    }
}

/* --- lookups race with spans that come and go --- */

static struct heap *shared;
static struct atomic_u32 stop;
static struct atomic_uptr last_base;

static void *churn(void *arg) {
  struct rng r = rng_from((uintptr_t)arg);
  struct mspan *keep[8] = {0};
  struct mcache *c = mcache_new(shared);
  for (int i = 0; i < 3000; i++) {
    size_t k = rng_below(&r, 8);
    if (keep[k]) mheap_free(shared, keep[k]);
    keep[k] = mheap_alloc_large(shared, 1 + rng_below(&r, 300000), 0,
                                rng_chance(&r, 2), c);
    cr_assert_not_null(keep[k]);
    *(uintptr_t *)keep[k]->base = keep[k]->base;
    atomic_uptr_store_relaxed(&last_base, keep[k]->base);
    for (size_t j = 0; j < 8; j++) /* one's own spans are always found */
      if (keep[j])
        cr_assert_eq(span_of_heap(&shared->arenas, keep[j]->limit - 1),
                     keep[j]);
  }
  for (size_t k = 0; k < 8; k++)
    if (keep[k]) mheap_free(shared, keep[k]);
  mcache_delete(shared, c);
  return NULL;
}

static void *look_up(void *arg) {
  (void)arg;
  uintptr_t found = 0;
  while (!atomic_u32_load_relaxed(&stop)) {
    uintptr_t p = atomic_uptr_load_relaxed(&last_base);
    for (uintptr_t off = 0; off < 400000; off += 5000)
      found += span_of_heap(&shared->arenas, p + off) != NULL;
  }
  return (void *)found;
}

Test(mheap, lookups_race_with_allocation_and_free) {
  pthread_t churners[3], reader;
  shared = test_heap();
  pthread_create(&reader, NULL, look_up, NULL);
  for (uintptr_t i = 0; i < 3; i++)
    pthread_create(&churners[i], NULL, churn, (void *)(i + 1));
  for (int i = 0; i < 3; i++) pthread_join(churners[i], NULL);
  atomic_u32_store_relaxed(&stop, 1);
  pthread_join(reader, NULL);
  cr_assert_eq(atomic_u64_load_relaxed(&shared->stats.pages_inuse), 0);
  mheap_verify(shared);
}
