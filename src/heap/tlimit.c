// SPDX-License-Identifier: MIT
/*
 * The memory limit of a malloc heap. Unlike the collected heap's, which is a goal
 * for the pacer, this one holds: an allocation that would go over it fails.
 *
 * What counts is what the kernel has given: pages in use, whether touched or not;
 * free pages with physical memory; metadata. An allocation is taken for fresh
 * memory, so near the limit free pages are given back before others are taken, by
 * steps that are not too small, since each costs system calls. When that does not
 * help, the caller's cache and what ended threads left are searched for empty
 * spans (theap_reclaim), which the callers of theap_admit do, and then ask again.
 *
 * Threads ask and take without a lock in between, so several at once may each be
 * admitted to the same last bytes: the limit is exceeded by what is being taken at
 * one moment, and no more.
 */
#include "heap/tcache_internal.h"

#define STEP_BYTES ((uint64_t)1 << 20)
/* The page map and the arenas' span tables take 16 bytes for a page of 8 KiB, and
 * the bitmaps and summaries of pages less than half a byte; both are touched as
 * the heap is. */
#define TABLES_SHIFT 9

uint64_t theap_footprint(const struct theap *th) {
  const struct heap_stats *st = &th->heap->stats;
  uint64_t heap = heap_retained_bytes(th->heap);
  return heap + (heap >> TABLES_SHIFT) + memstat_load(&st->span_meta) +
         memstat_load(&st->cache_meta) + memstat_load(&st->gc_meta) +
         memstat_load(&st->other_meta);
}

static bool fits(const struct theap *th, uint64_t bytes, uint64_t limit) {
  uint64_t used = theap_footprint(th);
  return used <= limit && bytes <= limit - used;
}

static MGC_COLD bool admit_limited(struct theap *th, uint64_t bytes,
                                   uint64_t limit) {
  if (likely(fits(th, bytes, limit))) return true;
  if (bytes > limit) return false;
  spanstash_shrink(&th->stash, th->heap, 0);
  uint64_t excess = theap_footprint(th) + bytes - limit;
  scavenge_now(th->heap, excess + STEP_BYTES);
  return fits(th, bytes, limit);
}

bool theap_admit(struct theap *th, size_t bytes) {
  uint64_t limit = atomic_u64_load_relaxed(&th->memory_limit);
  if (unlikely(atomic_u64_load_relaxed(&th->pages) >=
               atomic_u64_load_relaxed(&th->grown_at)) &&
      th->grown)
    th->grown(th);
  return likely(limit == UINT64_MAX) || admit_limited(th, bytes, limit);
}

bool theap_reclaim(struct theap *th, size_t bytes) {
  uint64_t before = atomic_u64_load_relaxed(&th->pages);
  struct tcache *t = tcache_self;
  if (t != &tcache_nobody && t->th == th) tcache_trim(t);
  theap_trim_orphans(th);
  size_t got = scavenge_now(th->heap, bytes + STEP_BYTES);
  return got > 0 || atomic_u64_load_relaxed(&th->pages) < before;
}
