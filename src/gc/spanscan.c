// SPDX-License-Identifier: MIT
/* See spanscan.h: the tables of a slot size, the portable kernel, the choice. */
#include "gc/spanscan.h"

#include "base/fatal.h"
#include "gc/scan.h"
#include <string.h>

/* --- the tables --- */

#define LINE_WORDS 8u
#define QUARTER_WORDS (SPANSCAN_WORDS / 4)

/* The words of line l, by the slots that they belong to. */
static void init_line(struct spanscan_class *c, unsigned l) {
  unsigned first = l * LINE_WORDS / c->words; /* slot of the first word */
  unsigned quarter = l * LINE_WORDS / QUARTER_WORDS;
  for (unsigned b = 0; b < LINE_WORDS; b++) {
    unsigned slot = (l * LINE_WORDS + b) / c->words;
    uint8_t *mask = &c->mask[slot - first][l];
    *mask = (uint8_t)(*mask | 1u << b);
  }
  for (unsigned i = 0; i < SPANSCAN_PARTS; i++) {
    unsigned at = first + i - 8u * c->from[quarter];
    c->byte[i][l] = (uint8_t)(at / 8 % 16);
    c->bit[i][l] = (uint8_t)(1u << (at % 8));
  }
  /* The 8 lines of a group have at most 32 slots, so that these and the 7 bits
   * before them in their byte are in the 8 bytes that are gathered. */
  unsigned byte = (l & ~7u) * LINE_WORDS / c->words / 8;
  c->gather[l] = (uint8_t)((byte + l % 8) % (SPANSCAN_SETS * 8));
  c->shift[l] = (uint8_t)(first - 8 * byte);
}

void spanscan_class_init(struct spanscan_class *c, size_t elemsize) {
  mgc_assert(spanscan_takes(elemsize));
  memset(c, 0, sizeof *c);
  c->words = (uint16_t)(elemsize / PTR_BYTES);
  c->nelems = (uint16_t)(SPANSCAN_PAGE_BYTES / elemsize);
  c->slot_words = low_mask64(c->words);
  bool narrow = c->words < LINE_WORDS;
  c->parts = narrow ? SPANSCAN_PARTS : 2;
  /* Where both ways take the same time when cached: 40 slots of 16 bytes, 24 of
   * 32, 10 of 56, 4 of 64, 2 of 128; fewer here, because a loop over objects that
   * was not run a thousand times is predicted worse. */
  c->few = (uint8_t)(narrow ? 64 / c->words : 2);
  for (unsigned q = 0; q < 4; q++)
    c->from[q] = (uint8_t)(q * QUARTER_WORDS / c->words / 8);
  for (unsigned l = 0; l < SPANSCAN_LINES; l++) init_line(c, l);
}

/* --- object by object --- */

/* Bits [at, at + words) of the bitmap. */
static MGC_ALWAYS_INLINE uint64_t slot_mask(const struct spanscan_class *c,
                                            const struct atomic_u64 *bitmap,
                                            unsigned at) {
  unsigned i = at / 64, shift = at % 64;
  uint64_t mask = atomic_u64_load_relaxed(&bitmap[i]) >> shift;
  if (shift + c->words > 64) /* then the slot ends in the word after */
    mask |= atomic_u64_load_relaxed(&bitmap[i + 1]) << (64 - shift);
  return mask & c->slot_words;
}

static MGC_ALWAYS_INLINE size_t scan_slot(const struct spanscan_class *c,
                                          const struct spanscan_page *p,
                                          unsigned slot,
                                          struct spanscan_range r,
                                          uintptr_t *out, size_t n) {
  unsigned at = slot * c->words;
  const uintptr_t *w = (const uintptr_t *)p->base + at;
  uint64_t mask = slot_mask(c, p->bitmap, at);
  /* Masks of low bits alone (links at the head, conservative objects) need no
   * search for the next bit: 1.3 times as fast with 64-byte slots. */
  if ((mask & (mask + 1)) == 0) {
    for (; mask; mask >>= 1) {
      uintptr_t v = scan_load(w++);
      out[n] = v;
      n += v - r.lo < r.extent;
    }
    return n;
  }
  do {
    uintptr_t v = scan_load(&w[(unsigned)__builtin_ctzll(mask)]);
    mask &= mask - 1;
    out[n] = v;
    n += v - r.lo < r.extent;
  } while (mask);
  return n;
}

size_t spanscan_object(const struct spanscan_class *c,
                       const struct spanscan_page *p, unsigned slot,
                       struct spanscan_range r, uintptr_t *out) {
  mgc_assert(slot < c->nelems);
  return scan_slot(c, p, slot, r, out, 0);
}

size_t spanscan_objects(const struct spanscan_class *c,
                        const struct spanscan_page *p, struct spanscan_range r,
                        uintptr_t *out) {
  size_t n = 0;
  for (unsigned first = 0; first < c->nelems; first += 64) {
    for (uint64_t set = p->toscan[first / 64]; set; set &= set - 1) {
      unsigned slot = first + (unsigned)__builtin_ctzll(set);
      mgc_assert(slot < c->nelems);
      n = scan_slot(c, p, slot, r, out, n);
    }
  }
  return n;
}

void spanscan_prefetch_objects(const struct spanscan_class *c,
                               const struct spanscan_page *p) {
  uintptr_t size = (uintptr_t)c->words * PTR_BYTES, asked = 0;
  /* Slots of 16 and 32 bytes: one look at those of a line. With 512 slots to a
   * page this took longer than it saved. */
  unsigned per_line =
      is_pow2(size) && size < CACHELINE ? (unsigned)(CACHELINE / size) : 1;
  for (unsigned first = 0; first < c->nelems; first += 64) {
    for (uint64_t set = p->toscan[first / 64]; set;) {
      unsigned i = (unsigned)__builtin_ctzll(set);
      set &= ~(low_mask64(per_line) << (i & ~(per_line - 1)));
      uintptr_t slot = p->base + (first + i) * size;
      uintptr_t line = align_down(slot, CACHELINE);
      if (line < asked) line = asked;
      for (; line < slot + size; line += CACHELINE)
        __builtin_prefetch((const void *)line);
      asked = line;
    }
  }
}

const struct spanscan_kernel spanscan_kernel_portable = {
    .name = "portable",
    .scan = spanscan_objects,
    .prefetch = spanscan_prefetch_objects,
};

/* --- the choice --- */

static const struct spanscan_kernel *const kernels[] = {
#if defined(__x86_64__)
    &spanscan_kernel_avx512,
    &spanscan_kernel_avx2,
#endif
    &spanscan_kernel_portable,
};

const struct spanscan_kernel *spanscan_kernel_at(unsigned i) {
  return i < array_len(kernels) ? kernels[i] : NULL;
}

const struct spanscan_kernel *spanscan_choose(uint32_t features) {
  unsigned i = 0;
  while (kernels[i]->needs & ~features) i++; /* the last one needs nothing */
  return kernels[i];
}
