// SPDX-License-Identifier: MIT
/*
 * Helpers for tests that ask whether objects lived through a collection. They
 * work with batches of 100, and are told apart by count: a conservative
 * collector may keep a few dead ones for stale words on the stack, but never
 * loses a live one.
 */
#ifndef MGC_TESTS_GC_GCTEST_H
#define MGC_TESTS_GC_GCTEST_H

#include <mallocgc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 100
#define MAY_STAY 10

/* 64 bytes with the byte that mgc_alloc adds: a class that the helpers do not
 * otherwise use. */
struct thing {
  uint64_t magic;
  struct thing *next;
  uint64_t id; /* no two things have the same */
  uint64_t rest[3];
};

#define THING_MAGIC 0x7468696e67746869u

/* Addresses that the collector does not see. */
struct hidden {
  uintptr_t v[BATCH];
  uint64_t id[BATCH];
};

static inline uintptr_t hide(const void *p) { return ~(uintptr_t)p; }
static inline void *unhide(uintptr_t v) { return (void *)~v; }

static inline struct thing *thing_new(void) {
  static _Atomic uint64_t last_id;
  struct thing *t = mgc_alloc(sizeof *t);
  if (!t) abort();
  t->magic = THING_MAGIC;
  t->id = ++last_id;
  return t;
}

/* Fills slots (which are roots, or not) with new things. */
__attribute__((noinline)) static void fill(void **slots, struct hidden *h) {
  for (int i = 0; i < BATCH; i++) {
    slots[i] = thing_new();
    h->v[i] = hide(slots[i]);
    h->id[i] = ((struct thing *)slots[i])->id;
  }
}

/* What was called before left words on the stack: overwrites them. */
__attribute__((noinline)) static void scrub_stack(void) {
  char dead[16384];
  memset(dead, 0, sizeof dead);
  __asm__ volatile("" : : "r"(dead) : "memory");
}

static inline void collect(void) {
  scrub_stack();
  mgc_collect();
}

/* How many of the batch are objects still, with their contents. Dead ones are
 * looked at too, which other threads may have taken again. */
__attribute__((noinline, no_sanitize("thread", "address"))) static int
count_alive(const struct hidden *h) {
  int n = 0;
  for (int i = 0; i < BATCH; i++) {
    struct thing *t = unhide(h->v[i]);
    n += mgc_base(t) == t && t->magic == THING_MAGIC && t->id == h->id[i];
  }
  scrub_stack();
  return n;
}

#define assert_all_alive(h) cr_assert_eq(count_alive(h), BATCH)
#define assert_dead(h)                                                         \
  do {                                                                         \
    int nalive = count_alive(h);                                               \
    cr_assert_leq(nalive, MAY_STAY, "%d are alive", nalive);                   \
  } while (0)

/* Dead slots are overwritten, so that a lost object shows. The verifiers take
 * half a second for each collection under ThreadSanitizer. */
static inline void test_options(void) {
#ifdef __SANITIZE_THREAD__
  setenv("MALLOCGC_OPTIONS", "clobber_free=1", 0);
#else
  setenv("MALLOCGC_OPTIONS", "clobber_free=1,verify=1,checkmark=1", 0);
#endif
}

#endif
