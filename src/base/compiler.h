// SPDX-License-Identifier: MIT
/* Compiler attributes and compile-time helpers, used by every layer. */
#ifndef MGC_BASE_COMPILER_H
#define MGC_BASE_COMPILER_H

#include <stddef.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define MGC_NOINLINE __attribute__((noinline))
#define MGC_COLD __attribute__((cold, noinline))
#define MGC_ALWAYS_INLINE inline __attribute__((always_inline))
#define MGC_NORETURN __attribute__((noreturn))
#define MGC_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define MGC_MUST_CHECK __attribute__((warn_unused_result))
#define MGC_UNUSED __attribute__((unused))

/* Reads memory that belongs to the program (stacks, segments, objects): the
 * sanitizers must not judge it. Only scanning functions may carry this. */
#define MGC_NO_SANITIZE                                                        \
  __attribute__((no_sanitize("address", "thread", "undefined")))

/* Thread-safety analysis (clang -Wthread-safety); nothing elsewhere. */
#if defined(__clang__)
#define MGC_CAPABILITY(name) __attribute__((capability(name)))
#define MGC_REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define MGC_ACQUIRE(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define MGC_RELEASE(...) __attribute__((release_capability(__VA_ARGS__)))
#define MGC_TRY_ACQUIRE(...)                                                   \
  __attribute__((try_acquire_capability(__VA_ARGS__)))
#define MGC_NO_ANALYSIS __attribute__((no_thread_safety_analysis))
#else
#define MGC_CAPABILITY(name)
#define MGC_REQUIRES(...)
#define MGC_ACQUIRE(...)
#define MGC_RELEASE(...)
#define MGC_TRY_ACQUIRE(...)
#define MGC_NO_ANALYSIS
#endif

#if defined(__SANITIZE_THREAD__)
#define MGC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MGC_TSAN 1
#endif
#endif
#ifndef MGC_TSAN
#define MGC_TSAN 0
#endif

#define CACHELINE 64
#define MGC_CACHE_ALIGNED __attribute__((aligned(CACHELINE)))

#define container_of(ptr, type, member)                                        \
  ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define array_len(a) (sizeof(a) / sizeof((a)[0]))

#endif
