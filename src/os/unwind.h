// SPDX-License-Identifier: MIT
/*
 * The calling thread's stack as return addresses, whatever state it is in.
 *
 * Programs and libraries are built without frame pointers and with unwind tables.
 * libgcc's unwinder reads those, but it trusts what it finds: a function whose
 * table is wrong, or a coroutine with garbage where its first return address would
 * be, makes it read a wild address. A profiler must not end the program it looks
 * at, so on x86-64 with glibc 2.35 or later the walk is our own:
 *
 *   - tables are found without locks (_dl_find_object); nothing is allocated
 *   - a word of the stack is read when its page is known to be readable: the
 *     kernel is asked, once a page, by a system call that fails without effect
 *   - code without tables (from a just-in-time compiler) ends the walk
 *
 * Elsewhere it is _Unwind_Backtrace.
 */
#ifndef MGC_OS_UNWIND_H
#define MGC_OS_UNWIND_H

#include <stdbool.h>
#include <stdint.h>

/* Fills frames, innermost first, beginning with the first one outside of
 * [skip_lo, skip_hi): the addresses to which calls return, and of a function that
 * a signal interrupted the address after the interrupted one.
 *
 * Units:   n is a number of frames; what is beyond is left out.
 * Returns: how many there are.
 * Errors:  none: the walk ends where it cannot go on.
 * Threads: any; async-signal-safe; errno is preserved. */
unsigned unwind_stack(uintptr_t *frames, unsigned n, uintptr_t skip_lo,
                      uintptr_t skip_hi);

/* Whether the aligned word at p can be read, asked of the kernel. errno is
 * preserved. */
bool unwind_can_read(uintptr_t p);

#endif
