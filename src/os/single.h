// SPDX-License-Identifier: MIT
/*
 * Whether the process has one thread. Where that is so, a word that threads share can
 * be changed without a locked instruction: whoever may become the second thread is
 * created later, and creation orders.
 */
#ifndef MGC_OS_SINGLE_H
#define MGC_OS_SINGLE_H

#include <stdbool.h>

/* ThreadSanitizer has a thread of its own and wants to see atomics. */
#if __has_include(<sys/single_threaded.h>) && !defined(__SANITIZE_THREAD__)
#include <sys/single_threaded.h>
static inline bool single_threaded(void) { return __libc_single_threaded; }
#else
static inline bool single_threaded(void) { return false; }
#endif

#endif
