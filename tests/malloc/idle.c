// SPDX-License-Identifier: MIT
/*
 * idle KIND SECONDS: fills 430 MiB, frees all but 30 MiB of it, and waits; what is
 * resident must be little then, without a call from the program. KIND:
 *
 *   self      one thread does everything
 *   threads   four threads free, and end; nothing is allocated after that
 *   child     a child of a fork frees what its parent allocated
 *   again     the same twice, with the second peak after the first rest
 *   busy      the peak comes back every 100 ms: few page faults
 *   small     4 MiB come and go: the program stays single-threaded
 */
#include "check.h"
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define MIB (1L << 20)
#define NBLOCKS 2700000L
#define NKEPT (NBLOCKS / 14)
#define NTHREADS 4

static void *block[NBLOCKS];

static void fill(void) {
  for (long i = 0; i < NBLOCKS; i++) {
    if (block[i]) continue;
    size_t n = (size_t)(100 + i % 97);
    block[i] = malloc(n);
    if (!block[i]) _exit(2);
    memset(block[i], 1, n);
  }
}

static void free_range(long from, long to) {
  for (long i = from < NKEPT ? NKEPT : from; i < to; i++) {
    free(block[i]);
    block[i] = NULL;
  }
}

static void *free_quarter(void *arg) {
  long k = (long)(intptr_t)arg;
  free_range(k * NBLOCKS / NTHREADS, (k + 1) * NBLOCKS / NTHREADS);
  return NULL;
}

static void free_in_threads(void) {
  pthread_t t[NTHREADS];
  for (long k = 0; k < NTHREADS; k++)
    pthread_create(&t[k], NULL, free_quarter, (void *)(intptr_t)k);
  for (int k = 0; k < NTHREADS; k++) pthread_join(t[k], NULL);
}

static void pause_ms(long ms) {
  struct timespec left = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&left, &left) != 0) continue;
}

/* A loaded machine runs the library's thread late: it gets more time before the
 * answer counts as no. */
static void expect_resident(long limit, long ms, const char *when) {
  long got = 0;
  for (int i = 0; i < 4; i++) {
    pause_ms(ms);
    got = check_resident();
    if (got <= limit) break;
  }
  CHECK(got <= limit, "%s: %ld MiB resident", when, got / MIB);
}

static int count_threads(void) {
  char line[200];
  int n = 0;
  FILE *f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "Threads: %d", &n) == 1) break;
  if (f) fclose(f);
  return n;
}

static void check_busy(void) {
  struct rusage before, after;
  enum { ROUNDS = 30 };
  static void *b[200];
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < 200; i++) memset(b[i] = malloc(MIB), 1, MIB);
    if (round == 0) getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < 200; i++) free(b[i]);
    pause_ms(100);
  }
  getrusage(RUSAGE_SELF, &after);
  long faults = after.ru_minflt - before.ru_minflt;
  /* Once through the memory is 51,200. */
  CHECK(faults < ROUNDS / 3 * 51200L, "%ld faults", faults);
}

static void check_small(void) {
  for (int round = 0; round < 20; round++) {
    void *b[64];
    for (int i = 0; i < 64; i++) memset(b[i] = malloc(65536), 1, 65536);
    for (int i = 0; i < 64; i++) free(b[i]);
  }
  pause_ms(50);
  CHECK(count_threads() == 1, "%d threads", count_threads());
}

static int in_child(void) {
  pid_t pid = fork();
  int status = 1;
  if (pid == 0) return 0;
  waitpid(pid, &status, 0);
  _exit(status != 0);
}

int main(int argc, char **argv) {
  const char *kind = argc > 1 ? argv[1] : "self";
  long ms = argc > 2 ? atol(argv[2]) * 1000 : 1000;
  check_begin();
  if (strcmp(kind, "busy") == 0) {
    check_busy();
    return check_end();
  }
  if (strcmp(kind, "small") == 0) {
    check_small();
    return check_end();
  }
  long begin = check_resident();
  fill();
  if (strcmp(kind, "child") == 0) in_child();
  CHECK(check_resident() > 380 * MIB, "the peak");
  if (strcmp(kind, "threads") == 0)
    free_in_threads();
  else
    free_range(0, NBLOCKS);
  /* The table of pointers is 21 MiB. */
  long table = (long)sizeof block;
  expect_resident(begin + table + 60 * MIB, ms, "after the peak");
  if (strcmp(kind, "again") == 0) {
    fill();
    free_range(0, NBLOCKS);
    expect_resident(begin + table + 60 * MIB, ms, "after the second peak");
  }
  for (long i = 0; i < NKEPT; i++)
    CHECK(((char *)block[i])[99] == 1, "block %ld", i);
  return check_end();
}
