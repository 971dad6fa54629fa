// SPDX-License-Identifier: MIT
/* Threads, as far as the C library and the kernel must be asked. */
#ifndef MGC_OS_THREAD_LINUX_H
#define MGC_OS_THREAD_LINUX_H

#include "base/compiler.h"
#include "os/arch.h"
#include <stdbool.h>
#include <stdint.h>

/* The kernel's id of the calling thread. Async-signal-safe. */
int thread_id(void);

/* Sends a signal to one thread of this process.
 * Errors: -ESRCH when the thread has ended, -EAGAIN when the queue of real-time
 * signals is full. Async-signal-safe; errno is preserved. */
MGC_MUST_CHECK int thread_signal(int tid, int signo);

/* The stack of the calling thread: it grows down from *hi, and never below *lo.
 * Includes the thread's static TLS and descriptor, except the main thread's.
 * Units: addresses. Errors: false when the C library cannot tell.
 * Threads: calls malloc; ask once for each thread. */
MGC_MUST_CHECK bool thread_stack_bounds(uintptr_t *lo, uintptr_t *hi);

/* Gives the processor away. Async-signal-safe. */
void thread_yield(void);

/* Starts a thread of the library: detached, with every signal blocked (the
 * program's handlers must not run on it) and a small stack.
 * name: what tools show after "mallocgc-"; at most 6 characters are shown.
 * Errors: a negative errno, -EAGAIN or -ENOMEM.
 * Threads: any; calls malloc. Returns when the thread runs. */
MGC_MUST_CHECK int thread_start_library(const char *name, void (*fn)(void *arg),
                                        void *arg);

/* Calls fn(arg, sp) when every register that fn's caller may rely on has been
 * written to the stack: all that the calling function's and its callers'
 * variables hold is then in [sp, top of the stack).
 * Async-signal-safe. */
void thread_call_spilled(void (*fn)(void *arg, uintptr_t sp), void *arg);

#endif
