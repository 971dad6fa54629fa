// SPDX-License-Identifier: MIT
/* struct pacer from cycle to cycle: what Go's scenarios do not ask. */
#include "support/gcsim.h"
#include "support/rng.h"
#include <criterion/criterion.h>
#include <math.h>

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define S ((int64_t)1000000000)
#define RATE (1024.0 / 1e6) /* KiB in a millisecond */

static const struct pacer_config plain = {.percent = 100,
                                          .memory_limit = PACER_NO_LIMIT};

#define assert_sound(p)                                                        \
  do {                                                                         \
    int broken;                                                                \
    cr_assert(pacer_verify((p), &broken), "I%d", broken);                      \
  } while (0)

/* --- single steps --- */

Test(pacer_cycle, first_goal_is_the_least) {
  struct pacer p;
  pacer_init(&p, &plain);
  cr_assert_eq(p.goal, PACER_HEAP_MINIMUM);
  cr_assert_eq(p.trigger, PACER_HEAP_MINIMUM / 64 * 61);
  assert_sound(&p);
}

static void cycle(struct pacer *p, uint64_t live, uint64_t marked,
                  bool forced) {
  struct pacer_start s = {.now_ns = S, .heap_live = live, .nprocs = 8};
  pacer_start_cycle(p, &s);
  assert_sound(p);
  struct pacer_end e = {.now_ns = 2 * S,
                        .heap_live = live + 10 * MIB,
                        .heap_marked = marked,
                        .heap_work = marked,
                        .background_ns = 2 * S,
                        .memory = {live + 10 * MIB, 0, live + 10 * MIB},
                        .forced = forced};
  pacer_end_cycle(p, &e);
  assert_sound(p);
}

Test(pacer_cycle, forced_cycle_says_nothing_of_rates) {
  struct pacer p;
  pacer_init(&p, &plain);
  cycle(&p, 4 * MIB, 100 * MIB, true);
  cr_assert_eq(p.consmark.now, 0);
  cr_assert_eq(p.goal, 200 * MIB);
  cycle(&p, 180 * MIB, 100 * MIB, false);
  cr_assert_gt(p.consmark.now, 0);
  cr_assert_eq(p.runway, trigger_runway(p.consmark.now, 0.25, 100 * MIB));
  cr_assert_eq(p.trigger, trigger_at(100 * MIB, 200 * MIB, p.runway));
}

/* Frees by hand while it marked: no figure, and none below zero. */
Test(pacer_cycle, heap_that_shrank_while_marking_is_no_figure) {
  struct pacer p;
  pacer_init(&p, &plain);
  cycle(&p, 180 * MIB, 100 * MIB, false);
  double before = p.consmark.now;
  struct pacer_start s = {.now_ns = 3 * S, .heap_live = 190 * MIB, .nprocs = 8};
  pacer_start_cycle(&p, &s);
  struct pacer_end e = {.now_ns = 4 * S,
                        .heap_live = 150 * MIB,
                        .heap_marked = 50 * MIB,
                        .heap_work = 50 * MIB,
                        .background_ns = 2 * S};
  pacer_end_cycle(&p, &e);
  cr_assert_eq(p.consmark.now, before);
  cr_assert_eq(p.consmark.past[1], 0);
}

/* A cycle that begins at or over its goal has room for assists to be paced. */
Test(pacer_cycle, cycle_has_room_to_its_goal) {
  struct pacer p;
  pacer_init(&p, &plain);
  struct pacer_start s = {.now_ns = S, .heap_live = 50 * MIB, .nprocs = 8};
  pacer_start_cycle(&p, &s);
  cr_assert_eq(p.goal, 50 * MIB + 64 * KIB);
  cr_assert_eq(p.base_goal, 4 * MIB);
  struct pacer_progress w = {.heap_live = 50 * MIB, .heap_scan = 50 * MIB};
  cr_assert(isfinite(pacer_revise(&p, &w)));
  assert_sound(&p);
}

Test(pacer_cycle, settings_count_at_once) {
  struct pacer p;
  struct pacer_config c = plain;
  pacer_init(&p, &c);
  cycle(&p, 180 * MIB, 100 * MIB, false);
  struct pacer_start s = {.now_ns = 3 * S, .heap_live = 190 * MIB, .nprocs = 8};
  pacer_start_cycle(&p, &s);
  c.percent = 300;
  pacer_configure(&p, &c);
  cr_assert_eq(p.goal, 400 * MIB);
  c.percent = 10;
  pacer_configure(&p, &c);
  cr_assert_eq(p.goal, 190 * MIB + 64 * KIB);
  c.percent = -1;
  pacer_configure(&p, &c);
  cr_assert_eq(p.goal, PACER_NO_GOAL);
  cr_assert_eq(p.trigger, PACER_NO_GOAL);
  struct pacer_progress w = {.heap_live = 191 * MIB, .heap_scan = 191 * MIB};
  double ratio = pacer_revise(&p, &w);
  cr_assert(ratio > 0 && ratio < 1e-6, "nobody need assist");
  assert_sound(&p);
}

/* The limit's goal follows memory that comes and goes, without a cycle. */
Test(pacer_cycle, limit_follows_memory) {
  struct pacer p;
  struct pacer_config c = {.percent = -1, .memory_limit = (int64_t)(GIB)};
  pacer_init(&p, &c);
  cycle(&p, 90 * MIB, 100 * MIB, false);
  struct pacer_memory m = {.mapped_ready = 300 * MIB, .heap_alloc = 100 * MIB};
  pacer_update_memory(&p, &m);
  cr_assert_eq(p.goal, 824 * MIB - 824 * MIB * 3 / 100);
  /* Under a limit assists put the goal off by the headroom and no more. */
  cr_assert_eq(p.hard_goal, 824 * MIB);
  m.mapped_ready = 100 * MIB;
  pacer_update_memory(&p, &m);
  cr_assert_eq(p.hard_goal, 1024 * MIB);
  assert_sound(&p);
}

/* --- any figures --- */

static uint64_t any(struct rng *r) { return rng_u64(r) >> rng_below(r, 64); }

static struct pacer_config any_config(struct rng *r) {
  return (struct pacer_config){
      .percent = rng_chance(r, 4) ? -1 : (int)rng_below(r, 2000),
      .memory_limit =
          rng_chance(r, 2) ? PACER_NO_LIMIT : (int64_t)(any(r) >> 1),
      .goal_halflife_ns = rng_chance(r, 2) ? 0 : 5 * S};
}

static void any_step(struct pacer *p, struct rng *r, int64_t *now) {
  struct pacer_memory m = {any(r), any(r), any(r)};
  *now += (int64_t)rng_below(r, 10 * (uint64_t)S);
  switch (rng_below(r, 4)) {
  case 0: {
    struct pacer_config c = any_config(r);
    pacer_configure(p, &c);
    return;
  }
  case 1:
    pacer_update_memory(p, &m);
    return;
  case 2: {
    struct pacer_start s = {*now,
                            any(r),
                            any(r),
                            any(r),
                            (unsigned)rng_below(r, 100),
                            rng_chance(r, 2)};
    pacer_start_cycle(p, &s);
    return;
  }
  default: {
    int64_t ns = (int64_t)rng_below(r, (uint64_t)S);
    struct pacer_end e = {.now_ns = *now,
                          .heap_live = any(r),
                          .heap_marked = any(r),
                          .heap_work = any(r) / 3,
                          .stack_work = any(r) / 3,
                          .globals_work = any(r) / 3,
                          .background_ns = ns,
                          .assist_ns = ns,
                          .idle_ns = ns,
                          .memory = m,
                          .forced = rng_chance(r, 4),
                          .taken_ns = ns,
                          .program_ns = (int64_t)rng_below(r, 3)};
    pacer_end_cycle(p, &e);
  }
  }
}

/* I1 to I4, and a ratio that is a number, after any calls with any figures. */
Test(pacer_cycle, invariants_hold_for_any_figures) {
  struct rng r = rng_seed();
  struct pacer p;
  struct pacer_config c = any_config(&r);
  int64_t now = S;
  pacer_init(&p, &c);
  for (int i = 0; i < 300000; i++) {
    any_step(&p, &r, &now);
    assert_sound(&p);
    struct pacer_progress w = {any(&r), any(&r), any(&r)};
    double ratio = pacer_revise(&p, &w);
    cr_assert(isfinite(ratio) && ratio > 0);
  }
}

/* Each invariant is one that pacer_verify can find broken. */
Test(pacer_cycle, verifier_finds_what_is_broken) {
  struct pacer good, p;
  int which;
  pacer_init(&good, &plain);
  cycle(&good, 180 * MIB, 100 * MIB, false);
  struct pacer_start s = {.now_ns = 3 * S, .heap_live = 190 * MIB, .nprocs = 8};
  pacer_start_cycle(&good, &s);
  p = good;
  p.settled = p.goal + 1;
  cr_assert(!pacer_verify(&p, &which) && which == 1);
  p = good;
  p.trigger = p.goal + 1;
  cr_assert(!pacer_verify(&p, &which) && which == 2);
  p = good;
  p.triggered = p.goal - 1;
  cr_assert(!pacer_verify(&p, &which) && which == 3);
  p.triggered = p.goal + MIB;
  cr_assert(!pacer_verify(&p, &which) && which == 3);
  p = good;
  p.hard_goal = p.goal - 1;
  cr_assert(!pacer_verify(&p, &which) && which == 4);
}

/* --- phases: the goal's slow fall beside the program --- */

struct phases {
  unsigned cycles;
  uint64_t peak;
  double share; /* the collector's, of all processor time */
  double over;  /* the greatest peak / goal */
};

/* A sawtooth: 100 MiB pile up while 400 are allocated, and are dropped. Survivors
 * of a cycle are what is alive when it begins. */
static struct phases run_phases(int64_t halflife, double alloc) {
  struct pacer_config c = plain;
  struct gcsim sim;
  struct phases out = {0};
  double total = 0, program = 0, allocated = 0;
  c.goal_halflife_ns = halflife;
  gcsim_init(&sim, &c, 8);
  for (; allocated < 400.0 * 400 * (double)MIB; out.cycles++) {
    uint64_t free =
        sim.pacer.trigger > sim.live ? sim.pacer.trigger - sim.live : 0;
    double at = fmod(allocated + (double)free, 400 * (double)MIB);
    struct gcsim_program p = {.alloc = alloc * RATE,
                              .scan = 1024 * RATE,
                              .dense = 1,
                              .survivors = (uint64_t)(at / 4),
                              .globals = 32 * KIB};
    if (p.survivors > sim.live + free) p.survivors = sim.live + free;
    uint64_t before = sim.live;
    struct gcsim_result r = gcsim_cycle(&sim, &p);
    allocated += (double)(r.peak - before);
    if (out.peak < r.peak) out.peak = r.peak;
    double over = (double)r.peak / (double)r.goal;
    if (out.over < over) out.over = over;
    total += r.total_ns;
    program += r.program_ns;
    assert_sound(&sim.pacer);
  }
  out.share = 1 - program / total;
  return out;
}

/* What the highest live heap of these phases needs when it stays. */
static uint64_t steady_peak(double alloc) {
  struct gcsim sim;
  struct gcsim_program p = {.alloc = alloc * RATE,
                            .scan = 1024 * RATE,
                            .dense = 1,
                            .survivors = 100 * MIB,
                            .globals = 32 * KIB};
  uint64_t peak = 0;
  gcsim_init(&sim, &plain, 8);
  for (int i = 0; i < 30; i++) peak = gcsim_cycle(&sim, &p).peak;
  return peak;
}

Test(pacer_cycle, slow_fall_saves_cycles_without_more_memory) {
  static const double alloc[] = {33, 132, 330};
  for (int i = 0; i < 3; i++) {
    struct phases fast = run_phases(0, alloc[i]);
    struct phases slow = run_phases(5 * S, alloc[i]);
    fprintf(stderr,
            "alloc %.0f: at once %u cycles, peak %lu MiB, %.1f%%, %.2f over; "
            "slowly %u cycles, peak %lu MiB, %.1f%%, %.2f over; "
            "steady peak %lu MiB\n",
            alloc[i], fast.cycles, fast.peak / MIB, 100 * fast.share, fast.over,
            slow.cycles, slow.peak / MIB, 100 * slow.share, slow.over,
            steady_peak(alloc[i]) / MIB);
    cr_assert_lt(slow.cycles * 4, fast.cycles * 3);
    cr_assert_lt(slow.share, fast.share);
    cr_assert_leq(slow.peak, steady_peak(alloc[i]));
    cr_assert_leq(slow.over, fast.over);
  }
}

/* --- near a memory limit, with the limiter --- */

/* A live heap of `part` of a limit of 512 MiB, for some 100 s: the program's share
 * of all processor time, and how high the heap was in the second half. */
static double run_near_limit(double part, int percent, uint64_t *peak) {
  const uint64_t limit = 512 * MIB;
  struct pacer_config c = {.percent = percent, .memory_limit = (int64_t)limit};
  struct gcsim sim;
  struct limiter l;
  double total = 0, program = 0;
  uint64_t live = (uint64_t)(part * (double)limit);
  gcsim_init(&sim, &c, 4);
  limiter_init(&l, 4);
  limiter_open(&l, MARKSHARE_BACKGROUND, 0);
  sim.limiter = &l;
  *peak = 0;
  while (sim.now_ns < 100e9) {
    uint64_t survivors = live < sim.pacer.trigger ? live : sim.pacer.trigger;
    if (survivors < sim.live) survivors = live < sim.live ? live : sim.live;
    struct gcsim_program p = {.alloc = 330 * RATE,
                              .scan = 1024 * RATE,
                              .dense = 1,
                              .survivors = survivors,
                              .globals = 32 * KIB};
    struct gcsim_result r = gcsim_cycle(&sim, &p);
    assert_sound(&sim.pacer);
    if (sim.now_ns < 50e9) continue;
    if (*peak < r.peak) *peak = r.peak;
    total += r.total_ns;
    program += r.program_ns;
  }
  return program / total;
}

static void check_near_limit(int percent) {
  double last = 1;
  for (int i = 5; i <= 130; i += 5) {
    uint64_t peak;
    double share = run_near_limit(i / 100.0, percent, &peak);
    fprintf(stderr, "live %d%% of the limit: program %.1f%%, peak %lu MiB\n", i,
            100 * share, peak / MIB);
    /* Slower and slower, in no great step, and never to a standstill. */
    cr_assert_leq(share, last + 0.01);
    if (i > 5) cr_assert_geq(share, last - 0.15);
    cr_assert_geq(share, 0.47);
    if (i <= 70) cr_assert_leq(peak, 512 * MIB * 105 / 100);
    last = share;
  }
}

Test(pacer_cycle, program_slows_down_smoothly_near_a_limit) {
  check_near_limit(100);
}

Test(pacer_cycle, program_slows_down_smoothly_near_a_limit_alone) {
  check_near_limit(-1);
}
