// SPDX-License-Identifier: MIT
/*
 * mcache: a thread's own cache: for each span class a span and the current run
 * in it, the tiny block, pages, and counters (Go: mcache.go, with runs in place
 * of nextFree bits: design D11). Owned by one thread; touched by others only in a
 * stopped world. See mcache.c.
 *
 * Lock key: (o) owning thread, or anyone in a stopped world
 */
#ifndef MGC_HEAP_MCACHE_H
#define MGC_HEAP_MCACHE_H

#include "heap/mspan.h"
#include "page/pagecache.h"
#include <mallocgc/run.h>

struct heap;

/* Explicitly freed slots that this thread takes first (design D7). The slots'
 * alloc bits are clear: an entry is a hint, claimed with mspan_claim_slot. */
#define MCACHE_REUSE_MAX 64
struct mcache_reuse {
  uint32_t n;
  uintptr_t slot[MCACHE_REUSE_MAX];
};

struct mcache_counts {
  uint64_t nalloc[NUM_SIZE_CLASSES]; /* slots handed to runs, by size class */
  uint64_t nfree[NUM_SIZE_CLASSES];  /* slots freed explicitly */
  uint64_t large_alloc_bytes, large_nalloc;
  uint64_t large_free_bytes, large_nfree;
  uint64_t tiny_allocs; /* allocations combined into an existing block */
};

struct mcache {
  struct mgc_cache pub;                 /* must be first: mgc_tls points here */
  struct mspan *span[NUM_SPAN_CLASSES]; /* (o) NULL: none cached */
  /* Tiny allocator: the current 16-byte block. Its fast path is interruptible,
   * so these are relaxed atomics. */
  struct atomic_uptr tiny;                      /* (o) block, or 0 */
  struct atomic_uptr tinyoffset;                /* (o) first free byte in it */
  struct pagecache pages;                       /* (o) */
  struct mcache_counts counts;                  /* (o) */
  struct mcache_reuse *reuse[NUM_SPAN_CLASSES]; /* (o) on demand */
  /* (o) Objects that were freed explicitly while marking ran, on demand. */
  struct mcache_reuse *later;
  struct list stock[MSPAN_BITS_CLASSES]; /* (o) dead mspans, for mheap_alloc */
  int64_t live_debt;                     /* (o) heap_live bytes not yet added */
  /* (o) Bytes that this thread has added to heap_live, without live_debt. */
  int64_t allocated;
  /* (o) Bits of the classes that have a span, a run or a reuse list with something in
   * it: a flush in a pause looks at no others. */
  uint64_t in_use[(NUM_SPAN_CLASSES + 63) / 64];
  struct heap *heap; /* (c) */
};

/* A new cache with no spans, or NULL when metadata is exhausted. Any thread. */
struct mcache *mcache_new(struct heap *h);
/* Flushes c and gives it back. The owner, or a stopped world. */
void mcache_delete(struct heap *h, struct mcache *c);

/* Makes c->pub.run[spc] a run with at least one free slot and returns the span;
 * NULL when memory is exhausted. The run's type is set to `type` (a descriptor
 * for scan classes: slots' bitmap bits are written and slots zeroed; for noscan
 * classes mgc_run_zeroed or mgc_run_raw). Adds the run to heap_live (the caller
 * tests the trigger). Owner, inside the allocator. */
struct mspan *mcache_refill(struct heap *h, struct mcache *c,
                            struct spanclass spc, const struct mgc_type *type);
/* Remembers slot, of in-use span s, whose alloc bit the caller has just cleared,
 * so that this thread takes it again first. False when the list is full or
 * there is no memory for one. Owner, inside the allocator. */
bool mcache_push_reuse(struct heap *h, struct mcache *c, struct mspan *s,
                       uintptr_t slot);
/* Frees slot i of small span s explicitly: sweeps s if need be, clears the alloc
 * bit, counts, takes it off heap_live, and sees to it that the slot is found
 * again (the reuse list, or else s is filed as partial). Returns false, and does
 * nothing, when the slot is free already. Owner, inside the allocator. */
bool mcache_free_slot(struct heap *h, struct mcache *c, struct mspan *s,
                      unsigned i);
/* Remembers the object at slot i of s, to be freed when marking is over, and marks it,
 * so that this cycle leaves it alone. When there is no room the collector finds it.
 * Owner, inside the allocator, while marking. */
void mcache_free_later(struct heap *h, struct mcache *c, struct mspan *s,
                       unsigned i);
/* Forgets those: they are the collector's. Owner, or a stopped world. */
void mcache_forget_later(struct mcache *c);
/* Adds live_debt to heap_live now. Owner, or a stopped world. */
void mcache_settle_live(struct heap *h, struct mcache *c);
/* Gives up the run, tiny block, cached spans, reuse lists: afterwards alloc bits
 * say exactly which slots are objects. Owner inside the allocator, or stopped
 * world (collection start). */
void mcache_flush(struct heap *h, struct mcache *c);
/* As flush, and gives the page cache back too (thread exit, statistics). */
void mcache_release_all(struct heap *h, struct mcache *c);
/* Fatal when a run lies outside its span, or a cached span's sweepgen is not
 * h+3 (mspan I5). Owner or stopped world. */
void mcache_verify(struct heap *h, const struct mcache *c);

#endif
