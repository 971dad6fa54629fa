// SPDX-License-Identifier: MIT
/*
 * heapArena: the metadata of 64 MiB of address space, apart from the memory it
 * describes (Go: heapArena in mheap.go), and the map from addresses to it.
 *
 * Lock key: (a) atomic  (h) written under the heap lock, read by anyone
 */
#ifndef MGC_HEAP_ARENA_H
#define MGC_HEAP_ARENA_H

#include "base/atomic.h"
#include "heap/mspan.h"
#include "page/pagealloc.h"

#define HEAP_ARENA_SHIFT 26
#define HEAP_ARENA_BYTES ((uintptr_t)1 << HEAP_ARENA_SHIFT)
#define PAGES_PER_ARENA (HEAP_ARENA_BYTES >> 13)
#define HEAP_ARENA_WORDS (HEAP_ARENA_BYTES / 8)
#define HEAP_ARENA_BITMAP_WORDS (HEAP_ARENA_WORDS / 64)

struct checkmarks { /* one mark bit a word, checkmark mode only */
  struct atomic_u64 bits[HEAP_ARENA_BITMAP_WORDS];
};

struct heap_arena {
  /* Bit i: word i of the arena is a pointer slot. 128 contiguous bytes a page.
   * Meaningful for small scan spans only. Atomic because neighbouring objects
   * share words. */
  struct atomic_u64 bitmap[HEAP_ARENA_BITMAP_WORDS];
  /* Bit i: the object that holds the last word of bitmap[i] has no pointers
   * after it. Lets a scan leave a long object early. */
  struct atomic_u8 no_more_ptrs[HEAP_ARENA_BITMAP_WORDS / 8];
  /* (a) struct mspan *, NULL: none; written by whoever holds the pages. */
  struct atomic_ptr spans[PAGES_PER_ARENA];
  struct atomic_u8 page_in_use[PAGES_PER_ARENA / 8];   /* (a) first pages */
  struct atomic_u8 page_marks[PAGES_PER_ARENA / 8];    /* (a) set by marking */
  struct atomic_u8 page_specials[PAGES_PER_ARENA / 8]; /* (a) */
  struct atomic_ptr checkmarks; /* (a) struct checkmarks *, checkmark mode */
  /* First byte, from the arena's start, that was never used: from there on
   * memory is zero, because pages are taken in address order. Only grows. */
  struct atomic_uptr zeroed_base;
  /* (a) The arena right above, once it exists: spans may reach across. */
  struct atomic_ptr above;
  uintptr_t base; /* (c) address of the arena */
  bool tracked;   /* the collector's thread: its writes are tracked */
};

/* From addresses to arenas. Entries go from NULL to an arena once, under the
 * heap lock, with release; lookups are lock-free with acquire. */
struct arena_map {
  struct atomic_ptr *entry; /* (c) table of count entries */
  uintptr_t first;          /* (c) arena number of entry[0] */
  uintptr_t count;          /* (c) */
};

static MGC_ALWAYS_INLINE struct heap_arena *arena_of(const struct arena_map *m,
                                                     uintptr_t p) {
  uintptr_t i = (p >> HEAP_ARENA_SHIFT) - m->first;
  if (i >= m->count) return NULL;
  return atomic_ptr_load_acquire(&m->entry[i]);
}
/* The span whose pages hold p, in any state, or NULL. */
static MGC_ALWAYS_INLINE struct mspan *span_of(const struct arena_map *m,
                                               uintptr_t p) {
  struct heap_arena *a = arena_of(m, p);
  if (!a) return NULL;
  return atomic_ptr_load_acquire(&a->spans[(p >> 13) & (PAGES_PER_ARENA - 1)]);
}
/* The in-use span of collected objects with p inside a slot, or NULL. Exact when
 * the span cannot be freed meanwhile (p is in a live object, or the world is
 * stopped); otherwise the answer may be about a span that is going away. */
static MGC_ALWAYS_INLINE struct mspan *span_of_heap(const struct arena_map *m,
                                                    uintptr_t p) {
  struct mspan *s = span_of(m, p);
  if (!s) return NULL;
  /* acquire: pairs with the release in mheap_alloc; base and limit are then
   * those of this use of the struct, or of a later one. */
  if (unlikely(atomic_u8_load_acquire(&s->state) != MSPAN_INUSE)) return NULL;
  if (p < __atomic_load_n(&s->base, __ATOMIC_RELAXED) ||
      p >= __atomic_load_n(&s->limit, __ATOMIC_RELAXED))
    return NULL;
  return s;
}
static inline uintptr_t arena_page_index(uintptr_t p) {
  return (p >> 13) & (PAGES_PER_ARENA - 1);
}
static inline uintptr_t arena_word_index(uintptr_t p) {
  return (p & (HEAP_ARENA_BYTES - 1)) >> 3;
}
static inline bool arena_page_bit(const struct atomic_u8 *bits, uintptr_t p) {
  uintptr_t i = arena_page_index(p);
  return (atomic_u8_load_relaxed(&bits[i / 8]) >> (i % 8)) & 1;
}
static inline void arena_page_bit_set(struct atomic_u8 *bits, uintptr_t p) {
  uintptr_t i = arena_page_index(p);
  atomic_u8_fetch_or_release(&bits[i / 8], (uint8_t)(1u << (i % 8)));
}
static inline void arena_page_bit_clear(struct atomic_u8 *bits, uintptr_t p) {
  uintptr_t i = arena_page_index(p);
  atomic_u8_fetch_and_release(&bits[i / 8], (uint8_t) ~(1u << (i % 8)));
}

/* --- arena.c --- */

/* Makes an empty map of the window's addresses; false: no memory. */
bool arena_map_init(struct arena_map *m, struct vm *vm, struct addrwindow w,
                    struct memstat *stat);
/* Makes the arena that holds p; false: no memory. Heap lock. *made (may be NULL)
 * is the arena, or NULL when it was there already. */
bool arena_map_add(struct arena_map *m, struct vm *vm, uintptr_t p,
                   struct memstat *stat, struct heap_arena **made);
/* Points spans[] of the pages in [base, base + npages pages) to s (NULL: none).
 * The pages are the caller's. */
void arena_set_spans(const struct arena_map *m, uintptr_t base, size_t npages,
                     struct mspan *s);
/* [base, base + n) goes into use: whether any of it was in use before, and so
 * may be not zero. Lock-free. */
bool arena_take_needs_zero(const struct arena_map *m, uintptr_t base, size_t n);

#endif
