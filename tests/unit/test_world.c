// SPDX-License-Identifier: MIT
/* Stopping the world: every kind of thread stands still, none is lost, and what
 * it held is where it can be scanned. */
#include "alloc/init.h"
#include "gc/state.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <mallocgc.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static struct heap *heap(void) {
  mgc_collect();
  return heap_default();
}

#define SPINNERS 4
static _Atomic bool stop;
static _Atomic uint64_t turns[SPINNERS];
static sem_t ready;

static void *spin(void *arg) {
  _Atomic uint64_t *mine = arg;
  cr_assert(mgc_thread_attach());
  sem_post(&ready);
  while (!stop) {
    (*mine)++;
#ifdef __SANITIZE_THREAD__
    usleep(1); /* signals are delivered in such calls */
#endif
  }
  return NULL;
}

/* While the world stands nobody makes progress; afterwards everybody does. */
Test(world, running_threads_stand_still) {
  pthread_t t[SPINNERS];
  struct heap *h = heap();
  sem_init(&ready, 0, 0);
  for (int i = 0; i < SPINNERS; i++)
    pthread_create(&t[i], NULL, spin, &turns[i]);
  for (int i = 0; i < SPINNERS; i++) sem_wait(&ready);
  for (int round = 0; round < 50; round++) {
    uint64_t before[SPINNERS];
    gc_stop_world(h);
    for (int i = 0; i < SPINNERS; i++) before[i] = turns[i];
    for (int i = 0; i < 1000; i++) sched_yield();
    for (int i = 0; i < SPINNERS; i++) cr_assert_eq(turns[i], before[i]);
    gc_start_world(h);
    for (int i = 0; i < SPINNERS; i++)
      while (turns[i] == before[i]) sched_yield();
  }
  stop = true;
  for (int i = 0; i < SPINNERS; i++) pthread_join(t[i], NULL);
}

/* A foreign thread too: it never calls the library. */
static void *spin_foreign(void *arg) {
  _Atomic uint64_t *mine = arg;
  sem_post(&ready);
  while (!stop) {
    (*mine)++;
    usleep(10);
  }
  return NULL;
}

Test(world, foreign_threads_stand_still) {
  pthread_t t;
  struct gc_stats s;
  struct heap *h = heap();
  gc_read_stats(h, &s);
  sem_init(&ready, 0, 0);
  pthread_create(&t, NULL, spin_foreign, &turns[0]);
  sem_wait(&ready);
  for (int round = 0; round < 20; round++) {
    gc_stop_world(h);
    uint64_t before = turns[0];
    usleep(2000);
    uint64_t after = turns[0];
    gc_start_world(h);
    if (!MGC_TSAN) cr_assert_eq(after, before);
  }
  mgc_collect();
  gc_read_stats(h, &s);
  cr_assert_geq(s.threads_foreign, 1);
  stop = true;
  pthread_join(t, NULL);
}

/* A foreign thread that blocks the signal does not hold up a stop for long. */
static void *spin_deaf(void *arg) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
  return spin_foreign(arg);
}

static double now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

Test(world, deaf_foreign_thread_is_passed_over) {
  pthread_t t;
  struct gc_stats s;
  struct heap *h = heap();
  mgc_collect();
  gc_read_stats(h, &s);
  uint32_t others = s.threads_skipped; /* the test framework's */
  sem_init(&ready, 0, 0);
  pthread_create(&t, NULL, spin_deaf, &turns[0]);
  sem_wait(&ready);
  mgc_collect(); /* waits a little, and learns */
  double start = now();
  for (int i = 0; i < 20; i++) mgc_collect();
  cr_assert_lt(now() - start, MGC_TSAN ? 10 : 2);
  gc_read_stats(h, &s);
  cr_assert_eq(s.threads_skipped, others + 1);
  stop = true;
  pthread_join(t, NULL);
  /* It took the late signals without harm, and is not met any more. */
  mgc_collect();
  gc_read_stats(h, &s);
  cr_assert_eq(s.threads_skipped, others);
}

/* A blocking region is left only when the world runs again. */
static _Atomic int phase;

static void *block_and_leave(void *arg) {
  (void)arg;
  mgc_thread_attach();
  mgc_blocking_begin();
  mgc_blocking_begin(); /* nests */
  sem_post(&ready);
  while (phase == 0) usleep(100); /* runs on during the stop */
  mgc_blocking_end();
  phase = 2;
  mgc_blocking_end();
  phase = 3;
  return NULL;
}

Test(world, blocked_thread_runs_on_but_cannot_leave) {
  pthread_t t;
  struct heap *h = heap();
  sem_init(&ready, 0, 0);
  pthread_create(&t, NULL, block_and_leave, NULL);
  sem_wait(&ready);
  gc_stop_world(h);
  phase = 1;
  while (phase != 2) sched_yield();
  for (int i = 0; i < 1000; i++) sched_yield();
  cr_assert_eq(phase, 2, "left the region in a stopped world");
  gc_start_world(h);
  pthread_join(t, NULL);
  cr_assert_eq(phase, 3);
}

/* Inside the allocator the stop waits for the thread to leave it. */
static void *stay_inside(void *arg) {
  (void)arg;
  mgc_thread_attach();
  struct thread *t = thread_self;
  thread_enter(t);
  sem_post(&ready);
  double end = now() + 0.05;
  while (now() < end) turns[0]++;
  phase = 1;
  thread_leave(t);
  return NULL;
}

Test(world, stop_waits_for_who_is_in_the_allocator) {
  pthread_t t;
  struct heap *h = heap();
  sem_init(&ready, 0, 0);
  pthread_create(&t, NULL, stay_inside, NULL);
  sem_wait(&ready);
  gc_stop_world(h);
  cr_assert_eq(phase, 1);
  gc_start_world(h);
  pthread_join(t, NULL);
}

/* An attached thread that blocks all signals stops when it next allocates. */
static void *allocate_deaf(void *arg) {
  sigset_t all;
  (void)arg;
  mgc_thread_attach();
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
  sem_post(&ready);
  while (!stop) {
    void *volatile p = mgc_alloc(40);
    (void)p;
  }
  return NULL;
}

Test(world, attached_thread_that_blocks_signals_stops_in_the_allocator) {
  pthread_t t[2];
  heap();
  sem_init(&ready, 0, 0);
  for (int i = 0; i < 2; i++) pthread_create(&t[i], NULL, allocate_deaf, NULL);
  for (int i = 0; i < 2; i++) sem_wait(&ready);
  for (int i = 0; i < 30; i++) mgc_collect();
  stop = true;
  for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
}

/* errno and interrupted calls: a stop is not seen. */
static void *check_errno(void *arg) {
  (void)arg;
  mgc_thread_attach();
  sem_post(&ready);
  while (!stop) {
    errno = 4711;
    for (volatile int i = 0; i < 1000; i++) {
    }
#ifdef __SANITIZE_THREAD__
    sched_yield();
#endif
    if (errno != 4711) phase = 1;
  }
  return NULL;
}

Test(world, errno_is_preserved) {
  pthread_t t;
  heap();
  sem_init(&ready, 0, 0);
  pthread_create(&t, NULL, check_errno, NULL);
  sem_wait(&ready);
  for (int i = 0; i < 200; i++) mgc_collect();
  stop = true;
  pthread_join(t, NULL);
  cr_assert_eq(phase, 0);
}

/* A program takes our signal away: another one is used. */
static void on_theirs(int signo) { (void)signo; }

Test(world, program_takes_the_signal) {
  pthread_t t;
  struct heap *h = heap();
  int signo = gc_of(h)->world.signo;
  sem_init(&ready, 0, 0);
  pthread_create(&t, NULL, spin, &turns[0]);
  sem_wait(&ready);
  signal(signo, on_theirs);
  mgc_collect();
  cr_assert_neq(gc_of(h)->world.signo, signo);
  mgc_collect();
  stop = true;
  pthread_join(t, NULL);
}

/* --- many threads --- */

/* The design's figures are for a thousand: below 0.2 ms blocked, 15 ms sleeping. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MANY 300
#else
#define MANY 1000
#endif
static sem_t go;

static void *wait_attached(void *arg) {
  mgc_thread_attach();
  if (arg) mgc_blocking_begin();
  sem_post(&ready);
  while (sem_wait(&go) != 0) {
  }
  if (arg) mgc_blocking_end();
  return NULL;
}

static double stop_time(struct heap *h) {
  double best = 1;
  for (int i = 0; i < 10; i++) {
    double start = now();
    gc_stop_world(h);
    gc_start_world(h);
    double took = now() - start;
    if (took < best) best = took;
  }
  return best;
}

static void with_many(bool blocking) {
  static pthread_t t[MANY];
  struct heap *h = heap();
  struct gc_stats s;
  sem_init(&ready, 0, 0);
  sem_init(&go, 0, 0);
  for (int i = 0; i < MANY; i++)
    cr_assert_eq(
        pthread_create(&t[i], NULL, wait_attached, blocking ? (void *)1 : NULL),
        0);
  for (int i = 0; i < MANY; i++) sem_wait(&ready);
  fprintf(stderr, "stop of %d %s threads: %.0f us\n", MANY,
          blocking ? "blocked" : "sleeping", stop_time(h) * 1e6);
  mgc_collect();
  gc_read_stats(h, &s);
  cr_assert_geq(s.threads_stopped, MANY);
  for (int i = 0; i < MANY; i++) sem_post(&go);
  for (int i = 0; i < MANY; i++) pthread_join(t[i], NULL);
  mgc_collect();
  gc_read_stats(h, &s);
  cr_assert_lt(s.threads_stopped, MANY / 2);
}

Test(world, many_sleeping_threads) { with_many(false); }
Test(world, many_blocked_threads) { with_many(true); }
