// SPDX-License-Identifier: MIT
/* See pagemap.h. */
#include "heap/pagemap.h"

#include "base/bits.h"
#include "page/page.h"

#define PAGEMAP_ENTRIES                                                        \
  ((uintptr_t)1 << (PAGEMAP_ADDRESS_BITS - MGC_PAGE_SHIFT))
#define PAGEMAP_BYTES (PAGEMAP_ENTRIES * sizeof(struct atomic_ptr))

/* The table of one entry. Never written. */
static struct atomic_ptr nothing[1];

void pagemap_init(struct pagemap *m, struct vm *vm,
                  uint64_t address_space_left) {
  *m = (struct pagemap){.entry = nothing, .mask = 0};
  if (address_space_left != UINT64_MAX) return;
  void *p = vm->ops->reserve_zero(vm, PAGEMAP_BYTES, "mallocgc: page map");
  if (!p) return;
  *m = (struct pagemap){.entry = p, .mask = PAGEMAP_ENTRIES - 1};
}

bool pagemap_cover(struct pagemap *m, struct vm *vm, uintptr_t base, size_t n) {
  if (m->mask == 0) return true;
  uintptr_t lo = (uintptr_t)&m->entry[base >> MGC_PAGE_SHIFT];
  uintptr_t hi = (uintptr_t)&m->entry[(base + n) >> MGC_PAGE_SHIFT];
  lo = align_down(lo, vm->page_size);
  hi = align_up(hi, vm->page_size);
  return vm->ops->map(vm, (void *)lo, hi - lo, "mallocgc: page map");
}

void pagemap_set(struct pagemap *m, uintptr_t base, size_t npages,
                 struct mspan *s) {
  if (m->mask == 0) return;
  struct atomic_ptr *e = &m->entry[base >> MGC_PAGE_SHIFT];
  /* release: pairs with the acquire in pagemap_get */
  for (size_t i = 0; i < npages; i++) atomic_ptr_store_release(&e[i], s);
}
