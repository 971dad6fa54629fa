// SPDX-License-Identifier: MIT
/*
 * Which chunks are worth scavenging: an entry of eight bytes a chunk with its
 * density, now and at the end of the previous generation (Go: scavengeIndex). A
 * generation is a collection. The background scavenger leaves dense chunks (at
 * least 496 of 512 pages, 0.96875) alone, because the kernel keeps them as huge
 * pages and the few free pages will be used again soon; a chunk that was dense
 * in the previous generation and has just lost pages is given until the next.
 *
 *   I1  in_use is the number of allocated pages of the chunk, page caches'
 *       pages included
 *   I2  a chunk that has something to give back has has_free set and lies
 *       below search_force; and below search_bg or free_hwm, unless the
 *       background search has refused it in this generation
 */
#ifndef MGC_PAGE_SCAVINDEX_H
#define MGC_PAGE_SCAVINDEX_H

#include "page/addrrange.h"
#include "page/page.h"

#define SCAV_DENSE_PAGES 496u

struct scavchunk {
  uint16_t in_use;      /* allocated pages */
  uint16_t last_in_use; /* in_use when generation gen began */
  uint32_t gen : 29;    /* generation of the last change */
  uint32_t has_free : 1;
  uint32_t
      huge : 2; /* halves for which huge pages were asked; bit 1: the upper */
};
_Static_assert(sizeof(struct scavchunk) == 8, "eight bytes a chunk");

/* Lock key: (c) const after init; all else under the heap's lock. */
struct scavindex {
  struct scavchunk *chunks; /* (c) by chunkidx; only those in use are mapped */
  uint32_t gen;
  size_t search_force; /* chunks at this index and above have nothing */
  size_t search_bg;    /* the same for the background scavenger */
  size_t free_hwm;     /* above the highest chunk freed to in this gen */
};

void scavindex_init(struct scavindex *s, struct scavchunk *chunks);
/* n pages of chunk ci were allocated, or freed with their physical memory. */
void scavindex_alloc(struct scavindex *s, struct chunkidx ci, unsigned n);
void scavindex_free(struct scavindex *s, struct chunkidx ci, unsigned n);
/* n pages of chunk ci that have no physical memory became free. */
void scavindex_free_scavenged(struct scavindex *s, struct chunkidx ci,
                              unsigned n);
/* The chunk has no free page with physical memory. */
void scavindex_set_empty(struct scavindex *s, struct chunkidx ci);
/* A collection ended: densities are judged anew. */
void scavindex_next_gen(struct scavindex *s);
/* Whether the policy lets this chunk be scavenged now. */
bool scavchunk_should_scavenge(struct scavchunk c, uint32_t gen, bool force);
/* The highest chunk worth scavenging, among those of in_use (addresses; window
 * begins at base). False when there is none until something is freed. */
bool scavindex_find(struct scavindex *s, const struct addrranges *in_use,
                    uintptr_t base, bool force, struct chunkidx *out);

#endif
