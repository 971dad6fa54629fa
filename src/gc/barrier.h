// SPDX-License-Identifier: MIT
/* The write barrier's slow half. See barrier.c; mallocgc/store.h has the fast one. */
#ifndef MGC_GC_BARRIER_H
#define MGC_GC_BARRIER_H

#include "alloc/thread.h"
#include "gc/mark.h"

/* Turns the barrier on and off. Stopped world. */
void barrier_set(bool on);
/* A slot held `was` and holds `is` from now on. t: the calling thread. */
void barrier_record(struct marking *m, struct thread *t, uintptr_t was,
                    uintptr_t is);
/* The words of [p, p + n) are about to be overwritten, or have just been written where
 * they were not. t is inside the allocator, and stays there until it is done. */
void barrier_words(struct marking *m, struct thread *t, const void *p,
                   size_t n);
/* Hands what t has kept to the markers. t inside the allocator, or stopped. */
void barrier_flush(struct marking *m, struct thread *t);

#endif
