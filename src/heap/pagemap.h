// SPDX-License-Identifier: MIT
/*
 * From an address to malloc's span in one load: a flat table of the addresses where
 * the heap grows, one pointer for each 8 KiB page, from the heap's first address
 * on.
 *
 * There is address space for the pages of 4 TiB, or of all the heap's region when
 * it has one. Only the part that describes arenas is mapped (8 bytes for 8 KiB:
 * 0.1 %), and lookups stop where the heap has grown to. A
 * table of the whole user address space would save a lookup one comparison, but
 * such a table must be readable all over, and mlockall then fills 128 GiB with
 * page tables.
 *
 * Pages of no span point to a span that no address belongs to, not to NULL: what a
 * free asks of every span anyway fails for this one, and so it need not ask twice.
 *
 * Pages that the table does not have (the heap had to go elsewhere, there is no room
 * for a table) are found through the arena map, the slow way.
 */
#ifndef MGC_HEAP_PAGEMAP_H
#define MGC_HEAP_PAGEMAP_H

#include "base/atomic.h"
#include "base/compiler.h"
#include "os/vm.h"

struct mspan;

/* Of no page: nobody owns it, and it has no slot. */
extern const struct mspan pagemap_none __attribute__((visibility("hidden")));

struct pagemap {
  uintptr_t base;           /* (c) address of entry[0]'s page */
  struct atomic_uptr count; /* (a) entries that are set; only grows */
  struct atomic_ptr *entry; /* (c) */
  uintptr_t max;            /* (c) entries that there is room for */
  uintptr_t mapped;         /* entries that can be written (as pagemap_cover) */
};

/* Takes address space for the pages of [base, base + n), or less of it; base is
 * where the heap's first arena will be.
 * Errors: none, no page is in the table then. */
void pagemap_init(struct pagemap *m, struct vm *vm, uintptr_t base, size_t n);
/* Makes entries for [base, base + n), of no span yet, if the table has room. Heap
 * lock (or whatever keeps calls apart). Errors: false, no memory. */
MGC_MUST_CHECK bool pagemap_cover(struct pagemap *m, struct vm *vm,
                                  uintptr_t base, size_t n);
/* Points the pages of [base, base + npages pages) to s, or to NULL. The pages are
 * the caller's. Leaves out those that the table does not have. */
void pagemap_set(struct pagemap *m, uintptr_t base, size_t npages,
                 struct mspan *s);

/* A fast span that may hold p, or pagemap_none, or NULL. Any p. */
static MGC_ALWAYS_INLINE struct mspan *pagemap_get(const struct pagemap *m,
                                                   uintptr_t p) {
  uintptr_t i = (p - m->base) >> 13;
  /* relaxed: who has been given p has also been given the count */
  if (unlikely(!atomic_uptr_is_above(&m->count, i))) return NULL;
  struct mspan *s = atomic_ptr_load_acquire(&m->entry[i]);
  if (!s) __builtin_unreachable();
  return s;
}

#endif
