// SPDX-License-Identifier: MIT
/*
 * struct gc: everything the collector of one heap consists of. It lies in
 * metadata memory, which is no root.
 *
 * Lock key: (c) const after init  (g) gc lock  (a) atomic  (s) stopped world
 */
#ifndef MGC_GC_STATE_H
#define MGC_GC_STATE_H

#include "gc/assist.h"
#include "gc/gc.h"
#include "gc/mark.h"
#include "gc/pacer.h"
#include "gc/roots.h"
#include "gc/track.h"
#include "gc/world.h"
#include "os/thread_linux.h"

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
  struct atomic_i64
      swept_ns; /* (a) since a cycle's end: sweeping that counts */
};

/* How a heap is marked. */
enum gc_mode {
  GC_STOP = 0, /* the program stands while marking runs */
  GC_BARRIER,  /* it runs, and stores through mgc_store: beside.c */
  GC_KERNEL,   /* it runs, and the kernel tells what it writes: track.c */
};

/* Marking beside the program: beside.c. */
struct beside {
  struct atomic_u32 mode;     /* (a) enum gc_mode; GC_STOP may become another */
  struct atomic_u32 wanted;   /* (a) futex: 1: a cycle is asked for */
  struct atomic_u32 forced;   /* (a) its asker waits for it */
  struct atomic_u32 limit;    /* (a) memory could not be had */
  struct atomic_u32 finished; /* (a) futex: cycles that have ended */
  struct atomic_u32
      begun; /* (a) futex: cycles that have begun: g->started, 32 bits */
  struct atomic_u32 busy;     /* (a) the thread is at work */
  struct atomic_u32 starting; /* (a) somebody makes the thread */
  struct atomic_u32 running;  /* (a) futex: 1: the thread is there */
  struct atomic_u32 periodic; /* (a) nothing but the period asks for it */
  struct atomic_u64 periodic_started; /* (a) cycles begun when it asked */
};

/* A worker's time since `since`; its own. */
struct pace_shift {
  int64_t since_ns, since_cpu; /* by the clock, and of the processor's time */
  int64_t crowded_until;       /* it had to share its processor */
};

/* Pacing: pace.c. (p): its lock, and, when nobody marks, the gc lock. (w): the first
 * worker, or a stopped world. */
struct pace {
  struct mutex lock;            /* rank pace */
  struct pacer pacer;           /* (p); plan of workers and start: (s) */
  struct limiter limiter;       /* (p) */
  int64_t idle_since, idle_cpu; /* (p) clocks when idle time was last noted */
  struct list queue;            /* (p) struct waiter: threads in debt */
  struct atomic_u32 nwaiting;   /* (a) written with (p): how many */
  MGC_CACHE_ALIGNED struct assist assist;
  struct atomic_i64 revised; /* (a) ns, when the ratio was computed */
  uint64_t root_bytes;       /* (s) scanned before marking began */
  /* Of the cycle: processor time, ns. */
  struct atomic_i64 background_ns, assist_ns, idle_ns; /* (a) */

  MGC_CACHE_ALIGNED bool all_mark; /* (s) a cycle that is waited for */
  int64_t fractional_ns;     /* what the fractional worker has had; its own */
  struct atomic_u32 rest;    /* (a) futex: it is to look */
  struct atomic_u32 resting; /* (a) it sleeps */
  struct idle_workers idle;
  bool in_haste; /* the fractional worker does not rest; of the first worker */
  struct atomic_u32 rounds; /* (a) 1: see pace_begin_rounds */
  int64_t rounds_cpu;       /* (w) ns, when they began */
  int64_t usage_since,
      usage_cpu; /* (w) clocks at the last look at processors */
  struct pace_shift shift[GC_MAX_MARKERS];

  int64_t period_ns, idle_after_ns; /* (c) 0: no such cycles */
  struct idle_watch watch;          /* the sweeper's */
  struct atomic_u64 goal;           /* (a) of the pacer, for who has no lock */
  struct atomic_i32 percent;        /* (a) likewise */
  struct atomic_i64 last_end;       /* (a) ns, monotonic; 0: no cycle yet */
};

/* Faults that tests inject. All zero otherwise. */
struct gc_faults {
  uintptr_t unmark; /* take this object's mark away before checkmark */
  uintptr_t mark;   /* mark this slot, whatever is in it */
  struct atomic_u32
      hold; /* (a) futex: 1: cycles beside the program do not begin to mark */
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
  struct beside beside;
  struct track track; /* (t) of the thread in beside.c */

  struct pace pace;
  int64_t soft_limit, hard_limit; /* (g) bytes, INT64_MAX: none; the pacer has
                                     the lower one */
  int64_t gc_cpu_ns;              /* (g) processor time of collections */
  struct gc_stats stats;          /* (g) */
  struct gc_faults faults;        /* (s) */
};

static inline struct gc *gc_of(const struct heap *h) {
  return (struct gc *)h->gc;
}

/* Takes the gc lock, waiting as a blocked thread does, and enters the allocator.
 * gc_unlock undoes both. Reentry is fatal. */
void gc_lock(struct gc *g);
void gc_unlock(struct gc *g);

/* checkmark.c: marks once more by other means and compares. Stopped world. exact: all
 * that is marked must be reachable, too. */
void checkmark_run(struct gc *g, bool exact);

/* background.c */
void background_start(struct gc *g);
/* Sweeps some spans, as a thread of the library. False: nothing is left. */
bool background_sweep_batch(struct gc *g);
/* Sweeping has kept the calling thread from its work for ns. */
void background_note_sweep(struct gc *g, int64_t ns);
/* New debt for proportional sweeping: for a cycle that has just ended, and for another
 * trigger before the next. (g) */
void background_new_cycle(struct gc *g, uint64_t trigger);
void background_pace_sweep(struct gc *g, uint64_t trigger);
void background_after_fork(struct gc *g);

/* trace.c: Go's gctrace line. */
struct gc_times {
  /* ns, monotonic. The world stands from begin to end, or, when the program runs beside
   * marking, from begin to stopped and from marked to end. */
  int64_t begin, stopped, marked, end;
  int64_t retried; /* ns, of other pauses, before begin */
  uint64_t live_before, live_at_end, live_after, goal;
  bool forced, beside;
  bool periodic; /* nothing but time has asked for it */
};
void gc_trace_cycle(const struct gc *g, const struct gc_times *t);
/* What a pause of a cycle beside the program went into. */
#define GC_PAUSE_PARTS 8
struct gc_pause {
  int64_t begin, now; /* ns */
  unsigned n;
  struct {
    const char *name;
    int64_t ns;
  } part[GC_PAUSE_PARTS];
};
void gc_pause_begin(struct gc_pause *p, int64_t now);
/* What was done since the part before, or the begin. */
void gc_pause_part(struct gc_pause *p, const char *name);
/* A line on a cycle's pauses; of others than these two on the longest. */
void gc_trace_pauses(const struct gc *g, const struct gc_pause *first,
                     const struct gc_pause *last, const struct gc_pause *other);
/* A line on write tracking. */
#define GC_TRACED_ROUNDS 12
struct gc_rounds {
  int err; /* -errno: the pages could not be tracked; 0 */
  int64_t arm_ns;
  size_t dense; /* pages cleaned before, of parts with many written ones */
  unsigned n;   /* rounds */
  size_t pages
      [GC_TRACED_ROUNDS]; /* cleaned in each; the last slot: the last one's */
  size_t last;            /* scanned in the last pause */
  unsigned tries;         /* pauses that did not end the cycle */
  unsigned nholds;
  int64_t held_ns; /* the program was held for the sake of the rounds */
  unsigned level;  /* how much, at the end */
};
void gc_trace_rounds(const struct gc *g, const struct gc_rounds *r);

/* --- gc.c, for beside.c --- */

/* Below this much to mark a second marker takes longer to wake up than to help. */
#define GC_PARALLEL_MIN_BYTES ((uint64_t)1 << 20)
/* A thread that reports a race to ThreadSanitizer wants the loader's lock, which
 * we hold, and stops only when it has had it: then we let go and try again. */
#define GC_STOP_PATIENCE_NS (MGC_TSAN ? (int64_t)200000000 : -1)

/* Announces that the caller is about to take the loader's lock, which fork must
 * not find taken by us: in the child it would stay so. False: fork is going on,
 * and may_wait is not set. */
bool gc_begin_visit(struct gc *g, bool may_wait);
void gc_end_visit(struct gc *g);
/* Stopped world: empties all caches; verifies. */
void gc_flush_caches(struct gc *g, bool pages_too);
void gc_verify_stopped(struct gc *g);
/* Stopped world, before marking: frees that waited for the last cycle's end and have not
 * been carried out are the collector's now. An object that it frees must be in no list. */
void gc_forget_frees(void);
/* What follows from a cycle, whose marks are summed up in g->stats: every span becomes
 * unswept, and the next cycle is paced. Stopped world. */
void gc_turn_cycle(struct gc *g, const struct gc_times *t, bool keeps_room);
/* A pause of ns was over. The world runs again; gc lock. */
void gc_note_pause(struct gc *g, int64_t ns);
/* Statistics, trace, and a cycle's last pauses. The world runs again; gc lock. */
void gc_note_cycle(struct gc *g, const struct gc_times *t);
/* Overwrites what a cycle's frames have left below the caller's: edges, mostly,
 * which a later frame with a word that it does not initialise would bring back
 * as roots. */
void gc_clear_dead_stack(void);
/* Asks sleeping background threads to look. */
void gc_wake_background(struct gc *g);

/* --- beside.c, for gc.c --- */

static inline bool gc_is_beside(const struct gc *g) {
  return atomic_u32_load_acquire(&g->beside.mode) != GC_STOP;
}
/* The heap is small: a thread of the program collects it in one stop. Others may see it
 * otherwise at the same moment; the gc lock keeps both apart (is_due). */
bool beside_prefers_stop(const struct gc *g);
/* A cycle by the collector's thread; waits for it when forced. False: there is no such
 * thread. Waits. */
bool beside_collect(struct gc *g, bool forced, bool limit);
/* The program has allocated: helps, or asks for a cycle. Waits not. */
void beside_trigger(struct gc *g);
void beside_after_fork(struct gc *g);
/* Makes the thread. False: the system gives none. The caller holds no lock. */
bool beside_start(struct gc *g);

/* A cycle is due for no other reason than the time. Any thread, with no lock. */
void beside_ask_periodic(struct gc *g);

/* --- pace.c --- */

void pace_init(struct gc *g, const struct pacer_config *c);
/* New settings. (g) */
void pace_configure(struct gc *g, const struct pacer_config *c);
/* Whether small heaps are collected in one stop, and what is small. */
bool pace_stops_if_small(const struct gc *g);
bool pace_is_small(uint64_t bytes);
/* A cycle beside the program begins: roots have been read. Stopped world, gc lock. */
void pace_begin(struct gc *g, const struct gc_times *t, bool periodic);
/* Any cycle ends: what it found is in g->stats. Stopped world, gc lock. */
void pace_end(struct gc *g, const struct gc_times *t);
/* Another stop, from begin to end, after which a cycle goes on or not. (g) */
void pace_note_stop(struct gc *g, int64_t begin, int64_t end, bool marking);
/* Between them the collector's thread goes over what was written, and does not mark. */
void pace_begin_rounds(struct gc *g);
void pace_end_rounds(struct gc *g);
/* The program has allocated while a cycle goes on: the calling thread pays for it.
 * Waits for a moment. */
void pace_help(struct gc *g);
bool pace_is_over_goal(const struct gc *g);
/* What a thread waits at most, in nanoseconds, for a cycle to begin or to pay for it. */
int64_t pace_wait_ns(const struct gc *g);
/* heap_live at which the next cycle begins. (g) */
uint64_t pace_trigger(const struct gc *g);
/* t ends. */
void pace_detach(struct gc *g, struct thread *t);
/* ns until a cycle is due for no reason but time; negative: none ever is. The sweeper,
 * which asks again when the time is over. */
int64_t pace_time_left(struct gc *g, int64_t now);
void pace_after_fork(struct gc *g);
/* For mark_beside; its argument is the struct gc. */
extern const struct mark_ops pace_ops;

#endif
