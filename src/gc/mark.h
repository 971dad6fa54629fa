// SPDX-License-Identifier: MIT
/* Marking: from edges to marked objects. See mark.c. */
#ifndef MGC_GC_MARK_H
#define MGC_GC_MARK_H

#include "gc/work.h"

/* Bytes of a large object that are scanned before its children are looked at. */
#define MARK_PIECE_BYTES ((size_t)16 << 10)

/* Sets up m, once. False: no memory. */
MGC_MUST_CHECK bool mark_init(struct marking *m, struct heap *h,
                              struct roots *roots, struct world *world);
/* Before a cycle's marking, in a stopped world: filter, counters. nmarkers is
 * how many markers will take part. */
void mark_prepare(struct marking *m, unsigned nmarkers);
/* Follows everything k can get hold of, its own edges and shared ones. */
void mark_drain(struct marker *k);
/* Marks from the words of [lo, hi). Drains. */
void mark_words(struct marker *k, uintptr_t lo, uintptr_t hi);
/* What all markers found alive. Stopped world, after marking. */
void mark_sum(const struct marking *m, uint64_t *bytes, uint64_t *objects);
/* While edges were forgotten: scans all marked objects and roots again. One
 * marker, no helpers. */
void mark_again(struct marker *k);

/* worker.c: marks from all roots, with the helpers that exist; returns when
 * everything reachable is marked. Stopped world. */
void mark_run(struct marking *m);
/* Makes helper threads until there are n, as far as the system allows. The
 * caller holds no lock. */
void mark_make_helpers(struct marking *m, unsigned n);
/* In the child of fork: no helper is left. */
void mark_after_fork(struct marking *m);

#endif
