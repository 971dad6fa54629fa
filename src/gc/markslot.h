// SPDX-License-Identifier: MIT
/*
 * From a word to a slot, to its mark, to the words in it: what the loops of mark.c and
 * markspan.c have in common, and what of mark.c the latter calls.
 */
#ifndef MGC_GC_MARKSLOT_H
#define MGC_GC_MARKSLOT_H

#include "base/fatal.h"
#include "gc/mark.h"
#include "gc/scan.h"
#include "heap/heapbits.h"
#include "heap/mheap_internal.h"
#include <string.h>

#define MARK_RING 16 /* a power of two */
/* Edges between two looks at whether others are idle: about 5 us. */
#define MARK_BUDGET 128
/* Of those, between two calls of ops->tick: some 50 us. */
#define MARK_TELL_STEPS 8

struct slot_ref {
  struct mspan *s;
  uintptr_t index;
};

/* --- from an edge to a slot --- */

/* Where entry[0] of the arena map would be if its first arena were number 0. An
 * integer, because no object begins there. */
static MGC_ALWAYS_INLINE uintptr_t entry_origin(const struct arena_map *map) {
  return (uintptr_t)map->entry - map->first * sizeof map->entry[0];
}

/* arena_of for an address between the heap's lowest and highest. */
static MGC_ALWAYS_INLINE const struct heap_arena *arena_at(uintptr_t origin,
                                                           uintptr_t p) {
  uintptr_t entry =
      origin + (p >> HEAP_ARENA_SHIFT) * sizeof(struct atomic_ptr);
  /* acquire: the program may run, and make arenas and spans meanwhile */
  return atomic_ptr_load_acquire((const struct atomic_ptr *)entry);
}

/* The slot that edge p leads to. False: none; p lies in [lo, lo + extent). */
static MGC_ALWAYS_INLINE bool find_slot(uintptr_t origin, uintptr_t p,
                                        struct slot_ref *out) {
  const struct heap_arena *a = arena_at(origin, p);
  if (unlikely(!a)) return false;
  /* acquire: pairs with the release in arena_set_spans */
  struct mspan *s = atomic_ptr_load_acquire(&a->spans[arena_page_index(p)]);
  if (unlikely(!s)) return false;
  /* A span that pages point to is in use (mspan I4): none is freed while marking. */
  mgc_assert(atomic_u8_load_relaxed(&s->state) == MSPAN_INUSE && p >= s->base);
  if (unlikely(p >= s->limit)) return false;
  out->s = s;
  out->index = (uintptr_t)(((p - s->base) * (uint64_t)s->divmul) >> 32);
  __builtin_prefetch(&s->bits[out->index / 64], 1);
  return true;
}

/* Marks slots of one word. Returns those that were objects without a mark. *first: no
 * other of the 64 was marked. */
static MGC_ALWAYS_INLINE uint64_t mark_slots(struct mspan_bits *b,
                                             uint64_t slots, bool shared,
                                             bool *first) {
  /* acquire: before alloc; pairs with the release in mspan_return_slots */
  uint64_t mark = atomic_u64_load_acquire(&b->mark);
  uint64_t new = slots & ~mark &atomic_u64_load_relaxed(&b->alloc);
  if (!new) return 0;
  if (shared)
    mark = atomic_u64_fetch_or_seq_cst(&b->mark, new); /* spanq I1 */
  else
    atomic_u64_store_relaxed(&b->mark, mark | new);
  *first = mark == 0;
  return shared ? new & ~mark : new;
}

static MGC_ALWAYS_INLINE bool mark_slot(struct slot_ref r, bool shared,
                                        bool *first) {
  return mark_slots(&r.s->bits[r.index / 64], 1ull << (r.index % 64), shared,
                    first) != 0;
}

/* Pushes the words of mask from w on. k has room for 64 (work I3). Masks whose
 * bits are the lowest ones (all of a conservative object, the links at the head
 * of a struct) need no search for the next bit. */
static MGC_ALWAYS_INLINE size_t push_masked(uintptr_t *edge, size_t n,
                                            const uintptr_t *w, uint64_t mask,
                                            uintptr_t lo, uintptr_t extent) {
  if ((mask & (mask + 1)) == 0) {
    for (; mask; mask >>= 1) {
      uintptr_t v = scan_load(w++);
      edge[n] = v;
      n += v - lo < extent;
    }
    return n;
  }
  do {
    uintptr_t v = scan_load(&w[(unsigned)__builtin_ctzll(mask)]);
    mask &= mask - 1;
    edge[n] = v;
    n += v - lo < extent;
  } while (mask);
  return n;
}

/* The mask of the slot at p, whose class has slot_words: 64 bits of the bitmap
 * from the byte that holds p's bit. (A slot's own bits do not change while it is an
 * object.) Past the end of the bitmap lies no_more_ptrs, so the load may run
 * over; slot_words cuts that off. */
static MGC_ALWAYS_INLINE uint64_t slot_mask(const struct heap_arena *a,
                                            uintptr_t p, uint64_t slot_words) {
  uintptr_t i = arena_word_index(p);
  uint64_t bits;
  if (MGC_TSAN) /* knows atomic words only, and those are aligned */
    return heapbits_load(a, p, p + PTR_BYTES * bit_length64(slot_words));
  memcpy(&bits, (const char *)a->bitmap + i / 8, sizeof bits);
  return bits >> (i % 8) & slot_words;
}

/* Puts what a ring holds back as edges; there is room. Returns n, grown. */
static inline size_t put_back(uintptr_t *edge, size_t n,
                              const struct slot_ref *ring, unsigned get,
                              unsigned held) {
  for (; held > 0; held--, get++) {
    const struct slot_ref *r = &ring[get % MARK_RING];
    edge[n++] = r->s->base + r->index * r->s->elemsize;
  }
  return n;
}

/* --- mark.c --- */

/* A slot of s is marked, the first of 64 or of all. */
MGC_COLD void mark_note_span(struct marker *k, struct mspan *s);
/* Pushes what is in a slot whose class has no slot_words, or the rest of a large
 * object. */
void mark_push_big(struct marker *k, struct slot_ref r);
/* Pushes what is in slots of one word, which have 8 bytes; r is one of them. */
void mark_push_pointers(struct marker *k, struct slot_ref r, uint64_t slots);
void mark_push_piece(struct marker *k, uintptr_t edge);
/* After about 128 edges. True: k is to leave, with what it has. */
bool mark_look_around(struct marker *k);

#endif
