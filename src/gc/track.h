// SPDX-License-Identifier: MIT
/* Which objects a program has written since they were scanned: see track.c. */
#ifndef MGC_GC_TRACK_H
#define MGC_GC_TRACK_H

#include "gc/mark.h"
#include "os/wptrack.h"

/* Regions that each of the two who look for written pages in the last pause may find. */
#define TRACK_FOUND 2048

/* Regions that are armed before they are scanned. */
#define TRACK_GATHERED 4096

struct track_region {
  uintptr_t lo, hi;
};

/* What a scan in the last pause found. */
struct track_list {
  uint32_t n;
  bool failed; /* it found too much */
  struct track_region found[TRACK_FOUND];
};

/* The second one: a thread that looks at every other arena. */
struct track_mate {
  struct wptrack w;        /* the same descriptors, and a vector of its own */
  struct atomic_u32 asked; /* (a) futex: pauses it was asked in */
  struct atomic_u32 done;  /* (a) futex: those it has done its part of */
  struct atomic_u32 there; /* (a) the thread exists; futex */
  struct track_list list;  /* written between asked and done */
};

/* Lock key: (t) the collector's thread, or a stopped world */
struct track {
  struct wptrack w; /* (t) */
  bool lost; /* (t) pages may have been written unseen: only a stop helps */
  int err;   /* (t) why */
  struct heap *h;   /* (c) */
  struct marker *k; /* (t) who scans what was written */
  size_t
      unfollowed; /* (t) pages scanned whose edges are still to be followed */
  size_t pages;   /* (t) of the processor's, written, of spans with pointers */
  /* (c) Called now and then while pages are cleaned; NULL: not. */
  void (*tick)(void *arg);
  void *tick_arg;
  /* (t) A round: where it is, and what was armed and is to be scanned. */
  size_t arena;
  uintptr_t at; /* in that arena, or below it */
  uint32_t ngathered;
  struct track_region gathered[TRACK_GATHERED];
  struct track_list list;
  struct track_mate mate;
  void (*add)(void *arg); /* (t) announces the calling thread */
  void *add_arg;
};

/* Opens the kernel's tracking. Errors: -errno, t->w.reason. */
MGC_MUST_CHECK int track_open(struct track *t, struct heap *h,
                              const struct wptrack_sys *sys);
/* Nothing of the heap counts as written from now on; new arenas are taken in. Beside
 * the program. False: it cannot be told (t->err). */
MGC_MUST_CHECK bool track_arm(struct track *t);
/* After a cycle: first writes to pages cost nothing until the next, unless *stop becomes
 * 1 before. Beside the program. */
void track_disarm(struct track *t, const struct atomic_u32 *stop);
/* Scans once more what is marked on written pages, by k, and counts those as unwritten:
 * of parts of the heap with many of them, beside the program.
 * Returns: how many there were. */
size_t track_clean_dense(struct track *t, struct marker *k);
/* The same for all of the heap, in steps: begin; gather until it is false, each followed
 * by follow. t->pages is how many there were. */
void track_begin(struct track *t, struct marker *k);
/* Counts written pages as unwritten and remembers them, until the time `until` (ns), and
 * some 0.3 ms longer. still: nobody else runs. False: that was the rest. */
MGC_MUST_CHECK bool track_gather(struct track *t, bool still, int64_t until);
/* Scans those. Beside the program, or stopped. */
void track_follow(struct track *t);
/* Makes edges of what is marked on written pages, and follows none. In a stopped world,
 * where nothing has to be armed again. At most `most` pages: false when there are more, and it all has to be
 * done again. */
MGC_MUST_CHECK bool track_last(struct track *t, struct marker *k, size_t most);
/* Makes the second thread, which add() announces as one of the library's. Without it
 * everything works. The collector's thread, no lock held. */
void track_start_mate(struct track *t, void (*add)(void *arg), void *arg);
/* In the child of fork: nothing is tracked. */
void track_after_fork(struct track *t);

#endif
