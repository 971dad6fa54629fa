// SPDX-License-Identifier: MIT
/*
 * The limiter (Go: gcCPULimiter). Pure: times are arguments.
 *
 * A memory limit that is too low for what is alive would have the program collect
 * without end: each cycle frees nearly nothing, and the next is due at once. A
 * leaky bucket prevents that. It fills with processor time of the collector and
 * drains with that of the program, so its level stays where it is when each has
 * half. Its capacity is one second for each processor: a burst of collecting
 * may last that long, and only who collects for more than half of the time over
 * the long run finds the bucket full. While it is full the limit gives way: the
 * collector that stops the world lets the program have as much time as itself
 * (pacer.c), and the concurrent one asks for no assists and starts no idle workers, so
 * that only the background's share (a quarter) is left. The heap grows over its goal
 * meanwhile.
 *
 * Two ways of telling it. limiter_update is given both times. By the clock, a
 * window [last_ns, now) of all processors is divided:
 *
 *   world stopped   all of it is the collector's, as is what sweeping takes that the
 *                   program waits for (background_note_sweep: as an assist)
 *   marking         background_share of it, and the assists noted in it
 *   else            the assists noted in it (none, mostly)
 *
 * Idle time is nobody's, nor is what idle workers do in it: a processor that has
 * nothing to do must not make room in the bucket. A tick every 10 ms is enough
 * for the flag to follow; a transition ticks for itself.
 *
 * What finds the bucket full is lost in Go, but for a statistic. With a tick of
 * assists that stop the program and then one without, by turns, that comes to 62 %
 * for the collector, not to half. So by the clock it is kept for a while as excess,
 * which has to drain before the bucket does: one tick stops the program, two let it
 * run. It is bounded, so that one long stop does not end assists for long.
 *
 *   I1  0 <= fill <= capacity, 0 <= excess <= capacity / 10
 *   I2  on is true exactly when fill == capacity; no excess otherwise
 *   I3  every window is counted once: last_ns never goes back
 */
#include "gc/limiter.h"

/* 100 ms of all processors: ten ticks. */
#define EXCESS_PART 10

static int64_t capacity_of(unsigned nprocs) {
  return (int64_t)nprocs * LIMITER_NS_PER_PROC;
}

/* I2 */
static bool publish(struct limiter *l) {
  bool full = l->fill == l->capacity;
  atomic_bool_store_relaxed(&l->on, full);
  return full;
}

void limiter_init(struct limiter *l, unsigned nprocs) {
  if (nprocs == 0) nprocs = 1;
  *l = (struct limiter){.nprocs = nprocs, .capacity = capacity_of(nprocs)};
}

bool limiter_update(struct limiter *l, int64_t gc_ns, int64_t program_ns) {
  l->fill += gc_ns - program_ns;
  if (l->fill < 0) l->fill = 0;
  if (l->fill > l->capacity) {
    l->overflow += l->fill - l->capacity;
    l->fill = l->capacity;
  }
  return publish(l);
}

/* limiter_update with what overflows kept. */
static void account(struct limiter *l, int64_t gc_ns, int64_t program_ns) {
  int64_t drain = program_ns - gc_ns, before = l->overflow;
  if (drain > 0) {
    int64_t excess = l->excess < drain ? l->excess : drain;
    l->excess -= excess;
    program_ns -= excess;
  }
  (void)limiter_update(l, gc_ns, program_ns);
  l->excess += l->overflow - before;
  int64_t most = l->capacity / EXCESS_PART;
  if (l->excess > most) l->excess = most;
}

void limiter_open(struct limiter *l, double background_share, int64_t now_ns) {
  l->background_share = background_share;
  l->last_ns = now_ns;
  atomic_i64_store_relaxed(&l->assist_ns, 0);
  atomic_i64_store_relaxed(&l->idle_ns, 0);
}

bool limiter_needs_tick(const struct limiter *l, int64_t now_ns) {
  return now_ns - l->last_ns >= LIMITER_PERIOD_NS;
}

/* The window's processor time, 0 when there is none. I3 */
static int64_t close_window(struct limiter *l, int64_t now_ns) {
  if (now_ns <= l->last_ns) return 0;
  int64_t window = (now_ns - l->last_ns) * (int64_t)l->nprocs;
  l->last_ns = now_ns;
  return window;
}

/* Exchanges have the order that they have: the sums are plain numbers. */
static int64_t take(struct atomic_i64 *pool) {
  return atomic_i64_exchange_acq_rel(pool, 0);
}

void limiter_tick(struct limiter *l, int64_t now_ns) {
  if (l->stopping) return; /* limiter_end_stop counts the whole of it */
  int64_t window = close_window(l, now_ns);
  if (window == 0) return;
  int64_t gc = take(&l->assist_ns);
  if (l->marking) gc += (int64_t)((double)window * l->background_share);
  int64_t program = window - gc - take(&l->idle_ns);
  /* Assists and idle time are noted when they end, maybe after the window in
   * which they were: more than there was is no time of the program's. */
  account(l, gc, program > 0 ? program : 0);
}

void limiter_begin_stop(struct limiter *l, bool marking, int64_t now_ns) {
  limiter_tick(l, now_ns);
  l->marking = marking;
  l->stopping = true;
}

void limiter_end_stop(struct limiter *l, int64_t now_ns) {
  l->stopping = false;
  account(l, close_window(l, now_ns), 0);
}

void limiter_resize(struct limiter *l, unsigned nprocs, int64_t now_ns) {
  limiter_tick(l, now_ns);
  l->nprocs = nprocs ? nprocs : 1;
  l->capacity = capacity_of(l->nprocs);
  if (l->fill > l->capacity) l->fill = l->capacity;
  l->excess = 0;
  (void)publish(l);
}
