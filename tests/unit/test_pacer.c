// SPDX-License-Identifier: MIT
/* Pacing: arithmetic, so whole programs are simulated. */
#include "base/compiler.h"
#include "gc/pacer.h"
#include "support/rng.h"
#include <criterion/criterion.h>

#define MIB ((uint64_t)1 << 20)

static const struct pacer_config plain = {
    .percent = 100, .memory_limit = INT64_MAX, .goal_halflife_ns = 0};

static uint64_t goal(struct pacer_config c, struct pacer_input in) {
  return pacer_goal(&c, &in).goal;
}

Test(pacer, goal_follows_the_formula) {
  struct {
    int percent;
    uint64_t marked, stacks, globals, want;
  } t[] = {
      {100, 0, 0, 0, 4 * MIB},
      {200, 0, 0, 0, 8 * MIB},
      {50, 0, 0, 0, 2 * MIB},
      {100, 10 * MIB, 0, 0, 20 * MIB},
      {100, 10 * MIB, MIB, 2 * MIB, 23 * MIB},
      {200, 10 * MIB, MIB, 0, 32 * MIB},
      {10, 100 * MIB, 0, 0, 110 * MIB},
      /* Sweeping needs room before the next cycle. */
      {0, 10 * MIB, 0, 0, 11 * MIB},
      {-1, 10 * MIB, 0, 0, PACER_NO_GOAL},
  };
  for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
    struct pacer_config c = plain;
    c.percent = t[i].percent;
    struct pacer_input in = {.heap_marked = t[i].marked,
                             .stack_bytes = t[i].stacks,
                             .globals_bytes = t[i].globals};
    struct pacer_output out = pacer_goal(&c, &in);
    cr_assert_eq(out.goal, t[i].want, "row %zu: %lu", i, out.goal);
    cr_assert_eq(out.trigger, out.goal);
    cr_assert_not(out.by_limit);
  }
}

Test(pacer, huge_figures_saturate) {
  struct pacer_config c = plain;
  c.percent = 1000000;
  struct pacer_input in = {.heap_marked = UINT64_MAX / 2,
                           .globals_bytes = UINT64_MAX / 2};
  cr_assert_eq(goal(c, in), UINT64_MAX);
}

Test(pacer, limit_leaves_headroom_and_never_starves_the_program) {
  struct pacer_config c = plain;
  c.memory_limit = 100 * (int64_t)MIB;
  /* 20 MiB are not heap; 3 % of the other 80 stay free. */
  struct pacer_input in = {.heap_marked = 60 * MIB,
                           .mapped_ready = 90 * MIB,
                           .heap_free = 10 * MIB,
                           .heap_alloc = 60 * MIB};
  struct pacer_output out = pacer_goal(&c, &in);
  cr_assert(out.by_limit);
  cr_assert_eq(out.goal, 80 * MIB - 80 * MIB * 3 / 100);
  /* Small heaps: at least 1 MiB of headroom. */
  in = (struct pacer_input){
      .heap_marked = 2 * MIB, .mapped_ready = 95 * MIB, .heap_alloc = 2 * MIB};
  cr_assert_eq(goal(c, in), 4 * MIB); /* the percentage asks for less */
  c.percent = 1000;
  cr_assert_eq(goal(c, in), 6 * MIB);
  /* The limit is passed already: still some allocation between cycles. */
  in.mapped_ready = 300 * MIB;
  in.heap_marked = 250 * MIB;
  cr_assert_gt(goal(c, in), in.heap_marked);
  cr_assert_lt(goal(c, in), in.heap_marked + MIB);
  /* Without a percentage the limit alone counts. */
  c.percent = -1;
  in = (struct pacer_input){
      .heap_marked = 2 * MIB, .mapped_ready = 10 * MIB, .heap_alloc = 2 * MIB};
  cr_assert_gt(goal(c, in), 80 * MIB);
  /* With the limiter on the limit gives way by as much as is needed, and no more. */
  c.percent = 100;
  in = (struct pacer_input){.heap_marked = 98 * MIB,
                            .mapped_ready = 100 * MIB,
                            .even_bytes = 20 * MIB};
  cr_assert_lt(goal(c, in), 99 * MIB);
  in.limiter_on = true;
  cr_assert_eq(goal(c, in), 118 * MIB);
  in.even_bytes = 500 * MIB;
  cr_assert_eq(goal(c, in), 196 * MIB);
}

/* With any figures: goal above what is live; a limit only ever lowers it. */
Test(pacer, any_input_gives_a_goal_above_live) {
  struct rng r = rng_seed();
  for (int i = 0; i < 100000; i++) {
    struct pacer_config c = plain;
    c.percent = (int)rng_below(&r, 400);
    struct pacer_input in = {.heap_marked =
                                 rng_u64(&r) >> (20 + rng_below(&r, 40)),
                             .stack_bytes = rng_below(&r, MIB),
                             .globals_bytes = rng_below(&r, 8 * MIB)};
    in.heap_alloc = in.heap_marked;
    in.heap_free = rng_below(&r, 100 * MIB);
    in.mapped_ready = in.heap_alloc + in.heap_free + rng_below(&r, 64 * MIB);
    uint64_t free_goal = goal(c, in);
    cr_assert_gt(free_goal, in.heap_marked);
    c.memory_limit = (int64_t)(rng_u64(&r) >> (20 + rng_below(&r, 40)));
    uint64_t limited = goal(c, in);
    cr_assert_gt(limited, in.heap_marked);
    cr_assert_leq(limited, free_goal);
  }
}

/* A program whose live heap goes up and down, simulated: cycles and peak. */
static unsigned simulate(int64_t halflife, uint64_t *peak) {
  struct pacer_config c = plain;
  c.goal_halflife_ns = halflife;
  unsigned cycles = 0;
  uint64_t live = 0, last = 0, trigger = 4 * MIB, heap = 0;
  int64_t now = 0, set = 0;
  *peak = 0;
  for (int step = 0; step < 40000; step++, now += 100000) {
    /* 64 KiB in 0.1 ms, of which a sawtooth of 100 MiB stays. */
    uint64_t phase = (uint64_t)step % 4000;
    live = phase * 100 * MIB / 4000;
    heap += 64 << 10;
    if (heap < live) heap = live;
    if (heap > *peak) *peak = heap;
    if (heap < trigger) continue;
    struct pacer_input in = {
        .heap_marked = live, .last_goal = last, .last_goal_age_ns = now - set};
    struct pacer_output out = pacer_goal(&c, &in);
    last = out.goal;
    trigger = out.trigger;
    heap = live;
    set = now;
    cycles++;
  }
  return cycles;
}

Test(pacer, slow_fall_saves_cycles_without_more_memory) {
  uint64_t peak_free, peak_slow;
  unsigned freely = simulate(0, &peak_free);
  unsigned slowly = simulate(5000000000, &peak_slow);
  fprintf(stderr, "cycles: %u free, %u slow\n", freely, slowly);
  cr_assert_lt(slowly * 3, freely * 2);
  /* What the highest live heap needs, whenever it is met. */
  cr_assert_leq(peak_free, 200 * MIB);
  cr_assert_leq(peak_slow, 200 * MIB);
}

Test(pacer, goal_halves_with_its_age) {
  struct pacer_config c = plain;
  c.goal_halflife_ns = 1000;
  struct {
    int64_t age;
    uint64_t want;
  } t[] = {{0, 800},    {500, 600}, {1000, 400},   {1500, 300},
           {3000, 100}, {9000, 20}, {1000000, 20}, {INT64_MAX, 20}};
  for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
    struct pacer_input in = {.heap_marked = 10 * MIB,
                             .last_goal = 800 * MIB,
                             .last_goal_age_ns = t[i].age};
    struct pacer_output out = pacer_goal(&c, &in);
    cr_assert_eq(out.goal, t[i].want * MIB, "age %ld: %lu", t[i].age, out.goal);
    cr_assert_eq(out.settled, 20 * MIB);
  }
}

Test(pacer, slow_fall_stands_aside_under_a_limit) {
  struct pacer_config c = plain;
  c.goal_halflife_ns = 1000;
  struct pacer_input in = {.heap_marked = 10 * MIB, .last_goal = 500 * MIB};
  cr_assert_eq(goal(c, in), 500 * MIB);
  c.memory_limit = 1000 * (int64_t)MIB;
  cr_assert_eq(goal(c, in), 20 * MIB);
}

Test(pacer, sweep_ratio_finishes_before_the_trigger) {
  struct rng r = rng_seed();
  for (int i = 0; i < 10000; i++) {
    uint64_t live = rng_below(&r, 1000 * MIB);
    uint64_t trigger = live + 2 * MIB + rng_below(&r, 1000 * MIB);
    uint64_t pages = rng_below(&r, 200000);
    double ratio = pacer_sweep_ratio(pages, live, trigger);
    cr_assert_geq(ratio * (double)(trigger - live), (double)pages);
  }
  cr_assert_eq(pacer_sweep_ratio(0, MIB, 100 * MIB), 0.0);
  /* At the trigger already: all at once, and still finite. */
  cr_assert_lt(pacer_sweep_ratio(1000, MIB, MIB), 1.0);
}

/* There would be no further collection otherwise, and no end to growing. */
Test(pacer, limit_that_gives_way_without_a_percentage_still_has_a_goal) {
  struct pacer_config c = plain;
  c.percent = -1;
  c.memory_limit = 100 * (int64_t)MIB;
  struct pacer_input in = {.heap_marked = 98 * MIB,
                           .mapped_ready = 100 * MIB,
                           .limiter_on = true,
                           .even_bytes = 98 * MIB};
  cr_assert_eq(goal(c, in), 196 * MIB);
  /* Who has switched both off wants no collection. */
  c.memory_limit = PACER_NO_LIMIT;
  cr_assert_eq(goal(c, in), PACER_NO_GOAL);
}

/* A program with `alive` bytes under a limit of 100 MiB allocates 500 MB in a second,
 * and each cycle stops it for 50 ms; for 30 s of simulated time. */
static void near_the_limit(uint64_t alive, double *share, uint64_t *peak) {
  const int64_t stop_ns = 50000000, run_ns = (int64_t)30 * 1000000000;
  struct pacer_config c = plain;
  c.memory_limit = 100 * (int64_t)MIB;
  struct pacer p;
  struct limiter l;
  pacer_init(&p, &c);
  limiter_init(&l, 2);
  int64_t now = 0, ran = 0;
  uint64_t live = 0;
  *peak = 0;
  while (now < run_ns) {
    int64_t program_ns = p.trigger > live ? (int64_t)(p.trigger - live) * 2 : 0;
    live += (uint64_t)program_ns / 2;
    now += program_ns;
    if (now > run_ns / 2) ran += program_ns;
    if (live > *peak) *peak = live;
    limiter_begin_stop(&l, false, now);
    struct pacer_end e = {.now_ns = now += stop_ns,
                          .heap_live = live,
                          .heap_marked = alive,
                          .taken_ns = stop_ns,
                          .program_ns = program_ns,
                          .memory = {live, 0, live},
                          .forced = true};
    limiter_end_stop(&l, now);
    pacer_end_cycle(&p, &e);
    pacer_stop_next(&p, limiter_limits(&l));
    live = alive;
  }
  *share = (double)ran / (double)(run_ns / 2);
}

Test(pacer, a_program_near_its_limit_keeps_half_of_its_time) {
  double share;
  uint64_t peak;
  const uint64_t alive[] = {50, 70, 80, 90, 95, 98, 100, 120};
  for (size_t i = 0; i < array_len(alive); i++) {
    near_the_limit(alive[i] * MIB, &share, &peak);
    cr_assert_gt(share, 0.45, "%d MiB: %f", (int)alive[i], share);
    /* 50 ms of allocation: 25 MB. */
    uint64_t most = alive[i] * MIB + 26 * MIB;
    if (most < 100 * MIB) most = 100 * MIB;
    cr_assert_lt(peak, most, "%d MiB: %d", (int)alive[i], (int)(peak / MIB));
  }
}
