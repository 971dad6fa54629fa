// SPDX-License-Identifier: MIT
/* Pauses by length: slots and quantiles. */
#include "gc/gc.h"
#include <criterion/criterion.h>

TestSuite(pauses);

Test(pauses, a_slot_holds_what_is_up_to_its_end) {
  for (unsigned i = 0; i + 1 < GC_PAUSE_SLOTS; i++) {
    uint64_t end = gc_pause_slot_end(i);
    cr_assert_eq(gc_pause_slot((int64_t)end), i, "slot %u, end %lu", i, end);
    cr_assert_eq(gc_pause_slot((int64_t)end + 1), i + 1, "slot %u", i);
    if (i > 0) cr_assert_leq(end * 4, gc_pause_slot_end(i - 1) * 5);
  }
  cr_assert_eq(gc_pause_slot(0), 0);
  cr_assert_eq(gc_pause_slot(INT64_MAX), GC_PAUSE_SLOTS - 1);
}

Test(pauses, quantiles) {
  struct gc_stats s = {0};
  cr_assert_eq(gc_pause_quantile(&s, 0.5), 0);
  for (int64_t us = 1; us <= 1000; us++) {
    s.num_pauses++;
    s.pause_hist[gc_pause_slot(us * 1000)]++;
    s.pause_max_ns = (uint64_t)us * 1000;
  }
  uint64_t half = gc_pause_quantile(&s, 0.5), most = gc_pause_quantile(&s, 1);
  cr_assert(half >= 500000 && half <= 625000, "%lu", half);
  cr_assert_eq(most, 1000000);
  cr_assert_eq(gc_pause_quantile(&s, 0), 1000);
}
