// SPDX-License-Identifier: MIT
/*
 * The pacer over the scenarios, and within the tolerances, of Go's TestGcPacer.
 * The names are Go's. Rates are KiB in a millisecond of one processor.
 */
#include "support/gcsim.h"
#include "support/rng.h"
#include <criterion/criterion.h>
#include <math.h>

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define MAX_CYCLES 100
#define NPROCS 8
#define SURVIVORS_AT_FIRST (256 * KIB)
#define LIMIT (512 * (int64_t)MIB)
/* Less the headroom of 3 %. */
#define LIMIT_GOAL ((uint64_t)LIMIT - (uint64_t)LIMIT * 3 / 100)
#define GOAL_UTILIZATION 0.25

struct scenario {
  int percent;
  int64_t limit; /* 0: none */
  int cycles;
  uint64_t globals;
  double stacks; /* bytes, reached in 8 cycles; 0: 8 KiB always */
  double alloc, scan;
  double alloc_step;                  /* on top of alloc, from cycle 51 on */
  double alloc_wave;                  /* amplitude of a wave of 8 cycles */
  double alloc_jitter;                /* at random, plus or minus */
  double growth;                      /* of survivors, falling to 1 ... */
  int settles;                        /* ... in so many cycles */
  double growth_jitter, growth_spike; /* the spike in cycle 25 */
  double dense, dense_spike;          /* the spike in cycle 50 */
};

struct run {
  const struct scenario *s;
  struct gcsim_result r[MAX_CYCLES];
};

static double jitter(struct rng *r, double amplitude) {
  double unit = (double)(rng_u64(r) >> 11) / 0x1p53;
  return (2 * unit - 1) * amplitude;
}

static double growth_of(const struct scenario *s, int cycle, struct rng *r) {
  double part = cycle < s->settles ? (double)cycle / s->settles : 1;
  double growth = s->growth + (1 - s->growth) * part;
  growth += jitter(r, s->growth_jitter);
  return cycle == 25 ? growth + s->growth_spike : growth;
}

static struct gcsim_program program_of(const struct scenario *s, int cycle,
                                       uint64_t survivors, struct rng *r) {
  /* KiB in a millisecond are 1024 bytes in a million nanoseconds. */
  const double rate = 1024.0 / 1e6;
  double alloc = s->alloc + jitter(r, s->alloc_jitter);
  alloc += s->alloc_wave * sin(2 * M_PI * cycle / 8);
  if (cycle > 50) alloc += s->alloc_step;
  double ramp = cycle < 8 ? cycle / 8.0 : 1;
  struct gcsim_program p = {
      .alloc = alloc * rate,
      .scan = s->scan * rate,
      .dense = s->dense + (cycle == 50 ? s->dense_spike : 0),
      .survivors = survivors,
      .stacks = s->stacks > 0 ? 2048 + (uint64_t)(s->stacks * ramp) : 8 * KIB,
      .globals = s->globals};
  return p;
}

static void run(struct run *out, const struct scenario *s) {
  struct rng rng = rng_seed();
  struct pacer_config c = {.percent = s->percent,
                           .memory_limit =
                               s->limit ? s->limit : PACER_NO_LIMIT};
  struct gcsim sim;
  uint64_t survivors = SURVIVORS_AT_FIRST;
  int broken;
  out->s = s;
  gcsim_init(&sim, &c, NPROCS);
  for (int i = 0; i < s->cycles; i++) {
    double growth = growth_of(s, i, &rng);
    if (i > 0) survivors = (uint64_t)((double)survivors * growth);
    struct gcsim_program p = program_of(s, i, survivors, &rng);
    out->r[i] = gcsim_cycle(&sim, &p);
    const struct gcsim_result *r = &out->r[i];
    fprintf(stderr, "%3d %5.1f%% %lu->%lu->%lu (goal %lu)\n", i,
            100 * r->utilization, r->marked_before, r->trigger, r->peak,
            r->goal);
    cr_assert(pacer_verify(&sim.pacer, &broken), "I%d", broken);
  }
}

/* --- conditions --- */

/* x within eps of want. */
#define assert_near(x, want, eps)                                              \
  cr_assert(fabs((x) - (want)) <= (eps), "cycle %d: %f, not %f", i,            \
            (double)(x), (double)(want))
#define assert_in(x, lo, hi)                                                   \
  cr_assert((x) >= (lo) && (x) <= (hi), "cycle %d: %f", i, (double)(x))

static double goal_ratio(const struct gcsim_result *r) {
  return (double)r->peak / (double)r->goal;
}

static double trigger_ratio(const struct gcsim_result *r) {
  return (double)(r->trigger - r->marked_before) /
         (double)(r->goal - r->marked_before);
}

/* From `from` on: a quarter of the time, hardly changing, at the goal. */
static void check_steady(const struct run *t, int from) {
  for (int i = from; i < t->s->cycles; i++) {
    assert_near(t->r[i].utilization, GOAL_UTILIZATION, 0.005);
    assert_near(t->r[i].utilization, t->r[i - 1].utilization, 0.005);
    assert_in(goal_ratio(&t->r[i]), 0.95, 1.05);
  }
}

/* Settled before the step in cycle 50, and again 25 cycles after it. */
static void check_step(const struct run *t) {
  for (int i = 24; i < t->s->cycles; i++) {
    if (i >= 49 && i < 74) continue;
    assert_near(t->r[i].utilization, t->r[i - 1].utilization, 0.005);
    assert_in(goal_ratio(&t->r[i]), 0.95, 1.05);
  }
}

static void check_varying(const struct run *t) {
  for (int i = 12; i < t->s->cycles; i++) {
    assert_in(goal_ratio(&t->r[i]), 0.95, 1.05);
    assert_in(t->r[i].utilization, 0.25, 0.3);
  }
}

static void check_slow_alloc(const struct run *t, int from) {
  for (int i = from; i < t->s->cycles; i++) {
    assert_in(goal_ratio(&t->r[i]), 0.925, 1.025);
    assert_in(trigger_ratio(&t->r[i]), 0.925, 0.975);
  }
}

static void check_levelled(const struct run *t) {
  for (int i = 25; i < t->s->cycles; i++) {
    assert_near(t->r[i].utilization, GOAL_UTILIZATION, 0.005);
    assert_near(t->r[i].utilization, t->r[i - 1].utilization, 0.05);
    assert_near(t->r[i].utilization, t->r[11].utilization, 0.05);
  }
}

static void check_over_limit(const struct run *t) {
  for (int i = 12; i < t->s->cycles; i++)
    cr_assert_eq(t->r[i].goal, t->r[i].marked_before, "cycle %d", i);
  for (int i = 24; i < t->s->cycles; i++) {
    /* It is the limiter's part to prevent this. */
    assert_near(t->r[i].utilization, 1.0, 0.005);
    assert_near(t->r[i].utilization, t->r[i - 1].utilization, 0.005);
  }
}

static void check_goal_is_limit(const struct run *t, int from, int to) {
  for (int i = from; i < to; i++)
    cr_assert_eq(t->r[i].goal, LIMIT_GOAL, "cycle %d: %lu", i, t->r[i].goal);
}

static void check_limit_kept(const struct run *t) {
  for (int i = 0; i < t->s->cycles; i++)
    cr_assert_leq(t->r[i].peak, (uint64_t)LIMIT, "cycle %d", i);
}

/* --- scenarios --- */

#define COMMON                                                                 \
  .percent = 100, .globals = 32 * KIB, .scan = 1024, .growth = 2,              \
  .settles = 12, .dense = 1

Test(pacer, Steady) {
  struct scenario s = {COMMON, .alloc = 33, .cycles = 50};
  struct run t;
  run(&t, &s);
  check_steady(&t, 24);
}

Test(pacer, SteadyBigStacks) {
  struct scenario s = {COMMON, .alloc = 132, .cycles = 50,
                       .stacks = 128.0 * (double)MIB};
  struct run t;
  run(&t, &s);
  check_steady(&t, 24);
}

Test(pacer, SteadyBigGlobals) {
  struct scenario s = {COMMON, .alloc = 132, .cycles = 50};
  struct run t;
  s.globals = 128 * MIB;
  run(&t, &s);
  check_steady(&t, 24);
}

Test(pacer, StepAlloc) {
  struct scenario s = {COMMON, .alloc = 33, .alloc_step = 66, .cycles = 100};
  struct run t;
  run(&t, &s);
  check_step(&t);
}

Test(pacer, HeavyStepAlloc) {
  struct scenario s = {COMMON, .alloc = 33, .alloc_step = 330, .cycles = 100};
  struct run t;
  run(&t, &s);
  check_step(&t);
}

Test(pacer, StepScannableFrac) {
  struct scenario s = {COMMON, .alloc = 128, .dense_spike = 0.5, .cycles = 100};
  struct run t;
  s.dense = 0.2;
  run(&t, &s);
  check_step(&t);
}

Test(pacer, HighGOGC) {
  struct scenario s = {COMMON,
                       .alloc = 165,
                       .cycles = 50,
                       .alloc_jitter = 7,
                       .growth_jitter = 0.01,
                       .growth_spike = 14};
  struct run t;
  s.percent = 1500;
  run(&t, &s);
  for (int i = 12; i < s.cycles; i++) {
    /* With so high a percentage the trigger is early; the live heap that grows
     * fifteenfold in cycle 25 may take the heap to the next goal. */
    assert_in(goal_ratio(&t.r[i]), 0.90, i == 25 ? 15 : 1.05);
    assert_near(t.r[i].utilization, GOAL_UTILIZATION, GOAL_UTILIZATION + 0.03);
    assert_near(t.r[i].utilization, t.r[i - 1].utilization, 0.03);
  }
}

Test(pacer, OscAlloc) {
  struct scenario s = {COMMON, .alloc = 67, .alloc_wave = 13, .cycles = 50};
  struct run t;
  run(&t, &s);
  check_varying(&t);
}

Test(pacer, JitterAlloc) {
  struct scenario s = {COMMON, .alloc = 132, .alloc_jitter = 13,
                       .growth_jitter = 0.01, .cycles = 50};
  struct run t;
  run(&t, &s);
  check_varying(&t);
}

Test(pacer, HeavyJitterAlloc) {
  struct scenario s = {COMMON, .alloc = 330, .alloc_jitter = 33,
                       .growth_jitter = 0.01, .cycles = 50};
  struct run t;
  run(&t, &s);
  for (int i = 13; i < s.cycles; i++) {
    assert_in(goal_ratio(&t.r[i]), 0.95, 1.05);
    assert_near(t.r[i].utilization, t.r[i - 1].utilization, 0.05);
    assert_near(t.r[i].utilization, t.r[11].utilization, 0.05);
  }
}

static const struct scenario slow = {.percent = 100,
                                     .globals = 32 * KIB,
                                     .alloc = 1,
                                     .scan = 2048,
                                     .growth = 2,
                                     .dense = 0.01,
                                     .cycles = 50};

Test(pacer, SmallHeapSlowAlloc) {
  struct scenario s = slow;
  struct run t;
  s.settles = 3;
  run(&t, &s);
  check_slow_alloc(&t, 4);
  check_levelled(&t);
}

Test(pacer, MediumHeapSlowAlloc) {
  struct scenario s = slow;
  struct run t;
  s.settles = 8;
  run(&t, &s);
  check_slow_alloc(&t, 9);
  check_levelled(&t);
}

Test(pacer, LargeHeapSlowAlloc) {
  struct scenario s = slow;
  struct run t;
  s.settles = 12;
  s.growth = 4;
  run(&t, &s);
  for (int i = 13; i < s.cycles; i++) {
    assert_in(goal_ratio(&t.r[i]), 0.95, 1.05);
    /* The trigger is 4 MiB before the goal. */
    assert_near((double)(t.r[i].goal - t.r[i].trigger), (double)(4 * MIB),
                (double)(64 * KIB));
  }
  check_levelled(&t);
}

Test(pacer, SteadyMemoryLimit) {
  struct scenario s = {COMMON, .alloc = 33, .limit = LIMIT, .cycles = 50};
  struct run t;
  run(&t, &s);
  for (int i = 0; i < s.cycles; i++) cr_assert_lt(t.r[i].peak, LIMIT_GOAL);
  check_steady(&t, 24);
}

Test(pacer, SteadyMemoryLimitNoGCPercent) {
  struct scenario s = {COMMON, .alloc = 33, .limit = LIMIT, .cycles = 50};
  struct run t;
  s.percent = -1;
  run(&t, &s);
  check_goal_is_limit(&t, 0, s.cycles);
  check_limit_kept(&t);
  check_steady(&t, 24);
}

Test(pacer, ExceedMemoryLimit) {
  struct scenario s = {COMMON, .alloc = 33, .limit = LIMIT, .cycles = 50};
  struct run t;
  s.growth = 3.5;
  run(&t, &s);
  check_over_limit(&t);
}

Test(pacer, ExceedMemoryLimitNoGCPercent) {
  struct scenario s = {COMMON, .alloc = 33, .limit = LIMIT, .cycles = 50};
  struct run t;
  s.growth = 3.5;
  s.percent = -1;
  run(&t, &s);
  check_goal_is_limit(&t, 0, 9);
  check_over_limit(&t);
}

Test(pacer, MaintainMemoryLimit) {
  struct scenario s = {COMMON, .alloc = 33, .limit = LIMIT, .cycles = 50};
  struct run t;
  s.growth = 3;
  run(&t, &s);
  check_goal_is_limit(&t, 12, s.cycles);
  check_limit_kept(&t);
  check_steady(&t, 24);
}

Test(pacer, MaintainMemoryLimitNoGCPercent) {
  struct scenario s = {COMMON, .alloc = 33, .limit = LIMIT, .cycles = 50};
  struct run t;
  s.growth = 3;
  s.percent = -1;
  run(&t, &s);
  check_goal_is_limit(&t, 0, s.cycles);
  check_limit_kept(&t);
  check_steady(&t, 24);
}
