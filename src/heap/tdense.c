// SPDX-License-Identifier: MIT
/*
 * Huge pages for large blocks, where the program writes all of them.
 *
 * Of a large block little may ever be touched, and with huge pages it would cost 512
 * times as much; so a heap that grows for one does not ask for them (mheap_grow.c). But
 * most programs fill the buffers that they ask for, and then huge pages save them most
 * of the faults and of the misses of the TLB (large of bench/malloc takes a quarter of
 * the time). Which kind a program is, its blocks tell: one of them is watched, and the
 * kernel is asked whether a few of its pages are there
 *
 *   when the next large block is made   all of them: a dense block. Otherwise it may be
 *                                       filled yet; it is asked about again, LOOKS times
 *   when it is freed                    the answer counts
 *
 * A dense block adds to the score, a sparse one sets it to 0. From TRUST on the chunks of
 * new large blocks are asked to be huge. From REPLACE on the program is known to take
 * and free them again and again; where a chunk was not asked before, the small pages that
 * it has are given back, so that huge ones take their places.
 *
 * Watching is a guess: threads that come by at once may judge one block twice, or a block
 * that another has in the place of the one that was watched.
 *
 *   I1  pages are given back of a block that nobody has yet
 */
#include "heap/tcache_internal.h"

#define UNIT_SHIFT 21 /* 2 MiB: smaller blocks have no huge page */
#define LOOKS 4u
#define SAMPLES 4u
#define TRUST 2u
#define REPLACE 8u

/* A block's first page, and its length in units in the bits that pages leave. */
static uint64_t watch_word(const struct mspan *s) {
  uint64_t units = (s->npages * MGC_PAGE_SIZE) >> UNIT_SHIFT;
  if (units >= MGC_PAGE_SIZE) units = MGC_PAGE_SIZE - 1;
  return s->base | units;
}

static bool is_dense(struct vm *vm, uint64_t watched) {
  uintptr_t base = align_down(watched, MGC_PAGE_SIZE);
  uint64_t step = ((watched - base) << UNIT_SHIFT) / SAMPLES;
  for (unsigned i = 0; i < SAMPLES; i++)
    if (!vm->ops->resident(vm, (void *)(base + step * i + step / 2)))
      return false;
  return true;
}

static bool is_on(const struct theap *th, const struct mspan *s) {
  return th->heap->opt.hugepages && s->npages * MGC_PAGE_SIZE >> UNIT_SHIFT;
}

static void count(struct tdense *d, bool dense) {
  uint32_t n = atomic_u32_load_relaxed(&d->score);
  if (n < REPLACE || !dense)
    atomic_u32_store_relaxed(&d->score, dense ? n + 1 : 0);
}

/* Looks at the block that is watched, if any, and then watches s. */
static void watch(struct theap *th, const struct mspan *s) {
  struct tdense *d = &th->dense;
  uint64_t old = atomic_u64_load_relaxed(&d->watched);
  if (old) {
    bool dense = is_dense(th->heap->vm, old);
    if (!dense && atomic_u32_fetch_add_relaxed(&d->looks, 1) + 1 < LOOKS)
      return;
    count(d, dense);
  }
  atomic_u64_store_relaxed(&d->watched, watch_word(s));
  atomic_u32_store_relaxed(&d->looks, 0);
}

void tdense_begin(struct theap *th, struct mspan *s) {
  if (!is_on(th, s)) return;
  watch(th, s);
  uint32_t score = atomic_u32_load_relaxed(&th->dense.score);
  if (score < TRUST) return;
  struct vm *vm = th->heap->vm;
  size_t bytes = s->npages * MGC_PAGE_SIZE;
  bool asked = mheap_ask_huge(th->heap, s->base, bytes);
  uintptr_t lo = align_up(s->base, (uintptr_t)1 << UNIT_SHIFT);
  uintptr_t hi = align_down(s->base + bytes, (uintptr_t)1 << UNIT_SHIFT);
  if (asked && score >= REPLACE && s->needzero && lo < hi) /* I1 */
    vm->ops->unused(vm, (void *)lo, hi - lo);
}

void tdense_end(struct theap *th, const struct mspan *s) {
  struct tdense *d = &th->dense;
  if (!is_on(th, s)) return;
  uint64_t word = watch_word(s);
  if (atomic_u64_load_relaxed(&d->watched) != word) return;
  count(d, is_dense(th->heap->vm, word));
  atomic_u64_store_relaxed(&d->watched, 0);
}
