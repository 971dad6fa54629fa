// SPDX-License-Identifier: MIT
/*
 * Pauses by length: four slots to a power of two, so that a figure read from them is at
 * most a quarter too high.
 *
 *   slot 0      up to 1 us
 *   slot i > 0  up to 2^((i - 1) / 4) * (5 + (i - 1) % 4) / 4 us
 */
#include "gc/gc.h"

#include "base/bits.h"

unsigned gc_pause_slot(int64_t ns) {
  if (ns <= 1000) return 0;
  /* Quarters of a microsecond, begun ones counted. */
  uint64_t quarters = ((uint64_t)ns + 249) / 250 - 1;
  unsigned log = bit_length64(quarters) - 1;
  unsigned slot = 4 * (log - 2) + ((unsigned)(quarters >> (log - 2)) & 3) + 1;
  return slot < GC_PAUSE_SLOTS ? slot : GC_PAUSE_SLOTS - 1;
}

uint64_t gc_pause_slot_end(unsigned slot) {
  if (slot == 0) return 1000;
  return 250ull * (5 + (slot - 1) % 4) << (slot - 1) / 4;
}

uint64_t gc_pause_quantile(const struct gc_stats *s, double q) {
  double want = q * (double)s->num_pauses;
  uint64_t sum = 0;
  for (unsigned i = 0; i < GC_PAUSE_SLOTS; i++) {
    sum += s->pause_hist[i];
    if (sum > 0 && (double)sum >= want)
      return gc_pause_slot_end(i) < s->pause_max_ns ? gc_pause_slot_end(i)
                                                    : s->pause_max_ns;
  }
  return s->pause_max_ns;
}
