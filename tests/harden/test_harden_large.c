// SPDX-License-Identifier: MIT
/* Objects with pages and guards of their own. */
#include "hardentest.h"

static const size_t sizes[] = {8185, 8192, 8193, 40000, 65536, 100001, 5000000};

static uintptr_t guard_of(struct harden *hd, const void *p) {
  struct mspan *s = ht_span(hd, p);
  return s->base + (s->npages - 1) * MGC_PAGE_SIZE;
}

Test(harden_large, objects_are_zero_and_end_before_the_guard) {
  struct harden *hd = ht_new(NULL);
  for (size_t i = 0; i < 3 * array_len(sizes); i++) {
    size_t size = sizes[i % array_len(sizes)], got;
    struct harden_finding f;
    char *p = ht_take(hd, size);
    cr_assert_eq(harden_nonzero((uintptr_t)p, (uintptr_t)p + size), 0);
    cr_assert_lt(guard_of(hd, p) - (uintptr_t)(p + size), 16);
    cr_assert(harden_size(hd, ht_span(hd, p), (uintptr_t)p, &got, &f));
    cr_assert_eq(got, size);
    memset(p, 0xff, size);
    ht_give(hd, p);
    if (i % 2) cr_assert(harden_flush(hd, &f));
  }
}

Test(harden_large, pages_that_were_used_are_cleared) {
  struct harden *hd = ht_new(NULL);
  hd->large.max_held_bytes = 0; /* pages go back as they are */
  for (size_t i = 0; i < 3 * array_len(sizes); i++) {
    size_t size = sizes[i % array_len(sizes)];
    char *p = ht_take(hd, size);
    cr_assert_eq(harden_nonzero((uintptr_t)p, (uintptr_t)p + size), 0);
    memset(p, 0xff, size);
    ht_give(hd, p);
  }
}

Test(harden_large, alignment_is_kept) {
  struct harden *hd = ht_new(NULL);
  struct harden_finding f;
  for (size_t align = 16; align <= 1u << 21; align *= 2)
    for (size_t i = 0; i < array_len(sizes); i++) {
      uintptr_t p = harden_take(hd, sizes[i], align, &f);
      cr_assert(p && is_aligned(p, align), "%zu %zu", sizes[i], align);
      memset((void *)p, 1, sizes[i]);
      ht_give(hd, (void *)p);
    }
  uintptr_t p = harden_take(hd, 0, 1u << 16, &f);
  cr_assert(p && is_aligned(p, 1u << 16));
  ht_give(hd, (void *)p);
}

Test(harden_large, the_byte_after_the_slack_faults) {
  struct harden *hd = ht_new(NULL);
  char *p = ht_take(hd, 100000); /* a multiple of 16: no slack */
  cr_assert(ht_accessible(p + 99999));
  cr_assert(!ht_accessible(p + 100000));
  cr_assert(!ht_accessible(p + 100000 + MGC_PAGE_SIZE - 1));
}

Test(harden_large, nothing_of_a_freed_object_is_accessible) {
  struct harden *hd = ht_new(NULL);
  char *p = ht_take(hd, 100000);
  memset(p, 1, 100000);
  ht_give(hd, p);
  for (size_t i = 0; i < 100000; i += 1000) cr_assert(!ht_accessible(p + i));
}

Test(harden_large, bytes_around_the_object_are_canaries) {
  struct harden *hd = ht_new(NULL);
  char *p = ht_take(hd, 100001);
  p[100001] = 0;
  struct harden_finding f = ht_try_give(hd, p);
  cr_assert(ht_is(&f, "heap overflow"));
  cr_assert_eq(f.at, (uintptr_t)p + 100001);
  p = ht_take(hd, 100001);
  p[-8] = 0;
  f = ht_try_give(hd, p);
  cr_assert(ht_is(&f, "heap underflow"));
  cr_assert_eq(f.at, (uintptr_t)p - 8);
}

Test(harden_large, wrong_frees_are_told_apart) {
  struct harden *hd = ht_new(NULL);
  char *p = ht_take(hd, 100000);
  struct harden_finding f = ht_try_give(hd, p + 16);
  cr_assert(ht_is(&f, "invalid free"));
  ht_give(hd, p);
  for (int i = 0; i < 50; i++) ht_give(hd, ht_take(hd, 100000));
  f = ht_try_give(hd, p);
  cr_assert(ht_is(&f, "double free"));
  cr_assert_eq(f.size, 100000);
}

Test(harden_large, quarantine_is_bounded_and_ends) {
  struct harden *hd = ht_new(NULL);
  struct harden_finding f;
  hd->large.max_held_bytes = (size_t)1 << 20;
  for (int i = 0; i < 1000; i++) {
    ht_give(hd, ht_take(hd, 100000));
    cr_assert_leq(hd->large.held_bytes, (size_t)1 << 20);
  }
  cr_assert_gt(hd->large.held_bytes, (size_t)1 << 19);
  ht_give(hd, ht_take(hd, 2u << 20)); /* too large to be held */
  cr_assert(harden_flush(hd, &f));
  cr_assert_eq(hd->large.held_bytes, 0);
  cr_assert_eq(atomic_u32_load_relaxed(&hd->env.guards), 0);
  cr_assert_eq(atomic_u64_load_relaxed(&hd->env.heap->stats.pages_inuse), 0);
}

Test(harden_large, without_guards_there_is_a_canary_at_least) {
  struct harden *hd = ht_new(NULL);
  hd->env.max_guards = 0;
  for (size_t i = 0; i < array_len(sizes); i++) {
    char *p = ht_take(hd, sizes[i]);
    ht_give(hd, p);
    p = ht_take(hd, sizes[i]);
    p[sizes[i]] = 0;
    struct harden_finding f = ht_try_give(hd, p);
    cr_assert(ht_is(&f, "heap overflow"), "%zu", sizes[i]);
  }
}

Test(harden_large, absurd_sizes_are_refused) {
  struct harden *hd = ht_new(NULL);
  struct harden_finding f;
  cr_assert_eq(harden_take(hd, SIZE_MAX, 16, &f), 0);
  cr_assert_eq(harden_take(hd, PTRDIFF_MAX, 16, &f), 0);
  cr_assert_eq(harden_take(hd, 16, (size_t)1 << 62, &f), 0);
  cr_assert_null(f.kind);
}

/* Every call of the system refused in turn: NULL, and nothing breaks. */
Test(harden_large, refusals_of_the_system_are_failed_allocations) {
  for (uint64_t n = 1; n < 40; n++) {
    static struct vm_faulty faulty;
    struct heap *h = test_heap_raw();
    struct heap_config cfg = {
        .vm = vm_faulty_init(&faulty, vm_system(), 0, false),
        .classes = &sizeclasses_malloc,
        .opt.window_log2 = 34,
        .address_space_left = UINT64_MAX};
    cr_assert_eq(heap_init(h, &cfg, NULL, 0), HEAP_INIT_OK);
    struct harden *hd = ht_new_on(h, NULL);
    faulty.fail_at = atomic_u64_load_relaxed(&faulty.ncalls) + n;
    faulty.forever = n % 2;
    for (size_t i = 0; i < 100; i++) {
      struct harden_finding f;
      uintptr_t p = harden_take(hd, i % 2 ? 100 * i : 10000 * i, 16, &f);
      cr_assert_null(f.kind);
      if (p && i % 3) ht_give(hd, (void *)p);
    }
    faulty.fail_at = 0;
    harden_verify(hd);
    ht_give(hd, ht_take(hd, 100000));
    ht_give(hd, ht_take(hd, 100));
  }
}
