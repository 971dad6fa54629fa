// SPDX-License-Identifier: MIT
/*
 * Random numbers that an attacker cannot foretell: bytes from the kernel, a block
 * at a time. A block costs a system call and then serves about twenty allocations.
 * Bytes are wiped as they are used, so that reading the heap's metadata does not
 * tell the past.
 */
#ifndef MGC_MALLOC_HARDENRAND_H
#define MGC_MALLOC_HARDENRAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* getrandom(2) gives up to this much without being interrupted. */
#define HARDEN_RAND_BLOCK 256u

/* Fills buf; tests give a seeded one. */
typedef void harden_rand_fill(void *arg, void *buf, size_t n);

struct harden_rand { /* all of it under the lock of whoever owns it */
  harden_rand_fill *fill;
  void *arg;
  uint32_t left; /* unused bytes, at the end of buf */
  uint8_t buf[HARDEN_RAND_BLOCK];
};

/* fill NULL: the kernel's. */
void harden_rand_init(struct harden_rand *r, harden_rand_fill *fill, void *arg);
uint64_t harden_rand_u64(struct harden_rand *r);
uint32_t harden_rand_u32(struct harden_rand *r);
/* What is left of the block is not used: a forked child must not go on with the
 * numbers of its parent. */
void harden_rand_forget(struct harden_rand *r);

/* Below n, from 32 random bits; the bias is under n / 2^32. */
static inline uint32_t harden_scale(uint32_t random, uint32_t n) {
  return (uint32_t)((uint64_t)random * n >> 32);
}

#endif
