// SPDX-License-Identifier: MIT
/* Explicit free, questions about objects, and realloc. See free.c. */
#ifndef MGC_ALLOC_FREE_H
#define MGC_ALLOC_FREE_H

#include "alloc/malloc.h"

/* Where an address lies in the heap. */
struct object_ref {
  struct mspan *span;
  uintptr_t base; /* first byte of the slot */
  unsigned index;
};

/**
 * Finds the live object that holds p.
 *
 * Units:   none.
 * Returns: true and *out when p lies in an allocated slot (interior pointers
 *          too); a slot of a run that was not handed out yet counts as one.
 * Errors:  false.
 * Threads: any; the object must be kept alive by the caller.
 */
bool object_find(const struct heap *h, uintptr_t p, struct object_ref *out);

/**
 * Gives an object back at once (design D7). NULL and objects of size 0 are
 * ignored; blocks of the tiny class are left to the collector, because several
 * objects share one.
 *
 * Units:   none.
 * Errors:  fatal "double free" or "invalid free" when p is not a live object's
 *          first byte.
 * Threads: any.
 */
void object_free(struct thread *t, void *p);

/**
 * realloc on the collected heap: keeps what the object's words are (its type
 * where the span remembers one; otherwise words are scanned conservatively).
 *
 * Units:   bytes, less than PTRDIFF_MAX.
 * Returns: the object, perhaps moved; bytes past the old size are zero when the
 *          object may hold pointers.
 * Errors:  NULL when memory is exhausted: p is as before. Fatal like object_free
 *          for a bad p.
 * Threads: any; the object must not be in use elsewhere. May collect.
 */
void *object_realloc(struct thread *t, void *p, size_t size);

#endif
