// SPDX-License-Identifier: MIT
/*
 * Pointer masks: which words of an object may hold pointers, asked 64 words at
 * a time. Hot: used when heap bits are written and when large objects are
 * scanned. See type.h for where the masks come from and their invariants.
 */
#ifndef MGC_TYPE_PTRMASK_H
#define MGC_TYPE_PTRMASK_H

#include "base/bits.h"
#include "mallocgc/type.h"

/* Masks of programs above this many words are not built on demand: 2 KiB of
 * mask for an object of 128 KiB. Above, the program is asked each time. */
#define TYPE_MASK_MAX_WORDS (16u * 1024)

/* The number of 64-bit words of t's mask. */
static inline size_t type_mask_words(const struct mgc_type *t) {
  return div_round_up(t->ptrdata, 64 * PTR_BYTES);
}

static inline const struct mgc_gcprog *type_prog(const struct mgc_type *t) {
  return (const struct mgc_gcprog *)(const void *)t->gcdata;
}
static inline const struct mgc_field *
type_prog_fields(const struct mgc_gcprog *prog) {
  return (const struct mgc_field *)(const void *)((const char *)&prog->fields +
                                                  prog->fields);
}

/* Bits of words [64 i, 64 i + 64) of one value of t; zero past ptrdata. */
uint64_t type_mask_word_slow(const struct mgc_type *t, size_t i);

static inline bool type_is_small(const struct mgc_type *t) {
  return t->ptrdata <= 64 * PTR_BYTES;
}

/* The whole mask of a type with type_is_small; 0 for one without pointers. */
static inline uint64_t type_small_mask(const struct mgc_type *t) {
  return t->ptrdata ? *(const uint64_t *)(const void *)t->gcdata : 0;
}

/* Bits of words [64 i, 64 i + 64) of one value of t, not tiled. */
static inline uint64_t type_mask_word(const struct mgc_type *t, size_t i) {
  if (type_is_small(t)) return i == 0 ? type_small_mask(t) : 0;
  return type_mask_word_slow(t, i);
}

/* Bits of words [w, w + 64) of an array of t that starts at word 0 and has no
 * end: the caller cuts at its object's size. w is any word. */
uint64_t type_tiled_mask(const struct mgc_type *t, size_t w);

/* The bit mask of t as words, built from the program on demand and kept. Words:
 * div_round_up(ptrdata / 8, 64). NULL when t has no pointers, when it is larger
 * than TYPE_MASK_MAX_WORDS, or when memory is exhausted: then ask
 * type_mask_word. alloc returns zeroed memory that stays for ever, or NULL. */
const uint64_t *type_mask_build(const struct mgc_type *t,
                                void *(*alloc)(void *arg, size_t n), void *arg);

/*
 * Pointer words of an object, in address order (Go: typePointers). The object
 * is an array of t tiled over its bytes. After typepointers_init the words are
 * those in [lo, hi), byte offsets in the object, multiples of 8.
 *
 *   struct typepointers it;
 *   typepointers_init(&it, t, lo, hi);
 *   for (size_t off; (off = typepointers_next(&it)) != TYPEPOINTERS_END;)
 *     scan(base + off);
 */
#define TYPEPOINTERS_END SIZE_MAX

struct typepointers {
  const struct mgc_type *type;
  uint64_t bits; /* words left of the 64 from word on, shifted down */
  size_t word;   /* index of bit 0 of the 64 in hand */
  size_t next;   /* word to load next */
  size_t end;    /* first word past the range */
};

void typepointers_init(struct typepointers *it, const struct mgc_type *t,
                       size_t lo, size_t hi);
/* Loads the next 64 words that have a pointer; false at the end. */
bool typepointers_load(struct typepointers *it);

static inline size_t typepointers_next(struct typepointers *it) {
  if (it->bits == 0 && !typepointers_load(it)) return TYPEPOINTERS_END;
  size_t off = (it->word + ctz64(it->bits)) * PTR_BYTES;
  it->bits &= it->bits - 1;
  return off;
}

#endif
