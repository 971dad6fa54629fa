// SPDX-License-Identifier: MIT
/*
 * Asks itself for reports while threads allocate and free: leaks_live TIMES LEAK.
 * With LEAK 1 it leaks a block of 4,000 bytes before. One thread blocks all signals
 * and sleeps.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define HELD 64

static int stop;
static void *volatile sink;

static void *churn(void *arg) {
  unsigned seed = (unsigned)(size_t)arg;
  void *held[HELD] = {0};
  while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
    int i = rand_r(&seed) % HELD;
    free(held[i]);
    held[i] = malloc((size_t)(rand_r(&seed) % 2000 + 1));
    memset(held[i], 1, 1);
  }
  for (int i = 0; i < HELD; i++) free(held[i]);
  return NULL;
}

static void *deaf(void *arg) {
  sigset_t all;
  char *volatile mine = malloc(3000);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
  strcpy(mine, "deaf thread's");
  while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) usleep(20000);
  free(mine);
  return arg;
}

static void leak(void) {
  char *p = malloc(4000);
  strcpy(p, "live leak");
  sink = p;
  sink = NULL;
}

/* Overwrites what the frames of earlier calls have left. */
static void wipe(void) {
  volatile char below[20000];
  for (size_t i = 0; i < sizeof below; i++) below[i] = 0;
}

int main(int argc, char **argv) {
  int times = argc > 1 ? atoi(argv[1]) : 1;
  pthread_t t[THREADS + 1];
  if (argc > 2 && argv[2][0] == '1') leak();
  wipe();
  for (size_t i = 0; i < THREADS; i++)
    pthread_create(&t[i], NULL, churn, (void *)i);
  pthread_create(&t[THREADS], NULL, deaf, NULL);
  usleep(50000);
  for (int i = 0; i < times; i++) {
    kill(getpid(), SIGUSR1);
    usleep(100000);
  }
  usleep(700000);
  /* The report's helper is no child that the program can see. */
  if (waitpid(-1, NULL, WNOHANG) != -1) return 1;
  __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
  for (int i = 0; i <= THREADS; i++) pthread_join(t[i], NULL);
  printf("ok\n");
  return 0;
}
