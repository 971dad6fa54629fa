// SPDX-License-Identifier: MIT
/* Bit and alignment arithmetic. */
#ifndef MGC_BASE_BITS_H
#define MGC_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PTR_BYTES 8u
#define PTR_SHIFT 3u

/* ctz64(0) == clz64(0) == 64: callers rely on it at word boundaries. */
static inline unsigned ctz64(uint64_t x) {
  return x ? (unsigned)__builtin_ctzll(x) : 64;
}
static inline unsigned clz64(uint64_t x) {
  return x ? (unsigned)__builtin_clzll(x) : 64;
}
static inline unsigned popcount64(uint64_t x) {
  return (unsigned)__builtin_popcountll(x);
}

/* The ones of up to 31 words: ones64_by_byte of each, added up, has them in eight bytes,
 * and sum_of_bytes64 adds those once at the end. Baseline x86-64 has no popcnt, and the
 * library call for each word was more than half of the time to sweep a span. */
static inline uint64_t ones64_by_byte(uint64_t x) {
  x -= (x >> 1) & 0x5555555555555555u;
  x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
  return (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
}
static inline unsigned sum_of_bytes64(uint64_t x) {
  x = (x & 0x00ff00ff00ff00ffu) + ((x >> 8) & 0x00ff00ff00ff00ffu);
  return (unsigned)((x * 0x0001000100010001u) >> 48);
}
/* The number of bits needed to write x: 0 for 0, 1 for 1, 64 at the most. */
static inline unsigned bit_length64(uint64_t x) { return 64 - clz64(x); }
static inline bool is_pow2(uint64_t x) { return x != 0 && (x & (x - 1)) == 0; }
/* The n low bits set; n is 0 to 64. */
static inline uint64_t low_mask64(unsigned n) {
  return n >= 64 ? ~0ull : (1ull << n) - 1;
}
/* align must be a power of two in the align_ functions. */
static inline uintptr_t align_up(uintptr_t x, uintptr_t align) {
  return (x + align - 1) & ~(align - 1);
}
static inline uintptr_t align_down(uintptr_t x, uintptr_t align) {
  return x & ~(align - 1);
}
static inline bool is_aligned(uintptr_t x, uintptr_t align) {
  return (x & (align - 1)) == 0;
}
static inline uintptr_t div_round_up(uintptr_t n, uintptr_t d) {
  return (n + d - 1) / d;
}

#endif
