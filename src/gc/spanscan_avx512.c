// SPDX-License-Identifier: MIT
/*
 * The AVX-512 kernel of spanscan.h: a line a step, half a page in a register.
 *
 * VBMI is what makes expanding cheap, two instructions to bring every line its
 * slots' bits; processors that have it (Ice Lake and Zen 4 on) also do not slow
 * down for 512-bit instructions as the first ones did.
 *
 * The set's bytes that a group of 8 lines can need are gathered into the 8 bytes of
 * its lanes, and multishift then gives each line the 8 bits from its first slot
 * on. Bit i decides whether mask[i] counts. Even for one slot this is faster than
 * going by object.
 */
#include "gc/spanscan.h"

#if defined(__x86_64__)
#include "os/cpu.h"
#include <immintrin.h>

#define KERNEL                                                                 \
  __attribute__((target("avx512f,avx512bw,avx512vbmi,bmi,popcnt")))            \
  MGC_NO_SANITIZE
#define HALF_LINES (SPANSCAN_LINES / 2)
#define HALF_BYTES (SPANSCAN_PAGE_BYTES / 2)

KERNEL static MGC_ALWAYS_INLINE __m512i part(const struct spanscan_class *c,
                                             __m512i slots, unsigned i,
                                             unsigned half) {
  __mmask64 in_set =
      _mm512_test_epi8_mask(slots, _mm512_set1_epi8((char)(1 << i)));
  return _mm512_maskz_loadu_epi8(in_set, c->mask[i] + half * HALF_LINES);
}

/* The words of the slots in `set`, for one half of the page. */
KERNEL static MGC_ALWAYS_INLINE __m512i expand(const struct spanscan_class *c,
                                               __m512i set, unsigned half) {
  __m512i gather = _mm512_load_si512(c->gather + half * HALF_LINES);
  __m512i shift = _mm512_load_si512(c->shift + half * HALF_LINES);
  __m512i slots =
      _mm512_multishift_epi64_epi8(shift, _mm512_permutexvar_epi8(gather, set));
  __m512i words =
      _mm512_or_si512(part(c, slots, 0, half), part(c, slots, 1, half));
  if (c->parts > 2)
    words = _mm512_or_si512(words, _mm512_or_si512(part(c, slots, 2, half),
                                                   part(c, slots, 3, half)));
  return words;
}

KERNEL static MGC_ALWAYS_INLINE uint64_t lines_of(__m512i words) {
  return (uint64_t)_mm512_test_epi8_mask(words, words);
}

struct filter {
  __m512i lo, extent;
};

/* The lines of one half. Returns n, grown by the words written. */
KERNEL static MGC_ALWAYS_INLINE size_t scan_half(uintptr_t base, __m512i words,
                                                 struct filter f,
                                                 uintptr_t *out, size_t n) {
  uint8_t want[HALF_LINES] MGC_CACHE_ALIGNED;
  _mm512_store_si512(want, words);
  for (uint64_t lines = lines_of(words); lines; lines &= lines - 1) {
    unsigned l = (unsigned)__builtin_ctzll(lines);
    /* volatile: loaded once (I2) */
    __m512i v = *(const volatile __m512i *)(base + l * CACHELINE);
    __mmask8 in = _mm512_mask_cmplt_epu64_mask(
        want[l], _mm512_sub_epi64(v, f.lo), f.extent);
    _mm512_storeu_si512(out + n, _mm512_maskz_compress_epi64(in, v));
    n += popcount64(in);
  }
  return n;
}

KERNEL static size_t scan(const struct spanscan_class *c,
                          const struct spanscan_page *p,
                          struct spanscan_range r, uintptr_t *out) {
  struct filter f = {_mm512_set1_epi64((long long)r.lo),
                     _mm512_set1_epi64((long long)r.extent)};
  __m512i set = _mm512_loadu_si512(p->toscan);
  __m512i low =
      _mm512_and_si512(expand(c, set, 0), _mm512_loadu_si512(p->bitmap));
  __m512i high =
      _mm512_and_si512(expand(c, set, 1), _mm512_loadu_si512(p->bitmap + 8));
  size_t n = scan_half(p->base, low, f, out, 0);
  return scan_half(p->base + HALF_BYTES, high, f, out, n);
}

KERNEL static void prefetch(const struct spanscan_class *c,
                            const struct spanscan_page *p) {
  __m512i set = _mm512_loadu_si512(p->toscan);
  for (unsigned half = 0; half < 2; half++) {
    uintptr_t base = p->base + half * HALF_BYTES;
    for (uint64_t lines = lines_of(expand(c, set, half)); lines;
         lines &= lines - 1)
      __builtin_prefetch((const void *)(base + ctz64(lines) * CACHELINE));
  }
}

const struct spanscan_kernel spanscan_kernel_avx512 = {
    .name = "avx512",
    .needs = CPU_AVX512_VBMI,
    .scan = scan,
    .prefetch = prefetch,
};
#endif
