// SPDX-License-Identifier: MIT
/*
 * spanstash: spans of malloc's that were given back a moment ago, kept with their
 * pages for the next one of the same length. The page allocator's tree costs some
 * 2,000 instructions for a span taken and given back; this costs 200. Programs that
 * take and free one block of 40 KiB in turn, or empty and refill spans, live here.
 *
 * Parked spans are unpublished: no lookup finds them, and they count as free. Their
 * pages are allocated in the page allocator and resident, so the stash is bounded
 * in bytes, and the janitor empties it when the program rests.
 *
 *   I1  bytes is the sum of the spans' bytes, and at most the limit of the last give
 *   I2  bin[n - 1] holds parked spans of n pages
 *   I3  bit i of occupied says whether bin[i] has any
 */
#ifndef MGC_HEAP_SPANSTASH_H
#define MGC_HEAP_SPANSTASH_H

#include "heap/heap.h"

#define SPANSTASH_MAX_PAGES 128u

struct spanstash {
  struct mutex lock;                           /* rank spanstash */
  struct list bin[SPANSTASH_MAX_PAGES];        /* (lock) most recent first */
  uint64_t occupied[SPANSTASH_MAX_PAGES / 64]; /* (lock) I3 */
  struct atomic_u64 bytes;                     /* (a) written under lock */
  unsigned hand; /* (lock) bin to evict from next */
};

void spanstash_init(struct spanstash *st);
/* A span of npages, published again for sizeclass (0: one object); NULL: none. Its
 * memory is not zero. Any thread. */
struct mspan *spanstash_take(struct spanstash *st, struct heap *h,
                             size_t npages, unsigned sizeclass);
/* Keeps s, which is parked and in no list, or frees it when it is too long for the
 * limit; what is over the limit then is freed, other lengths first. Any thread. */
void spanstash_give(struct spanstash *st, struct heap *h, struct mspan *s,
                    size_t limit);
/* Frees parked spans until at most `limit` bytes are left. Any thread. */
void spanstash_shrink(struct spanstash *st, struct heap *h, size_t limit);

#endif
