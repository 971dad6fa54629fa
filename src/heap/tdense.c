// SPDX-License-Identifier: MIT
/*
 * Huge pages for large blocks, where the program writes all of them.
 *
 * Of a large block little may ever be touched, and with huge pages it would cost 512
 * times as much; so a heap that grows for one does not ask for them (mheap_grow.c). But
 * most programs fill the buffers that they ask for, and then huge pages save them most
 * of the faults and of the misses of the TLB (large of bench/malloc takes a quarter of
 * the time).
 *
 * A fresh block, some or all of whose pages are not there. What a program does with those,
 * other blocks tell: one of them is watched, with small pages, and the kernel is asked
 * whether a few of its pages are there,
 *
 *   when the next ones are made       all of them: a dense block. Otherwise it may be
 *                                     filled yet, and LOOKS answers make it sparse
 *   when it is freed or reallocated   the answer counts
 *
 * A dense block adds to the score, a sparse one sets it to 0. From TRUST on new blocks
 * that are not much larger than the dense ones were get huge pages; but one in
 * CONTROL_EVERY does not and is watched, since where a page is huge one byte makes all of
 * it resident.
 *
 * A used block, whose pages others have left and are all there: huge ones take no more
 * memory. A program that has come by REPLACE such blocks is known to take and free them
 * again and again.
 *
 * Where small pages are in the place of a huge one they go back, so that it can be had. A
 * block that realloc moves brings its pages with it, and gets none.
 *
 * Of a block that is not long only the huge pages that lie in it as a whole are asked for
 * (mheap_ask_huge): what is beside it may be free, and given back.
 *
 * Watching is a guess: threads that come by at once may judge one block twice, or a block
 * that another has in the place of the one that was watched.
 *
 *   I1  pages are given back of a block that nobody has yet
 */
#include "heap/tcache_internal.h"

#define UNIT_SHIFT 21 /* 2 MiB: smaller blocks have no huge page */
#define LOOKS 8u
#define SAMPLES 4u
#define TRUST 2u
#define CONTROL_EVERY 16u
#define LARGER_MOST 4u
#define REPLACE 4u

/* A block's first page, and its length in units in the bits that pages leave. */
static uint64_t watch_word(const struct mspan *s) {
  uint64_t units = (s->npages * MGC_PAGE_SIZE) >> UNIT_SHIFT;
  if (units >= MGC_PAGE_SIZE) units = MGC_PAGE_SIZE - 1;
  return s->base | units;
}
static uintptr_t base_of(uint64_t word) {
  return align_down(word, MGC_PAGE_SIZE);
}
static uint32_t units_of(uint64_t word) {
  return (uint32_t)(word % MGC_PAGE_SIZE);
}

static bool is_there(struct vm *vm, uint64_t word) {
  uint64_t step = ((uint64_t)units_of(word) << UNIT_SHIFT) / SAMPLES;
  for (unsigned i = 0; i < SAMPLES; i++)
    if (!vm->ops->resident(vm, (void *)(base_of(word) + step * i + step / 2)))
      return false;
  return true;
}

static bool is_on(const struct theap *th, const struct mspan *s) {
  size_t huge = th->heap->vm->hugepage_size;
  return th->heap->opt.hugepages && huge > 0 &&
         huge <= (size_t)1 << UNIT_SHIFT &&
         s->npages * MGC_PAGE_SIZE >> UNIT_SHIFT;
}

static void judge(struct tdense *d, uint64_t word, bool dense) {
  uint32_t n = atomic_u32_load_relaxed(&d->score);
  if (!dense) {
    atomic_u32_store_relaxed(&d->score, 0);
    return;
  }
  if (n < TRUST) atomic_u32_store_relaxed(&d->score, n + 1);
  if (units_of(word) > atomic_u32_load_relaxed(&d->units))
    atomic_u32_store_relaxed(&d->units, units_of(word));
}

/* Looks at the block that is watched, if any. */
static void look(struct theap *th) {
  struct tdense *d = &th->dense;
  uint64_t word = atomic_u64_load_relaxed(&d->watched);
  if (word == 0) return;
  bool dense = is_there(th->heap->vm, word);
  if (!dense && atomic_u32_fetch_add_relaxed(&d->looks, 1) + 1 < LOOKS) return;
  judge(d, word, dense);
  atomic_u64_store_relaxed(&d->watched, 0);
}

/* Whether a fresh block is to have huge pages; else it may be watched. */
static bool wants_fresh(struct theap *th, uint64_t word) {
  struct tdense *d = &th->dense;
  bool control =
      atomic_u32_fetch_add_relaxed(&d->fresh, 1) % CONTROL_EVERY == 0;
  look(th);
  if (!control && atomic_u32_load_relaxed(&d->score) >= TRUST)
    return units_of(word) <=
           (uint64_t)LARGER_MOST * atomic_u32_load_relaxed(&d->units);
  if (atomic_u64_load_relaxed(&d->watched) != 0) return false;
  atomic_u32_store_relaxed(&d->looks, 0);
  atomic_u64_store_relaxed(&d->watched, word);
  return false;
}

static bool wants_used(struct theap *th) {
  return atomic_u32_fetch_add_relaxed(&th->dense.used, 1) + 1 >= REPLACE;
}

void tdense_begin(struct theap *th, struct mspan *s) {
  if (!is_on(th, s)) return;
  uint64_t word = watch_word(s);
  bool some = s->needzero; /* I1 */
  bool all = some && is_there(th->heap->vm, word);
  if (all ? wants_used(th) : wants_fresh(th, word))
    mheap_ask_huge(th->heap, s->base, s->npages * MGC_PAGE_SIZE, some);
}

void tdense_end(struct theap *th, const struct mspan *s) {
  struct tdense *d = &th->dense;
  uint64_t word = atomic_u64_load_relaxed(&d->watched);
  if (likely(word == 0 || base_of(word) != s->base)) return;
  judge(d, word, is_there(th->heap->vm, word));
  atomic_u64_store_relaxed(&d->watched, 0);
}
