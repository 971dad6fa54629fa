// SPDX-License-Identifier: MIT
/* Adding up what a heap and its caches have counted. */
#ifndef MGC_ALLOC_STATS_H
#define MGC_ALLOC_STATS_H

#include "heap/heap.h"
#include "heap/mcache.h"
#include <mallocgc/stats.h>

/**
 * Fills the heap's share of *out: everything but the collector's fields (next_gc
 * to enable_gc, heap_marked) and threads.
 *
 * Units:   bytes and counts.
 * Errors:  none.
 * Threads: in a stopped world; then stats_add_cache for each attached thread's
 *          cache, then stats_finish.
 */
void stats_begin(struct heap *h, struct mgc_memstats *out);
/* Adds a cache's counters. The slots of its runs that have not been handed out
 * are taken off. Stopped world. */
void stats_add_cache(const struct heap *h, const struct mcache *c,
                     struct mgc_memstats *out);
/* Derives the sums. */
void stats_finish(const struct heap *h, struct mgc_memstats *out);

#endif
