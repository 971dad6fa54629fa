// SPDX-License-Identifier: MIT
#include "base/bits.h"
#include "base/fixalloc.h"
#include "support/fakesource.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

struct world {
  struct fake_source src;
  struct persistent persistent;
  struct memstat stat;
  struct fixalloc fix;
  unsigned nfirst;
  void *last_first;
};

static void count_first(void *arg, void *p) {
  struct world *w = arg;
  w->nfirst++;
  w->last_first = p;
}

static void world_init(struct world *w, size_t size, uint64_t fail_at) {
  memset(w, 0, sizeof(*w));
  fake_source_init(&w->src, fail_at);
  persistent_init(&w->persistent, &w->src.src);
  fixalloc_init(&w->fix, size, count_first, w, &w->persistent, &w->stat);
}

static bool all_bytes(const unsigned char *p, size_t n, unsigned char value) {
  for (size_t i = 0; i < n; i++)
    if (p[i] != value) return false;
  return true;
}

Test(fixalloc, first_is_called_once_for_each_object) {
  struct world w;
  void *p[3];
  world_init(&w, 32, 0);
  for (unsigned i = 0; i < 3; i++) {
    p[i] = fixalloc_alloc(&w.fix);
    cr_assert_eq(w.nfirst, i + 1);
    cr_assert_eq(w.last_first, p[i]);
  }
  fixalloc_free(&w.fix, p[1]);
  fixalloc_free(&w.fix, p[0]);
  cr_assert_eq(fixalloc_alloc(&w.fix), p[0]);
  cr_assert_eq(fixalloc_alloc(&w.fix), p[1]);
  cr_assert_eq(w.nfirst, 3, "objects that come again are not new");
}

Test(fixalloc, used_objects_are_zeroed_unless_told_not_to) {
  struct world w;
  world_init(&w, 64, 0);
  unsigned char *p = fixalloc_alloc(&w.fix);
  cr_assert(all_bytes(p, 64, 0));
  memset(p, 0xab, 64);
  fixalloc_free(&w.fix, p);
  cr_assert_eq(fixalloc_alloc(&w.fix), p);
  cr_assert(all_bytes(p, 64, 0));
  memset(p, 0xab, 64);
  fixalloc_free(&w.fix, p);
  w.fix.zero = false;
  cr_assert_eq(fixalloc_alloc(&w.fix), p);
  cr_assert(all_bytes(p + 8, 56, 0xab), "all but the link is kept");
}

/* What the test believes about the objects it holds. */
struct held {
  unsigned char *p;
  unsigned char fill;
};

Test(fixalloc, random_use_never_overlaps_and_counts_bytes) {
  static const size_t sizes[] = {8, 24, 48, 64, 160, 1000, 8192, 16384};
  struct rng r = rng_seed();
  for (size_t s = 0; s < array_len(sizes); s++) {
    struct world w;
    struct held held[200];
    size_t n = 0, most = 0;
    world_init(&w, sizes[s], 0);
    for (int step = 0; step < 3000; step++) {
      if (n < array_len(held) && (n == 0 || rng_chance(&r, 2))) {
        struct held *h = &held[n++];
        h->p = fixalloc_alloc(&w.fix);
        cr_assert_not_null(h->p);
        cr_assert(all_bytes(h->p, sizes[s], 0));
        h->fill = (unsigned char)(1 + rng_below(&r, 255));
        memset(h->p, h->fill, sizes[s]);
        most = n > most ? n : most;
      } else {
        size_t i = (size_t)rng_below(&r, n);
        cr_assert(all_bytes(held[i].p, sizes[s], held[i].fill), "overlap");
        fixalloc_free(&w.fix, held[i].p);
        held[i] = held[--n];
      }
      cr_assert_eq(w.fix.inuse, n * sizes[s]);
    }
    cr_assert_eq(w.nfirst, most, "free objects are used before new ones");
  }
}

Test(fixalloc, objects_have_the_alignment_of_their_size) {
  static const struct {
    size_t size, align;
  } cases[] = {{8, 8}, {24, 8}, {48, 16}, {64, 64}, {192, 64}, {4096, 64}};
  for (size_t i = 0; i < array_len(cases); i++) {
    struct world w;
    world_init(&w, cases[i].size, 0);
    persistent_alloc(&w.persistent, 3, 1, NULL); /* an odd beginning */
    for (int k = 0; k < 40; k++)
      cr_assert(is_aligned((uintptr_t)fixalloc_alloc(&w.fix), cases[i].align));
  }
}

Test(fixalloc, chunks_are_whole_objects_and_counted) {
  struct world w;
  world_init(&w, 1000, 0);
  for (int i = 0; i < 17; i++) fixalloc_alloc(&w.fix);
  /* 16 objects of 1,000 bytes fit into 16 KiB. */
  cr_assert_eq(memstat_load(&w.stat), 2 * 16000);
}

Test(fixalloc, exhausted_source_gives_null_and_free_objects_still_come) {
  struct world w;
  void *p = NULL, *last = NULL;
  size_t n = 0;
  world_init(&w, 16384, 2);
  while ((p = fixalloc_alloc(&w.fix))) {
    last = p;
    n++;
  }
  cr_assert_eq(n, 16, "one chunk of 256 KiB");
  cr_assert_eq(w.fix.inuse, n * 16384);
  cr_assert_null(fixalloc_alloc(&w.fix));
  fixalloc_free(&w.fix, last);
  cr_assert_eq(fixalloc_alloc(&w.fix), last);
  w.src.fail_at = 0;
  cr_assert_not_null(fixalloc_alloc(&w.fix));
}

Test(fixalloc, no_first_function_is_fine) {
  struct world w;
  world_init(&w, 16, 0);
  fixalloc_init(&w.fix, 16, NULL, NULL, &w.persistent, NULL);
  cr_assert_not_null(fixalloc_alloc(&w.fix));
}

Test(fixalloc, object_larger_than_a_chunk_is_fatal, .signal = SIGABRT) {
  struct world w;
  world_init(&w, FIXALLOC_CHUNK + 8, 0);
}

Test(fixalloc, more_frees_than_allocations_are_fatal, .signal = SIGABRT) {
  struct world w;
  world_init(&w, 16, 0);
  void *p = fixalloc_alloc(&w.fix);
  fixalloc_free(&w.fix, p);
  fixalloc_free(&w.fix, p);
}
