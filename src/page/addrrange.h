// SPDX-License-Identifier: MIT
/*
 * Half-open ranges of addresses, and a sorted list of them that coalesces
 * neighbours (Go: mranges.go).
 *
 * Invariants of struct addrranges:
 *   I1  every range has base < limit
 *   I2  ranges are sorted and no two touch: ranges[i].limit < ranges[i+1].base
 *   I3  total_bytes is the sum of their sizes
 *   I4  len <= cap
 */
#ifndef MGC_PAGE_ADDRRANGE_H
#define MGC_PAGE_ADDRRANGE_H

#include "base/compiler.h"
#include "base/persistent.h"
#include <stdbool.h>
#include <stdint.h>

/* [base, limit); empty when base >= limit. */
struct addrrange {
  uintptr_t base;
  uintptr_t limit;
};

/* The addresses that a page allocator can manage: 2^log2_size bytes from base.
 * {0, 48} is the whole user address space of x86-64 and aarch64. */
struct addrwindow {
  uintptr_t base;     /* a multiple of PALLOC_CHUNK_BYTES */
  unsigned log2_size; /* ADDRWINDOW_MIN_LOG2 to ADDRWINDOW_MAX_LOG2 */
};
#define ADDRWINDOW_MIN_LOG2 34u
#define ADDRWINDOW_MAX_LOG2 48u

/* Lock key: everything belongs to whoever owns the list. */
struct addrranges {
  struct addrrange *ranges;
  size_t len;
  size_t cap;
  uint64_t total_bytes;
  struct persistent *meta; /* (c) where the array comes from; old ones leak */
  struct memstat *sys;     /* (c) */
};

static inline size_t addrrange_size(struct addrrange r) {
  return r.base < r.limit ? r.limit - r.base : 0;
}
static inline bool addrrange_contains(struct addrrange r, uintptr_t addr) {
  return addr >= r.base && addr < r.limit;
}

/**
 * Makes an empty list. Allocates nothing.
 *
 * Units:   none.
 * Errors:  none.
 * Threads: the owner.
 */
void addrranges_init(struct addrranges *r, struct persistent *meta,
                     struct memstat *sys);

/**
 * Makes room for `extra` more ranges, so that as many addrranges_add succeed.
 *
 * Units:   `extra` counts ranges.
 * Errors:  false when metadata memory is exhausted; nothing changed.
 * Threads: the owner.
 */
MGC_MUST_CHECK bool addrranges_reserve(struct addrranges *r, size_t extra);

/**
 * Adds a non-empty range that overlaps none of the list, coalescing it with the
 * neighbours it touches.
 *
 * Units:   addresses.
 * Errors:  false when metadata memory is exhausted; nothing changed. Overlap is
 *          a bug and fatal.
 * Threads: the owner.
 */
MGC_MUST_CHECK bool addrranges_add(struct addrranges *r, struct addrrange a);

/**
 * The index of the first range whose base is above addr (len when there is
 * none). Binary search.
 *
 * Units:   address in, index out.
 * Errors:  none.
 * Threads: the owner.
 */
size_t addrranges_find_succ(const struct addrranges *r, uintptr_t addr);

/**
 * The lowest address of the list that is >= addr.
 *
 * Units:   addresses.
 * Returns: false when there is none; *out is then unchanged.
 * Errors:  none.
 * Threads: the owner.
 */
bool addrranges_find_ge(const struct addrranges *r, uintptr_t addr,
                        uintptr_t *out);

/**
 * Whether the list contains every byte of the non-empty range a.
 *
 * Units:   addresses.
 * Errors:  none.
 * Threads: the owner.
 */
bool addrranges_contains(const struct addrranges *r, struct addrrange a);

/**
 * Checks I1 to I4; verify_fail("addrranges In") when one is broken.
 *
 * Units:   none.
 * Errors:  fatal.
 * Threads: the owner.
 */
void addrranges_verify(const struct addrranges *r);

#endif
