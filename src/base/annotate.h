// SPDX-License-Identifier: MIT
/*
 * What the heap tells the sanitizers that the program is built with. All of it
 * is empty when they are absent.
 */
#ifndef MGC_BASE_ANNOTATE_H
#define MGC_BASE_ANNOTATE_H

#include "base/compiler.h"
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define MGC_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MGC_ASAN 1
#endif
#endif
#ifndef MGC_ASAN
#define MGC_ASAN 0
#endif

#if MGC_ASAN
#include <sanitizer/asan_interface.h>
#endif
#if MGC_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* The program must not touch [p, p + n) until it is unpoisoned. AddressSanitizer
 * works in units of 8 bytes: p must be a multiple of 8. */
static inline void annotate_poison(const void *p, size_t n) {
#if MGC_ASAN
  __asan_poison_memory_region(p, n);
#else
  (void)p, (void)n;
#endif
}

static inline void annotate_unpoison(const void *p, size_t n) {
#if MGC_ASAN
  __asan_unpoison_memory_region(p, n);
#else
  (void)p, (void)n;
#endif
}

/* An order between two threads that ThreadSanitizer cannot see, for instance one
 * made by a signal: what happened before annotate_release(p) happens before
 * what follows annotate_acquire(p). p is any address that names the edge. */
static inline void annotate_release(void *p) {
#if MGC_TSAN
  __tsan_release(p);
#else
  (void)p;
#endif
}

static inline void annotate_acquire(void *p) {
#if MGC_TSAN
  __tsan_acquire(p);
#else
  (void)p;
#endif
}

#endif
