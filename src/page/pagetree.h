// SPDX-License-Identifier: MIT
/*
 * The radix tree inside the page allocator, for the files that make it up
 * (pagealloc.c, pagefind.c, pagescav.c, pageverify.c, pagecache.c). Pages are
 * counted from the window's base here: such a number is called a rel.
 */
#ifndef MGC_PAGE_PAGETREE_H
#define MGC_PAGE_PAGETREE_H

#include "page/pagealloc.h"

#define REL_NONE SIZE_MAX
#define PALLOC_BLOCK (1u << PALLOC_LEVEL_BITS) /* entries under one entry */
#define PALLOC_LEAF (PALLOC_LEVELS - 1)

/* log2 of the pages under an entry of a level: 21, 18, 15, 12, 9. */
static inline unsigned level_log_pages(unsigned level) {
  return PALLOCSUM_LOG_MAX - PALLOC_LEVEL_BITS * level;
}
static inline size_t rel_of(const struct pagealloc *p, uintptr_t addr) {
  return (addr - p->window.base) >> MGC_PAGE_SHIFT;
}
static inline uintptr_t rel_addr(const struct pagealloc *p, size_t rel) {
  return p->window.base + ((uintptr_t)rel << MGC_PAGE_SHIFT);
}
static inline size_t rel_chunk(size_t rel) {
  return rel >> PALLOC_CHUNK_LOG_PAGES;
}
static inline unsigned rel_page(size_t rel) {
  return (unsigned)rel & (PALLOC_CHUNK_PAGES - 1);
}
/* The bitmaps of a chunk that is in use. */
static inline struct pallocdata *chunk_data(const struct pagealloc *p,
                                            size_t ci) {
  size_t mask = ((size_t)1 << p->l2_bits) - 1;
  return &p->chunks[ci >> p->l2_bits][ci & mask];
}

/* The part of a run of pages that lies in one chunk. */
struct chunkpart {
  size_t ci;
  unsigned page;
  unsigned npages;
};
static inline struct chunkpart first_part(size_t rel, size_t npages) {
  unsigned page = rel_page(rel);
  size_t room = PALLOC_CHUNK_PAGES - page;
  return (struct chunkpart){rel_chunk(rel), page,
                            (unsigned)(npages < room ? npages : room)};
}

/* Recomputes the summaries over [rel, rel + npages). uniform: the run has just
 * become all free (or all allocated), so that whole chunks need no look. */
enum pagerun { PAGERUN_MIXED, PAGERUN_FREE, PAGERUN_ALLOCATED };
void pagetree_update(struct pagealloc *p, size_t rel, size_t npages,
                     enum pagerun uniform);

/* The lowest run of npages free pages that begins at or after from, a page in
 * use, or REL_NONE. *first_free is a page that no free page at or after from
 * comes before; it need not be in use, and REL_NONE says nothing is free. */
size_t pagetree_find(const struct pagealloc *p, size_t npages, size_t from,
                     size_t *first_free);

/* Marks a free run allocated everywhere but in search_addr. Returns how many of
 * its pages were scavenged. */
size_t pagealloc_take(struct pagealloc *p, size_t rel, size_t npages);

/* Sets search_addr to the first managed address at or after page rel. */
void pagealloc_set_search(struct pagealloc *p, size_t rel);

/* Pages of a physical page: 1 where it is not bigger than ours. Free pages go
 * back to the OS in aligned groups of so many. */
unsigned pagescav_min_pages(const struct vm *vm);

#endif
