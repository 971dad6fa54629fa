// SPDX-License-Identifier: MIT
/*
 * Cycles beside the program, held open where it matters: what a barrier keeps, what is
 * lost without one (and found by checkmark), what the kernel's tracking sees, and frees
 * that wait.
 */
#include "support/heldcycle.h"
#include <criterion/criterion.h>
#include <mallocgc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(beside, .timeout = 60);

struct node {
  struct node *next;
  uint64_t number;
};
MGC_TYPE(struct node, next);

static struct node *volatile root; /* read when a cycle begins */
static struct node *volatile kept;

static void build(const char *options) {
  setenv("MALLOCGC_OPTIONS", options, 1);
  struct node *n = NULL;
  for (uint64_t i = 0; i < 1000; i++) {
    struct node *more = mgc_new(struct node);
    more->next = n;
    more->number = i;
    n = more;
  }
  root = n;
}

/* The list from its second node on moves from the heap to a variable that was read
 * before. On a stack of its own: a word left on ours would be a root. */
static void *move(void *by_barrier) {
  kept = root->next;
  if (by_barrier)
    mgc_store(&root->next, NULL);
  else
    root->next = NULL;
  return NULL;
}

static void move_elsewhere(bool by_barrier) {
  pthread_t t;
  cr_assert_eq(pthread_create(&t, NULL, move, by_barrier ? &t : NULL), 0);
  pthread_join(t, NULL);
}

static void check_list(void) {
  uint64_t i = 999;
  for (const struct node *n = kept; n; n = n->next)
    cr_assert_eq(n->number, --i);
  cr_assert_eq(i, 0);
}

Test(beside, what_leaves_the_heap_through_the_barrier_lives) {
  build("checkmark=1,verify=1,clobber_free=1");
  cr_assert(mgc_use_barriers());
  open_cycle();
  move_elsewhere(true);
  close_cycle();
  check_list();
  mgc_collect();
  check_list();
}

Test(beside, a_store_that_bypassed_the_barrier_is_found, .signal = SIGABRT) {
  build("checkmark=1");
  cr_assert(mgc_use_barriers());
  open_cycle();
  move_elsewhere(false);
  close_cycle();
}

/* Whether cycles run beside plain stores; else the test has nothing to look at. */
static bool has_tracking(void) {
  build("gcmode=kernel,checkmark=1,verify=1,clobber_free=1");
  mgc_collect();
  if (gc_is_beside(gc())) return true;
  fprintf(stderr, "skipped: %s\n", gc()->track.w.reason);
  return false;
}

Test(beside, with_tracking_any_store_will_do) {
  if (!has_tracking()) return;
  open_cycle();
  move_elsewhere(false);
  close_cycle();
  check_list();
}

/* On a stack of its own, as move. In the object's last page, far from where its mark is. */
static void *move_into_large(void *arg) {
  struct node ***large = arg;
  size_t n = (12u << 20) / sizeof **large;
  *large =
      mgc_alloc(n * sizeof **large); /* marked, and nobody has to scan it */
  (*large)[n - 9] = root->next;
  root->next = NULL;
  return NULL;
}

Test(beside, with_tracking_all_pages_of_a_large_object_count) {
  if (!has_tracking()) return;
  static struct node **large;
  pthread_t t;
  open_cycle();
  cr_assert_eq(pthread_create(&t, NULL, move_into_large, &large), 0);
  pthread_join(t, NULL);
  close_cycle();
  kept = large[(12u << 20) / sizeof *large - 9];
  check_list();
}

/* A reachable object that was scanned gets the only pointer to another. */
Test(beside, with_tracking_system_calls_store_too) {
  if (!has_tracking()) return;
  struct node **slots = mgc_alloc(64 * sizeof *slots);
  static struct node **volatile table;
  table = slots;
  int fds[2];
  cr_assert_eq(pipe(fds), 0);
  open_cycle();
  struct node *n = root->next;
  cr_assert_eq(write(fds[1], &n, sizeof n), (ssize_t)sizeof n);
  root->next = NULL;
  n = NULL;
  cr_assert_eq(read(fds[0], &table[7], sizeof n), (ssize_t)sizeof n);
  close_cycle();
  kept = table[7];
  check_list();
}

Test(beside, frees_wait_for_the_end_of_marking) {
  build("checkmark=1,verify=1");
  cr_assert(mgc_use_barriers());
  struct node *a = mgc_new(struct node);
  open_cycle();
  mgc_free(a);
  cr_assert_eq(mgc_base(a), a, "free already");
  close_cycle();
  struct node *b = mgc_new(struct node);
  mgc_free(b); /* carries out the first, too */
  cr_assert_null(mgc_base(a));
}

/* What waits to be freed is garbage too, and the next cycle may be first. */
Test(beside, frees_that_waited_until_the_next_cycle_are_forgotten) {
  build("checkmark=1,verify=1,clobber_free=1");
  cr_assert(mgc_use_barriers());
  struct node *volatile a = mgc_new(struct node);
  open_cycle();
  mgc_free(a);
  close_cycle();
  a = NULL;
  for (int i = 0; i < 3; i++) mgc_collect();
  struct node *b = mgc_new(struct node);
  mgc_free(b);
  cr_assert_null(mgc_base(b));
}

Test(beside, second_free_while_marking_is_fatal, .signal = SIGABRT) {
  build("");
  cr_assert(mgc_use_barriers());
  struct node *a = mgc_new(struct node), *b = mgc_new(struct node);
  open_cycle();
  mgc_free(a);
  mgc_free(a);
  close_cycle();
  mgc_free(b);
}

Test(beside, realloc_keeps_what_it_cuts_off) {
  build("checkmark=1,verify=1,clobber_free=1");
  cr_assert(mgc_use_barriers());
  struct node *volatile *slots = mgc_alloc(64 * sizeof *slots);
  mgc_store((void *)&slots[60], root->next);
  mgc_store(&root->next, NULL);
  open_cycle();
  kept = slots[60];
  slots = mgc_realloc((void *)slots, 40 * sizeof *slots);
  cr_assert_null(slots[60 - 20]);
  close_cycle();
  check_list();
}

Test(beside, a_cycle_asked_for_begins_after_the_question) {
  build("");
  cr_assert(mgc_use_barriers());
  for (int i = 0; i < 200; i++) {
    uint32_t before = atomic_u32_load_relaxed(&gc()->beside.begun);
    mgc_collect();
    uint32_t begun = atomic_u32_load_relaxed(&gc()->beside.begun);
    cr_assert_geq(begun, before + 1);
    cr_assert_leq(begun, before + 2, "one was enough");
  }
}

Test(beside, copy_and_clear_move_pointers) {
  build("checkmark=1,verify=1");
  cr_assert(mgc_use_barriers());
  struct node **v = mgc_new_array(struct node *, 10000);
  for (uintptr_t i = 0; i < 10000; i++) v[i] = (struct node *)(i * 16);
  mgc_copy(v + 3, v, 9000 * sizeof *v);
  for (uintptr_t i = 0; i < 9000; i++)
    cr_assert_eq((uintptr_t)v[i + 3], i * 16);
  mgc_copy(v, v + 3, 9000 * sizeof *v);
  for (uintptr_t i = 0; i < 9000; i++) cr_assert_eq((uintptr_t)v[i], i * 16);
  mgc_clear(v, 8999 * sizeof *v);
  for (uintptr_t i = 0; i < 8999; i++) cr_assert_null(v[i]);
  cr_assert_eq((uintptr_t)v[8999], 8999 * 16);
}
