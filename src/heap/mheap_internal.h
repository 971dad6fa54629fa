// SPDX-License-Identifier: MIT
/* What the files mheap*.c share among themselves. See mheap.c. */
#ifndef MGC_HEAP_MHEAP_INTERNAL_H
#define MGC_HEAP_MHEAP_INTERNAL_H

#include "heap/heap.h"

/* Gives the page allocator at least npages more contiguous pages; false: no
 * memory or no addresses. Heap lock. */
MGC_MUST_CHECK bool mheap_grow_locked(struct heap *h, size_t npages);

/* Chooses the window and reserves what a small one needs; see heap_init. */
enum heap_init_status mheap_choose_window(struct heap *h,
                                          const struct heap_config *cfg,
                                          struct addrwindow *w, char *detail,
                                          size_t detail_size);

/* Puts s on the list of swept spans that no set holds. */
void mheap_list_span(struct heap *h, struct mspan *s);
/* Takes a span off the unswept list and puts it on the swept one; NULL: empty.
 * It may be claimed by somebody else already. */
struct mspan *mheap_next_listed(struct heap *h);

/* A plain span goes out of use with its pages, into it again for another class, or
 * away for good (it must be in no list then). Any thread. */
void mheap_park(struct heap *h, struct mspan *s);
void mheap_unpark(struct heap *h, struct mspan *s, unsigned sizeclass);
void mheap_free_parked(struct heap *h, struct mspan *s);
/* The pages of s go out of use; lookups no longer find it, and a parked span of its
 * own has them. NULL: no memory for that, and they are free. Any thread. */
struct mspan *mheap_park_twin(struct heap *h, struct mspan *s);

/* One of s's slots is marked: sweeping must look at it. Any thread. */
void mheap_note_marks(struct heap *h, struct mspan *s);
/* Gives a cache's stock of dead mspans back. */
void mheap_return_stock(struct heap *h, struct mcache *mc);

static inline struct list *mheap_listed_swept(struct heap *h, uint32_t sg) {
  return &h->listed[sg / 2 % 2];
}
static inline struct list *mheap_listed_unswept(struct heap *h, uint32_t sg) {
  return &h->listed[1 - sg / 2 % 2];
}

#endif
