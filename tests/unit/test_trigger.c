// SPDX-License-Identifier: MIT
/* Runway, trigger and the rates that they follow from. */
#include "gc/trigger.h"
#include "support/rng.h"
#include <criterion/criterion.h>
#include <math.h>

#define MIB ((uint64_t)1 << 20)
#define S ((int64_t)1000000000)

/* 8 processors for 1 s, of which two mark. */
static const struct consmark_sample plain = {.allocated = 60 * MIB,
                                             .scanned = 1000 * MIB,
                                             .total_ns = 8 * S,
                                             .gc_ns = 2 * S};

static double noted(struct consmark_sample s) {
  struct consmark c = {0};
  consmark_note(&c, &s);
  return c.now;
}

Test(consmark, is_the_quotient_of_two_rates) {
  /* 10 MiB/s of each of six, 500 MiB/s of each of two. */
  cr_assert_float_eq(noted(plain), 0.02, 1e-9);
  struct consmark_sample s = plain;
  s.gc_ns = 4 * S; /* with assists: 15 and 250 */
  cr_assert_float_eq(noted(s), 0.06, 1e-9);
  s = plain;
  s.idle_ns =
      2 * S; /* scanned by four, allocated by six: it took none from them */
  cr_assert_float_eq(noted(s), 0.04, 1e-9);
}

Test(consmark, cycle_without_figures_is_ignored) {
  struct consmark c = {0};
  consmark_note(&c, &plain);
  struct consmark before = c;
  struct consmark_sample s = plain;
  s.scanned = 0;
  consmark_note(&c, &s);
  s = plain;
  s.total_ns = 0;
  consmark_note(&c, &s);
  s = plain;
  s.gc_ns = 0;
  consmark_note(&c, &s);
  cr_assert_eq(memcmp(&c, &before, sizeof c), 0);
}

Test(consmark, greatest_of_five_counts) {
  struct consmark c = {0};
  struct consmark_sample high = plain;
  high.allocated *= 10;
  consmark_note(&c, &high);
  for (int i = 0; i < CONSMARK_HISTORY; i++) {
    consmark_note(&c, &plain);
    cr_assert_float_eq(c.now, 0.2, 1e-9, "after %d", i);
  }
  consmark_note(&c, &plain);
  cr_assert_float_eq(c.now, 0.02, 1e-9);
}

Test(consmark, any_figures_are_finite) {
  struct rng r = rng_seed();
  struct consmark c = {0};
  for (int i = 0; i < 100000; i++) {
    struct consmark_sample s = {
        .allocated = rng_u64(&r) >> rng_below(&r, 64),
        .scanned = rng_u64(&r) >> rng_below(&r, 64),
        .total_ns = (int64_t)(rng_u64(&r) >> (1 + rng_below(&r, 63))),
        .gc_ns = (int64_t)(rng_u64(&r) >> (1 + rng_below(&r, 63))),
        .idle_ns = (int64_t)(rng_u64(&r) >> (2 + rng_below(&r, 62)))};
    /* Half of the greatest: the sum of two is to be a number. */
    s.gc_ns /= 2;
    consmark_note(&c, &s);
    cr_assert(isfinite(c.now) && c.now >= 0, "I1");
    cr_assert_leq(trigger_runway(c.now, 0.25, rng_u64(&r)), (uint64_t)1 << 53);
  }
}

Test(trigger, runway_is_what_three_quarters_allocate) {
  cr_assert_eq(trigger_runway(0.02, 0.25, 100 * MIB), 6 * MIB);
  cr_assert_eq(trigger_runway(0.02, 0.5, 100 * MIB), 2 * MIB);
  cr_assert_eq(trigger_runway(0, 0.25, 100 * MIB), 0);
}

Test(trigger, lies_between_its_bounds) {
  static const struct {
    uint64_t marked, goal, runway, want; /* MiB */
  } t[] = {
      {64, 128, 10, 118},    /* goal less runway */
      {64, 128, 0, 125},     /* 61/64 */
      {64, 128, 100, 109},   /* 45/64 */
      {64, 128, 1000, 109},  /* more than the goal */
      {1024, 2048, 0, 2044}, /* 4 MiB are less than 3/64 */
      {0, 64, 0, 61},        /* 61/64: a small heap */
      {64, 64, 0, 64},       /* a limit that is reached */
      {64, 32, 0, 32},
  };
  for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
    uint64_t got =
        trigger_at(t[i].marked * MIB, t[i].goal * MIB, t[i].runway * MIB);
    cr_assert_eq(got, t[i].want * MIB, "row %zu: %lu", i, got);
  }
}

Test(trigger, is_between_marked_and_goal_for_any_figures) {
  struct rng r = rng_seed();
  for (int i = 0; i < 1000000; i++) {
    uint64_t marked = rng_u64(&r) >> rng_below(&r, 64);
    uint64_t goal = rng_u64(&r) >> rng_below(&r, 64);
    uint64_t t = trigger_at(marked, goal, rng_u64(&r) >> rng_below(&r, 64));
    if (goal <= marked)
      cr_assert_eq(t, goal);
    else
      cr_assert(t >= marked && t <= goal, "I2: %lu %lu", marked, goal);
  }
}

Test(trigger, a_period_runs_from_the_last_cycles_end) {
  cr_assert_eq(trigger_period_left(100, 120 * S, S, 101 * S), 20 * S);
  cr_assert_eq(trigger_period_left(100, 120 * S, S, 121 * S), 0);
  cr_assert_eq(trigger_period_left(100, 120 * S, S, 500 * S), 0);
  cr_assert_lt(trigger_period_left(-1, 120 * S, S, 1000 * S), 0);
  cr_assert_lt(trigger_period_left(100, 120 * S, 0, 1000 * S), 0);
  cr_assert_lt(trigger_period_left(100, 0, S, 1000 * S), 0);
}

Test(trigger, a_rest_has_one_cycle) {
  struct idle_watch w = {0};
  cr_assert_eq(trigger_idle_left(&w, 100, 20 * S, 100 * MIB, 0, S), 5 * S);
  /* Still at work. */
  cr_assert_eq(trigger_idle_left(&w, 100, 20 * S, 120 * MIB, 0, 21 * S), 5 * S);
  cr_assert_eq(trigger_idle_left(&w, 100, 20 * S, 120 * MIB, 0, 38 * S), 3 * S);
  cr_assert_eq(trigger_idle_left(&w, 100, 20 * S, 121 * MIB, 0, 41 * S), 0);
  /* Looked at again before the cycle begins. */
  cr_assert_gt(trigger_idle_left(&w, 100, 20 * S, 121 * MIB, 0, 42 * S), 0);
  /* The cycle itself makes heap_live less; then nothing happens for long. */
  for (int64_t t = 43; t < 1000; t += 5)
    cr_assert_gt(trigger_idle_left(&w, 100, 20 * S, 10 * MIB, 42 * S, t * S),
                 0);
  /* At work again, and idle again. */
  cr_assert_eq(trigger_idle_left(&w, 100, 20 * S, 50 * MIB, 42 * S, 1000 * S),
               5 * S);
  cr_assert_eq(trigger_idle_left(&w, 100, 20 * S, 50 * MIB, 42 * S, 1020 * S),
               0);
  /* The cycle does not come: asked for again. */
  cr_assert_eq(trigger_idle_left(&w, 100, 20 * S, 50 * MIB, 42 * S, 1040 * S),
               0);
  cr_assert_lt(trigger_idle_left(&w, -1, 20 * S, 50 * MIB, 42 * S, 2000 * S),
               0);
  cr_assert_lt(trigger_idle_left(&w, 100, 0, 50 * MIB, 42 * S, 2000 * S), 0);
}

/* Marking all of a large heap takes longer than the rest is to be; nothing is live less. */
Test(trigger, a_program_rests_from_its_own_collection_on) {
  struct idle_watch w = {0};
  trigger_idle_left(&w, 100, 20 * S, 100 * MIB, 0, S);
  cr_assert_eq(trigger_idle_left(&w, 100, 20 * S, 100 * MIB, 50 * S, 51 * S),
               5 * S);
  cr_assert_eq(trigger_idle_left(&w, 100, 20 * S, 100 * MIB, 50 * S, 69 * S),
               S);
  cr_assert_eq(trigger_idle_left(&w, 100, 20 * S, 100 * MIB, 50 * S, 70 * S),
               0);
}

Test(trigger, idle_workers_shorten_the_runway) {
  struct markrate r = {0};
  cr_assert_float_eq(markrate_share(&r, 0.25), 0.25, 1e-9);
  /* A quarter in the background, and as much again on an idle processor. */
  for (int i = 0; i < CONSMARK_HISTORY - 1; i++) {
    markrate_note(&r, 4 * S, S, S);
    cr_assert_float_eq(markrate_share(&r, 0.25), 0.25, 1e-9, "too soon");
  }
  markrate_note(&r, 4 * S, S, S);
  cr_assert_float_eq(markrate_share(&r, 0.25), 0.4, 1e-9);
  /* What a cycle with these rates allocated is what the next one has room for. */
  struct consmark c = {0};
  struct consmark_sample sample = {.allocated = 30 << 20,
                                   .scanned = 90 << 20,
                                   .total_ns = 4 * S,
                                   .gc_ns = S,
                                   .idle_ns = S};
  consmark_note(&c, &sample);
  uint64_t runway = trigger_runway(c.now, markrate_share(&r, 0.25), 90 << 20);
  cr_assert_lt(runway, (30 << 20) + 1000);
  cr_assert_gt(runway, (30 << 20) - 1000);
  /* One that found the processors busy counts for four cycles. */
  markrate_note(&r, 4 * S, S, 0);
  cr_assert_float_eq(markrate_share(&r, 0.25), 0.25, 1e-9);
}
