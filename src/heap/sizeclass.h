// SPDX-License-Identifier: MIT
/*
 * Size classes and span classes. The tables come from tools/mksizeclasses, which
 * states the rules and prints each class's waste; one set for the collected heap
 * (8-byte classes allowed), one for malloc (16-byte alignment throughout).
 */
#ifndef MGC_HEAP_SIZECLASS_H
#define MGC_HEAP_SIZECLASS_H

#include "base/bits.h"
#include "base/compiler.h"

#define NUM_SIZE_CLASSES 68 /* class 0 is large objects */
#define NUM_SPAN_CLASSES (2 * NUM_SIZE_CLASSES)
#define MAX_SMALL_SIZE 32768u
/* No address space is larger, and pages still count in 32 bits. */
#define MAX_LARGE_SIZE ((size_t)1 << 44)
#define SMALL_SIZE_DIV 8u
#define SMALL_SIZE_MAX 1024u
#define LARGE_SIZE_DIV 128u
#define MAX_OBJS_PER_SPAN 1024u
#define MAX_TINY_SIZE 16u

/* sizeclass << 1 | noscan (Go: spanClass). */
struct spanclass {
  uint8_t v;
};

struct sizeclass_table {
  uint16_t size[NUM_SIZE_CLASSES];
  uint8_t npages[NUM_SIZE_CLASSES];
  /* ceil(2^32 / size): offset / size == (offset * divmagic) >> 32 for every
   * offset inside a span; the generator proves it by trying them all. */
  uint32_t divmagic[NUM_SIZE_CLASSES];
  uint8_t of_size8[SMALL_SIZE_MAX / SMALL_SIZE_DIV + 1];
  uint8_t of_size128[(MAX_SMALL_SIZE - SMALL_SIZE_MAX) / LARGE_SIZE_DIV + 1];
  uint32_t nclasses; /* the malloc set may have fewer than NUM_SIZE_CLASSES */
};

extern const struct sizeclass_table sizeclasses_heap;   /* sizeclass.c */
extern const struct sizeclass_table sizeclasses_malloc; /* sizeclass.c */

#define TINY_SPAN_CLASS ((struct spanclass){2 << 1 | 1}) /* 16 B, noscan */

static inline struct spanclass spanclass_make(unsigned sizeclass, bool noscan) {
  return (struct spanclass){(uint8_t)(sizeclass << 1 | (noscan ? 1 : 0))};
}
static inline unsigned spanclass_size(struct spanclass c) { return c.v >> 1; }
static inline bool spanclass_noscan(struct spanclass c) {
  return (c.v & 1) != 0;
}

/* The class of a request of size bytes, 0 < size <= MAX_SMALL_SIZE. */
static MGC_ALWAYS_INLINE unsigned sizeclass_of(const struct sizeclass_table *t,
                                               size_t size) {
  if (likely(size <= SMALL_SIZE_MAX - 8))
    return t->of_size8[(size + SMALL_SIZE_DIV - 1) / SMALL_SIZE_DIV];
  return t->of_size128[(size - SMALL_SIZE_MAX + LARGE_SIZE_DIV - 1) /
                       LARGE_SIZE_DIV];
}

/* What an allocation of size bytes really takes (Go: roundupsize); sizes over
 * MAX_SMALL_SIZE round up to pages; SIZE_MAX when that overflows. */
size_t sizeclass_roundup(const struct sizeclass_table *t, size_t size);

#endif
