// SPDX-License-Identifier: MIT
/* Stopping and restarting all other threads of the process. See world.c. */
#ifndef MGC_GC_WORLD_H
#define MGC_GC_WORLD_H

#include "alloc/thread.h"
#include "base/persistent.h"

#define WORLD_MAX_LIBRARY 72 /* threads of the library itself */
#define FOREIGN_PER_BLOCK 62

enum foreign_state {
  FOREIGN_FREE = 0, /* no thread, or one that is not needed in this stop */
  FOREIGN_WAITING,  /* signalled, owes an acknowledgement */
  FOREIGN_STOPPED,  /* stands in the handler */
};

/* A thread of the process that never called the library. */
struct foreign {
  struct atomic_i32 tid;   /* (a) 0: unused slot; written by the stopper */
  struct atomic_u32 state; /* (a) enum foreign_state */
  struct atomic_uptr sp;   /* (a) valid when FOREIGN_STOPPED */
  struct atomic_uptr thread_pointer; /* (a) likewise */
  uint32_t seen; /* (s) the last stop that met this thread */
  bool deaf;     /* (s) it keeps the signal blocked: do not wait for it */
};

struct foreign_block {
  struct atomic_ptr next; /* (a) struct foreign_block * */
  struct foreign slot[FOREIGN_PER_BLOCK];
};

struct world {
  struct atomic_u32 epoch;    /* (a) odd: stopping or stopped; futex */
  struct atomic_u32 pending;  /* (a) acknowledgements to come; futex */
  struct atomic_u32 gate;     /* (a) 1: fork is going on; futex */
  int signo;                  /* (c) */
  struct atomic_ptr foreign;  /* (a) struct foreign_block * */
  struct atomic_u32 nlibrary; /* (a) */
  struct atomic_i32 library_tid[WORLD_MAX_LIBRARY]; /* (a) */
  struct persistent *meta;                          /* (c) */
  struct memstat *stat;                             /* (c) */
  struct mutex background; /* rank worker: held by a background thread at
                                work, and by a stop */
  struct atomic_u32
      resumed;         /* (a) threads that run again since the last stop */
  uint32_t nsignalled; /* (s) attached ones that took the signal */
  struct atomic_u32 stop_wanted; /* (a) 1: background threads keep off that
                                    lock, so that it is not theirs again and
                                    again; futex */

  struct thread *self; /* (s) who stopped the world; NULL: not attached */
  int self_tid;        /* (s) */
  uint32_t nstopped, nforeign, nskipped; /* (s) of this stop */
  int64_t began;   /* (s) ns: the first thread was asked to stop */
  unsigned nprocs; /* (c) */
  bool spins;      /* (c) a stopper may watch the threads stop */
  struct atomic_u32
      few; /* (a) fewer threads than processors: they may watch, too */
};

/* Claims the signal and fills in the registry's hooks.
 * Errors: -EBUSY when every real-time signal is taken; -ENOMEM. */
MGC_MUST_CHECK int world_init(struct world *w, struct persistent *meta,
                              struct memstat *stat);

/* Stops every other thread. The caller holds the gc lock, is outside its runs
 * and inside the allocator. Takes the registry's lock and `background`.
 * Units: patience_ns negative: as long as it takes. Returns: false when a thread
 * has not stopped in that time; the world runs then. */
bool world_stop(struct world *w, int64_t patience_ns);
void world_start(struct world *w);
/* After world_start: until the attached threads that had stopped run again, or ns have
 * passed. For whoever is about to stop them soon: a thread that is stopped each time
 * before it has woken up would stand still. */
void world_await_resumed(struct world *w, int64_t ns);

/* Around fork, with the world stopped: keeps the threads out of the allocator
 * but lets them run; afterwards, in the parent, lets them in. */
void world_gate_close(struct world *w);
void world_gate_open(struct world *w);
/* In the child: only the calling thread is left. Forgets the others and gives
 * their caches back. */
void world_after_fork(struct world *w);

/* Visits the foreign threads that stand still. Stopped world. */
void world_visit_foreign(struct world *w,
                         void (*visit)(const struct foreign *f, void *arg),
                         void *arg);

/* Announces the calling thread as one of the library's. */
void world_add_library_thread(struct world *w);

#endif
