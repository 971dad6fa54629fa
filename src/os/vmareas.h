// SPDX-License-Identifier: MIT
/*
 * Which memory is the library's own state: the areas that the system's vm has
 * given out by `alloc`. The leak report does not take them for the program's.
 *
 * A fixed table, so that keeping it needs no memory: an area is a chunk of 256 KiB
 * or a table for 64 MiB of heap, so that the table is full at some tens of GiB.
 * From then on it is not complete, and says so.
 */
#ifndef MGC_OS_VMAREAS_H
#define MGC_OS_VMAREAS_H

#include "base/atomic.h"
#include <stddef.h>

#define VMAREAS_MAX 4096u

/* A place is taken while hi is not 0. Lock key: (a) atomic */
struct vmareas {
  struct atomic_u32 used;  /* (a) places that were ever taken */
  struct atomic_bool lost; /* (a) there was no place for an area */
  struct {
    struct atomic_uptr lo, hi; /* (a) */
  } area[VMAREAS_MAX];
};

/* Notes [lo, hi). Threads: any; lock-free. */
void vmareas_add(struct vmareas *a, uintptr_t lo, uintptr_t hi);
/* Forgets the area that begins at lo, if there is one. Threads: any, as long as
 * none adds the same area. */
void vmareas_remove(struct vmareas *a, uintptr_t lo);
/* Visits all areas.
 * Returns: false when some are not known.
 * Threads: any; what others add and remove meanwhile may be missing. */
bool vmareas_visit(const struct vmareas *a,
                   void (*visit)(uintptr_t lo, uintptr_t hi, void *arg),
                   void *arg);

#endif
