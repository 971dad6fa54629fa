// SPDX-License-Identifier: MIT
/* How many threads mark beside the program. See markshare.c. */
#ifndef MGC_GC_MARKSHARE_H
#define MGC_GC_MARKSHARE_H

#include "base/atomic.h"
#include <stdbool.h>
#include <stdint.h>

/* Of all processors (Go: gcBackgroundUtilization). */
#define MARKSHARE_BACKGROUND 0.25

struct markshare {
  unsigned dedicated; /* threads that mark until the cycle ends */
  double fractional;  /* the part of its time that one more may mark; 0: none */
  unsigned idle_max;  /* threads that may mark on idle processors */
  double share;       /* of all processors: dedicated and fractional ones */
};

/* For nprocs processors (at least one) and a cycle that is periodic, or not.
 * Errors: none. Threads: any; pure. */
struct markshare markshare_plan(unsigned nprocs, bool periodic);

/* The fractional worker: whether it may begin, and whether it has to stop, when
 * it has marked for worked_ns of the elapsed_ns that the cycle has lasted. Pure. */
bool markshare_may_begin(const struct markshare *s, int64_t elapsed_ns,
                         int64_t worked_ns);
bool markshare_must_stop(const struct markshare *s, int64_t elapsed_ns,
                         int64_t worked_ns);

/* Idle workers that are at work, and how many may be. One word, so that any
 * thread may come and go: count in the low half, bound in the high one. */
struct idle_workers {
  struct atomic_u64 state; /* (a) */
};
/* Who is at work stays, also above a lower bound. Threads: any. */
void idle_workers_set_max(struct idle_workers *w, uint32_t max);
/* How many are at work. Threads: any; it may change at once. */
uint32_t idle_workers_count(const struct idle_workers *w);
/* Whether one more would be let in. Threads: any; it may change at once. */
bool idle_workers_wanted(const struct idle_workers *w);
/* Returns: false when the bound is reached. Threads: any. */
bool idle_workers_add(struct idle_workers *w);
/* Undoes one idle_workers_add that returned true. Threads: any. */
void idle_workers_remove(struct idle_workers *w);

#endif
