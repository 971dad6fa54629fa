// SPDX-License-Identifier: MIT
/* See signals.h. */
#include "os/signals.h"

#include <errno.h>
#include <pthread.h>

static bool is_free(const struct sigaction *sa) {
  return !(sa->sa_flags & SA_SIGINFO) &&
         (sa->sa_handler == SIG_DFL || sa->sa_handler == SIG_IGN);
}

static bool has_handler(const struct sigaction *sa, signal_handler *handler) {
  return (sa->sa_flags & SA_SIGINFO) && sa->sa_sigaction == handler;
}

/* Not SA_ONSTACK: a thread's alternate stack is no part of its stack bounds, and
 * may be too small. (A thread that is on its alternate stack already when the
 * signal comes stays there.) Faults stay deliverable, so that a crash inside the
 * handler is reported as one. */
static struct sigaction make_action(signal_handler *handler) {
  static const int faults[] = {SIGSEGV, SIGBUS,  SIGFPE,
                               SIGILL,  SIGTRAP, SIGABRT};
  struct sigaction sa = {.sa_sigaction = handler,
                         .sa_flags = SA_SIGINFO | SA_RESTART};
  sigfillset(&sa.sa_mask);
  for (size_t i = 0; i < array_len(faults); i++)
    sigdelset(&sa.sa_mask, faults[i]);
  return sa;
}

/* 0, or a negative errno: -EBUSY when somebody else has it. */
static int claim_one(int signo, signal_handler *handler) {
  struct sigaction old, action = make_action(handler);
  if (sigaction(signo, NULL, &old) != 0) return -EINVAL;
  if (has_handler(&old, handler)) return 0;
  if (!is_free(&old)) return -EBUSY;
  if (sigaction(signo, &action, &old) != 0) return -EINVAL;
  if (is_free(&old)) return 0;
  /* Another thread installed its own between the two calls. */
  sigaction(signo, &old, NULL);
  return -EBUSY;
}

int signal_claim(int wanted, signal_handler *handler) {
  int saved = errno;
  int err = claim_one(wanted, handler);
  int signo = wanted;
  /* Below the real-time numbers every signal has a meaning: only the one that
   * was asked for is tried, and the search goes on above. */
  if (err == -EBUSY && signo < SIGRTMIN) signo = SIGRTMIN - 1;
  while (err == -EBUSY && signo < SIGRTMAX) err = claim_one(++signo, handler);
  errno = saved;
  return err ? err : signo;
}

void signal_release(int signo, signal_handler *handler) {
  int saved = errno;
  if (signal_is_ours(signo, handler)) {
    struct sigaction sa = {.sa_handler = SIG_DFL};
    sigaction(signo, &sa, NULL);
  }
  errno = saved;
}

bool signal_is_ours(int signo, signal_handler *handler) {
  int saved = errno;
  struct sigaction sa;
  bool ours = sigaction(signo, NULL, &sa) == 0 && has_handler(&sa, handler);
  errno = saved;
  return ours;
}

bool signal_unblock(int signo) {
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, signo);
  pthread_sigmask(SIG_UNBLOCK, &set, &old);
  return sigismember(&old, signo) == 1;
}
