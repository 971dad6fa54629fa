// SPDX-License-Identifier: MIT
/* mcentral: where spans are filed, and what cache_span finds first. */
#include "support/test_heap.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#define SC 45u /* 4864 bytes: 5 slots in 3 pages */

static struct heap *h;
static struct spanclass spc;

static void fixture_init(void) {
  h = test_heap();
  spc = spanclass_make(SC, true);
}

static struct mspan *cache(void) {
  struct mspan *s = mcentral_cache_span(h, spc, NULL);
  cr_assert_not_null(s);
  cr_assert_eq(atomic_u32_load_relaxed(&s->sweepgen),
               atomic_u32_load_relaxed(&h->sweepgen) + 3);
  cr_assert_eq(s->spanclass.v, spc.v);
  return s;
}

static void fill(struct mspan *s, unsigned n) {
  unsigned first, got;
  while (n > 0 && mspan_next_run(s, n, &first, &got)) n -= got;
}

static size_t swept_len(bool full) {
  uint32_t sg = atomic_u32_load_relaxed(&h->sweepgen);
  struct mcentral *c = &h->central[spc.v];
  return spanset_len(full ? mcentral_full_swept(c, sg)
                          : mcentral_partial_swept(c, sg));
}

Test(mcentral, spans_are_filed_by_how_full_they_are, .init = fixture_init) {
  struct mspan *a = cache(), *b = cache();
  fill(a, 5);
  fill(b, 3);
  mcentral_uncache_span(h, a);
  mcentral_uncache_span(h, b);
  cr_assert_eq(swept_len(true), 1);
  cr_assert_eq(swept_len(false), 1);
  cr_assert_eq(cache(), b, "the one with room");
  cr_assert_neq(cache(), a, "a full span is not offered");
}

Test(mcentral, a_freed_slot_brings_a_full_span_back_once,
     .init = fixture_init) {
  struct mspan *s = cache();
  fill(s, 5);
  mcentral_uncache_span(h, s);
  for (int round = 0; round < 50; round++) {
    cr_assert(mspan_free_slot(s, 2));
    mcentral_note_free(h, s);
    cr_assert(mspan_free_slot(s, 4));
    mcentral_note_free(h, s);
    cr_assert_eq(swept_len(false), 1);
    mheap_verify(h);
    cr_assert_eq(cache(), s);
    fill(s, 2);
    mcentral_uncache_span(h, s);
    cr_assert_eq(swept_len(true), 1, "the full set does not grow");
    mheap_verify(h);
  }
  sweep_start_cycle(h);
  sweep_all(h);
  cr_assert_eq(atomic_u64_load_relaxed(&h->stats.pages_inuse), 0);
  mheap_verify(h);
}

/* --- threads: slots are freed just as their span is filed --- */

static struct atomic_u32 round_ready, round_done;
static struct mspan *race_span;

enum { RACE_ROUNDS = 5000 };

static void *free_when_told(void *arg) {
  (void)arg;
  for (uint32_t i = 1; i <= RACE_ROUNDS; i++) {
    while (atomic_u32_load_acquire(&round_ready) != i) sched_yield();
    for (unsigned k = 0; k < i % 4; k++) cpu_relax();
    cr_assert(mspan_free_slot(race_span, i % 5));
    mcentral_note_free(h, race_span);
    atomic_u32_store_release(&round_done, i);
  }
  return NULL;
}

Test(mcentral, no_slot_is_lost_between_freeing_and_filing,
     .init = fixture_init) {
  pthread_t t;
  race_span = cache();
  fill(race_span, 5);
  pthread_create(&t, NULL, free_when_told, NULL);
  for (uint32_t i = 1; i <= RACE_ROUNDS; i++) {
    atomic_u32_store_release(&round_ready, i);
    mcentral_uncache_span(h, race_span);
    while (atomic_u32_load_acquire(&round_done) != i) sched_yield();
    cr_assert_eq(swept_len(false), 1, "round %u", i);
    cr_assert_eq(cache(), race_span);
    fill(race_span, 5);
  }
  pthread_join(t, NULL);
}

Test(mcentral, uncache_of_a_span_nobody_caches_is_fatal, .init = fixture_init,
     .signal = SIGABRT) {
  struct mspan *s = cache();
  mcentral_uncache_span(h, s);
  mcentral_uncache_span(h, s);
}

/* --- sweeping on the way --- */

static void make_cycle(unsigned nspans, unsigned marked_spans) {
  struct mspan *s[64];
  for (unsigned i = 0; i < nspans; i++) fill(s[i] = cache(), 5);
  for (unsigned i = 0; i < nspans; i++) mcentral_uncache_span(h, s[i]);
  for (unsigned i = 0; i < nspans; i++)
    for (unsigned k = 0; k < (i < marked_spans ? 5u : 0u); k++)
      mspan_set_mark(s[i], k);
  sweep_start_cycle(h);
}

Test(mcentral, unswept_spans_are_swept_before_the_heap_grows,
     .init = fixture_init) {
  make_cycle(40, 30);
  uint64_t pages = atomic_u64_load_relaxed(&h->stats.pages_inuse);
  struct mspan *s = cache();
  cr_assert_eq(mspan_count_alloc(s), 0, "a dead span is used as it is");
  cr_assert(s->needzero && s->untouched);
  cr_assert_eq(atomic_u64_load_relaxed(&h->stats.pages_inuse), pages);
  cr_assert_eq(swept_len(true), 30, "live spans on the way are filed");
  mcentral_uncache_span(h, s);
  sweep_all(h);
  mheap_verify(h);
}

static size_t credit_bytes, credit_pages;
static void count_credit(struct heap *heap, size_t bytes, size_t npages) {
  cr_assert_eq(heap, h);
  credit_bytes += bytes;
  credit_pages += npages;
}

Test(mcentral, sweep_credit_is_asked_for_each_span, .init = fixture_init) {
  h->hooks.sweep_credit = count_credit;
  cache();
  cr_assert_eq(credit_bytes, 3 * MGC_PAGE_SIZE);
  cr_assert_eq(credit_pages, 3);
}

Test(mcentral, spans_survive_sets_that_find_no_memory) {
  static struct vm_faulty faulty;
  h = test_heap_cfg(
      (struct heap_config){.vm = vm_faulty_init(&faulty, vm_system(), 0, true),
                           .opt.window_log2 = 34});
  spc = spanclass_make(SC, true);
  struct mspan *a = cache(), *b = cache();
  fill(a, 5);
  fill(b, 1);
  mspan_set_mark(a, 3);
  while (persistent_alloc(&h->meta, 1 << 12, 0, NULL)) {
    faulty.fail_at = 1; /* the chunk in hand is used up, and no other comes */
  }
  while (persistent_alloc(&h->meta, 64, 0, NULL)) {
  }
  mcentral_uncache_span(h, a);
  mcentral_uncache_span(h, b);
  cr_assert_eq(swept_len(true) + swept_len(false), 0);
  mheap_verify(h);
  faulty.fail_at = 0;
  sweep_start_cycle(h);
  mheap_verify(h);
  sweep_all(h);
  mheap_verify(h);
  cr_assert_eq(mspan_count_alloc(a), 1, "swept and alive");
  cr_assert_eq(atomic_u64_load_relaxed(&h->stats.pages_inuse), 3, "b is gone");
}
