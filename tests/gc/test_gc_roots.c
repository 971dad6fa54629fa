// SPDX-License-Identifier: MIT
/* Every kind of root keeps objects alive, and what is no root does not. */
#include "gctest.h"
#include <criterion/criterion.h>
#include <signal.h>

TestSuite(gc_roots, .init = test_options);

static void *in_data[BATCH] = {(void *)1};
static void *in_bss[BATCH];
static _Thread_local void *in_tls[BATCH];

static void check_area(void **slots) {
  struct hidden h;
  fill(slots, &h);
  collect();
  assert_all_alive(&h);
  memset(slots, 0, BATCH * sizeof *slots);
  collect();
  assert_dead(&h);
}

Test(gc_roots, initialised_data) { check_area(in_data); }
Test(gc_roots, zero_data) { check_area(in_bss); }
Test(gc_roots, thread_local_of_main) { check_area(in_tls); }

Test(gc_roots, memory_of_malloc_is_no_root_until_added) {
  struct hidden h;
  void **area = calloc(BATCH, sizeof *area);
  fill(area, &h);
  collect();
  assert_dead(&h);
  fill(area, &h);
  cr_assert(mgc_add_roots(area, area + BATCH));
  collect();
  assert_all_alive(&h);
  mgc_remove_roots(area, area + BATCH);
  collect();
  assert_dead(&h);
  free(area);
}

Test(gc_roots, pins_count) {
  struct hidden h;
  void **area = calloc(BATCH, sizeof *area);
  fill(area, &h);
  for (int i = 0; i < BATCH; i++) {
    cr_assert(mgc_pin(area[i]));
    cr_assert(mgc_pin((char *)area[i] + 17)); /* the same object */
  }
  collect();
  assert_all_alive(&h);
  for (int i = 0; i < BATCH; i++) cr_assert(mgc_unpin(area[i]));
  collect();
  assert_all_alive(&h);
  for (int i = 0; i < BATCH; i++) cr_assert(mgc_unpin(area[i]));
  for (int i = 0; i < BATCH; i++) cr_assert_not(mgc_unpin(area[i]));
  collect();
  assert_dead(&h);
}

/* --- objects --- */

struct pairs { /* only odd words are pointers */
  struct {
    uintptr_t number;
    void *pointer;
  } e[BATCH];
};
MGC_TYPE(struct pairs, MGC_EACH(e, pointer));

Test(gc_roots, typed_words_keep_and_integers_do_not) {
  struct hidden kept, lost;
  static struct pairs *root;
  root = mgc_new(struct pairs);
  void **area = malloc(BATCH * sizeof *area);
  fill(area, &kept);
  for (int i = 0; i < BATCH; i++) root->e[i].pointer = area[i];
  fill(area, &lost);
  for (int i = 0; i < BATCH; i++) root->e[i].number = (uintptr_t)area[i];
  free(area);
  collect();
  assert_all_alive(&kept);
  assert_dead(&lost);
}

Test(gc_roots, conservative_objects_keep_by_interior_pointers) {
  struct hidden h;
  static char **root;
  root = mgc_alloc(BATCH * sizeof *root);
  void **area = malloc(BATCH * sizeof *area);
  fill(area, &h);
  for (int i = 0; i < BATCH; i++)
    root[i] = (char *)area[i] + i % (int)sizeof(struct thing);
  free(area);
  collect();
  assert_all_alive(&h);
}

Test(gc_roots, noscan_objects_keep_nothing) {
  struct hidden h;
  static void **root;
  root = mgc_new_noscan(BATCH * sizeof *root);
  fill(root, &h);
  collect();
  assert_dead(&h);
  cr_assert_eq(mgc_base(root), root);
}

/* --- threads --- */

struct waiter {
  sem_t ready, go;
  struct hidden h;
  bool ok;
};

static void waiter_run(struct waiter *w, void *(*fn)(void *)) {
  pthread_t t;
  sem_init(&w->ready, 0, 0);
  sem_init(&w->go, 0, 0);
  cr_assert_eq(pthread_create(&t, NULL, fn, w), 0);
  sem_wait(&w->ready);
  for (int i = 0; i < 3; i++) {
    collect();
    assert_all_alive(&w->h);
  }
  sem_post(&w->go);
  pthread_join(t, NULL);
  cr_assert(w->ok);
  collect();
  assert_dead(&w->h);
}

static void wait_for_go(struct waiter *w) {
  sem_post(&w->ready);
  while (sem_wait(&w->go) != 0) {
  }
}

static void *hold_on_stack(void *arg) {
  struct waiter *w = arg;
  void *volatile slots[BATCH];
  fill((void **)slots, &w->h);
  wait_for_go(w);
  w->ok = slots[BATCH - 1] == unhide(w->h.v[BATCH - 1]);
  return NULL;
}

static void *hold_in_tls(void *arg) {
  struct waiter *w = arg;
  fill(in_tls, &w->h);
  scrub_stack();
  wait_for_go(w);
  w->ok = in_tls[0] == unhide(w->h.v[0]);
  return NULL;
}

static void *hold_in_blocking_region(void *arg) {
  struct waiter *w = arg;
  void *volatile slots[BATCH];
  fill((void **)slots, &w->h);
  mgc_blocking_begin();
  wait_for_go(w);
  mgc_blocking_end();
  w->ok = slots[0] == unhide(w->h.v[0]);
  return NULL;
}

static void *hold_while_spinning(void *arg) {
  struct waiter *w = arg;
  void *volatile slots[BATCH];
  int value = 0;
  fill((void **)slots, &w->h);
  sem_post(&w->ready);
  while (value == 0) {
    sem_getvalue(&w->go, &value);
#ifdef __SANITIZE_THREAD__
    usleep(1); /* it delivers signals in such calls only */
#endif
  }
  w->ok = slots[0] == unhide(w->h.v[0]);
  return NULL;
}

static pthread_key_t keys[BATCH];

static void *hold_in_specifics(void *arg) {
  struct waiter *w = arg;
  void *slots[BATCH];
  fill(slots, &w->h);
  /* glibc keeps the first 32 in the thread's descriptor. */
  for (int i = 0; i < BATCH; i++) {
    if (i < 24)
      pthread_setspecific(keys[i], slots[i]);
    else
      mgc_pin(slots[i]);
  }
  memset(slots, 0, sizeof slots);
  scrub_stack();
  wait_for_go(w);
  w->ok = pthread_getspecific(keys[3]) == unhide(w->h.v[3]);
  for (int i = 24; i < BATCH; i++) mgc_unpin(unhide(w->h.v[i]));
  for (int i = 0; i < 24; i++) pthread_setspecific(keys[i], NULL);
  return NULL;
}

static struct waiter waiter;

Test(gc_roots, stack_of_another_thread) { waiter_run(&waiter, hold_on_stack); }
Test(gc_roots, thread_local_of_another_thread) {
  waiter_run(&waiter, hold_in_tls);
}
Test(gc_roots, stack_of_a_blocking_region) {
  waiter_run(&waiter, hold_in_blocking_region);
}
Test(gc_roots, stack_of_a_running_thread) {
  waiter_run(&waiter, hold_while_spinning);
}
Test(gc_roots, thread_specific_values) {
  for (int i = 0; i < 24; i++)
    cr_assert_eq(pthread_key_create(&keys[i], NULL), 0);
  waiter_run(&waiter, hold_in_specifics);
}

Test(gc_roots, thread_specific_values_of_main) {
  struct hidden h;
  void **area = malloc(BATCH * sizeof *area);
  fill(area, &h);
  for (int i = 0; i < 24; i++) {
    cr_assert_eq(pthread_key_create(&keys[i], NULL), 0);
    pthread_setspecific(keys[i], area[i]);
  }
  free(area);
  collect();
  cr_assert_geq(count_alive(&h), 24);
  for (int i = 0; i < 24; i++)
    cr_assert_not_null(mgc_base(pthread_getspecific(keys[i])));
}

/* ThreadSanitizer runs handlers with all signals blocked. */
#ifndef __SANITIZE_THREAD__
/* On an alternate signal stack the thread's own stack is a root all the same. */
static struct waiter alt;

static void on_alternate_stack(int signo) {
  (void)signo;
  wait_for_go(&alt);
}

static void *hold_below_alternate_stack(void *arg) {
  struct waiter *w = arg;
  void *volatile slots[BATCH];
  stack_t ss = {.ss_sp = malloc(1 << 17), .ss_size = 1 << 17};
  struct sigaction sa = {.sa_handler = on_alternate_stack,
                         .sa_flags = SA_ONSTACK};
  fill((void **)slots, &w->h);
  sigaltstack(&ss, NULL);
  sigaction(SIGUSR1, &sa, NULL);
  raise(SIGUSR1);
  w->ok = slots[0] == unhide(w->h.v[0]);
  ss.ss_flags = SS_DISABLE;
  sigaltstack(&ss, NULL);
  return NULL;
}

Test(gc_roots, stack_under_a_signal_handler_on_its_own_stack) {
  waiter_run(&alt, hold_below_alternate_stack);
}
#endif

/* Registers: the only copy is in one that calls preserve. */
#if defined(__x86_64__)
__attribute__((noinline)) static uintptr_t new_hidden(void) {
  return hide(thing_new());
}

Test(gc_roots, preserved_register) {
  for (int i = 0; i < 20; i++) {
    uintptr_t v = new_hidden();
    scrub_stack();
    __asm__ volatile("mov %0, %%r12\n\tnot %%r12\n\t"
                     "mov %%rsp, %%r13\n\tand $-16, %%rsp\n\t"
                     "sub $256, %%rsp\n\tcall mgc_collect\n\t"
                     "mov %%r13, %%rsp\n\txor %%r12d, %%r12d"
                     : "+b"(v)
                     :
                     : "r12", "r13", "rax", "rcx", "rdx", "rsi", "rdi", "r8",
                       "r9", "r10", "r11", "memory", "cc");
    struct thing *t = unhide(v);
    cr_assert_eq(mgc_base(t), t);
    cr_assert_eq(t->magic, THING_MAGIC);
  }
}
#endif

/* --- threads that never called the library --- */

#define FOREIGN 12
static sem_t foreign_ready, foreign_go;
static struct atomic_count { _Atomic int n; } intact;

static void *only_wait(void *arg) {
  struct thing *volatile t = arg;
  sem_post(&foreign_ready);
  while (sem_wait(&foreign_go) != 0) {
  }
  if (t->magic == THING_MAGIC) intact.n++;
  return NULL;
}

__attribute__((noinline)) static void start_foreign(pthread_t *t) {
  for (int i = 0; i < FOREIGN; i++)
    cr_assert_eq(pthread_create(&t[i], NULL, only_wait, thing_new()), 0);
}

Test(gc_roots, arguments_of_threads_that_never_called_us) {
  pthread_t t[FOREIGN];
  sem_init(&foreign_ready, 0, 0);
  sem_init(&foreign_go, 0, 0);
  start_foreign(t);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  /* Perhaps before some of them run: the argument is in the new thread's
   * descriptor. (A sanitizer keeps it in memory of its own until then.) */
  collect();
#endif
  for (int i = 0; i < FOREIGN; i++) sem_wait(&foreign_ready);
  for (int i = 0; i < 3; i++) collect();
  for (int i = 0; i < FOREIGN; i++) sem_post(&foreign_go);
  for (int i = 0; i < FOREIGN; i++) pthread_join(t[i], NULL);
  cr_assert_eq(intact.n, FOREIGN);
}
