// SPDX-License-Identifier: MIT
/* The verifier of the page allocator: the invariants of pagealloc.c. */
#include "base/fatal.h"
#include "page/pagetree.h"

static void verify_chunk(const struct pagealloc *p, size_t ci) {
  if (!p->chunks[ci >> p->l2_bits])
    verify_fail("pagealloc I5", "chunk=%zu has no bitmaps", ci);
  const struct pallocdata *d = chunk_data(p, ci);
  struct scavchunk sc = p->scav.chunks[ci];
  struct pallocsum sum = pallocbits_summarize(&d->alloc);
  for (unsigned k = 0; k < PALLOCBITS_WORDS; k++) {
    if (d->alloc.w[k] & d->scavenged.w[k])
      verify_fail("pagealloc I2", "chunk=%zu word=%u alloc=%llx scavenged=%llx",
                  ci, k, (unsigned long long)d->alloc.w[k],
                  (unsigned long long)d->scavenged.w[k]);
  }
  if (p->summary[PALLOC_LEAF][ci].v != sum.v)
    verify_fail("pagealloc I1", "level=4 chunk=%zu summary=%llx want=%llx", ci,
                (unsigned long long)p->summary[PALLOC_LEAF][ci].v,
                (unsigned long long)sum.v);
  unsigned used = pallocbits_popcount_range(&d->alloc, 0, PALLOC_CHUNK_PAGES);
  if (sc.in_use != used)
    verify_fail("pagealloc I6", "chunk=%zu in_use=%u allocated=%u", ci,
                (unsigned)sc.in_use, used);
  struct scavrun left =
      pallocdata_scavenge_candidate(d, pagescav_min_pages(p->vm), 1, 0);
  if (left.npages > 0 && !(sc.has_free && ci < p->scav.search_force))
    verify_fail("pagealloc I7", "chunk=%zu has_free=%u search_force=%zu", ci,
                (unsigned)sc.has_free, p->scav.search_force);
}

static bool chunk_in_use(const struct pagealloc *p, size_t ci) {
  return pagealloc_manages(p, rel_addr(p, ci << PALLOC_CHUNK_LOG_PAGES));
}

/* The blocks of a level that lie over the chunks [lo, hi): each entry against
 * what is below it. */
static void verify_level(const struct pagealloc *p, unsigned l, size_t lo,
                         size_t hi) {
  unsigned shift = level_log_pages(l) - PALLOC_CHUNK_LOG_PAGES;
  size_t first = lo >> shift, last = (hi - 1) >> shift;
  for (size_t i = first; i <= last; i++) {
    struct pallocsum want =
        pallocsum_merge(&p->summary[l + 1][i << PALLOC_LEVEL_BITS],
                        PALLOC_BLOCK, level_log_pages(l + 1));
    if (p->summary[l][i].v != want.v)
      verify_fail("pagealloc I1", "level=%u entry=%zu summary=%llx want=%llx",
                  l, i, (unsigned long long)p->summary[l][i].v,
                  (unsigned long long)want.v);
  }
}

/* The chunks beside those in use whose summaries are mapped with them. */
static void verify_neighbours(const struct pagealloc *p, size_t lo, size_t hi) {
  size_t first = align_down(lo, PALLOC_BLOCK);
  size_t limit = align_up(hi, PALLOC_BLOCK);
  for (size_t ci = first; ci < limit; ci++) {
    if (ci == lo) ci = hi;
    if (ci == limit) break;
    if (p->summary[PALLOC_LEAF][ci].v != 0 && !chunk_in_use(p, ci))
      verify_fail("pagealloc I1", "chunk=%zu is not in use, summary=%llx", ci,
                  (unsigned long long)p->summary[PALLOC_LEAF][ci].v);
  }
}

static void verify_level0(const struct pagealloc *p) {
  size_t n = (size_t)1 << (p->window.log2_size - ADDRWINDOW_MIN_LOG2);
  size_t bytes = PALLOC_CHUNK_BYTES
                 << (level_log_pages(0) - PALLOC_CHUNK_LOG_PAGES);
  for (size_t i = 0; i < n; i++) {
    uintptr_t at = p->window.base + i * bytes, next;
    if (p->summary[0][i].v == 0) continue;
    if (!addrranges_find_ge(&p->in_use, at, &next) || next - at >= bytes)
      verify_fail("pagealloc I1", "level=0 entry=%zu has no chunk in use", i);
    if (p->search_addr == UINTPTR_MAX)
      verify_fail("pagealloc I3", "search_addr is at the end, entry=%zu", i);
  }
}

static void verify_search(const struct pagealloc *p) {
  if (p->search_addr == UINTPTR_MAX) return; /* verify_level0 */
  if (!pagealloc_manages(p, p->search_addr))
    verify_fail("pagealloc I3", "search_addr=0x%zx is not in use",
                (size_t)p->search_addr);
  size_t at = rel_of(p, p->search_addr), first = REL_NONE;
  size_t rel = pagetree_find(p, 1, rel_of(p, p->in_use.ranges[0].base), &first);
  if (rel < at)
    verify_fail("pagealloc I3", "search_addr=0x%zx free=0x%zx",
                (size_t)p->search_addr, (size_t)rel_addr(p, rel));
}

void pagealloc_verify(const struct pagealloc *p) {
  if (p->lock) assert_lock_held(p->lock);
  addrranges_verify(&p->in_use);
  size_t start = p->start, end = p->start;
  for (size_t r = 0; r < p->in_use.len; r++) {
    struct addrrange a = p->in_use.ranges[r];
    uintptr_t window = (uintptr_t)1 << p->window.log2_size;
    if (!is_aligned(a.base | a.limit, PALLOC_CHUNK_BYTES) ||
        a.base < p->window.base || a.limit - p->window.base > window)
      verify_fail("pagealloc I4", "base=0x%zx limit=0x%zx", (size_t)a.base,
                  (size_t)a.limit);
    size_t lo = rel_chunk(rel_of(p, a.base));
    size_t hi = rel_chunk(rel_of(p, a.limit));
    if (r == 0) start = lo;
    end = hi;
    for (size_t ci = lo; ci < hi; ci++) verify_chunk(p, ci);
    verify_neighbours(p, lo, hi);
    for (unsigned l = 0; l < PALLOC_LEAF; l++) verify_level(p, l, lo, hi);
  }
  if (p->start != start || p->end != end)
    verify_fail("pagealloc I4", "start=%zu end=%zu want %zu %zu", p->start,
                p->end, start, end);
  verify_level0(p);
  verify_search(p);
}
