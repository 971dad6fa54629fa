// SPDX-License-Identifier: MIT
/* The span queue: order, nothing lost or doubled between ring and list, what happens
 * without memory; and the ownership protocol, by itself and between threads that
 * mark and scan false spans. */
#include "gc/spanq.h"
#include "os/clock.h"
#include "support/fakesource.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

static struct fake_source source;
static struct persistent meta;
static struct spanq_pool pool;

static void fixture_init(void) {
  fake_source_init(&source, 0);
  persistent_init(&meta, &source.src);
  spanq_pool_init(&pool, &meta, NULL);
}

/* --- the queue alone --- */

static struct spanq q;
static struct atomic_u8 nobody;

/* Entries that stand for numbers: their spans are never looked at. */
static void put_number(uint64_t i) {
  spanq_put(&q, spanq_entry_make((void *)(uintptr_t)(64 * (i + 1)), i % 512),
            &nobody);
}

static bool get_number(uint64_t *i) {
  struct spanq_entry e;
  if (!spanq_get(&q, &e)) return false;
  *i = (uintptr_t)spanq_entry_span(e) / 64 - 1;
  cr_assert_eq(spanq_entry_slot(e), *i % 512);
  return true;
}

Test(spanq, entries_keep_their_span_and_slot) {
  for (unsigned slot = 0; slot < 512; slot += 73) {
    void *span = (void *)(uintptr_t)0x7ffffffff040;
    struct spanq_entry e = spanq_entry_make(span, slot);
    cr_assert_eq(spanq_entry_span(e), span);
    cr_assert_eq(spanq_entry_slot(e), slot);
  }
}

Test(spanq, first_in_is_first_out_in_the_ring, .init = fixture_init) {
  struct rng r = rng_seed();
  uint64_t put = 0, got = 0, i;
  spanq_init(&q, &pool);
  cr_assert_not(get_number(&i));
  for (int step = 0; step < 100000; step++) {
    if (put - got < SPANQ_RING && rng_chance(&r, 2)) put_number(put++);
    uint32_t n = (uint32_t)rng_below(&r, SPANQ_RING);
    struct spanq_entry e;
    cr_assert_eq(spanq_ahead(&q, n, &e), n < put - got);
    if (n < put - got)
      cr_assert_eq((uintptr_t)spanq_entry_span(e), 64 * (got + n + 1));
    if (rng_chance(&r, 2) && get_number(&i)) cr_assert_eq(i, got++);
    cr_assert_eq(spanq_held(&q), put - got);
  }
  cr_assert_eq(atomic_u64_load_relaxed(&source.ncalls), 0);
}

/* Puts and gets of which the ring holds only a part. */
static void churn(struct rng *r, uint8_t *seen, uint64_t n) {
  uint64_t put = 0, got = 0, i;
  while (got < n) {
    unsigned phase = (unsigned)rng_below(r, 4);
    for (uint64_t k = rng_below(r, 600); k > 0; k--) {
      if (phase < 2 ? put < n : false) put_number(put++);
      if (phase == 2 && get_number(&i)) seen[i]++, got++;
    }
    if (phase == 3) spanq_share(&q);
    if (put == n)
      while (get_number(&i)) seen[i]++, got++;
  }
}

Test(spanq, what_is_put_is_got_once, .init = fixture_init) {
  static uint8_t seen[20000];
  struct rng r = rng_seed();
  spanq_init(&q, &pool);
  for (int round = 0; round < 5; round++) {
    memset(seen, 0, sizeof seen);
    churn(&r, seen, array_len(seen));
    for (size_t i = 0; i < array_len(seen); i++) cr_assert_eq(seen[i], 1);
    cr_assert_eq(spanq_held(&q), 0);
    cr_assert_not(spanq_available(&pool));
  }
  /* 20,000 entries need 160 blocks; they are used again. */
  cr_assert_lt(atomic_u32_load_relaxed(&pool.nblocks), 400);
  cr_assert_eq(atomic_u32_load_relaxed(&pool.lost), 0);
}

Test(spanq, first_in_is_first_out_beyond_the_ring, .init = fixture_init) {
  struct rng r = rng_seed();
  uint64_t put = 0, got = 0, i;
  struct spanq_entry e;
  spanq_init(&q, &pool);
  for (int step = 0; step < 3000; step++) {
    bool grow = step < 2000 ? !rng_chance(&r, 3) : rng_chance(&r, 3);
    for (uint64_t k = rng_below(&r, 40); k > 0 && grow; k--) put_number(put++);
    for (uint64_t k = rng_below(&r, 40); k > 0 && !grow; k--)
      if (get_number(&i)) cr_assert_eq(i, got++);
    cr_assert_eq(spanq_empty(&q), put == got);
    /* What comes next is known, so that it can be prefetched. */
    for (uint32_t n = 0; n < SPANQ_LOW; n++)
      cr_assert_eq(spanq_ahead(&q, n, &e), n < put - got);
    cr_assert_not(spanq_available(&pool), "nothing is given unasked");
  }
  cr_assert_gt(put, 10 * SPANQ_RING);
  while (get_number(&i)) cr_assert_eq(i, got++);
  cr_assert_eq(put, got);
}

Test(spanq, share_gives_the_oldest_block_behind_the_ring,
     .init = fixture_init) {
  uint64_t i, n = SPANQ_RING + 2 * SPANQ_BLOCK;
  spanq_init(&q, &pool);
  for (uint64_t k = 0; k < n; k++) put_number(k);
  cr_assert(spanq_share(&q));
  for (uint64_t want = 0; want < n; want++)
    if (want < SPANQ_RING || want >= SPANQ_RING + SPANQ_BLOCK)
      cr_assert(get_number(&i) && i == want);
  for (uint64_t want = SPANQ_RING; want < SPANQ_RING + SPANQ_BLOCK; want++)
    cr_assert(get_number(&i) && i == want);
  cr_assert_not(get_number(&i));
}

Test(spanq, reset_forgets_all, .init = fixture_init) {
  uint64_t i;
  spanq_init(&q, &pool);
  for (uint64_t k = 0; k < 1000; k++) put_number(k);
  spanq_reset(&q);
  cr_assert(spanq_empty(&q));
  cr_assert_not(get_number(&i));
  uint32_t blocks = atomic_u32_load_relaxed(&pool.nblocks);
  for (uint64_t k = 0; k < 1000; k++) put_number(k);
  cr_assert_eq(atomic_u32_load_relaxed(&pool.nblocks), blocks);
}

Test(spanq, share_gives_the_older_half_once, .init = fixture_init) {
  uint64_t i;
  spanq_init(&q, &pool);
  put_number(0);
  cr_assert_not(spanq_share(&q), "the last one is kept");
  for (uint64_t n = 1; n < 10; n++) put_number(n);
  cr_assert(spanq_share(&q));
  cr_assert_not(spanq_share(&q), "there is something for them already");
  for (uint64_t want = 5; want < 10; want++)
    cr_assert(get_number(&i) && i == want);
  for (uint64_t want = 0; want < 5; want++)
    cr_assert(get_number(&i) && i == want);
}

Test(spanq, release_gives_all, .init = fixture_init) {
  spanq_init(&q, &pool);
  for (uint64_t n = 0; n < 1000; n++) put_number(n);
  cr_assert(spanq_release(&q));
  cr_assert(spanq_empty(&q));
  uint64_t i, n = 0;
  while (get_number(&i)) n++;
  cr_assert_eq(n, 1000);
}

Test(spanq, without_memory_an_entry_is_dropped_and_it_is_told,
     .init = fixture_init) {
  uint64_t i, n = 0;
  spanq_init(&q, &pool);
  atomic_u32_store_relaxed(&pool.max_blocks, 0);
  for (uint64_t k = 0; k < SPANQ_RING; k++) put_number(k);
  cr_assert_eq(atomic_u32_load_relaxed(&pool.lost), 0);
  cr_assert_not(spanq_release(&q));
  atomic_u8_store_relaxed(&nobody, SPANQ_ONE);
  put_number(SPANQ_RING);
  cr_assert_eq(atomic_u32_load_relaxed(&pool.lost), 1);
  cr_assert_eq(atomic_u8_load_relaxed(&nobody), SPANQ_UNOWNED);
  while (get_number(&i)) cr_assert_eq(i, n++);
  cr_assert_eq(n, SPANQ_RING);
}

/* --- false spans --- */

#define MAX_SPANS 600
#define SLOTS 512
#define SETS (SLOTS / 64)

struct fake_span {
  struct atomic_u8 owned;
  struct mspan_bits bits[SETS];
  struct atomic_u64 scanned[SETS];
  struct atomic_u8 nscans[SLOTS]; /* how often each was handed out */
  struct atomic_u32 nqueued;      /* entries of the span; at most 1 */
  struct atomic_u32 arrivals;
};

static struct fake_span spans[MAX_SPANS];

static struct spanq_span view(struct fake_span *s) {
  return (struct spanq_span){&s->owned, s->bits, s->scanned, SETS};
}

/* True: it was not marked. */
static bool mark(struct fake_span *s, unsigned slot, bool shared) {
  struct atomic_u64 *w = &s->bits[slot / 64].mark;
  uint64_t bit = 1ull << (slot % 64), old = atomic_u64_load_relaxed(w);
  if (old & bit) return false;
  if (shared)
    old = atomic_u64_fetch_or_seq_cst(w, bit);
  else
    atomic_u64_store_relaxed(w, old | bit);
  return !(old & bit);
}

static bool mark_and_note(struct fake_span *s, unsigned slot, bool shared) {
  cr_assert(mark(s, slot, shared));
  return spanq_note(&s->owned, false, shared);
}

static bool set_is(const uint64_t *set, unsigned n, const unsigned *slots) {
  uint64_t want[SETS] = {0};
  for (unsigned i = 0; i < n; i++) want[slots[i] / 64] |= 1ull << slots[i] % 64;
  return memcmp(set, want, sizeof want) == 0;
}

static void check_protocol(struct fake_span *s, bool shared) {
  struct spanq_span v = view(s);
  uint64_t set[SETS];
  const unsigned slots[] = {70, 511, 3, 71, 0};
  cr_assert(mark_and_note(s, 70, shared), "the first one owns it");
  spanq_peek(&v, 70, set);
  cr_assert(set_is(set, 1, slots));
  cr_assert(spanq_claim(&v, 70, shared, set));
  cr_assert(set_is(set, 1, slots));

  cr_assert(mark_and_note(s, 511, shared), "released: a mark queues it again");
  cr_assert_not(mark_and_note(s, 3, shared));
  cr_assert_not(mark_and_note(s, 71, shared));
  spanq_peek(&v, 511, set);
  cr_assert(set_is(set, 3, slots + 1), "what was scanned does not wait");
  cr_assert(spanq_claim(&v, 511, shared, set));
  cr_assert(set_is(set, 3, slots + 1));
  cr_assert_eq(atomic_u8_load_relaxed(&s->owned), SPANQ_UNOWNED);

  /* A mark whose note comes after it was claimed already. */
  cr_assert(mark_and_note(s, 0, shared));
  cr_assert_not(mark_and_note(s, 1, shared));
  cr_assert(mark(s, 2, shared));
  cr_assert(spanq_claim(&v, 0, shared, set));
  cr_assert(spanq_note(&s->owned, false, shared));
  cr_assert_not(spanq_claim(&v, 2, shared, set));
  cr_assert_eq(set[0], 0);
}

Test(spanq, one_marker_claims_each_slot_once) {
  check_protocol(&spans[0], false);
}

Test(spanq, claims_are_the_same_when_markers_share) {
  check_protocol(&spans[0], true);
}

Test(spanq, adopt_finds_what_was_dropped) {
  struct spanq_span v = view(&spans[0]);
  uint64_t set[SETS];
  cr_assert_not(spanq_adopt(&v), "nothing is marked");
  cr_assert(mark_and_note(&spans[0], 5, true));
  cr_assert_not(mark_and_note(&spans[0], 500, true));
  atomic_u8_store_relaxed(&spans[0].owned, SPANQ_UNOWNED); /* dropped */
  cr_assert(spanq_adopt(&v));
  cr_assert_not(spanq_adopt(&v), "it is queued already");
  cr_assert(spanq_claim(&v, 0, true, set));
  cr_assert_not(spanq_adopt(&v), "nothing waits");

  /* Queued again by a mark of its own, of which ONE tells alone. */
  cr_assert(mark(&spans[0], 7, true)); /* its note was dropped */
  cr_assert(mark_and_note(&spans[0], 8, true));
  cr_assert_not(spanq_adopt(&v));
  cr_assert(spanq_claim(&v, 8, true, set));
}

/* --- threads that mark and scan --- */

#define THREADS 4
#define GIVE_UP_NS 20000000000 /* nobody has work, and yet there is some */

struct graph {
  unsigned nspans;
  unsigned degree; /* edges of a slot */
  uint64_t seed;
  struct atomic_u64 marked, scanned; /* slots, by all threads */
  struct atomic_u32 gave_up;
  struct atomic_u32 twice; /* a span was queued that was queued already */
};

static struct graph graph;

struct worker {
  struct spanq queue;
  struct rng rng;
  uint64_t nclaims;
};

static void visit(struct worker *w, uint64_t object) {
  struct fake_span *s = &spans[object / SLOTS];
  unsigned slot = object % SLOTS;
  if (!mark(s, slot, true)) return;
  /* Counted before it can be scanned, so that marked > scanned while any waits. */
  atomic_u64_fetch_add_seq_cst(&graph.marked, 1);
  if (!spanq_note(&s->owned, false, true)) return;
  if (atomic_u32_fetch_add_relaxed(&s->nqueued, 1) != 0)
    atomic_u32_store_relaxed(&graph.twice, 1);
  spanq_put(&w->queue, spanq_entry_make(s, slot), &s->owned);
}

/* The edges of an object follow from its number, so that what is reachable does not
 * depend on who scans it. */
static void scan_slot(struct worker *w, struct fake_span *s, unsigned slot) {
  uint64_t object = (uint64_t)(s - spans) * SLOTS + slot;
  struct rng edges = rng_from(graph.seed ^ object * 0x9e3779b97f4a7c15ull);
  atomic_u8_fetch_add_relaxed(&s->nscans[slot], 1);
  for (unsigned i = 0; i < graph.degree; i++)
    visit(w, rng_below(&edges, (uint64_t)graph.nspans * SLOTS));
  atomic_u64_fetch_add_seq_cst(&graph.scanned, 1);
}

static void scan_entry(struct worker *w, struct spanq_entry e) {
  struct fake_span *s = spanq_entry_span(e);
  struct spanq_span v = view(s);
  uint64_t set[SETS];
  atomic_u32_store_relaxed(&s->nqueued, 0);
  w->nclaims += spanq_claim(&v, spanq_entry_slot(e), true, set);
  for (unsigned i = 0; i < SETS; i++)
    for (; set[i]; set[i] &= set[i] - 1)
      scan_slot(w, s, 64 * i + (unsigned)__builtin_ctzll(set[i]));
}

static void *work(void *arg) {
  struct worker *w = arg;
  struct spanq_entry e;
  for (int64_t idle_since = clock_nanotime();;) {
    if (spanq_get(&w->queue, &e)) {
      scan_entry(w, e);
      if (rng_chance(&w->rng, 8)) spanq_share(&w->queue);
      idle_since = clock_nanotime();
      continue;
    }
    if (atomic_u64_load_seq_cst(&graph.scanned) ==
        atomic_u64_load_seq_cst(&graph.marked))
      return NULL;
    if (atomic_u32_load_relaxed(&pool.lost)) return NULL;
    if (clock_nanotime() - idle_since > GIVE_UP_NS) {
      atomic_u32_store_relaxed(&graph.gave_up, 1);
      return NULL;
    }
    sched_yield();
  }
}

static struct worker workers[THREADS];

static void run_threads(unsigned n) {
  pthread_t t[THREADS];
  for (unsigned i = 0; i < n; i++)
    pthread_create(&t[i], NULL, work, &workers[i]);
  for (unsigned i = 0; i < n; i++) pthread_join(t[i], NULL);
}

/* Marks and scans from a few roots on. */
static void make_graph(struct rng *r, unsigned nspans, unsigned degree) {
  memset(spans, 0, sizeof spans);
  graph = (struct graph){.nspans = nspans, .degree = degree};
  graph.seed = rng_u64(r);
  for (unsigned i = 0; i < THREADS; i++) {
    spanq_init(&workers[i].queue, &pool);
    workers[i].rng = rng_from(rng_u64(r));
    for (int k = 0; k < 3; k++)
      visit(&workers[i], rng_below(r, (uint64_t)nspans * SLOTS));
  }
}

/* Every marked slot was scanned, and once; no span is still owned. */
static void check_graph(void) {
  size_t wrong = 0, owned = 0;
  for (unsigned i = 0; i < graph.nspans; i++) {
    owned += atomic_u8_load_relaxed(&spans[i].owned) != SPANQ_UNOWNED;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
      bool marked = spans[i].bits[slot / 64].mark.v >> (slot % 64) & 1;
      wrong += atomic_u8_load_relaxed(&spans[i].nscans[slot]) != marked;
    }
  }
  cr_assert_eq(wrong, 0);
  cr_assert_eq(owned, 0);
  cr_assert_eq(graph.scanned.v, graph.marked.v);
  cr_assert_gt(graph.marked.v, (uint64_t)graph.nspans * SLOTS / 2);
}

Test(spanq, threads_scan_what_is_marked_exactly_once, .init = fixture_init) {
  struct rng r = rng_seed();
  const unsigned nspans[] = {1, 2, 5, 40, MAX_SPANS};
  for (int round = 0; round < 100; round++) {
    unsigned i = (unsigned)rng_below(&r, array_len(nspans));
    if (nspans[i] == MAX_SPANS && round % 10 != 0) i = 0;
    make_graph(&r, nspans[i], 3);
    run_threads(THREADS);
    cr_assert_eq(atomic_u32_load_relaxed(&graph.gave_up), 0,
                 "a mark was lost: %lu marked, %lu scanned",
                 (unsigned long)graph.marked.v, (unsigned long)graph.scanned.v);
    cr_assert_eq(atomic_u32_load_relaxed(&graph.twice), 0);
    check_graph();
  }
}

/* Two threads go through the spans side by side, each marks every second slot, and who
 * comes to own a span claims at once: the accesses of notes and claims meet as often
 * as they can. When both are through, everything was claimed. */
static void meet(struct fake_span *s) {
  atomic_u32_fetch_add_acq_rel(&s->arrivals, 1);
  for (int i = 0; atomic_u32_load_acquire(&s->arrivals) < 2; i++) {
    cpu_relax();
    if (i % 256 == 255) sched_yield();
  }
}

static void *mark_half(void *arg) {
  unsigned first = *(unsigned *)arg;
  for (struct fake_span *s = spans; s < spans + MAX_SPANS; s++) {
    struct spanq_span v = view(s);
    uint64_t set[SETS];
    meet(s);
    for (unsigned slot = first; slot < SLOTS; slot += 2) {
      mark(s, slot, true);
      if (!spanq_note(&s->owned, false, true)) continue;
      if (atomic_u32_fetch_add_relaxed(&s->nqueued, 1) != 0)
        atomic_u32_store_relaxed(&graph.twice, 1);
      atomic_u32_store_relaxed(&s->nqueued, 0);
      spanq_claim(&v, slot, true, set);
      for (unsigned i = 0; i < SETS; i++)
        for (uint64_t left = set[i]; left; left &= left - 1)
          atomic_u8_fetch_add_relaxed(
              &s->nscans[64 * i + (unsigned)__builtin_ctzll(left)], 1);
    }
  }
  return NULL;
}

Test(spanq, marks_and_claims_that_meet_lose_and_double_nothing) {
  for (int round = 0; round < 20; round++) {
    unsigned first[] = {0, 1};
    size_t lost = 0, doubled = 0;
    pthread_t t[2];
    memset(spans, 0, sizeof spans);
    for (int i = 0; i < 2; i++)
      pthread_create(&t[i], NULL, mark_half, &first[i]);
    for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
    for (unsigned i = 0; i < MAX_SPANS * SLOTS; i++) {
      uint8_t n = spans[i / SLOTS].nscans[i % SLOTS].v;
      lost += n == 0;
      doubled += n > 1;
    }
    cr_assert_eq(lost, 0);
    cr_assert_eq(doubled, 0);
    cr_assert_eq(atomic_u32_load_relaxed(&graph.twice), 0);
  }
}

Test(spanq, what_was_dropped_is_scanned_in_the_end, .init = fixture_init) {
  struct rng r = rng_seed();
  int passes = 0;
  atomic_u32_store_relaxed(&pool.max_blocks, 0);
  make_graph(&r, MAX_SPANS, 3);
  run_threads(THREADS);
  while (atomic_u32_load_relaxed(&pool.lost)) {
    passes++;
    atomic_u32_store_relaxed(&pool.lost, 0);
    for (unsigned i = 0; i < MAX_SPANS; i++) {
      struct spanq_span v = view(&spans[i]);
      struct spanq_entry e;
      if (spanq_adopt(&v))
        spanq_put(&workers[0].queue, spanq_entry_make(&spans[i], 0),
                  &spans[i].owned);
      while (spanq_get(&workers[0].queue, &e)) scan_entry(&workers[0], e);
    }
    /* The others left when something was lost, with what their rings hold. */
    run_threads(THREADS);
  }
  cr_assert_gt(passes, 0);
  cr_assert_eq(atomic_u32_load_relaxed(&graph.gave_up), 0);
  check_graph();
}
