// SPDX-License-Identifier: MIT
/*
 * The page allocator: which pages of the heap's address space are free. The
 * overview and the invariants are at the head of pagealloc.c.
 *
 * Every function is called with p->lock held (tests leave p->lock NULL), except
 * init and destroy. Addresses returned by alloc are what grow was given: the
 * page allocator never touches heap memory, except that pagealloc_scavenge gives
 * physical memory back through vm->ops->unused.
 */
#ifndef MGC_PAGE_PAGEALLOC_H
#define MGC_PAGE_PAGEALLOC_H

#include "base/lock.h"
#include "base/persistent.h"
#include "os/vm.h"
#include "page/addrrange.h"
#include "page/page.h"
#include "page/pagecache.h"
#include "page/pallocbits.h"
#include "page/pallocsum.h"
#include "page/scavindex.h"

#define PALLOC_LEVELS 5u
#define PALLOC_LEVEL_BITS                                                      \
  3u /* 8 entries of a level under each of the one above */
#define PALLOC_L2_BITS 13u /* chunks in a block of the chunk table, at most */

struct pagealloc {
  /* Lock key: (c) const after init; all else under *lock. */
  struct mutex *lock;       /* (c) set by the owner after init; may be NULL */
  struct vm *vm;            /* (c) */
  struct memstat *sys;      /* (c) bytes of metadata mapped */
  struct persistent *meta;  /* (c) */
  struct addrwindow window; /* (c) */

  struct pallocsum *summary[PALLOC_LEVELS]; /* (c) the radix tree, top first */
  struct pallocdata **chunks; /* (c) blocks of 2^l2_bits bitmaps, or NULL */
  unsigned l2_bits;           /* (c) */

  char *region;         /* (c) one reservation for summary and scavenge index */
  size_t region_bytes;  /* (c) */
  uint64_t *region_map; /* bit i: unit i of region is Ready */
  unsigned unit_shift;  /* (c) log2 of the bytes of a unit */

  uintptr_t search_addr; /* no page below is free (I3); UINTPTR_MAX: full */
  size_t start;          /* chunks in use are in [start, end) */
  size_t end;
  struct addrranges in_use; /* addresses given by grow */
  struct scavindex scav;
};

/**
 * Makes an empty page allocator that can manage the addresses of the window.
 *
 * Units:   window in bytes (log2).
 * Returns: 0.
 * Errors:  -ENOMEM when the tables cannot be reserved or mapped (nothing is kept
 *          then, except bytes of meta); -EINVAL when the window's base is not a
 *          multiple of 4 MiB or its size is out of bounds.
 * Threads: none other may know p yet.
 */
MGC_MUST_CHECK int pagealloc_init(struct pagealloc *p, struct vm *vm,
                                  struct persistent *meta, struct memstat *sys,
                                  struct addrwindow w);

/**
 * Gives the tables back to the OS. The heap memory itself is not touched.
 *
 * Units:   none.
 * Errors:  none.
 * Threads: none other may use p any more.
 */
void pagealloc_destroy(struct pagealloc *p);

/**
 * Adds [base, base + size) as free and scavenged pages. The caller has reserved
 * and mapped the memory, and has never given it before.
 *
 * Units:   bytes; both multiples of PALLOC_CHUNK_BYTES, size > 0.
 * Errors:  false when the range is not in the window or metadata is exhausted;
 *          the allocator is as before.
 * Threads: lock held.
 */
MGC_MUST_CHECK bool pagealloc_grow(struct pagealloc *p, uintptr_t base,
                                   size_t size);

/**
 * Allocates npages pages, the lowest addresses that fit.
 *
 * Units:   pages in, at least 1; *scav_bytes is bytes of the result that have no
 *          physical memory.
 * Returns: the address, or 0 when no such run is free (grow, then try again).
 * Errors:  none other.
 * Threads: lock held.
 */
uintptr_t pagealloc_alloc(struct pagealloc *p, size_t npages,
                          uintptr_t *scav_bytes);

/**
 * Allocates npages pages at a multiple of align_pages pages, the lowest that
 * fit. What is skipped stays free.
 *
 * Units:   pages; align_pages is a power of two. *scav_bytes as in alloc.
 * Returns: the address, or 0.
 * Errors:  none other.
 * Threads: lock held.
 */
uintptr_t pagealloc_alloc_aligned(struct pagealloc *p, size_t npages,
                                  size_t align_pages, uintptr_t *scav_bytes);

/**
 * Allocates npages pages that have room more free ones behind them: the lowest
 * such place. What is behind stays free.
 *
 * Units:   pages; *scav_bytes as in alloc.
 * Returns: the address, or 0.
 * Errors:  none other.
 * Threads: lock held.
 */
uintptr_t pagealloc_alloc_with_room(struct pagealloc *p, size_t npages,
                                    size_t room, uintptr_t *scav_bytes);

/**
 * Allocates the `more` pages that follow the run of npages at base, when they
 * are all free: growth in place.
 *
 * Units:   pages; *scav_bytes is about the new pages only.
 * Returns: whether they were allocated.
 * Errors:  none.
 * Threads: lock held.
 */
bool pagealloc_try_extend(struct pagealloc *p, uintptr_t base, size_t npages,
                          size_t more, uintptr_t *scav_bytes);

/**
 * Whether npages pages at base are all free. The first one is managed.
 *
 * Units:   pages, at least 1.
 * Errors:  none.
 * Threads: lock held.
 */
bool pagealloc_is_free(const struct pagealloc *p, uintptr_t base,
                       size_t npages);

/**
 * Frees npages allocated pages at base. May be any part of what was allocated.
 *
 * Units:   pages, at least 1.
 * Errors:  a page that is free already or not ours is fatal (debug builds).
 * Threads: lock held.
 */
void pagealloc_free(struct pagealloc *p, uintptr_t base, size_t npages);

/**
 * The same for pages that have no physical memory (any more).
 *
 * Units:   pages, at least 1.
 * Errors:  as pagealloc_free.
 * Threads: lock held.
 */
void pagealloc_free_scavenged(struct pagealloc *p, uintptr_t base,
                              size_t npages);

/**
 * Takes the lowest free page and every other free page of its aligned group of
 * 64 as a cache.
 *
 * Units:   none.
 * Returns: the cache; empty when no page is free.
 * Errors:  none.
 * Threads: lock held.
 */
struct pagecache pagealloc_alloc_to_cache(struct pagealloc *p);

/**
 * Whether addr lies in memory that grow was given.
 *
 * Units:   an address.
 * Errors:  none.
 * Threads: lock held.
 */
bool pagealloc_manages(const struct pagealloc *p, uintptr_t addr);

/**
 * Asks the kernel for huge pages in [base, base + size), where it was not asked before.
 * Where part of a huge page is given back later, that is withdrawn for its half of the
 * chunk: the kernel would fill the hole again (khugepaged, max_ptes_none).
 *
 * Units:   bytes; multiples of PAGEALLOC_HALF_BYTES, given to grow before.
 * Returns: in how many of them it was not.
 * Errors:  none; it is advice, and nothing happens where there are no huge pages.
 * Threads: lock held.
 */
#define PAGEALLOC_HALF_PAGES (PALLOC_CHUNK_PAGES / 2)
#define PAGEALLOC_HALF_BYTES (PALLOC_CHUNK_BYTES / 2) /* 2 MiB */
size_t pagealloc_ask_huge(struct pagealloc *p, uintptr_t base, size_t size);

/* How pagealloc_scavenge chooses, and whom it tells. */
struct scavenge_policy {
  bool force; /* dense chunks too (memory limit, mgc_free_os_memory) */
  void *arg;
  /* Asked before each piece; NULL: never stops. */
  bool (*should_stop)(void *arg);
  /* Told of each piece while the lock is held and the pages have just become
   * free and scavenged; may be NULL. */
  void (*released)(void *arg, size_t bytes);
};

/**
 * Gives the physical memory of free pages back to the OS, from the highest
 * addresses down, until at least nbytes have gone or there is nothing left. The
 * pages count as allocated while the lock is let go for the system call.
 *
 * Units:   bytes.
 * Returns: bytes given back; may exceed nbytes to keep huge pages whole, or be
 *          less when nothing is left.
 * Errors:  none.
 * Threads: lock held on entry and return, released in between.
 */
size_t pagealloc_scavenge(struct pagealloc *p, size_t nbytes,
                          const struct scavenge_policy *policy);

/**
 * A collection ended: chunk densities are judged anew by the background policy.
 *
 * Units:   none.
 * Errors:  none.
 * Threads: lock held.
 */
void pagealloc_scavenge_next_gen(struct pagealloc *p);

/**
 * Checks the invariants at the head of pagealloc.c; slow.
 *
 * Units:   none.
 * Errors:  verify_fail("pagealloc In", ...).
 * Threads: lock held.
 */
void pagealloc_verify(const struct pagealloc *p);

#endif
