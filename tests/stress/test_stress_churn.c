// SPDX-License-Identifier: MIT
/* Threads come and go by the thousand while others collect: attached ones, ones
 * that never allocate but hold a reference, and ones in blocking regions. */
#include "stress/stress.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <unistd.h>

static atomic_bool stop;
static atomic_uint broken;
static atomic_ulong threads;

static struct obj *new_chain(struct rng *r, unsigned n) {
  struct obj *head = NULL;
  while (n-- > 0) {
    struct obj *o = obj_new(r);
    if (o->kind != OBJ_NOSCAN) o->link[0] = head;
    head = o;
  }
  return head;
}

static void check_chain(const struct obj *o) {
  for (; o; o = o->link[0])
    if (obj_broken(o)) atomic_fetch_add(&broken, 1);
}

/* What a thread is given; only its argument refers to it. */
struct job {
  struct obj *given;
  struct obj *_Atomic *back; /* on the parent's stack */
};

static struct obj *live_briefly(struct job *job) {
  struct obj *o = job->given;
  struct rng r = rng_from((uint64_t)(uintptr_t)o);
  switch (rng_below(&r, 4)) {
  case 0: /* never calls the library */
    usleep((useconds_t)rng_below(&r, 300));
    check_chain(o);
    return o;
  case 1:
    mgc_blocking_begin();
    usleep((useconds_t)rng_below(&r, 300));
    mgc_blocking_end();
    break;
  case 2:
    mgc_thread_detach(); /* was not attached: nothing */
    break;
  }
  struct obj *mine = new_chain(&r, 20);
  check_chain(mine);
  check_chain(o);
  if (rng_chance(&r, 8)) mgc_thread_detach();
  return mine;
}

static void *child(void *arg) {
  struct job *job = arg;
  atomic_store(job->back, live_briefly(job));
  return NULL;
}

static struct job *new_job(struct rng *r, struct obj *_Atomic *back) {
  struct job *job = mgc_alloc(sizeof *job);
  if (!job) abort();
  job->given = new_chain(r, 5);
  job->back = back;
  return job;
}

/* A sanitizer keeps a new thread's argument in memory of its own until the thread
 * runs: there the parent holds it too. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PARENT_HOLDS true
#else
#define PARENT_HOLDS false
#endif

/* Starts threads, hands each an object, and takes one back. */
static void *parent(void *arg) {
  struct rng r = rng_from((uint64_t)(uintptr_t)arg);
  while (!atomic_load(&stop) && !atomic_load(&broken)) {
    pthread_t t[8];
    struct obj *_Atomic back[8] = {0};
    struct job *volatile held[8] = {0};
    for (int i = 0; i < 8; i++) {
      struct job *job = new_job(&r, &back[i]);
      if (PARENT_HOLDS) held[i] = job;
      if (pthread_create(&t[i], NULL, child, job) != 0) abort();
      atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
    }
    for (int i = 0; i < 8; i++) {
      pthread_join(t[i], NULL);
      check_chain(atomic_load(&back[i]));
      if (held[i]) check_chain(held[i]->given);
    }
  }
  return NULL;
}

static void run(const char *options) {
  pthread_t p[3];
  stress_options(options);
  struct rng seed = rng_seed();
  for (int i = 0; i < 3; i++)
    cr_assert_eq(pthread_create(&p[i], NULL, parent, (void *)rng_u64(&seed)),
                 0);
  double end = stress_now() + stress_seconds();
  while (stress_now() < end && !atomic_load(&broken)) {
    mgc_collect();
    usleep(500);
  }
  atomic_store(&stop, true);
  for (int i = 0; i < 3; i++) pthread_join(p[i], NULL);
  struct mgc_memstats ms;
  mgc_read_memstats(&ms);
  fprintf(stderr, "%s: %lu threads, %u collections, %u attached at the end\n",
          options, (unsigned long)atomic_load(&threads), ms.num_gc, ms.threads);
  cr_assert_eq(atomic_load(&broken), 0);
  cr_assert_gt(ms.num_gc, FEW_CYCLES);
  cr_assert_gt(atomic_load(&threads), 20);
  cr_assert_eq(ms.threads, 1);
}

Test(stress_churn, threads_come_and_go) { run("clobber_free=1"); }
Test(stress_churn, threads_come_and_go_under_checkmark) {
  run("clobber_free=1,checkmark=1,verify=1");
}
