// SPDX-License-Identifier: MIT
/* Page caches: filling, emptying, runs of several pages. See pagecache.h. */
#include "page/pagecache.h"
#include "page/pagetree.h"

_Static_assert(PAGECACHE_PAGES == 64, "a cache is one word of a bitmap");

uintptr_t pagecache_alloc_n(struct pagecache *c, size_t npages,
                            uintptr_t *scav_bytes) {
  *scav_bytes = 0;
  if (npages == 0 || npages > PAGECACHE_PAGES) return 0;
  unsigned i = find_bit_range64(c->cache, (unsigned)npages);
  if (i >= 64) return 0;
  uint64_t mask = low_mask64((unsigned)npages) << i;
  *scav_bytes = (uintptr_t)popcount64(c->scav & mask) << MGC_PAGE_SHIFT;
  c->cache &= ~mask;
  c->scav &= ~mask;
  return c->base + ((uintptr_t)i << MGC_PAGE_SHIFT);
}

struct pagecache pagealloc_alloc_to_cache(struct pagealloc *p) {
  struct pagecache c = {0, 0, 0};
  if (p->lock) assert_lock_held(p->lock);
  if (p->search_addr == UINTPTR_MAX) return c;
  size_t first_free;
  size_t rel = pagetree_find(p, 1, rel_of(p, p->search_addr), &first_free);
  if (rel == REL_NONE) {
    p->search_addr = UINTPTR_MAX;
    return c;
  }
  struct pallocdata *d = chunk_data(p, rel_chunk(rel));
  unsigned k = rel_page(rel) / 64;
  rel = align_down(rel, PAGECACHE_PAGES);
  c.base = rel_addr(p, rel);
  c.cache = ~d->alloc.w[k];
  c.scav = d->scavenged.w[k];
  d->alloc.w[k] = ~0ull;
  d->scavenged.w[k] = 0;
  scavindex_alloc(&p->scav, (struct chunkidx){rel_chunk(rel)},
                  popcount64(c.cache));
  pagetree_update(p, rel, PAGECACHE_PAGES, PAGERUN_MIXED);
  pagealloc_set_search(p, rel + PAGECACHE_PAGES);
  return c;
}

void pagecache_flush(struct pagecache *c, struct pagealloc *p) {
  if (p->lock) assert_lock_held(p->lock);
  if (c->cache == 0) return;
  size_t rel = rel_of(p, c->base);
  struct chunkidx ci = {rel_chunk(rel)};
  struct pallocdata *d = chunk_data(p, ci.v);
  unsigned k = rel_page(rel) / 64;
  d->alloc.w[k] &= ~c->cache;
  d->scavenged.w[k] |= c->scav;
  unsigned nscav = popcount64(c->scav);
  unsigned nback = popcount64(c->cache) - nscav;
  if (nscav) scavindex_free_scavenged(&p->scav, ci, nscav);
  if (nback) scavindex_free(&p->scav, ci, nback);
  uintptr_t lowest = rel_addr(p, rel + ctz64(c->cache));
  if (lowest < p->search_addr) p->search_addr = lowest;
  pagetree_update(p, rel, PAGECACHE_PAGES, PAGERUN_MIXED);
  *c = (struct pagecache){0, 0, 0};
}
