// SPDX-License-Identifier: MIT
/*
 * The one way to fail. A fatal error is one greppable line, written with a
 * single write(2) from a buffer on the stack, then abort(): no allocation, no
 * stdio, no locks, no locale. A second fatal error inside the first ends the
 * process at once with status 134.
 */
#ifndef MGC_BASE_FATAL_H
#define MGC_BASE_FATAL_H

#include "base/compiler.h"

/* Our own invariant is broken: "mallocgc: fatal: bug: ...". */
MGC_COLD MGC_NORETURN void fatal_bug(const char *fmt, ...) MGC_PRINTF(1, 2);

/* The program broke a rule: "mallocgc: fatal: <kind>: ...", for instance kind
 * "double free" and facts "ptr=0x... elemsize=48". */
MGC_COLD MGC_NORETURN void fatal_user(const char *kind, const char *fmt, ...)
    MGC_PRINTF(2, 3);

/* A verifier found structure `what` broken, quoting the invariant's number:
 * verify_fail("pagealloc I3", "chunk=%zu ...", ...). */
MGC_COLD MGC_NORETURN void verify_fail(const char *what, const char *fmt, ...)
    MGC_PRINTF(2, 3);

/* Always compiled in: cheap tests that stop corruption from spreading. */
#define mgc_check(cond, ...)                                                   \
  do {                                                                         \
    if (unlikely(!(cond))) fatal_bug(__VA_ARGS__);                             \
  } while (0)

/* Debug builds (MGC_ASSERT_LEVEL >= 1): no side effects in cond. */
#ifndef MGC_ASSERT_LEVEL
#define MGC_ASSERT_LEVEL 0
#endif
#if MGC_ASSERT_LEVEL >= 1
#define mgc_assert(cond)                                                       \
  mgc_check(cond, "assert %s at %s:%d", #cond, __FILE__, __LINE__)
#else
#define mgc_assert(cond) ((void)sizeof(!(cond)))
#endif

#endif
