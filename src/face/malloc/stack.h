// SPDX-License-Identifier: MIT
/*
 * The calling thread's stack, for heap profiles and the leak report.
 *
 * The unwinder is libgcc's, linked into the library: programs and libraries are
 * built without frame pointers, and with unwind tables everywhere on x86-64 and
 * aarch64. From glibc 2.35 on it finds a function's table without a lock
 * (_dl_find_object), and the library's copy of it is never told of tables made at
 * run time, so that it neither waits nor allocates. Code without tables (made by a
 * just-in-time compiler) ends the stack there.
 */
#ifndef MGC_MALLOC_STACK_H
#define MGC_MALLOC_STACK_H

#include <stdint.h>

#define STACK_DEPTH 64u

/* Fills frames with return addresses, innermost first, beginning with the one
 * outside this library: the caller of malloc or operator new.
 *
 * Units:   n is a number of frames; the deepest ones are left out.
 * Returns: how many there are; 0 when the stack cannot be read.
 * Errors:  none.
 * Threads: any; takes no lock of ours; what it allocates is the caller's to
 * expect (a first call may resolve symbols). */
unsigned stack_walk(uintptr_t *frames, unsigned n);

#endif
