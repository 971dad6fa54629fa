// SPDX-License-Identifier: MIT
/* A program that allocates what its first argument says, without stdio, whose
 * buffers would be counted too. test_run.py knows the figures. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SMALL = 1000, LARGE = 3, THREADS = 4, EACH = 500 };

static void *volatile small[SMALL];
static void *volatile large[LARGE];
static void *volatile shared[THREADS][EACH];

static void say(int fd, const char *text) {
  if (write(fd, text, strlen(text)) < 0) _exit(99);
}

static void *must(size_t n) {
  char *p = malloc(n);
  if (!p) _exit(98);
  memset(p, 1, n);
  return p;
}

/* 600 of 100 bytes and 2 of 1 MiB stay; 8 MiB more at the peak. */
static void figures(void) {
  for (int i = 0; i < SMALL; i++) small[i] = must(100);
  for (int i = 0; i < LARGE; i++) large[i] = must(1 << 20);
  void *peak = must(8 << 20);
  for (int i = 0; i < 400; i++) free(small[2 * i]);
  free(large[1]);
  free(peak);
}

/* Something of every size class. */
static void classes(void) {
  for (size_t n = 16; n <= 32768; n += n < 1024 ? 16 : 128) must(n);
}

/* Says that it is ready and waits for the end of its input. */
static void rest(void) {
  char c;
  say(1, "ready\n");
  while (read(0, &c, 1) > 0) continue;
}

static void *fill(void *arg) {
  void *volatile *mine = arg;
  for (int i = 0; i < EACH; i++) mine[i] = must(1500);
  return NULL;
}

/* Each thread's blocks are freed in part by another one; 4 * 400 stay. */
static void threads(void) {
  pthread_t t[THREADS];
  for (int i = 0; i < THREADS; i++)
    pthread_create(&t[i], NULL, fill, (void *)shared[i]);
  for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  for (int i = 0; i < THREADS; i++)
    for (int k = 0; k < 100; k++) free(shared[i][5 * k]);
}

static atomic_bool stop;
static atomic_int running;

static void *churn(void *arg) {
  void *p[64] = {0};
  unsigned x = (unsigned)(size_t)arg + 1;
  p[0] = must(16);
  atomic_fetch_add(&running, 1);
  while (!atomic_load(&stop)) {
    x = x * 1664525u + 1013904223u;
    unsigned i = x >> 26;
    free(p[i]);
    p[i] = malloc(16 + (x >> 8) % 3000);
  }
  for (int i = 0; i < 64; i++) free(p[i]);
  return NULL;
}

/* Allocates in three threads until its input ends. Signals go to them. */
static void storm(void) {
  pthread_t t[3];
  sigset_t usr2;
  for (size_t i = 0; i < 3; i++) pthread_create(&t[i], NULL, churn, (void *)i);
  while (atomic_load(&running) < 3) usleep(1000);
  sigemptyset(&usr2);
  sigaddset(&usr2, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &usr2, NULL);
  rest();
  atomic_store(&stop, 1);
  for (size_t i = 0; i < 3; i++) pthread_join(t[i], NULL);
}

static void mine(int signo) {
  (void)signo;
  say(1, "mine\n");
}

/* A file of data gets the number that standard error had. */
static void reuse_stderr(const char *path) {
  close(2);
  if (open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) != 2) _exit(97);
  say(2, "data\n");
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  figures();
  if (strcmp(what, "wait") == 0) rest();
  if (strcmp(what, "classes") == 0) classes();
  if (strcmp(what, "closed") == 0) close(2);
  if (strcmp(what, "reused") == 0) reuse_stderr(argv[2]);
  if (strcmp(what, "threads") == 0) {
    threads();
    rest();
  }
  if (strcmp(what, "storm") == 0) storm();
  if (strcmp(what, "own") == 0) {
    struct sigaction act = {.sa_handler = mine, .sa_flags = SA_RESTART};
    sigaction(SIGUSR2, &act, NULL);
    rest();
  }
  if (strcmp(what, "fork") == 0) {
    if (fork() == 0) exit(0);
    wait(NULL);
  }
  if (strcmp(what, "limit") == 0) return malloc(64 << 20) ? 1 : 5;
  return 7;
}
