// SPDX-License-Identifier: MIT
/* The limiter in simulated time: the cases of Go's TestGCCPULimiter, and any
 * sequence at all against a slow account. */
#include "gc/limiter.h"
#include "gc/markshare.h"
#include "support/rng.h"
#include <criterion/criterion.h>

#define PROCS 14
#define MS ((int64_t)1000000)
#define S (1000 * MS)
#define SHARE MARKSHARE_BACKGROUND

struct world {
  struct limiter l;
  int64_t now;
};

/* A window of ns with assists on `part` of the processors. */
static void pass(struct world *w, int64_t ns, double part) {
  limiter_add_assist(&w->l, (int64_t)(part * (double)ns * PROCS));
  w->now += ns;
  limiter_tick(&w->l, w->now);
}

static void stop(struct world *w, int64_t ns, bool marking) {
  limiter_begin_stop(&w->l, marking, w->now);
  w->now += ns;
  limiter_end_stop(&w->l, w->now);
}

static struct world begin(void) {
  struct world w = {.now = 5 * S};
  limiter_init(&w.l, PROCS);
  limiter_open(&w.l, SHARE, w.now);
  return w;
}

static void check(const struct world *w, int64_t fill, bool on) {
  cr_assert_eq(w->l.fill, fill, "fill %ld, not %ld", w->l.fill, fill);
  cr_assert_eq(limiter_limits(&w->l), on);
}

/* Marking, and the bucket full to the brim by assists. */
static struct world begin_full(void) {
  struct world w = begin();
  stop(&w, 0, true);
  pass(&w, S, 1 - SHARE);
  check(&w, PROCS * S, true);
  cr_assert_eq(w.l.overflow, 0);
  return w;
}

Test(limiter, fills_when_collecting_takes_over_half) {
  struct limiter l;
  limiter_init(&l, 2);
  for (int i = 0; i < 100; i++)
    cr_assert_not(limiter_update(&l, 40 * MS, 60 * MS));
  int n = 0;
  while (!limiter_update(&l, 60 * MS, 40 * MS)) n++;
  cr_assert_eq(n, 99, "2 s of processor time at 20 ms a cycle: %d", n);
  cr_assert(limiter_limits(&l));
  cr_assert_not(limiter_update(&l, 0, 1));
  cr_assert_not(limiter_limits(&l));
}

Test(limiter, program_alone_leaves_it_empty) {
  struct world w = begin();
  pass(&w, 10 * MS, 0);
  pass(&w, S, 0);
  pass(&w, 3600 * S, 0);
  check(&w, 0, false);
}

Test(limiter, tick_is_due_after_a_period) {
  struct world w = begin();
  w.now += LIMITER_PERIOD_NS / 2;
  cr_assert_not(limiter_needs_tick(&w.l, w.now));
  w.now += LIMITER_PERIOD_NS;
  cr_assert(limiter_needs_tick(&w.l, w.now));
  limiter_tick(&w.l, w.now);
  cr_assert_not(limiter_needs_tick(&w.l, w.now));
}

Test(limiter, stopped_world_is_the_collectors) {
  struct world w = begin();
  pass(&w, 109 * MS, 0);
  stop(&w, 2 * MS, true);
  check(&w, 2 * MS * PROCS, false);
  /* A tick in a stopped world leaves it to the end of the stop. */
  limiter_begin_stop(&w.l, true, w.now);
  pass(&w, MS, 0);
  check(&w, 2 * MS * PROCS, false);
  w.now += MS;
  limiter_end_stop(&w.l, w.now);
  check(&w, 4 * MS * PROCS, false);
}

Test(limiter, background_alone_drains_it_at_half_the_speed) {
  struct world w = begin();
  stop(&w, 2 * MS, true);
  /* A quarter marks and three quarters do not. */
  pass(&w, 2 * MS, 0);
  check(&w, MS * PROCS, false);
  pass(&w, 2 * MS, 0);
  check(&w, 0, false);
  pass(&w, 28 * S, 0);
  check(&w, 0, false);
}

Test(limiter, half_of_the_time_moves_nothing) {
  struct world w = begin();
  stop(&w, 3 * MS, true);
  pass(&w, S, 0.5 - SHARE);
  check(&w, 3 * MS * PROCS, false);
  w = begin_full();
  pass(&w, S, 0.5 - SHARE);
  check(&w, PROCS * S, true);
  cr_assert_eq(w.l.overflow, 0);
}

Test(limiter, all_of_the_time_fills_it_exactly) {
  struct world w = begin();
  stop(&w, 0, true);
  pass(&w, MS, 1 - SHARE);
  check(&w, PROCS * MS, false);
  pass(&w, S - MS, 1 - SHARE);
  check(&w, PROCS * S, true);
  cr_assert_eq(w.l.overflow, 0);
}

Test(limiter, drains_by_half_and_overflows) {
  struct world w = begin_full();
  pass(&w, S, 0);
  check(&w, PROCS * S / 2, false);
  pass(&w, S, 1 - SHARE);
  check(&w, PROCS * S, true);
  cr_assert_eq(w.l.overflow, PROCS * S / 2);
  /* The assists of a cycle that ends count in its last window. */
  limiter_add_assist(&w.l, (int64_t)((1 - SHARE) * (double)MS * PROCS));
  w.now += MS;
  stop(&w, 5 * MS, false);
  check(&w, PROCS * S, true);
  cr_assert_eq(w.l.overflow, PROCS * (S / 2 + 6 * MS));
  /* No cycle: everything drains, what is kept of the overflow first. */
  pass(&w, S / 10, 0);
  check(&w, PROCS * S, true);
  pass(&w, S / 2, 0);
  check(&w, PROCS * S / 2, false);
}

/* A collector that takes all it can get while it may, in ticks. */
Test(limiter, keeps_to_half_in_the_long_run) {
  struct world w = begin_full();
  double gc = 0;
  for (int i = 0; i < 3000; i++) {
    double part = limiter_limits(&w.l) ? 0 : 1 - SHARE;
    pass(&w, LIMITER_PERIOD_NS, part);
    gc += part + SHARE;
  }
  cr_assert_float_eq(gc / 3000, 0.5, 0.005, "%f", gc / 3000);
}

Test(limiter, resize_keeps_the_level_without_overflow) {
  struct world w = begin_full();
  limiter_resize(&w.l, PROCS + 10, w.now);
  check(&w, PROCS * S, false);
  limiter_resize(&w.l, PROCS - 10, w.now);
  check(&w, (PROCS - 10) * S, true);
  cr_assert_eq(w.l.overflow, 0);
  limiter_resize(&w.l, 0, w.now);
  check(&w, S, true);
  /* The time until a resize is that of the processors until then. */
  w.l.marking = false;
  w.now += S / 4;
  limiter_resize(&w.l, PROCS, w.now);
  check(&w, S * 3 / 4, false);
}

Test(limiter, idle_time_is_nobodys) {
  struct world w = begin();
  stop(&w, 2 * MS, true);
  /* A quarter marks, a quarter runs, half is idle: no change. */
  limiter_add_idle(&w.l, MS * PROCS / 2);
  pass(&w, MS, 0);
  check(&w, 2 * MS * PROCS, false);
  /* More than there was: noted late. It does not fill the bucket either. */
  limiter_add_idle(&w.l, 50 * MS * PROCS);
  pass(&w, MS, 0);
  check(&w, 2 * MS * PROCS + MS * PROCS / 4, false);
}

Test(limiter, clock_that_goes_back_changes_nothing) {
  struct world w = begin();
  stop(&w, 2 * MS, true);
  struct limiter before = w.l;
  limiter_tick(&w.l, w.now);
  limiter_tick(&w.l, w.now - S);
  cr_assert_eq(w.l.fill, before.fill);
  cr_assert_eq(w.l.last_ns, before.last_ns);
}

/* I1 to I3 after any sequence; the level against an account of seconds. */
Test(limiter, any_sequence_keeps_the_invariants) {
  struct rng r = rng_seed();
  struct world w = begin();
  int64_t level = 0, excess = 0;
  for (int i = 0; i < 100000; i++) {
    int64_t ns = (int64_t)rng_below(&r, 300) * MS;
    double part = (double)rng_below(&r, 4) / 4 * (w.l.marking ? 1 : 0);
    bool stops = rng_chance(&r, 5), marking = rng_chance(&r, 2);
    double share = stops ? 1 : part + (w.l.marking ? SHARE : 0);
    if (share > 1) part -= share - 1, share = 1;
    if (stops)
      stop(&w, ns, marking);
    else
      pass(&w, ns, part);
    level += excess + (int64_t)((2 * share - 1) * (double)ns * PROCS);
    if (level < 0) level = 0;
    excess = level > PROCS * S ? level - PROCS * S : 0;
    if (excess > PROCS * S / 10) excess = PROCS * S / 10;
    if (level > PROCS * S) level = PROCS * S;
    cr_assert(w.l.fill >= 0 && w.l.fill <= w.l.capacity, "I1");
    cr_assert(w.l.excess >= 0 && w.l.excess <= w.l.capacity / 10, "I1");
    cr_assert(w.l.excess == 0 || limiter_limits(&w.l), "I2");
    cr_assert_eq(limiter_limits(&w.l), w.l.fill == w.l.capacity, "I2");
    cr_assert_eq(w.l.last_ns, w.now, "I3");
    cr_assert(llabs(level - w.l.fill) < 1000, "step %d: %ld, not %ld", i,
              w.l.fill, level);
  }
}
