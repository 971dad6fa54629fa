// SPDX-License-Identifier: MIT
/* Stand-ins, weak, until the parts they stand for are in. */
#include "face/malloc/mface.h"

#define WEAK __attribute__((weak))
WEAK struct tcache *profile_owner;
WEAK struct tcache *harden_owner;
WEAK void *profile_alloc(size_t size, size_t align, bool zero) {
  return mface_alloc_plain(size, align, zero);
}
WEAK void profile_free(struct mspan *s, uintptr_t p) { (void)s, (void)p; }
WEAK void *profile_realloc_large(struct mspan *s, size_t size) {
  (void)s, (void)size;
  return NULL;
}
WEAK void *harden_alloc(size_t size, size_t align, bool zero) {
  return mface_alloc_plain(size, align, zero);
}
WEAK void harden_free(struct mspan *s, uintptr_t p) { (void)s, (void)p; }
WEAK size_t harden_usable(const struct mspan *s, uintptr_t p) {
  (void)p;
  return s->elemsize;
}
WEAK bool profile_start(struct mface *m) { return m != NULL; }
WEAK bool harden_start(struct mface *m) { return m != NULL; }
WEAK void janitor_start(struct mface *m) { (void)m; }
WEAK void report_start(struct mface *m) { (void)m; }
WEAK void leaks_start(struct mface *m) { (void)m; }
WEAK void profile_fork(bool before, bool child) { (void)before, (void)child; }
WEAK void harden_fork(bool before, bool child) { (void)before, (void)child; }
WEAK void janitor_fork(bool before, bool child) { (void)before, (void)child; }
WEAK bool theap_admit(struct theap *th, size_t bytes) {
  (void)th, (void)bytes;
  return true;
}
WEAK struct mspan *theap_alloc_large(struct theap *th, size_t size,
                                     size_t align, bool *zero) {
  size_t npages = (size + MGC_PAGE_SIZE - 1) >> MGC_PAGE_SHIFT;
  size_t al = align > MGC_PAGE_SIZE ? align >> MGC_PAGE_SHIFT : 1;
  struct mspan *s = al > 1 ? mheap_alloc_plain(th->heap, npages, al, 0)
                           : theap_take_span(th, npages, 0);
  if (!s) return NULL;
  atomic_ptr_store_release(&s->local.owner, &th->central);
  *zero = !s->needzero;
  return s;
}
WEAK void theap_free_large(struct theap *th, struct mspan *s) {
  theap_give_span(th, s);
}
WEAK void *theap_realloc_large(struct theap *th, struct mspan *s, size_t size) {
  if (size <= s->elemsize) return (void *)s->base;
  bool zero;
  struct mspan *q = theap_alloc_large(th, size, 16, &zero);
  if (!q) return NULL;
  __builtin_memcpy((void *)q->base, (void *)s->base, s->elemsize);
  theap_free_large(th, s);
  return (void *)q->base;
}
