// SPDX-License-Identifier: MIT
/* The arena map and what is kept for each page in it. See arena.h. */
#include "heap/arena.h"

#include "base/fatal.h"

bool arena_map_init(struct arena_map *m, struct vm *vm, struct addrwindow w,
                    struct memstat *stat) {
  uintptr_t first = w.base >> HEAP_ARENA_SHIFT;
  uintptr_t last =
      (w.base + (((uintptr_t)1 << w.log2_size) - 1)) >> HEAP_ARENA_SHIFT;
  uintptr_t count = last - first + 1;
  size_t bytes = align_up(count * sizeof(struct atomic_ptr), vm->page_size);
  struct atomic_ptr *entry = vm_alloc(vm, bytes, "mallocgc: arena map", stat);
  if (!entry) return false;
  *m = (struct arena_map){.entry = entry, .first = first, .count = count};
  return true;
}

/* Links a and its neighbours: a->above and below->above. */
static void link_neighbours(const struct arena_map *m, struct heap_arena *a) {
  struct heap_arena *above = arena_of(m, a->base + HEAP_ARENA_BYTES);
  struct heap_arena *below =
      a->base ? arena_of(m, a->base - HEAP_ARENA_BYTES) : NULL;
  atomic_ptr_store_release(&a->above, above);
  if (below) atomic_ptr_store_release(&below->above, a);
}

bool arena_map_add(struct arena_map *m, struct vm *vm, uintptr_t p,
                   struct memstat *stat, struct heap_arena **made) {
  if (made) *made = NULL;
  if (arena_of(m, p)) return true;
  uintptr_t i = (p >> HEAP_ARENA_SHIFT) - m->first;
  if (i >= m->count) return false;
  /* About 1.2 MiB, of which the kernel gives what is touched. */
  size_t bytes = align_up(sizeof(struct heap_arena), vm->page_size);
  struct heap_arena *a = vm_alloc(vm, bytes, "mallocgc: arena metadata", stat);
  if (!a) return false;
  a->base = align_down(p, HEAP_ARENA_BYTES);
  link_neighbours(m, a);
  /* release: pairs with the acquire in arena_of */
  atomic_ptr_store_release(&m->entry[i], a);
  if (made) *made = a;
  return true;
}

void arena_set_spans(const struct arena_map *m, uintptr_t base, size_t npages,
                     struct mspan *s) {
  uintptr_t end = base + npages * MGC_PAGE_SIZE;
  while (base < end) {
    struct heap_arena *a = arena_of(m, base);
    uintptr_t stop = align_down(base, HEAP_ARENA_BYTES) + HEAP_ARENA_BYTES;
    if (stop > end) stop = end;
    for (; base < stop; base += MGC_PAGE_SIZE)
      /* release: pairs with the acquire in span_of */
      atomic_ptr_store_release(&a->spans[arena_page_index(base)], s);
  }
}

/* Pages are taken in address order, so nothing at or past the highest end of
 * anything ever taken from an arena has been used. Two threads that take at
 * once see each other at worst as use: a needless clearing. */
static bool advance_zeroed_base(struct heap_arena *a, uintptr_t from,
                                uintptr_t to) {
  uintptr_t zeroed = atomic_uptr_load_relaxed(&a->zeroed_base);
  bool used = from < zeroed;
  while (zeroed < to && !atomic_uptr_cas_relaxed(&a->zeroed_base, &zeroed, to))
    used |= from < zeroed;
  return used;
}

bool arena_take_needs_zero(const struct arena_map *m, uintptr_t base,
                           size_t n) {
  uintptr_t end = base + n;
  bool used = false;
  while (base < end) {
    struct heap_arena *a = arena_of(m, base);
    uintptr_t from = base - a->base;
    uintptr_t to = end - a->base;
    if (to > HEAP_ARENA_BYTES) to = HEAP_ARENA_BYTES;
    used |= advance_zeroed_base(a, from, to);
    base = a->base + to;
  }
  return used;
}
