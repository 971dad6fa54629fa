// SPDX-License-Identifier: MIT
/*
 * Cheap random numbers for sampling and for stealing order; not for secrets. A
 * Weyl sequence hashed by a folded 128-bit product (the construction of wyrand):
 * 8 bytes of state, which the owner passes in, and about 1 ns a number.
 */
#ifndef MGC_BASE_RAND_H
#define MGC_BASE_RAND_H

#include <stdint.h>

struct rand_state {
  uint64_t weyl; /* (o) any value is a good seed */
};

static inline uint64_t rand_u64(struct rand_state *r) {
  r->weyl += 0xa0761d6478bd642full;
  unsigned __int128 product =
      (unsigned __int128)r->weyl * (r->weyl ^ 0xe7037ed1a0b428dbull);
  return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

/* Uniform below n, with a bias under n / 2^32; 0 when n is 0. */
static inline uint32_t rand_below(struct rand_state *r, uint32_t n) {
  return (uint32_t)((rand_u64(r) >> 32) * n >> 32);
}

#endif
