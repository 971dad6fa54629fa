// SPDX-License-Identifier: MIT
/*
 * mcache: a thread's runs, and how they are refilled (Go: mcache.go).
 *
 * A run is a stretch of free slots whose alloc bits are set, cut from the span
 * that the cache holds for the class, or a single slot that this thread freed
 * explicitly. mcache_refill looks, in this order, at
 *
 *   1. the reuse list: slots freed a moment ago are in the processor's cache
 *   2. the next free stretch of the cached span
 *   3. mcentral, for another span
 *
 * and makes the run ready for a type: slots zero (if asked for, or if there are
 * pointers) and their pointer bits in place. A run is at most 8 KiB, or one
 * slot, so that what was zeroed is still in the first-level cache when the
 * objects are made.
 *
 * Pointer bits of a span. While every slot has the bits of one type, masktype
 * says which, and runs for that type have nothing to write. An empty span takes
 * the bits of its first type as a whole. A run for another type writes its own
 * slots' bits and clears masktype, until the span is empty again.
 *
 * Accounting. A run counts as allocated when it is taken (nalloc, heap_live) and
 * what is left of it is taken off when it is given back, so counts are exact
 * when the cache is flushed. heap_live is shared by all threads, so a cache adds
 * up to LIVE_BATCH bytes at a time: with 100 threads it is at most 1.6 MiB off.
 */
#include "heap/mcache.h"

#include "base/bits.h"
#include "base/fatal.h"
#include "heap/heapbits.h"
#include "heap/mheap_internal.h"
#include <string.h>

#define RUN_MAX_BYTES 8192u
#define LIVE_BATCH 16384

const char mgc_run_zeroed_marker[1] = {'z'};
const char mgc_run_raw_marker[1] = {'r'};

/* --- making and deleting --- */

struct mcache *mcache_new(struct heap *h) {
  mutex_lock(&h->lock);
  struct mcache *c = fixalloc_alloc(&h->cache_alloc);
  mutex_unlock(&h->lock);
  if (!c) return NULL;
  c->heap = h;
  for (unsigned i = 0; i < NUM_SPAN_CLASSES; i++) {
    c->pub.run[i].elemsize = h->classes->size[i / 2];
    /* Never NULL: a place of use that is not set up has match == NULL and looks
     * at run[0], where a slot of no bytes would seem to be had. */
    c->pub.run[i].type = mgc_run_raw;
  }
  for (unsigned i = 0; i < MSPAN_BITS_CLASSES; i++) list_init(&c->stock[i]);
  return c;
}

static void fold_counts(struct heap *h, struct mcache_counts *n) {
  struct heap_stats *st = &h->stats;
  for (unsigned i = 0; i < NUM_SIZE_CLASSES; i++) {
    if (n->nalloc[i])
      atomic_u64_fetch_add_relaxed(&st->nalloc[i], n->nalloc[i]);
    if (n->nfree[i]) atomic_u64_fetch_add_relaxed(&st->nfree[i], n->nfree[i]);
  }
  atomic_u64_fetch_add_relaxed(&st->large_alloc_bytes, n->large_alloc_bytes);
  atomic_u64_fetch_add_relaxed(&st->large_nalloc, n->large_nalloc);
  atomic_u64_fetch_add_relaxed(&st->large_free_bytes, n->large_free_bytes);
  atomic_u64_fetch_add_relaxed(&st->large_nfree, n->large_nfree);
  atomic_u64_fetch_add_relaxed(&st->tiny_allocs, n->tiny_allocs);
  *n = (struct mcache_counts){0};
}

void mcache_delete(struct heap *h, struct mcache *c) {
  mcache_release_all(h, c);
  fold_counts(h, &c->counts);
  mutex_lock(&h->lock);
  for (unsigned i = 0; i < NUM_SPAN_CLASSES; i++)
    if (c->reuse[i]) fixalloc_free(&h->reuse_alloc, c->reuse[i]);
  if (c->later) fixalloc_free(&h->reuse_alloc, c->later);
  fixalloc_free(&h->cache_alloc, c);
  mutex_unlock(&h->lock);
}

/* --- accounting --- */

void mcache_settle_live(struct heap *h, struct mcache *c) {
  if (c->live_debt == 0) return;
  atomic_u64_fetch_add_relaxed(&h->heap_live, (uint64_t)c->live_debt);
  c->allocated += c->live_debt;
  c->live_debt = 0;
}

static void add_live(struct heap *h, struct mcache *c, int64_t bytes) {
  c->live_debt += bytes;
  if (c->live_debt >= LIVE_BATCH || c->live_debt <= -LIVE_BATCH)
    mcache_settle_live(h, c);
}

/* n slots of spc were taken for a run (negative: given back). */
static void count_slots(struct heap *h, struct mcache *c, struct spanclass spc,
                        int64_t n) {
  unsigned sc = spanclass_size(spc);
  c->counts.nalloc[sc] += (uint64_t)n;
  add_live(h, c, n * h->classes->size[sc]);
}

/* --- runs --- */

static void set_run(struct mgc_run *r, uintptr_t cur, uintptr_t end) {
  /* A stop may come between the two (never inside the allocator, but the
   * collector empties runs of stopped threads with this too): an end without
   * slots before it is the safe one to see first. */
  __atomic_store_n(&r->end, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&r->cur, cur, __ATOMIC_RELAXED);
  __atomic_store_n(&r->end, end, __ATOMIC_RELAXED);
}

/* Gives back what is left of a run. */
static void retire_run(struct heap *h, struct mcache *c, struct spanclass spc) {
  struct mgc_run *r = &c->pub.run[spc.v];
  uintptr_t cur = __atomic_load_n(&r->cur, __ATOMIC_RELAXED);
  uintptr_t end = __atomic_load_n(&r->end, __ATOMIC_RELAXED);
  set_run(r, 0, 0);
  if (cur >= end) return;
  struct mspan *s = span_of(&h->arenas, cur);
  unsigned first = mspan_index(s, cur);
  unsigned n = (unsigned)((end - cur) / r->elemsize);
  count_slots(h, c, spc, -(int64_t)n);
  if (s == c->span[spc.v]) {
    mspan_return_slots(s, first, n);
    return;
  }
  /* A slot from the reuse list. */
  mspan_free_slot(s, first);
  mcentral_note_free(h, s);
}

static void prepare_bitmap(struct heap *h, struct mspan *s, unsigned first,
                           unsigned n, const struct mgc_type *type) {
  void *mask = (void *)(uintptr_t)type;
  if (atomic_ptr_load_relaxed(&s->masktype) == mask) return;
  if (s->untouched) {
    heapbits_set_span(&h->arenas, s, type);
    atomic_ptr_store_relaxed(&s->masktype, mask);
    return;
  }
  atomic_ptr_store_relaxed(&s->masktype, NULL);
  heapbits_set_slots(&h->arenas, s, first, n, type, s->elemsize);
}

/* Slots [first, first + n) of s are ours: makes them the run. */
static struct mspan *start_run(struct heap *h, struct mcache *c,
                               struct mspan *s, unsigned first, unsigned n,
                               const struct mgc_type *type) {
  struct mgc_run *r = &c->pub.run[s->spanclass.v];
  uintptr_t cur = mspan_slot(s, first);
  size_t bytes = n * s->elemsize;
  bool old = mspan_slots_dirty(s);
  if (old && type != mgc_run_raw) memset((void *)cur, 0, bytes);
  if (!mspan_noscan(s)) prepare_bitmap(h, s, first, n, type);
  if (unlikely(heap_is_marking(h))) {
    mspan_mark_slots(s, first, n);
    mheap_note_marks(h, s);
  }
  count_slots(h, c, s->spanclass, n);
  r->type = type;
  set_run(r, cur, cur + bytes);
  return s;
}

/* --- explicitly freed slots --- */

/* False: the list is full, or there is no memory for one. */
static bool push_slot(struct heap *h, struct mcache_reuse **list,
                      uintptr_t slot) {
  if (unlikely(!*list)) {
    mutex_lock(&h->lock);
    *list = fixalloc_alloc(&h->reuse_alloc);
    mutex_unlock(&h->lock);
    if (!*list) return false;
  }
  if ((*list)->n == MCACHE_REUSE_MAX) return false;
  (*list)->slot[(*list)->n++] = slot;
  return true;
}

static void note_in_use(struct mcache *c, struct spanclass spc) {
  c->in_use[spc.v / 64] |= 1ull << (spc.v % 64);
}

bool mcache_push_reuse(struct heap *h, struct mcache *c, struct mspan *s,
                       uintptr_t slot) {
  note_in_use(c, s->spanclass);
  return push_slot(h, &c->reuse[s->spanclass.v], slot);
}

void mcache_free_later(struct heap *h, struct mcache *c, struct mspan *s,
                       unsigned i) {
  mspan_mark_slots(s, i, 1);
  mheap_note_marks(h, s);
  (void)push_slot(h, &c->later, mspan_slot(s, i));
}

void mcache_forget_later(struct mcache *c) {
  if (c->later) c->later->n = 0;
}

/* Claims a slot that the list remembers. Between the free and now the span may
 * have been emptied by others, freed, and be anything: but one that is swept in
 * this cycle stays as it is until the next, and the list is dropped then. */
static struct mspan *claim_reuse(struct heap *h, struct spanclass spc,
                                 uintptr_t slot, unsigned *i) {
  uint32_t sg = atomic_u32_load_relaxed(&h->sweepgen);
  struct mspan *s = span_of(&h->arenas, slot);
  if (!s) return NULL;
  /* acquire: pairs with the releases of sweep_span, uncache and publish_span */
  uint32_t swept = atomic_u32_load_acquire(&s->sweepgen);
  if (swept != sg && swept != sg + 3) return NULL;
  if (span_of_heap(&h->arenas, slot) != s || s->spanclass.v != spc.v)
    return NULL;
  *i = mspan_index(s, slot);
  return mspan_claim_slot(s, *i) ? s : NULL;
}

static struct mspan *refill_from_reuse(struct heap *h, struct mcache *c,
                                       struct spanclass spc,
                                       const struct mgc_type *type) {
  struct mcache_reuse *list = c->reuse[spc.v];
  while (list && list->n > 0) {
    unsigned i;
    struct mspan *s = claim_reuse(h, spc, list->slot[--list->n], &i);
    if (!s) continue;
    atomic_u8_store_relaxed(&s->dirty, 1);
    if (type != mgc_run_raw) memset((void *)mspan_slot(s, i), 0, s->elemsize);
    if (!mspan_noscan(s) &&
        atomic_ptr_load_relaxed(&s->masktype) != (void *)(uintptr_t)type) {
      atomic_ptr_store_relaxed(&s->masktype, NULL);
      heapbits_set_slots(&h->arenas, s, i, 1, type, s->elemsize);
    }
    struct mgc_run *r = &c->pub.run[spc.v];
    count_slots(h, c, spc, 1);
    r->type = type;
    set_run(r, mspan_slot(s, i), mspan_slot(s, i) + s->elemsize);
    return s;
  }
  return NULL;
}

/* Nobody will remember these slots: spans that are full but for them must be
 * found by way of the partial set. */
static void forget_reuse(struct heap *h, struct mcache_reuse *list) {
  uint32_t sg = atomic_u32_load_relaxed(&h->sweepgen);
  while (list->n > 0) {
    struct mspan *s = span_of(&h->arenas, list->slot[--list->n]);
    if (s && atomic_u32_load_acquire(&s->sweepgen) == sg)
      mcentral_note_free(h, s);
  }
}

bool mcache_free_slot(struct heap *h, struct mcache *c, struct mspan *s,
                      unsigned i) {
  sweep_ensure(h, s);
  if (!mspan_free_slot(s, i)) return false;
  c->counts.nfree[spanclass_size(s->spanclass)]++;
  add_live(h, c, -(int64_t)s->elemsize);
  if (!mcache_push_reuse(h, c, s, mspan_slot(s, i))) mcentral_note_free(h, s);
  return true;
}

/* --- refilling and flushing --- */

struct mspan *mcache_refill(struct heap *h, struct mcache *c,
                            struct spanclass spc, const struct mgc_type *type) {
  mgc_assert(type != NULL && spanclass_size(spc) != 0);
  retire_run(h, c, spc);
  note_in_use(c, spc);
  struct mspan *s = refill_from_reuse(h, c, spc, type);
  if (s) return s;
  size_t size = h->classes->size[spanclass_size(spc)];
  unsigned max_slots =
      size < RUN_MAX_BYTES ? (unsigned)(RUN_MAX_BYTES / size) : 1;
  unsigned first, n;
  for (;;) {
    s = c->span[spc.v];
    if (s && mspan_next_run(s, max_slots, &first, &n)) break;
    c->span[spc.v] = NULL;
    if (s) mcentral_uncache_span(h, s);
    s = mcentral_cache_span(h, spc, c);
    if (!s) return NULL;
    c->span[spc.v] = s;
  }
  start_run(h, c, s, first, n, type);
  s->untouched = 0;
  return s;
}

static void flush_class(struct heap *h, struct mcache *c, unsigned i) {
  struct mspan *s = c->span[i];
  retire_run(h, c, (struct spanclass){(uint8_t)i});
  c->span[i] = NULL;
  if (s) mcentral_uncache_span(h, s);
  if (c->reuse[i]) forget_reuse(h, c->reuse[i]);
}

void mcache_flush(struct heap *h, struct mcache *c) {
  for (unsigned w = 0; w < array_len(c->in_use); w++) {
    for (uint64_t bits = c->in_use[w]; bits; bits &= bits - 1)
      flush_class(h, c, w * 64 + ctz64(bits));
    c->in_use[w] = 0;
  }
  atomic_uptr_store_relaxed(&c->tiny, 0);
  atomic_uptr_store_relaxed(&c->tinyoffset, 0);
  mcache_settle_live(h, c);
}

void mcache_release_all(struct heap *h, struct mcache *c) {
  mcache_flush(h, c);
  mutex_lock(&h->lock);
  pagecache_flush(&c->pages, &h->pages);
  mutex_unlock(&h->lock);
  mheap_return_stock(h, c);
}

static void verify_run(const struct mcache *c, unsigned spc) {
  const struct mgc_run *r = &c->pub.run[spc];
  if (r->cur >= r->end) return;
  const struct mspan *s = span_of_heap(&c->heap->arenas, r->cur);
  if (!s || s->spanclass.v != spc || r->end > s->limit || !r->type ||
      (r->end - r->cur) % r->elemsize != 0 ||
      mspan_slot(s, mspan_index(s, r->cur)) != r->cur)
    verify_fail("mcache run", "class=%u cur=%p end=%p span=%p", spc,
                (void *)r->cur, (void *)r->end, (void *)(s ? s->base : 0));
  for (uintptr_t p = r->cur; p < r->end; p += r->elemsize)
    if (!mspan_is_alloc(s, mspan_index(s, p)))
      verify_fail("mcache run", "class=%u slot=%p is free", spc, (void *)p);
}

void mcache_verify(struct heap *h, const struct mcache *c) {
  uint32_t sg = atomic_u32_load_relaxed(&h->sweepgen);
  for (unsigned i = 0; i < NUM_SPAN_CLASSES; i++) {
    const struct mspan *s = c->span[i];
    bool in_use = c->in_use[i / 64] >> (i % 64) & 1;
    if (!in_use && (s || c->pub.run[i].cur < c->pub.run[i].end))
      verify_fail("mcache in_use", "class=%u", i);
    if (s && (atomic_u32_load_relaxed(&s->sweepgen) != sg + 3 ||
              s->spanclass.v != i))
      verify_fail("mspan I5", "base=%p class=%u sweepgen=%u h=%u",
                  (void *)s->base, i, atomic_u32_load_relaxed(&s->sweepgen),
                  sg);
    verify_run(c, i);
  }
}
