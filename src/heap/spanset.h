// SPDX-License-Identifier: MIT
/*
 * spanSet: a lock-free bag of spans (Go: mspanset.go). See spanset.c.
 */
#ifndef MGC_HEAP_SPANSET_H
#define MGC_HEAP_SPANSET_H

#include "base/atomic.h"
#include "base/lfstack.h"
#include "base/lock.h"
#include "base/persistent.h"

#define SPANSET_BLOCK_ENTRIES 512
#define SPANSET_INIT_SPINE 256
/* Numbers only grow between resets, so a program that never collects comes to
 * this many pushes (a 4 MiB spine); the number itself has 32 bits. */
#define SPANSET_MAX_PUSHES ((uintptr_t)1 << 28)

struct mspan;

/* Where blocks come from and return to; shared by all sets of a heap. */
struct spanset_pool {
  struct lfstack stack;
  struct persistent *meta; /* (c) */
  struct memstat *stat;    /* (c) */
};

struct spanset {
  struct mutex spine_lock;      /* rank spanset: growing the spine */
  struct atomic_ptr spine;      /* (a) array of atomic_ptr to blocks */
  struct atomic_uptr spine_len; /* (a) published with release */
  uintptr_t spine_cap;          /* guarded by spine_lock */
  struct atomic_u64 index;      /* (a) head << 32 | tail */
  struct spanset_pool *pool;    /* (c) */
};

void spanset_init(struct spanset *b, struct spanset_pool *pool);
/* Sees to it that the next blocks, as far as there is memory, are in memory that was
 * touched before: for somebody who is about to push in a pause. Any thread. */
void spanset_pool_warm(struct spanset_pool *pool);
/* Adds s. Any thread. Returns false when metadata memory is exhausted or the
 * set's numbers are, the set unchanged. */
bool spanset_push(struct spanset *b, struct mspan *s);
/* Takes some span, or NULL when the set is empty or the next span's push is not
 * finished yet. Any thread. */
struct mspan *spanset_pop(struct spanset *b);
/* Number of spans, exact when nobody else is pushing or popping. */
size_t spanset_len(const struct spanset *b);
/* Empties the bookkeeping of an empty set; no concurrent use. Needed once in
 * less than 2^32 pushes. */
void spanset_reset(struct spanset *b);
/* Visits every span in the set; no concurrent use. For verifiers. */
void spanset_visit(struct spanset *b, void (*visit)(struct mspan *s, void *arg),
                   void *arg);

#endif
