// SPDX-License-Identifier: MIT
/*
 * A thread's 64 pages (512 KiB): a bitmap of free pages taken from the page
 * allocator in one piece, allocated from without a lock (Go: mpagecache.go). For
 * runs of less than PAGECACHE_PAGES / 4 pages. See pagealloc.h.
 */
#ifndef MGC_PAGE_PAGECACHE_H
#define MGC_PAGE_PAGECACHE_H

#include "base/compiler.h"
#include "page/page.h"

struct pagealloc;

#define PAGECACHE_PAGES 64u
/* Runs of this many pages and more do not come from a cache. */
#define PAGECACHE_MAX_ALLOC (PAGECACHE_PAGES / 4)

/* All fields: (o) owning thread. Zero is an empty cache. */
struct pagecache {
  uintptr_t base; /* address of page 0, a multiple of 64 pages */
  uint64_t cache; /* 1: free */
  uint64_t scav;  /* 1: free and scavenged; a subset of cache */
};

static inline bool pagecache_empty(const struct pagecache *c) {
  return c->cache == 0;
}

/* The general case of pagecache_alloc. */
uintptr_t pagecache_alloc_n(struct pagecache *c, size_t npages,
                            uintptr_t *scav_bytes);

/**
 * Allocates npages contiguous pages from the cache, the lowest that fit.
 *
 * Units:   npages counts pages, at least 1; *scav_bytes is bytes of the result
 *          that have no physical memory (vm used must be called when not 0).
 * Returns: the address, or 0 when the cache has no such run.
 * Errors:  none; *scav_bytes is 0 when 0 is returned.
 * Threads: the owner of the cache; no lock.
 */
static inline uintptr_t pagecache_alloc(struct pagecache *c, size_t npages,
                                        uintptr_t *scav_bytes) {
  if (unlikely(c->cache == 0)) {
    *scav_bytes = 0;
    return 0;
  }
  if (npages != 1) return pagecache_alloc_n(c, npages, scav_bytes);
  uint64_t bit = c->cache & -c->cache;
  unsigned i = (unsigned)__builtin_ctzll(c->cache);
  *scav_bytes = (c->scav & bit) ? MGC_PAGE_SIZE : 0;
  c->cache ^= bit;
  c->scav &= ~bit;
  return c->base + ((uintptr_t)i << MGC_PAGE_SHIFT);
}

/**
 * Gives the cache's pages back to p and empties it.
 *
 * Units:   none.
 * Errors:  none.
 * Threads: the owner of the cache, with p's lock held.
 */
void pagecache_flush(struct pagecache *c, struct pagealloc *p);

#endif
