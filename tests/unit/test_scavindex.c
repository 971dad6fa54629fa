// SPDX-License-Identifier: MIT
/* The scavenge index alone, and scavenging through the page allocator. */
#include "page/pagetree.h"
#include "support/pagefix.h"
#include "support/rng.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#define BASE 0x20000u
#define NONE SIZE_MAX

/* ---- the index ---- */

struct index_fix {
  struct fake_source src;
  struct persistent meta;
  struct addrranges in_use;
  struct scavchunk chunks[256];
  struct scavindex s;
};

/* Chunks [0, 32) and [64, 96) of a window at 0 are in use. */
static void index_init(struct index_fix *f) {
  memset(f, 0, sizeof(*f));
  fake_source_init(&f->src, 0);
  persistent_init(&f->meta, &f->src.src);
  addrranges_init(&f->in_use, &f->meta, NULL);
  cr_assert(addrranges_add(&f->in_use, (struct addrrange){0, CHUNK(32)}));
  cr_assert(
      addrranges_add(&f->in_use, (struct addrrange){CHUNK(64), CHUNK(96)}));
  scavindex_init(&f->s, f->chunks);
  for (size_t i = 0; i < 96; i++)
    if (i < 32 || i >= 64) scavindex_alloc(&f->s, (struct chunkidx){i}, 512);
  scavindex_next_gen(&f->s);
  scavindex_next_gen(&f->s);
}

static void index_free(struct index_fix *f, size_t ci, unsigned n) {
  scavindex_free(&f->s, (struct chunkidx){ci}, n);
}

static size_t index_find(struct index_fix *f, bool force) {
  struct chunkidx ci = {NONE};
  bool found = scavindex_find(&f->s, &f->in_use, 0, force, &ci);
  return found ? ci.v : NONE;
}

Test(scavindex, find_in_an_index_without_free_pages_finds_nothing) {
  struct index_fix f;
  index_init(&f);
  cr_expect_eq(index_find(&f, true), NONE);
  cr_expect_eq(index_find(&f, false), NONE);
}

Test(scavindex, forced_find_goes_from_the_highest_chunk_down) {
  struct index_fix f;
  index_init(&f);
  static const size_t at[] = {3, 31, 64, 70, 95};
  for (int i = 0; i < 5; i++) index_free(&f, at[i], 1);
  for (int i = 4; i >= 0; i--) {
    cr_expect_eq(index_find(&f, true), at[i]);
    cr_expect_eq(index_find(&f, true), at[i], "finding again is the same");
    scavindex_set_empty(&f.s, (struct chunkidx){at[i]});
  }
  cr_expect_eq(index_find(&f, true), NONE);
  index_free(&f, 20, 1);
  cr_expect_eq(index_find(&f, true), 20u, "freeing raises the hint");
}

Test(scavindex, background_find_waits_for_the_next_generation) {
  struct index_fix f;
  index_init(&f);
  index_free(&f, 70, 400);
  cr_expect_eq(index_find(&f, false), NONE);
  cr_expect_eq(index_find(&f, true), 70u);
  scavindex_next_gen(&f.s);
  cr_expect_eq(index_find(&f, false), 70u);
}

Test(scavindex, background_find_stays_below_its_hint) {
  struct index_fix f;
  index_init(&f);
  index_free(&f, 20, 400);
  index_free(&f, 90, 400);
  scavindex_next_gen(&f.s);
  cr_expect_eq(index_find(&f, false), 90u);
  scavindex_set_empty(&f.s, (struct chunkidx){90});
  cr_expect_eq(index_find(&f, false), 20u);
  index_free(&f, 90, 10);
  cr_expect_eq(index_find(&f, false), 20u, "90 waits for the next generation");
  scavindex_next_gen(&f.s);
  cr_expect_eq(index_find(&f, false), 90u);
}

Test(scavindex, a_generation_without_frees_searches_nothing_again) {
  struct index_fix f;
  index_init(&f);
  index_free(&f, 90, 10);
  scavindex_next_gen(&f.s);
  cr_expect_eq(index_find(&f, false), NONE, "dense");
  cr_expect_eq(f.s.search_bg, 0u);
  scavindex_next_gen(&f.s);
  cr_expect_eq(f.s.search_bg, 0u);
}

Test(scavindex, background_find_skips_dense_chunks) {
  struct index_fix f;
  index_init(&f);
  index_free(&f, 70, 16); /* 496 are left: dense */
  index_free(&f, 65, 17); /* 495 are left */
  scavindex_next_gen(&f.s);
  cr_expect_eq(index_find(&f, false), 65u);
  cr_expect_eq(index_find(&f, true), 70u);
}

struct density_case {
  struct scavchunk c;
  uint32_t gen;
  bool background, forced;
};

Test(scavindex, should_scavenge_by_density_and_generation) {
  static const struct density_case cases[] = {
      {{0, 0, 1, 0, 0}, 1, false, false},   /* nothing free and backed */
      {{0, 0, 1, 1, 0}, 1, true, true},     /* sparse in both */
      {{495, 495, 1, 1, 0}, 1, true, true}, /* just below */
      {{496, 0, 1, 1, 0}, 1, false, true},  /* dense now */
      {{0, 496, 1, 1, 0}, 1, false, true},  /* was dense in the last */
      {{0, 512, 1, 1, 0}, 2, true, true},   /* that was the last but one */
      {{500, 0, 1, 1, 0}, 2, false, true},  /* dense, and unchanged since */
      {{0, 496, 1, 0, 0}, 1, false, false},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const struct density_case *c = &cases[i];
    cr_expect_eq(scavchunk_should_scavenge(c->c, c->gen, false), c->background,
                 "case %zu", i);
    cr_expect_eq(scavchunk_should_scavenge(c->c, c->gen, true), c->forced,
                 "case %zu forced", i);
  }
}

Test(scavindex, first_change_of_a_generation_keeps_the_old_density) {
  struct index_fix f;
  index_init(&f);
  scavindex_next_gen(&f.s);
  index_free(&f, 5, 100);
  index_free(&f, 5, 100);
  scavindex_alloc(&f.s, (struct chunkidx){5}, 50);
  cr_expect_eq(f.chunks[5].in_use, 362u);
  cr_expect_eq(f.chunks[5].last_in_use, 512u);
  scavindex_next_gen(&f.s);
  index_free(&f, 5, 1);
  cr_expect_eq(f.chunks[5].last_in_use, 362u);
}

Test(scavindex, more_than_512_pages_is_fatal, .signal = SIGABRT) {
  struct index_fix f;
  index_init(&f);
  index_free(&f, 5, 1);
  scavindex_alloc(&f.s, (struct chunkidx){5}, 2);
}

/* ---- scavenging ---- */

static uintptr_t page_at(size_t chunk, unsigned i) {
  return CHUNK(BASE + chunk) + i * MGC_PAGE_SIZE;
}

/* `chunks` chunks, all backed and free. */
static void scav_init(struct pagefix *f, size_t chunks) {
  uintptr_t scav;
  pagefix_init(f, WINDOW_ALL);
  pagefix_grow(f, BASE, chunks);
  cr_assert_neq(pagealloc_alloc(&f->p, chunks * 512, &scav), 0u);
  pagealloc_free(&f->p, CHUNK(BASE), chunks * 512);
}

static size_t scavenge(struct pagefix *f, size_t bytes, bool force) {
  struct scavenge_policy policy = {.force = force};
  size_t got = pagealloc_scavenge(&f->p, bytes, &policy);
  pagealloc_verify(&f->p);
  return got;
}

Test(scavenge, fresh_memory_has_nothing_to_give) {
  struct pagefix f;
  pagefix_init(&f, WINDOW_ALL);
  pagefix_grow(&f, BASE, 4);
  cr_expect_eq(scavenge(&f, SIZE_MAX, true), 0u);
  pagefix_destroy(&f);
}

Test(scavenge, takes_the_highest_pages_first_and_no_more) {
  struct pagefix f;
  scav_init(&f, 3);
  f.vm.hugepage_size = 0;
  cr_expect_eq(scavenge(&f, 64 << 10, true), 64u << 10);
  cr_expect_eq(f.unused_base, page_at(2, 504));
  cr_expect_eq(scavenge(&f, 1, true), MGC_PAGE_SIZE);
  cr_expect_eq(f.unused_base, page_at(2, 503));
  uintptr_t scav;
  cr_expect_eq(pagealloc_alloc(&f.p, 1536, &scav), CHUNK(BASE));
  cr_expect_eq(scav, 9 * MGC_PAGE_SIZE);
  pagefix_destroy(&f);
}

Test(scavenge, all_of_it_then_nothing) {
  struct pagefix f;
  scav_init(&f, 33);
  cr_expect_eq(scavenge(&f, SIZE_MAX, true), CHUNK(33));
  cr_expect_eq(f.unused_bytes, CHUNK(33));
  cr_expect_eq(f.unused_calls, 33u, "a chunk a call");
  cr_expect_eq(scavenge(&f, SIZE_MAX, true), 0u);
  uintptr_t scav;
  cr_expect_eq(pagealloc_alloc(&f.p, 33 * 512, &scav), CHUNK(BASE));
  cr_expect_eq(scav, CHUNK(33));
  pagefix_destroy(&f);
}

Test(scavenge, keeps_free_huge_pages_whole) {
  struct pagefix f;
  scav_init(&f, 1);
  cr_expect_eq(scavenge(&f, 64 << 10, true), 2u << 20);
  cr_expect_eq(f.unused_base, page_at(0, 256));
  cr_expect_eq(scavenge(&f, 1, true), 2u << 20);
  cr_expect_eq(f.unused_base, page_at(0, 0));
  pagefix_destroy(&f);
}

Test(scavenge, physical_pages_of_64_kib_go_whole_or_not_at_all) {
  struct pagefix f;
  uintptr_t scav;
  scav_init(&f, 1);
  f.vm.page_size = 64 << 10;
  f.vm.hugepage_size = 0;
  cr_assert_eq(pagealloc_alloc(&f.p, 1, &scav), page_at(0, 0));
  cr_expect_eq(scavenge(&f, 1, true), 64u << 10);
  cr_expect_eq(scavenge(&f, SIZE_MAX, true), CHUNK(1) - (128u << 10));
  cr_expect_eq(pagealloc_alloc(&f.p, 8, &scav), page_at(0, 1));
  cr_expect_eq(scav, MGC_PAGE_SIZE, "7 pages share the page in use");
  pagefix_destroy(&f);
}

Test(scavenge, background_leaves_dense_chunks_and_waits_a_generation) {
  struct pagefix f;
  uintptr_t scav;
  scav_init(&f, 3);
  cr_assert_eq(pagealloc_alloc(&f.p, 1536, &scav), CHUNK(BASE));
  pagealloc_scavenge_next_gen(&f.p);
  pagealloc_free(&f.p, page_at(2, 10), 10); /* 502 in use: dense */
  pagealloc_free(&f.p, page_at(1, 0), 100);
  cr_expect_eq(scavenge(&f, SIZE_MAX, false), 0u);
  pagealloc_scavenge_next_gen(&f.p);
  cr_expect_eq(scavenge(&f, SIZE_MAX, false), 100 * MGC_PAGE_SIZE);
  cr_expect_eq(scavenge(&f, SIZE_MAX, true), 10 * MGC_PAGE_SIZE);
  pagefix_destroy(&f);
}

struct stop {
  unsigned after, asked;
  size_t released;
};
static bool stop_after(void *arg) {
  struct stop *s = arg;
  return s->asked++ >= s->after;
}
static void count_released(void *arg, size_t bytes) {
  ((struct stop *)arg)->released += bytes;
}

Test(scavenge, honours_should_stop_and_reports_each_piece) {
  struct pagefix f;
  scav_init(&f, 8);
  struct stop s = {.after = 3};
  struct scavenge_policy policy = {.force = true,
                                   .arg = &s,
                                   .should_stop = stop_after,
                                   .released = count_released};
  size_t got = pagealloc_scavenge(&f.p, SIZE_MAX, &policy);
  cr_expect_eq(s.asked, 4u, "asked before each piece");
  cr_expect(got >= CHUNK(1) && got <= CHUNK(3), "%zu", got);
  cr_expect_eq(s.released, got);
  cr_expect_eq(f.unused_bytes, got);
  pagealloc_verify(&f.p);
  pagefix_destroy(&f);
}

/* While the call runs the lock is free and the pages cannot be had. */
static struct mutex heap_lock = MUTEX_INIT(mheap);

static void during_unused(struct pagefix *f) {
  uintptr_t scav;
  mutex_lock(&heap_lock);
  pagealloc_verify(&f->p);
  cr_assert_eq(pagealloc_alloc(&f->p, 512, &scav), 0u);
  cr_assert_eq(pagealloc_alloc(&f->p, 256, &scav), page_at(0, 0));
  cr_assert_eq(scav, 0u);
  pagealloc_free(&f->p, page_at(0, 0), 1);
  mutex_unlock(&heap_lock);
}

Test(scavenge, lets_go_of_the_lock_and_holds_the_pages) {
  struct pagefix f;
  scav_init(&f, 1);
  f.p.lock = &heap_lock;
  f.on_unused = during_unused;
  mutex_lock(&heap_lock);
  cr_expect_eq(scavenge(&f, 2u << 20, true), 2u << 20);
  uintptr_t scav;
  cr_expect_eq(pagealloc_alloc(&f.p, 257, &scav), 0u);
  cr_expect_eq(pagealloc_alloc(&f.p, 256, &scav), page_at(0, 256));
  cr_expect_eq(scav, 2u << 20);
  pagealloc_verify(&f.p);
  mutex_unlock(&heap_lock);
  pagefix_destroy(&f);
}

/* Real memory: what is given back reads as zero and is gone from the process. */
Test(scavenge, real_memory_goes_back) {
  struct pagefix f;
  uintptr_t scav;
  struct vm *vm = vm_system();
  pagefix_init(&f, WINDOW_ALL);
  f.ops.unused = vm->ops->unused;
  void *mem =
      vm->ops->reserve(vm, NULL, CHUNK(2), PALLOC_CHUNK_BYTES, "test heap");
  cr_assert_not_null(mem);
  cr_assert(vm->ops->map(vm, mem, CHUNK(2), "test heap"));
  cr_assert(vm->ops->used(vm, mem, CHUNK(2)));
  cr_assert(pagealloc_grow(&f.p, (uintptr_t)mem, CHUNK(2)));
  cr_assert_eq(pagealloc_alloc(&f.p, 1024, &scav), (uintptr_t)mem);
  memset(mem, 0x55, CHUNK(2));
  pagealloc_free(&f.p, (uintptr_t)mem + CHUNK(1), 512);
  cr_expect_eq(scavenge(&f, SIZE_MAX, true), CHUNK(1));
  const char *bytes = mem;
  for (size_t i = 0; i < CHUNK(1); i += 1009) {
    cr_assert_eq(bytes[i], 0x55);
    cr_assert_eq(bytes[CHUNK(1) + i], 0);
  }
  vm->ops->free(vm, mem, CHUNK(2));
  pagefix_destroy(&f);
}

/* Random frees and background rounds: every generation ends with no sparse
 * chunk that has something to give. */
Test(scavenge, background_random_leaves_only_dense_chunks) {
  struct rng r = rng_seed();
  struct pagefix f;
  uintptr_t scav;
  scav_init(&f, 16);
  for (int gen = 0; gen < 60; gen++) {
    for (int op = 0; op < 200; op++) {
      size_t n = 1 + rng_below(&r, 30);
      uintptr_t at = pagealloc_alloc(&f.p, n, &scav);
      if (at && rng_chance(&r, 3)) pagealloc_free(&f.p, at, n);
    }
    while (pagealloc_alloc(&f.p, 1, &scav))
      ;
    for (int op = 0; op < 400; op++) {
      uintptr_t at = page_at(rng_below(&r, 16), (unsigned)rng_below(&r, 512));
      struct pallocdata *d = chunk_data(&f.p, rel_chunk(rel_of(&f.p, at)));
      if (pallocbits_get(&d->alloc, chunk_page_index(at)))
        pagealloc_free(&f.p, at, 1);
    }
    pagealloc_scavenge_next_gen(&f.p);
    scavenge(&f, SIZE_MAX, false);
    for (size_t c = 0; c < 16; c++) {
      const struct pallocdata *d = chunk_data(&f.p, BASE + c);
      unsigned used = pallocbits_popcount_range(&d->alloc, 0, 512);
      unsigned gone = pallocbits_popcount_range(&d->scavenged, 0, 512);
      cr_assert(used >= SCAV_DENSE_PAGES || used + gone == 512,
                "gen %d chunk %zu: used %u, scavenged %u", gen, c, used, gone);
    }
  }
  pagefix_destroy(&f);
}

/* ---- threads ---- */

struct crowd {
  struct pagefix f;
  struct atomic_bool done;
};

/* Two scavengers call it at once: pagefix's own counts are not atomic. */
static struct atomic_u64 crowd_calls;

static void crowd_unused(struct vm *vm, void *at, size_t n) {
  (void)vm;
  (void)at;
  (void)n;
  atomic_u64_fetch_add_relaxed(&crowd_calls, 1);
}

/* Allocates and frees runs, some through a cache, as threads of a heap do. */
static void *crowd_mutator(void *arg) {
  struct crowd *c = arg;
  struct rng r = rng_from((uintptr_t)&r);
  struct pagecache cache = {0, 0, 0};
  uintptr_t held[64] = {0}, scav;
  size_t len[64];
  for (int op = 0; op < 8000; op++) {
    size_t k = rng_below(&r, 64), n = 1 + rng_below(&r, 12);
    uintptr_t fast = held[k] ? 0 : pagecache_alloc(&cache, n, &scav);
    mutex_lock(&heap_lock);
    if (held[k]) {
      pagealloc_free(&c->f.p, held[k], len[k]);
      held[k] = 0;
    } else {
      if (!fast && pagecache_empty(&cache))
        cache = pagealloc_alloc_to_cache(&c->f.p);
      held[k] = fast ? fast : pagealloc_alloc(&c->f.p, n, &scav);
      len[k] = n;
    }
    mutex_unlock(&heap_lock);
  }
  mutex_lock(&heap_lock);
  for (size_t k = 0; k < 64; k++)
    if (held[k]) pagealloc_free(&c->f.p, held[k], len[k]);
  pagecache_flush(&cache, &c->f.p);
  mutex_unlock(&heap_lock);
  return NULL;
}

static void *crowd_scavenger(void *arg) {
  struct crowd *c = arg;
  struct scavenge_policy policy = {.force = true};
  /* acquire: pairs with the release in the test below */
  for (bool last = false; !last;) {
    last = atomic_bool_load_acquire(&c->done);
    mutex_lock(&heap_lock);
    pagealloc_scavenge(&c->f.p, 1u << 20, &policy);
    pagealloc_scavenge_next_gen(&c->f.p);
    mutex_unlock(&heap_lock);
    sched_yield();
  }
  return NULL;
}

Test(scavenge, threads_allocate_while_two_scavenge) {
  static struct crowd c;
  pthread_t mutator[3], scavenger[2];
  uintptr_t scav;
  scav_init(&c.f, 3);
  c.f.ops.unused = crowd_unused;
  c.f.p.lock = &heap_lock;
  for (int i = 0; i < 3; i++)
    pthread_create(&mutator[i], NULL, crowd_mutator, &c);
  for (int i = 0; i < 2; i++)
    pthread_create(&scavenger[i], NULL, crowd_scavenger, &c);
  for (int i = 0; i < 3; i++) pthread_join(mutator[i], NULL);
  atomic_bool_store_release(&c.done, true);
  for (int i = 0; i < 2; i++) pthread_join(scavenger[i], NULL);
  mutex_lock(&heap_lock);
  pagealloc_verify(&c.f.p);
  cr_expect_gt(atomic_u64_load_relaxed(&crowd_calls), 0u);
  cr_expect_eq(pagealloc_alloc(&c.f.p, 3 * 512, &scav), CHUNK(BASE));
  mutex_unlock(&heap_lock);
  pagefix_destroy(&c.f);
}
