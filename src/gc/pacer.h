// SPDX-License-Identifier: MIT
/* When to collect: arithmetic only. See pacer.c. */
#ifndef MGC_GC_PACER_H
#define MGC_GC_PACER_H

#include "gc/limiter.h"
#include "gc/markshare.h"
#include "gc/trigger.h"
#include <stdbool.h>
#include <stdint.h>

#define PACER_HEAP_MINIMUM ((uint64_t)4 << 20) /* at 100 percent */
#define PACER_NO_GOAL UINT64_MAX
#define PACER_NO_LIMIT INT64_MAX

struct pacer_config {
  int percent;              /* GOGC; negative: off */
  int64_t memory_limit;     /* bytes; PACER_NO_LIMIT: none */
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
  uint64_t even_bytes; /* allocated by the program in the time of one cycle */
};

struct pacer_output {
  uint64_t goal;    /* what the heap may grow to; PACER_NO_GOAL: anything */
  uint64_t settled; /* what goal falls to when nothing changes */
  uint64_t trigger; /* heap_live at which to collect */
  bool by_limit;    /* the memory limit, not the percentage, set the goal */
};

/* For a collector that stops the world: trigger is goal, and above what is marked.
 * Units: bytes. Errors: none; sums saturate. Threads: any; pure. */
struct pacer_output pacer_goal(const struct pacer_config *c,
                               const struct pacer_input *in);

/* Pages to sweep for each byte allocated, so that all are swept when heap_live
 * reaches the trigger. Pure. */
double pacer_sweep_ratio(uint64_t pages_unswept, uint64_t heap_live,
                         uint64_t trigger);

/* --- for a collector beside the program --- */

/* What the memory limit is about: see pacer_input. Units: bytes. */
struct pacer_memory {
  uint64_t mapped_ready, heap_free, heap_alloc;
};

/* All of it (g) gc lock; nothing in it is atomic. The goals and the trigger are
 * read after each call and handed on by the caller. */
struct pacer {
  struct pacer_config config;
  struct pacer_input last;  /* figures that the goals follow from */
  struct consmark consmark; /* of cycles that ended */
  struct markrate markrate; /* likewise */
  uint64_t heap_scan;       /* work in the heap, in the last cycle */
  uint64_t old_marked;      /* what it was done for: without fresh objects */
  int64_t goal_set_ns;      /* when the last cycle set base_goal */

  /* Outcome, in bytes; PACER_NO_GOAL: none. As in pacer_output; base_goal is goal
   * without what a cycle that goes on adds to it, hard_goal the bound of assists
   * that put goal off, runway what trigger follows from. */
  uint64_t goal, settled, trigger;
  uint64_t base_goal, hard_goal, runway;
  bool by_limit;

  /* Of the cycle that goes on, or of the last one. */
  bool marking;
  uint64_t triggered; /* heap_live when it began */
  int64_t start_ns;
  unsigned nprocs;
  uint64_t stack_max; /* bytes of stacks to scan */
  struct markshare share;
};

struct pacer_start {
  int64_t now_ns;
  uint64_t heap_live;
  uint64_t stack_bytes, globals_bytes; /* to be scanned, at the most */
  unsigned nprocs;                     /* at least 1 */
  bool periodic;                       /* the period is the reason */
};

struct pacer_progress {
  uint64_t heap_live;
  uint64_t heap_scan; /* bytes of objects that may hold pointers; heap_live will
                         do where this is not counted */
  uint64_t work;      /* scanned in this cycle: heap, stacks, globals */
};

struct pacer_end {
  int64_t now_ns;       /* marking ended */
  uint64_t heap_live;   /* before sweeping */
  uint64_t heap_marked; /* with what was allocated during the cycle */
  uint64_t heap_work, stack_work, globals_work; /* bytes scanned */
  int64_t background_ns, assist_ns, idle_ns;    /* processor time of marking */
  struct pacer_memory memory;
  bool
      forced; /* its rates say nothing: not begun at the trigger, or in one stop */
  /* Of a cycle that stops the world, wall clock: what it took from the program, and what
   * that had had since the last cycle. Otherwise 0. */
  int64_t taken_ns, program_ns;
};

/* Sets p up for an empty heap. Errors: none. The same for all that follow;
 * figures that contradict each other give goals that are of no use, but finite. */
void pacer_init(struct pacer *p, const struct pacer_config *c);

/* New settings, with effect from now on; also during a cycle. */
void pacer_configure(struct pacer *p, const struct pacer_config *c);

/* New figures for the memory limit: goal and trigger follow. */
void pacer_update_memory(struct pacer *p, const struct pacer_memory *m);

/* A cycle begins; p->share says who marks. */
void pacer_start_cycle(struct pacer *p, const struct pacer_start *s);

/* To be asked every few milliseconds of a cycle, and when assists begin.
 * Returns: bytes to scan for each byte allocated: assist_set_ratio. */
double pacer_revise(const struct pacer *p, const struct pacer_progress *now);

/* Marking has ended, the world stands: goal and trigger of the next cycle. */
void pacer_end_cycle(struct pacer *p, const struct pacer_end *e);

/* The next cycle is to stop the world: goal and trigger are as pacer_goal says, until
 * one begins or any of the above changes them. */
void pacer_stop_next(struct pacer *p, bool limiter_on);

/* Whether the invariants of pacer.c hold; *which is the number of one that does
 * not. For verifiers and tests. */
bool pacer_verify(const struct pacer *p, int *which);

#endif
