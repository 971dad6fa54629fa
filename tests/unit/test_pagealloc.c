// SPDX-License-Identifier: MIT
/* The page allocator: growth patterns, exact addresses, failing OS calls. Random
 * sequences against a model are in test_pagealloc_model.c. */
#include "support/pagefix.h"
#include "support/rng.h"
#include <errno.h>
#include <signal.h>
#include <string.h>

#define PAGE(chunk, i) (CHUNK(chunk) + (uintptr_t)(i)*MGC_PAGE_SIZE)
/* A chunk number of a real user address, and the first chunk of a level-0
 * entry. */
#define BASE 0x20000u

static uintptr_t alloc(struct pagefix *f, size_t npages) {
  uintptr_t scav;
  return pagealloc_alloc(&f->p, npages, &scav);
}

/* ---- init ---- */

Test(pagealloc, init_rejects_bad_windows) {
  static const struct addrwindow bad[] = {
      {0, 33}, {0, 49}, {MGC_PAGE_SIZE, 48}, {CHUNK(1) / 2, 34}};
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    struct pagefix f;
    pagefix_prepare(&f);
    cr_expect_eq(pagealloc_init(&f.p, &f.vm, &f.meta, &f.sys, bad[i]), -EINVAL,
                 "window %zu", i);
  }
}

Test(pagealloc, init_small_window_reserves_little) {
  struct pagefix f;
  pagefix_init(&f, (struct addrwindow){CHUNK(BASE), 34});
  /* 36 KiB of summaries and 32 KiB of scavenge index, and the tail. */
  cr_expect_leq(f.p.region_bytes, 72u * 1024);
  cr_expect_leq(memstat_load(&f.sys), 8u * 1024, "%llu",
                (unsigned long long)memstat_load(&f.sys));
  pagefix_destroy(&f);
}

Test(pagealloc, init_whole_space_reserves_the_tables_of_48_bits) {
  struct pagefix f;
  pagefix_init(&f, WINDOW_ALL);
  size_t summaries =
      (128u << 10) + (1u << 20) + (8u << 20) + (64u << 20) + (512u << 20);
  cr_expect_geq(f.p.region_bytes, summaries + (512u << 20));
  cr_expect_leq(f.p.region_bytes, summaries + (513u << 20));
  cr_expect_leq(memstat_load(&f.sys), 512u << 10);
  pagealloc_verify(&f.p);
  cr_expect_eq(alloc(&f, 1), 0u);
  pagefix_destroy(&f);
  cr_expect_leq(memstat_load(&f.sys), 4096u, "only persistent memory is left");
}

/* ---- grow ---- */

struct grow_case {
  const char *what;
  struct {
    uintptr_t chunk;
    size_t n;
  } grow[6];
  size_t nranges;
};

Test(pagealloc, grow_patterns_give_the_ranges_and_all_pages) {
  static const struct grow_case cases[] = {
      {"one", {{BASE, 1}}, 1},
      {"contiguous 2", {{BASE, 1}, {BASE + 1, 1}}, 1},
      {"contiguous 5, downward",
       {{BASE + 4, 1}, {BASE + 3, 1}, {BASE + 2, 1}, {BASE + 1, 1}, {BASE, 1}},
       1},
      {"discontiguous", {{BASE, 1}, {BASE + 2, 1}, {BASE + 4, 1}}, 3},
      {"mixed", {{BASE, 1}, {BASE + 1, 1}, {BASE + 3, 1}, {BASE + 2, 1}}, 1},
      {"wildly discontiguous",
       {{BASE, 1}, {BASE + 0x10, 1}, {BASE + 0x21, 1}},
       3},
      {"two ends of the address space", {{1, 1}, {(1u << 26) - 1, 1}}, 2},
      {"wide", {{BASE, 3}, {0x1ffffff, 1}, {0x1000000, 2}}, 3},
      {"level 3 boundary", {{BASE + 7, 2}}, 1},
      {"level 2 boundary", {{BASE + 63, 2}}, 1},
      {"level 1 boundary", {{BASE + 511, 2}}, 1},
      {"level 0 boundary", {{BASE + 4095, 2}}, 1},
      {"a whole level-1 entry", {{BASE + 512, 512}}, 1},
      {"chunk table boundary", {{BASE + 8191, 2}}, 1},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const struct grow_case *c = &cases[i];
    struct pagefix f;
    size_t total = 0;
    pagefix_init(&f, WINDOW_ALL);
    for (int k = 0; k < 6 && c->grow[k].n; k++) {
      pagefix_grow(&f, c->grow[k].chunk, c->grow[k].n);
      pagealloc_verify(&f.p);
      total += c->grow[k].n;
    }
    cr_expect_eq(f.p.in_use.len, c->nranges, "%s: %zu ranges", c->what,
                 f.p.in_use.len);
    cr_expect_eq(f.p.in_use.total_bytes, total * PALLOC_CHUNK_BYTES);
    size_t got = 0;
    while (alloc(&f, PALLOC_CHUNK_PAGES) != 0) got++;
    cr_expect_eq(got, total, "%s: %zu chunks of %zu", c->what, got, total);
    pagealloc_verify(&f.p);
    pagefix_destroy(&f);
  }
}

Test(pagealloc, grow_33_ranges_grows_the_list_twice) {
  struct pagefix f;
  pagefix_init(&f, WINDOW_ALL);
  for (uintptr_t i = 0; i < 33; i++)
    pagefix_grow(&f, BASE + 0x1000 * ((i * 7) % 33), 1);
  cr_expect_eq(f.p.in_use.len, 33u);
  pagealloc_verify(&f.p);
  for (uintptr_t i = 0; i < 33; i++)
    cr_expect_eq(alloc(&f, 512), CHUNK(BASE + 0x1000 * i));
  cr_expect_eq(alloc(&f, 1), 0u);
  pagefix_destroy(&f);
}

Test(pagealloc, grow_outside_the_window_is_refused) {
  struct pagefix f;
  pagefix_init(&f, (struct addrwindow){CHUNK(BASE), 34});
  cr_expect(!pagealloc_grow(&f.p, CHUNK(BASE - 1), CHUNK(1)));
  cr_expect(!pagealloc_grow(&f.p, CHUNK(BASE + 4096), CHUNK(1)));
  cr_expect(!pagealloc_grow(&f.p, CHUNK(BASE + 4095), CHUNK(2)));
  cr_expect(!pagealloc_grow(&f.p, CHUNK(BASE), CHUNK(4097)));
  pagealloc_verify(&f.p);
  cr_expect(pagealloc_grow(&f.p, CHUNK(BASE + 4095), CHUNK(1)));
  cr_expect_eq(alloc(&f, 512), CHUNK(BASE + 4095));
  pagealloc_verify(&f.p);
  pagefix_destroy(&f);
}

Test(pagealloc, grow_the_whole_small_window_is_one_run) {
  struct pagefix f;
  pagefix_init(&f, (struct addrwindow){CHUNK(BASE), 34});
  pagefix_grow(&f, BASE, 4096);
  cr_expect_eq(f.p.summary[0][0].v, 1ull << 63);
  cr_expect_eq(alloc(&f, (1u << 21) + 1), 0u);
  cr_expect_eq(alloc(&f, 1u << 21), CHUNK(BASE));
  pagealloc_verify(&f.p);
  cr_expect_eq(f.p.search_addr, UINTPTR_MAX);
  pagealloc_free(&f.p, CHUNK(BASE), 1u << 21);
  pagealloc_verify(&f.p);
  cr_expect_eq(f.p.summary[0][0].v, 1ull << 63);
  pagefix_destroy(&f);
}

/* ---- alloc: exact addresses ---- */

/* What of two chunks is allocated beforehand, and the allocations that follow.
 * Addresses are pages from the first chunk's first; -1: fails. */
struct alloc_case {
  const char *what;
  unsigned used[4][2]; /* page, count */
  struct {
    size_t npages;
    long page;
  } hit[5];
};

static void set_up_used(struct pagefix *f, const unsigned used[4][2]) {
  uintptr_t scav;
  pagefix_init(f, WINDOW_ALL);
  pagefix_grow(f, BASE, 2);
  cr_assert_eq(pagealloc_alloc(&f->p, 1024, &scav), CHUNK(BASE));
  cr_assert_eq(scav, CHUNK(2), "fresh memory is scavenged");
  bool busy[1024] = {false};
  for (int k = 0; k < 4; k++)
    for (unsigned i = 0; i < used[k][1]; i++) busy[used[k][0] + i] = true;
  for (unsigned i = 0; i < 1024; i++)
    if (!busy[i]) pagealloc_free(&f->p, PAGE(BASE, i), 1);
  pagealloc_verify(&f->p);
}

Test(pagealloc, alloc_gives_the_lowest_run_that_fits) {
  static const struct alloc_case cases[] = {
      {"all free 1", {{0, 0}}, {{1, 0}, {1, 1}, {1, 2}}},
      {"all free 2", {{0, 0}}, {{2, 0}, {2, 2}, {1, 4}}},
      {"all free 5", {{0, 0}}, {{5, 0}, {5, 5}}},
      {"all free 64", {{0, 0}}, {{64, 0}, {64, 64}, {64, 128}}},
      {"all free 65", {{0, 0}}, {{65, 0}, {65, 65}, {65, 130}}},
      {"chunk", {{0, 0}}, {{512, 0}, {512, 512}, {1, -1}}},
      {"chunk x2", {{0, 0}}, {{1024, 0}, {1, -1}}},
      {"chunk x2 and one", {{0, 0}}, {{1025, -1}, {1, 0}}},
      {"straddle 2", {{0, 511}, {513, 511}}, {{2, 511}, {1, -1}}},
      {"straddle 5", {{0, 510}, {515, 509}}, {{5, 510}, {1, -1}}},
      {"straddle 64", {{0, 480}, {544, 480}}, {{64, 480}, {1, -1}}},
      {"straddle 513", {{0, 300}, {813, 211}}, {{513, 300}, {1, -1}}},
      {"out of order",
       {{0, 1}, {2, 3}},
       {{2, 5}, {1, 1}, {2, 7}, {1, 9}, {1014, 10}}},
      {"hole too small", {{1, 10}, {12, 500}}, {{2, 512}, {1, 0}, {1, 11}}},
      {"full", {{0, 1024}}, {{1, -1}, {2, -1}}},
      {"last page", {{0, 1023}}, {{2, -1}, {1, 1023}, {1, -1}}},
      {"not at word edge", {{0, 100}, {170, 854}}, {{70, 100}, {1, -1}}},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const struct alloc_case *c = &cases[i];
    struct pagefix f;
    set_up_used(&f, c->used);
    for (int k = 0; k < 5 && c->hit[k].npages; k++) {
      uintptr_t scav = 1;
      uintptr_t got = pagealloc_alloc(&f.p, c->hit[k].npages, &scav);
      uintptr_t want = c->hit[k].page < 0 ? 0 : PAGE(BASE, c->hit[k].page);
      cr_expect_eq(got, want, "%s, hit %d: page %ld", c->what, k,
                   (long)((got - CHUNK(BASE)) >> MGC_PAGE_SHIFT));
      cr_expect_eq(scav, 0u, "%s: freed pages are backed", c->what);
      pagealloc_verify(&f.p);
    }
    pagefix_destroy(&f);
  }
}

Test(pagealloc, alloc_counts_scavenged_bytes_exactly) {
  struct pagefix f;
  uintptr_t scav;
  pagefix_init(&f, WINDOW_ALL);
  pagefix_grow(&f, BASE, 1);
  cr_expect_eq(pagealloc_alloc(&f.p, 10, &scav), PAGE(BASE, 0));
  cr_expect_eq(scav, 10 * MGC_PAGE_SIZE);
  pagealloc_free(&f.p, PAGE(BASE, 2), 5);
  pagealloc_free(&f.p, PAGE(BASE, 8), 2);
  cr_expect_eq(pagealloc_alloc(&f.p, 3, &scav), PAGE(BASE, 2));
  cr_expect_eq(scav, 0u);
  cr_expect_eq(pagealloc_alloc(&f.p, 6, &scav), PAGE(BASE, 8));
  cr_expect_eq(scav, 4 * MGC_PAGE_SIZE, "2 of 6 are backed");
  pagealloc_verify(&f.p);
  pagefix_destroy(&f);
}

/* One page after another until nothing is left, for several run lengths, over
 * memory in three pieces. */
Test(pagealloc, exhaust_gives_every_page_once_in_order) {
  static const size_t lengths[] = {1, 2, 5, 64, 65, 512, 1024};
  for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
    size_t n = lengths[i], per_piece = 2 * PALLOC_CHUNK_PAGES / n;
    static const uintptr_t at[] = {BASE, BASE + 0x21, BASE + 0x5000};
    struct pagefix f;
    pagefix_init(&f, WINDOW_ALL);
    for (int k = 2; k >= 0; k--) pagefix_grow(&f, at[k], 2);
    for (int k = 0; k < 3; k++)
      for (size_t j = 0; j < per_piece; j++)
        cr_assert_eq(alloc(&f, n), PAGE(at[k], j * n), "n=%zu piece=%d j=%zu",
                     n, k, j);
    cr_expect_eq(alloc(&f, n), 0u);
    pagealloc_verify(&f.p);
    pagefix_destroy(&f);
  }
}

Test(pagealloc, alloc_across_every_level_boundary) {
  static const uintptr_t at[] = {BASE + 7, BASE + 63, BASE + 511, BASE + 4095};
  for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
    struct pagefix f;
    pagefix_init(&f, WINDOW_ALL);
    pagefix_grow(&f, at[i], 2);
    cr_expect_eq(alloc(&f, 400), CHUNK(at[i]));
    cr_expect_eq(alloc(&f, 600), PAGE(at[i], 400));
    pagealloc_verify(&f.p);
    pagealloc_free(&f.p, PAGE(at[i], 400), 600);
    pagealloc_free(&f.p, CHUNK(at[i]), 400);
    pagealloc_verify(&f.p);
    cr_expect_eq(alloc(&f, 1024), CHUNK(at[i]));
    pagefix_destroy(&f);
  }
}

Test(pagealloc, alloc_40_gib_in_one_run) {
  struct pagefix f;
  size_t npages = 10240 * (size_t)PALLOC_CHUNK_PAGES;
  pagefix_init(&f, WINDOW_ALL);
  pagefix_grow(&f, BASE + 100, 10240);
  cr_expect_eq(alloc(&f, 3), CHUNK(BASE + 100));
  cr_expect_eq(alloc(&f, npages), 0u);
  cr_expect_eq(alloc(&f, npages - 3), PAGE(BASE + 100, 3));
  pagealloc_verify(&f.p);
  pagealloc_free(&f.p, PAGE(BASE + 100, 3), npages - 3);
  pagealloc_verify(&f.p);
  pagefix_destroy(&f);
}

/* search_addr is a hint, so only its position shows whether searches begin where
 * they should. */
Test(pagealloc, search_addr_follows_the_first_free_page) {
  struct pagefix f;
  pagefix_init(&f, WINDOW_ALL);
  pagefix_grow(&f, BASE, 4);
  pagefix_grow(&f, BASE + 0x5000, 1);
  cr_expect_eq(alloc(&f, 3), CHUNK(BASE));
  cr_expect_eq(f.p.search_addr, PAGE(BASE, 3));
  cr_expect_eq(alloc(&f, 512 * 4 - 4), PAGE(BASE, 3));
  cr_expect_eq(f.p.search_addr, PAGE(BASE, 2047));
  cr_expect_eq(alloc(&f, 2), CHUNK(BASE + 0x5000), "passes a free page by");
  cr_expect_eq(f.p.search_addr, PAGE(BASE, 2047));
  cr_expect_eq(alloc(&f, 1), PAGE(BASE, 2047));
  cr_expect_eq(f.p.search_addr, CHUNK(BASE + 0x5000), "the next in use");
  pagealloc_free(&f.p, PAGE(BASE, 700), 600);
  cr_expect_eq(f.p.search_addr, PAGE(BASE, 700));
  /* From a full chunk up the tree and down again, past what is full. */
  f.p.search_addr = CHUNK(BASE);
  cr_expect_eq(alloc(&f, 5), PAGE(BASE, 700));
  cr_expect_eq(f.p.search_addr, PAGE(BASE, 705));
  pagealloc_verify(&f.p);
  pagefix_destroy(&f);
}

/* ---- aligned, extend ---- */

Test(pagealloc, alloc_aligned_takes_the_first_that_fits) {
  struct pagefix f;
  uintptr_t scav;
  pagefix_init(&f, WINDOW_ALL);
  pagefix_grow(&f, BASE, 2);
  cr_expect_eq(alloc(&f, 1), PAGE(BASE, 0));
  cr_expect_eq(pagealloc_alloc_aligned(&f.p, 2, 8, &scav), PAGE(BASE, 8));
  pagealloc_verify(&f.p);
  cr_expect_eq(pagealloc_alloc_aligned(&f.p, 2, 8, &scav), PAGE(BASE, 16));
  cr_expect_eq(pagealloc_alloc_aligned(&f.p, 7, 1, &scav), PAGE(BASE, 1));
  cr_expect_eq(pagealloc_alloc_aligned(&f.p, 300, 512, &scav), PAGE(BASE, 512));
  cr_expect_eq(scav, 300 * MGC_PAGE_SIZE);
  cr_expect_eq(pagealloc_alloc_aligned(&f.p, 1, 1024, &scav), 0u);
  cr_expect_eq(scav, 0u);
  cr_expect_eq(alloc(&f, 6), PAGE(BASE, 10), "what was skipped stays free");
  pagealloc_verify(&f.p);
  pagefix_destroy(&f);
}

Test(pagealloc, try_extend_takes_exactly_the_pages_behind) {
  struct pagefix f;
  uintptr_t scav;
  pagefix_init(&f, WINDOW_ALL);
  pagefix_grow(&f, BASE, 2);
  uintptr_t a = alloc(&f, 10), b = alloc(&f, 1);
  cr_expect(!pagealloc_try_extend(&f.p, a, 10, 1, &scav));
  cr_expect(pagealloc_try_extend(&f.p, b, 1, 700, &scav));
  cr_expect_eq(scav, 700 * MGC_PAGE_SIZE);
  pagealloc_verify(&f.p);
  cr_expect_eq(alloc(&f, 1), PAGE(BASE, 711));
  pagealloc_free(&f.p, PAGE(BASE, 711), 1);
  cr_expect(!pagealloc_try_extend(&f.p, b, 701, 314, &scav), "beyond the end");
  cr_expect(pagealloc_try_extend(&f.p, b, 701, 313, &scav));
  cr_expect(!pagealloc_try_extend(&f.p, b, 1014, 1, &scav));
  cr_expect_eq(f.p.search_addr, UINTPTR_MAX);
  pagealloc_verify(&f.p);
  pagefix_destroy(&f);
}

/* ---- free ---- */

Test(pagealloc, free_in_any_order_joins_runs) {
  static const size_t lengths[] = {1, 2, 5, 64, 65, 512};
  struct rng r = rng_seed();
  for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
    size_t n = lengths[i], count = 4 * PALLOC_CHUNK_PAGES / n;
    uintptr_t got[4 * PALLOC_CHUNK_PAGES];
    struct pagefix f;
    pagefix_init(&f, WINDOW_ALL);
    pagefix_grow(&f, BASE + 6, 4); /* over a boundary of level 3 */
    for (size_t k = 0; k < count; k++) got[k] = alloc(&f, n);
    for (size_t left = count; left > 0; left--) {
      size_t k = rng_below(&r, left);
      pagealloc_free(&f.p, got[k], n);
      got[k] = got[left - 1];
      if (left % 64 == 0) pagealloc_verify(&f.p);
    }
    pagealloc_verify(&f.p);
    cr_expect_eq(alloc(&f, 2048), CHUNK(BASE + 6));
    pagefix_destroy(&f);
  }
}

Test(pagealloc, free_of_a_free_page_is_fatal, .signal = SIGABRT) {
  struct pagefix f;
  pagefix_init(&f, WINDOW_ALL);
  pagefix_grow(&f, BASE, 1);
  uintptr_t a = alloc(&f, 2);
  pagealloc_free(&f.p, a, 2);
  pagealloc_free(&f.p, a, 1);
}

Test(pagealloc, free_of_an_unmanaged_page_is_fatal, .signal = SIGABRT) {
  struct pagefix f;
  pagefix_init(&f, WINDOW_ALL);
  pagefix_grow(&f, BASE, 1);
  pagealloc_free(&f.p, CHUNK(BASE + 1), 1);
}

/* ---- the verifier sees what it must ---- */

static void break_summary(struct pagefix *f) {
  f->p.summary[2][BASE >> 6].v ^= 1;
}
static void break_scavenged(struct pagefix *f) {
  struct pallocdata *d = f->p.chunks[BASE >> PALLOC_L2_BITS];
  d[BASE & ((1u << PALLOC_L2_BITS) - 1)].scavenged.w[0] |= 1;
}
static void break_search(struct pagefix *f) {
  f->p.search_addr = PAGE(BASE, 9);
}
static void break_search_end(struct pagefix *f) {
  f->p.search_addr = UINTPTR_MAX;
}
static void break_bounds(struct pagefix *f) { f->p.end++; }
static void break_density(struct pagefix *f) {
  f->p.scav.chunks[BASE].in_use++;
}
static void break_scavenger_hint(struct pagefix *f) {
  f->p.scav.search_force = BASE;
}

#define VERIFIER_FINDS(name)                                                   \
  Test(pagealloc, verify_finds_##name, .signal = SIGABRT) {                    \
    struct pagefix f;                                                          \
    pagefix_init(&f, WINDOW_ALL);                                              \
    pagefix_grow(&f, BASE, 1);                                                 \
    uintptr_t a = alloc(&f, 7);                                                \
    pagealloc_free(&f.p, a + 2 * MGC_PAGE_SIZE, 1);                            \
    pagealloc_verify(&f.p);                                                    \
    break_##name(&f);                                                          \
    pagealloc_verify(&f.p);                                                    \
  }
VERIFIER_FINDS(summary)
VERIFIER_FINDS(scavenged)
VERIFIER_FINDS(search)
VERIFIER_FINDS(search_end)
VERIFIER_FINDS(bounds)
VERIFIER_FINDS(density)
VERIFIER_FINDS(scavenger_hint)

/* ---- every OS call fails in turn ---- */

/* Grows in the pieces that touch most tables; true when all was had. */
static bool fault_scenario(struct pagefix *f, struct vm *vm, bool *inited) {
  *inited = false;
  if (pagealloc_init(&f->p, vm, &f->meta, &f->sys, WINDOW_ALL) != 0)
    return false;
  *inited = true;
  static const uintptr_t at[] = {BASE, BASE + 0x4000, BASE + 4095, 3, 0x1fffff};
  bool all = true;
  for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
    uint64_t before = f->p.in_use.total_bytes;
    bool ok = pagealloc_grow(&f->p, CHUNK(at[i]), CHUNK(2));
    pagealloc_verify(&f->p);
    cr_assert_eq(f->p.in_use.total_bytes, before + (ok ? CHUNK(2) : 0));
    all = all && ok;
    if (ok) {
      cr_assert_neq(alloc(f, 600), 0u);
      pagealloc_verify(&f->p);
    }
  }
  return all;
}

static void every_call_fails(bool forever) {
  bool passed = false;
  for (uint64_t n = 1; !passed; n++) {
    struct pagefix f;
    struct vm_faulty faulty;
    bool inited;
    cr_assert_lt(n, 200u);
    pagefix_prepare(&f);
    vm_faulty_init(&faulty, &f.vm, n, forever);
    passed = fault_scenario(&f, &faulty.vm, &inited);
    cr_assert(passed || atomic_u64_load_relaxed(&faulty.ncalls) >= n);
    if (!inited) continue;
    if (!forever && !passed) /* the failed one works when tried again */
      for (uintptr_t at = BASE; at < BASE + 0x8000; at += 0x4000)
        if (!pagealloc_manages(&f.p, CHUNK(at)))
          cr_assert(pagealloc_grow(&f.p, CHUNK(at), CHUNK(2)));
    pagealloc_verify(&f.p);
    pagefix_destroy(&f);
  }
}

Test(pagealloc, each_os_call_failing_once_leaves_it_consistent) {
  every_call_fails(false);
}

Test(pagealloc, each_os_call_failing_for_ever_leaves_it_consistent) {
  every_call_fails(true);
}

Test(pagealloc, metadata_exhaustion_in_grow_changes_nothing) {
  struct pagefix f;
  pagefix_init(&f, WINDOW_ALL);
  /* Whatever is left of the first chunk of metadata, then nothing. */
  f.src.fail_at = atomic_u64_load_relaxed(&f.src.ncalls) + 1;
  uintptr_t n = 0;
  while (n < 20000 && pagealloc_grow(&f.p, CHUNK(1 + 2 * n), CHUNK(1))) n++;
  cr_expect_lt(n, 20000u, "the list of ranges must have failed");
  cr_expect_eq(f.p.in_use.len, n);
  pagealloc_verify(&f.p);
  cr_expect_eq(alloc(&f, 512), CHUNK(1));
  pagefix_destroy(&f);
}
