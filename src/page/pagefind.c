// SPDX-License-Identifier: MIT
/*
 * First fit over the radix tree.
 *
 * One cursor (level, index) walks to the right over the leaves, with the length
 * of the free run that ends just before it. At each entry it asks, in this
 * order, which is address order:
 *
 *   1. does the run so far, with the entry's start, suffice?  found, crossing
 *   2. does the entry's longest run suffice?                  go down into it
 *   3. else pass over the entry, keeping the run at its end.
 *
 * At the end of a block of eight it climbs to the parent's right neighbour. So a
 * search costs at most one block on each level up and one on each level down,
 * and level 0. It begins at any page, not only at the search address, which is
 * what aligned allocation needs.
 *
 * Which summaries may be read: a block of eight entries is mapped when any chunk
 * below it is in use; level 0 is mapped whole. The cursor begins in a chunk in
 * use, goes right within a block, and down only where a run is free, so it never
 * reads a block that is not mapped.
 */
#include "base/fatal.h"
#include "page/pagetree.h"

struct cursor {
  unsigned level;
  size_t idx;        /* entry in summary[level] */
  size_t run;        /* free pages just before the entry */
  size_t first_free; /* as in pagetree_find */
};

/* Looks at the pages of the first chunk from page `from` on. */
static size_t find_in_first_chunk(const struct pagealloc *p, size_t npages,
                                  size_t from, struct cursor *c) {
  size_t ci = rel_chunk(from);
  unsigned page = rel_page(from);
  unsigned max = pallocsum_max(p->summary[PALLOC_LEAF][ci]);
  c->level = PALLOC_LEAF;
  c->idx = ci;
  c->run = 0;
  c->first_free = REL_NONE;
  if (max == 0) return REL_NONE;
  const struct pallocbits *bits = &chunk_data(p, ci)->alloc;
  unsigned first = pallocbits_find(bits, 1, page);
  if (first == PALLOCBITS_NONE) return REL_NONE;
  size_t chunk_rel = ci << PALLOC_CHUNK_LOG_PAGES;
  c->first_free = chunk_rel + first;
  if (npages == 1) return c->first_free;
  if (max >= npages) {
    unsigned i = pallocbits_find(bits, (unsigned)npages, first);
    if (i != PALLOCBITS_NONE) return chunk_rel + i;
  }
  c->run = pallocbits_free_at_end(bits, first);
  return REL_NONE;
}

/* Moves to the next entry to the right, climbing where a block ends. False at
 * the end of level 0. */
static bool cursor_step(const struct pagealloc *p, struct cursor *c) {
  c->idx++;
  while (c->level > 0 && c->idx % PALLOC_BLOCK == 0) {
    c->level--;
    c->idx >>= PALLOC_LEVEL_BITS;
  }
  if (c->level > 0) return true;
  size_t level0_chunks_log = level_log_pages(0) - PALLOC_CHUNK_LOG_PAGES;
  return c->idx <= (p->end - 1) >> level0_chunks_log;
}

/* The entry under the cursor has a run that suffices: go down, or when it is a
 * chunk find the pages. */
static size_t cursor_descend(const struct pagealloc *p, struct cursor *c,
                             size_t npages) {
  size_t base = c->idx << level_log_pages(c->level);
  if (c->first_free == base) c->first_free = REL_NONE; /* to be refined */
  c->run = 0;
  if (c->level < PALLOC_LEAF) {
    c->level++;
    c->idx <<= PALLOC_LEVEL_BITS;
    return REL_NONE;
  }
  const struct pallocbits *bits = &chunk_data(p, c->idx)->alloc;
  unsigned i = pallocbits_find(bits, (unsigned)npages, 0);
  mgc_check(i != PALLOCBITS_NONE, "page summary: chunk=%zu has no %zu free",
            c->idx, npages);
  if (c->first_free == REL_NONE)
    c->first_free = base + pallocbits_find(bits, 1, 0);
  return base + i;
}

static size_t cursor_walk(const struct pagealloc *p, struct cursor *c,
                          size_t npages) {
  for (;;) {
    struct pallocsum sum = p->summary[c->level][c->idx];
    if (sum.v == 0) {
      c->run = 0;
    } else {
      struct pallocruns s = pallocsum_unpack(sum);
      size_t base = c->idx << level_log_pages(c->level);
      size_t size = (size_t)1 << level_log_pages(c->level);
      if (c->first_free == REL_NONE) c->first_free = base;
      if (c->run + s.start >= npages && c->run > 0) return base - c->run;
      if (s.max >= npages) {
        size_t rel = cursor_descend(p, c, npages);
        if (rel != REL_NONE) return rel;
        continue;
      }
      c->run = s.start == size ? c->run + size : s.end;
    }
    if (!cursor_step(p, c)) return REL_NONE;
  }
}

size_t pagetree_find(const struct pagealloc *p, size_t npages, size_t from,
                     size_t *first_free) {
  struct cursor c;
  size_t rel = find_in_first_chunk(p, npages, from, &c);
  if (rel == REL_NONE && cursor_step(p, &c)) rel = cursor_walk(p, &c, npages);
  *first_free = c.first_free;
  return rel;
}
