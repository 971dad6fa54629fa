// SPDX-License-Identifier: MIT
/* Spans that wait for the next of their length, and the page map. */
#include "heap/mheap_internal.h"
#include "heap/pagemap.h"
#include "heap/spanstash.h"
#include "support/test_heap.h"
#include <criterion/criterion.h>

TestSuite(spanstash);
TestSuite(pagemap);

static struct spanstash *make_stash(struct heap **h) {
  static struct spanstash st;
  *h = test_heap_cfg((struct heap_config){.classes = &sizeclasses_malloc,
                                          .opt = {.window_log2 = 34}});
  cr_assert_not_null(*h);
  spanstash_init(&st);
  return &st;
}

static struct mspan *new_span(struct heap *h, size_t npages) {
  struct mspan *s = mheap_alloc_plain(h, npages, 1, 0);
  cr_assert_not_null(s);
  return s;
}

static void give(struct spanstash *st, struct heap *h, struct mspan *s,
                 size_t limit) {
  mheap_park(h, s);
  spanstash_give(st, h, s, limit);
}

static uint64_t bytes(const struct spanstash *st) {
  return atomic_u64_load_relaxed(&st->bytes);
}

Test(spanstash, takes_a_span_of_the_length_only_and_for_another_class) {
  struct heap *h;
  struct spanstash *st = make_stash(&h);
  struct mspan *s = new_span(h, 4);
  uintptr_t base = s->base;
  give(st, h, s, 1 << 20);
  cr_assert_eq(bytes(st), 4 * MGC_PAGE_SIZE);
  cr_assert_null(span_of_heap(&h->arenas, base), "parked, yet found");
  cr_assert_null(spanstash_take(st, h, 3, 0));
  cr_assert_null(spanstash_take(st, h, 5, 0));
  unsigned sc = sizeclass_of(&sizeclasses_malloc, 1024);
  cr_assert_eq(spanstash_take(st, h, 4, sc), s);
  cr_assert_eq(s->base, base);
  cr_assert_eq(s->elemsize, 1024);
  cr_assert_eq(s->nelems, 32);
  cr_assert(s->needzero, "its memory was used");
  cr_assert_eq(span_of_heap(&h->arenas, base + 5000), s);
  cr_assert_eq(bytes(st), 0);
}

Test(spanstash, keeps_to_the_limit_and_gives_pages_back) {
  struct heap *h;
  struct spanstash *st = make_stash(&h);
  size_t limit = 64 * MGC_PAGE_SIZE;
  struct mspan *s[100];
  for (int i = 0; i < 100; i++) s[i] = new_span(h, 1 + (size_t)i % 7);
  for (int i = 0; i < 100; i++) {
    give(st, h, s[i], limit);
    cr_assert_leq(bytes(st), limit);
  }
  cr_assert_gt(bytes(st), limit / 2);
  /* Longer than half of it: never parked. */
  uint64_t before = bytes(st);
  give(st, h, new_span(h, 40), limit);
  cr_assert_eq(bytes(st), before);
  spanstash_shrink(st, h, 0);
  cr_assert_eq(bytes(st), 0);
  cr_assert_eq(atomic_u64_load_relaxed(&h->stats.pages_inuse), 0);
  /* All pages are one run again: what was parked first comes first. */
  struct mspan *all = new_span(h, 400);
  cr_assert_leq(all->base, s[0]->base);
}

/* --- the page map --- */

Test(pagemap, finds_what_was_set_and_nothing_else) {
  struct vm *vm = vm_system();
  static struct pagemap m;
  uintptr_t base = (uintptr_t)1 << 44;
  struct mspan a, b;
  pagemap_init(&m, vm, base, SIZE_MAX);
  cr_assert_null(pagemap_get(&m, base), "nothing is mapped yet");
  cr_assert(pagemap_cover(&m, vm, base, HEAP_ARENA_BYTES));
  pagemap_set(&m, base + 3 * MGC_PAGE_SIZE, 2, &a);
  pagemap_set(&m, base + 5 * MGC_PAGE_SIZE, 1, &b);
  cr_assert_eq(pagemap_get(&m, base + 3 * MGC_PAGE_SIZE - 1), &pagemap_none);
  cr_assert_eq(pagemap_get(&m, base + 3 * MGC_PAGE_SIZE), &a);
  cr_assert_eq(pagemap_get(&m, base + 5 * MGC_PAGE_SIZE - 1), &a);
  cr_assert_eq(pagemap_get(&m, base + 6 * MGC_PAGE_SIZE - 1), &b);
  cr_assert_eq(pagemap_get(&m, base + 6 * MGC_PAGE_SIZE), &pagemap_none);
  /* Addresses below, behind and far beyond are misses, not faults. */
  uintptr_t wild[] = {0,           1,
                      base - 1,    base + HEAP_ARENA_BYTES,
                      UINTPTR_MAX, 0x4141414141414141u,
                      base << 1};
  for (size_t i = 0; i < array_len(wild); i++)
    cr_assert_null(pagemap_get(&m, wild[i]), "0x%lx", (unsigned long)wild[i]);
  pagemap_set(&m, base + 3 * MGC_PAGE_SIZE, 3, NULL);
  cr_assert_eq(pagemap_get(&m, base + 4 * MGC_PAGE_SIZE), &pagemap_none);
}

Test(pagemap, no_room_for_a_table_means_that_nothing_is_found) {
  static struct vm_faulty f;
  struct vm *vm = vm_faulty_init(&f, vm_system(), 1, true);
  static struct pagemap m;
  struct mspan a;
  uintptr_t base = (uintptr_t)1 << 44;
  pagemap_init(&m, vm, base, SIZE_MAX);
  cr_assert(pagemap_cover(&m, vm, base, HEAP_ARENA_BYTES));
  pagemap_set(&m, base, 1, &a);
  cr_assert_null(pagemap_get(&m, base));
}
