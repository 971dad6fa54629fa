// SPDX-License-Identifier: MIT
/*
 * When to scavenge: arithmetic only (Go: mgcscavenge.go, the policy). The heap's
 * scavenger thread gives it a clock, a sleep and a way to scavenge; tests give it
 * simulated ones.
 *
 * The goal. Background scavenging keeps what the heap retains (in use + free
 * with physical memory) at 10 % over what the heap will need at its goal,
 *
 *   1.10 * heap in use at the last collection * heap goal / last heap goal
 *
 * and, under a memory limit, what is mapped at 95 % of the limit.
 *
 * The pace. Work is done in rounds of at least 1 ms, in pieces of 64 KiB, and
 * after each round the scavenger sleeps, so long that it takes 1 % of one
 * processor's time times the number of processors. The ratio of work to sleep is
 * what a PI controller finds, since neither the cost of a page nor the precision
 * of a sleep is known: its input is the fraction of time the last round took,
 * its output the ratio for the next. Should the controller blow up (a clock that
 * jumps), the ratio is fixed at 0.001 for 5 s, and then it begins again.
 *
 *   I1  SCAVPACE_RATIO_MIN <= sleep_ratio <= SCAVPACE_RATIO_MAX, never NaN
 *   I2  err_integral is finite
 */
#ifndef MGC_PAGE_SCAVPACE_H
#define MGC_PAGE_SCAVPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCAVPACE_QUANTUM ((size_t)64 << 10) /* bytes asked for at once */
#define SCAVPACE_MIN_WORK_NS 1e6            /* work in one round */
#define SCAVPACE_CPU_FRACTION 0.01
#define SCAVPACE_COOLDOWN_NS 5000000000ll
#define SCAVPACE_RATIO_START 0.001
#define SCAVPACE_RATIO_MIN 0.001
#define SCAVPACE_RATIO_MAX 1000.0
/* A page of 4 KiB takes about this long, where the clock is too coarse to say. */
#define SCAVPACE_PAGE_NS 10e3

#define SCAVENGE_NO_GOAL UINT64_MAX
#define SCAVENGE_RETAIN_EXTRA_PERCENT 10
#define SCAVENGE_REDUCE_EXTRA_PERCENT 5

/* Proportional-integral controller with anti-windup. Times in the unit of the
 * period given to picontrol_next. */
struct picontrol {
  double kp;           /* (c) proportional gain */
  double ti;           /* (c) integral time; 0: no integral */
  double tt;           /* (c) reset time: how fast windup is unwound */
  double min, max;     /* (c) bounds of the output */
  double err_integral; /* (o) */
};

/**
 * One step: what to put out so that input comes to setpoint.
 *
 * Units:   input and setpoint share one; period as ti and tt.
 * Returns: the output in [min, max].
 * Errors:  *ok is false when the arithmetic overflowed or input is not a
 *          number; the output is then min and the controller begins anew.
 * Threads: the owner.
 */
double picontrol_next(struct picontrol *c, double input, double setpoint,
                      double period, bool *ok);

/* The world that a scavpace lives in. */
struct scavpace_ops {
  /* Gives back up to n bytes; *ns is the time that it took, 0 when the clock
   * cannot say. Returns the bytes given back; less than n: nothing is left. */
  size_t (*scavenge)(void *arg, size_t n, int64_t *ns);
  /* Whether the goal is reached: work ends. */
  bool (*should_stop)(void *arg);
  /* Sleeps about ns; returns the time that it took. May end early. */
  int64_t (*sleep)(void *arg, int64_t ns);
  /* Processors that the program may use, at least 1. */
  unsigned (*nprocs)(void *arg);
};

/* Lock key: (c) const after init; all else (o) the scavenger thread. */
struct scavpace {
  const struct scavpace_ops *ops; /* (c) */
  void *arg;                      /* (c) for the operations */
  size_t phys_page;               /* (c) bytes */
  double sleep_ratio;             /* time of work / time of sleep */
  int64_t cooldown_ns;            /* left, while the controller rests */
  uint64_t ncontroller_failures;
  struct picontrol control;
};

/* The caller owns s; ops and arg must outlive it. Errors: none. */
void scavpace_init(struct scavpace *s, const struct scavpace_ops *ops,
                   void *arg, size_t phys_page);

/**
 * One round of work: until 1 ms has been worked, the goal is reached or nothing
 * is left.
 *
 * Units:   *worked_ns is nanoseconds.
 * Returns: bytes given back; 0: park until there may be something again.
 * Errors:  none.
 * Threads: the scavenger thread.
 */
size_t scavpace_work(struct scavpace *s, double *worked_ns);

/**
 * Sleeps as long as a round of worked_ns asks for, and adjusts the ratio.
 *
 * Units:   nanoseconds.
 * Errors:  none.
 * Threads: the scavenger thread.
 */
void scavpace_sleep(struct scavpace *s, double worked_ns);

/**
 * The goals above, for scavenge_should_stop's kind of test: scavenge while what
 * is retained exceeds the goal.
 *
 * Units:   bytes. heap_retained is heap in use plus free with physical memory.
 * Returns: the goal, or SCAVENGE_NO_GOAL when there is nothing to do.
 * Errors:  none; last_heap_goal 0 (no collection yet) has no goal.
 * Threads: any; pure.
 */
uint64_t scavenge_gc_goal(uint64_t last_heap_in_use, uint64_t heap_goal,
                          uint64_t last_heap_goal, uint64_t heap_retained,
                          size_t phys_page);

/**
 * The same for the memory limit.
 *
 * Units:   bytes. mapped_ready is all memory in the state Ready.
 * Returns: the goal for mapped_ready, or SCAVENGE_NO_GOAL.
 * Errors:  none; limit INT64_MAX is no limit.
 * Threads: any; pure.
 */
uint64_t scavenge_limit_goal(int64_t limit, uint64_t mapped_ready);

#endif
