// SPDX-License-Identifier: MIT
/*
 * spawn OUT PRELOAD REPEAT PROGRAM [ARGUMENTS...]: runs a program, and writes
 * one line to OUT: wall nanoseconds, CPU microseconds (user and system), peak
 * resident KiB, exit status (a signal as 128 and its number).
 *
 * It is a small program because the kernel counts the memory of the process
 * that forked into the peak of the one that it starts: from Python no peak
 * would be below Python's. PRELOAD ("-": none) is set for the child only.
 * REPEAT runs it so many times; times are sums, the peak the highest. Where a
 * program starts others and waits for them, their times are added and the peak
 * is that of the largest process.
 */
#include "common.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t microseconds(struct timeval t) {
  return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_usec;
}

static pid_t start(char **argv, const char *preload) {
  pid_t pid = fork();
  if (pid < 0) die("spawn: cannot fork");
  if (pid > 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (strcmp(preload, "-") != 0) setenv("LD_PRELOAD", preload, 1);
  execvp(argv[0], argv);
  fprintf(stderr, "spawn: %s: %s\n", argv[0], strerror(errno));
  _exit(127);
}

static int wait_for(pid_t pid, struct rusage *usage) {
  int status;
  while (wait4(pid, &status, 0, usage) != pid)
    if (errno != EINTR) die("spawn: cannot wait");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static pid_t running;

static void pass_on(int signal) {
  if (running > 0) kill(running, signal);
}

int main(int argc, char **argv) {
  if (argc < 5) die("spawn OUT PRELOAD REPEAT PROGRAM [ARGUMENTS...]");
  long repeat = argument(argc, argv, 3, 1);
  uint64_t cpu = 0, wall = 0;
  long peak = 0;
  int status = 0;
  signal(SIGTERM, pass_on);
  /* Who stops the runner does not want the rest to go on. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (long i = 0; i < repeat && status == 0; i++) {
    struct rusage usage;
    uint64_t begin = now_ns();
    running = start(argv + 4, argv[2]);
    status = wait_for(running, &usage);
    running = 0;
    wall += now_ns() - begin;
    cpu += microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
    if (usage.ru_maxrss > peak) peak = usage.ru_maxrss;
  }
  FILE *out = fopen(argv[1], "w");
  if (!out) die("spawn: cannot write the result");
  fprintf(out, "%lu %lu %ld %d\n", wall, cpu, peak, status);
  return fclose(out) ? 1 : 0;
}
