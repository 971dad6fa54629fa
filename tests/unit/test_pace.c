// SPDX-License-Identifier: MIT
/*
 * Pacing in the running collector: that allocation pays while marking goes on, that it
 * is never held up for long, and what a heap comes to with several threads at it.
 */
#include "os/clock.h"
#include "support/heldcycle.h"
#include <criterion/criterion.h>
#include <mallocgc.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

TestSuite(pace, .timeout = 60);

#define MS 1000000
#define KIB 1024
#define MIB (1024 * KIB)

struct node {
  struct node *left, *right;
};
MGC_TYPE(struct node, left, right);

static struct node *volatile root;

static struct pace *pace(void) { return &gc()->pace; }

static uint32_t cycles(void) {
  struct mgc_memstats s;
  mgc_read_memstats(&s);
  return s.num_gc;
}

static struct node *tree(int depth) {
  struct node *n = mgc_new(struct node);
  if (depth > 0) {
    mgc_store(&n->left, tree(depth - 1));
    mgc_store(&n->right, tree(depth - 1));
  }
  return n;
}

static void begin(const char *options) {
  setenv("MALLOCGC_OPTIONS", options, 1);
  root = mgc_new(struct node);
  cr_assert(mgc_use_barriers());
}

/* --- a cycle that does not mark --- */

static int64_t allocate(size_t bytes, size_t each) {
  int64_t start = clock_nanotime(), longest = 0, now;
  for (size_t n = 0; n < bytes; n += each, start = now) {
    if (!mgc_new_noscan(each)) abort();
    now = clock_nanotime();
    if (now - start > longest) longest = now - start;
  }
  return longest;
}

Test(pace, a_debt_that_nobody_can_pay_is_carried_over) {
  begin("");
  root = tree(10);
  open_cycle();
  int64_t begin_ns = clock_nanotime();
  int64_t longest = allocate(256 * KIB, 1024);
  int64_t all = clock_nanotime() - begin_ns;
  cr_assert_lt(thread_self->account.bytes, -100 * KIB, "the debt is gone");
  cr_assert_gt(all, 5 * MS, "allocation was not slowed down");
  /* Half a millisecond each time; the machine may be busy. */
  cr_assert_lt(longest, 100 * MS, "%lld ns", (long long)longest);
  cr_assert_eq(atomic_u32_load_relaxed(&pace()->nwaiting), 0);
  close_cycle();
  /* With the cycle the debt ends. */
  open_cycle();
  allocate(32 * KIB, 1024);
  cr_assert_gt(thread_self->account.bytes, -64 * KIB, "%lld",
               (long long)thread_self->account.bytes);
  close_cycle();
}

static void *wait_in_queue(void *arg) {
  allocate(64 * KIB, 1024);
  atomic_u32_store_release((struct atomic_u32 *)arg, 1);
  return NULL;
}

Test(pace, who_waits_is_let_go_when_the_cycle_ends) {
  begin("");
  root = tree(12);
  struct atomic_u32 done[8] = {0};
  pthread_t t[8];
  open_cycle();
  for (int i = 0; i < 8; i++)
    cr_assert_eq(pthread_create(&t[i], NULL, wait_in_queue, &done[i]), 0);
  while (atomic_u32_load_relaxed(&pace()->nwaiting) == 0) usleep(50);
  close_cycle();
  for (int i = 0; i < 8; i++) pthread_join(t[i], NULL);
  cr_assert_eq(atomic_u32_load_relaxed(&pace()->nwaiting), 0);
  cr_assert(list_empty(&pace()->queue));
}

Test(pace, while_the_limiter_limits_nobody_pays) {
  begin("");
  root = tree(10);
  open_cycle();
  struct limiter *l = &pace()->limiter;
  thread_enter(thread_self);
  mutex_lock(&pace()->lock);
  l->fill = l->capacity;
  l->excess = INT64_MAX / 4; /* it stays full */
  limiter_tick(l, clock_nanotime());
  mutex_unlock(&pace()->lock);
  thread_leave(thread_self);
  cr_assert(limiter_limits(l));
  allocate(4 * MIB, 1024);
  cr_assert_geq(thread_self->account.bytes, 0, "a debt was not forgiven");
  cr_assert_eq(atomic_i64_load_relaxed(&pace()->assist_ns), 0);
  close_cycle();
}

/* --- work --- */

Test(pace, work_is_what_was_scanned) {
  begin("");
  root = tree(15); /* 65535 nodes */
  char *volatile text = mgc_new_noscan(3 * MIB);
  void **volatile large = mgc_new_array(void *, 20000);
  mgc_collect();
  uint64_t expected = 65535 * sizeof(struct node) + 20000 * sizeof(void *);
  cr_assert_geq(pace()->pacer.heap_scan, expected);
  cr_assert_lt(pace()->pacer.heap_scan, expected + 300 * KIB);
  cr_assert_geq(pace()->pacer.last.heap_marked, expected + 3 * MIB);
  (void)text, (void)large;
}

/* --- a heap under several threads --- */

/* A stop takes long under ThreadSanitizer. */
enum { ROUNDS = MGC_TSAN ? 10 : 60 };

static struct atomic_u32 running;
static struct atomic_u64 assisted;

static void *churn(void *arg) {
  (void)arg;
  for (int i = 0; i < ROUNDS; i++) {
    struct node *volatile t = tree(13); /* 256 KiB */
    (void)t;
  }
  atomic_u32_fetch_sub_relaxed(&running, 1);
  return NULL;
}

/* Bytes by which the heap is over a tenth more than its goal. */
static uint64_t overshoot(void) {
  thread_enter(thread_self);
  mutex_lock(&pace()->lock);
  const struct pacer *p = &pace()->pacer;
  uint64_t live = heap_live_bytes(heap_default());
  uint64_t most = p->goal;
  int which;
  bool sound = pacer_verify(p, &which);
  mutex_unlock(&pace()->lock);
  thread_leave(thread_self);
  cr_assert(sound, "pacer I%d", which);
  atomic_u64_store_relaxed(
      &assisted, atomic_u64_load_relaxed(&assisted) +
                     (uint64_t)atomic_i64_load_relaxed(&pace()->assist_ns));
  most += most / 10;
  return live > most ? live - most : 0;
}

static void churn_beside(unsigned n, const char *options) {
  pthread_t t[8];
  uint64_t worst = 0, over;
  begin(options);
  root = tree(18); /* 8 MiB that stay */
  atomic_u32_store_relaxed(&running, n);
  for (unsigned i = 0; i < n; i++)
    cr_assert_eq(pthread_create(&t[i], NULL, churn, NULL), 0);
  while (atomic_u32_load_relaxed(&running) > 0) {
    if ((over = overshoot()) > worst) worst = over;
    usleep(200);
  }
  for (unsigned i = 0; i < n; i++) pthread_join(t[i], NULL);
  /* What each thread may allocate while others have the processors. */
  cr_assert_lt(worst, n * MIB + 2 * MIB, "%llu KiB over",
               (unsigned long long)worst / KIB);
  cr_assert_gt(cycles(), 0);
}

Test(pace, the_heap_stays_near_its_goal) { churn_beside(2, ""); }

Test(pace, threads_that_allocate_faster_than_one_marks_help) {
  churn_beside(8, "mark_workers=1");
  /* ThreadSanitizer slows down the program more than the marker. */
  if (!MGC_TSAN)
    cr_assert_gt(atomic_u64_load_relaxed(&assisted), 0, "nobody has helped");
}

/* --- settings, sweeping, time --- */

Test(pace, sweeping_follows_a_new_trigger) {
  begin("background_sweep=0");
  root = tree(16);
  atomic_u64_store_relaxed(&heap_default()->gc_trigger, 0);
  uint32_t before = cycles();
  while (cycles() == before) (void)tree(4);
  uint64_t slow = atomic_u64_load_relaxed(&gc()->bg.pages_per_mb);
  mgc_set_gc_percent(400);
  uint64_t slower = atomic_u64_load_relaxed(&gc()->bg.pages_per_mb);
  mgc_set_gc_percent(10);
  uint64_t faster = atomic_u64_load_relaxed(&gc()->bg.pages_per_mb);
  cr_assert_lt(slower, slow);
  cr_assert_gt(faster, slower);
}

static void expect_periodic_cycles(bool barriers) {
  setenv("MALLOCGC_OPTIONS", "gc_period_ms=20", 1);
  root = mgc_new(struct node);
  if (barriers) cr_assert(mgc_use_barriers());
  mgc_collect();
  uint32_t begun = cycles();
  while (cycles() < begun + 3) usleep(5000);
  struct mgc_memstats s;
  mgc_read_memstats(&s);
  cr_assert_eq(s.num_forced_gc, 1);
  /* Not when nothing is to be collected by itself. */
  mgc_set_gc_percent(-1);
  usleep(50000);
  begun = cycles();
  usleep(200000);
  cr_assert_leq(cycles(), begun + 1);
}

Test(pace, an_idle_program_is_collected_now_and_then) {
  expect_periodic_cycles(false);
}

Test(pace, and_so_is_one_with_barriers) { expect_periodic_cycles(true); }
