// SPDX-License-Identifier: MIT
/* Packing and merging of page summaries. */
#include "page/pallocbits.h"
#include "page/pallocsum.h"
#include "support/rng.h"
#include <criterion/criterion.h>
#include <string.h>

Test(pallocsum, pack_then_unpack_gives_the_same) {
  static const unsigned values[] = {0,   1,    2,          511,
                                    512, 4095, (1u << 20), (1u << 21) - 1};
  size_t n = sizeof(values) / sizeof(values[0]);
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++)
      for (size_t k = 0; k < n; k++) {
        struct pallocsum s = pallocsum_pack(values[i], values[j], values[k]);
        cr_assert_eq(pallocsum_start(s), values[i]);
        cr_assert_eq(pallocsum_max(s), values[j]);
        cr_assert_eq(pallocsum_end(s), values[k]);
        cr_assert(!pallocsum_is_all(s));
      }
}

Test(pallocsum, pack_of_a_whole_level0_entry_is_bit_63) {
  struct pallocsum s =
      pallocsum_pack(PALLOCSUM_MAX, PALLOCSUM_MAX, PALLOCSUM_MAX);
  cr_assert_eq(s.v, 1ull << 63);
  cr_assert_eq(pallocsum_start(s), PALLOCSUM_MAX);
  cr_assert_eq(pallocsum_max(s), PALLOCSUM_MAX);
  cr_assert_eq(pallocsum_end(s), PALLOCSUM_MAX);
  cr_assert_eq(sizeof(struct pallocsum), 8u);
}

Test(pallocsum, merge_of_eight_full_children_on_each_level) {
  for (unsigned log = 9; log <= 18; log += 3) {
    struct pallocsum kids[8];
    for (int i = 0; i < 8; i++)
      kids[i] = pallocsum_pack(1u << log, 1u << log, 1u << log);
    struct pallocruns s = pallocsum_unpack(pallocsum_merge(kids, 8, log));
    cr_assert_eq(s.start, 8u << log);
    cr_assert_eq(s.max, 8u << log);
    cr_assert_eq(s.end, 8u << log);
  }
}

/* Eight chunks of random bits: the merged summary against one walk over all
 * their pages. */
Test(pallocsum, merge_random_chunks_equals_slow) {
  struct rng r = rng_seed();
  for (int round = 0; round < 3000; round++) {
    struct pallocsum kids[8];
    unsigned start = 0, max = 0, run = 0;
    bool seen = false;
    for (int c = 0; c < 8; c++) {
      struct pallocbits b = {{0}};
      if (rng_chance(&r, 4)) {
        memset(&b, 0xff, sizeof(b));
      } else if (!rng_chance(&r, 3)) {
        for (int n = 0; n < 3; n++) {
          unsigned i = (unsigned)rng_below(&r, 512);
          pallocbits_set_range(&b, i, 1 + (unsigned)rng_below(&r, 512 - i));
          if (rng_chance(&r, 2)) break;
        }
      }
      kids[c] = pallocbits_summarize(&b);
      for (unsigned i = 0; i < 512; i++) {
        if (pallocbits_get(&b, i)) {
          if (!seen) start = run;
          seen = true;
          run = 0;
        } else if (++run > max) {
          max = run;
        }
      }
    }
    if (!seen) start = run;
    struct pallocruns s = pallocsum_unpack(pallocsum_merge(kids, 8, 9));
    cr_assert_eq(s.start, start);
    cr_assert_eq(s.max, max);
    cr_assert_eq(s.end, run);
  }
}
