// SPDX-License-Identifier: MIT
/* The public allocation functions: sizes, alignment, zeroing, free, realloc. */
#include "base/compiler.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <mallocgc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct pair {
  struct pair *left, *right;
};
MGC_TYPE(struct pair, left, right);

struct plain { /* no MGC_TYPE: conservative */
  void *p;
  size_t n;
};

struct point {
  double x, y, z;
};
MGC_TYPE_NOPTR(struct point);

struct wide {
  char bytes[64] __attribute__((aligned(64)));
  void *next;
};

static bool all_zero(const void *p, size_t n) {
  const char *c = p;
  for (size_t i = 0; i < n; i++)
    if (c[i]) return false;
  return true;
}

Test(native, zero_sizes_give_an_address) {
  cr_assert_not_null(mgc_alloc(0));
  cr_assert_not_null(mgc_new_noscan(0));
  cr_assert_not_null(mgc_new_array(struct pair, 0));
  mgc_free(mgc_alloc(0));
  mgc_free(NULL);
}

Test(native, every_size_is_aligned_usable_and_found_again) {
  for (size_t n = 1; n < 70000; n += n < 1100 ? 1 : n / 7) {
    size_t align = n >= 16 ? 16 : n >= 8 ? 8 : 1;
    char *a = mgc_alloc(n), *b = mgc_new_noscan(n);
    cr_assert(a && b);
    cr_assert_eq((uintptr_t)a % align, 0, "alloc %zu", n);
    cr_assert_eq((uintptr_t)b % align, 0, "noscan %zu", n);
    cr_assert(all_zero(a, n), "alloc %zu is not zero", n);
    memset(a, 1, n);
    memset(b, 2, n);
    cr_assert_geq(mgc_usable_size(a), n);
    cr_assert_eq(mgc_base(a + n - 1), a);
    cr_assert_eq(mgc_base(a + n), a, "one past the end of %zu", n);
  }
}

Test(native, new_is_zero_even_in_used_memory) {
  for (int round = 0; round < 50; round++) {
    for (int i = 0; i < 2000; i++) {
      struct pair *p = mgc_new(struct pair);
      struct point *q = mgc_new(struct point);
      struct plain *r = mgc_new(struct plain);
      cr_assert(all_zero(p, sizeof *p) && all_zero(q, sizeof *q) &&
                all_zero(r, sizeof *r));
      memset(p, 0xff, sizeof *p);
      memset(q, 0xff, sizeof *q);
      memset(r, 0xff, sizeof *r);
    }
    if (round % 10 == 0) mgc_collect();
  }
}

Test(native, over_aligned_types_are_aligned) {
  for (int i = 0; i < 300; i++)
    cr_assert_eq((uintptr_t)mgc_new(struct wide) % 64, 0);
  for (size_t align = 8; align <= 1 << 20; align *= 2)
    cr_assert_eq((uintptr_t)mgc_alloc_aligned(align, 100) % align, 0);
}

Test(native, bad_arguments_are_reported) {
  errno = 0;
  cr_assert_null(mgc_alloc_aligned(24, 10));
  cr_assert_eq(errno, EINVAL);
  errno = 0;
  cr_assert_null(mgc_new_array(struct pair, SIZE_MAX / 8));
  cr_assert_eq(errno, ENOMEM);
  errno = 0;
  volatile size_t huge = SIZE_MAX;
  cr_assert_null(mgc_alloc(huge));
  cr_assert_eq(errno, ENOMEM);
  errno = 0;
  cr_assert_null(mgc_new_noscan((size_t)1 << 60));
  cr_assert_eq(errno, ENOMEM);
}

Test(native, tiny_objects_share_blocks) {
  struct mgc_memstats before, after;
  mgc_read_memstats(&before);
  char *p[1000];
  for (int i = 0; i < 1000; i++) {
    p[i] = mgc_new_array(char, 3);
    p[i][0] = (char)i;
    p[i][1] = (char)(i >> 8);
  }
  for (int i = 0; i < 1000; i++)
    cr_assert(p[i][0] == (char)i && p[i][1] == (char)(i >> 8));
  mgc_read_memstats(&after);
  cr_assert_eq(after.mallocs - before.mallocs, 1000);
  uint64_t shared = after.tiny_allocs - before.tiny_allocs;
  if (MGC_TSAN) /* blocks that objects share would share their races */
    cr_assert_eq(shared, 0);
  else
    cr_assert_geq(shared, 700);
}

Test(native, statistics_add_up) {
  struct mgc_memstats m;
  void *keep[100];
  for (int i = 0; i < 100; i++) keep[i] = mgc_alloc((size_t)i * 977 + 1);
  mgc_free(keep[99]);
  mgc_collect();
  mgc_read_memstats(&m);
  cr_assert_eq(m.heap_objects, m.mallocs - m.frees);
  cr_assert_eq(m.heap_idle, m.heap_sys - m.heap_inuse);
  cr_assert_leq(m.heap_alloc, m.heap_inuse);
  cr_assert_leq(m.heap_released, m.heap_idle);
  cr_assert_gt(m.sys, m.heap_sys);
  cr_assert_geq(m.num_gc, 1);
  cr_assert_geq(m.num_forced_gc, 1);
  cr_assert_eq(m.threads, 1);
  for (int i = 0; i < 99; i++) mgc_keep_alive(keep[i]);
}

Test(native, realloc_keeps_contents_and_zeroes_the_rest) {
  for (size_t from = 1; from < 300000; from = from * 3 + 1)
    for (size_t to = 1; to < 900000; to = to * 4 + 3) {
      unsigned char *p = mgc_alloc(from);
      for (size_t i = 0; i < from; i++) p[i] = (unsigned char)(i * 31 + 1);
      p = mgc_realloc(p, to);
      cr_assert_not_null(p);
      for (size_t i = 0; i < from && i < to; i++)
        cr_assert_eq(p[i], (unsigned char)(i * 31 + 1), "%zu -> %zu", from, to);
      if (to > from) cr_assert(all_zero(p + from, to - from));
    }
}

Test(native, realloc_down_and_up_again_is_zero) {
  for (size_t n = 300; n < 100000; n = n * 2 + 7) {
    unsigned char *p = mgc_alloc(n);
    memset(p, 0xee, n);
    p = mgc_realloc(p, n - n / 6);
    p = mgc_realloc(p, n);
    cr_assert(all_zero(p + (n - n / 6), n / 6), "of %zu", n);
  }
}

Test(native, zeroed_without_pointers_in_freed_slots) {
  enum { N = 20000 };
  static void *p[N];
  mgc_set_gc_percent(-1);
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < N; i++) memset(p[i] = mgc_new_noscan(20), 0xee, 20);
    for (int i = 0; i < N; i++) mgc_free(p[i]);
    for (int i = 0; i < N; i++) {
      /* Raw and zeroed requests in turn share runs. */
      p[i] = i % 2 ? mgc_new_noscan(20) : mgc_new(struct point);
      if (i % 2 == 0) cr_assert(all_zero(p[i], sizeof(struct point)));
      memset(p[i], 0xee, 20);
    }
    for (int i = 0; i < N; i++) mgc_free(p[i]);
  }
}

Test(native, freed_slots_are_used_again) {
  struct mgc_memstats before, after;
  mgc_set_gc_percent(-1);
  for (int i = 0; i < 1000; i++) mgc_free(mgc_alloc(100));
  mgc_read_memstats(&before);
  for (int i = 0; i < 1000000; i++) mgc_free(mgc_alloc(100));
  mgc_read_memstats(&after);
  cr_assert_leq(after.heap_inuse - before.heap_inuse, 64 << 10);
}

Test(native, freeing_many_makes_room_without_collecting) {
  enum { N = 100000 };
  static void *p[N];
  mgc_set_gc_percent(-1);
  struct mgc_memstats first, last;
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < N; i++) p[i] = mgc_alloc(48);
    if (round == 0) mgc_read_memstats(&first);
    for (int i = 0; i < N; i++) mgc_free(p[i]);
  }
  mgc_read_memstats(&last);
  /* The stress mode gc_every collects all the same. */
  const char *options = getenv("MALLOCGC_OPTIONS");
  if (!options || !strstr(options, "gc_every"))
    cr_assert_eq(last.num_gc, first.num_gc);
  cr_assert_leq(last.heap_inuse, first.heap_inuse + first.heap_inuse / 4);
}

Test(native, large_free_gives_pages_back_at_once) {
  struct mgc_memstats m;
  mgc_set_gc_percent(-1);
  for (int i = 0; i < 200; i++) {
    char *p = mgc_alloc(10 << 20);
    p[0] = 1;
    mgc_free(p);
  }
  mgc_read_memstats(&m);
  cr_assert_lt(m.heap_sys, 200 << 20);
}

Test(native, double_free_is_fatal, .signal = SIGABRT) {
  void *p = mgc_alloc(64);
  mgc_free(p);
  mgc_free(p);
}

Test(native, interior_free_is_fatal, .signal = SIGABRT) {
  char *p = mgc_alloc(64);
  mgc_free(p + 8);
}

Test(native, foreign_free_is_fatal, .signal = SIGABRT) {
  int x;
  cr_assert_eq(mgc_init(), 0);
  mgc_free(&x);
}

Test(native, large_double_free_is_fatal, .signal = SIGABRT) {
  void *p = mgc_alloc(1 << 20);
  mgc_free(p);
  mgc_free(p);
}

Test(native, strdup_copies) {
  cr_assert_str_eq(mgc_strdup("hello, heap"), "hello, heap");
  cr_assert_str_eq(mgc_strndup("hello, heap", 5), "hello");
  cr_assert_str_eq(mgc_strndup("", 5), "");
}

#if !defined(__SANITIZE_ADDRESS__) && !MGC_TSAN
/* A sanitizer's shadow alone is more address space than these allow. */

Test(native, no_address_space_is_reported_once) {
  struct rlimit lim = {256 << 20, 256 << 20};
  cr_assert_eq(setrlimit(RLIMIT_AS, &lim), 0);
  cr_assert_eq(mgc_init(), -ENOMEM);
  errno = 0;
  cr_assert_null(mgc_alloc(10));
  cr_assert_eq(errno, ENOMEM);
}

Test(native, small_address_space_is_enough) {
  struct rlimit lim = {(rlim_t)2 << 30, (rlim_t)2 << 30};
  cr_assert_eq(setrlimit(RLIMIT_AS, &lim), 0);
  cr_assert_eq(mgc_init(), 0);
  for (int i = 0; i < 100000; i++) {
    void *p = mgc_alloc(1000);
    cr_assert_not_null(p);
  }
}

Test(native, exhaustion_gives_null_not_death) {
  /* Apart, so that a stale word of the stack keeps one of them at most. */
  static void *blocks[1024];
  size_t n = 0;
  struct rlimit lim = {(rlim_t)2 << 30, (rlim_t)2 << 30};
  cr_assert_eq(setrlimit(RLIMIT_AS, &lim), 0);
  while ((blocks[n] = mgc_alloc(8 << 20)) != NULL) n++;
  cr_assert_eq(errno, ENOMEM);
  cr_assert_gt(n, 50);
  memset(blocks, 0, sizeof blocks);
  mgc_collect();
  cr_assert_not_null(mgc_alloc(8 << 20));
}

#endif
