// SPDX-License-Identifier: MIT
/* The default heap: made at the first allocation, never taken down. */
#ifndef MGC_ALLOC_INIT_H
#define MGC_ALLOC_INIT_H

#include "alloc/options.h"
#include "heap/heap.h"

/* NULL until the default heap is ready; then constant. Read by the debugger
 * scripts too. */
extern struct atomic_ptr heap_default_ptr;

/**
 * The default heap, made now if need be.
 *
 * Units:   none.
 * Returns: the heap, or NULL when it cannot be had; the first failure prints one
 *          line and is final.
 * Errors:  NULL only.
 * Threads: any; concurrent first calls wait for one of them.
 */
struct heap *heap_default(void);

/* Defined by the face that is linked: sets up the layers above (the collector)
 * on the new default heap. 0, or a negative errno. */
int heap_upper_init(struct heap *h, const struct pacing_options *pacing);

#endif
