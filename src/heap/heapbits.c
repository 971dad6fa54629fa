// SPDX-License-Identifier: MIT
/*
 * Writing and reading the pointer bitmaps of small objects (Go: mbitmap.go, as
 * it was with one bit a word in the arena).
 *
 * Bit i of an arena's bitmap says that word i is a pointer slot. 64 words (512
 * bytes of heap, a "chunk" here) share a bitmap word. A slot's bits are its
 * type's mask, tiled from the slot's start over `size` bytes, then zeroes.
 *
 * Who writes when: the thread that takes a run writes the bits of its slots
 * before any of them is handed out, and not at all when the span's masktype says
 * that they are there already. Bitmap words at the ends of a run are shared with
 * slots of others, so they are changed with atomic and/or; words inside belong
 * to the writer alone and are stored.
 *
 * no_more_ptrs: for each chunk whose last word lies in the slot, whether the
 * slot has no pointers past the chunk. Follows from the mask's last pointer
 * alone, so it costs a division and a comparison a chunk.
 */
#include "heap/heapbits.h"

#include "base/fatal.h"
#include "type/ptrmask.h"

#define CHUNK_BYTES 512u

/* Collects bits and hands them to the bitmap a word at a time. */
struct bitsink {
  const struct arena_map *map;
  struct heap_arena *arena; /* of the chunk that p lies in, once loaded */
  uintptr_t p;              /* address of the next word to describe */
  uint64_t acc;             /* bits of the chunk of p, below p */
  unsigned first;           /* bits of the chunk below this are not ours */
};

static struct bitsink sink_at(const struct arena_map *m, uintptr_t p) {
  return (struct bitsink){.map = m,
                          .arena = arena_of(m, p),
                          .p = p,
                          .first = (unsigned)(p / PTR_BYTES % 64)};
}

static struct atomic_u64 *bitmap_word(struct bitsink *k) {
  if (unlikely(k->p - k->arena->base >= HEAP_ARENA_BYTES))
    k->arena = arena_of(k->map, k->p);
  return &k->arena->bitmap[arena_word_index(k->p) / 64];
}

/* Sets the bits of `mask` in *w to those of bits; others change theirs. */
static void merge_bits(struct atomic_u64 *w, uint64_t bits, uint64_t mask) {
  uint64_t old = atomic_u64_load_relaxed(w);
  uint64_t clear = old & mask & ~bits, set = bits & ~old;
  if (clear) atomic_u64_fetch_and_relaxed(w, ~clear);
  if (set) atomic_u64_fetch_or_relaxed(w, set);
}

static void sink_flush(struct bitsink *k, struct atomic_u64 *w, unsigned end) {
  uint64_t mask = low_mask64(end) & ~low_mask64(k->first);
  if (mask == ~0ull)
    atomic_u64_store_relaxed(w, k->acc);
  else
    merge_bits(w, k->acc, mask);
  k->first = 0;
}

/* Describes the next n words (1 to 64); bits above n are 0. */
static inline void sink_put(struct bitsink *k, uint64_t bits, unsigned n) {
  unsigned at = (unsigned)(k->p / PTR_BYTES % 64);
  unsigned room = 64 - at;
  k->acc |= bits << at;
  if (n < room) {
    k->p += (uintptr_t)n * PTR_BYTES;
    return;
  }
  sink_flush(k, bitmap_word(k), 64);
  k->acc = room < 64 ? bits >> room : 0;
  k->p += (uintptr_t)n * PTR_BYTES;
}

static void sink_finish(struct bitsink *k) {
  unsigned at = (unsigned)(k->p / PTR_BYTES % 64);
  if (at > k->first) sink_flush(k, bitmap_word(k), at);
}

/* Slots of at most 64 words: as many as fit in 64 bits go out at once. */
static void put_short_slots(struct bitsink *k, unsigned slot_words, size_t n,
                            uint64_t mask) {
  unsigned len = slot_words;
  size_t left = n * slot_words;
  while (2 * len <= 64 && len < left) {
    mask |= mask << len;
    len *= 2;
  }
  for (; left >= len; left -= len) sink_put(k, mask, len);
  if (left) sink_put(k, mask & low_mask64((unsigned)left), (unsigned)left);
}

static void put_long_slot(struct bitsink *k, size_t slot_words, size_t words,
                          const struct mgc_type *type) {
  for (size_t w = 0; w < slot_words; w += 64) {
    uint64_t bits = 0;
    if (w < words) bits = type_tiled_mask(type, w);
    if (words - w < 64 && w < words) bits &= low_mask64((unsigned)(words - w));
    size_t n = slot_words - w < 64 ? slot_words - w : 64;
    sink_put(k, bits, (unsigned)n);
  }
}

static void put_slots(struct bitsink *k, const struct mspan *s, size_t n,
                      const struct mgc_type *type, size_t size) {
  size_t slot_words = s->elemsize / PTR_BYTES, words = size / PTR_BYTES;
  if (slot_words > 64) {
    for (size_t i = 0; i < n; i++) put_long_slot(k, slot_words, words, type);
    return;
  }
  uint64_t mask = type_tiled_mask(type, 0) & low_mask64((unsigned)words);
  put_short_slots(k, (unsigned)slot_words, n, mask);
}

/* Bytes of the prefix of a slot that holds all its pointers: size bytes tiled
 * with type. An upper bound when the last element is cut short. */
static size_t tiled_ptrdata(const struct mgc_type *type, size_t size) {
  size_t whole = size / type->size * type->size, rest = size - whole;
  if (rest) return whole + (rest < type->ptrdata ? rest : type->ptrdata);
  return whole ? whole - type->size + type->ptrdata : 0;
}

static void put_no_more(const struct arena_map *m, const struct mspan *s,
                        uintptr_t from, uintptr_t to, size_t ptrdata) {
  struct heap_arena *a = arena_of(m, from);
  uintptr_t end = align_up(from + 1, CHUNK_BYTES);
  for (; end <= to; end += CHUNK_BYTES) {
    uintptr_t last = end - PTR_BYTES;
    if (unlikely(last - a->base >= HEAP_ARENA_BYTES)) a = arena_of(m, last);
    uintptr_t slot = mspan_slot(s, mspan_index(s, last));
    bool none = end - slot >= ptrdata;
    uintptr_t i = arena_word_index(last) / 64;
    struct atomic_u8 *b = &a->no_more_ptrs[i / 8];
    uint8_t bit = (uint8_t)(1u << (i % 8));
    bool was = (atomic_u8_load_relaxed(b) & bit) != 0;
    if (none && !was) atomic_u8_fetch_or_relaxed(b, bit);
    if (!none && was) atomic_u8_fetch_and_relaxed(b, (uint8_t)~bit);
  }
}

void heapbits_set_slots(const struct arena_map *m, struct mspan *s,
                        unsigned first, unsigned n, const struct mgc_type *type,
                        size_t size) {
  uintptr_t from = mspan_slot(s, first), to = mspan_slot(s, first + n);
  mgc_assert(!mspan_noscan(s) && size <= s->elemsize && to <= s->limit);
  struct bitsink k = sink_at(m, from);
  put_slots(&k, s, n, type, size);
  sink_finish(&k);
  put_no_more(m, s, from, to, tiled_ptrdata(type, size));
}

void heapbits_set_span(const struct arena_map *m, struct mspan *s,
                       const struct mgc_type *type) {
  struct bitsink k = sink_at(m, s->base);
  mgc_assert(!mspan_noscan(s));
  put_slots(&k, s, s->nelems, type, s->elemsize);
  /* The tail that no slot fits in. */
  uintptr_t end = s->base + s->npages * MGC_PAGE_SIZE;
  while (k.p < end) {
    size_t n = (end - k.p) / PTR_BYTES;
    sink_put(&k, 0, n < 64 ? (unsigned)n : 64);
  }
  put_no_more(m, s, s->base, s->limit, tiled_ptrdata(type, s->elemsize));
}

uint64_t heapbits_load(const struct heap_arena *a, uintptr_t p,
                       uintptr_t limit) {
  if (p >= limit) return 0;
  if (unlikely(p - a->base >= HEAP_ARENA_BYTES))
    a = atomic_ptr_load_acquire(&a->above);
  uintptr_t i = arena_word_index(p);
  unsigned shift = (unsigned)(i % 64);
  uint64_t bits = atomic_u64_load_relaxed(&a->bitmap[i / 64]) >> shift;
  size_t nwords = (limit - p) / PTR_BYTES;
  if (shift && nwords > 64 - shift) {
    uintptr_t next = i / 64 + 1;
    if (unlikely(next == HEAP_ARENA_BITMAP_WORDS)) {
      a = atomic_ptr_load_acquire(&a->above);
      next = 0;
    }
    bits |= atomic_u64_load_relaxed(&a->bitmap[next]) << (64 - shift);
  }
  return nwords < 64 ? bits & low_mask64((unsigned)nwords) : bits;
}
