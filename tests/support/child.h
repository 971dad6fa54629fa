// SPDX-License-Identifier: MIT
/* Runs a function in a forked child and gives back what it wrote to standard
 * error and how it ended: for tests of what a fatal error says. */
#ifndef MGC_TESTS_SUPPORT_CHILD_H
#define MGC_TESTS_SUPPORT_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
  int pid;
  int status; /* of waitpid */
  char err[4096];
};

/* The child leaves no core and has SIGABRT's default action again. A child whose
 * function returns ends with status 0. */
static inline struct child child_run(void (*fn)(void *arg), void *arg) {
  struct child c = {0};
  int fds[2];
  size_t len = 0;
  ssize_t got;
  if (pipe(fds) != 0) abort();
  c.pid = fork();
  if (c.pid == 0) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGABRT, SIG_DFL);
    dup2(fds[1], 2);
    fn(arg);
    _exit(0);
  }
  close(fds[1]);
  while ((got = read(fds[0], c.err + len, sizeof(c.err) - 1 - len)) > 0)
    len += (size_t)got;
  close(fds[0]);
  waitpid(c.pid, &c.status, 0);
  return c;
}

static inline bool child_aborted(const struct child *c) {
  return WIFSIGNALED(c->status) && WTERMSIG(c->status) == SIGABRT;
}

#endif
