// SPDX-License-Identifier: MIT
/* Random sequences of every operation of the page allocator against a byte a
 * page: addresses, scavenged counts and bitmaps must be the same. */
#include "page/pagetree.h"
#include "support/pagefix.h"
#include "support/rng.h"
#include <string.h>

#define BASE (0x20000u - 6)

enum page_state { GONE, FREE, FREE_SCAVENGED, USED, CACHED };

/* The model knows this many chunks from BASE on; BASE is 6 chunks before the
 * end of a level-3, level-2, level-1 and level-0 entry. */
#define MODEL_CHUNKS 48u
#define MODEL_PAGES (MODEL_CHUNKS * PALLOC_CHUNK_PAGES)

struct model {
  uint8_t page[MODEL_PAGES];
  size_t nheld;
  struct {
    size_t at, n;
  } held[4096];
};

static uintptr_t addr_of(size_t page) {
  return CHUNK(BASE) + page * MGC_PAGE_SIZE;
}

/* The bitmaps of the chunk that a page of the model lies in. */
static const struct pallocdata *data_of(const struct pagefix *f, size_t page) {
  return chunk_data(&f->p, rel_chunk(rel_of(&f->p, addr_of(page))));
}

static bool is_free(const struct model *m, size_t i) {
  return m->page[i] == FREE || m->page[i] == FREE_SCAVENGED;
}

/* First fit, one page at a time. MODEL_PAGES: none. */
static size_t model_find(const struct model *m, size_t n, size_t align) {
  size_t run = 0;
  for (size_t i = 0; i < MODEL_PAGES; i++) {
    run = is_free(m, i) ? run + 1 : 0;
    if (run < n) continue;
    size_t at = i + 1 - n;
    if (addr_of(at) / MGC_PAGE_SIZE % align == 0) return at;
  }
  return MODEL_PAGES;
}

static size_t model_take(struct model *m, size_t at, size_t n) {
  size_t scav = 0;
  for (size_t i = at; i < at + n; i++) {
    scav += m->page[i] == FREE_SCAVENGED;
    m->page[i] = USED;
  }
  return scav;
}

static void hold(struct model *m, size_t at, size_t n) {
  m->held[m->nheld].at = at;
  m->held[m->nheld++].n = n;
}

static size_t random_length(struct rng *r) {
  switch (rng_below(r, 8)) {
  case 0:
    return 1 + rng_below(r, 1500);
  case 1:
    return 1 + rng_below(r, 200);
  case 2:
    return 1;
  default:
    return 1 + rng_below(r, 20);
  }
}

static void op_alloc(struct pagefix *f, struct model *m, struct rng *r) {
  size_t n = random_length(r);
  size_t align = rng_chance(r, 4) ? (size_t)1 << rng_below(r, 11) : 1;
  uintptr_t scav = 1, got;
  if (m->nheld == 4096) return;
  if (align == 1)
    got = pagealloc_alloc(&f->p, n, &scav);
  else
    got = pagealloc_alloc_aligned(&f->p, n, align, &scav);
  size_t want = model_find(m, n, align);
  if (want == MODEL_PAGES) {
    cr_assert_eq(got, 0u, "n=%zu align=%zu", n, align);
    cr_assert_eq(scav, 0u);
    return;
  }
  cr_assert_eq(got, addr_of(want), "n=%zu align=%zu: page %zu, want %zu", n,
               align, (size_t)(got - addr_of(0)) >> MGC_PAGE_SHIFT, want);
  cr_assert_eq(scav, model_take(m, want, n) * MGC_PAGE_SIZE);
  hold(m, want, n);
}

/* Frees a run, or a piece of its front or back. */
static void op_free(struct pagefix *f, struct model *m, struct rng *r) {
  if (m->nheld == 0) return;
  size_t k = rng_below(r, m->nheld);
  size_t at = m->held[k].at, n = m->held[k].n, part = n;
  if (n > 1 && rng_chance(r, 4)) part = 1 + rng_below(r, n - 1);
  if (rng_chance(r, 2)) at += n - part; /* the back */
  pagealloc_free(&f->p, addr_of(at), part);
  for (size_t i = at; i < at + part; i++) m->page[i] = FREE;
  if (part < n && at == m->held[k].at) m->held[k].at += part;
  m->held[k].n -= part;
  if (m->held[k].n == 0) m->held[k] = m->held[--m->nheld];
}

static void op_extend(struct pagefix *f, struct model *m, struct rng *r) {
  if (m->nheld == 0) return;
  size_t k = rng_below(r, m->nheld), more = random_length(r);
  size_t end = m->held[k].at + m->held[k].n;
  bool want = end + more <= MODEL_PAGES;
  for (size_t i = end; want && i < end + more; i++) want = is_free(m, i);
  uintptr_t scav = 1;
  bool got = pagealloc_try_extend(&f->p, addr_of(m->held[k].at), m->held[k].n,
                                  more, &scav);
  cr_assert_eq(got, want);
  cr_assert_eq(scav, want ? model_take(m, end, more) * MGC_PAGE_SIZE : 0);
  if (want) m->held[k].n += more;
}

static void op_grow(struct pagefix *f, struct model *m, struct rng *r) {
  size_t c = rng_below(r, MODEL_CHUNKS), n = 0, want = 1 + rng_below(r, 3);
  while (n < want && c + n < MODEL_CHUNKS &&
         m->page[(c + n) * PALLOC_CHUNK_PAGES] == GONE)
    n++;
  if (n == 0) return;
  pagefix_grow(f, BASE + c, n);
  memset(&m->page[c * PALLOC_CHUNK_PAGES], FREE_SCAVENGED,
         n * PALLOC_CHUNK_PAGES);
}

static void op_cache(struct pagefix *f, struct model *m,
                     struct pagecache *cache) {
  if (!pagecache_empty(cache)) {
    size_t at = (cache->base - addr_of(0)) >> MGC_PAGE_SHIFT;
    for (unsigned i = 0; i < 64; i++)
      if (cache->cache >> i & 1)
        m->page[at + i] = cache->scav >> i & 1 ? FREE_SCAVENGED : FREE;
    pagecache_flush(cache, &f->p);
    return;
  }
  size_t first = model_find(m, 1, 1);
  *cache = pagealloc_alloc_to_cache(&f->p);
  if (first == MODEL_PAGES) {
    cr_assert(pagecache_empty(cache));
    return;
  }
  size_t at = first / 64 * 64; /* BASE is a whole chunk */
  cr_assert_eq(cache->base, addr_of(at));
  for (unsigned i = 0; i < 64; i++) {
    cr_assert_eq(cache->cache >> i & 1, (uint64_t)is_free(m, at + i));
    cr_assert_eq(cache->scav >> i & 1,
                 (uint64_t)(m->page[at + i] == FREE_SCAVENGED));
    if (is_free(m, at + i)) m->page[at + i] = CACHED;
  }
}

/* Takes pages from the cache as a thread would. */
static void op_from_cache(struct model *m, struct pagecache *cache,
                          struct rng *r) {
  size_t n = 1 + rng_below(r, 15);
  uintptr_t scav, got = pagecache_alloc(cache, n, &scav);
  if (!got || m->nheld == 4096) return;
  size_t at = (got - addr_of(0)) >> MGC_PAGE_SHIFT;
  for (size_t i = at; i < at + n; i++) {
    cr_assert_eq(m->page[i], CACHED);
    m->page[i] = USED;
  }
  hold(m, at, n);
}

/* The recorded call says which pages went back. */
static struct model *scavenge_model;

static void note_unused(struct pagefix *f) {
  struct model *m = scavenge_model;
  size_t at = (f->unused_base - addr_of(0)) >> MGC_PAGE_SHIFT;
  cr_assert_eq(m->page[at], FREE);
}

static void op_scavenge(struct pagefix *f, struct model *m, struct rng *r) {
  struct scavenge_policy policy = {.force = rng_chance(r, 2)};
  size_t pages = 1 + rng_below(r, 100), before = f->unused_bytes;
  size_t nfree = 0;
  scavenge_model = m;
  for (size_t i = 0; i < MODEL_PAGES; i++) nfree += m->page[i] == FREE;
  f->on_unused = note_unused;
  size_t got = pagealloc_scavenge(&f->p, pages * MGC_PAGE_SIZE, &policy);
  cr_assert_eq(got, f->unused_bytes - before);
  cr_assert_leq(got, nfree * MGC_PAGE_SIZE);
  if (policy.force && nfree >= pages)
    cr_assert_geq(got, pages * MGC_PAGE_SIZE, "%zu of %zu pages, %zu free",
                  got / MGC_PAGE_SIZE, pages, nfree);
  /* The model learns which: only free backed pages may have become scavenged. */
  for (size_t c = 0; c < MODEL_CHUNKS; c++) {
    size_t at = c * PALLOC_CHUNK_PAGES;
    if (m->page[at] == GONE) continue;
    const struct pallocdata *d = data_of(f, at);
    for (unsigned i = 0; i < PALLOC_CHUNK_PAGES; i++)
      if (pallocbits_get(&d->scavenged, i) && m->page[at + i] == FREE) {
        m->page[at + i] = FREE_SCAVENGED;
        got -= MGC_PAGE_SIZE;
      }
  }
  cr_assert_eq(got, 0u);
}

static void compare(const struct pagefix *f, const struct model *m) {
  pagealloc_verify(&f->p);
  for (size_t i = 0; i < MODEL_PAGES; i++) {
    unsigned k = i % PALLOC_CHUNK_PAGES;
    if (m->page[i] == GONE) {
      cr_assert(!pagealloc_manages(&f->p, addr_of(i)));
      i |= PALLOC_CHUNK_PAGES - 1;
      continue;
    }
    const struct pallocdata *d = data_of(f, i);
    bool used = m->page[i] == USED || m->page[i] == CACHED;
    cr_assert_eq(pallocbits_get(&d->alloc, k), used, "page %zu", i);
    cr_assert_eq(pallocbits_get(&d->scavenged, k), m->page[i] == FREE_SCAVENGED,
                 "page %zu", i);
  }
}

static void run_ops(struct rng *r, struct addrwindow w, int nops) {
  static struct model m;
  struct pagefix f;
  struct pagecache cache = {0, 0, 0};
  pagefix_init(&f, w);
  memset(&m, 0, sizeof(m));
  for (int op = 0; op < nops; op++) {
    switch (rng_below(r, 16)) {
    case 0:
      op_extend(&f, &m, r);
      break;
    case 1:
      op_cache(&f, &m, &cache);
      break;
    case 2:
      op_from_cache(&m, &cache, r);
      break;
    case 3:
      if (rng_chance(r, 3)) op_scavenge(&f, &m, r);
      break;
    case 4:
      if (rng_chance(r, 8)) op_grow(&f, &m, r);
      if (rng_chance(r, 8)) pagealloc_scavenge_next_gen(&f.p);
      break;
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
      op_free(&f, &m, r);
      break;
    default:
      op_alloc(&f, &m, r);
    }
    if (op % 256 == 0) compare(&f, &m);
  }
  compare(&f, &m);
  pagefix_destroy(&f);
}

Test(pagealloc_model, random_operations_equal_byte_map_whole_space) {
  struct rng r = rng_seed();
  for (int round = 0; round < 3; round++) run_ops(&r, WINDOW_ALL, 6000);
}

Test(pagealloc_model, random_operations_equal_byte_map_small_windows) {
  struct rng r = rng_seed();
  static const unsigned log2s[] = {34, 35, 40};
  for (size_t i = 0; i < sizeof(log2s) / sizeof(log2s[0]); i++)
    run_ops(&r, (struct addrwindow){CHUNK(BASE - 5), log2s[i]}, 3000);
}
