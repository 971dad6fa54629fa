// SPDX-License-Identifier: MIT
#include "base/bits.h"
#include "base/rand.h"
#include "support/rng.h"

#include <criterion/criterion.h>

Test(bits, zero_has_64_zeros_on_both_sides) {
  cr_assert_eq(ctz64(0), 64);
  cr_assert_eq(clz64(0), 64);
  cr_assert_eq(popcount64(0), 0);
  cr_assert_eq(bit_length64(0), 0);
}

Test(bits, counts_agree_with_loops) {
  struct rng r = rng_seed();
  for (int i = 0; i < 20000; i++) {
    uint64_t x = rng_u64(&r) >> rng_below(&r, 64);
    x = rng_chance(&r, 2) ? x << rng_below(&r, 64) : x;
    unsigned trailing = 0, leading = 0, ones = 0;
    while (trailing < 64 && !(x >> trailing & 1)) trailing++;
    while (leading < 64 && !(x << leading >> 63)) leading++;
    for (unsigned b = 0; b < 64; b++) ones += (unsigned)(x >> b & 1);
    cr_assert_eq(ctz64(x), trailing);
    cr_assert_eq(clz64(x), leading);
    cr_assert_eq(popcount64(x), ones);
    cr_assert_eq(bit_length64(x), 64 - leading);
    cr_assert_eq(is_pow2(x), ones == 1);
  }
}

Test(bits, low_mask_has_n_ones_at_the_bottom) {
  for (unsigned n = 0; n <= 64; n++) {
    uint64_t mask = low_mask64(n);
    cr_assert_eq(popcount64(mask), n);
    cr_assert_eq(bit_length64(mask), n);
  }
}

Test(bits, alignment_agrees_with_division) {
  struct rng r = rng_seed();
  for (int i = 0; i < 20000; i++) {
    uintptr_t align = (uintptr_t)1 << rng_below(&r, 30);
    uintptr_t x = (uintptr_t)rng_below(&r, (uint64_t)1 << 47);
    cr_assert_eq(align_down(x, align), x / align * align);
    cr_assert_eq(align_up(x, align), (x + align - 1) / align * align);
    cr_assert_eq(is_aligned(x, align), x % align == 0);
    uintptr_t d = 1 + (uintptr_t)rng_below(&r, 5000);
    cr_assert_eq(div_round_up(x, d), x / d + (x % d != 0));
  }
}

/* 64 counts of 10,000 expected each: 6 standard deviations are 600. */
Test(rand, numbers_below_n_are_spread_evenly) {
  struct rng r = rng_seed();
  struct rand_state state = {rng_u64(&r)};
  unsigned counts[64] = {0};
  for (int i = 0; i < 640000; i++) {
    uint32_t v = rand_below(&state, 64);
    cr_assert_lt(v, 64);
    counts[v]++;
  }
  for (int i = 0; i < 64; i++)
    cr_assert(counts[i] > 9400 && counts[i] < 10600, "%d: %u", i, counts[i]);
}

Test(rand, every_bit_is_set_half_of_the_time) {
  struct rng r = rng_seed();
  struct rand_state state = {rng_u64(&r)};
  unsigned ones[64] = {0};
  for (int i = 0; i < 100000; i++) {
    uint64_t v = rand_u64(&state);
    for (int b = 0; b < 64; b++) ones[b] += (unsigned)(v >> b & 1);
  }
  for (int b = 0; b < 64; b++) /* 6 standard deviations are 950 */
    cr_assert(ones[b] > 49050 && ones[b] < 50950, "bit %d: %u", b, ones[b]);
}

Test(rand, zero_state_and_below_0_are_fine) {
  struct rand_state state = {0};
  uint64_t a = rand_u64(&state), b = rand_u64(&state);
  cr_assert_neq(a, b);
  cr_assert_eq(rand_below(&state, 0), 0);
  cr_assert_eq(rand_below(&state, 1), 0);
}
