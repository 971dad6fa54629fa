// SPDX-License-Identifier: MIT
/* What fixes the work of a benchmark's program: its arguments, and random numbers. */
#ifndef MGC_BENCH_INPUT_H
#define MGC_BENCH_INPUT_H

#include <stdint.h>
#include <stdlib.h>

static inline long argument(int argc, char **argv, int i, long otherwise) {
  return argc > i ? strtol(argv[i], NULL, 10) : otherwise;
}

/* Steele, Lea and Flood's SplitMix64: one add and two multiplications. */
struct random {
  uint64_t state;
};

static inline uint64_t random_next(struct random *r) {
  uint64_t z = (r->state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

/* A number below n, which is under 2^32. */
static inline uint64_t random_below(struct random *r, uint64_t n) {
  return ((random_next(r) >> 32) * n) >> 32;
}

#endif
