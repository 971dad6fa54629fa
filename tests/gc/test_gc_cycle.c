// SPDX-License-Identifier: MIT
/* What a collection does, when it happens, and what it reports. */
#include "gctest.h"
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <sys/wait.h>

TestSuite(gc_cycle, .init = test_options);

static struct mgc_memstats stats(void) {
  struct mgc_memstats ms;
  mgc_read_memstats(&ms);
  return ms;
}

struct cell {
  struct cell *next;
  uint64_t number;
};
MGC_TYPE(struct cell, next);

__attribute__((noinline)) static struct cell *make_list(uint64_t n) {
  struct cell *head = NULL;
  for (uint64_t i = 0; i < n; i++) {
    struct cell *c = mgc_new(struct cell);
    c->next = head;
    c->number = i;
    head = c;
  }
  return head;
}

__attribute__((noinline)) static void check_list(const struct cell *c,
                                                 uint64_t n) {
  for (; c; c = c->next) cr_assert_eq(c->number, --n);
  cr_assert_eq(n, 0);
}

static struct cell *volatile root;

/* On a stack of its own: a stale word on the one that asks would keep it all. */
static void *list_survives(void *arg) {
  uint64_t start = *(uint64_t *)arg;
  root = make_list(200000);
  for (int i = 0; i < 3; i++) {
    collect();
    check_list(root, 200000);
    cr_assert_geq(stats().heap_alloc, start + 200000 * 16);
  }
  root = NULL;
  return NULL;
}

Test(gc_cycle, list_survives_and_dies) {
  pthread_t t;
  collect();
  uint64_t start = stats().heap_alloc;
  cr_assert_eq(pthread_create(&t, NULL, list_survives, &start), 0);
  pthread_join(t, NULL);
  collect();
  cr_assert_lt(stats().heap_alloc, start + (64 << 10));
  cr_assert_eq(stats().heap_marked, stats().heap_live);
}

Test(gc_cycle, cycles_of_references_die) {
  collect();
  uint64_t start = stats().heap_objects;
  for (int i = 0; i < 1000; i++) {
    struct cell *a = make_list(10), *last = a;
    while (last->next) last = last->next;
    last->next = a;
  }
  collect();
  cr_assert_lt(stats().heap_objects, start + 200);
}

Test(gc_cycle, collect_is_counted_and_timed) {
  struct mgc_memstats a = stats();
  for (int i = 0; i < 5; i++) mgc_collect();
  struct mgc_memstats b = stats();
  cr_assert_eq(b.num_gc, a.num_gc + 5);
  cr_assert_eq(b.num_forced_gc, a.num_forced_gc + 5);
  cr_assert_gt(b.pause_total_ns, a.pause_total_ns);
  uint64_t sum = 0;
  for (uint32_t i = a.num_gc; i < b.num_gc; i++) {
    sum += b.pause_ns[i % MGC_PAUSE_RING];
    cr_assert_gt(b.pause_ns[i % MGC_PAUSE_RING], 0);
    cr_assert_gt(b.pause_end[i % MGC_PAUSE_RING], 1600000000000000000u);
  }
  cr_assert_eq(sum, b.pause_total_ns - a.pause_total_ns);
  cr_assert_eq(b.last_gc, b.pause_end[(b.num_gc - 1) % MGC_PAUSE_RING]);
  cr_assert_gt(b.gc_cpu_fraction, 0.0);
  cr_assert_leq(b.gc_cpu_fraction, 1.0);
}

Test(gc_cycle, pause_ring_wraps) {
  for (int i = 0; i < 300; i++) mgc_collect();
  struct mgc_memstats ms = stats();
  cr_assert_geq(ms.num_gc, 300);
  uint64_t newest = ms.pause_end[(ms.num_gc + 255) % MGC_PAUSE_RING];
  for (int i = 0; i < MGC_PAUSE_RING; i++)
    cr_assert_leq(ms.pause_end[i], newest);
}

__attribute__((noinline)) static void churn(size_t bytes) {
  for (size_t done = 0; done < bytes; done += 4096) {
    char *volatile p = mgc_new_noscan(4000);
    p[0] = 1;
  }
}

Test(gc_cycle, percentage_decides_when) {
  const char *options = getenv("MALLOCGC_OPTIONS");
  if (options && strstr(options, "gc_every"))
    cr_skip_test("gc_every collects whatever the percentage");
  cr_assert_eq(mgc_set_gc_percent(-1), 100);
  uint32_t before = stats().num_gc;
  churn(64 << 20);
  cr_assert_eq(stats().num_gc, before, "collected although it is off");
  cr_assert_not(stats().enable_gc);
  cr_assert_eq(mgc_set_gc_percent(100), -1);
  churn(64 << 20);
  uint32_t at100 = stats().num_gc - before;
  cr_assert_gt(at100, 0);
  cr_assert_eq(mgc_set_gc_percent(25), 100);
  collect();
  before = stats().num_gc;
  churn(64 << 20);
  /* Cycles beside the program may still be under way. */
  if (!options || !strstr(options, "gcmode"))
    cr_assert_gt(stats().num_gc - before, at100);
}

Test(gc_cycle, memory_limit_collects_without_a_percentage) {
  mgc_set_gc_percent(-1);
  cr_assert_eq(mgc_set_memory_limit(-1), INT64_MAX);
  cr_assert_eq(mgc_set_memory_limit(48 << 20), INT64_MAX);
  cr_assert_eq(mgc_set_memory_limit(-1), 48 << 20);
  churn(256 << 20);
  struct mgc_memstats ms = stats();
  cr_assert_gt(ms.num_gc, 3);
  cr_assert_lt(ms.heap_inuse, 48 << 20);
}

Test(gc_cycle, gc_every_collects_often, .init = NULL) {
  setenv("MALLOCGC_OPTIONS", "gc_every=10,clobber_free=1", 1);
  root = make_list(100000);
  check_list(root, 100000);
  cr_assert_gt(stats().num_gc, 15);
}

/* --- callers at the same time --- */

#define CALLERS 6
static _Atomic uint64_t generation;

__attribute__((noinline)) static void make_dead(struct hidden *h) {
  void *slots[BATCH];
  fill(slots, h);
}

static void *call_collect(void *arg) {
  (void)arg;
  for (int i = 0; i < 30; i++) {
    struct hidden h;
    make_dead(&h);
    /* What is dead before the call is swept when it returns, whoever did it. */
    collect();
    if (count_alive(&h) <= MAY_STAY) generation++;
  }
  return NULL;
}

Test(gc_cycle, each_caller_gets_a_cycle_that_began_after_its_call,
     .init = NULL) {
  setenv("MALLOCGC_OPTIONS", "clobber_free=1", 1);
  pthread_t t[CALLERS];
  for (int i = 0; i < CALLERS; i++)
    pthread_create(&t[i], NULL, call_collect, NULL);
  for (int i = 0; i < CALLERS; i++) pthread_join(t[i], NULL);
  cr_assert_geq(generation, CALLERS * 30 * 95 / 100, "%lu",
                (unsigned long)generation);
  cr_assert_leq(stats().num_forced_gc, CALLERS * 30);
}

/* --- fork --- */

/* ThreadSanitizer ends a forked child that starts a thread. */
#ifndef __SANITIZE_THREAD__

static void child_works(void) {
  check_list(root, 50000);
  struct cell *volatile more = make_list(100000);
  mgc_collect();
  check_list(root, 50000);
  check_list(more, 100000);
  root = NULL;
  mgc_collect();
  pthread_t t;
  if (pthread_create(&t, NULL, call_collect, NULL) != 0) _exit(3);
  pthread_join(t, NULL);
  _exit(generation > 0 ? 0 : 4);
}

#define ALLOCATORS 4
static _Atomic bool stop_allocating;
static _Atomic int allocating;

/* The C library's locks are taken too; not under AddressSanitizer, whose malloc
 * hangs in a child forked while another thread was inside it. */
static void take_malloc_lock(void) {
#ifndef __SANITIZE_ADDRESS__
  free(malloc(100));
#endif
}

static void *allocate_all_the_time(void *arg) {
  (void)arg;
  allocating++;
  while (!stop_allocating) {
    struct cell *volatile l = make_list(100);
    churn(64 << 10);
    take_malloc_lock();
    check_list(l, 100);
  }
  return NULL;
}

Test(gc_cycle, forked_child_allocates_and_collects, .init = NULL) {
  setenv("MALLOCGC_OPTIONS", "clobber_free=1", 1);
  pthread_t t[ALLOCATORS];
  root = make_list(50000);
  for (int i = 0; i < ALLOCATORS; i++)
    pthread_create(&t[i], NULL, allocate_all_the_time, NULL);
  /* Threads that start, the program's and the library's, call malloc. */
  while (allocating < ALLOCATORS) usleep(100);
  collect();
  for (int i = 0; i < 20; i++) {
    int status = -1;
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) child_works();
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status), "signal %d", WTERMSIG(status));
    cr_assert_eq(WEXITSTATUS(status), 0, "status %d", WEXITSTATUS(status));
    if (i % 5 == 0) collect();
  }
  stop_allocating = true;
  for (int i = 0; i < ALLOCATORS; i++) pthread_join(t[i], NULL);
  check_list(root, 50000);
}

Test(gc_cycle, forked_by_a_thread_that_never_called_us) {
  /* The heap exists, main is attached; the forking thread is not. */
  root = make_list(50000);
  pid_t pid = fork();
  if (pid == 0) child_works();
  int status = -1;
  cr_assert_eq(waitpid(pid, &status, 0), pid);
  cr_assert_eq(status, 0);
}

#endif
