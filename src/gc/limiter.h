// SPDX-License-Identifier: MIT
/* A bound on the share of time that collecting takes. See limiter.c. */
#ifndef MGC_GC_LIMITER_H
#define MGC_GC_LIMITER_H

#include "base/atomic.h"
#include <stdbool.h>
#include <stdint.h>

#define LIMITER_NS_PER_PROC ((int64_t)1000000000)
#define LIMITER_PERIOD_NS ((int64_t)10000000)

/* Lock key: (g) gc lock  (a) atomic. Times are nanoseconds. */
struct limiter {
  int64_t fill, capacity;  /* (g) processor time; I1 */
  int64_t overflow;        /* (g) processor time that found the bucket full */
  int64_t excess;          /* (g) of that, what drains first */
  int64_t last_ns;         /* (g) the window now open began here */
  unsigned nprocs;         /* (g) */
  double background_share; /* (g) of all processors, that marks in a cycle */
  bool marking;            /* (g) a cycle goes on */
  bool stopping;           /* (g) between begin_stop and end_stop */
  struct atomic_bool on;   /* (a) fill == capacity; written under (g) */
  struct atomic_i64 assist_ns, idle_ns; /* (a) of the window now open */
};

/* An empty bucket for nprocs processors (at least one). The window opens at 0:
 * who goes by the clock calls limiter_open. */
void limiter_init(struct limiter *l, unsigned nprocs);

/* Fills with gc_ns and drains with program_ns.
 * Returns: whether the bucket is full. Units: nanoseconds of processor time.
 * Threads: (g). */
bool limiter_update(struct limiter *l, int64_t gc_ns, int64_t program_ns);

/* --- by the clock --- */

/* Time before now_ns does not count; background_share is markshare.share. */
void limiter_open(struct limiter *l, double background_share, int64_t now_ns);

/* Whether limiter_tick is due, LIMITER_PERIOD_NS after the last one. (g) */
bool limiter_needs_tick(const struct limiter *l, int64_t now_ns);

/* Accounts for the window that ends now, and opens the next. A time that is not
 * later than the last one changes nothing. (g) */
void limiter_tick(struct limiter *l, int64_t now_ns);

/* The world stops for the collector: all processors work for it until
 * limiter_end_stop. Afterwards a cycle goes on (`marking`), or does not. (g) */
void limiter_begin_stop(struct limiter *l, bool marking, int64_t now_ns);
void limiter_end_stop(struct limiter *l, int64_t now_ns);

/* Another number of processors. A bucket that is too full for them is full, and
 * what does not fit is no overflow: nobody has worked for it. (g) */
void limiter_resize(struct limiter *l, unsigned nprocs, int64_t now_ns);

/* Processor time of assists; of processors that had nothing to do, or of workers
 * that only used such. Threads: any. */
static inline void limiter_add_assist(struct limiter *l, int64_t ns) {
  atomic_i64_fetch_add_relaxed(&l->assist_ns, ns);
}
static inline void limiter_add_idle(struct limiter *l, int64_t ns) {
  atomic_i64_fetch_add_relaxed(&l->idle_ns, ns);
}

/* Whether assists and idle workers are to stand aside. Threads: any; the answer
 * may be one tick old. */
static inline bool limiter_limits(const struct limiter *l) {
  /* A flag of its own: nothing is published by limiter_update. */
  return atomic_bool_load_relaxed(&l->on);
}

#endif
