// SPDX-License-Identifier: MIT
/* When memory goes back, in simulated time: programs of known behaviour on a heap
 * that is three numbers. */
#include "heap/giveback.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <inttypes.h>

#define MIB ((uint64_t)1 << 20)
#define MS 1000000ll
#define SECOND (1000 * MS)

/* A heap: what is mapped and what of it has physical memory. */
struct model {
  struct giveback g;
  int64_t now, wake_at; /* wake_at negative: asleep */
  uint64_t inuse, resident, peak, taken;
  uint64_t given, steps;
};

static void use(struct model *m, uint64_t inuse) {
  m->inuse = inuse;
  if (inuse > m->peak) m->peak = inuse;
  if (inuse > m->resident) {
    m->taken += inuse - m->resident;
    m->resident = inuse;
  }
  if (m->wake_at < 0 && giveback_worth_waking(inuse, m->resident - inuse))
    m->wake_at = m->now;
}

static void step(struct model *m) {
  struct giveback_figures f = {.inuse = m->inuse,
                               .peak = m->peak > m->inuse ? m->peak : m->inuse,
                               .free = m->resident - m->inuse,
                               .taken = m->taken};
  m->peak = m->inuse;
  struct giveback_step s = giveback_next(&m->g, m->now, &f);
  cr_assert_leq(s.bytes, f.free, "giveback I3");
  cr_assert_leq(m->g.level, GIVEBACK_LEVELS, "giveback I2");
  m->resident -= s.bytes;
  m->given += s.bytes;
  m->steps++;
  int64_t sleep = giveback_done(&m->g, &s, s.bytes, m->resident - m->inuse);
  m->wake_at = sleep < 0 ? -1 : m->now + sleep;
}

/* One millisecond at a time. inuse: what the program uses at a time. */
static void run(struct model *m, int64_t until, uint64_t (*inuse)(int64_t)) {
  for (; m->now < until; m->now += MS) {
    use(m, inuse(m->now));
    if (m->wake_at >= 0 && m->now >= m->wake_at) step(m);
  }
}

static struct model begin(void) { return (struct model){.wake_at = -1}; }

/* --- programs --- */

static uint64_t idle_after_peak(int64_t t) {
  return t < SECOND ? 430 * MIB : 30 * MIB;
}

Test(giveback, idle_after_peak_shrinks_within_a_second_and_sleeps) {
  struct model m = begin();
  run(&m, 2 * SECOND, idle_after_peak);
  cr_assert_leq(m.resident, 60 * MIB, "%" PRIu64 " MiB", m.resident / MIB);
  run(&m, 11 * SECOND, idle_after_peak);
  cr_assert_leq(m.resident, 30 * MIB + GIVEBACK_FLOOR);
  cr_assert_lt(m.wake_at, 0, "nothing to do: asleep");
  uint64_t steps = m.steps;
  run(&m, 60 * SECOND, idle_after_peak);
  cr_assert_eq(m.steps, steps);
}

static uint64_t small(int64_t t) { return t % (2 * SECOND) ? MIB : 8 * MIB; }

Test(giveback, small_program_never_wakes_it) {
  struct model m = begin();
  run(&m, 20 * SECOND, small);
  cr_assert_eq(m.steps, 0);
}

/* 400 MiB up and down every 200 ms. */
static uint64_t fast_sawtooth(int64_t t) {
  return 30 * MIB + (uint64_t)(t % (200 * MS)) / MS * 2 * MIB;
}

Test(giveback, fast_sawtooth_keeps_its_room) {
  struct model m = begin();
  run(&m, 30 * SECOND, fast_sawtooth);
  cr_assert_leq(m.given, 40 * MIB, "%" PRIu64 " MiB", m.given / MIB);
}

/* Busy for a second, then quiet for another. */
static uint64_t slow_sawtooth(int64_t t) {
  int64_t phase = t % (2 * SECOND);
  return phase < SECOND ? 30 * MIB + (uint64_t)(phase / MS) * MIB / 4
                        : 30 * MIB;
}

Test(giveback, slow_sawtooth_pays_a_few_times_only) {
  struct model m = begin();
  run(&m, 20 * SECOND, slow_sawtooth);
  uint64_t early = m.given;
  run(&m, 60 * SECOND, slow_sawtooth);
  /* 20 periods of 250 MiB: it tries again every 10 s, and is told at once. */
  cr_assert_leq(early, 1000 * MIB, "%" PRIu64 " MiB", early / MIB);
  cr_assert_leq(m.given - early, 500 * MIB, "%" PRIu64 " MiB",
                (m.given - early) / MIB);
}

static uint64_t sawtooth_then_idle(int64_t t) {
  return t < 30 * SECOND ? slow_sawtooth(t) : 30 * MIB;
}

Test(giveback, regret_does_not_keep_an_idle_program_large) {
  struct model m = begin();
  run(&m, 30 * SECOND, sawtooth_then_idle);
  cr_assert_gt(m.g.level, 0);
  run(&m, 40 * SECOND, sawtooth_then_idle);
  cr_assert_leq(m.resident, 32 * MIB, "%" PRIu64 " MiB", m.resident / MIB);
}

/* 1 MiB less every 50 ms, for 20 s. */
static uint64_t slow_shrink(int64_t t) {
  uint64_t less = (uint64_t)(t / (50 * MS)) * MIB;
  return less > 400 * MIB ? 30 * MIB : 430 * MIB - less;
}

Test(giveback, slow_shrink_is_followed) {
  struct model m = begin();
  for (int64_t t = SECOND; t <= 25 * SECOND; t += SECOND) {
    run(&m, t, slow_shrink);
    uint64_t free = m.resident - m.inuse;
    cr_assert_leq(free, 64 * MIB, "at %" PRId64 " s: %" PRIu64 " MiB",
                  t / SECOND, free / MIB);
  }
  cr_assert_leq(m.resident, 31 * MIB);
}

static uint64_t steady(int64_t t) {
  return 1000 * MIB + (uint64_t)(t / MS % 7) * 2 * MIB;
}

Test(giveback, steady_program_gives_nothing) {
  struct model m = begin();
  run(&m, 20 * SECOND, steady);
  cr_assert_eq(m.given, 0);
}

/* --- properties --- */

static struct rng walk_rng;
static uint64_t walk_at;

static uint64_t random_walk(int64_t t) {
  if (t % (10 * MS) == 0 && rng_below(&walk_rng, 4) == 0)
    walk_at = rng_below(&walk_rng, 1000) * MIB;
  return walk_at;
}

Test(giveback, random_programs_idle_small) {
  walk_rng = rng_seed();
  for (int i = 0; i < 20; i++) {
    struct model m = begin();
    run(&m, (int64_t)rng_below(&walk_rng, 20) * SECOND, random_walk);
    int64_t end = m.now;
    for (; m.now < end + 10 * SECOND; m.now += MS) {
      use(&m, walk_at);
      if (m.wake_at >= 0 && m.now >= m.wake_at) step(&m);
    }
    uint64_t free = m.resident - m.inuse;
    cr_assert(free <= GIVEBACK_WAKE || free < m.inuse / 16,
              "round %d: %" PRIu64 " MiB", i, free / MIB);
  }
}

Test(giveback, what_cannot_be_had_is_not_asked_for_again) {
  struct giveback g = {0};
  struct giveback_figures f = {.inuse = MIB, .peak = MIB, .free = 9 * MIB};
  int64_t sleep = 0;
  int n = 0;
  for (int64_t t = SECOND; sleep >= 0 && n < 100; t += sleep, n++) {
    struct giveback_step s = giveback_next(&g, t, &f);
    sleep = giveback_done(&g, &s, 0, f.free);
  }
  cr_assert_lt(n, 20, "it gives up");
  struct giveback_step s = giveback_next(&g, 60 * SECOND, &f);
  cr_assert_eq(s.bytes, 0);
  f.inuse = f.peak = 2 * MIB; /* the program is back */
  for (int i = 0; i < 20 && s.bytes == 0; i++)
    s = giveback_next(&g, 61 * SECOND + i * GIVEBACK_TICK_NS, &f);
  cr_assert_gt(s.bytes, 0);
}

Test(giveback, clock_that_jumps_does_no_harm) {
  struct giveback g = {0};
  struct giveback_figures f = {.inuse = MIB, .peak = 2 * MIB, .free = 90 * MIB};
  static const int64_t times[] = {5 * SECOND, SECOND, 0, INT64_MAX / 2, 1};
  for (unsigned i = 0; i < sizeof times / sizeof times[0]; i++) {
    struct giveback_step s = giveback_next(&g, times[i], &f);
    cr_assert_leq(s.bytes, f.free);
    giveback_done(&g, &s, s.bytes, f.free);
  }
}
