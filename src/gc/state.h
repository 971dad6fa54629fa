// SPDX-License-Identifier: MIT
/*
 * struct gc: everything the collector of one heap consists of. It lies in
 * metadata memory, which is no root.
 *
 * Lock key: (c) const after init  (g) gc lock  (a) atomic  (s) stopped world
 */
#ifndef MGC_GC_STATE_H
#define MGC_GC_STATE_H

#include "gc/gc.h"
#include "gc/mark.h"
#include "gc/pacer.h"
#include "gc/roots.h"
#include "gc/world.h"

/* Background sweeper and scavenger: background.c. */
struct background {
  struct atomic_u32 sweep_wake; /* (a) futex: cycles to sweep */
  struct atomic_u32 scav_wake;  /* (a) futex */
  struct atomic_u32 started;    /* (a) bit 0 sweeper, bit 1 scavenger */
  struct atomic_u32 running;    /* (a) threads that have begun; futex */
  /* Proportional sweeping, set at each cycle's end. */
  struct atomic_u64 pages_swept;  /* (a) since then, by us */
  struct atomic_u64 live_basis;   /* (a) heap_live then */
  struct atomic_u64 pages_per_mb; /* (a) to sweep for 1 MiB allocated */
};

/* Faults that tests inject. All zero otherwise. */
struct gc_faults {
  uintptr_t unmark; /* take this object's mark away before checkmark */
  uintptr_t mark;   /* mark this slot, whatever is in it */
};

struct gc {
  struct heap *h;            /* (c) */
  struct mutex lock;         /* rank gc: one collection, or stop, at a time */
  struct atomic_i32 owner;   /* (a) thread id of who holds lock; 0: nobody */
  struct atomic_u64 started; /* (a) cycles begun; written under (g) */
  unsigned nprocs;           /* (c) */
  unsigned nmarkers;         /* (g) of the last cycle */
  int64_t start_time;        /* (c) ns, monotonic */

  struct atomic_u32 forking;  /* (a) forks going on: nobody may take the
                                 loader's lock; futex */
  struct atomic_u32 visiting; /* (a) threads that hold it, or wait; futex */

  struct world world;
  struct roots roots;
  struct marking marking;
  struct background bg;

  struct pacer_config pacing; /* (g) */
  struct pacer_input last;    /* (g) of the last cycle */
  uint64_t last_goal;         /* (g) 0: none yet */
  uint64_t settled_goal;      /* (g) the same without its slow fall */
  struct limiter limiter;     /* (g) */
  int64_t last_end;           /* (g) ns, monotonic */
  int64_t gc_cpu_ns;          /* (g) processor time of collections */
  struct gc_stats stats;      /* (g) */
  struct gc_faults faults;    /* (s) */
};

static inline struct gc *gc_of(const struct heap *h) {
  return (struct gc *)h->gc;
}

/* Takes the gc lock, waiting as a blocked thread does, and enters the allocator.
 * gc_unlock undoes both. Reentry is fatal. */
void gc_lock(struct gc *g);
void gc_unlock(struct gc *g);

/* checkmark.c: marks once more by other means and compares. Stopped world. */
void checkmark_run(struct gc *g);

/* background.c */
void background_start(struct gc *g);
/* After a cycle: new debt for proportional sweeping, and wake-ups. (g) */
void background_new_cycle(struct gc *g, uint64_t trigger);
void background_after_fork(struct gc *g);

/* trace.c: Go's gctrace line. */
struct gc_times {
  int64_t begin, stopped, marked, end; /* ns, monotonic */
  uint64_t live_before, live_after, goal;
  bool forced;
};
void gc_trace_cycle(const struct gc *g, const struct gc_times *t);

#endif
