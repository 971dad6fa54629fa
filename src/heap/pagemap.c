// SPDX-License-Identifier: MIT
/* See pagemap.h. */
#include "heap/pagemap.h"

#include "base/bits.h"
#include "page/page.h"

/* 4 TiB of heap: a table of 4 GiB of addresses. */
#define ENTRIES_MAX ((uintptr_t)1 << (42 - MGC_PAGE_SHIFT))
/* Arenas may leave holes; entries of a larger one are not mapped: 64 GiB. */
#define HOLE_MAX ((uintptr_t)1 << (36 - MGC_PAGE_SHIFT))

void pagemap_init(struct pagemap *m, struct vm *vm, uintptr_t base, size_t n) {
  uintptr_t max = n >> MGC_PAGE_SHIFT;
  if (max > ENTRIES_MAX) max = ENTRIES_MAX;
  size_t bytes = align_up(max * sizeof *m->entry, vm->page_size);
  m->base = base;
  m->entry = vm->ops->reserve(vm, NULL, bytes, 0, "mallocgc: page map");
  m->max = m->entry ? max : 0;
  atomic_uptr_store_relaxed(&m->count, 0);
}

bool pagemap_cover(struct pagemap *m, struct vm *vm, uintptr_t base, size_t n) {
  uintptr_t count = atomic_uptr_load_relaxed(&m->count);
  uintptr_t first = (base - m->base) >> MGC_PAGE_SHIFT;
  uintptr_t end = first + (n >> MGC_PAGE_SHIFT);
  if (first >= m->max || end > m->max || end <= count) return true;
  if (first > count && first - count > HOLE_MAX) return true;
  uintptr_t lo = align_down((uintptr_t)&m->entry[count], vm->page_size);
  uintptr_t hi = align_up((uintptr_t)&m->entry[end], vm->page_size);
  if (!vm->ops->map(vm, (void *)lo, hi - lo, "mallocgc: page map"))
    return false;
  /* release: the mapping is there for whoever sees the count */
  atomic_uptr_store_release(&m->count, end);
  return true;
}

void pagemap_set(struct pagemap *m, uintptr_t base, size_t npages,
                 struct mspan *s) {
  uintptr_t count = atomic_uptr_load_relaxed(&m->count);
  uintptr_t first = (base - m->base) >> MGC_PAGE_SHIFT;
  if (unlikely(first >= count)) return;
  if (unlikely(npages > count - first)) npages = count - first;
  struct atomic_ptr *e = &m->entry[first];
  /* release: pairs with the acquire in pagemap_get */
  for (size_t i = 0; i < npages; i++) atomic_ptr_store_release(&e[i], s);
}
