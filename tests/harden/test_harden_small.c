// SPDX-License-Identifier: MIT
/* Small objects: where they are put, and what is noticed when they go. */
#include "hardentest.h"

#include <pthread.h>

static const size_t sizes[] = {0,   1,   7,    8,    9,    24,   25,  31,
                               100, 500, 1016, 1017, 4000, 8000, 8184};

/* --- placement --- */

/* The slot of the first object of a class in a fresh heap: each of the 409 slots
 * of 80 bytes equally likely. 409 * 10 draws; chi-square with 408 degrees of
 * freedom is below 500 with probability 0.999. */
#define SLOTS 409u
#define DRAWS (SLOTS * 10)

Test(harden_small, the_place_of_an_object_is_uniform) {
  struct rng r = rng_from(1); /* the bounds are of a thousandth */
  struct harden *hd = ht_new(&r);
  struct harden_class *c = &hd->classes[sizeclass_of(&sizeclasses_malloc, 80)];
  cr_assert_eq(c->nslots, SLOTS);
  static unsigned count[SLOTS];
  for (unsigned i = 0; i < DRAWS; i++) {
    struct harden_slot slot = harden_slot_take(c, &hd->env, 72, rng_u64(&r));
    struct mspan *s = ht_span(hd, (void *)slot.p);
    cr_assert_eq(c->nspans, 1);
    count[mspan_index(s, slot.p)]++;
    cr_assert_null(harden_slot_prepare(slot, 72).kind);
    ht_give(hd, (void *)slot.p);
    struct harden_finding f;
    cr_assert(harden_flush(hd, &f));
  }
  double chi = 0;
  for (unsigned i = 0; i < SLOTS; i++)
    chi += ((double)count[i] - 10) * ((double)count[i] - 10) / 10;
  cr_assert_lt(chi, 500);
  cr_assert_gt(chi, 320, "too even to be random");
}

Test(harden_small, neighbours_in_time_are_rarely_neighbours_in_space) {
  struct rng r = rng_seed();
  struct harden *hd = ht_new(&r);
  unsigned adjacent = 0;
  char *last = ht_take(hd, 40);
  for (int i = 0; i < 5000; i++) {
    char *p = ht_take(hd, 40);
    ptrdiff_t d = p - last;
    adjacent += d == 48 || d == -48;
    last = p;
  }
  /* 2 of the at least 170 free slots of a quarter span are next to the last. */
  cr_assert_lt(adjacent, 5000 * 4 / 170);
}

Test(harden_small, there_is_always_a_choice_of_slots) {
  struct rng r = rng_seed();
  struct harden *hd = ht_new(&r);
  const struct harden_class *c =
      &hd->classes[sizeclass_of(&sizeclasses_malloc, 48)];
  for (int i = 0; i < 20000; i++) {
    char *p = ht_take(hd, 40);
    cr_assert_geq(c->open_free + 1, c->min_free, "after %d", i);
    if (i % 4 == 0) ht_give(hd, p);
  }
}

Test(harden_small, a_slot_is_not_handed_out_again_soon) {
  struct rng r = rng_seed();
  struct harden *hd = ht_new(&r);
  char *p = ht_take(hd, 40);
  ht_give(hd, p);
  for (int i = 0; i < 1000; i++) {
    char *q = ht_take(hd, 40);
    cr_assert_neq(q, p, "after %d frees", i);
    ht_give(hd, q);
  }
}

/* --- contents and sizes --- */

Test(harden_small, objects_are_zero_aligned_and_know_their_size) {
  struct rng r = rng_seed();
  struct harden *hd = ht_new(&r);
  for (int round = 0; round < 3000; round++) {
    size_t size = sizes[rng_below(&r, array_len(sizes))], got;
    size_t align = (size_t)1 << rng_below(&r, 14);
    struct harden_finding f;
    uintptr_t p = harden_take(hd, size, align, &f);
    cr_assert_null(f.kind);
    cr_assert(is_aligned(p, align < 16 ? 16 : align), "%zu", align);
    cr_assert_eq(harden_nonzero(p, p + size), 0);
    cr_assert(harden_size(hd, ht_span(hd, (void *)p), p, &got, &f));
    cr_assert_eq(got, size);
    memset((void *)p, 0xff, size);
    if (round % 3) ht_give(hd, (void *)p);
  }
  harden_verify(hd);
}

/* --- what is noticed --- */

Test(harden_small, one_byte_past_the_size_is_an_overflow) {
  struct rng r = rng_seed();
  struct harden *hd = ht_new(&r);
  for (size_t i = 0; i < array_len(sizes); i++) {
    char *p = ht_take(hd, sizes[i]);
    p[sizes[i]] = 0; /* a zero never agrees with the canary */
    struct harden_finding f = ht_try_give(hd, p);
    cr_assert(ht_is(&f, "heap overflow"), "size %zu", sizes[i]);
    cr_assert_eq(f.ptr, (uintptr_t)p);
    cr_assert_eq(f.size, sizes[i]);
    cr_assert_eq(f.at, (uintptr_t)p + sizes[i]);
  }
}

Test(harden_small, every_changed_byte_of_the_canary_shows) {
  struct rng r = rng_seed();
  struct harden *hd = ht_new(&r);
  char *p = ht_take(hd, 21); /* a slot of 32 */
  for (size_t i = 21; i < 32; i++) {
    p[i] = (char)(p[i] + 1);
    struct harden_finding f = ht_try_give(hd, p);
    cr_assert(ht_is(&f, "heap overflow"));
    cr_assert_eq(f.at, (uintptr_t)p + i);
    p[i] = (char)(p[i] - 1);
  }
  ht_give(hd, p);
}

Test(harden_small, no_byte_of_a_canary_is_zero) {
  struct rng r = rng_seed();
  for (int i = 0; i < 1000; i++) {
    uint32_t key = harden_canary_key(i ? (uint32_t)rng_u64(&r) : 0);
    for (unsigned b = 0; b < 32; b += 8) cr_assert_neq(key >> b & 0xff, 0);
  }
}

Test(harden_small, canaries_of_two_objects_differ) {
  struct harden *hd = ht_new(NULL);
  char *p = ht_take(hd, 24), *q = ht_take(hd, 24);
  uint32_t a, b;
  memcpy(&a, p + 24, 4);
  memcpy(&b, q + 24, 4);
  cr_assert_neq(a, b);
}

Test(harden_small, a_write_after_free_shows_when_quarantine_ends) {
  struct rng r = rng_seed();
  struct harden *hd = ht_new(&r);
  char *p = ht_take(hd, 40);
  ht_give(hd, p);
  p[39] = 1;
  struct harden_finding f;
  cr_assert(!harden_flush(hd, &f));
  cr_assert(ht_is(&f, "write after free"));
  cr_assert_eq(f.ptr, (uintptr_t)p);
  cr_assert_eq(f.at, (uintptr_t)p + 39);
}

Test(harden_small, a_write_to_a_free_slot_shows_when_it_is_taken) {
  struct rng r = rng_seed();
  struct harden *hd = ht_new(&r);
  char *p = ht_take(hd, 40);
  struct harden_finding f;
  ht_give(hd, p);
  cr_assert(harden_flush(hd, &f));
  p[0] = 1;
  for (unsigned i = 0; i < 1000; i++) {
    if (!harden_take(hd, 40, 16, &f)) break;
  }
  cr_assert(ht_is(&f, "write after free"));
  cr_assert_eq(f.ptr, (uintptr_t)p);
}

Test(harden_small, wrong_frees_are_told_apart) {
  struct rng r = rng_seed();
  struct harden *hd = ht_new(&r);
  char *p = ht_take(hd, 40);
  struct harden_finding f = ht_try_give(hd, p + 16);
  cr_assert(ht_is(&f, "invalid free"));
  cr_assert_str_eq(f.state, "inside an object");
  ht_give(hd, p);
  f = ht_try_give(hd, p);
  cr_assert(ht_is(&f, "double free"));
  cr_assert_str_eq(f.state, "freed, in quarantine");
  cr_assert_eq(f.size, 40);
  ht_take(hd, 40); /* keeps the span */
  cr_assert(harden_flush(hd, &f));
  f = ht_try_give(hd, p);
  cr_assert(ht_is(&f, "double free"));
  cr_assert_str_eq(f.state, "freed");
  /* A slot that nobody ever had. */
  struct mspan *s = ht_span(hd, p);
  unsigned never = 0;
  const struct harden_span *hs = (const void *)s->local.free;
  while (hs->size[never] != HARDEN_NEVER) never++;
  f = ht_try_give(hd, (void *)mspan_slot(s, never));
  cr_assert(ht_is(&f, "invalid free"));
  cr_assert_str_eq(f.state, "never allocated");
}

/* --- guards, memory --- */

static uintptr_t guard_of(struct harden *hd, const void *p) {
  struct mspan *s = ht_span(hd, p);
  return s->base + (s->npages - 1) * MGC_PAGE_SIZE;
}

Test(harden_small, a_span_ends_in_a_guard_page) {
  struct harden *hd = ht_new(NULL);
  uintptr_t guard = guard_of(hd, ht_take(hd, 40));
  cr_assert(ht_accessible((void *)(guard - 1)));
  cr_assert(!ht_accessible((void *)guard));
  cr_assert(!ht_accessible((void *)(guard + MGC_PAGE_SIZE - 1)));
}

Test(harden_small, without_guards_all_else_holds) {
  struct harden *hd = ht_new(NULL);
  hd->env.max_guards = 0;
  char *p = ht_take(hd, 40);
  *(volatile char *)(guard_of(hd, p)) = 0; /* a page of slots */
  cr_assert_eq(ht_span(hd, p)->npages, 4);
  ht_give(hd, p);
}

Test(harden_small, empty_spans_go_back_with_their_guards) {
  struct harden *hd = ht_new(NULL);
  static char *p[20000];
  for (size_t i = 0; i < array_len(p); i++) p[i] = ht_take(hd, 100);
  uint64_t full = atomic_u64_load_relaxed(&hd->env.heap->stats.pages_inuse);
  uint32_t guards = atomic_u32_load_relaxed(&hd->env.guards);
  for (size_t i = 0; i < array_len(p); i++) ht_give(hd, p[i]);
  struct harden_finding f;
  cr_assert(harden_flush(hd, &f));
  harden_verify(hd);
  cr_assert_gt(full, 250);
  cr_assert_leq(atomic_u64_load_relaxed(&hd->env.heap->stats.pages_inuse), 10);
  cr_assert_gt(guards, 50);
  cr_assert_leq(atomic_u32_load_relaxed(&hd->env.guards), 2);
  for (size_t i = 0; i < array_len(p); i++) p[i] = ht_take(hd, 8000);
}

Test(harden_small, random_frees_keep_the_invariants_and_the_heap_small) {
  struct rng r = rng_seed();
  struct harden *hd = ht_new(&r);
  static char *p[4000];
  static size_t size[4000];
  for (int i = 0; i < 60000; i++) {
    size_t k = rng_below(&r, array_len(p));
    if (p[k]) {
      cr_assert_eq(p[k][size[k] - 1], (char)k);
      ht_give(hd, p[k]);
    }
    size[k] = 1 + rng_below(&r, i < 30000 ? 300 : 700);
    p[k] = ht_take(hd, size[k]);
    p[k][size[k] - 1] = (char)k;
    if (i % 10000 == 0) harden_verify(hd);
  }
  harden_verify(hd);
  size_t live = 4000 * (350 + 8 + 40);
  uint64_t pages = atomic_u64_load_relaxed(&hd->env.heap->stats.pages_inuse);
  cr_assert_lt(pages * MGC_PAGE_SIZE, 2 * live + (8u << 20));
}

/* --- threads --- */

struct shared {
  struct harden *hd;
  struct atomic_ptr slot[256];
};

static void *churn(void *arg) {
  struct shared *sh = arg;
  struct rng r = rng_from((uintptr_t)&r);
  for (int i = 0; i < 10000; i++) {
    char *p = ht_take(sh->hd, 1 + rng_below(&r, 400));
    p[0] = 1;
    p = atomic_ptr_exchange_acq_rel(&sh->slot[rng_below(&r, 256)], p);
    if (p) ht_give(sh->hd, p);
  }
  return NULL;
}

Test(harden_small, threads_may_free_each_others_objects) {
  static struct shared sh;
  pthread_t t[3];
  sh.hd = ht_new(NULL);
  for (size_t i = 0; i < array_len(t); i++)
    cr_assert_eq(pthread_create(&t[i], NULL, churn, &sh), 0);
  for (size_t i = 0; i < array_len(t); i++) pthread_join(t[i], NULL);
  harden_verify(sh.hd);
  harden_lock_all(sh.hd);
  harden_unlock_all(sh.hd, true);
  churn(&sh);
}
