// SPDX-License-Identifier: MIT
/* The waiting room: how long, in which order, nothing lost. */
#include "face/malloc/quarantine.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <string.h>

#define HALF 100u
#define N 20000u

static uint64_t mem[2 * HALF];

Test(quarantine, without_room_everything_comes_straight_out) {
  struct quarantine q;
  quarantine_init(&q, NULL, 0);
  cr_assert_eq(quarantine_put(&q, 7, 1), 7);
  cr_assert_eq(quarantine_take(&q), 0);
}

Test(quarantine, each_entry_waits_for_half_and_for_twice_that_on_average) {
  struct quarantine q;
  struct rng r = rng_seed();
  quarantine_init(&q, mem, HALF);
  static bool out[N + 1];
  uint64_t total = 0, count = 0, last = 0, out_of_order = 0;
  for (uint64_t i = 1; i <= N; i++) {
    uint64_t e = quarantine_put(&q, i, (uint32_t)rng_u64(&r));
    cr_assert_leq(quarantine_count(&q), 2 * HALF);
    if (!e) {
      cr_assert_leq(i, 2 * HALF, "full quarantines let one out for one");
      continue;
    }
    cr_assert(!out[e], "%llu came out twice", (unsigned long long)e);
    out[e] = true;
    cr_assert_geq(i - e, HALF);
    total += i - e;
    count++;
    out_of_order += e < last;
    last = e;
  }
  cr_assert_eq(count, N - 2 * HALF);
  /* The pool keeps an entry for HALF draws on average, with a long tail. */
  double mean = (double)total / (double)count;
  cr_assert(mean > 1.9 * HALF && mean < 2.1 * HALF, "mean %f", mean);
  cr_assert_gt(out_of_order, count / 4);
  cr_assert_lt(out_of_order, count * 3 / 4);
}

Test(quarantine, taking_empties_it) {
  struct quarantine q;
  struct rng r = rng_seed();
  quarantine_init(&q, mem, HALF);
  uint64_t sum = 0, want = 0, e;
  for (uint64_t i = 1; i <= 3 * HALF; i++) {
    want += i;
    sum += quarantine_put(&q, i, (uint32_t)rng_u64(&r));
  }
  cr_assert_eq(quarantine_count(&q), 2 * HALF);
  while ((e = quarantine_take(&q))) sum += e;
  cr_assert_eq(sum, want);
  cr_assert_eq(quarantine_count(&q), 0);
}
