// SPDX-License-Identifier: MIT
/* Which allocations a heap profile samples, and what it concludes from them. */
#include "heap/sample.h"
#include "support/rng.h"
#include <criterion/criterion.h>
#include <math.h>

#define RATES 5
static const uint64_t rates[RATES] = {2, 100, 4096, 524288, 1ull << 40};

Test(sample, neg_log_is_that_of_libm) {
  struct rng r = rng_seed();
  cr_assert_float_eq(sample_neg_log(1.0), 0, 1e-300);
  cr_assert_float_eq(sample_neg_log(0x1p-53), -log(0x1p-53), 1e-12);
  for (int i = 0; i < 100000; i++) {
    double u = (double)((rng_u64(&r) >> 11) + 1) * 0x1p-53;
    if (i % 2) u = ldexp(u, -(int)rng_below(&r, 52));
    cr_assert_float_eq(sample_neg_log(u), -log(u), 1e-12, "u=%.17g", u);
  }
}

Test(sample, probability_is_that_of_libm) {
  struct rng r = rng_seed();
  cr_assert_float_eq(sample_probability(0), 0, 1e-300);
  cr_assert_float_eq(sample_probability(1e9), 1, 1e-15);
  for (int i = 0; i < 100000; i++) {
    double x = (double)(rng_u64(&r) >> 11) * 0x1p-53 * 50;
    if (i % 2) x = ldexp(x, -(int)rng_below(&r, 40));
    double want = -expm1(-x);
    cr_assert_float_eq(sample_probability(x), want, 1e-12 * want, "x=%.17g", x);
  }
}

/* The distance to the next sample: mean, and standard deviation (for an
 * exponential distribution they are the same), each within 5 standard errors. */
Test(sample, distances_are_exponential) {
  struct rng r = rng_seed();
  for (int k = 0; k < RATES; k++) {
    struct sampler s = {.rng = {rng_u64(&r) | 1}};
    double n = 200000, sum = 0, squares = 0, rate = (double)rates[k];
    int over = 0;
    for (int i = 0; i < (int)n; i++) {
      sampler_next(&s, rates[k]);
      double d = (double)s.left;
      cr_assert(d >= 1);
      /* rounded up: half a byte more on average, when it is small in d */
      if (rates[k] >= 100) d -= 0.5;
      sum += d;
      squares += d * d;
      over += d > rate;
    }
    double mean = sum / n, sd = sqrt(squares / n - mean * mean);
    if (rates[k] == 2) /* geometric: 1 / (1 - exp(-1/2)) */
      cr_assert_float_eq(mean, 1 / -expm1(-0.5), 5 * sd / sqrt(n));
    else {
      cr_assert_float_eq(mean / rate, 1, 5 / sqrt(n), "mean %g", mean);
      cr_assert_float_eq(sd / rate, 1, 5 * sqrt(2 / n), "sd %g", sd);
      cr_assert_float_eq(over / n, exp(-1), 5 * 0.483 / sqrt(n) + 0.5 / rate);
    }
  }
}

Test(sample, rate_1_takes_everything_and_rate_0_nothing) {
  struct sampler all = {0}, none = {0};
  for (size_t n = 0; n < 1000; n++) {
    cr_assert(sampler_count(&all, n) && sampler_hit(&all, n, 1, 7));
    sampler_next(&all, 1);
    bool hit =
        sampler_count(&none, n << 20) && sampler_hit(&none, n << 20, 0, 7);
    cr_assert(!hit);
  }
}

Test(sample, paused_sampler_takes_nothing) {
  struct sampler s = {.left = SAMPLER_PAUSED, .rng = {1}};
  for (int i = 0; i < 1000; i++) cr_assert(!sampler_count(&s, 1ull << 47));
}

struct sums {
  double count, bytes;
};

/* Allocates n objects of sizes lo..hi at `rate` and estimates them by steps. */
static struct sums estimate(struct rng *r, int n, size_t lo, size_t hi,
                            uint64_t rate, struct sums *exact) {
  static uint64_t counts[64 * 8 + 8], bytes[64 * 8 + 8];
  struct sampler s = {0};
  struct sums out = {0, 0};
  *exact = out;
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
    counts[i] = bytes[i] = 0;
  for (int i = 0; i < n; i++) {
    size_t size = lo + rng_below(r, hi - lo + 1);
    exact->count++;
    exact->bytes += (double)size;
    if (!sampler_count(&s, size) ||
        !sampler_hit(&s, size, rate, rng_u64(r) | 1))
      continue;
    sampler_next(&s, rate);
    counts[sample_size_step(size)]++;
    bytes[sample_size_step(size)] += size;
  }
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    double scale = sample_scale(counts[i], bytes[i], rate);
    out.count += (double)counts[i] * scale;
    out.bytes += (double)bytes[i] * scale;
  }
  return out;
}

Test(sample, scaled_sums_are_the_exact_ones) {
  struct rng r = rng_seed();
  static const struct {
    size_t lo, hi;
    uint64_t rate;
    double tolerance; /* 5 standard errors, and 0.2 % for the steps */
  } row[] = {
      {16, 16, 4096, 0.03},
      {100, 5000, 4096, 0.012},
      {1, 1000, 512, 0.03},
      {4096, 4096, 4096, 0.01},
      {1 << 20, 4 << 20, 524288, 0.005},
      {1, 100, 1, 1e-9},
  };
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    struct sums exact, got;
    int n = row[i].lo == 16 ? 10000000 : 1000000;
    got = estimate(&r, n, row[i].lo, row[i].hi, row[i].rate, &exact);
    cr_assert_float_eq(got.bytes / exact.bytes, 1, row[i].tolerance,
                       "row %zu: bytes %g of %g", i, got.bytes, exact.bytes);
    /* small sizes are seldom seen: their number is less certain */
    cr_assert_float_eq(got.count / exact.count, 1, 8 * row[i].tolerance,
                       "row %zu: count %g of %g", i, got.count, exact.count);
  }
}

Test(sample, steps_are_an_eighth_wide) {
  unsigned last = 0;
  size_t first_of_step = 0;
  for (size_t size = 0; size < 1 << 20; size++) {
    unsigned step = sample_size_step(size);
    cr_assert(step >= last && step < 64 * 8 + 8);
    if (step != last) first_of_step = size;
    if (size > 0) cr_assert(size - first_of_step <= first_of_step / 8);
    last = step;
  }
  cr_assert(sample_size_step(SIZE_MAX) < 65 * 8);
}

Test(sample, scale_of_nothing_is_1) {
  cr_assert_float_eq(sample_scale(0, 0, 4096), 1, 0);
  cr_assert_float_eq(sample_scale(7, 0, 4096), 1, 0);
  cr_assert_float_eq(sample_scale(7, 7000, 1), 1, 0);
  cr_assert_float_eq(sample_scale(1, 4096, 4096), 1 / (1 - exp(-1)), 1e-9);
}
