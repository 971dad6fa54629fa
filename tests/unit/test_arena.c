// SPDX-License-Identifier: MIT
/* The arena map, spans[] and the boundary of memory that was never used. */
#include "heap/arena.h"
#include "os/vm.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#define FIRST ((uintptr_t)1 << 36)

static struct arena_map map;
static struct memstat stat;

static void fixture_init(void) {
  struct addrwindow w = {.base = FIRST, .log2_size = 34};
  cr_assert(arena_map_init(&map, vm_system(), w, &stat));
}

static struct heap_arena *add(uintptr_t i) {
  struct heap_arena *made;
  cr_assert(arena_map_add(&map, vm_system(), FIRST + i * HEAP_ARENA_BYTES + 99,
                          &stat, &made));
  return made;
}

Test(arena, map_finds_what_was_added_and_nothing_else, .init = fixture_init) {
  struct heap_arena *a = add(3);
  cr_assert_eq(a->base, FIRST + 3 * HEAP_ARENA_BYTES);
  cr_assert_eq(arena_of(&map, a->base), a);
  cr_assert_eq(arena_of(&map, a->base + HEAP_ARENA_BYTES - 1), a);
  cr_assert_null(arena_of(&map, a->base - 1));
  cr_assert_null(arena_of(&map, a->base + HEAP_ARENA_BYTES));
  cr_assert_null(arena_of(&map, 0));
  cr_assert_null(arena_of(&map, UINTPTR_MAX));
  cr_assert_null(add(3), "it is there already");
  cr_assert_not(arena_map_add(&map, vm_system(), FIRST - 1, &stat, NULL));
}

Test(arena, neighbours_are_linked_in_any_order, .init = fixture_init) {
  struct heap_arena *a[4];
  static const unsigned order[] = {2, 0, 3, 1};
  for (unsigned i = 0; i < 4; i++) a[order[i]] = add(order[i]);
  for (unsigned i = 0; i < 4; i++)
    cr_assert_eq(atomic_ptr_load_relaxed(&a[i]->above),
                 i < 3 ? a[i + 1] : NULL);
}

Test(arena, spans_are_set_across_arenas, .init = fixture_init) {
  struct mspan s;
  add(0);
  add(1);
  uintptr_t base = FIRST + HEAP_ARENA_BYTES - 3 * MGC_PAGE_SIZE;
  arena_set_spans(&map, base, 5, &s);
  for (uintptr_t i = 0; i < 5; i++)
    cr_assert_eq(span_of(&map, base + i * MGC_PAGE_SIZE + 17), &s);
  cr_assert_null(span_of(&map, base - 1));
  cr_assert_null(span_of(&map, base + 5 * MGC_PAGE_SIZE));
  arena_set_spans(&map, base, 5, NULL);
  cr_assert_null(span_of(&map, base));
}

Test(arena, span_of_heap_wants_a_slot_of_a_span_in_use, .init = fixture_init) {
  struct mspan s = {.base = FIRST, .limit = FIRST + 8000};
  add(0);
  arena_set_spans(&map, FIRST, 1, &s);
  cr_assert_null(span_of_heap(&map, FIRST), "dead");
  atomic_u8_store_release(&s.state, MSPAN_INUSE);
  cr_assert_eq(span_of_heap(&map, FIRST), &s);
  cr_assert_eq(span_of_heap(&map, FIRST + 7999), &s);
  cr_assert_null(span_of_heap(&map, FIRST + 8000), "the tail");
  atomic_u8_store_release(&s.state, MSPAN_MANUAL);
  cr_assert_null(span_of_heap(&map, FIRST));
}

/* Against a byte a page: used means some page of it was taken before. */
Test(arena, memory_used_before_always_needs_clearing, .init = fixture_init) {
  enum { PAGES = 3 * PAGES_PER_ARENA };
  static bool used[PAGES];
  struct rng r = rng_seed();
  for (uintptr_t i = 0; i < 3; i++) add(i);
  uintptr_t top[3] = {0};
  for (int step = 0; step < 3000; step++) {
    uintptr_t n = 1 + rng_below(&r, rng_chance(&r, 50) ? 9000 : 20);
    uintptr_t from = rng_below(&r, PAGES - n);
    bool want = false, fresh = true;
    for (uintptr_t p = from; p < from + n; p++) {
      want |= used[p];
      fresh &= p % PAGES_PER_ARENA >= top[p / PAGES_PER_ARENA];
      used[p] = true;
    }
    bool got = arena_take_needs_zero(&map, FIRST + from * MGC_PAGE_SIZE,
                                     n * MGC_PAGE_SIZE);
    cr_assert(got || !want, "used memory taken for zero");
    cr_assert(!got || !fresh, "fresh memory above the boundary is zero");
    for (uintptr_t p = from; p < from + n; p++)
      if (top[p / PAGES_PER_ARENA] <= p % PAGES_PER_ARENA)
        top[p / PAGES_PER_ARENA] = p % PAGES_PER_ARENA + 1;
  }
}

/* --- threads: no page is called zero twice --- */

enum { NTHREADS = 4, NPAGES = 4096 };
static struct atomic_u32 zero_count[NPAGES];

static void *take_pages(void *arg) {
  struct rng r = rng_from((uintptr_t)arg);
  for (int i = 0; i < 20000; i++) {
    uintptr_t p = rng_below(&r, NPAGES);
    uintptr_t addr = FIRST + p * MGC_PAGE_SIZE;
    if (!arena_take_needs_zero(&map, addr, MGC_PAGE_SIZE))
      atomic_u32_fetch_add_relaxed(&zero_count[p], 1);
  }
  return NULL;
}

Test(arena, threads_never_get_one_page_as_zero_twice, .init = fixture_init) {
  pthread_t t[NTHREADS];
  uint32_t total = 0;
  add(0);
  for (uintptr_t i = 0; i < NTHREADS; i++)
    pthread_create(&t[i], NULL, take_pages, (void *)(i + 1));
  for (int i = 0; i < NTHREADS; i++) pthread_join(t[i], NULL);
  for (int p = 0; p < NPAGES; p++) {
    cr_assert_leq(atomic_u32_load_relaxed(&zero_count[p]), 1);
    total += atomic_u32_load_relaxed(&zero_count[p]);
  }
  cr_assert_gt(total, 0);
}
