// SPDX-License-Identifier: MIT
#include "base/fatal.h"
#include "base/lock.h"
#include "support/child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

static int64_t now_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000000000l + ts.tv_nsec;
}

struct counter {
  struct mutex lock;
  long value; /* guarded by lock, and plain: ThreadSanitizer judges */
  long busy;  /* guarded by lock: threads inside */
};

#define THREADS 4
#define ROUNDS 20000

static void *count_up(void *arg) {
  struct counter *c = arg;
  for (int i = 0; i < ROUNDS; i++) {
    mutex_lock(&c->lock);
    mgc_check(c->busy++ == 0, "two threads inside");
    c->value++;
    c->busy--;
    mutex_unlock(&c->lock);
  }
  return NULL;
}

Test(lock, contended_increments_are_all_kept) {
  struct counter c = {.lock = MUTEX_INIT(leaf)};
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    pthread_create(&threads[i], NULL, count_up, &c);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  cr_assert_eq(c.value, (long)THREADS * ROUNDS);
  cr_assert_eq(atomic_u32_load_relaxed(&c.lock.state), 0);
}

static void *lock_and_add(void *arg) {
  struct counter *c = arg;
  mutex_lock(&c->lock);
  c->value++;
  mutex_unlock(&c->lock);
  return NULL;
}

Test(lock, waiters_sleep_and_are_all_woken) {
  struct counter c = {.lock = MUTEX_INIT(leaf)};
  pthread_t threads[THREADS];
  mutex_lock(&c.lock);
  for (int i = 0; i < THREADS; i++)
    pthread_create(&threads[i], NULL, lock_and_add, &c);
  while (atomic_u32_load_relaxed(&c.lock.state) != 2) sched_yield();
  usleep(20000); /* the rest go to sleep, too */
  cr_assert_eq(c.value, 0);
  mutex_unlock(&c.lock);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  cr_assert_eq(c.value, THREADS);
}

Test(lock, trylock_of_a_held_lock_fails) {
  struct mutex m;
  mutex_init(&m, LOCKRANK_mheap);
  cr_assert(mutex_trylock(&m));
  cr_assert_not(mutex_trylock(&m));
  mutex_unlock(&m);
  cr_assert(mutex_trylock(&m));
  mutex_unlock(&m);
}

Test(lock, rising_ranks_in_any_order_of_release_are_fine) {
  struct mutex a = MUTEX_INIT(gc), b = MUTEX_INIT(sweep), c = MUTEX_INIT(mheap);
  mutex_lock(&a);
  mutex_lock(&b);
  mutex_lock(&c);
  assert_lock_held(&b);
  mutex_unlock(&a);
  mutex_unlock(&c);
  mutex_lock(&c); /* b alone is held */
  mutex_unlock(&b);
  mutex_unlock(&c);
  mutex_lock(&a); /* nothing is held any more */
  mutex_unlock(&a);
}

Test(lock, rank_names_are_those_of_the_list) {
  cr_assert_str_eq(lockrank_name(LOCKRANK_init), "init");
  cr_assert_str_eq(lockrank_name(LOCKRANK_leaf), "leaf");
  cr_assert_str_eq(lockrank_name(LOCKRANK_count), "?");
}

static void unlock_free(void *arg) {
  (void)arg;
  struct mutex m = MUTEX_INIT(leaf);
  mutex_unlock(&m);
}

Test(lock, unlock_of_a_free_lock_is_fatal_at_every_level) {
  struct child c = child_run(unlock_free, NULL);
  cr_assert(child_aborted(&c));
  cr_assert_not_null(strstr(c.err, "bug: lock I2: leaf"), "%s", c.err);
}

#if MGC_ASSERT_LEVEL >= 1

static void invert(void *arg) {
  (void)arg;
  struct mutex low = MUTEX_INIT(gc), high = MUTEX_INIT(mheap);
  mutex_lock(&high);
  mutex_lock(&low);
}

static void take_equal(void *arg) {
  (void)arg;
  struct mutex a = MUTEX_INIT(sweep), b = MUTEX_INIT(sweep);
  mutex_lock(&a);
  mutex_lock(&b);
}

static void take_twice(void *arg) {
  (void)arg;
  struct mutex m = MUTEX_INIT(sweep);
  mutex_lock(&m);
  mutex_lock(&m);
}

static void below_tried(void *arg) {
  (void)arg;
  struct mutex low = MUTEX_INIT(gc), high = MUTEX_INIT(mheap);
  mgc_check(mutex_trylock(&high), "free");
  mutex_lock(&low);
}

static void assert_unheld(void *arg) {
  (void)arg;
  struct mutex m = MUTEX_INIT(mheap);
  assert_lock_held(&m);
}

static void *unlock_it(void *arg) {
  mutex_unlock(arg);
  return NULL;
}

static void unlock_elsewhere(void *arg) {
  (void)arg;
  struct mutex m = MUTEX_INIT(mheap);
  pthread_t thread;
  mutex_lock(&m);
  pthread_create(&thread, NULL, unlock_it, &m);
  pthread_join(thread, NULL);
}

Test(lock, misuse_is_fatal_and_names_the_locks) {
  static const struct {
    void (*fn)(void *arg);
    const char *text;
  } cases[] = {
      {invert, "bug: lock I1: gc taken while holding mheap"},
      {take_equal, "bug: lock I1: sweep taken while holding sweep"},
      {take_twice, "bug: lock I1: sweep taken twice"},
      {below_tried, "bug: lock I1: gc taken while holding mheap"},
      {assert_unheld, "bug: lock: mheap must be held"},
      {unlock_elsewhere, "bug: lock I2: mheap is not held by this thread"},
  };
  for (size_t i = 0; i < array_len(cases); i++) {
    struct child c = child_run(cases[i].fn, NULL);
    cr_assert(child_aborted(&c), "case %zu: status 0x%x", i, c.status);
    cr_assert_not_null(strstr(c.err, cases[i].text), "%s", c.err);
  }
}

Test(lock, rank_inversion_aborts, .signal = SIGABRT) { invert(NULL); }

Test(lock, trylock_may_take_a_lower_rank) {
  struct mutex low = MUTEX_INIT(gc), high = MUTEX_INIT(mheap);
  mutex_lock(&high);
  cr_assert(mutex_trylock(&low));
  assert_lock_held(&low);
  mutex_unlock(&low);
  mutex_unlock(&high);
}

#endif

Test(lock, futex_wait_returns_at_once_on_another_value) {
  struct atomic_u32 word = {7};
  errno = EBADMSG;
  futex_wait(&word, 6, -1);
  cr_assert_eq(errno, EBADMSG);
}

Test(lock, futex_wait_ends_at_its_timeout) {
  struct atomic_u32 word = {7};
  int64_t begin = now_ns();
  errno = EBADMSG;
  futex_wait(&word, 7, 30000000);
  cr_assert_geq(now_ns() - begin, 29000000);
  cr_assert_eq(errno, EBADMSG);
}

static void *set_and_wake(void *arg) {
  struct atomic_u32 *word = arg;
  usleep(10000);
  atomic_u32_store_release(word, 1);
  futex_wake(word, 1);
  return NULL;
}

Test(lock, futex_wake_ends_a_wait) {
  struct atomic_u32 word = {0};
  pthread_t thread;
  pthread_create(&thread, NULL, set_and_wake, &word);
  while (!atomic_u32_load_acquire(&word)) futex_wait(&word, 0, -1);
  pthread_join(thread, NULL);
}
