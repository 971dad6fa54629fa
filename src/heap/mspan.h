// SPDX-License-Identifier: MIT
/*
 * mspan: a run of pages that holds slots of one size (Go: mspan in mheap.go).
 *
 * State of a slot is two bits beside the span, never in the slot:
 *
 *   alloc  the slot is an object, or part of some thread's current run
 *   mark   the collector reached the object in this cycle
 *
 * Both bits of 64 slots lie side by side (struct mspan_bits), so that marking,
 * which must ask "is it an object" and "is it marked", touches one cache line.
 *
 *   I1  mark is a subset of alloc at every sweep (else: zombie)
 *   I2  base is page aligned; limit == base + nelems * elemsize
 *   I3  bits past nelems are 0
 *   I4  spans[] of every page of an in-use span points to it; page_in_use is set
 *       for its first page only
 *   I5  a cached span's sweepgen is heap sweepgen + 3, and one cache holds it
 *   I6  bits points to inline_bits exactly when nelems <= 64
 *   I7  with by_span, scanned is a subset of mark, and outside of marking owned is 0
 *
 * sweepgen, against the heap's h (which grows by 2 at each collection, stopped):
 *   h-2  needs sweeping      h-1  being swept
 *   h    swept, ready        h+3  swept and cached
 *
 * Lock key: (c) const while in use  (o) thread that caches it, or whoever owns it
 * by sweepgen h-1  (a) atomic  (h) heap lock  (s) stopped world
 */
#ifndef MGC_HEAP_MSPAN_H
#define MGC_HEAP_MSPAN_H

#include "base/atomic.h"
#include "base/list.h"
#include "base/lock.h"
#include "heap/sizeclass.h"

struct mgc_type;
struct special;

enum mspan_state {
  MSPAN_DEAD = 0, /* the struct is free or being set up */
  MSPAN_INUSE,    /* objects of the collector */
  MSPAN_MANUAL,   /* pages used by the library itself */
};

/* Bits of mspan.filed_full. */
#define MSPAN_FILED_FULL 1u  /* in no partial set: a freed slot is to tell */
#define MSPAN_FILED_ENTRY 2u /* the full set has an entry for the span */

struct mspan_bits {
  struct atomic_u64 alloc;
  struct atomic_u64 mark;
};

/* What a span of malloc's has in place of bits: see tcache.h. Its first word is
 * a cache line's first, and a fast free reads nothing else. */
struct mspan_local {
  uintptr_t base;           /* (c) copy of mspan.base */
  uintptr_t free;           /* (o) list of free slots, or TCACHE_NONE */
  uint64_t divisor;         /* (c) x is a multiple of elemsize: x * it < it */
  struct atomic_ptr owner;  /* (a) struct tcache *; release where it changes */
  struct atomic_u64 remote; /* (a) slots freed by others: tremote.c */
  uint32_t left;            /* (o) frees until the owner has to look */
  uint16_t binoff;          /* (c) where struct tcache has the class's list */
  uint8_t where;            /* (o) enum tspan_place */
  uint8_t pending;          /* (o) a notice to the owner is on its way */
};

/* 0 when p is where a slot begins; else more than 2^28. Of slots of at most 32 KiB
 * (MAX_SMALL_SIZE) in a span of less than 1 MiB. The product is x / elemsize * (elemsize
 * * divisor - 2^64), less than x, for a multiple of elemsize; divisor or more for any
 * other x. */
#define MSPAN_STRAY_SHIFT 20
static MGC_ALWAYS_INLINE uint64_t mspan_local_stray(const struct mspan_local *l,
                                                    uintptr_t p) {
  return (p - l->base) * l->divisor >> MSPAN_STRAY_SHIFT;
}
/* The same for slots of any size. */
static MGC_ALWAYS_INLINE bool mspan_local_starts(const struct mspan_local *l,
                                                 uintptr_t p) {
  return (p - l->base) * l->divisor < l->divisor;
}

/* A struct mspan is made with room for 2^bits_class bit pairs (class 0: the
 * inline one) and keeps it for ever, so that a stale reader finds bits there. Behind the
 * pairs lie as many words of scanned bits. */
#define MSPAN_BITS_CLASSES 5u
#define MSPAN_SETS_BYTES (sizeof(struct mspan_bits) + sizeof(struct atomic_u64))

/* Slots of these sizes, in a page of their own and with pointers, have scanned bits:
 * they can be marked a span at a time (gc/markspan.c). */
#define MSPAN_BY_SPAN_MIN 16u
#define MSPAN_BY_SPAN_MAX 512u
static inline bool mspan_is_by_span(struct spanclass spc, size_t npages,
                                    size_t elemsize) {
  return npages == 1 && !spanclass_noscan(spc) &&
         elemsize >= MSPAN_BY_SPAN_MIN && elemsize <= MSPAN_BY_SPAN_MAX;
}

struct mspan {
  /* What marking and freeing read: one cache line. */
  /* Read through stale pointers too (span_of_heap), so set and read there with
   * atomic accesses; plain reads by whoever knows that the span lives. */
  uintptr_t base;             /* (c) first byte */
  uintptr_t limit;            /* (c) end of the last slot */
  size_t elemsize;            /* (c) slot size; large: npages * page size */
  struct mspan_bits *bits;    /* (c) (nelems + 63) / 64 pairs */
  uint32_t divmul;            /* (c) 0 for large spans */
  uint16_t nelems;            /* (c) number of slots, 1 for large */
  struct spanclass spanclass; /* (c) */
  struct atomic_u8 state;     /* (a) enum mspan_state; release by mheap_alloc */
  /* Small spans: every slot's bitmap is this type's mask, or NULL: mixed. Large
   * scan spans: the object's (element) type; published with release. */
  struct atomic_ptr masktype; /* (a) const struct mgc_type * */
  struct atomic_u32 sweepgen; /* (a) see above; release by sweep/uncache */
  uint16_t freeindex;         /* (o) no free slot below, as far as runs go */
  uint8_t needzero;           /* (o) free slots may hold old contents */
  struct atomic_u8 has_marks; /* (a) page_marks is set already this cycle */
  uint32_t npages;            /* (c) */
  uint8_t bits_class;         /* (c) for ever: see MSPAN_BITS_CLASSES */
  uint8_t by_span;            /* (c) there are scanned bits */
  struct atomic_u8 owned;     /* (a) marking: enum spanq_owned */

  union {
    struct {                         /* spans of collected objects */
      struct mspan_bits inline_bits; /* used when nelems <= 64 */
      uint32_t alloc_count;          /* (o) live slots at the last sweep */
      /* (o) No slot was handed out since the pages or a sweep gave an empty
       * span: the first run may write the bitmap of the whole span. */
      uint8_t untouched;
      struct atomic_u8
          dirty; /* (a) slots were freed explicitly since a sweep */
      struct atomic_u8 filed_full; /* (a) MSPAN_FILED_*; see mcentral.c */
      union {
        size_t req_size;                  /* (c) large: bytes asked for */
        struct atomic_u64 inline_scanned; /* by_span and nelems <= 64 */
      };
      struct mutex special_lock; /* rank spanspecial */
      struct special *specials;  /* guarded by special_lock, by offset */
    };
    struct mspan_local local; /* spans of malloc */
  };
  struct list link; /* (h) large spans, free structs; (o) a cache's lists */
};
_Static_assert(sizeof(struct mspan) == 128, "two cache lines");

static inline bool mspan_noscan(const struct mspan *s) {
  return spanclass_noscan(s->spanclass);
}
static inline size_t mspan_nwords(const struct mspan *s) {
  return (s->nelems + 63u) / 64u;
}
/* Whose object marking has read: by_span. */
static inline struct atomic_u64 *mspan_scanned(struct mspan *s) {
  return s->bits_class == 0
             ? &s->inline_scanned
             : (struct atomic_u64 *)(s->bits + ((size_t)1 << s->bits_class));
}
/* The slot that holds p; base <= p < limit. */
static inline unsigned mspan_index(const struct mspan *s, uintptr_t p) {
  return (unsigned)(((p - s->base) * (uint64_t)s->divmul) >> 32);
}
static inline uintptr_t mspan_slot(const struct mspan *s, unsigned i) {
  return s->base + (uintptr_t)i * s->elemsize;
}
static inline bool mspan_is_alloc(const struct mspan *s, unsigned i) {
  return (atomic_u64_load_relaxed(&s->bits[i / 64].alloc) >> (i % 64)) & 1;
}
static inline bool mspan_is_marked(const struct mspan *s, unsigned i) {
  return (atomic_u64_load_relaxed(&s->bits[i / 64].mark) >> (i % 64)) & 1;
}
/* Sets the mark bit; false when it was set already. Relaxed: the stop that ends
 * marking orders it with sweeping. */
static inline bool mspan_set_mark(struct mspan *s, unsigned i) {
  uint64_t bit = 1ull << (i % 64);
  struct atomic_u64 *w = &s->bits[i / 64].mark;
  if (atomic_u64_load_relaxed(w) & bit) return false;
  return !(atomic_u64_fetch_or_relaxed(w, bit) & bit);
}

/* Whether free slots may hold old contents. The owner. */
static inline bool mspan_slots_dirty(const struct mspan *s) {
  return s->needzero || atomic_u8_load_relaxed(&s->dirty);
}

/* Claims the next stretch of free slots at or after freeindex, at most max_slots
 * of them, sets their alloc bits and moves freeindex past it.
 * Returns: false when the span has none left. Threads: the span's owner; other
 * threads may free and re-claim single slots meanwhile (mspan_claim_slot). */
bool mspan_next_run(struct mspan *s, unsigned max_slots, unsigned *first,
                    unsigned *n);
/* Sets the mark bits of slots [first, first + n), which nobody has to scan. Any
 * thread. */
void mspan_mark_slots(struct mspan *s, unsigned first, unsigned n);
/* Forgets all marks. */
void mspan_clear_marks(struct mspan *s);
/* Forgets who was scanned. */
void mspan_clear_scanned(struct mspan *s);
/* Gives back slots [first, first + n) that a run did not use, and moves freeindex
 * back when they are the last ones taken. The owner. */
void mspan_return_slots(struct mspan *s, unsigned first, unsigned n);
/* Claims slot i if it is free (explicitly freed earlier). Any thread. */
bool mspan_claim_slot(struct mspan *s, unsigned i);
/* Clears slot i's alloc bit; false when it was clear: a double free. Any thread;
 * the span must be swept. The slot's contents count as old (needzero). */
bool mspan_free_slot(struct mspan *s, unsigned i);
/* Whether no slot is free. */
bool mspan_is_full(const struct mspan *s);
unsigned mspan_count_alloc(const struct mspan *s);
unsigned mspan_count_mark(const struct mspan *s);
/* Sets the fields of a dead span for nelems slots of elemsize bytes at base, all
 * free. s->bits_class must have room. The caller publishes sweepgen and state. */
void mspan_init(struct mspan *s, uintptr_t base, size_t npages,
                struct spanclass spc, size_t elemsize, uint32_t divmul);
/* The same for a span of malloc's: no bits; `local` is zero but for base and
 * divisor. nelems is at most 65535. */
void mspan_init_plain(struct mspan *s, uintptr_t base, size_t npages,
                      struct spanclass spc, size_t elemsize, uint32_t divmul);
/* The bits class that nelems slots need. */
static inline unsigned mspan_bits_class(size_t nelems) {
  return nelems <= 64 ? 0 : bit_length64((nelems - 1) / 64);
}
/* Fatal when I1-I7 do not hold (I4 and I5 are checked by mheap_verify). */
void mspan_verify(const struct mspan *s);

#endif
