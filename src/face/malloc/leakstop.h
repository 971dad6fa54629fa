// SPDX-License-Identifier: MIT
/* Stopping all other threads of a program that knows nothing of it. leakstop.c. */
#ifndef MGC_MALLOC_LEAKSTOP_H
#define MGC_MALLOC_LEAKSTOP_H

#include "base/atomic.h"
#include "base/compiler.h"
#include "os/vm.h"

enum leakstop_state {
  LEAKSTOP_NONE = 0, /* let go, or not asked */
  LEAKSTOP_WAITING,  /* signalled, owes an acknowledgement */
  LEAKSTOP_STOPPED,  /* stands in the handler */
};

struct leakstop_thread {
  struct atomic_i32 tid;   /* (a) 0: unused */
  struct atomic_u32 state; /* (a) enum leakstop_state */
  struct atomic_uptr sp;   /* (a) of one that is stopped: registers are above */
  uint32_t epoch;          /* stopper's: the stop that it was last seen in */
  bool sent;               /* stopper's: a signal is under way */
  bool deaf;               /* stopper's: it blocks the signal */
};

/* By thread id, open addressing. Never freed: a late signal looks there. */
struct leakstop_table {
  size_t mask; /* (c) places - 1 */
  struct leakstop_thread thread[];
};

/**
 * Prepares a stop: claims the signal, makes room for the threads that there are
 * and some more, and looks who blocks the signal. Nothing is stopped yet.
 *
 * Errors:  false: no memory, no signal left, or no /proc.
 * Threads: one at a time, for all calls.
 */
MGC_MUST_CHECK bool leakstop_prepare(struct vm *vm);
/* Stops every thread but the caller and those that block the signal. */
void leakstop_all(void);
/* Lets them go on. */
void leakstop_resume(void);
/* In a child of fork: no stop is going on and nobody is to be let go. */
void leakstop_after_fork(void);
/* Visits each other thread that was seen in this stop. sp: what it uses of its
 * stack lies from there up; 0: it was running and is not stopped. */
void leakstop_visit(void (*visit)(int tid, uintptr_t sp, bool deaf, void *arg),
                    void *arg);

#endif
