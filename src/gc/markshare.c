// SPDX-License-Identifier: MIT
/*
 * The background's share of the processors (Go: gcControllerState.startCycle).
 * Pure, but for the count of idle workers, which is one atomic word.
 *
 * A quarter of the processors marks while a cycle goes on. Whole threads are
 * dedicated to it, so many that the share comes nearest to a quarter. With few
 * processors that is far off (one of two is a half): when it is by more than 30 %,
 * one thread less is dedicated and another marks for part of its time to make up
 * for it. By that measure 1, 2, 3 and 6 processors have a fractional worker.
 *
 *   processors   dedicated   fractional, of one processor's time
 *       1            0          0.25
 *       2            0          0.50
 *       3            0          0.75
 *       4            1
 *       6            1          0.50
 *       8            2
 *
 * Go gives each processor its fraction of the fractional time. Here it is one
 * thread that sleeps and works, because threads, unlike Go's Ps, cannot be told
 * on which processor to be.
 *
 * All processors that have nothing else to do may mark as well. A periodic cycle
 * is there for a program that does little, and would wake every processor of an
 * idle machine: it has none, or one when nothing is dedicated, so that it ends.
 *
 *   I1  share is within 30 % of MARKSHARE_BACKGROUND, for any number
 *   I2  0 <= fractional < 1
 *   I3  idle workers that idle_workers_add let in are at most the bound then
 */
#include "gc/markshare.h"

/* How far the share may be off without a fractional worker (Go). */
#define MARKSHARE_MAX_ERROR 0.3
/* A fractional worker begins at its fraction and stops this far above it, so that
 * it does not change over for every object (Go). */
#define MARKSHARE_OVERRUN 1.2

struct markshare markshare_plan(unsigned nprocs, bool periodic) {
  struct markshare s = {0};
  if (nprocs == 0) nprocs = 1;
  double want = nprocs * MARKSHARE_BACKGROUND;
  s.dedicated = (unsigned)(want + 0.5);
  double error = s.dedicated / want - 1;
  if (error < -MARKSHARE_MAX_ERROR || error > MARKSHARE_MAX_ERROR) {
    if (s.dedicated > want) s.dedicated--;
    s.fractional = want - s.dedicated;
  }
  s.share = (s.dedicated + s.fractional) / nprocs;
  s.idle_max = nprocs - s.dedicated;
  if (periodic) s.idle_max = s.dedicated == 0;
  return s;
}

bool markshare_may_begin(const struct markshare *s, int64_t elapsed_ns,
                         int64_t worked_ns) {
  if (s->fractional == 0) return false;
  return (double)worked_ns <= (double)elapsed_ns * s->fractional;
}

bool markshare_must_stop(const struct markshare *s, int64_t elapsed_ns,
                         int64_t worked_ns) {
  if (elapsed_ns <= 0) return false;
  double most = (double)elapsed_ns * s->fractional * MARKSHARE_OVERRUN;
  return (double)worked_ns > most;
}

#define IDLE_MAX_SHIFT 32

static uint32_t idle_count(uint64_t state) { return (uint32_t)state; }
static uint32_t idle_bound(uint64_t state) {
  return (uint32_t)(state >> IDLE_MAX_SHIFT);
}

/* The word orders nothing else: all accesses are relaxed. */

void idle_workers_set_max(struct idle_workers *w, uint32_t max) {
  uint64_t old = atomic_u64_load_relaxed(&w->state);
  uint64_t bound = (uint64_t)max << IDLE_MAX_SHIFT;
  while (!atomic_u64_cas_relaxed(&w->state, &old, bound | idle_count(old))) {
  }
}

uint32_t idle_workers_count(const struct idle_workers *w) {
  return idle_count(atomic_u64_load_relaxed(&w->state));
}

bool idle_workers_wanted(const struct idle_workers *w) {
  uint64_t state = atomic_u64_load_relaxed(&w->state);
  return idle_count(state) < idle_bound(state);
}

bool idle_workers_add(struct idle_workers *w) {
  uint64_t old = atomic_u64_load_relaxed(&w->state);
  do {
    if (idle_count(old) >= idle_bound(old)) return false;
  } while (!atomic_u64_cas_relaxed(&w->state, &old, old + 1));
  return true;
}

void idle_workers_remove(struct idle_workers *w) {
  atomic_u64_fetch_sub_relaxed(&w->state, 1);
}
