// SPDX-License-Identifier: MIT
/*
 * Pointer bitmaps of small objects (heapArena.bitmap and no_more_ptrs). See
 * heapbits.c for who writes them when.
 */
#ifndef MGC_HEAP_HEAPBITS_H
#define MGC_HEAP_HEAPBITS_H

#include "heap/arena.h"
#include "type/type.h"

struct heap;

/* Writes the bitmap of the n slots from slot `first` on: each carries type's mask
 * tiled over size bytes (arrays: size is a multiple of type->size) and zeroes up
 * to the end of the slot. Only scan spans. The slots belong to the caller;
 * neighbours may be written by other threads at the same time. */
void heapbits_set_slots(const struct arena_map *m, struct mspan *s,
                        unsigned first, unsigned n,
                        const struct mgc_type *type, size_t size);
/* The same for the whole of a span that nobody else uses yet: plain stores. */
void heapbits_set_span(const struct arena_map *m, struct mspan *s,
                       const struct mgc_type *type);
/* 64 bits of the bitmap from address p (8-byte aligned) on; the bits of words at
 * or past `limit` are 0. For the marker. */
uint64_t heapbits_load(const struct heap_arena *a, uintptr_t p,
                       uintptr_t limit);

#endif
