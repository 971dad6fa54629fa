// SPDX-License-Identifier: MIT
/* The scavenger's pace in simulated time, and its goals. */
#include "page/scavpace.h"
#include "support/rng.h"
#include <criterion/criterion.h>
#include <math.h>

#define PHYS 4096u

/* A world in which scavenging a page costs page_ns and sleeps overrun. */
struct sim {
  struct scavpace pace;
  struct rng rng;
  uint64_t now_ns, worked_ns;
  size_t left, released, stop_after; /* bytes */
  double page_ns;
  double overrun; /* a sleep takes up to 1 + overrun times as long */
  unsigned nprocs;
  bool coarse_clock;
};

static size_t sim_scavenge(void *arg, size_t n, int64_t *ns) {
  struct sim *s = arg;
  size_t got = n < s->left ? n : s->left;
  double cost = s->page_ns * (double)(got / PHYS);
  s->left -= got;
  s->released += got;
  s->now_ns += (uint64_t)cost;
  s->worked_ns += (uint64_t)cost;
  *ns = s->coarse_clock ? 0 : (int64_t)cost;
  return got;
}

static bool sim_should_stop(void *arg) {
  struct sim *s = arg;
  return s->stop_after && s->released >= s->stop_after;
}

static int64_t sim_sleep(void *arg, int64_t ns) {
  struct sim *s = arg;
  double extra = s->overrun * (double)rng_below(&s->rng, 1000) / 1000;
  int64_t took = ns + (int64_t)((double)ns * extra);
  s->now_ns += (uint64_t)took;
  return took;
}

static unsigned sim_nprocs(void *arg) { return ((struct sim *)arg)->nprocs; }

static const struct scavpace_ops sim_ops = {sim_scavenge, sim_should_stop,
                                            sim_sleep, sim_nprocs};

static void sim_init(struct sim *s, size_t bytes) {
  *s = (struct sim){
      .rng = rng_from(7), .left = bytes, .page_ns = 1000, .nprocs = 1};
  scavpace_init(&s->pace, &sim_ops, s, PHYS);
}

/* Runs rounds until a round does nothing. */
static unsigned sim_run(struct sim *s) {
  unsigned rounds = 0;
  for (;; rounds++) {
    double worked;
    if (scavpace_work(&s->pace, &worked) == 0) return rounds;
    scavpace_sleep(&s->pace, worked);
    cr_assert(s->pace.sleep_ratio >= SCAVPACE_RATIO_MIN &&
              s->pace.sleep_ratio <= SCAVPACE_RATIO_MAX);
    cr_assert_lt(rounds, 1000000u);
  }
}

Test(scavpace, work_is_done_exactly_and_parks_when_nothing_is_left) {
  static const size_t sizes[] = {1, 4096, 65536, 65537, 1u << 20, 100u << 20};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    struct sim s;
    double worked = 5;
    sim_init(&s, sizes[i]);
    sim_run(&s);
    cr_expect_eq(s.released, sizes[i]);
    cr_expect_eq(scavpace_work(&s.pace, &worked), 0u);
    cr_expect_eq(worked, 0.0);
  }
}

Test(scavpace, a_round_works_at_least_one_millisecond) {
  struct sim s;
  double worked;
  sim_init(&s, 1u << 30);
  size_t got = scavpace_work(&s.pace, &worked);
  cr_expect_geq(worked, SCAVPACE_MIN_WORK_NS);
  cr_expect_leq(worked, SCAVPACE_MIN_WORK_NS + 16 * 1000.0);
  cr_expect_eq(got % SCAVPACE_QUANTUM, 0u);
}

Test(scavpace, stops_at_the_goal) {
  struct sim s;
  sim_init(&s, 1u << 30);
  s.stop_after = 10u << 20;
  sim_run(&s);
  cr_expect_eq(s.released, 10u << 20);
}

/* Go's TestScavenger: 1 % of the processors' time, whatever a page costs and
 * however badly sleep keeps time. */
Test(scavpace, cpu_fraction_comes_to_one_percent) {
  static const double costs[] = {100, 1000, 10000, 60000};
  static const double overruns[] = {0, 0.1, 0.5};
  static const unsigned procs[] = {1, 2, 16};
  for (size_t c = 0; c < 4; c++)
    for (size_t o = 0; o < 3; o++)
      for (size_t p = 0; p < 3; p++) {
        struct sim s;
        /* 2 s of work: the first round sleeps 1,000 times what it worked. */
        sim_init(&s, (size_t)(2e9 / costs[c]) * PHYS);
        s.page_ns = costs[c];
        s.overrun = overruns[o];
        s.nprocs = procs[p];
        sim_run(&s);
        double fraction = (double)s.worked_ns / ((double)s.now_ns * s.nprocs);
        cr_expect(fabs(fraction - 0.01) < 0.005,
                  "page %g ns, overrun %g, %u procs: %g", costs[c], overruns[o],
                  procs[p], fraction);
        cr_expect_eq(s.pace.ncontroller_failures, 0u);
      }
}

Test(scavpace, coarse_clock_counts_ten_microseconds_a_page) {
  struct sim s;
  double worked;
  sim_init(&s, SCAVPACE_QUANTUM);
  s.coarse_clock = true;
  scavpace_work(&s.pace, &worked);
  cr_expect_eq(worked, 16 * 10e3);
}

static int64_t broken_sleep(void *arg, int64_t ns) {
  (void)arg;
  (void)ns;
  return 0;
}

/* No time worked and none slept: 0 / 0. The controller fails and rests for 5 s
 * of work and sleep. */
Test(scavpace, controller_failure_cools_down_for_five_seconds) {
  struct sim s;
  sim_init(&s, 1u << 30);
  struct scavpace_ops ops = sim_ops;
  ops.sleep = broken_sleep;
  s.pace.ops = &ops;
  scavpace_sleep(&s.pace, 0);
  cr_expect_eq(s.pace.ncontroller_failures, 1u);
  cr_expect_eq(s.pace.sleep_ratio, SCAVPACE_RATIO_START);
  cr_expect_eq(s.pace.cooldown_ns, SCAVPACE_COOLDOWN_NS);
  s.pace.ops = &sim_ops;
  uint64_t from = s.now_ns;
  while (s.pace.cooldown_ns > 0) {
    scavpace_sleep(&s.pace, 1e6);
    cr_expect_eq(s.pace.sleep_ratio, SCAVPACE_RATIO_START);
  }
  cr_expect_geq(s.now_ns - from, 4900000000ull);
  cr_expect_leq(s.now_ns - from, 7000000000ull);
  scavpace_sleep(&s.pace, 1e6);
  cr_expect_eq(s.pace.ncontroller_failures, 1u);
}

/* ---- the controller ---- */

static double random_double(struct rng *r) {
  union {
    uint64_t u;
    double d;
  } x = {.u = rng_u64(r)};
  switch (rng_below(r, 6)) {
  case 0:
    return (double)rng_below(r, 1000) / 1000;
  case 1:
    return 0;
  case 2:
    return (double)rng_u64(r);
  default:
    return x.d;
  }
}

Test(scavpace, picontrol_fuzz_never_gives_nan_or_leaves_the_bounds) {
  struct rng r = rng_seed();
  for (int round = 0; round < 20000; round++) {
    struct picontrol c = {.kp = random_double(&r),
                          .ti = random_double(&r),
                          .tt = random_double(&r),
                          .min = -1000,
                          .max = (double)rng_below(&r, 1000)};
    for (int i = 0; i < 20; i++) {
      bool ok;
      double out = picontrol_next(&c, random_double(&r), random_double(&r),
                                  random_double(&r), &ok);
      cr_assert(isfinite(out) && out >= c.min && out <= c.max, "out=%g", out);
      cr_assert(isfinite(c.err_integral));
      cr_assert(ok || (out == c.min && c.err_integral == 0));
    }
  }
}

/* A plant that cannot follow winds the integral up; the reset term must let the
 * output leave its bound soon after the error changes its sign. */
Test(scavpace, picontrol_does_not_wind_up) {
  struct picontrol c = {.kp = 1, .ti = 10, .tt = 5, .min = 0, .max = 1};
  bool ok;
  double out = 0;
  for (int i = 0; i < 1000; i++) out = picontrol_next(&c, 0, 1, 1, &ok);
  cr_expect_eq(out, 1.0);
  int steps = 0;
  while (out > 0.5 && steps < 1000) {
    out = picontrol_next(&c, 1.5, 1, 1, &ok);
    steps++;
  }
  cr_expect_leq(steps, 10, "%d steps", steps);
}

Test(scavpace, picontrol_proportional_and_integral_parts) {
  struct picontrol c = {.kp = 2, .ti = 4, .tt = 1, .min = -100, .max = 100};
  bool ok;
  cr_expect_eq(picontrol_next(&c, 1, 4, 2, &ok), 6.0); /* kp * 3 */
  cr_expect_eq(c.err_integral, 3.0);                   /* kp * 2 / 4 * 3 */
  cr_expect_eq(picontrol_next(&c, 1, 4, 2, &ok), 9.0);
}

/* ---- goals ---- */

Test(scavpace, gc_goal_is_ten_percent_over_the_scaled_heap) {
  const uint64_t m = 1u << 20;
  cr_expect_eq(scavenge_gc_goal(100 * m, 200 * m, 0, 500 * m, PHYS),
               SCAVENGE_NO_GOAL, "no collection yet");
  uint64_t g = scavenge_gc_goal(100 * m, 200 * m, 200 * m, 500 * m, PHYS);
  cr_expect_eq(g / m, 110u);
  cr_expect_eq(g % PHYS, 0u);
  g = scavenge_gc_goal(100 * m, 300 * m, 200 * m, 500 * m, PHYS);
  cr_expect_eq(g / m, 165u);
  cr_expect_eq(scavenge_gc_goal(100 * m, 200 * m, 200 * m, 110 * m, PHYS),
               SCAVENGE_NO_GOAL);
  g = scavenge_gc_goal(100 * m, 200 * m, 200 * m, 500 * m, PHYS);
  cr_expect_eq(scavenge_gc_goal(100 * m, 200 * m, 200 * m, g + PHYS - 1, PHYS),
               SCAVENGE_NO_GOAL, "less than a physical page over");
  cr_expect_eq(scavenge_gc_goal(100 * m, 200 * m, 200 * m, g + PHYS, PHYS), g);
  cr_expect_eq(scavenge_gc_goal(100 * m, UINT64_MAX, 1, 500 * m, PHYS),
               SCAVENGE_NO_GOAL, "huge goals do not overflow");
}

Test(scavpace, limit_goal_is_95_percent) {
  const int64_t m = 1 << 20;
  cr_expect_eq(scavenge_limit_goal(INT64_MAX, 1ull << 50), SCAVENGE_NO_GOAL);
  cr_expect_eq(scavenge_limit_goal(-1, 1ull << 50), SCAVENGE_NO_GOAL);
  cr_expect_eq(scavenge_limit_goal(1000 * m, (uint64_t)(950 * m)),
               SCAVENGE_NO_GOAL);
  cr_expect_eq(scavenge_limit_goal(1000 * m, (uint64_t)(950 * m) + 1),
               (uint64_t)(950 * m));
  cr_expect_eq(scavenge_limit_goal(0, 1), 0u);
}
