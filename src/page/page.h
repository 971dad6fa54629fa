// SPDX-License-Identifier: MIT
/*
 * Pages, chunks and the numbers that name them. A page is 8 KiB; a chunk is 512
 * pages (4 MiB), the unit in which the heap grows and for which there is one
 * bitmap. See pagealloc.h for the overview of the page level.
 */
#ifndef MGC_PAGE_PAGE_H
#define MGC_PAGE_PAGE_H

#include "base/bits.h"

#define MGC_PAGE_SHIFT 13
#define MGC_PAGE_SIZE ((uintptr_t)1 << MGC_PAGE_SHIFT)

#define PALLOC_CHUNK_LOG_PAGES 9
#define PALLOC_CHUNK_PAGES (1u << PALLOC_CHUNK_LOG_PAGES)
#define PALLOC_CHUNK_SHIFT (PALLOC_CHUNK_LOG_PAGES + MGC_PAGE_SHIFT)
#define PALLOC_CHUNK_BYTES ((uintptr_t)1 << PALLOC_CHUNK_SHIFT)

/* A page's number: its address >> MGC_PAGE_SHIFT. */
struct pageno {
  uintptr_t v;
};
/* A chunk's number in a page allocator: (address - window base) >> 22. */
struct chunkidx {
  size_t v;
};

static inline struct pageno pageno_of(uintptr_t addr) {
  return (struct pageno){addr >> MGC_PAGE_SHIFT};
}
static inline uintptr_t pageno_addr(struct pageno n) {
  return n.v << MGC_PAGE_SHIFT;
}
/* The page's index in its chunk: 0 to 511. Chunks are 4 MiB-aligned. */
static inline unsigned chunk_page_index(uintptr_t addr) {
  return (unsigned)(addr >> MGC_PAGE_SHIFT) & (PALLOC_CHUNK_PAGES - 1);
}
/* Pages needed for n bytes. n must be at most SIZE_MAX - MGC_PAGE_SIZE. */
static inline size_t pages_for(size_t n) {
  return (n + MGC_PAGE_SIZE - 1) >> MGC_PAGE_SHIFT;
}

#endif
