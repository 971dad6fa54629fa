// SPDX-License-Identifier: MIT
/*
 * Scanning a page of small objects at once (Go: internal/runtime/gc/scan).
 *
 * A span of one page whose slots have 16 to 512 bytes is scanned when several of
 * its objects wait: from a set of slots and the page's pointer bitmap come the
 * words that may be pointers, and of these the ones that lie in the heap's
 * address range are written to an array. What is done with them (find the span,
 * mark, queue) is the caller's.
 *
 * A kernel has three steps, and the vector kernels differ only in their width:
 *
 *   expand  the set of slots to the set of their words, 1 bit a word like the
 *           bitmap. A byte of it is 8 words, a cache line. It meets at most 4
 *           slots (SPANSCAN_PARTS), the ones from its first word's on, so it is the
 *           or of 4 constant bytes, each taken when its slot is in the set. From 8
 *           words a slot on 2 are enough. The constants are in struct
 *           spanscan_class, made once for each size
 *   mask    with the bitmap; the bytes that are not 0 are the lines to visit
 *   filter  a line: load, compare, compress, store all of it, and advance by what
 *           passed. There is no branch in it, and between lines only the end of
 *           the list is hard to predict
 *
 * Tried instead and slower, on a Sapphire Rapids: depositing the set's bits with pdep
 * and multiplying (35 ns a page more, and pdep is microcode on AMD's Zen 1 and 2);
 * visiting all lines without a list (3 to 6 times slower when 1 in 8 slots is
 * chosen); compressing with a masked store (the same here, microcode on Zen 4).
 *
 * The portable kernel goes object by object. Collecting the words of a page first
 * did not pay there, and the AVX2 kernel does the same for a few slots, for
 * which expanding takes longer.
 *
 *   I1  of the heap only lines of the page are read that hold a chosen word (the
 *       portable kernel: only these words), and of the bitmap only its 128 bytes
 *   I2  a word is loaded once: the value that is written is the one that passed
 *   I3  before line i there are at most 8 i words in the array, so that storing a
 *       whole line there stays inside SPANSCAN_WORDS
 *   I4  words are written in the order of their addresses
 *
 * The program may write the page meanwhile. Each word is then its old or its new
 * value: processors with these instructions move aligned vectors in whole words.
 */
#ifndef MGC_GC_SPANSCAN_H
#define MGC_GC_SPANSCAN_H

#include "base/atomic.h"
#include "base/bits.h"
#include "base/compiler.h"

#define SPANSCAN_PAGE_BYTES 8192u
#define SPANSCAN_WORDS 1024u
#define SPANSCAN_LINES 128u
#define SPANSCAN_SETS 8u /* words of a set of slots */
#define SPANSCAN_PARTS 4u
#define SPANSCAN_MIN_SIZE 16u
#define SPANSCAN_MAX_SIZE 512u

/* What kernels know of a slot size. Index l is the line, i the slot that is the
 * i-th to have words in it. */
struct MGC_CACHE_ALIGNED spanscan_class {
  uint64_t slot_words; /* low bits, one for each word of a slot */
  uint16_t words;      /* of a slot */
  uint16_t nelems;     /* slots in a page */
  uint8_t parts;       /* 2 or SPANSCAN_PARTS: slots that a line may meet */
  uint8_t few;         /* AVX2: sets of so many slots are scanned by object */
  /* AVX2, a quarter of the page at once: its slots are in 16 bytes of the set
   * from `from` on; slot i's bit is in byte `byte` of these. */
  uint8_t from[4];
  /* mask[i][l]: the words of line l that belong to slot i. */
  MGC_CACHE_ALIGNED uint8_t mask[SPANSCAN_PARTS][SPANSCAN_LINES];
  uint8_t byte[SPANSCAN_PARTS][SPANSCAN_LINES];
  uint8_t bit[SPANSCAN_PARTS][SPANSCAN_LINES];
  /* AVX-512, half of the page at once: bytes of the set to gather into the 8 of
   * each group of 8 lines, and where in these a line's slots begin. */
  uint8_t gather[SPANSCAN_LINES];
  uint8_t shift[SPANSCAN_LINES];
};

/* What is to be scanned. Bits of toscan from the class's nelems on are 0. */
struct spanscan_page {
  uintptr_t base;                  /* page aligned */
  const struct atomic_u64 *bitmap; /* 1024 bits: see heapArena.bitmap */
  uint64_t toscan[SPANSCAN_SETS];
};

/* Words v with v - lo < extent are wanted. */
struct spanscan_range {
  uintptr_t lo, extent;
};

/* Returns: how many words were written to out, which has room for
 * SPANSCAN_WORDS; what lies behind the count is overwritten too. */
typedef size_t spanscan_fn(const struct spanscan_class *c,
                           const struct spanscan_page *p,
                           struct spanscan_range r, uintptr_t *out);
/* Asks for the lines of the slots in p->toscan. Reads no memory of the page or its
 * bitmap. */
typedef void spanscan_prefetch_fn(const struct spanscan_class *c,
                                  const struct spanscan_page *p);

struct spanscan_kernel {
  const char *name;
  uint32_t needs; /* CPU_*, all of them */
  spanscan_fn *scan;
  /* Called for the page that comes next, before this one is scanned. From memory
   * dense pages take 0.75 to 0.9 of the time with it, and those with 1 slot in 8
   * 0.5 to 0.75. (Asking in between the lines of this page was no better.) The bitmap
   * must be asked for earlier, with spanscan_prefetch_bitmap: scanning begins with
   * it. */
  spanscan_prefetch_fn *prefetch;
};

static inline bool spanscan_takes(size_t elemsize) {
  return elemsize >= SPANSCAN_MIN_SIZE && elemsize <= SPANSCAN_MAX_SIZE &&
         elemsize % PTR_BYTES == 0;
}

/* elemsize is one that spanscan_takes. */
void spanscan_class_init(struct spanscan_class *c, size_t elemsize);

/* The best kernel for a processor with these CPU_* features. Never NULL. */
const struct spanscan_kernel *spanscan_choose(uint32_t features);
/* All that this build has, the best first; NULL at the end. */
const struct spanscan_kernel *spanscan_kernel_at(unsigned i);

/* One object after the other: a kernel, and what others do for a few slots. */
spanscan_fn spanscan_objects;
spanscan_prefetch_fn spanscan_prefetch_objects;

/* The words of one slot; see spanscan_fn for what it returns. out has room for
 * the words of a slot. p->toscan is not looked at. */
size_t spanscan_object(const struct spanscan_class *c,
                       const struct spanscan_page *p, unsigned slot,
                       struct spanscan_range r, uintptr_t *out);

/* Four pages ahead is enough to have it in time. */
#define SPANSCAN_BITMAP_AHEAD 4
static inline void spanscan_prefetch_bitmap(const struct atomic_u64 *bitmap) {
  __builtin_prefetch(bitmap);
  __builtin_prefetch(bitmap + CACHELINE / sizeof *bitmap);
}

extern const struct spanscan_kernel spanscan_kernel_portable; /* spanscan.c */
#if defined(__x86_64__)
extern const struct spanscan_kernel spanscan_kernel_avx2; /* spanscan_avx2.c */
extern const struct spanscan_kernel
    spanscan_kernel_avx512; /* spanscan_avx512.c */
#endif

#endif
