// SPDX-License-Identifier: MIT
/*
 * Which allocations a heap profile takes (Go: nextSample in malloc.go, mprof.go),
 * and what a sample stands for.
 *
 * Samples are the points of a Poisson process along the bytes that a thread
 * allocates: from one to the next are `rate` bytes on average, exponentially
 * distributed, so that an allocation of n bytes holds at least one with
 * probability 1 - exp(-n / rate), whatever came before it and however the program
 * repeats itself. A thread counts the bytes down; the allocation that reaches the
 * next point is the sample.
 *
 * n bytes sampled therefore stand for n / (1 - exp(-n / rate)) allocated ones.
 * Reading programs do this sum for each line of a profile, with the line's mean
 * size, so what they get is right if the sizes of one line are about the same:
 * sample_size_step says which may share one.
 *
 * rate 1: every allocation. rate 0: none.
 *
 * The logarithm and the exponential are our own few lines: malloc's library needs
 * no libm.
 */
#ifndef MGC_HEAP_SAMPLE_H
#define MGC_HEAP_SAMPLE_H

#include "base/compiler.h"
#include "base/rand.h"
#include <stdbool.h>
#include <stddef.h>

/* A thread's own; all zero is how it begins. */
struct sampler {
  uint64_t left;         /* (o) bytes before the next sample */
  struct rand_state rng; /* (o) 0: not seeded yet */
};

/* A value of left that no allocation reaches: while a sample is being taken, what
 * that allocates is none. */
#define SAMPLER_PAUSED ((uint64_t)1 << 62)

/* Counts an allocation of n bytes.
 * Returns: true when it is for sampler_hit to say. Threads: the owner. */
static MGC_ALWAYS_INLINE bool sampler_count(struct sampler *s, size_t n) {
  if (likely(n < s->left)) {
    s->left -= n;
    return false;
  }
  return true;
}

/* After sampler_count said true: whether the allocation is a sample. A new
 * sampler is seeded first, and then it may be none. The caller draws the next
 * distance with sampler_next after it has dealt with a sample.
 * Units: rate in bytes; seed: any number that tells threads apart. */
bool sampler_hit(struct sampler *s, size_t n, uint64_t rate, uint64_t seed);
void sampler_next(struct sampler *s, uint64_t rate);

/* -ln(u) for u in (0, 1], and 1 - exp(-x) for x >= 0. Within 1e-12. */
double sample_neg_log(double u);
double sample_probability(double x);

/* What `count` samples of `bytes` bytes altogether stand for is scale times
 * that, for both. Returns: 1 for rate 1, and when count or bytes is 0. */
double sample_scale(uint64_t count, uint64_t bytes, uint64_t rate);

/* Sizes of one step differ by less than an eighth: the estimate of a sum over
 * them from their mean is then off by less than 0.2 % (half the relative variance
 * within a step, 1/8^2 / 12). */
unsigned sample_size_step(size_t size);

#endif
