// SPDX-License-Identifier: MIT
/* See sample.h. */
#include "heap/sample.h"

#include "base/bits.h"

static const double ln2 = 0.693147180559945309417232121458;

bool sampler_hit(struct sampler *s, size_t n, uint64_t rate, uint64_t seed) {
  if (s->rng.weyl != 0) return true;
  s->rng.weyl = seed;
  rand_u64(&s->rng); /* seeds that are alike part here */
  sampler_next(s, rate);
  return sampler_count(s, n);
}

void sampler_next(struct sampler *s, uint64_t rate) {
  if (rate <= 1) {
    s->left = rate == 1 ? 0 : SAMPLER_PAUSED;
    return;
  }
  /* 53 bits and never 0. The distance is rounded up: n whole bytes reach it
   * exactly when they reach what was drawn. */
  double u = (double)((rand_u64(&s->rng) >> 11) + 1) * 0x1p-53;
  double d = sample_neg_log(u) * (double)rate;
  s->left = d < (double)SAMPLER_PAUSED ? (uint64_t)d + 1 : SAMPLER_PAUSED;
}

double sample_neg_log(double u) {
  /* u = m * 2^e with m near 1; ln m = 2 atanh((m - 1) / (m + 1)). */
  union {
    double d;
    uint64_t bits;
  } x = {.d = u};
  int e = (int)(x.bits >> 52) - 1023;
  x.bits = (x.bits & low_mask64(52)) | (uint64_t)1023 << 52;
  if (x.d > 1.4142135623730951) {
    x.d /= 2;
    e++;
  }
  double t = (x.d - 1) / (x.d + 1), t2 = t * t, sum = 0;
  for (int k = 15; k >= 1; k -= 2) sum = sum * t2 + 1.0 / k;
  return -(2 * t * sum + e * ln2);
}

double sample_probability(double x) {
  if (!(x < 40)) return 1; /* exp(-40) < 1e-17 */
  int halvings = (int)(x / ln2);
  double r = x - halvings * ln2;
  /* 1 - exp(-r) = r - r^2/2! + r^3/3! - ..., r < ln 2: without the loss of
   * digits that a subtraction from 1 has for small x. */
  double sum = 0;
  for (int k = 17; k >= 1; k--) sum = (1 - sum) * r / k;
  double part = 1 / (double)((uint64_t)1 << halvings);
  return sum * part + (1 - part);
}

double sample_scale(uint64_t count, uint64_t bytes, uint64_t rate) {
  if (rate <= 1 || count == 0 || bytes == 0) return 1;
  double mean = (double)bytes / (double)count;
  return 1 / sample_probability(mean / (double)rate);
}

unsigned sample_size_step(size_t size) {
  unsigned bits = bit_length64(size);
  if (bits <= 4) return (unsigned)size;
  return bits * 8 + ((unsigned)(size >> (bits - 4)) & 7);
}
