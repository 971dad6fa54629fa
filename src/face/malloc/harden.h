// SPDX-License-Identifier: MIT
/*
 * The hardened allocator (MALLOCGC_HARDEN=1): for finding memory errors in programs
 * and for making them hard to exploit, at a price. docs/hardening.md says what each
 * measure does, costs and does not do.
 *
 *   hardenspan.c   small objects: random slots, canaries
 *   hardenlarge.c  large objects: guard pages
 *   quarantine.c   where freed objects wait
 *   hardenrand.c   random numbers
 *   harden.c       all of it together, locks, what malloc's slow path calls
 *
 * There are no thread caches: every allocation and free takes a lock, one of
 * HARDEN_GROUPS by size class, or the one of large objects. Its random numbers are
 * under the same lock. Nobody holds two of them, except around fork.
 *
 * All memory that is handed out is zero.
 */
#ifndef MGC_MALLOC_HARDEN_H
#define MGC_MALLOC_HARDEN_H

#include "base/lock.h"
#include "face/malloc/hardenlarge.h"

/* A debug build lets a thread hold 16 locks, and fork takes all of these. */
#define HARDEN_GROUPS 6u

struct harden_group {
  struct mutex lock; /* rank harden */
  struct harden_rand rand;
};

struct harden {
  struct harden_env env;
  struct harden_group group[HARDEN_GROUPS + 1];  /* the last: large objects */
  struct harden_class classes[NUM_SIZE_CLASSES]; /* by size class */
  unsigned nclasses; /* (c) 1 to this - 1 are used */
  struct harden_large_set large;
};

/* Sets up *hd (zeroed memory, never moved) on h. th, map: may be NULL. fill: random
 * bytes; NULL: the kernel's. */
void harden_init(struct harden *hd, struct heap *h, struct theap *th,
                 struct pagemap *map, harden_rand_fill *fill, void *arg);
/* size bytes aligned to align (a power of two), zero; 0: no memory. *f: what was
 * found wrong on the way, the result is 0 then. No lock. */
uintptr_t harden_take(struct harden *hd, size_t size, size_t align,
                      struct harden_finding *f);
/* Frees p; s is the span whose pages hold it. */
struct harden_finding harden_give(struct harden *hd, struct mspan *s,
                                  uintptr_t p);
/* The size of the object at p; false: it is none, see *f. */
bool harden_size(struct harden *hd, const struct mspan *s, uintptr_t p,
                 size_t *size, struct harden_finding *f);
/* Lets everything out of quarantine; false: see *f. */
bool harden_flush(struct harden *hd, struct harden_finding *f);
/* Around fork. */
void harden_lock_all(struct harden *hd);
void harden_unlock_all(struct harden *hd, bool child);
/* Fatal unless the invariants hold. */
void harden_verify(struct harden *hd);

#endif
