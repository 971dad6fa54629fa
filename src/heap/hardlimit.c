// SPDX-License-Identifier: MIT
/*
 * The hard limit of a collected heap: a span that would take the library's memory
 * over it is not to be had, as if the OS had refused. (The memory limit is a goal for
 * the pacer and gives way; tlimit.c is malloc's hard limit.)
 *
 * A span is taken for fresh memory, so near the limit free pages are given back before
 * others are taken, by steps that are not too small, since each costs system calls.
 *
 * Threads ask and take without a lock in between, so several at once may each be
 * admitted to the same last bytes: the limit is exceeded by what is being taken at one
 * moment, and no more.
 */
#include "heap/mheap_internal.h"

#define STEP_BYTES ((uint64_t)1 << 20)

/* Under the lock, because growing changes two of the figures. */
static uint64_t held_bytes(struct heap *h) {
  mutex_lock(&h->lock);
  uint64_t held = heap_mapped_bytes(h);
  mutex_unlock(&h->lock);
  return held;
}

static bool fits(struct heap *h, uint64_t bytes, uint64_t limit) {
  uint64_t held = held_bytes(h);
  return held <= limit && bytes <= limit - held;
}

bool heap_admit_limited(struct heap *h, uint64_t bytes, uint64_t limit) {
  if (likely(fits(h, bytes, limit))) return true;
  if (bytes > limit) return false;
  uint64_t held = held_bytes(h);
  if (held + bytes > limit) scavenge_now(h, held + bytes - limit + STEP_BYTES);
  return fits(h, bytes, limit);
}
