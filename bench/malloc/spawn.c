// SPDX-License-Identifier: MIT
/*
 * spawn OUT PRELOAD REPEAT TREE PROGRAM [ARGUMENTS...]: runs a program, and
 * writes one line to OUT: wall nanoseconds, CPU microseconds (user and system),
 * peak resident KiB, exit status (a signal as 128 and its number).
 *
 * It is a small program because the kernel counts the memory of the process that
 * forked into the peak of the one that it starts: from Python no peak would be
 * below Python's. PRELOAD ("-": none) is set for the child only. REPEAT runs it
 * so many times; times are sums, the peak the highest. With TREE 1 the peak is
 * the sum over all processes that it started, each at its own peak, read from
 * /proc every few milliseconds.
 */
#include "common.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SAMPLE_NS = 2000000, MOST_PROCESSES = 4096 };

static struct {
  pid_t pid;
  long kib;
} seen[MOST_PROCESSES];
static int seen_count;

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t microseconds(struct timeval t) {
  return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_usec;
}

static ssize_t read_file(const char *path, char *text, size_t room) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t n = read(fd, text, room - 1);
  close(fd);
  if (n >= 0) text[n] = 0;
  return n;
}

static void note_peak(pid_t pid) {
  char path[64], text[8192];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  if (read_file(path, text, sizeof text) <= 0) return;
  const char *line = strstr(text, "VmHWM:");
  long kib = line ? strtol(line + 6, NULL, 10) : 0;
  /* From the end: a number that came round again is another process. */
  for (int i = seen_count; i-- > 0;)
    if (seen[i].pid == pid) {
      if (kib > seen[i].kib) seen[i].kib = kib;
      return;
    }
  if (seen_count < MOST_PROCESSES) {
    seen[seen_count].pid = pid;
    seen[seen_count++].kib = kib;
  }
}

static void note_tree(pid_t pid) {
  char path[64], text[8192];
  note_peak(pid);
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
  if (read_file(path, text, sizeof text) <= 0) return;
  for (char *at = text, *end;; at = end) {
    long child = strtol(at, &end, 10);
    if (end == at) return;
    note_tree((pid_t)child);
  }
}

static long tree_peak(void) {
  long kib = 0;
  for (int i = 0; i < seen_count; i++) kib += seen[i].kib;
  return kib;
}

static pid_t start(char **argv, const char *preload) {
  pid_t pid = fork();
  if (pid < 0) die("spawn: cannot fork");
  if (pid > 0) return pid;
  if (strcmp(preload, "-") != 0) setenv("LD_PRELOAD", preload, 1);
  execvp(argv[0], argv);
  fprintf(stderr, "spawn: %s: %s\n", argv[0], strerror(errno));
  _exit(127);
}

static int wait_for(pid_t pid, bool tree, struct rusage *usage) {
  int status;
  for (;;) {
    if (tree) note_tree(pid);
    pid_t ended = wait4(pid, &status, tree ? WNOHANG : 0, usage);
    if (ended == pid) break;
    if (ended < 0 && errno != EINTR) die("spawn: cannot wait");
    if (tree) nanosleep(&(struct timespec){.tv_nsec = SAMPLE_NS}, NULL);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static pid_t running;

static void pass_on(int signal) {
  if (running > 0) kill(running, signal);
}

int main(int argc, char **argv) {
  if (argc < 6) die("spawn OUT PRELOAD REPEAT TREE PROGRAM [ARGUMENTS...]");
  long repeat = argument(argc, argv, 3, 1);
  bool tree = argument(argc, argv, 4, 0) != 0;
  uint64_t cpu = 0, wall = 0;
  long peak = 0;
  int status = 0;
  signal(SIGTERM, pass_on);
  for (long i = 0; i < repeat && status == 0; i++) {
    struct rusage usage;
    uint64_t begin = now_ns();
    running = start(argv + 5, argv[2]);
    status = wait_for(running, tree, &usage);
    running = 0;
    wall += now_ns() - begin;
    cpu += microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
    if (usage.ru_maxrss > peak) peak = usage.ru_maxrss;
  }
  if (tree && tree_peak() > peak) peak = tree_peak();
  FILE *out = fopen(argv[1], "w");
  if (!out) die("spawn: cannot write the result");
  fprintf(out, "%lu %lu %ld %d\n", wall, cpu, peak, status);
  return fclose(out) ? 1 : 0;
}
