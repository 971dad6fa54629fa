// SPDX-License-Identifier: MIT
/* Page caches: exact pages for every kind of bitmap, flushing, filling. */
#include "support/pagefix.h"
#include "support/rng.h"

#define BASE 0x20000u
#define AT(i) (CHUNK(BASE) + (uintptr_t)(i)*MGC_PAGE_SIZE)

struct hit {
  size_t npages;
  int page; /* -1: fails */
  unsigned scav;
};

struct cache_case {
  const char *what;
  uint64_t cache, scav;
  struct hit hits[5];
};

#define SWISS1 0x5555555555555555ull /* every second page */
#define SWISS2 0x6666666666666666ull /* two of four */

Test(pagecache, alloc_gives_the_lowest_run_and_its_scavenged_bytes) {
  static const struct cache_case cases[] = {
      {"empty", 0, 0, {{1, -1, 0}, {2, -1, 0}}},
      {"lo1", 1, 1, {{1, 0, 1}, {1, -1, 0}}},
      {"hi1", 1ull << 63, 1, {{2, -1, 0}, {1, 63, 0}, {1, -1, 0}}},
      {"swiss1",
       SWISS1,
       SWISS1 & 0xff,
       {{2, -1, 0}, {1, 0, 1}, {1, 2, 1}, {1, 4, 1}, {3, -1, 0}}},
      {"lo2", 3, 2, {{2, 0, 1}, {1, -1, 0}}},
      {"hi2", 3ull << 62, 3ull << 62, {{3, -1, 0}, {2, 62, 2}, {1, -1, 0}}},
      {"swiss2", SWISS2, 1ull << 5, {{2, 1, 0}, {2, 5, 1}, {1, 9, 0}}},
      {"hi53",
       ~0ull << 11,
       ~0ull << 11,
       {{53, 11, 53}, {1, -1, 0}, {53, -1, 0}}},
      {"full53", ~0ull, 0, {{53, 0, 0}, {11, 53, 0}, {1, -1, 0}}},
      {"full64", ~0ull, ~0ull, {{64, 0, 64}, {1, -1, 0}}},
      {"full mixed",
       ~0ull,
       0xf0f0f0f0f0f0f0f0ull,
       {{5, 0, 1}, {7, 5, 3}, {1, 12, 1}, {16, 13, 8}, {36, -1, 0}}},
      {"more than 64", ~0ull, 0, {{65, -1, 0}, {1000000, -1, 0}, {1, 0, 0}}},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const struct cache_case *t = &cases[i];
    struct pagecache c = {AT(0), t->cache, t->scav & t->cache};
    for (int k = 0; k < 5 && t->hits[k].npages; k++) {
      const struct hit *h = &t->hits[k];
      uintptr_t scav = 77;
      uintptr_t got = pagecache_alloc(&c, h->npages, &scav);
      cr_expect_eq(got, h->page < 0 ? 0 : AT(h->page), "%s hit %d: %zx",
                   t->what, k, (size_t)got);
      cr_expect_eq(scav, h->scav * MGC_PAGE_SIZE, "%s hit %d: scav %zu",
                   t->what, k, (size_t)scav);
      cr_expect_eq(c.scav & ~c.cache, 0u, "%s: scav in cache", t->what);
    }
  }
}

Test(pagecache, is_24_bytes) { cr_assert_eq(sizeof(struct pagecache), 24u); }

Test(pagecache, fill_takes_the_whole_aligned_group) {
  struct pagefix f;
  uintptr_t scav;
  pagefix_init(&f, WINDOW_ALL);
  pagefix_grow(&f, BASE, 1);
  cr_assert_eq(pagealloc_alloc(&f.p, 70, &scav), AT(0));
  pagealloc_free(&f.p, AT(66), 3);
  struct pagecache c = pagealloc_alloc_to_cache(&f.p);
  cr_expect_eq(c.base, AT(64));
  cr_expect_eq(c.cache, ~(3ull | (1ull << 5)));
  cr_expect_eq(c.scav, ~0ull << 6, "backed pages are told apart");
  pagealloc_verify(&f.p);
  cr_expect_eq(pagealloc_alloc(&f.p, 1, &scav), AT(128));
  pagecache_flush(&c, &f.p);
  pagealloc_verify(&f.p);
  cr_expect_eq(c.cache | c.scav | c.base, 0u);
  cr_expect_eq(pagealloc_alloc(&f.p, 3, &scav), AT(66));
  cr_expect_eq(scav, 0u);
  cr_expect_eq(pagealloc_alloc(&f.p, 1, &scav), AT(70));
  cr_expect_eq(scav, MGC_PAGE_SIZE, "flushing keeps scavenged bits");
  pagealloc_verify(&f.p);
  pagefix_destroy(&f);
}

Test(pagecache, fill_from_nothing_is_empty) {
  struct pagefix f;
  uintptr_t scav;
  pagefix_init(&f, WINDOW_ALL);
  struct pagecache c = pagealloc_alloc_to_cache(&f.p);
  cr_expect(pagecache_empty(&c));
  pagefix_grow(&f, BASE, 1);
  cr_assert_neq(pagealloc_alloc(&f.p, 512, &scav), 0u);
  c = pagealloc_alloc_to_cache(&f.p);
  cr_expect(pagecache_empty(&c));
  cr_expect_eq(pagecache_alloc(&c, 1, &scav), 0u);
  pagecache_flush(&c, &f.p);
  pagealloc_verify(&f.p);
  pagefix_destroy(&f);
}

Test(pagecache, fill_skips_to_the_next_piece_of_memory) {
  struct pagefix f;
  pagefix_init(&f, WINDOW_ALL);
  pagefix_grow(&f, BASE, 1);
  pagefix_grow(&f, BASE + 0x5000, 1);
  for (unsigned i = 0; i < 16; i++) {
    uintptr_t chunk = CHUNK(BASE + (i < 8 ? 0 : 0x5000));
    struct pagecache c = pagealloc_alloc_to_cache(&f.p);
    cr_expect_eq(c.base, chunk + i % 8 * 64 * MGC_PAGE_SIZE, "fill %u", i);
    cr_expect_eq(c.cache, ~0ull);
    pagealloc_verify(&f.p);
  }
  struct pagecache none = pagealloc_alloc_to_cache(&f.p);
  cr_expect(pagecache_empty(&none));
  cr_expect_eq(f.p.search_addr, UINTPTR_MAX);
  pagefix_destroy(&f);
}

/* Caches, runs and frees at random; at the end everything is given back and
 * nothing may be missing. */
Test(pagecache, random_fill_alloc_flush_leaks_nothing) {
  enum { NCACHES = 4, NHELD = 600, CHUNKS = 3 };
  struct rng r = rng_seed();
  for (int round = 0; round < 20; round++) {
    struct pagefix f;
    struct pagecache c[NCACHES] = {{0, 0, 0}};
    uintptr_t held[NHELD];
    size_t len[NHELD], nheld = 0;
    pagefix_init(&f, WINDOW_ALL);
    pagefix_grow(&f, BASE + 7, CHUNKS);
    for (int op = 0; op < 2000; op++) {
      struct pagecache *one = &c[rng_below(&r, NCACHES)];
      if (nheld == NHELD || rng_below(&r, 10) < 4) {
        if (nheld == 0) continue;
        size_t k = rng_below(&r, nheld--);
        pagealloc_free(&f.p, held[k], len[k]);
        held[k] = held[nheld];
        len[k] = len[nheld];
      } else if (rng_chance(&r, 20)) {
        pagecache_flush(one, &f.p);
      } else {
        size_t n = 1 + rng_below(&r, rng_chance(&r, 2) ? 2 : 16);
        uintptr_t scav, at = pagecache_alloc(one, n, &scav);
        if (!at && pagecache_empty(one)) {
          *one = pagealloc_alloc_to_cache(&f.p);
          at = pagecache_alloc(one, n, &scav);
        }
        if (!at) continue;
        held[nheld] = at;
        len[nheld++] = n;
      }
      if (op % 100 == 0) pagealloc_verify(&f.p);
    }
    for (int i = 0; i < NCACHES; i++) pagecache_flush(&c[i], &f.p);
    while (nheld-- > 0) pagealloc_free(&f.p, held[nheld], len[nheld]);
    pagealloc_verify(&f.p);
    uintptr_t scav;
    cr_assert_eq(pagealloc_alloc(&f.p, CHUNKS * 512, &scav), CHUNK(BASE + 7),
                 "pages leaked");
    pagefix_destroy(&f);
  }
}
