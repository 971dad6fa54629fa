// SPDX-License-Identifier: MIT
/*
 * From an address to malloc's span in one load: a flat table of the whole user
 * address space, one pointer for each 8 KiB page.
 *
 * 47 bits of addresses make 2^34 entries, 128 GiB of address space, of which only
 * what describes the heap is ever touched (8 bytes for 8 KiB: 0.1 %). The rest
 * reads as NULL: it is mapped for reading alone, which costs neither memory nor
 * commit charge, and the part of an arena becomes writable when the arena is made.
 *
 * Under a limit on address space (ulimit -v) there is no room for it. The table
 * then has one entry, NULL, every fast lookup misses, and the slow ones go
 * through the arena map.
 */
#ifndef MGC_HEAP_PAGEMAP_H
#define MGC_HEAP_PAGEMAP_H

#include "base/atomic.h"
#include "base/compiler.h"
#include "os/vm.h"

struct mspan;

#define PAGEMAP_ADDRESS_BITS 47u

struct pagemap {
  struct atomic_ptr *entry; /* (c) */
  /* (c) Number of entries less one: no pointer, however wild, reads outside the
   * table. 0 for the table of one entry. */
  uintptr_t mask;
};

/* Takes address space; address_space_left as of vm_address_space_left.
 * Errors: none, the table is then the small one. */
void pagemap_init(struct pagemap *m, struct vm *vm,
                  uint64_t address_space_left);
/* Makes the entries of [base, base + n) writable. Heap lock (or whatever keeps
 * calls apart). Errors: false, no memory. */
MGC_MUST_CHECK bool pagemap_cover(struct pagemap *m, struct vm *vm,
                                  uintptr_t base, size_t n);
/* Points the pages of [base, base + npages pages) to s, or to NULL. The pages are
 * the caller's. Does nothing in the small table. */
void pagemap_set(struct pagemap *m, uintptr_t base, size_t npages,
                 struct mspan *s);

/* A fast span that may hold p, or NULL. Any p. */
static MGC_ALWAYS_INLINE struct mspan *pagemap_get(const struct pagemap *m,
                                                   uintptr_t p) {
  return atomic_ptr_load_acquire(&m->entry[(p >> 13) & m->mask]);
}

#endif
