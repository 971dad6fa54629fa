// SPDX-License-Identifier: MIT
/*
 * mcentral: the spans of one span class that no thread caches (Go: mcentral.go).
 * Four lock-free sets: partial and full, each swept and unswept; which of the two
 * is the swept one follows from the heap's sweepgen, so that a collection turns
 * every swept set into an unswept one by adding 2. See mcentral.c.
 */
#ifndef MGC_HEAP_MCENTRAL_H
#define MGC_HEAP_MCENTRAL_H

#include "heap/mspan.h"
#include "heap/spanset.h"

struct heap;
struct mcache;

struct MGC_CACHE_ALIGNED mcentral {
  struct spanclass spanclass; /* (c) */
  struct spanset partial[2];
  struct spanset full[2];
  /* Spans that threads took since the cycle began, and how many that turn out to
   * be empty the sweeper may still keep for them: see sweep.c. */
  struct atomic_u32 taken; /* (a) relaxed */
  struct atomic_i32 keep;  /* (a) relaxed */
};

static inline struct spanset *mcentral_partial_swept(struct mcentral *c,
                                                     uint32_t sweepgen) {
  return &c->partial[sweepgen / 2 % 2];
}
static inline struct spanset *mcentral_partial_unswept(struct mcentral *c,
                                                       uint32_t sweepgen) {
  return &c->partial[1 - sweepgen / 2 % 2];
}
static inline struct spanset *mcentral_full_swept(struct mcentral *c,
                                                  uint32_t sweepgen) {
  return &c->full[sweepgen / 2 % 2];
}
static inline struct spanset *mcentral_full_unswept(struct mcentral *c,
                                                    uint32_t sweepgen) {
  return &c->full[1 - sweepgen / 2 % 2];
}

void mcentral_init(struct mcentral *c, struct spanclass spc,
                   struct spanset_pool *pool);
/* A swept span with at least one free slot, owned by the caller (sweepgen h+3),
 * or NULL when memory is exhausted. May sweep (at most 100 spans) and grow the
 * heap. mc: the caller's cache (its page cache is used), may be NULL. */
struct mspan *mcentral_cache_span(struct heap *h, struct spanclass spc,
                                  struct mcache *mc);
/* Gives a cached span back, filed by how full it is. */
void mcentral_uncache_span(struct heap *h, struct mspan *s);
/* Files a small span that was just swept (sweepgen == h) by how full it is. */
void mcentral_file_swept(struct heap *h, struct mspan *s);
/* Slots of s, swept, were freed explicitly: if s lies in the full set, files it
 * in the partial set as well (see mcentral.c). */
void mcentral_note_free(struct heap *h, struct mspan *s);

#endif
