// SPDX-License-Identifier: MIT
/*
 * Pointer bitmaps of small objects (heapArena.bitmap and no_more_ptrs). See
 * heapbits.c for who writes them when.
 */
#ifndef MGC_HEAP_HEAPBITS_H
#define MGC_HEAP_HEAPBITS_H

#include "heap/arena.h"
#include "mallocgc/type.h"

struct heap;

/* Writes the bitmap of the n slots from slot `first` on: each carries type's mask
 * tiled over size bytes (cut where they end) and zeroes up to the end of the slot. Only scan spans. The slots belong to the caller;
 * neighbours may be written by other threads at the same time. */
void heapbits_set_slots(const struct arena_map *m, struct mspan *s,
                        unsigned first, unsigned n, const struct mgc_type *type,
                        size_t size);
/* The same for the whole of a span that nobody else uses yet, tiled over whole
 * slots. */
void heapbits_set_span(const struct arena_map *m, struct mspan *s,
                       const struct mgc_type *type);
/* 64 bits of the bitmap from address p (8-byte aligned) on; the bits of words at
 * or past `limit` are 0. a is the arena of p or the one below; the object that
 * p is in may reach into the next arena. For the marker. */
uint64_t heapbits_load(const struct heap_arena *a, uintptr_t p,
                       uintptr_t limit);
/* Whether the object that holds the words before p has none from p on that are
 * pointers. p is a multiple of 512 and inside the object, not its first byte. */
static inline bool heapbits_no_more(const struct heap_arena *a, uintptr_t p) {
  uintptr_t last = p - PTR_BYTES;
  if (unlikely(last - a->base >= HEAP_ARENA_BYTES))
    a = (const struct heap_arena *)atomic_ptr_load_acquire(&a->above);
  uintptr_t i = arena_word_index(last) / 64;
  return (atomic_u8_load_relaxed(&a->no_more_ptrs[i / 8]) >> (i % 8)) & 1;
}

#endif
