// SPDX-License-Identifier: MIT
/*
 * Random numbers for property tests (SplitMix64). rng_seed prints the seed, so
 * that a failure is replayed with MGC_TEST_SEED=<seed>.
 */
#ifndef MGC_TESTS_SUPPORT_RNG_H
#define MGC_TESTS_SUPPORT_RNG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct rng {
  uint64_t state;
};

/* A generator with a given seed: for threads and for fixed sequences. */
static inline struct rng rng_from(uint64_t seed) {
  return (struct rng){.state = seed};
}

/* A generator with MGC_TEST_SEED, or else a fresh seed; prints which. */
static inline struct rng rng_seed(void) {
  const char *env = getenv("MGC_TEST_SEED");
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t seed = (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec +
                  ((uint64_t)getpid() << 40);
  if (env) seed = strtoull(env, NULL, 0);
  fprintf(stderr, "MGC_TEST_SEED=0x%llx\n", (unsigned long long)seed);
  return rng_from(seed);
}

static inline uint64_t rng_u64(struct rng *r) {
  uint64_t z = r->state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/* Uniform enough below n (n > 0): the bias is under n / 2^64. */
static inline uint64_t rng_below(struct rng *r, uint64_t n) {
  return rng_u64(r) % n;
}

static inline bool rng_chance(struct rng *r, unsigned one_in) {
  return rng_below(r, one_in) == 0;
}

#endif
