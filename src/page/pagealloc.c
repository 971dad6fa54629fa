// SPDX-License-Identifier: MIT
/*
 * The page allocator (Go: mpagealloc.go).
 *
 * It manages the heap's address space in pages of 8 KiB and hands out runs of
 * them, address-ordered first fit: always the lowest addresses that fit, so that
 * the heap stays dense at its bottom and its top can be given back to the OS.
 *
 * Chunks. Each 4 MiB chunk has two bitmaps of 512 bits: which pages are
 * allocated, and which free pages have no physical memory ("scavenged"). They
 * are found through a table of two levels, because the address space is sparse:
 * 2^13 blocks of 2^13 chunks (1 MiB of bitmaps) for 48 bits.
 *
 * Summaries. Over the bitmaps lies a radix tree of five levels of summaries,
 * eight bytes each: free pages at the start, in the longest run, and at the end
 * of what the entry covers (pallocsum.h). Each entry summarises eight of the
 * next level, the last level a chunk each. For the whole 48-bit address space:
 *
 *   level  an entry covers  pages  entries  bytes reserved
 *     0        16 GiB       2^21    2^14      128 KiB
 *     1         2 GiB       2^18    2^17        1 MiB
 *     2       256 MiB       2^15    2^20        8 MiB
 *     3        32 MiB       2^12    2^23       64 MiB
 *     4         4 MiB       2^9     2^26      512 MiB
 *
 * The tree is implicit: children of entry i are 8i to 8i+7 of the next level. A
 * search (pagefind.c) reads a few blocks of 64 bytes a level, whatever the size
 * of the heap; freeing or allocating recomputes entries upward until one comes
 * out unchanged.
 *
 * Windows. Where address space is limited (ulimit -v) the allocator is made for
 * a window of 2^34 to 2^48 bytes, and level 0 shrinks: 2^(log2_size - 34)
 * entries. A window of 2^34 needs 36 KiB of summaries.
 *
 * Memory of the tables. Summaries and the scavenge index are one reservation of
 * address space, mapped in units as the heap grows (region_map says which), so
 * that a failure in the middle leaves nothing to undo: a unit that is mapped
 * and all zero says "no free pages".
 *
 * search_addr is a hint that is never wrong: no page below it is free. Most
 * allocations begin and end in its chunk.
 *
 * Invariants, checked by pagealloc_verify:
 *   I1  every summary equals the one recomputed from below; entries with no
 *       chunk in use below them are zero
 *   I2  a page that is allocated has its scavenged bit 0
 *   I3  no page below search_addr is free; search_addr lies in in_use, or is
 *       UINTPTR_MAX and no page is free at all
 *   I4  in_use is a list of whole chunks inside the window, and [start, end) is
 *       its hull
 *   I5  every chunk in use has its bitmaps, and its summaries and scavenge index
 *       entry are mapped
 *   I6  the scavenge index counts the allocated pages of each chunk
 *   I7  a chunk with a physical page's worth of free pages that have physical
 *       memory is known to the forced scavenger (has_free, search_force)
 *
 * Not here: what runs are used for (heap/), when memory is given back
 * (scavpace.h, heap/), and touching the memory itself.
 */
#include "page/pagealloc.h"
#include "base/fatal.h"
#include "page/pagetree.h"
#include <errno.h>
#include <string.h>

/* From 2^40 on, units of 64 KiB keep region_map below 3 KiB; smaller windows
 * map by the physical page, since their tables are a few pages in all. */
#define BIG_UNIT_SHIFT 16
#define BIG_UNIT_WINDOW_LOG2 40

/* ---- tables ---- */

/* One table after another in the reservation, biggest first, so that each block
 * of eight entries stays in one cache line and one unit. Returns the bytes. */
static size_t lay_out(struct pagealloc *p, uintptr_t at) {
  uintptr_t off = at;
  unsigned log2 = p->window.log2_size;
  size_t nchunks = (size_t)1 << (log2 - PALLOC_CHUNK_SHIFT);
  scavindex_init(&p->scav, (struct scavchunk *)off);
  off += nchunks * sizeof(struct scavchunk);
  for (unsigned l = PALLOC_LEVELS; l-- > 0;) {
    p->summary[l] = (struct pallocsum *)off;
    off += sizeof(struct pallocsum)
           << (log2 - MGC_PAGE_SHIFT - level_log_pages(l));
  }
  p->chunks = (struct pallocdata **)off;
  off += (nchunks >> p->l2_bits) * sizeof(*p->chunks);
  return off - at;
}

static bool unit_is_mapped(const struct pagealloc *p, size_t unit) {
  return (p->region_map[unit / 64] >> (unit % 64)) & 1;
}

/* Makes units [first, last] Ready; they are not now. */
static bool map_units(struct pagealloc *p, size_t first, size_t last) {
  char *at = p->region + (first << p->unit_shift);
  size_t n = (last + 1 - first) << p->unit_shift;
  if (!p->vm->ops->map(p->vm, at, n, "page summary")) return false;
  if (!p->vm->ops->used(p->vm, at, n)) return false;
  memstat_add(p->sys, (int64_t)n);
  for (size_t u = first; u <= last; u++)
    p->region_map[u / 64] |= 1ull << (u % 64);
  return true;
}

/* Makes the bytes [from, from + n) of the region Ready, n > 0. */
static bool map_bytes(struct pagealloc *p, const void *from, size_t n) {
  size_t off = (size_t)((const char *)from - p->region);
  size_t last = (off + n - 1) >> p->unit_shift;
  for (size_t u = off >> p->unit_shift; u <= last; u++) {
    if (unit_is_mapped(p, u)) continue;
    size_t end = u;
    while (end < last && !unit_is_mapped(p, end + 1)) end++;
    if (!map_units(p, u, end)) return false;
    u = end;
  }
  return true;
}

/* Maps the summaries, by whole blocks, and scavenge index entries of the chunks
 * [lo, hi). */
static bool map_tables(struct pagealloc *p, size_t lo, size_t hi) {
  size_t n = (hi - lo) * sizeof(struct scavchunk);
  if (!map_bytes(p, &p->scav.chunks[lo], n)) return false;
  for (unsigned l = PALLOC_LEAF; l > 0; l--) {
    unsigned shift = level_log_pages(l) - PALLOC_CHUNK_LOG_PAGES;
    size_t first = align_down(lo >> shift, PALLOC_BLOCK);
    size_t limit = align_up(((hi - 1) >> shift) + 1, PALLOC_BLOCK);
    n = (limit - first) * sizeof(struct pallocsum);
    if (!map_bytes(p, &p->summary[l][first], n)) return false;
  }
  return true;
}

/* Makes the blocks of bitmaps of the chunks [lo, hi). */
static bool make_chunks(struct pagealloc *p, size_t lo, size_t hi) {
  size_t bytes = sizeof(struct pallocdata) << p->l2_bits;
  for (size_t b = lo >> p->l2_bits; b <= (hi - 1) >> p->l2_bits; b++) {
    if (p->chunks[b]) continue;
    struct pallocdata *block = vm_alloc(p->vm, bytes, "page bitmaps", p->sys);
    if (!block) return false;
    p->chunks[b] = block;
  }
  return true;
}

int pagealloc_init(struct pagealloc *p, struct vm *vm, struct persistent *meta,
                   struct memstat *sys, struct addrwindow w) {
  if (w.log2_size < ADDRWINDOW_MIN_LOG2 || w.log2_size > ADDRWINDOW_MAX_LOG2 ||
      !is_aligned(w.base, PALLOC_CHUNK_BYTES))
    return -EINVAL;
  unsigned chunk_bits = w.log2_size - PALLOC_CHUNK_SHIFT;
  unsigned unit = ctz64(vm->page_size);
  if (w.log2_size >= BIG_UNIT_WINDOW_LOG2 && unit < BIG_UNIT_SHIFT)
    unit = BIG_UNIT_SHIFT;
  *p = (struct pagealloc){
      .vm = vm,
      .sys = sys,
      .meta = meta,
      .window = w,
      .l2_bits = chunk_bits < PALLOC_L2_BITS ? chunk_bits : PALLOC_L2_BITS,
      .unit_shift = unit,
      .search_addr = UINTPTR_MAX,
  };
  addrranges_init(&p->in_use, meta, sys);
  p->region_bytes = align_up(lay_out(p, 0), (uintptr_t)1 << unit);
  size_t map_words = div_round_up(p->region_bytes >> unit, 64);
  p->region_map = persistent_alloc(meta, map_words * 8, 0, sys);
  if (!p->region_map) return -ENOMEM;
  p->region =
      vm->ops->reserve(vm, NULL, p->region_bytes, 0, "page summary reserved");
  if (!p->region) return -ENOMEM;
  size_t used = lay_out(p, (uintptr_t)p->region);
  const char *always = (const char *)p->summary[0];
  if (!map_bytes(p, always, used - (size_t)(always - p->region))) {
    vm->ops->free(vm, p->region, p->region_bytes);
    return -ENOMEM;
  }
  return 0;
}

void pagealloc_destroy(struct pagealloc *p) {
  size_t nblocks = (size_t)1
                   << (p->window.log2_size - PALLOC_CHUNK_SHIFT - p->l2_bits);
  size_t bytes = sizeof(struct pallocdata) << p->l2_bits;
  for (size_t b = 0; b < nblocks; b++) {
    if (!p->chunks[b]) continue;
    p->vm->ops->free(p->vm, p->chunks[b], bytes);
    memstat_add(p->sys, -(int64_t)bytes);
  }
  for (size_t u = 0; u < p->region_bytes >> p->unit_shift; u++)
    if (unit_is_mapped(p, u))
      memstat_add(p->sys, -((int64_t)1 << p->unit_shift));
  p->vm->ops->free(p->vm, p->region, p->region_bytes);
  *p = (struct pagealloc){.vm = NULL};
}

static void assert_locked(const struct pagealloc *p) {
  if (p->lock) assert_lock_held(p->lock);
}

/* ---- summaries ---- */

static void update_parents(struct pagealloc *p, size_t lo, size_t hi) {
  for (unsigned l = PALLOC_LEAF; l-- > 0;) {
    bool changed = false;
    lo >>= PALLOC_LEVEL_BITS;
    hi >>= PALLOC_LEVEL_BITS;
    for (size_t i = lo; i <= hi; i++) {
      struct pallocsum *below = &p->summary[l + 1][i << PALLOC_LEVEL_BITS];
      struct pallocsum sum =
          pallocsum_merge(below, PALLOC_BLOCK, level_log_pages(l + 1));
      if (p->summary[l][i].v == sum.v) continue;
      p->summary[l][i] = sum;
      changed = true;
    }
    if (!changed) return;
  }
}

void pagetree_update(struct pagealloc *p, size_t rel, size_t npages,
                     enum pagerun uniform) {
  struct pallocsum *leaves = p->summary[PALLOC_LEAF];
  size_t lo = rel_chunk(rel), hi = rel_chunk(rel + npages - 1);
  for (size_t ci = lo; ci <= hi; ci++) {
    bool whole = ci > lo && ci < hi && uniform != PAGERUN_MIXED;
    unsigned all = uniform == PAGERUN_FREE ? PALLOC_CHUNK_PAGES : 0;
    leaves[ci] = whole ? pallocsum_pack(all, all, all)
                       : pallocbits_summarize(&chunk_data(p, ci)->alloc);
  }
  update_parents(p, lo, hi);
}

void pagealloc_set_search(struct pagealloc *p, size_t rel) {
  uintptr_t at = UINTPTR_MAX;
  if (rel != REL_NONE && !addrranges_find_ge(&p->in_use, rel_addr(p, rel), &at))
    at = UINTPTR_MAX;
  p->search_addr = at;
}

/* ---- growing ---- */

bool pagealloc_grow(struct pagealloc *p, uintptr_t base, size_t size) {
  assert_locked(p);
  mgc_check(size > 0 && is_aligned(base | size, PALLOC_CHUNK_BYTES),
            "pagealloc_grow: base=0x%zx size=%zu", (size_t)base, size);
  uintptr_t window = (uintptr_t)1 << p->window.log2_size;
  uintptr_t off = base - p->window.base;
  if (base < p->window.base || off >= window || size > window - off)
    return false;
  size_t lo = off >> PALLOC_CHUNK_SHIFT;
  size_t hi = lo + (size >> PALLOC_CHUNK_SHIFT);
  if (!map_tables(p, lo, hi) || !make_chunks(p, lo, hi)) return false;
  if (!addrranges_add(&p->in_use, (struct addrrange){base, base + size}))
    return false;

  /* Nothing fails from here on. */
  for (size_t ci = lo; ci < hi; ci++)
    memset(&chunk_data(p, ci)->scavenged, 0xff, sizeof(struct pallocbits));
  if (p->start == p->end) {
    p->start = lo;
    p->end = hi;
  }
  if (lo < p->start) p->start = lo;
  if (hi > p->end) p->end = hi;
  if (base < p->search_addr) p->search_addr = base;
  pagetree_update(p, lo << PALLOC_CHUNK_LOG_PAGES, size >> MGC_PAGE_SHIFT,
                  PAGERUN_FREE);
  return true;
}

bool pagealloc_manages(const struct pagealloc *p, uintptr_t addr) {
  if (addr == UINTPTR_MAX) return false;
  return addrranges_contains(&p->in_use, (struct addrrange){addr, addr + 1});
}

/* ---- allocating ---- */

size_t pagealloc_take(struct pagealloc *p, size_t rel, size_t npages) {
  size_t scav = 0;
  size_t at = rel, left = npages;
  while (left > 0) {
    struct chunkpart c = first_part(at, left);
    struct pallocdata *d = chunk_data(p, c.ci);
    scav += pallocdata_alloc_range(d, c.page, c.npages);
    scavindex_alloc(&p->scav, (struct chunkidx){c.ci}, c.npages);
    at += c.npages;
    left -= c.npages;
  }
  pagetree_update(p, rel, npages, PAGERUN_ALLOCATED);
  return scav;
}

/* Takes the run and moves search_addr up to first_free, a lower bound of what
 * was free before, or past the run when it began there. */
static uintptr_t take_and_move(struct pagealloc *p, size_t rel, size_t npages,
                               size_t first_free, uintptr_t *scav_bytes) {
  *scav_bytes = (uintptr_t)pagealloc_take(p, rel, npages) << MGC_PAGE_SHIFT;
  size_t next = first_free == rel ? rel + npages : first_free;
  if (rel_chunk(next) == rel_chunk(rel)) /* in use without a look */
    p->search_addr = rel_addr(p, next);
  else
    pagealloc_set_search(p, next);
  return rel_addr(p, rel);
}

uintptr_t pagealloc_alloc_with_room(struct pagealloc *p, size_t npages,
                                    size_t room, uintptr_t *scav_bytes) {
  assert_locked(p);
  mgc_check(npages > 0, "pagealloc_alloc: no pages");
  *scav_bytes = 0;
  if (p->search_addr == UINTPTR_MAX) return 0;
  size_t first_free;
  size_t from = rel_of(p, p->search_addr);
  size_t rel = pagetree_find(p, npages + room, from, &first_free);
  if (rel == REL_NONE) {
    pagealloc_set_search(p, first_free);
    return 0;
  }
  return take_and_move(p, rel, npages, first_free, scav_bytes);
}

uintptr_t pagealloc_alloc(struct pagealloc *p, size_t npages,
                          uintptr_t *scav_bytes) {
  return pagealloc_alloc_with_room(p, npages, 0, scav_bytes);
}

/* The first page of [rel, rel + npages) that is allocated or not managed, or
 * REL_NONE. rel is in use. */
static size_t first_taken(const struct pagealloc *p, size_t rel,
                          size_t npages) {
  size_t r = addrranges_find_succ(&p->in_use, rel_addr(p, rel)) - 1;
  size_t limit = rel_of(p, p->in_use.ranges[r].limit);
  size_t left = npages < limit - rel ? npages : limit - rel;
  size_t at = rel;
  while (left > 0) {
    struct chunkpart c = first_part(at, left);
    unsigned end = c.page + c.npages;
    if (pallocsum_max(p->summary[PALLOC_LEAF][c.ci]) < PALLOC_CHUNK_PAGES) {
      const struct pallocbits *bits = &chunk_data(p, c.ci)->alloc;
      unsigned i = pallocbits_next_set(bits, c.page, end);
      if (i < end) return at + (i - c.page);
    }
    at += c.npages;
    left -= c.npages;
  }
  return npages > limit - rel ? limit : REL_NONE;
}

uintptr_t pagealloc_alloc_aligned(struct pagealloc *p, size_t npages,
                                  size_t align_pages, uintptr_t *scav_bytes) {
  assert_locked(p);
  mgc_check(npages > 0 && is_pow2(align_pages),
            "pagealloc_alloc_aligned: npages=%zu align_pages=%zu", npages,
            align_pages);
  *scav_bytes = 0;
  if (p->search_addr == UINTPTR_MAX) return 0;
  size_t base_page = pageno_of(p->window.base).v;
  size_t from = rel_of(p, p->search_addr), first_free = REL_NONE;
  for (;;) {
    size_t bound;
    size_t rel = pagetree_find(p, npages, from, &bound);
    if (rel == REL_NONE) return 0;
    if (first_free == REL_NONE) first_free = bound; /* of the first search */
    size_t at = align_up(base_page + rel, align_pages) - base_page;
    size_t skip = at - rel;
    /* A run that begins before the first page that is taken cannot fit. */
    size_t taken = skip ? first_taken(p, rel, skip + npages) : REL_NONE;
    if (taken == REL_NONE)
      return take_and_move(p, at, npages, first_free, scav_bytes);
    uintptr_t next;
    if (!addrranges_find_ge(&p->in_use, rel_addr(p, taken), &next)) return 0;
    from = rel_of(p, next);
  }
}

bool pagealloc_is_free(const struct pagealloc *p, uintptr_t base,
                       size_t npages) {
  assert_locked(p);
  return first_taken(p, rel_of(p, base), npages) == REL_NONE;
}

bool pagealloc_try_extend(struct pagealloc *p, uintptr_t base, size_t npages,
                          size_t more, uintptr_t *scav_bytes) {
  assert_locked(p);
  *scav_bytes = 0;
  size_t rel = rel_of(p, base) + npages;
  if (more == 0) return true;
  if (!pagealloc_manages(p, rel_addr(p, rel))) return false;
  if (first_taken(p, rel, more) != REL_NONE) return false;
  take_and_move(p, rel, more, rel_of(p, p->search_addr), scav_bytes);
  return true;
}

/* ---- freeing ---- */

void pagealloc_free(struct pagealloc *p, uintptr_t base, size_t npages) {
  assert_locked(p);
  size_t rel = rel_of(p, base);
  size_t at = rel, left = npages;
  mgc_check(npages > 0 && rel_chunk(rel) >= p->start &&
                rel_chunk(rel + npages - 1) < p->end,
            "pagealloc_free: base=0x%zx npages=%zu", (size_t)base, npages);
  while (left > 0) {
    struct chunkpart c = first_part(at, left);
    struct pallocdata *d = chunk_data(p, c.ci);
    mgc_check(pallocbits_popcount_range(&d->alloc, c.page, c.npages) ==
                  c.npages,
              "pagealloc_free: base=0x%zx npages=%zu: pages are free already",
              (size_t)base, npages);
    pallocdata_free_range(d, c.page, c.npages);
    scavindex_free(&p->scav, (struct chunkidx){c.ci}, c.npages);
    at += c.npages;
    left -= c.npages;
  }
  if (base < p->search_addr) p->search_addr = base;
  pagetree_update(p, rel, npages, PAGERUN_FREE);
}
