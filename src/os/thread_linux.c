// SPDX-License-Identifier: MIT
/* See thread_linux.h. */
#include "os/thread_linux.h"

#include "base/lock.h"
#include "base/print.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Deep enough for tracing with a sanitizer's frames; touched pages only are
 * paid for. */
#define LIBRARY_STACK ((size_t)256 << 10)

int thread_id(void) { return (int)syscall(SYS_gettid); }

int thread_signal(int tid, int signo) {
  int saved = errno;
  int result = 0;
  if (syscall(SYS_tgkill, getpid(), tid, signo) != 0) result = -errno;
  errno = saved;
  return result;
}

bool thread_stack_bounds(uintptr_t *lo, uintptr_t *hi) {
  pthread_attr_t attr;
  void *addr;
  size_t size;
  if (pthread_getattr_np(pthread_self(), &attr) != 0) return false;
  bool ok = pthread_attr_getstack(&attr, &addr, &size) == 0;
  pthread_attr_destroy(&attr);
  if (!ok) return false;
  *lo = (uintptr_t)addr;
  *hi = (uintptr_t)addr + size;
  return true;
}

void thread_yield(void) { sched_yield(); }

struct start {
  const char *name;
  void (*fn)(void *arg);
  void *arg;
  struct atomic_u32 taken; /* 1: the new thread no longer needs this struct */
};

static void *run_library_thread(void *p) {
  struct start *start = p;
  void (*fn)(void *arg) = start->fn;
  void *arg = start->arg;
  char name[16]; /* the kernel's limit, with the NUL */
  print_format(name, sizeof(name), "mallocgc-%s", start->name);
  prctl(PR_SET_NAME, name);
  /* Release: our reads of *start, to the acquire in thread_start_library. The
   * exchange and the wake touch the word's address only, not *start: a wake of
   * an address that has been used again is spurious, and harmless. */
  atomic_u32_store_release(&start->taken, 1);
  futex_wake(&start->taken, 1);
  fn(arg);
  return NULL;
}

/* pthread_create with a small stack, or with the default one when the program's
 * static TLS does not fit into ours (EINVAL). */
static int create_detached(struct start *start) {
  pthread_attr_t attr;
  pthread_t thread;
  int err = pthread_attr_init(&attr);
  if (err) return err;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  if (pthread_attr_setstacksize(&attr, LIBRARY_STACK) == 0)
    err = pthread_create(&thread, &attr, run_library_thread, start);
  else
    err = EINVAL;
  pthread_attr_destroy(&attr);
  if (err != EINVAL) return err;
  err = pthread_attr_init(&attr);
  if (err) return err;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  err = pthread_create(&thread, &attr, run_library_thread, start);
  pthread_attr_destroy(&attr);
  return err;
}

int thread_start_library(const char *name, void (*fn)(void *arg), void *arg) {
  struct start start = {.name = name, .fn = fn, .arg = arg};
  sigset_t all, old;
  /* The new thread inherits the mask. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  int err = create_detached(&start);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (err) return -err;
  while (!atomic_u32_load_acquire(&start.taken))
    futex_wait(&start.taken, 0, -1);
  return 0;
}

MGC_NOINLINE void thread_call_spilled(void (*fn)(void *arg, uintptr_t sp),
                                      void *arg) {
  __builtin_unwind_init(); /* the prologue saves all callee-saved registers */
  fn(arg, arch_stack_pointer());
  /* Not a tail call: the frame must live while fn runs. */
  __asm__ volatile("" ::: "memory");
}
