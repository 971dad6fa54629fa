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
/* Makes k ready for this cycle, its counts 0. */
void mark_reset_marker(struct marking *m, struct marker *k);
/* Follows everything k can get hold of, its own edges and shared ones. */
void mark_drain(struct marker *k);
/* Whether k, which was to leave early, has left something, or others have given some that
 * nobody has taken. */
bool mark_has_work(const struct marker *k);
/* Marks from the words of [lo, hi). Drains. */
void mark_words(struct marker *k, uintptr_t lo, uintptr_t hi);
/* Makes edges of the words of [lo, hi), without following any. */
void mark_push(struct marker *k, uintptr_t lo, uintptr_t hi);
/* Makes edges of the words in [lo, hi) that belong to marked objects: the program may have
 * stored there. Returns: how many of the processor's pages were worth a look. */
size_t mark_rescan(struct marker *k, uintptr_t lo, uintptr_t hi);
/* Whether p points into an object without a mark. Any thread, while marking. */
bool mark_is_missing(const struct marking *m, uintptr_t p);
/* Marks the object that p points into, when there is no memory for an edge. Any thread,
 * inside the allocator. */
void mark_at_once(struct marking *m, uintptr_t p);
/* What all markers found alive. Stopped world, after marking. */
void mark_sum(const struct marking *m, uint64_t *bytes, uint64_t *objects);
/* While edges were forgotten: scans all marked objects and roots again. One
 * marker, no helpers. */
void mark_again(struct marker *k);

/* Adds what k has scanned since to m->work. Returns: the bytes. k's own thread. */
uint64_t mark_tell_work(struct marker *k);

/* worker.c: follows all edges that there are, with the helpers that exist, while the
 * program runs; returns when none are left. The collector's own thread. ops NULL: all
 * helpers take part to the end. */
void mark_beside(struct marking *m, const struct mark_ops *ops, void *arg);
/* Asks the helpers that do not take part whether they may join. Any thread. */
void mark_call_helpers(struct marking *m);
/* Marks from all roots, with the helpers that exist; returns when
 * everything reachable is marked. Stopped world. */
void mark_run(struct marking *m);
/* Keeps markers off the heap, those that work beside the program: waits until they
 * stand, and lets them go on. Nests not. The caller has stopped the world. */
void mark_pause(struct marking *m);
void mark_resume(struct marking *m);
/* For a marker: waits while there is a pause. */
void mark_stand_by(struct marking *m);
/* Around what the collector's thread does to the heap as a marker. */
void mark_begin_work(struct marking *m);
void mark_end_work(struct marking *m);
/* Follows at most `steps` times 128 edges, as one more marker while others work, and says
 * how many bytes were scanned. False: there was nothing to do, or no marker to be had. A
 * thread of the program, inside the allocator. */
bool mark_assist(struct marking *m, int32_t steps, uint64_t *bytes);
/* Makes helper threads until there are n, as far as the system allows. The
 * caller holds no lock. */
void mark_make_helpers(struct marking *m, unsigned n);
/* In the child of fork: no helper is left. */
void mark_after_fork(struct marking *m);

#endif
