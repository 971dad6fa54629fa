// SPDX-License-Identifier: MIT
/* Threads' own spans: refills, frees by the owner and by others, what ended threads
 * leave. See tcache.h for the invariants; tcache_verify checks them throughout. */
#include "heap/tcache.h"
#include "support/rng.h"
#include "support/test_heap.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

TestSuite(tcache);

static struct theap *make_theap(struct vm *vm) {
  struct vm *system = vm_system();
  struct heap *h = test_heap_cfg((struct heap_config){
      .vm = vm, .classes = &sizeclasses_malloc, .opt = {.window_log2 = 34}});
  cr_assert_not_null(h);
  struct theap *th =
      system->ops->alloc(system, align_up(sizeof *th, system->page_size), NULL);
  theap_init(th, h, 0x123456789abcdef1u);
  return th;
}

static struct tcache *attach(struct theap *th) {
  struct tcache *t = tcache_attach(th, 1);
  cr_assert_not_null(t);
  return t;
}

static void *take(struct tcache *t, unsigned sc) {
  void *p = (void *)tcache_take(t, tcache_list_off(sc));
  return p ? p : tcache_refill(t, sc).p;
}

/* As the fast path does it. */
static void give(struct tcache *t, void *ptr) {
  tcache_free_slow(t->th, t, (uintptr_t)ptr);
}

static uint64_t pages(const struct theap *th) {
  return atomic_u64_load_relaxed(&th->pages);
}

static struct mspan *span_at(void *p) {
  return pagemap_get(&tcache_globals.map, (uintptr_t)p);
}

Test(tcache, slots_are_distinct_aligned_and_of_their_class) {
  struct theap *th = make_theap(NULL);
  struct tcache *t = attach(th);
  for (unsigned sc = 1; sc < sizeclasses_malloc.nclasses; sc++) {
    size_t size = sizeclasses_malloc.size[sc];
    enum { N = 40 };
    unsigned char *p[N];
    for (unsigned i = 0; i < N; i++) {
      p[i] = take(t, sc);
      cr_assert_not_null(p[i]);
      cr_assert(is_aligned((uintptr_t)p[i], 16));
      cr_assert_eq(span_at(p[i])->elemsize, size);
      memset(p[i], (int)i, size);
    }
    tcache_verify(t);
    for (unsigned i = 0; i < N; i++)
      for (size_t j = 0; j < size; j += 7) cr_assert_eq(p[i][j], i);
    for (unsigned i = 0; i < N; i++) give(t, p[i]);
    tcache_verify(t);
  }
  tcache_trim(t);
  cr_assert_eq(pages(th), 0);
}

Test(tcache, direct_tables_name_the_class_of_every_size) {
  struct tcache *t = attach(make_theap(NULL));
  const struct sizeclass_table *tab = &sizeclasses_malloc;
  for (size_t size = 1; size <= MAX_SMALL_SIZE; size++) {
    unsigned off = size <= TCACHE_DIRECT_MAX
                       ? t->headoff[size]
                       : t->headoff128[(size + 127) / 128];
    size_t have = tab->size[off / sizeof t->list[0]];
    cr_assert_geq(have, size);
    cr_assert_eq(have, tab->size[sizeclass_of(tab, size)], "size %zu", size);
  }
  cr_assert_eq(t->headoff[0] / sizeof t->list[0], 1, "malloc(0)");
  tcache_slow_only(t);
  for (size_t i = 0; i < array_len(t->headoff); i++)
    cr_assert_eq(t->headoff[i], 0);
}

Test(tcache, one_product_tells_where_slots_begin) {
  const struct sizeclass_table *tab = &sizeclasses_malloc;
  for (unsigned sc = 1; sc < tab->nclasses; sc++) {
    size_t size = tab->size[sc], bytes = 1 << 17;
    cr_assert_leq(tab->npages[sc] * MGC_PAGE_SIZE, bytes);
    struct mspan_local l = {.base = (uintptr_t)1 << 44,
                            .divisor = UINT64_MAX / size + 1};
    for (size_t x = 0; x < bytes; x++) {
      bool starts = x % size == 0;
      uint64_t stray = mspan_local_stray(&l, l.base + x);
      if ((stray == 0) != starts || (!starts && stray <= 1u << 28) ||
          mspan_local_starts(&l, l.base + x) != starts)
        cr_assert_fail("size %zu, offset %zu: 0x%lx", size, x, stray);
    }
  }
}

Test(tcache, fresh_slots_are_zero_and_say_so) {
  struct tcache *t = attach(make_theap(NULL));
  unsigned sc = sizeclass_of(&sizeclasses_malloc, 4096);
  struct tcache_result r = tcache_refill(t, sc);
  cr_assert(r.zero);
  for (size_t i = 0; i < 4096; i++) cr_assert_eq(((char *)r.p)[i], 0);
  memset(r.p, 0xff, 4096);
  give(t, r.p);
  cr_assert_eq(take(t, sc), r.p);
}

/* --- a model: what is in use, with its contents --- */

enum { SLOTS = 700 };
struct model {
  unsigned char *p[SLOTS];
  uint32_t size[SLOTS];
};

static void step(struct model *m, struct tcache *t, struct tcache *freer,
                 struct rng *r) {
  unsigned i = (unsigned)rng_below(r, SLOTS);
  if (m->p[i]) {
    for (uint32_t j = 0; j < m->size[i]; j += 5)
      cr_assert_eq(m->p[i][j], (unsigned char)i);
    give(freer, m->p[i]);
  }
  m->size[i] = 1 + (uint32_t)rng_below(r, rng_below(r, 8) ? 300 : 20000);
  m->p[i] = take(t, sizeclass_of(&sizeclasses_malloc, m->size[i]));
  memset(m->p[i], (int)i, m->size[i]);
}

static void clear(struct model *m, struct tcache *t) {
  for (int i = 0; i < SLOTS; i++)
    if (m->p[i]) give(t, m->p[i]);
  memset(m, 0, sizeof *m);
}

Test(tcache, random_frees_by_owner_and_others_keep_the_invariants) {
  struct theap *th = make_theap(NULL);
  struct tcache *t = attach(th), *other = attach(th);
  static struct model m;
  struct rng r = rng_seed();
  for (int i = 0; i < 60000; i++) {
    step(&m, t, rng_below(&r, 3) ? t : other, &r);
    if (i % 500 == 0) tcache_verify(t);
    if (i % 9000 == 0) tcache_trim(t);
    if (i % 20000 == 19999) clear(&m, other);
  }
  clear(&m, t);
  tcache_trim(t);
  tcache_verify(t);
  cr_assert_eq(pages(th), 0, "%lu pages", (unsigned long)pages(th));
}

/* --- frees by others --- */

Test(tcache, a_span_that_others_empty_goes_back_while_its_owner_sleeps) {
  struct theap *th = make_theap(NULL);
  struct tcache *t = attach(th), *other = attach(th);
  enum { N = 5000, SC = 4 };
  static void *p[N];
  for (int i = 0; i < N; i++) p[i] = take(t, SC);
  uint64_t before = pages(th);
  for (int i = 0; i < N; i++) give(other, p[i]);
  /* All but the current span. */
  cr_assert_leq(pages(th), 16, "%lu of %lu", (unsigned long)pages(th),
                (unsigned long)before);
  for (int i = 0; i < N; i++) cr_assert_not_null(take(t, SC));
  tcache_verify(t);
}

/* The owner frees each every-th slot, another thread the others; pages left. */
static uint64_t pages_after_both(unsigned every, bool owner_looks) {
  struct theap *th = make_theap(NULL);
  struct tcache *t = attach(th), *other = attach(th);
  enum { N = 20000, SC = 4 };
  static void *p[N];
  for (int i = 0; i < N; i++) p[i] = take(t, SC);
  for (unsigned i = 0; i < N; i += every) give(t, p[i]);
  for (unsigned i = 0; i < N; i++)
    if (i % every) give(other, p[i]);
  /* As any refill does. */
  if (owner_looks) tcache_drain(t);
  tcache_verify(t);
  uint64_t n = pages(th);
  for (int i = 0; i < N; i++) cr_assert_not_null(take(t, SC));
  tcache_verify(t);
  return n;
}

Test(tcache, partial_spans_that_others_empty_go_back_while_their_owner_sleeps) {
  uint64_t n = pages_after_both(8, false);
  cr_assert_leq(n, 40, "%lu pages", (unsigned long)n);
}

Test(tcache, owner_hears_of_spans_that_it_and_others_emptied) {
  for (unsigned every = 2; every < 12; every++) {
    uint64_t n = pages_after_both(every, true);
    cr_assert_leq(n, 40, "every=%u: %lu pages", every, (unsigned long)n);
  }
}

Test(tcache, slots_that_others_freed_are_used_again) {
  struct theap *th = make_theap(NULL);
  struct tcache *t = attach(th), *other = attach(th);
  enum { N = 4096, SC = 4 };
  static void *p[N];
  for (int i = 0; i < N; i++) p[i] = take(t, SC);
  uint64_t before = pages(th);
  for (int round = 0; round < 20; round++) {
    for (int i = round % 2; i < N; i += 2) give(other, p[i]);
    for (int i = round % 2; i < N; i += 2) p[i] = take(t, SC);
    tcache_verify(t);
  }
  cr_assert_leq(pages(th), before + before / 4 + 16);
}

/* --- threads that end --- */

Test(tcache, what_an_ended_thread_leaves_is_taken_by_the_next) {
  struct theap *th = make_theap(NULL);
  enum { N = 1000, SC = 5 };
  void *p[N];
  uint64_t most = 0;
  for (int round = 0; round < 50; round++) {
    struct tcache *t = attach(th);
    for (int i = 0; i < N; i++) {
      if (round > 0 && i % 2) give(t, p[i]);
      if (round == 0 || i % 2) p[i] = take(t, SC);
    }
    tcache_verify(t);
    tcache_detach(t);
    tcache_verify(&th->central);
    if (round < 5) most = pages(th);
    cr_assert_leq(pages(th), most + 16, "round %d", round);
  }
  struct tcache *t = attach(th);
  for (int i = 0; i < N; i++) give(t, p[i]);
  tcache_detach(t);
  theap_trim_orphans(th);
  cr_assert_eq(pages(th), 0, "%lu pages", (unsigned long)pages(th));
}

Test(tcache, the_next_thread_finds_the_cache_as_it_was_left) {
  struct theap *th = make_theap(NULL);
  enum { SC = 5 };
  struct tcache *t = attach(th);
  void *kept = take(t, SC), *last = take(t, SC);
  give(t, last);
  uint64_t before = pages(th);
  tcache_detach(t);
  struct tcache *next = attach(th);
  cr_assert_eq(next, t);
  cr_assert_eq(take(next, SC), last);
  cr_assert_eq(pages(th), before);
  give(next, last);
  give(next, kept);
  tcache_verify(next);
}

Test(tcache, more_threads_than_stay_warm_leave_to_central) {
  struct theap *th = make_theap(NULL);
  enum { N = THEAP_WARM_MAX + 3, SC = 5 };
  struct tcache *t[N];
  void *p[N];
  for (int i = 0; i < N; i++) t[i] = attach(th);
  for (int i = 0; i < N; i++) p[i] = take(t[i], SC);
  for (int i = 0; i < N; i++) tcache_detach(t[i]);
  cr_assert_eq(atomic_u32_load_relaxed(&th->nwarm), THEAP_WARM_MAX);
  tcache_verify(&th->central);
  cr_assert_gt(th->central.owned_bytes, 0);
  struct tcache *free_all = attach(th);
  for (int i = 0; i < N; i++) give(free_all, p[i]);
  tcache_detach(free_all);
  theap_trim_orphans(th);
  cr_assert_eq(atomic_u32_load_relaxed(&th->nwarm), 0);
  cr_assert_eq(pages(th), 0);
}

Test(tcache, each_thread_puts_off_huge_pages) {
  struct heap_config cfg = {.opt = {.window_log2 = 34, .hugepages = 8},
                            .vm = vm_system(),
                            .classes = &sizeclasses_malloc};
  struct heap *h = test_heap_cfg(cfg);
  static struct theap th;
  theap_init(&th, h, 1);
  struct tcache *t[20];
  uint64_t one = 0;
  for (int i = 0; i < 20; i++) {
    t[i] = attach(&th);
    if (i == 0) one = atomic_u64_load_relaxed(&h->huge_from);
  }
  cr_assert_gt(one, (uint64_t)8 << 20);
  uint64_t many = atomic_u64_load_relaxed(&h->huge_from);
  cr_assert_eq(many - one, 19 * (one - ((uint64_t)8 << 20)));
  for (int i = 0; i < 20; i++) tcache_detach(t[i]);
  theap_trim_orphans(&th);
  cr_assert_eq(atomic_u64_load_relaxed(&h->huge_from), (uint64_t)8 << 20);
}

Test(tcache, a_large_cache_does_not_stay_warm) {
  struct theap *th = make_theap(NULL);
  enum { N = 20000, SC = 10 };
  struct tcache *t = attach(th);
  for (int i = 0; i < N; i++) (void)take(t, SC);
  cr_assert_gt(t->owned_bytes, (uint64_t)1 << 20);
  uint64_t owned = t->owned_bytes;
  tcache_detach(t);
  cr_assert_eq(atomic_u32_load_relaxed(&th->nwarm), 0);
  cr_assert_eq(th->central.owned_bytes, owned);
}

/* Otherwise a program would need what its ended threads had once more. */
Test(tcache, the_heap_does_not_grow_while_warm_caches_have_room) {
  struct theap *th = make_theap(NULL);
  enum { N = 5000, SC = 5 };
  static void *p[N];
  struct tcache *stays = attach(th), *ends = attach(th);
  void *one = take(stays, SC);
  for (int i = 0; i < N; i++) p[i] = take(ends, SC);
  uint64_t most = pages(th);
  /* All but what keeps each span in use. */
  for (int i = 0; i < N; i++)
    if (i % 50) give(ends, p[i]);
  tcache_detach(ends);
  for (int i = 0; i < N; i++)
    if (i % 50) p[i] = take(stays, SC);
  cr_assert_leq(pages(th), most + most / 16 + 4, "%lu of %lu pages",
                (unsigned long)pages(th), (unsigned long)most);
  tcache_verify(stays);
  tcache_verify(&th->central);
  give(stays, one);
}

Test(tcache, a_notice_to_an_ended_thread_reaches_the_new_owner) {
  struct theap *th = make_theap(NULL);
  struct tcache *t = attach(th), *other = attach(th);
  enum { N = 2000, SC = 6 };
  void *p[N];
  for (int i = 0; i < N; i++) p[i] = take(t, SC);
  /* Notices in the inbox when the thread ends, and more afterwards. */
  for (int i = 0; i < N; i += 3) give(other, p[i]);
  tcache_detach(t);
  for (int i = 1; i < N; i += 3) give(other, p[i]);
  struct tcache *next = attach(th);
  uint64_t before = pages(th);
  for (int i = 0; i < N / 2; i++) cr_assert_not_null(take(next, SC));
  cr_assert_leq(pages(th), before + 16);
  tcache_verify(next);
}

/* --- memory that runs out --- */

/* --- carving --- */

Test(tcache, carves_a_little_first_and_never_past_the_page_it_began_in) {
  struct theap *th = make_theap(NULL);
  struct tcache *t = attach(th);
  for (unsigned sc = 1; sc < sizeclasses_malloc.nclasses; sc++) {
    size_t size = sizeclasses_malloc.size[sc], last = 0;
    for (int refill = 0; refill < 12; refill++) {
      uintptr_t p = (uintptr_t)tcache_refill(t, sc).p, q;
      struct mspan *s = span_at((void *)p);
      size_t carved = mspan_slot(s, s->freeindex) - p;
      cr_assert(carved == size || p / 4096 == (p + carved - 1) / 4096,
                "%zu bytes at %zx", carved, (size_t)p);
      if (refill == 0) cr_assert(carved <= 512 || carved == size);
      if (carved > size) cr_assert_leq(carved, last ? 4096 : 512);
      last = carved;
      while ((q = tcache_take(t, tcache_list_off(sc))) != 0)
        memset((void *)q, 1, size);
      tcache_verify(t);
    }
  }
}

/* The first slot that was not handed out follows blocks that were: an error by one
 * reaches it. */
Test(tcache, free_of_the_next_unused_slot_is_fatal, .signal = SIGABRT) {
  struct tcache *t = attach(make_theap(NULL));
  unsigned sc = sizeclass_of(&sizeclasses_malloc, 2000);
  char *p = take(t, sc);
  give(t, p + sizeclasses_malloc.size[sc]);
}

Test(tcache, slots_are_zero_also_when_they_were_marked_as_unused) {
  struct tcache *t = attach(make_theap(NULL));
  unsigned sc = sizeclass_of(&sizeclasses_malloc, 1000);
  size_t size = sizeclasses_malloc.size[sc];
  for (int i = 0; i < 8; i++) {
    struct tcache_result r = tcache_refill(t, sc);
    if (!r.zero) continue; /* a list entry */
    for (size_t j = 0; j < size; j++)
      cr_assert_eq(((char *)r.p)[j], 0, "refill %d, byte %zu", i, j);
    while (tcache_take(t, tcache_list_off(sc))) {
    }
  }
}

/* --- spans that others emptied --- */

Test(tcache, a_span_emptied_by_owner_and_others_begins_anew) {
  struct theap *th = make_theap(NULL);
  struct tcache *t = attach(th), *other = attach(th);
  unsigned sc = sizeclass_of(&sizeclasses_malloc, 512);
  void *p[64], *keep = take(t, sc);
  struct mspan *s = span_at(keep);
  unsigned n = 0;
  while (n < 64 && span_at(p[n] = take(t, sc)) == s) n++;
  cr_assert_gt(n, 8);
  /* Half by the owner, the rest, the last one too, by another. */
  for (unsigned i = 0; i < n; i++) give(i < n / 2 ? t : other, p[i]);
  give(other, keep);
  tcache_trim(t);
  tcache_verify(t);
  for (unsigned i = 0; i < n; i++) {
    void *q = take(t, sc);
    for (unsigned j = 0; j < i; j++) cr_assert_neq(q, p[j]);
    memset(p[i] = q, 7, 512);
  }
  tcache_verify(t);
}

Test(tcache, pages_of_a_claimed_span_serve_the_next_one) {
  struct theap *th = make_theap(NULL);
  struct tcache *t = attach(th), *other = attach(th);
  unsigned sc = sizeclass_of(&sizeclasses_malloc, 1024), n = 0;
  void *p[64];
  do p[n] = take(t, sc);
  while (++n < 64 && span_at(p[n - 1]) == span_at(p[0]));
  uintptr_t base = span_at(p[0])->base;
  for (unsigned i = 0; i + 1 < n; i++) give(other, p[i]);
  cr_assert_eq(span_at((void *)base), &pagemap_none, "claimed");
  cr_assert_eq(atomic_u64_load_relaxed(&th->stash.bytes), MGC_PAGE_SIZE);
  struct mspan *s = theap_take_span(th, 1, sc);
  cr_assert_eq(s->base, base);
  cr_assert(s->needzero);
}

Test(tcache, refill_fails_and_recovers_when_memory_is_refused) {
  static struct vm_faulty f;
  for (uint64_t n = 1; n < 40; n++) {
    struct vm *vm = vm_faulty_init(&f, vm_system(), 0, true);
    struct theap *th = make_theap(vm);
    struct tcache *t = attach(th);
    f.fail_at = atomic_u64_load_relaxed(&f.ncalls) + n;
    void *p = NULL;
    int taken = 0;
    while (taken < 40000 && (p = take(t, 30)) != NULL) taken++;
    f.fail_at = 0;
    tcache_verify(t);
    cr_assert_not_null(take(t, 30), "after %d", taken);
    if (taken == 40000) return; /* so many calls are not made */
  }
}

/* --- misuse --- */

static struct tcache *with_slots(void *p[], int n, unsigned sc) {
  struct tcache *t = attach(make_theap(NULL));
  for (int i = 0; i < n; i++) p[i] = take(t, sc);
  return t;
}

Test(tcache, double_free_is_fatal, .signal = SIGABRT) {
  void *p[3];
  struct tcache *t = with_slots(p, 3, 4);
  give(t, p[1]);
  give(t, p[0]);
  give(t, p[1]);
}

Test(tcache, double_free_by_another_is_fatal, .signal = SIGABRT) {
  void *p[3];
  struct tcache *t = with_slots(p, 3, 4), *other = attach(t->th);
  give(other, p[1]);
  give(t, p[1]);
}

/* What lies in memory that was a free list before reads the same. */
Test(tcache, words_of_another_free_slot_are_no_double_free) {
  void *p[3];
  struct tcache *t = with_slots(p, 3, 4), *other = attach(t->th);
  give(t, p[0]);
  memcpy(p[1], p[0], 16);
  give(t, p[1]);
  memcpy(p[2], p[0], 16);
  give(other, p[2]);
}

Test(tcache, interior_free_is_fatal, .signal = SIGABRT) {
  void *p[1];
  struct tcache *t = with_slots(p, 1, 4);
  give(t, (char *)p[0] + 16);
}

Test(tcache, overwritten_link_is_fatal, .signal = SIGABRT) {
  void *p[4];
  struct tcache *t = with_slots(p, 4, 4);
  for (int i = 0; i < 3; i++) give(t, p[i]);
  ((uintptr_t *)p[2])[0] = (uintptr_t)&t;
  for (int i = 0; i < 2000; i++) take(t, 4);
}

Test(tcache, overwritten_check_word_is_fatal, .signal = SIGABRT) {
  void *p[4];
  struct tcache *t = with_slots(p, 4, 4);
  for (int i = 0; i < 3; i++) give(t, p[i]);
  ((uintptr_t *)p[1])[1] ^= 1;
  for (int i = 0; i < 2000; i++) take(t, 4);
}

/* --- threads --- */

enum { THREADS = 6, CELLS = 400, STEPS = 40000 };
static struct theap *shared;
static struct atomic_ptr cell[CELLS];

static void *exchange_blocks(void *arg) {
  struct rng r = rng_from((uintptr_t)arg);
  struct tcache *t = tcache_attach(shared, (int32_t)(uintptr_t)arg);
  for (int i = 0; i < STEPS; i++) {
    unsigned sc = 1 + (unsigned)rng_below(&r, 30);
    unsigned char *p = take(t, sc);
    memset(p, (int)sc, sizeclasses_malloc.size[sc]);
    p = atomic_ptr_exchange_acq_rel(&cell[rng_below(&r, CELLS)], p);
    if (!p) continue;
    for (size_t j = 0; j < sizeclasses_malloc.size[p[0]]; j++)
      if (p[j] != p[0]) abort();
    give(t, p);
    if (i % 7000 == 6999) { /* ends, and another begins */
      tcache_detach(t);
      t = tcache_attach(shared, (int32_t)(uintptr_t)arg);
    }
    if (i % 3000 == 2999) theap_trim_orphans(shared);
  }
  tcache_detach(t);
  return NULL;
}

Test(tcache, threads_that_free_each_others_blocks) {
  pthread_t t[THREADS];
  shared = make_theap(NULL);
  for (uintptr_t i = 0; i < THREADS; i++)
    cr_assert_eq(pthread_create(&t[i], NULL, exchange_blocks, (void *)(i + 1)),
                 0);
  for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  struct tcache *last = attach(shared);
  for (int i = 0; i < CELLS; i++) {
    void *p = atomic_ptr_load_acquire(&cell[i]);
    if (p) give(last, p);
  }
  tcache_detach(last);
  theap_trim_orphans(shared);
  tcache_verify(&shared->central);
  cr_assert_eq(pages(shared), 0, "%lu pages", (unsigned long)pages(shared));
}
