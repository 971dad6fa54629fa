// SPDX-License-Identifier: MIT
/*
 * stop_cost [THREADS ROUNDS]: how long it takes to stop so many attached threads and to
 * let them go, beside one that runs: in declared blocking regions, and in none.
 */
#include "alloc/init.h"
#include "gc/state.h"
#include "os/clock.h"

#include <mallocgc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST = 100000 };

static sem_t ready, go;
static volatile bool stop;

static void *run(void *arg) {
  (void)arg;
  mgc_thread_attach();
  sem_post(&ready);
  while (!stop) {
  }
  return NULL;
}

static void *wait_in(void *blocking) {
  mgc_thread_attach();
  if (blocking) mgc_blocking_begin();
  sem_post(&ready);
  while (sem_wait(&go) != 0) {
  }
  if (blocking) mgc_blocking_end();
  return NULL;
}

static int by_size(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static void start(pthread_t *t, void *(*fn)(void *arg), void *arg) {
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 256 << 10);
  if (pthread_create(t, &attr, fn, arg) != 0) {
    perror("pthread_create");
    exit(1);
  }
  pthread_attr_destroy(&attr);
  sem_wait(&ready);
}

static void measure(const char *what, long nthreads, long rounds,
                    void *blocking) {
  pthread_t *t = calloc((size_t)nthreads, sizeof *t);
  int64_t *ns = calloc((size_t)rounds, sizeof *ns);
  struct heap *h = heap_default();
  if (!t || !ns) exit(1);
  for (long i = 0; i < nthreads; i++) start(&t[i], wait_in, blocking);
  for (long i = 0; i < rounds; i++) {
    usleep(2000);
    int64_t begin = clock_nanotime();
    gc_stop_world(h);
    ns[i] = clock_nanotime() - begin;
    gc_start_world(h);
  }
  qsort(ns, (size_t)rounds, sizeof *ns, by_size);
  printf("%ld threads %s: %.1f us, at most %.1f\n", nthreads, what,
         (double)ns[rounds / 2] / 1e3, (double)ns[rounds - 1] / 1e3);
  for (long i = 0; i < nthreads; i++) sem_post(&go);
  for (long i = 0; i < nthreads; i++) pthread_join(t[i], NULL);
  free(t);
  free(ns);
}

int main(int argc, char **argv) {
  long nthreads = argc > 1 ? atol(argv[1]) : 1000;
  long rounds = argc > 2 ? atol(argv[2]) : 50;
  pthread_t running;
  if (nthreads < 1 || nthreads > MOST || rounds < 1) return 1;
  mgc_collect();
  sem_init(&ready, 0, 0);
  sem_init(&go, 0, 0);
  start(&running, run, NULL);
  measure("in declared blocking regions", nthreads, rounds, (void *)1);
  measure("that wait undeclared", nthreads, rounds, NULL);
  stop = true;
  pthread_join(running, NULL);
  return 0;
}
