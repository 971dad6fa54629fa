// SPDX-License-Identifier: MIT
/* The calling thread's stack, for heap profiles and the leak report. */
#ifndef MGC_MALLOC_STACK_H
#define MGC_MALLOC_STACK_H

#include <stdint.h>

#define STACK_DEPTH 64u

/* Fills frames with return addresses, innermost first, beginning with the one
 * outside this library: the caller of malloc or operator new. See os/unwind.h.
 *
 * Units:   n is a number of frames; the deepest ones are left out.
 * Returns: how many there are; 0 when the stack cannot be read.
 * Errors:  none.
 * Threads: any; async-signal-safe. */
unsigned stack_walk(uintptr_t *frames, unsigned n);

#endif
