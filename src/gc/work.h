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
  uint32_t budget;       /* (m) edges to take before looking at idle markers */
  unsigned index;        /* (c) */
  uint64_t large_bytes;  /* (m) of large objects found alive */
  /* What the loop needs of a span class, together. */
  struct marker_class {
    uint64_t found; /* (m) objects found alive */
    /* (c) Low bits for the words of a slot whose mask can be had with one load;
     * 0: larger slots, and noscan ones. */
    uint64_t slot_words;
  } class[NUM_SPAN_CLASSES];
};

#define GC_MAX_MARKERS 64

struct marking {
  /* The filter, and what look-ups need. */
  uintptr_t lo, extent; /* (c) all of the heap lies in [lo, lo + extent) */
  struct heap *h;       /* (c) */
  struct roots *roots;  /* (c) */
  bool shared;          /* (c) more than one marker in this cycle */
  unsigned nmarkers;    /* (c) that take part, at most */

  MGC_CACHE_ALIGNED struct lfstack full;
  MGC_CACHE_ALIGNED struct lfstack empty;
  MGC_CACHE_ALIGNED struct atomic_u32 active; /* (a) markers that may push */
  struct atomic_u32 next_root;                /* (a) shard to take next */
  struct atomic_u32 idlers;                   /* (a) markers that sleep */
  struct atomic_u32 wake;                     /* (a) futex of the idlers */
  struct atomic_u32 done;                     /* (a) no work is left anywhere */
  struct atomic_u32 overflow;                 /* (a) edges were forgotten */

  /* Helpers, worker.c. */
  MGC_CACHE_ALIGNED struct atomic_u32 start; /* (a) futex: cycles begun */
  struct atomic_u32 open;                    /* (a) helpers may join */
  struct atomic_u32 participants;            /* (a) futex: helpers at work */
  struct atomic_u32 nhelpers;                /* (a) helper threads that exist */
  struct atomic_u32 creating; /* (a) somebody is making helpers */
  struct world *world;        /* (c) */

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
/* Gives half of what k has to the others, if there is enough. */
void work_share(struct marker *k);
/* Wakes n sleeping markers, if there are any. */
void work_wake(struct marking *m, int n);

#endif
