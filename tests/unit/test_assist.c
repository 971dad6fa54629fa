// SPDX-License-Identifier: MIT
/* Assists: the ratio, debt and credit, and threads that live by them. */
#include "gc/assist.h"
#include "support/rng.h"
#include <criterion/criterion.h>
#include <math.h>

#define KIB ((int64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

/* --- ratio --- */

/* 100 MiB to scan, 10 MiB to the goal. */
static const struct assist_input plain = {.heap_live = 190 * MIB,
                                          .triggered = 190 * MIB,
                                          .goal = 200 * MIB,
                                          .hard_goal = 400 * MIB,
                                          .expected = 100 * MIB,
                                          .most = 190 * MIB};

static double ratio(struct assist_input in) { return assist_ratio(&in); }

Test(assist, ratio_is_work_left_for_bytes_left) {
  struct assist_input in = plain;
  cr_assert_float_eq(ratio(in), 10, 1e-9);
  in.heap_live = 195 * MIB;
  in.work = 50 * MIB;
  cr_assert_float_eq(ratio(in), 10, 1e-9);
  in.work = 0; /* behind */
  cr_assert_float_eq(ratio(in), 20, 1e-9);
  in.work = 100 * MIB; /* as good as done */
  cr_assert_float_eq(ratio(in), 1000.0 / (5 * (double)MIB), 1e-9);
}

Test(assist, more_work_than_expected_puts_the_goal_off) {
  struct assist_input in = plain;
  in.work = 110 * MIB;
  in.heap_live = 199 * MIB;
  /* 10 MiB for 100 are 19 for 190: 209 is the goal. */
  cr_assert_float_eq(ratio(in), 80.0 / 10.0, 1e-6);
  in.hard_goal = 204 * MIB;
  cr_assert_float_eq(ratio(in), 80.0 / 5.0, 1e-6);
  /* Never before the goal. */
  in.hard_goal = 100 * MIB;
  cr_assert_float_eq(ratio(in), 80.0 / 1.0, 1e-6);
}

Test(assist, heap_over_its_goal_has_a_tenth_more) {
  struct assist_input in = plain;
  in.heap_live = 210 * MIB;
  cr_assert_float_eq(ratio(in), 190.0 / 10.0, 1e-6);
  /* A limit has its headroom only, and then nothing. */
  in.by_limit = true;
  in.hard_goal = 211 * MIB;
  cr_assert_float_eq(ratio(in), 190.0, 1e-6);
  in.hard_goal = 205 * MIB;
  cr_assert_eq(ratio(in), 190.0 * (double)MIB);
}

Test(assist, goal_that_is_reached_lets_64_kib_through) {
  struct assist_input in = plain;
  in.goal = in.hard_goal = in.triggered;
  in.by_limit = true;
  cr_assert_float_eq(ratio(in), 100.0 * 16, 1e-6);
}

Test(assist, ratio_is_finite_and_positive_for_any_figures) {
  struct rng r = rng_seed();
  for (int i = 0; i < 1000000; i++) {
    uint64_t v[7];
    for (int k = 0; k < 7; k++) v[k] = rng_u64(&r) >> rng_below(&r, 64);
    struct assist_input in = {v[0], v[1], v[2], v[3], rng_chance(&r, 2),
                              v[4], v[5], v[6]};
    double x = assist_ratio(&in);
    cr_assert(isfinite(x) && x > 0, "I2");
  }
}

/* --- accounts --- */

static struct assist at_ratio(double ratio) {
  struct assist a = {0};
  assist_begin(&a, ratio);
  return a;
}

Test(assist, debt_comes_in_batches) {
  struct assist a = at_ratio(2);
  struct assist_account acc = {0};
  /* 16 bytes cost 32; asked for are 64 KiB, which pay for 32 KiB. */
  cr_assert_eq(assist_charge(&a, &acc, 16, false), ASSIST_BATCH);
  cr_assert(assist_settle(&a, &acc, ASSIST_BATCH));
  for (int64_t done = 16; done < 32 * KIB; done += 16)
    cr_assert_eq(assist_charge(&a, &acc, 16, false), 0, "at %ld", done);
  cr_assert_eq(assist_charge(&a, &acc, 16, false), ASSIST_BATCH);
  /* A large object pays at once. */
  acc.bytes = 0;
  cr_assert_eq(assist_charge(&a, &acc, MIB, false), (int64_t)(2 * MIB));
}

Test(assist, credit_is_taken_first) {
  struct assist a = at_ratio(1);
  struct assist_account acc = {0};
  assist_add_credit(&a, ASSIST_BATCH + 10);
  cr_assert_eq(assist_charge(&a, &acc, 100, false), 0);
  cr_assert_eq(a.credit.v, 10);
  cr_assert_geq(acc.bytes, 0);
  acc.bytes = 0;
  cr_assert_eq(assist_charge(&a, &acc, 100, false), ASSIST_BATCH - 10);
  cr_assert_eq(a.credit.v, 0);
}

Test(assist, part_of_the_work_leaves_part_of_the_debt) {
  struct assist a = at_ratio(1);
  struct assist_account acc = {0};
  int64_t work = assist_charge(&a, &acc, 100 * (size_t)KIB, false);
  cr_assert_eq(work, 100 * KIB);
  cr_assert_not(assist_settle(&a, &acc, 40 * KIB));
  cr_assert_eq(acc.bytes, 1 - 60 * KIB);
  cr_assert(assist_settle(&a, &acc, 60 * KIB));
}

Test(assist, accounts_of_another_cycle_are_void) {
  struct assist a = at_ratio(1);
  struct assist_account rich = {0}, poor = {0};
  (void)assist_charge(&a, &rich, 1, false);
  (void)assist_settle(&a, &rich, (int64_t)MIB);
  (void)assist_charge(&a, &poor, MIB, false);
  assist_add_credit(&a, 1000);
  assist_begin(&a, 1);
  cr_assert_eq(a.credit.v, 0);
  cr_assert_eq(assist_charge(&a, &rich, 1, false), ASSIST_BATCH);
  cr_assert_eq(assist_charge(&a, &poor, 1, false), ASSIST_BATCH);
  /* Nor is what was done in advance then credit now. */
  struct assist_account old = {.bytes = 100, .cycle = a.cycle - 1};
  assist_close(&a, &old);
  cr_assert_eq(a.credit.v, 0);
}

Test(assist, closed_account_leaves_its_work_to_all) {
  struct assist a = at_ratio(4);
  struct assist_account acc = {0};
  (void)assist_charge(&a, &acc, 1, false);
  (void)assist_settle(&a, &acc, ASSIST_BATCH);
  assist_close(&a, &acc);
  cr_assert_eq(a.credit.v, ASSIST_BATCH);
  cr_assert_eq(acc.bytes, 0);
  /* Debt is not handed on. */
  (void)assist_charge(&a, &acc, MIB, false);
  int64_t credit = a.credit.v;
  assist_close(&a, &acc);
  cr_assert_eq(a.credit.v, credit);
}

Test(assist, limiter_forgives_debt) {
  struct assist a = at_ratio(100);
  struct assist_account acc = {0};
  for (int i = 0; i < 1000; i++)
    cr_assert_eq(assist_charge(&a, &acc, MIB, true), 0);
  /* Afterwards only what is new costs. */
  cr_assert_eq(assist_charge(&a, &acc, 1000, false), 100 * 1000);
}

/* --- queue --- */

struct waiting {
  struct assist_account acc;
  struct assist_waiter w;
};

static void put(struct list *queue, struct waiting *t, const struct assist *a,
                int64_t bytes) {
  t->acc = (struct assist_account){.bytes = bytes, .cycle = a->cycle};
  t->w.account = &t->acc;
  assist_wait(queue, &t->w);
}

static struct waiting *next(struct list *l) {
  struct list *e = list_pop_front(l);
  return e ? container_of(e, struct waiting, w.link) : NULL;
}

Test(assist, waiters_are_paid_in_order) {
  struct assist a = at_ratio(2);
  struct list queue, woken;
  struct waiting t[3];
  list_init(&queue);
  list_init(&woken);
  for (int i = 0; i < 3; i++) put(&queue, &t[i], &a, -100);
  assist_pay(&a, &queue, 250, &woken);
  cr_assert_eq(next(&woken), &t[0]);
  cr_assert_null(next(&woken));
  cr_assert_eq(t[0].acc.bytes, 0);
  /* The second had 25 of 100 and went to the end; the third is next. */
  cr_assert_eq(t[1].acc.bytes, -75);
  assist_pay(&a, &queue, 200, &woken);
  cr_assert_eq(next(&woken), &t[2]);
  assist_pay(&a, &queue, 1000, &woken);
  cr_assert_eq(next(&woken), &t[1]);
  cr_assert(list_empty(&queue));
  /* Nobody else waits: credit. */
  cr_assert_eq(a.credit.v, 1000 - 150);
}

/* A byte may cost more than the background brings at a time. */
Test(assist, small_payments_add_up) {
  struct assist a = at_ratio(10000);
  struct list queue, woken;
  struct waiting t;
  list_init(&queue);
  list_init(&woken);
  put(&queue, &t, &a, -100);
  for (int i = 0; i < 499; i++) assist_pay(&a, &queue, 2000, &woken);
  cr_assert(list_empty(&woken));
  assist_pay(&a, &queue, 2000, &woken);
  cr_assert_eq(next(&woken), &t);
  cr_assert_eq(a.credit.v, 0);
}

/* --- threads that live by it --- */

#define THREADS 8

struct sim {
  struct assist a;
  struct assist_account acc[THREADS];
  struct waiting waits[THREADS];
  struct list queue;
  bool asleep[THREADS];
  int64_t work, assisted,
      left; /* bytes scanned, by assists, and left to scan */
  uint64_t allocated, asks;
};

static void sim_background(struct sim *s, int64_t work) {
  struct list woken;
  list_init(&woken);
  if (work > s->left) work = s->left;
  s->left -= work;
  s->work += work;
  assist_pay(&s->a, &s->queue, work, &woken);
  for (struct waiting *t; (t = next(&woken));) {
    size_t i = (size_t)(t - s->waits);
    s->acc[i] = t->acc;
    s->asleep[i] = false;
  }
}

static void sim_allocate(struct sim *s, size_t i, size_t bytes, struct rng *r) {
  if (s->asleep[i]) return;
  s->allocated += bytes;
  int64_t ask = assist_charge(&s->a, &s->acc[i], bytes, false);
  s->asks++;
  if (ask == 0) return;
  /* Now and then there is less to mark at the moment. */
  int64_t can = rng_chance(r, 4) ? ask / 2 : ask;
  if (can > s->left) can = s->left;
  s->left -= can;
  s->work += can;
  s->assisted += can;
  if (assist_settle(&s->a, &s->acc[i], can)) return;
  s->asleep[i] = true;
  put(&s->queue, &s->waits[i], &s->a, s->acc[i].bytes);
}

/* I1, I3: all that was allocated is paid for, by work that was really done. The
 * heap is at its goal, or before, when the work is done. */
Test(assist, program_comes_to_its_goal_with_the_work_done) {
  struct rng r = rng_seed();
  for (int round = 0; round < 200; round++) {
    struct sim s = {.left = (int64_t)(100 * MIB)};
    uint64_t room = MIB + rng_below(&r, 200 * MIB);
    double ratio = 100.0 * (double)MIB / (double)room;
    int64_t background = (int64_t)rng_below(&r, 20000);
    assist_begin(&s.a, ratio);
    list_init(&s.queue);
    while (s.left > 0) {
      sim_background(&s, background);
      sim_allocate(&s, rng_below(&r, THREADS), 1 + rng_below(&r, 30000), &r);
      int64_t debts = 0;
      for (int i = 0; i < THREADS; i++) {
        int64_t b = s.asleep[i] ? s.waits[i].acc.bytes : s.acc[i].bytes;
        debts += b < 0 ? -b : 0;
      }
      double due = ((double)s.allocated - (double)debts) * ratio;
      /* Rounding gives away a byte for each claim and each assist. */
      double slack = ratio * (double)(2 * s.asks + THREADS);
      cr_assert(due <= (double)s.work + slack, "round %d: %f of %ld", round,
                due, s.work);
      cr_assert_geq(s.a.credit.v, 0);
    }
    cr_assert_leq(s.allocated, room + THREADS * 30000 + 20000);
  }
}

/* Background as fast as the ratio asks: the program does next to nothing. */
Test(assist, background_that_keeps_up_leaves_nothing_to_assist) {
  struct rng r = rng_seed();
  struct sim s = {.left = (int64_t)(100 * MIB)};
  assist_begin(&s.a, 10);
  list_init(&s.queue);
  while (s.left > 0) {
    sim_background(&s, 10 * 8192);
    sim_allocate(&s, rng_below(&r, THREADS), 8192, &r);
  }
  cr_assert_leq(s.assisted, (int64_t)(2 * MIB), "%ld", s.assisted);
}
