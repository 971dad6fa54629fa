// SPDX-License-Identifier: MIT
/*
 * Reading pointer masks and pointer programs by windows of 64 words. A program
 * is a preorder list of field records, so a window costs the records that meet
 * it, wherever in the object it is: nothing is unrolled. See mallocgc/type.h.
 */
#include "type/ptrmask.h"
#include "base/atomic.h"
#include "base/fatal.h"
#include "type/type.h"

/* Bits of the records f[0, n) in the window, when the struct or element that
 * they describe begins `at` words after the window's first word (before it, when
 * negative). Depth: that of the nesting of arrays in the type. */
static uint64_t window(const struct mgc_field *f, size_t n, int64_t at) {
  uint64_t bits = 0;
  for (size_t i = 0; i < n; i += 1 + (size_t)f[i].nsub) {
    int64_t begin = at + (int64_t)(f[i].offset / PTR_BYTES);
    int64_t end = begin + (int64_t)(f[i].size / PTR_BYTES);
    if (begin >= 64 || end <= 0) continue;
    if (f[i].flags & MGC_FIELD_POINTER) {
      unsigned lo = begin < 0 ? 0 : (unsigned)begin;
      unsigned hi = end > 64 ? 64 : (unsigned)end;
      bits |= low_mask64(hi - lo) << lo;
    } else if (f[i].flags & MGC_FIELD_EACH) {
      int64_t stride = (int64_t)(f[i].stride / PTR_BYTES);
      if (begin < 0) begin += -begin / stride * stride;
      if (end > 64) end = 64;
      for (; begin < end; begin += stride)
        bits |= window(f + i + 1, f[i].nsub, begin);
    }
  }
  return bits;
}

static const struct atomic_ptr *built_mask(const struct mgc_gcprog *prog) {
  return (const struct atomic_ptr *)(const void *)&prog->mask;
}

static uint64_t prog_word(const struct mgc_type *t, size_t i) {
  const struct mgc_gcprog *prog = type_prog(t);
  /* acquire: pairs with the publication in type_mask_build */
  const uint64_t *mask = atomic_ptr_load_acquire(built_mask(prog));
  if (mask) return mask[i];
  return window(type_prog_fields(prog), prog->nfields, -(int64_t)(i * 64));
}

uint64_t type_mask_word_slow(const struct mgc_type *t, size_t i) {
  if (i >= type_mask_words(t)) return 0;
  if (t->kind & MGC_KIND_GCPROG) return prog_word(t, i);
  return ((const uint64_t *)(const void *)t->gcdata)[i];
}

/* Bits of words [w, w + 64) of one value. */
static uint64_t mask_at(const struct mgc_type *t, size_t w) {
  unsigned shift = w % 64;
  uint64_t low = type_mask_word(t, w / 64);
  if (shift == 0) return low;
  return low >> shift | type_mask_word(t, w / 64 + 1) << (64 - shift);
}

uint64_t type_tiled_mask(const struct mgc_type *t, size_t w) {
  if (t->ptrdata == 0) return 0;
  size_t nwords = t->size / PTR_BYTES;
  if (nwords == 1) return ~0ull;
  size_t phase = w % nwords;
  if (nwords >= 64) {
    uint64_t bits = mask_at(t, phase);
    if (nwords - phase < 64) bits |= mask_at(t, 0) << (nwords - phase);
    return bits;
  }
  /* Copies of the mask from bit 0 on, then the window at the phase. */
  uint64_t mask = type_small_mask(t), tiles = mask;
  for (size_t n = nwords; n < 64; n *= 2) tiles |= tiles << n;
  return phase == 0 ? tiles : mask >> phase | tiles << (nwords - phase);
}

const uint64_t *type_mask_build(const struct mgc_type *t,
                                void *(*alloc)(void *arg, size_t n),
                                void *arg) {
  size_t n = type_mask_words(t);
  if (n == 0 || n * 64 > TYPE_MASK_MAX_WORDS) return NULL;
  if (!(t->kind & MGC_KIND_GCPROG))
    return (const uint64_t *)(const void *)t->gcdata;
  const struct mgc_gcprog *prog = type_prog(t);
  /* The cache is the one word of a descriptor's data that changes. */
  struct atomic_ptr *slot = (struct atomic_ptr *)(uintptr_t)built_mask(prog);
  uint64_t *mask = atomic_ptr_load_acquire(slot);
  if (mask) return mask;
  mask = alloc(arg, n * sizeof(uint64_t));
  if (!mask) return NULL;
  for (size_t i = 0; i < n; i++)
    mask[i] = window(type_prog_fields(prog), prog->nfields, -(int64_t)(i * 64));
  void *expect = NULL;
  /* The loser of a race drops its copy: one mask in the life of a type. */
  if (!atomic_ptr_cas_acq_rel(slot, &expect, mask)) return expect;
  return mask;
}

void typepointers_init(struct typepointers *it, const struct mgc_type *t,
                       size_t lo, size_t hi) {
  mgc_assert(is_aligned(lo, PTR_BYTES) && is_aligned(hi, PTR_BYTES));
  *it = (struct typepointers){
      .type = t,
      .next = lo / PTR_BYTES,
      .end = t->ptrdata == 0 ? 0 : hi / PTR_BYTES,
  };
}

bool typepointers_load(struct typepointers *it) {
  const struct mgc_type *t = it->type;
  size_t nwords = t->size / PTR_BYTES;
  while (it->next < it->end) {
    size_t word = it->next, left = it->end - word;
    uint64_t bits = type_tiled_mask(t, word);
    it->next = word + 64;
    if (left < 64) bits &= low_mask64((unsigned)left);
    if (bits != 0) {
      it->bits = bits;
      it->word = word;
      return true;
    }
    /* The tail of a big element without pointers is passed over at once. */
    if (nwords > 128) {
      size_t phase = word % nwords;
      if (phase >= t->ptrdata / PTR_BYTES && nwords - phase > 64)
        it->next = word + (nwords - phase);
    }
  }
  return false;
}
