// SPDX-License-Identifier: MIT
/* What malloc's large blocks and huge pages ask of the page allocator: places with
 * room behind, pages freed without memory, chunks asked to be huge. */
#include "support/pagefix.h"

#include <signal.h>

#define BASE 64u

struct advice {
  struct pagefix f; /* must be first */
  uintptr_t base;   /* of the last call */
  size_t bytes;
  bool enable;
  unsigned ncalls;
};

static void note_advice(struct vm *vm, void *p, size_t n, bool enable) {
  struct advice *a = (struct advice *)(void *)vm;
  a->base = (uintptr_t)p;
  a->bytes = n;
  a->enable = enable;
  a->ncalls++;
}

static struct advice fix;

static struct pagealloc *begin(size_t nchunks) {
  pagefix_init(&fix.f, WINDOW_ALL);
  fix.f.ops.hugepage = note_advice;
  pagefix_grow(&fix.f, BASE, nchunks);
  return &fix.f.p;
}

static uintptr_t alloc(struct pagealloc *p, size_t npages) {
  uintptr_t scav;
  return pagealloc_alloc(p, npages, &scav);
}

Test(pagegive, with_room_takes_the_lowest_place_that_has_it) {
  struct pagealloc *p = begin(2);
  uintptr_t scav, a = alloc(p, 10), hole = alloc(p, 20);
  alloc(p, 1);
  pagealloc_free(p, hole, 20);
  cr_assert_eq(pagealloc_alloc_with_room(p, 5, 15, &scav), hole);
  pagealloc_free(p, hole, 5);
  uintptr_t b = pagealloc_alloc_with_room(p, 5, 16, &scav);
  cr_assert_eq(b, hole + 21 * MGC_PAGE_SIZE, "the hole is one page short");
  cr_assert_eq(scav, 5 * MGC_PAGE_SIZE, "no more than was taken");
  cr_assert(pagealloc_is_free(p, b + 5 * MGC_PAGE_SIZE, 16));
  cr_assert_eq(pagealloc_alloc_with_room(p, 1, 2000, &scav), 0);
  cr_assert_eq(alloc(p, 20), hole, "what is behind stayed free");
  cr_assert_neq(a, 0);
  pagealloc_verify(p);
}

Test(pagegive, is_free_sees_every_page_and_the_end) {
  struct pagealloc *p = begin(2);
  uintptr_t a = alloc(p, 700);
  uintptr_t end = CHUNK(BASE + 2);
  cr_assert_not(pagealloc_is_free(p, a + 699 * MGC_PAGE_SIZE, 1));
  cr_assert_not(pagealloc_is_free(p, a + 699 * MGC_PAGE_SIZE, 2));
  cr_assert(pagealloc_is_free(p, a + 700 * MGC_PAGE_SIZE, 324));
  cr_assert_not(pagealloc_is_free(p, a + 700 * MGC_PAGE_SIZE, 325), "the end");
  cr_assert(pagealloc_is_free(p, end - MGC_PAGE_SIZE, 1));
}

Test(pagegive, pages_freed_without_memory_are_scavenged) {
  struct pagealloc *p = begin(3);
  static const size_t sizes[] = {1, 511, 512, 513, 1200};
  uintptr_t scav;
  for (unsigned i = 0; i < array_len(sizes); i++) {
    uintptr_t a = pagealloc_alloc(p, sizes[i], &scav);
    pagealloc_free_scavenged(p, a, sizes[i]);
    pagealloc_verify(p);
    cr_assert_eq(pagealloc_alloc(p, sizes[i], &scav), a);
    cr_assert_eq(scav, sizes[i] * MGC_PAGE_SIZE, "%zu pages", sizes[i]);
    pagealloc_free_scavenged(p, a, sizes[i]);
  }
  struct scavenge_policy all = {.force = true};
  cr_assert_eq(pagealloc_scavenge(p, SIZE_MAX, &all), 0, "nothing is left");
  cr_assert_eq(fix.f.unused_calls, 0);
}

Test(pagegive, free_scavenged_of_what_is_not_ours_is_fatal, .signal = SIGABRT) {
  pagealloc_free_scavenged(begin(1), CHUNK(BASE + 1), 1);
}

Test(pagegive, chunk_with_a_hole_is_not_huge_any_more) {
  struct pagealloc *p = begin(2);
  struct scavenge_policy all = {.force = true};
  (void)pagealloc_ask_huge(p, CHUNK(BASE), 2 * PALLOC_CHUNK_BYTES);
  cr_assert_eq(fix.ncalls, 1);
  cr_assert(fix.enable && fix.base == CHUNK(BASE));
  cr_assert_eq(fix.bytes, 2 * PALLOC_CHUNK_BYTES);

  uintptr_t a = alloc(p, 1024);
  /* A whole huge page of the second chunk: it stays huge. */
  pagealloc_free(p, a + 512 * MGC_PAGE_SIZE, 256);
  cr_assert_gt(pagealloc_scavenge(p, SIZE_MAX, &all), 0);
  cr_assert_eq(fix.ncalls, 1);
  /* A part of one in the first: its half is withdrawn, once. */
  for (unsigned i = 0; i < 2; i++) {
    pagealloc_free(p, a + (10 + 20 * i) * MGC_PAGE_SIZE, 7);
    cr_assert_gt(pagealloc_scavenge(p, SIZE_MAX, &all), 0);
    cr_assert_eq(fix.ncalls, 2);
  }
  cr_assert(!fix.enable && fix.base == CHUNK(BASE));
  cr_assert_eq(fix.bytes, PAGEALLOC_HALF_BYTES);
  pagealloc_free(p, a + (256 + 10) * MGC_PAGE_SIZE, 7);
  cr_assert_gt(pagealloc_scavenge(p, SIZE_MAX, &all), 0);
  cr_assert_eq(fix.ncalls, 3, "and the other");
  cr_assert_eq(fix.base, CHUNK(BASE) + PAGEALLOC_HALF_BYTES);
  /* It may be asked for again. */
  cr_assert_eq(pagealloc_ask_huge(p, CHUNK(BASE), 2 * PALLOC_CHUNK_BYTES),
               PALLOC_CHUNK_BYTES);
  pagealloc_verify(p);
}

Test(pagegive, what_was_asked_is_not_asked_again) {
  struct pagealloc *p = begin(4);
  size_t chunk = PALLOC_CHUNK_BYTES;
  cr_assert_eq(pagealloc_ask_huge(p, CHUNK(BASE + 1), chunk), chunk);
  cr_assert_eq(pagealloc_ask_huge(p, CHUNK(BASE), 4 * chunk), 3 * chunk);
  cr_assert_eq(fix.ncalls, 3);
  cr_assert_eq(fix.base, CHUNK(BASE + 2));
  cr_assert_eq(fix.bytes, 2 * chunk);
  cr_assert_eq(pagealloc_ask_huge(p, CHUNK(BASE), 4 * chunk), 0);
  cr_assert_eq(fix.ncalls, 3);
}

Test(pagegive, without_huge_pages_nothing_is_asked) {
  struct pagealloc *p = begin(1);
  fix.f.vm.hugepage_size = 0;
  (void)pagealloc_ask_huge(p, CHUNK(BASE), PALLOC_CHUNK_BYTES);
  cr_assert_eq(fix.ncalls, 0);
}
