// SPDX-License-Identifier: MIT
/* Large objects of a malloc heap: contents through every way of growing, figures,
 * mappings, memory that runs out; and the memory limit. */
#include "heap/tcache.h"
#include "support/rng.h"
#include "support/test_heap.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static struct theap theap;
static struct vm counting_vm;
static struct vm_ops counting_ops;
static unsigned nmoves, nrenews;
static bool refuse_moves;
static size_t move_at_most = SIZE_MAX;
static unsigned nasked, ndropped; /* calls of hugepage and unused */
static uintptr_t asked_lo, asked_hi;

static bool count_move(struct vm *vm, void *from, void *to, size_t n,
                       size_t *moved) {
  (void)vm;
  nmoves++;
  *moved = 0;
  if (refuse_moves) return false;
  if (n > move_at_most) n = move_at_most;
  return vm_system()->ops->move(vm_system(), from, to, n, moved) &&
         n <= move_at_most;
}

static void count_renew(struct vm *vm, void *p, size_t n, const char *name) {
  (void)vm;
  nrenews++;
  vm_system()->ops->renew(vm_system(), p, n, name);
}

static void count_asked(struct vm *vm, void *p, size_t n, bool enable) {
  (void)vm;
  if (!enable) return;
  nasked++;
  asked_lo = (uintptr_t)p;
  asked_hi = asked_lo + n;
  vm_system()->ops->hugepage(vm_system(), p, n, enable);
}

static void count_dropped(struct vm *vm, void *p, size_t n) {
  (void)vm;
  ndropped++;
  vm_system()->ops->unused(vm_system(), p, n);
}

static uint32_t huge_from; /* option hugepages */

static struct theap *make_theap(struct vm *vm) {
  struct heap *h = test_heap_cfg(
      (struct heap_config){.opt = {.window_log2 = 34, .hugepages = huge_from},
                           .vm = vm,
                           .classes = &sizeclasses_malloc});
  if (!h) return NULL;
  memset(&theap, 0, sizeof theap);
  theap_init(&theap, h, 0x123456789abcdefull);
  theap.reclaim = theap_reclaim;
  return &theap;
}

static struct theap *counting_theap(void) {
  counting_vm = *vm_system();
  counting_ops = *vm_system()->ops;
  counting_ops.move = count_move;
  counting_ops.renew = count_renew;
  counting_ops.hugepage = count_asked;
  counting_ops.unused = count_dropped;
  counting_vm.ops = &counting_ops;
  return make_theap(&counting_vm);
}

static struct mspan *take(struct theap *th, size_t size) {
  bool zero;
  return theap_alloc_large(th, size, 16, &zero);
}

/* --- contents that tell where they belong --- */

static void fill(struct mspan *s, size_t from, uint64_t tag) {
  uint64_t *w = (uint64_t *)s->base;
  for (size_t i = from / 8; i < s->elemsize / 8; i++) w[i] = tag + i;
}

static bool holds(const struct mspan *s, size_t n, uint64_t tag) {
  const uint64_t *w = (const uint64_t *)s->base;
  for (size_t i = 0; i < n / 8; i++)
    if (w[i] != tag + i) return false;
  return true;
}

static bool all_zero(const struct mspan *s) {
  const uint64_t *w = (const uint64_t *)s->base;
  for (size_t i = 0; i < s->elemsize / 8; i++)
    if (w[i] != 0) return false;
  return true;
}

static struct mspan *find(struct theap *th, void *p) {
  struct mspan *s = span_of_heap(&th->heap->arenas, (uintptr_t)p);
  cr_assert_eq(s->base, (uintptr_t)p);
  cr_assert_eq(pagemap_get(&tcache_globals.map, s->base), s);
  return s;
}

static uint64_t inuse(const struct theap *th) {
  return memstat_load(&th->heap->stats.heap_inuse);
}

static void check_figures(struct theap *th) {
  struct heap *h = th->heap;
  cr_assert_eq(inuse(th),
               atomic_u64_load_relaxed(&th->class_pages[0]) * MGC_PAGE_SIZE);
  cr_assert_leq(memstat_load(&h->stats.heap_released) + inuse(th),
                memstat_load(&h->stats.heap_sys));
  mutex_lock(&h->lock);
  pagealloc_verify(&h->pages);
  mutex_unlock(&h->lock);
}

/* --- allocation --- */

Test(tlarge, fresh_pages_are_said_to_be_zero_and_used_ones_are_not) {
  struct theap *th = make_theap(vm_system());
  bool zero = false;
  struct mspan *s = theap_alloc_large(th, 100 * KIB, 16, &zero);
  cr_assert(zero);
  cr_assert(all_zero(s));
  fill(s, 0, 1);
  theap_free_large(th, s);
  s = theap_alloc_large(th, 100 * KIB, 16, &zero);
  cr_assert_not(zero);
  theap_free_large(th, s);
  theap_trim_orphans(th); /* the stash of spans */
  scavenge_now(th->heap, 100 * MIB);
  s = theap_alloc_large(th, 100 * KIB, 16, &zero);
  cr_assert(zero, "given back");
  cr_assert(all_zero(s));
  check_figures(th);
}

Test(tlarge, alignment_and_absurd_sizes) {
  struct theap *th = make_theap(vm_system());
  bool zero;
  for (size_t align = 16; align <= 8 * MIB; align *= 2) {
    struct mspan *s = theap_alloc_large(th, 40 * KIB, align, &zero);
    cr_assert(is_aligned(s->base, align), "%zu", align);
    cr_assert_geq(s->elemsize, 40 * KIB);
  }
  cr_assert_null(theap_alloc_large(th, 0, 16, &zero));
  cr_assert_null(theap_alloc_large(th, MAX_LARGE_SIZE + 1, 16, &zero));
  cr_assert_null(theap_alloc_large(th, SIZE_MAX, 16, &zero));
  struct mspan *s = take(th, MIB);
  cr_assert_null(theap_realloc_large(th, s, SIZE_MAX));
  cr_assert_null(theap_realloc_large(th, s, MAX_LARGE_SIZE));
  cr_assert_eq(find(th, (void *)s->base), s, "as it was");
  check_figures(th);
}

/* --- huge pages for dense blocks: tdense.c --- */

enum { BLOCK_MIB = 6 };

/* With a heap of 1 MiB the option alone would ask for huge pages, but not for large. */
static struct theap *huge_theap(void) {
  huge_from = 1;
  struct theap *th = counting_theap();
  th->heap->vm->hugepage_size = 2 * MIB; /* also where there are none */
  nasked = ndropped = 0;
  return th;
}

static void write_all(struct mspan *s) {
  memset((void *)s->base, 1, s->npages * MGC_PAGE_SIZE);
}

/* A fresh block that stays; true: it got huge pages. */
static bool fresh(struct theap *th, size_t mib, bool dense) {
  unsigned before = nasked;
  struct mspan *s = take(th, mib * MIB);
  cr_assert_not(s->needzero, "fresh");
  if (dense) write_all(s);
  if (nasked == before) return false;
  cr_assert(asked_lo >= s->base && asked_hi <= s->base + mib * MIB,
            "no more than the block");
  return true;
}

Test(tlarge, blocks_that_are_written_all_over_get_huge_pages) {
  struct theap *th = huge_theap();
  /* The first is watched, and makes 1 when the second is made, and so on. */
  cr_assert_not(fresh(th, BLOCK_MIB, true));
  cr_assert_not(fresh(th, BLOCK_MIB, true));
  unsigned huge = 0;
  for (int i = 0; i < 40; i++) huge += fresh(th, BLOCK_MIB, true);
  cr_assert(huge >= 32 && huge < 40, "%u: all but those for control", huge);
  check_figures(th);
}

Test(tlarge, blocks_of_which_little_is_written_do_not) {
  struct theap *th = huge_theap();
  for (int i = 0; i < 40; i++)
    cr_assert_not(fresh(th, BLOCK_MIB, i % 3 == 0), "%d", i);
}

Test(tlarge, who_stops_to_write_loses_huge_pages) {
  struct theap *th = huge_theap();
  for (int i = 0; i < 10; i++) fresh(th, BLOCK_MIB, true);
  cr_assert(fresh(th, BLOCK_MIB, false));
  cr_assert_not(fresh(th, 10 * BLOCK_MIB, false), "much larger than those");
  unsigned huge = 0;
  for (int i = 0; i < 80; i++) huge += fresh(th, BLOCK_MIB, false);
  cr_assert_lt(huge, 60, "%u of 80, until a control was judged", huge);
  cr_assert_not(fresh(th, BLOCK_MIB, false));
}

Test(tlarge, what_realloc_does_is_no_evidence_against) {
  struct theap *th = huge_theap();
  for (int i = 0; i < 6; i++) {
    struct mspan *s = take(th, BLOCK_MIB * MIB);
    if (i >= 4) cr_assert_gt(nasked, 0, "%d", i);
    write_all(s);
    struct mspan *wall = take(th, 40 * KIB); /* so that it moves */
    s = find(th, theap_realloc_large(th, s, 2 * BLOCK_MIB * MIB));
    cr_assert_not_null(wall);
    write_all(s);
  }
}

Test(tlarge, small_pages_give_way_when_blocks_come_and_go) {
  struct theap *th = huge_theap();
  unsigned first = 0;
  for (unsigned i = 1; i < 30 && !first; i++) {
    struct mspan *s = take(th, BLOCK_MIB * MIB);
    write_all(s);
    if (ndropped) first = i;
    theap_free_large(th, s);
  }
  cr_assert_gt(first, 4, "not at once");
  cr_assert_gt(ndropped, 1);
  unsigned n = ndropped;
  for (int i = 0; i < 5; i++) {
    struct mspan *s = take(th, BLOCK_MIB * MIB);
    cr_assert(s->needzero);
    theap_free_large(th, s);
  }
  cr_assert_eq(ndropped, n, "once");
  check_figures(th);
}

Test(tlarge, without_the_option_or_huge_pages_nobody_looks) {
  for (int i = 0; i < 2; i++) {
    struct theap *th = huge_theap();
    th->heap->opt.hugepages = (uint32_t)i;
    if (i == 1) th->heap->vm->hugepage_size = 0;
    for (int j = 0; j < 20; j++) fresh(th, BLOCK_MIB, true);
    cr_assert_eq(nasked, 0);
    cr_assert_eq(atomic_u64_load_relaxed(&th->dense.watched), 0);
  }
}

/* --- realloc --- */

Test(tlarge, grows_in_place_when_the_pages_behind_are_free) {
  struct theap *th = counting_theap();
  struct mspan *s = take(th, 64 * KIB);
  void *p = (void *)s->base;
  fill(s, 0, 7);
  for (size_t size = 128 * KIB; size <= 64 * MIB; size += size / 2) {
    size_t had = s->elemsize;
    cr_assert_eq(theap_realloc_large(th, s, size), p);
    cr_assert_eq(s->elemsize, align_up(size, MGC_PAGE_SIZE));
    fill(s, had, 7);
  }
  cr_assert(holds(s, s->elemsize, 7));
  cr_assert_eq(nmoves, 0);
  check_figures(th);
}

Test(tlarge, shrinking_gives_the_tail_back) {
  struct theap *th = make_theap(vm_system());
  struct mspan *s = take(th, 8 * MIB);
  fill(s, 0, 3);
  cr_assert_eq(theap_realloc_large(th, s, MIB), (void *)s->base);
  cr_assert_eq(inuse(th), MIB);
  cr_assert(holds(s, MIB, 3));
  struct mspan *t = take(th, 7 * MIB);
  cr_assert_eq(t->base, s->limit, "the tail serves another");
  check_figures(th);
  theap_free_large(th, s);
  theap_free_large(th, t);
  cr_assert_eq(inuse(th), 0);
  check_figures(th);
}

/* Another block right behind stops it. */
static struct mspan *take_blocked(struct theap *th, size_t size) {
  struct mspan *s = take(th, size);
  while (!span_of(&th->heap->arenas, s->limit)) take(th, MGC_PAGE_SIZE);
  return s;
}

Test(tlarge, blocked_block_moves_by_its_pages) {
  struct theap *th = counting_theap();
  struct mspan *s = take_blocked(th, 5 * MIB);
  uintptr_t old = s->base;
  fill(s, 0, 11);
  struct mspan *t = find(th, theap_realloc_large(th, s, 6 * MIB));
  cr_assert_neq(t->base, old);
  cr_assert_eq(nmoves, 1);
  cr_assert(holds(t, 5 * MIB, 11));
  check_figures(th);
  /* The old place is free, has no memory, and reads as zero. */
  bool zero = false;
  s = theap_alloc_large(th, 5 * MIB, 16, &zero);
  cr_assert_eq(s->base, old);
  cr_assert(zero);
  cr_assert(all_zero(s));
  /* Freed, the new one has its mapping made anew. */
  cr_assert_eq(atomic_u32_load_relaxed(&th->nmoved), 1);
  theap_free_large(th, t);
  cr_assert_eq(nrenews, 1);
  cr_assert_eq(atomic_u32_load_relaxed(&th->nmoved), 0);
  check_figures(th);
}

Test(tlarge, refused_or_broken_off_move_is_completed_by_copying) {
  static const size_t limits[] = {0, 256 * KIB, 2 * MIB};
  struct theap *th = counting_theap();
  for (unsigned i = 0; i < array_len(limits); i++) {
    struct mspan *s = take_blocked(th, 5 * MIB);
    fill(s, 0, 100 * i);
    refuse_moves = limits[i] == 0;
    move_at_most = limits[i];
    struct mspan *t = find(th, theap_realloc_large(th, s, 6 * MIB));
    cr_assert(holds(t, 5 * MIB, 100 * i), "limit %zu", limits[i]);
    check_figures(th);
  }
  cr_assert_eq(nmoves, array_len(limits));
}

Test(tlarge, small_moves_and_moves_to_used_memory_copy) {
  struct theap *th = counting_theap();
  struct mspan *hole = take_blocked(th, 30 * MIB);
  fill(hole, 0, 1);
  struct mspan *small = take_blocked(th, 64 * KIB);
  struct mspan *large = take_blocked(th, 2 * MIB);
  fill(small, 0, 2);
  fill(large, 0, 3);
  small = find(th, theap_realloc_large(th, small, 96 * KIB));
  theap_free_large(th, hole);
  large = find(th, theap_realloc_large(th, large, 3 * MIB));
  cr_assert_eq(nmoves, 0);
  cr_assert(holds(small, 64 * KIB, 2));
  cr_assert(holds(large, 2 * MIB, 3));
  check_figures(th);
}

static bool is_in_arena(const struct heap *h, uintptr_t lo, uintptr_t hi) {
  for (size_t i = 0; i < h->narenas; i++) {
    uintptr_t base = h->all_arenas[i]->base;
    if (lo < base + HEAP_ARENA_BYTES && base < hi) return true;
  }
  return false;
}

/* Of the heap alone: a sanitizer's shadow is mapped as it is touched. */
static unsigned count_mappings(const struct heap *h) {
  FILE *f = fopen("/proc/self/maps", "r");
  char line[512];
  unsigned long lo, hi;
  unsigned n = 0;
  while (fgets(line, sizeof line, f))
    if (sscanf(line, "%lx-%lx", &lo, &hi) == 2) n += is_in_arena(h, lo, hi);
  fclose(f);
  return n;
}

Test(tlarge, blocks_that_grow_in_turn_move_seldom_and_leave_no_mappings) {
  struct theap *th = counting_theap();
  struct mspan *s[4];
  size_t size = 64 * KIB;
  unsigned before = 0;
  for (unsigned i = 0; i < 4; i++) fill(s[i] = take(th, size), 0, i << 20);
  before = count_mappings(th->heap);
  for (unsigned step = 0; step < 1000; step++) {
    unsigned i = step % 4;
    size_t had = s[i]->elemsize;
    s[i] = find(th, theap_realloc_large(th, s[i], had + 64 * KIB));
    fill(s[i], had, i << 20);
  }
  for (unsigned i = 0; i < 4; i++)
    cr_assert(holds(s[i], s[i]->elemsize, i << 20));
  cr_assert_leq(nmoves, 64, "%u moves", nmoves);
  check_figures(th);
  for (unsigned i = 0; i < 4; i++) theap_free_large(th, s[i]);
  check_figures(th);
  scavenge_now(th->heap, SIZE_MAX / 2);
  unsigned after = count_mappings(th->heap);
  cr_assert_gt(before, 0);
  cr_assert_leq(after, before + 4, "%u mappings, then %u", before, after);
}

Test(tlarge, random_resizing_keeps_contents) {
  struct theap *th = counting_theap();
  struct rng rng = rng_seed();
  struct mspan *s[16] = {0};
  for (unsigned step = 0; step < 500; step++) {
    unsigned i = (unsigned)rng_below(&rng, 16);
    size_t size = 40 * KIB + rng_below(&rng, 8 * MIB);
    uint64_t tag = (uint64_t)i << 32;
    if (!s[i]) {
      fill(s[i] = take(th, size), 0, tag);
      continue;
    }
    size_t had = s[i]->elemsize;
    if (rng_chance(&rng, 4)) {
      cr_assert(holds(s[i], had, tag));
      theap_free_large(th, s[i]);
      s[i] = NULL;
      continue;
    }
    s[i] = find(th, theap_realloc_large(th, s[i], size));
    size_t now = s[i]->elemsize;
    cr_assert(holds(s[i], now < had ? now : had, tag), "step %u", step);
    if (now > had) fill(s[i], had, tag);
    if (rng_chance(&rng, 16)) scavenge_now(th->heap, 4 * MIB);
  }
  check_figures(th);
  for (unsigned i = 0; i < 16; i++)
    if (s[i]) theap_free_large(th, s[i]);
  cr_assert_eq(inuse(th), 0);
  cr_assert_eq(atomic_u32_load_relaxed(&th->nmoved), 0);
  check_figures(th);
}

/* --- memory that runs out --- */

Test(tlarge, every_refusal_of_the_system_leaves_all_as_it_was) {
  for (uint64_t n = 1; n <= 24; n++) {
    struct vm_faulty faulty;
    struct theap *th = make_theap(vm_faulty_init(&faulty, vm_system(), 0, 0));
    struct mspan *s = take_blocked(th, MIB);
    fill(s, 0, n);
    faulty.fail_at = atomic_u64_load_relaxed(&faulty.ncalls) + n;
    void *p = theap_realloc_large(th, s, 3 * MIB);
    struct mspan *t = p ? find(th, p) : s;
    cr_assert(holds(t, MIB, n), "call %d", (int)n);
    theap_free_large(th, t);
    cr_assert_eq(inuse(th), MGC_PAGE_SIZE);
    check_figures(th);
  }
}

/* --- the limit --- */

static void set_limit(struct theap *th, uint64_t more) {
  atomic_u64_store_relaxed(&th->memory_limit, theap_footprint(th) + more);
}

Test(tlimit, allocation_over_the_limit_fails_and_one_below_succeeds) {
  struct theap *th = make_theap(vm_system());
  set_limit(th, 64 * MIB);
  cr_assert_null(take(th, 65 * MIB));
  struct mspan *s = take(th, 40 * MIB);
  cr_assert_not_null(s);
  cr_assert_null(take(th, 30 * MIB));
  cr_assert_null(theap_realloc_large(th, s, 70 * MIB));
  fill(s, 0, 9);
  s = find(th, theap_realloc_large(th, s, 60 * MIB));
  cr_assert(holds(s, 40 * MIB, 9));
  theap_free_large(th, s);
  cr_assert_not_null(take(th, 60 * MIB), "freed memory may be used again");
  check_figures(th);
}

Test(tlimit, free_pages_are_given_back_before_an_allocation_fails) {
  struct theap *th = make_theap(vm_system());
  set_limit(th, 64 * MIB);
  /* Free pages in pieces of 1 MiB; what is asked for does not fit into any. */
  struct mspan *s[40];
  for (unsigned i = 0; i < 40; i++) fill(s[i] = take(th, MIB), 0, i);
  for (unsigned i = 0; i < 40; i += 2) theap_free_large(th, s[i]);
  uint64_t before = atomic_u64_load_relaxed(&th->heap->stats.scavenged_total);
  cr_assert_not_null(take(th, 40 * MIB));
  cr_assert_gt(atomic_u64_load_relaxed(&th->heap->stats.scavenged_total),
               before);
  cr_assert_leq(theap_footprint(th),
                atomic_u64_load_relaxed(&th->memory_limit));
  check_figures(th);
}

Test(tlimit, empty_spans_of_the_own_cache_are_given_up) {
  struct theap *th = make_theap(vm_system());
  struct tcache *t = tcache_attach(th, 1);
  tcache_self = t;
  /* The thread keeps what it freed last; the limit leaves no room for that. */
  unsigned sc = sizeclass_of(th->heap->classes, 4096);
  void *p[16];
  for (unsigned i = 0; i < 16; i++) p[i] = tcache_refill(t, sc).p;
  set_limit(th, 0);
  for (unsigned i = 0; i < 16; i++) tcache_free_slow(th, t, (uintptr_t)p[i]);
  cr_assert_not_null(take(th, 48 * KIB));
}

Test(tlimit, move_by_pages_counts_the_growth_alone) {
  struct theap *th = counting_theap();
  struct mspan *s = take_blocked(th, 40 * MIB);
  fill(s, 0, 5);
  set_limit(th, 10 * MIB);
  struct mspan *t = find(th, theap_realloc_large(th, s, 45 * MIB));
  cr_assert_eq(nmoves, 1);
  cr_assert(holds(t, 40 * MIB, 5));
  cr_assert_leq(theap_footprint(th),
                atomic_u64_load_relaxed(&th->memory_limit));
}
