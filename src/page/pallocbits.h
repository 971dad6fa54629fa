// SPDX-License-Identifier: MIT
/*
 * The bitmaps of one 4 MiB chunk: 512 bits that say which pages are allocated,
 * and 512 that say which free pages have no physical memory (Go: pallocBits,
 * pallocData). Pure bit work: no locks, no addresses.
 *
 *   I1  a page that is allocated has its scavenged bit 0
 */
#ifndef MGC_PAGE_PALLOCBITS_H
#define MGC_PAGE_PALLOCBITS_H

#include "page/page.h"
#include "page/pallocsum.h"

#define PALLOCBITS_WORDS (PALLOC_CHUNK_PAGES / 64)
#define PALLOCBITS_NONE (~0u) /* no such page */

/* Bit i is page i, least significant first. */
struct pallocbits {
  uint64_t w[PALLOCBITS_WORDS];
};

struct pallocdata {
  struct pallocbits alloc;     /* 1: allocated */
  struct pallocbits scavenged; /* 1: free and without physical memory */
};
_Static_assert(sizeof(struct pallocdata) == 128, "128 bytes a chunk");

/* In all of these i + n <= 512; n >= 1. */
void pallocbits_set_range(struct pallocbits *b, unsigned i, unsigned n);
void pallocbits_clear_range(struct pallocbits *b, unsigned i, unsigned n);
unsigned pallocbits_popcount_range(const struct pallocbits *b, unsigned i,
                                   unsigned n);
static inline bool pallocbits_get(const struct pallocbits *b, unsigned i) {
  return (b->w[i / 64] >> (i % 64)) & 1;
}
/* The first set bit at or after i that is before limit (<= 512), or limit. */
unsigned pallocbits_next_set(const struct pallocbits *b, unsigned i,
                             unsigned limit);

/* The index of the lowest run of n clear bits that begins at or after from, or
 * PALLOCBITS_NONE. */
unsigned pallocbits_find(const struct pallocbits *b, unsigned n, unsigned from);
/* Clear bits at the end of the chunk, counting none before from. */
unsigned pallocbits_free_at_end(const struct pallocbits *b, unsigned from);
/* The runs of clear bits. */
struct pallocsum pallocbits_summarize(const struct pallocbits *b);

/* Allocates n pages at i: returns how many of them were scavenged. */
unsigned pallocdata_alloc_range(struct pallocdata *d, unsigned i, unsigned n);
/* Frees n pages at i; they are not scavenged. */
void pallocdata_free_range(struct pallocdata *d, unsigned i, unsigned n);

/* A run of free pages that still have physical memory. npages 0: none. */
struct scavrun {
  unsigned start;
  unsigned npages;
};

/* The highest run of free and unscavenged pages in groups of min pages, aligned
 * to min (a power of two up to 64: pages per physical page). It is cut to max
 * pages (rounded up to min), keeping its top; but when that would break a free
 * huge page of huge pages (0: none), it goes down to the huge page's start. */
struct scavrun pallocdata_scavenge_candidate(const struct pallocdata *d,
                                             unsigned min, unsigned max,
                                             unsigned huge);

/* Every aligned group of m bits that has a bit set becomes all ones; m is a
 * power of two up to 64. */
uint64_t fill_aligned64(uint64_t x, unsigned m);
/* The lowest index of n (1 to 64) consecutive one bits in x, or 64. */
unsigned find_bit_range64(uint64_t x, unsigned n);

#endif
