// SPDX-License-Identifier: MIT
/*
 * 400 forks from a program with 8 threads that are busy in malloc. Each child
 * allocates, frees, frees what other threads had allocated before the fork, starts
 * threads, and some fork again. A child that does not end in time was stuck on a
 * lock that the fork left held.
 */
#include "check.h"
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

enum { THREADS = 8, FORKS = 400, SLOTS = 256, AT_ONCE = 4, CHILD_SECONDS = 30 };

/* Blocks that threads hand over to whoever frees them. */
static void *shared[SLOTS];
static int stop;

static size_t random_size(uint64_t r) {
  return r % 100 == 0 ? r >> 8 & 0xfffff : r >> 8 & 0x7ff;
}

static void step(uint64_t *seed) {
  uint64_t r = check_random(seed);
  size_t n = random_size(r);
  unsigned char *b = r & 1 ? malloc(n) : calloc(1, n);
  if (b && n) b[0] = b[n - 1] = (unsigned char)n;
  free(
      __atomic_exchange_n(&shared[r >> 40 & (SLOTS - 1)], b, __ATOMIC_ACQ_REL));
}

static void *busy(void *arg) {
  uint64_t seed = (uintptr_t)arg * 77 + 1;
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) step(&seed);
  return NULL;
}

static void *in_child(void *arg) {
  uint64_t seed = (uintptr_t)arg + 5;
  for (int i = 0; i < 300; i++) step(&seed);
  return NULL;
}

static void child(int number) {
  pthread_t t[2];
  void *mine[200];
  alarm(CHILD_SECONDS);
  for (int i = 0; i < 200; i++) mine[i] = malloc((size_t)i * 17);
  for (int i = number % 2; i < SLOTS; i += 2) {
    free(shared[i]);
    shared[i] = NULL;
  }
  for (int i = 0; i < 200; i++) free(mine[i]);
  for (uintptr_t i = 0; i < 2; i++)
    if (pthread_create(&t[i], NULL, in_child, (void *)i) != 0) _exit(3);
  for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
  if (number % 20 == 0) {
    int status = -1;
    pid_t grandchild = fork();
    if (grandchild == 0) {
      alarm(CHILD_SECONDS);
      free(realloc(malloc(100), 100000));
      malloc_trim(0);
      _exit(0);
    }
    waitpid(grandchild, &status, 0);
    if (status != 0) _exit(4);
  }
  if (number % 50 == 0) exit(0); /* with its handlers */
  _exit(0);
}

static void reap(int *running) {
  int status;
  if (waitpid(-1, &status, 0) < 0) return;
  --*running;
  CHECK(!WIFSIGNALED(status), "signal %d%s", WTERMSIG(status),
        WTERMSIG(status) == SIGALRM ? ": the child hung" : "");
  CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0, "status %d",
        WEXITSTATUS(status));
}

int main(void) {
  pthread_t t[THREADS];
  int running = 0;
  check_begin();
  alarm(100); /* the parent may hang in fork as well */
  for (uintptr_t i = 0; i < THREADS; i++)
    CHECK(pthread_create(&t[i], NULL, busy, (void *)i) == 0, "thread");
  for (int i = 0; i < FORKS && !check_failures; i++) {
    pid_t pid = fork();
    if (pid == 0) child(i);
    CHECK(pid > 0, "fork: %d", errno);
    running++;
    if (running == AT_ONCE) reap(&running);
  }
  while (running) reap(&running);
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  for (int i = 0; i < SLOTS; i++) free(shared[i]);
  return check_end();
}
