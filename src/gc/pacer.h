// SPDX-License-Identifier: MIT
/* When to collect: arithmetic only. See pacer.c. */
#ifndef MGC_GC_PACER_H
#define MGC_GC_PACER_H

#include <stdbool.h>
#include <stdint.h>

#define PACER_HEAP_MINIMUM ((uint64_t)4 << 20) /* at 100 percent */
#define PACER_NO_GOAL UINT64_MAX

struct pacer_config {
  int percent;              /* GOGC; negative: off */
  int64_t memory_limit;     /* bytes; INT64_MAX: none */
  int64_t goal_halflife_ns; /* how fast the goal may fall; 0: at once */
};

/* What one cycle ended with. Units: bytes. */
struct pacer_input {
  uint64_t heap_marked;
  uint64_t stack_bytes, globals_bytes;
  uint64_t last_goal; /* the goal that this cycle began with; 0: the first */
  int64_t last_goal_age_ns; /* since that goal was set */
  /* For the memory limit. */
  uint64_t
      mapped_ready;    /* all that the library holds, without returned pages */
  uint64_t heap_free;  /* pages of the heap without objects, not returned */
  uint64_t heap_alloc; /* bytes of objects, dead ones not yet swept too */
  bool limiter_on;     /* collecting takes too much time: see limiter */
};

struct pacer_output {
  uint64_t goal;    /* what the heap may grow to; PACER_NO_GOAL: anything */
  uint64_t settled; /* what goal falls to when nothing changes */
  uint64_t trigger; /* heap_live at which to collect */
  bool by_limit;    /* the memory limit, not the percentage, set the goal */
};

/* Units: bytes. Errors: none; sums saturate. Threads: any; pure. */
struct pacer_output pacer_goal(const struct pacer_config *c,
                               const struct pacer_input *in);

/* Pages to sweep for each byte allocated, so that all are swept when heap_live
 * reaches the trigger. Pure. */
double pacer_sweep_ratio(uint64_t pages_unswept, uint64_t heap_live,
                         uint64_t trigger);

/* Leaky bucket that bounds the share of time that collections for the sake of
 * the memory limit may take (Go: gcCPULimiter): it fills with processor time of
 * collections and drains with that of the program, so it is full when collections
 * have taken more than half for a while. */
struct limiter {
  int64_t fill, capacity; /* nanoseconds of processor time */
};
void limiter_init(struct limiter *l, unsigned nprocs);
/* Returns: whether the bucket is full. Units: nanoseconds. */
bool limiter_update(struct limiter *l, int64_t gc_ns, int64_t program_ns);

#endif
