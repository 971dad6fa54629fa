// SPDX-License-Identifier: MIT
/*
 * What the programs of bench/gc share. Each does the work that its arguments fix, with
 * random numbers from a seed, and its twin in bench/go does the same, step by step:
 * both come to the same checksum.
 */
#ifndef MGC_BENCH_GC_PROGRAM_H
#define MGC_BENCH_GC_PROGRAM_H

#include "report.h"

static inline uint64_t argument_u64(int argc, char **argv, int i,
                                    uint64_t otherwise) {
  return (uint64_t)argument(argc, argv, i, (long)otherwise);
}

enum { PATTERN_BYTES = 2048, PATTERN_STARTS = 1024 };

/* Bytes to fill objects from: the same memcpy in C and in Go, where a loop would
 * measure the compiler. */
static unsigned char pattern[PATTERN_BYTES];

static inline void pattern_init(void) {
  struct random r = {2};
  for (unsigned i = 0; i < PATTERN_BYTES; i++)
    pattern[i] = (unsigned char)random_next(&r);
}

/* At most PATTERN_BYTES - PATTERN_STARTS bytes. */
static inline void pattern_fill(void *p, size_t n, uint64_t start) {
  memcpy(p, pattern + start % PATTERN_STARTS, n);
}

#endif
