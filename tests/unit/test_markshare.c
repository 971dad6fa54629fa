// SPDX-License-Identifier: MIT
/* Dedicated, fractional and idle workers. */
#include "gc/markshare.h"
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>

#define MS ((int64_t)1000000)

Test(markshare, plans_by_processors) {
  static const struct {
    unsigned nprocs, dedicated;
    double fractional;
  } t[] = {{0, 0, 0.25}, {1, 0, 0.25}, {2, 0, 0.5}, {3, 0, 0.75}, {4, 1, 0},
           {5, 1, 0},    {6, 1, 0.5},  {7, 2, 0},   {8, 2, 0},    {16, 4, 0}};
  for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
    struct markshare s = markshare_plan(t[i].nprocs, false);
    unsigned n = t[i].nprocs ? t[i].nprocs : 1;
    cr_assert_eq(s.dedicated, t[i].dedicated, "%u processors", n);
    cr_assert_eq(s.fractional, t[i].fractional, "%u processors", n);
    cr_assert_eq(s.idle_max, n - s.dedicated);
  }
}

Test(markshare, share_is_near_a_quarter) {
  for (unsigned n = 1; n < 10000; n++) {
    struct markshare s = markshare_plan(n, false);
    double error = s.share / MARKSHARE_BACKGROUND - 1;
    cr_assert(fabs(error) <= 0.3, "I1: %u processors", n);
    cr_assert(s.fractional >= 0 && s.fractional < 1, "I2");
    if (s.fractional > 0)
      cr_assert_float_eq(s.share, MARKSHARE_BACKGROUND, 1e-9);
    cr_assert(s.dedicated <= n);
  }
}

/* Enough for the cycle to end, and no more. */
Test(markshare, periodic_cycle_leaves_idle_processors_alone) {
  cr_assert_eq(markshare_plan(2, true).idle_max, 1);
  cr_assert_eq(markshare_plan(4, true).idle_max, 0);
  cr_assert_eq(markshare_plan(64, true).idle_max, 0);
}

/* A worker that looks every 100 us gets its fraction of the time. */
Test(markshare, fractional_worker_keeps_to_its_fraction) {
  for (unsigned n = 1; n <= 6; n++) {
    struct markshare s = markshare_plan(n, false);
    int64_t now = 0, worked = 0, step = MS / 10;
    bool at_work = false;
    for (int i = 0; i < 100000; i++, now += step) {
      if (!at_work) at_work = markshare_may_begin(&s, now, worked);
      if (at_work) worked += step;
      if (at_work && markshare_must_stop(&s, now + step, worked))
        at_work = false;
    }
    double got = (double)worked / (double)now;
    /* Between its fraction and the overrun. */
    cr_assert(got >= s.fractional * 0.999 && got <= s.fractional * 1.21,
              "%u processors: %f", n, got);
  }
}

Test(idle_workers, come_and_go_under_their_bound) {
  struct idle_workers w = {0};
  cr_assert_not(idle_workers_wanted(&w));
  cr_assert_not(idle_workers_add(&w));
  idle_workers_set_max(&w, 10);
  for (int i = 0; i < 10; i++) {
    cr_assert(idle_workers_wanted(&w));
    cr_assert(idle_workers_add(&w));
  }
  cr_assert_not(idle_workers_wanted(&w));
  cr_assert_not(idle_workers_add(&w));
  for (int i = 0; i < 10; i++) {
    idle_workers_remove(&w);
    cr_assert(idle_workers_wanted(&w));
    cr_assert(idle_workers_add(&w));
    cr_assert_not(idle_workers_add(&w));
  }
  /* A lower bound lets nobody in until enough have gone. */
  idle_workers_set_max(&w, 8);
  idle_workers_remove(&w);
  idle_workers_remove(&w);
  cr_assert_not(idle_workers_add(&w));
  idle_workers_remove(&w);
  cr_assert(idle_workers_add(&w));
}

#define THREADS 4
#define BOUND 3
static struct idle_workers shared;
static struct atomic_u32 inside;

static void *come_and_go(void *arg) {
  for (int i = 0; i < 20000; i++) {
    if (!idle_workers_add(&shared)) continue;
    uint32_t n = atomic_u32_fetch_add_relaxed(&inside, 1) + 1;
    if (n > BOUND) return arg;
    atomic_u32_fetch_sub_relaxed(&inside, 1);
    idle_workers_remove(&shared);
  }
  return NULL;
}

/* I3 */
Test(idle_workers, never_more_than_the_bound_at_once) {
  pthread_t t[THREADS];
  idle_workers_set_max(&shared, BOUND);
  for (size_t i = 0; i < THREADS; i++)
    cr_assert_eq(pthread_create(&t[i], NULL, come_and_go, &shared), 0);
  for (size_t i = 0; i < THREADS; i++) {
    void *failed;
    pthread_join(t[i], &failed);
    cr_assert_null(failed);
  }
  cr_assert_eq((uint32_t)shared.state.v, 0);
}
