// SPDX-License-Identifier: MIT
/* See pagemap.h. */
#include "heap/pagemap.h"

#include "base/bits.h"
#include "heap/arena.h"
#include "heap/mspan.h"
#include "page/page.h"

/* 4 TiB of heap: a table of 4 GiB of addresses. */
#define ENTRIES_MAX ((uintptr_t)1 << (42 - MGC_PAGE_SHIFT))
/* Arenas may leave holes; a larger one, and what is behind it, has no entries: 1 GiB. */
#define HOLE_MAX ((uintptr_t)1 << (30 - MGC_PAGE_SHIFT))
/* Entries are mapped for an arena at a time. */
#define MAP_ENTRIES (HEAP_ARENA_BYTES >> MGC_PAGE_SHIFT)

const struct mspan pagemap_none;

static void set(struct atomic_ptr *e, size_t n, const struct mspan *s) {
  /* release: pairs with the acquire in pagemap_get */
  for (size_t i = 0; i < n; i++) atomic_ptr_store_release(&e[i], (void *)s);
}

void pagemap_init(struct pagemap *m, struct vm *vm, uintptr_t base, size_t n) {
  uintptr_t max = n >> MGC_PAGE_SHIFT;
  if (max > ENTRIES_MAX) max = ENTRIES_MAX;
  size_t bytes = align_up(max * sizeof *m->entry, vm->page_size);
  m->base = base;
  m->entry = vm->ops->reserve(vm, NULL, bytes, 0, "mallocgc: page map");
  m->max = m->entry ? max : 0;
  m->mapped = 0;
  atomic_uptr_store_relaxed(&m->count, 0);
}

/* Makes the first `end` entries, or some more, writable. */
static bool map_entries(struct pagemap *m, struct vm *vm, uintptr_t end) {
  if (end <= m->mapped) return true;
  end = align_up(end, MAP_ENTRIES);
  if (end > m->max) end = m->max;
  uintptr_t lo = align_down((uintptr_t)&m->entry[m->mapped], vm->page_size);
  uintptr_t hi = align_up((uintptr_t)&m->entry[end], vm->page_size);
  if (!vm->ops->map(vm, (void *)lo, hi - lo, "mallocgc: page map"))
    return false;
  m->mapped = end;
  return true;
}

bool pagemap_cover(struct pagemap *m, struct vm *vm, uintptr_t base, size_t n) {
  uintptr_t count = atomic_uptr_load_relaxed(&m->count);
  uintptr_t first = (base - m->base) >> MGC_PAGE_SHIFT;
  uintptr_t end = first + (n >> MGC_PAGE_SHIFT);
  if (first >= m->max || end > m->max || end <= count) return true;
  if (first > count && first - count > HOLE_MAX) return true;
  if (!map_entries(m, vm, end)) return false;
  set(&m->entry[count], end - count, &pagemap_none);
  /* release: the entries are there for whoever sees the count */
  atomic_uptr_store_release(&m->count, end);
  return true;
}

void pagemap_set(struct pagemap *m, uintptr_t base, size_t npages,
                 struct mspan *s) {
  uintptr_t count = atomic_uptr_load_relaxed(&m->count);
  uintptr_t first = (base - m->base) >> MGC_PAGE_SHIFT;
  if (unlikely(first >= count)) return;
  if (unlikely(npages > count - first)) npages = count - first;
  set(&m->entry[first], npages, s ? s : &pagemap_none);
}
