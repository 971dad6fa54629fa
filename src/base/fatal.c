// SPDX-License-Identifier: MIT
/*
 * See fatal.h. The line is put together in one buffer whose last TAIL bytes are
 * kept for " tid=N\n", so that a long message is cut before the thread's id and
 * never loses its newline.
 */
#include "base/fatal.h"

#include "base/atomic.h"
#include "base/print.h"
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LINE 1000
#define TAIL 32
#define EXIT_RECURSIVE 134 /* what a shell shows for SIGABRT */

/* The thread that fails first; 0 while none has. Process-wide on purpose: the
 * process has one standard error and one end. */
static struct atomic_i32 failing_tid;

/* Lets one thread through, once. A second failure of the same thread ends the
 * process; another thread's waits, so that the first one's line and core image
 * are what is left, but not for ever (it may be in a forked child whose failing
 * thread does not exist). */
static void enter_failure(int32_t tid) {
  int32_t first = 0;
  if (atomic_i32_cas_relaxed(&failing_tid, &first, tid)) return;
  if (first != tid) {
    struct timespec wait = {.tv_sec = 1};
    nanosleep(&wait, NULL);
  }
  _exit(EXIT_RECURSIVE);
}

MGC_NORETURN static void fail(const char *head, const char *kind,
                              const char *fmt, va_list ap) {
  char line[LINE];
  int32_t tid = (int32_t)syscall(SYS_gettid);
  enter_failure(tid);
  size_t n = print_format(line, sizeof(line) - TAIL,
                          "mallocgc: fatal: %s%s: ", head, kind);
  n += print_vformat(line + n, sizeof(line) - TAIL - n, fmt, ap);
  n += print_format(line + n, sizeof(line) - n, " tid=%d\n", tid);
  ssize_t written = write(2, line, n);
  (void)written;
  abort();
}

void fatal_bug(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fail("", "bug", fmt, ap);
}

void fatal_user(const char *kind, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fail("", kind, fmt, ap);
}

void verify_fail(const char *what, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fail("verify: ", what, fmt, ap);
}
