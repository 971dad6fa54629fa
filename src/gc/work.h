// SPDX-License-Identifier: MIT
/*
 * Mark work: edges that are still to be followed (Go: mgcwork.go).
 *
 * An edge is a word that was found in a root or an object and lies between the
 * heap's lowest and highest address; nothing else about it has been checked. It
 * may point into an object, and the same edge may be there many times. (Pushing
 * edges instead of marked objects makes discovery free of branches: the store is
 * always done, and the index grows by the outcome of one comparison.) An edge
 * with WORK_PIECE_TAG is not a word of the program but the rest of a large
 * object: scan from there.
 *
 * Edges are kept in buffers of 2 KiB. Each marker has two, so that work near the
 * boundary of one does not go back and forth to the shared lists; full ones go to
 * the list `full`, where other markers find them, empty ones to `empty`.
 *
 * When there is no memory for another buffer, the marker forgets what it holds
 * and sets `overflow`. Marking then ends early, and all marked objects and roots
 * are scanned again, a piece at a time, until nothing is forgotten (mark.c).
 *
 *   I1  a buffer is in one list, or one marker's, or none when memory ran out
 *   I2  cur->n is stale while a marker runs: k->n counts
 *   I3  between two edges that it takes, a marker has room for WORK_ROOM more
 */
#ifndef MGC_GC_WORK_H
#define MGC_GC_WORK_H

#include "base/lfstack.h"
#include "base/persistent.h"
#include "gc/spanq.h"
#include "heap/heap.h"

struct roots;
struct marking;
struct world;

#define WORKBUF_BYTES 2048
#define WORKBUF_ENTRIES 253
#define WORK_ROOM 64
#define WORKBUF_STEP ((size_t)32 << 10) /* taken from metadata at once */
#define WORK_PIECE_TAG ((uintptr_t)1 << 63)

struct workbuf {
  struct lfnode node;
  size_t n;
  uintptr_t edge[WORKBUF_ENTRIES];
};
_Static_assert(sizeof(struct workbuf) == WORKBUF_BYTES, "see WORKBUF_ENTRIES");

/* Lock key of this file: (m) the marker's own thread, or the collector while no
 * marker runs; (a) atomic; (c) const while marking. */
struct MGC_CACHE_ALIGNED marker {
  struct marking *m;     /* (c) */
  struct workbuf *cur;   /* (m) the buffer that edges are pushed to */
  struct workbuf *spare; /* (m) full, or empty */
  size_t n;              /* (m) edges in cur */
  uint32_t budget;       /* (m) edges to take before looking around */
  int32_t quota;   /* (m) steps of that until it leaves; 0: none, to the end */
  uint32_t untold; /* (m) steps until its work is told */
  bool leaves;     /* (m) it is asked to give back what it has */
  bool assists;    /* (m) for a thread of the program, which may have to stop */
  unsigned index;  /* (c) */
  uint32_t cycle;  /* (m) the last one that it took part in */
  struct marker_spans *spans; /* (c) NULL: marks object at a time */
  uint64_t large_bytes;       /* (m) of large objects found alive */
  uint64_t piece_bytes;       /* (m) of large objects, scanned */
  uint64_t told; /* (m) bytes scanned that are in marking.work already */
  /* What the loop needs of a span class, together. */
  struct marker_class {
    uint64_t found; /* (m) objects found alive */
    /* (c) Low bits for the words of a slot whose mask can be had with one load;
     * 0: larger slots, and noscan ones. */
    uint64_t slot_words;
    /* (c) Its objects are marked by the span, with this; NULL: one by one. */
    const struct spanscan_class *scan;
    uint32_t
        inside; /* (m) 8 times what a visit finds in its span, on average */
  } class[NUM_SPAN_CLASSES];
};

/* What markers that work beside the program are told and asked; each call is made by
 * the marker's own thread. pace.c. */
struct mark_ops {
  /* Whether a helper may take part now; if so, quit is called when it does no more. */
  bool (*join)(void *arg, struct marker *k);
  void (*quit)(void *arg, struct marker *k);
  /* k begins to work; has worked: true when it is to give back what it has and rest;
   * and ends. In between it may not wait. */
  void (*begin)(void *arg, struct marker *k);
  bool (*tick)(void *arg, struct marker *k);
  void (*end)(void *arg, struct marker *k);
  /* Waits. False: k is to quit. */
  bool (*rest)(void *arg, struct marker *k);
};

#define GC_MAX_MARKERS 64
/* Of these, the last ones serve threads of the program that help. */
#define GC_MAX_ASSISTANTS 16
#define GC_MAX_HELPERS (GC_MAX_MARKERS - 1 - GC_MAX_ASSISTANTS)

struct marking {
  /* The filter, and what look-ups need. */
  uintptr_t lo, extent; /* (c) all of the heap lies in [lo, lo + extent) */
  struct heap *h;       /* (c) */
  struct roots *roots;  /* (c) */
  bool shared;       /* (c) more than one marker, or the program runs beside */
  unsigned nmarkers; /* (c) that take part, at most, beside assistants */
  uint32_t cycle;    /* (c) number of this cycle */

  MGC_CACHE_ALIGNED struct lfstack full;
  MGC_CACHE_ALIGNED struct lfstack empty;
  MGC_CACHE_ALIGNED struct atomic_u32 active; /* (a) markers that may push */
  struct atomic_u32 next_root;                /* (a) shard to take next */
  struct atomic_u32 idlers;                   /* (a) markers that sleep */
  struct atomic_u32 wake;                     /* (a) futex of the idlers */
  struct atomic_u32 done;                     /* (a) no work is left anywhere */
  struct atomic_u32 overflow;                 /* (a) edges were forgotten */
  struct atomic_u64 work; /* (a) bytes of objects scanned in this cycle */
  /* Markers that work beside the program are asked to pause: worker.c. */
  MGC_CACHE_ALIGNED struct atomic_u32 pause; /* (a) futex */
  struct atomic_u32 running;                 /* (a) markers at work; futex */
  struct atomic_u64 assistants;              /* (a) bits of those in use */
  struct atomic_u64
      made; /* (a) bits of the markers that have buffers: the memory of
                             others is not to be touched in a pause */
  struct atomic_u32
      wanted; /* (a) a thread that wants to help has found nothing */

  const struct mark_ops *ops; /* (c) NULL: nothing is beside */
  void *ops_arg;              /* (c) */

  /* Helpers, worker.c. */
  MGC_CACHE_ALIGNED struct atomic_u32 start; /* (a) futex: cycles begun */
  struct atomic_u32 open;                    /* (a) helpers may join */
  struct atomic_u32 participants;            /* (a) futex: helpers at work */
  struct atomic_u32 nhelpers;                /* (a) helper threads that exist */
  struct atomic_u32 creating; /* (a) somebody is making helpers */
  struct world *world;        /* (c) */

  struct spanq_pool spans; /* what they share of queued spans: markspan.c */
  const struct spanscan_kernel *kernel; /* (c) NULL: object at a time */
  struct spanscan_class *scan_class;    /* (c) by size class */

  struct persistent *meta;    /* (c) */
  struct memstat *stat;       /* (c) */
  struct atomic_u32 nbufs;    /* (a) buffers that exist */
  struct atomic_u32 max_bufs; /* (a) tests: no more buffers than this */
  uint64_t passes; /* overflow passes, ever; written by the collector */
  struct marker marker[GC_MAX_MARKERS];
};

/* Gives marker k its two buffers. False: no memory. */
MGC_MUST_CHECK bool work_init_marker(struct marking *m, unsigned index);

/* Makes room for WORK_ROOM more edges in k->cur (I3). */
void work_make_room(struct marker *k);
/* Gets k some edges when it has none: from its spare buffer, or the shared list.
 * False: there are none. */
bool work_refill(struct marker *k);
/* Gives n edges (at most WORKBUF_ENTRIES) of somebody who is no marker to the markers.
 * False: no memory. Any thread, inside the allocator. */
MGC_MUST_CHECK bool work_add_edges(struct marking *m, const uintptr_t *edge,
                                   size_t n);
/* Gives all that k has to the others; without memory it is forgotten (overflow). */
void work_release(struct marker *k);
/* In a process that has only this thread left: forgets all edges. */
void work_reset(struct marking *m);
/* Gives half of what k has to the others, if there is enough. */
void work_share(struct marker *k);
/* Wakes n sleeping markers, if there are any. */
void work_wake(struct marking *m, int n);

#endif
