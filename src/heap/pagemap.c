// SPDX-License-Identifier: MIT
/* See pagemap.h. */
#include "heap/pagemap.h"

#include "base/bits.h"
#include "page/page.h"

/* Holds the heap's usual addresses (mheap_grow.c), in 32 GiB. */
#define SMALL_SPACE_BITS 45u

/* The table of one entry. Never written. */
static struct atomic_ptr nothing[1];

static uintptr_t entries_for(unsigned bits) {
  return (uintptr_t)1 << (bits - MGC_PAGE_SHIFT);
}

static bool try_size(struct pagemap *m, struct vm *vm, unsigned bits) {
  uintptr_t n = entries_for(bits);
  void *p =
      vm->ops->reserve_zero(vm, n * sizeof *m->entry, "mallocgc: page map");
  if (p) *m = (struct pagemap){.entry = p, .mask = n - 1};
  return p != NULL;
}

void pagemap_init(struct pagemap *m, struct vm *vm,
                  uint64_t address_space_left) {
  *m = (struct pagemap){.entry = nothing, .mask = 0};
  if (address_space_left != UINT64_MAX) return;
  if (try_size(m, vm, PAGEMAP_ADDRESS_BITS)) return;
  /* An address space that is small altogether, as Valgrind gives: nothing that
   * the program has can alias when the stack, at its top, is in the table. */
  unsigned bits = bit_length64((uintptr_t)&bits);
  if (bits <= SMALL_SPACE_BITS) (void)try_size(m, vm, SMALL_SPACE_BITS);
}

/* Whether the table has the pages' entries. Those of others are looked up the slow
 * way. */
static bool has(const struct pagemap *m, uintptr_t base) {
  return m->mask != 0 && base >> MGC_PAGE_SHIFT <= m->mask;
}

bool pagemap_cover(struct pagemap *m, struct vm *vm, uintptr_t base, size_t n) {
  if (!has(m, base)) return true;
  uintptr_t lo = (uintptr_t)&m->entry[base >> MGC_PAGE_SHIFT];
  uintptr_t hi = (uintptr_t)&m->entry[(base + n) >> MGC_PAGE_SHIFT];
  lo = align_down(lo, vm->page_size);
  hi = align_up(hi, vm->page_size);
  return vm->ops->map(vm, (void *)lo, hi - lo, "mallocgc: page map");
}

void pagemap_set(struct pagemap *m, uintptr_t base, size_t npages,
                 struct mspan *s) {
  if (!has(m, base)) return;
  struct atomic_ptr *e = &m->entry[base >> MGC_PAGE_SHIFT];
  /* release: pairs with the acquire in pagemap_get */
  for (size_t i = 0; i < npages; i++) atomic_ptr_store_release(&e[i], s);
}
