// SPDX-License-Identifier: MIT
/*
 * The AVX2 kernel of spanscan.h: half a line a step, a quarter of a page in a
 * register.
 *
 * The 256 words of a quarter have at most 128 slots, so their bits are in 16
 * bytes of the set, which a byte shuffle can reach. For each of the SPANSCAN_PARTS
 * it brings every line the byte with its slot's bit.
 *
 * There is no compress instruction: the words that passed are moved to the front
 * by a permutation from a table of 16. There is no unsigned comparison: both sides
 * have their sign bit flipped.
 */
#include "gc/spanscan.h"

#if defined(__x86_64__)
#include "os/cpu.h"
#include <immintrin.h>

#define KERNEL __attribute__((target("avx2,bmi,popcnt"))) MGC_NO_SANITIZE
#define QUARTER_LINES (SPANSCAN_LINES / 4)
#define HALF_LINE (CACHELINE / 2)
#define SIGN ((uintptr_t)1 << 63)
/* Halves of the words whose bits are set in the index, in order, as numbers of
 * 32-bit units; what follows them does not matter. */
#define MOVE(a, b, c, d)                                                       \
  {                                                                            \
    2 * (a), 2 * (a) + 1, 2 * (b), 2 * (b) + 1, 2 * (c), 2 * (c) + 1, 2 * (d), \
        2 * (d) + 1                                                            \
  }
static const uint32_t to_front[16][8] MGC_CACHE_ALIGNED = {
    MOVE(0, 0, 0, 0), MOVE(0, 0, 0, 0), MOVE(1, 0, 0, 0), MOVE(0, 1, 0, 0),
    MOVE(2, 0, 0, 0), MOVE(0, 2, 0, 0), MOVE(1, 2, 0, 0), MOVE(0, 1, 2, 0),
    MOVE(3, 0, 0, 0), MOVE(0, 3, 0, 0), MOVE(1, 3, 0, 0), MOVE(0, 1, 3, 0),
    MOVE(2, 3, 0, 0), MOVE(0, 2, 3, 0), MOVE(1, 2, 3, 0), MOVE(0, 1, 2, 3),
};

KERNEL static MGC_ALWAYS_INLINE __m256i load(const void *p) {
  return _mm256_load_si256(p);
}

KERNEL static MGC_ALWAYS_INLINE __m256i part(const struct spanscan_class *c,
                                             __m256i set, unsigned i,
                                             unsigned at) {
  __m256i bit = load(c->bit[i] + at);
  __m256i here = _mm256_shuffle_epi8(set, load(c->byte[i] + at));
  __m256i in_set = _mm256_cmpeq_epi8(_mm256_and_si256(here, bit), bit);
  return _mm256_and_si256(in_set, load(c->mask[i] + at));
}

/* The words of the slots in toscan, for one quarter of the page. */
KERNEL static MGC_ALWAYS_INLINE __m256i expand(const struct spanscan_class *c,
                                               const uint64_t *toscan,
                                               unsigned quarter) {
  const char *from = (const char *)toscan + c->from[quarter];
  __m256i set = _mm256_broadcastsi128_si256(
      _mm_loadu_si128((const __m128i *)(const void *)from));
  unsigned at = quarter * QUARTER_LINES;
  __m256i words = _mm256_or_si256(part(c, set, 0, at), part(c, set, 1, at));
  if (c->parts > 2)
    words = _mm256_or_si256(
        words, _mm256_or_si256(part(c, set, 2, at), part(c, set, 3, at)));
  return words;
}

KERNEL static MGC_ALWAYS_INLINE uint32_t lines_of(__m256i words) {
  __m256i none = _mm256_cmpeq_epi8(words, _mm256_setzero_si256());
  return ~(uint32_t)_mm256_movemask_epi8(none);
}

struct filter {
  __m256i lo, extent; /* with the sign bit flipped */
};

/* 4 words at p, of which those in `want` count. */
KERNEL static MGC_ALWAYS_INLINE size_t scan_words(uintptr_t p, unsigned want,
                                                  struct filter f,
                                                  uintptr_t *out, size_t n) {
  /* volatile: loaded once (I2) */
  __m256i v = *(const volatile __m256i *)p;
  __m256i in = _mm256_cmpgt_epi64(f.extent, _mm256_sub_epi64(v, f.lo));
  unsigned mask = (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(in)) & want;
  __m256i front = _mm256_permutevar8x32_epi32(v, load(to_front[mask]));
  _mm256_storeu_si256((__m256i *)(void *)(out + n), front);
  return n + popcount64(mask);
}

static unsigned count(const uint64_t *toscan) {
  unsigned n = 0;
  for (unsigned i = 0; i < SPANSCAN_SETS; i++) n += popcount64(toscan[i]);
  return n;
}

KERNEL static size_t scan(const struct spanscan_class *c,
                          const struct spanscan_page *p,
                          struct spanscan_range r, uintptr_t *out) {
  if (count(p->toscan) <= c->few) return spanscan_objects(c, p, r, out);
  struct filter f = {_mm256_set1_epi64x((long long)(r.lo ^ SIGN)),
                     _mm256_set1_epi64x((long long)(r.extent ^ SIGN))};
  uint8_t want[SPANSCAN_LINES] MGC_CACHE_ALIGNED;
  uint64_t lines[2] = {0, 0};
  for (unsigned q = 0; q < 4; q++) {
    const void *bitmap = p->bitmap + 4 * q;
    __m256i words =
        _mm256_and_si256(expand(c, p->toscan, q), _mm256_loadu_si256(bitmap));
    _mm256_store_si256((__m256i *)(void *)(want + q * QUARTER_LINES), words);
    lines[q / 2] |= (uint64_t)lines_of(words) << (q % 2 * QUARTER_LINES);
  }
  size_t n = 0;
  for (unsigned first = 0; first < SPANSCAN_LINES; first += 64) {
    for (uint64_t left = lines[first / 64]; left; left &= left - 1) {
      unsigned l = first + (unsigned)__builtin_ctzll(left);
      uintptr_t line = p->base + l * CACHELINE;
      n = scan_words(line, want[l] & 15u, f, out, n);
      n = scan_words(line + HALF_LINE, want[l] >> 4, f, out, n);
    }
  }
  return n;
}

KERNEL static void prefetch(const struct spanscan_class *c,
                            const struct spanscan_page *p) {
  if (count(p->toscan) <= c->few) {
    spanscan_prefetch_objects(c, p);
    return;
  }
  for (unsigned q = 0; q < 4; q++) {
    uintptr_t base = p->base + q * QUARTER_LINES * CACHELINE;
    for (uint32_t left = lines_of(expand(c, p->toscan, q)); left;
         left &= left - 1)
      __builtin_prefetch((const void *)(base + ctz64(left) * CACHELINE));
  }
}

const struct spanscan_kernel spanscan_kernel_avx2 = {
    .name = "avx2",
    .needs = CPU_AVX2,
    .scan = scan,
    .prefetch = prefetch,
};
#endif
