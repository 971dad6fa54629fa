// SPDX-License-Identifier: MIT
/*
 * Scavenging: how much memory to give back to the OS (Go: mgcscavenge.go). Which
 * pages, and in what order, is the page allocator's (pagescav.c); when and how
 * fast, the background thread's above. This file feeds the goals of
 * page/scavpace.c with the heap's figures.
 *
 *   percent goal   The heap in use at the end of the last mark, scaled by how
 *                  the heap goal changes, plus a tenth: what the heap will need
 *                  before the next collection, and some for fragmentation.
 *                  Retained memory (mapped and not given back) above it may go.
 *   limit goal     95 % of the memory limit: giving back starts before the limit
 *                  makes the collector work harder.
 *
 * A goal that is reached already, or missed by less than a physical page, is
 * UINT64_MAX: none.
 */
#include "heap/mheap_internal.h"
#include "page/scavpace.h"

/* Arena and page tables are mostly untouched mappings; what is used of them is about
 * 1/64 of the heap (the bitmap). */
uint64_t heap_mapped_bytes(const struct heap *h) {
  const struct heap_stats *st = &h->stats;
  uint64_t heap = heap_retained_bytes(h);
  return heap + heap / 64 + memstat_load(&st->span_meta) +
         memstat_load(&st->cache_meta) + memstat_load(&st->gc_meta) +
         memstat_load(&st->other_meta);
}

void scavenger_pace(struct heap *h, uint64_t heap_goal, uint64_t last_heap_goal,
                    int64_t memory_limit) {
  atomic_u64_store_relaxed(
      &h->scav_limit_goal,
      scavenge_limit_goal(memory_limit, heap_mapped_bytes(h)));
  atomic_u64_store_relaxed(
      &h->scav_percent_goal,
      scavenge_gc_goal(h->last_heap_inuse, heap_goal, last_heap_goal,
                       heap_retained_bytes(h), h->vm->page_size));
  scavenger_next_gen(h);
}

void scavenger_next_gen(struct heap *h) {
  mutex_lock(&h->lock);
  pagealloc_scavenge_next_gen(&h->pages);
  mutex_unlock(&h->lock);
}

uint64_t scavenge_excess(struct heap *h) {
  uint64_t percent = atomic_u64_load_relaxed(&h->scav_percent_goal);
  uint64_t limit = atomic_u64_load_relaxed(&h->scav_limit_goal);
  uint64_t retained = heap_retained_bytes(h), mapped = heap_mapped_bytes(h);
  uint64_t excess = retained > percent ? retained - percent : 0;
  if (mapped > limit && mapped - limit > excess) excess = mapped - limit;
  return excess;
}

/* Called with the heap lock held as pages go. */
static void note_released(void *arg, size_t bytes) {
  struct heap *h = arg;
  memstat_add(&h->stats.heap_released, (int64_t)bytes);
  atomic_u64_fetch_add_relaxed(&h->stats.scavenged_total, bytes);
}

static size_t scavenge(struct heap *h, size_t nbytes, bool force) {
  struct scavenge_policy policy = {
      .force = force, .arg = h, .released = note_released};
  mutex_lock(&h->lock);
  size_t n = pagealloc_scavenge(&h->pages, nbytes, &policy);
  mutex_unlock(&h->lock);
  return n;
}

size_t scavenge_now(struct heap *h, size_t nbytes) {
  return scavenge(h, nbytes, true);
}

size_t scavenge_background(struct heap *h, size_t nbytes) {
  return scavenge(h, nbytes, false);
}
