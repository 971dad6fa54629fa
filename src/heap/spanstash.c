// SPDX-License-Identifier: MIT
/* See spanstash.h. */
#include "heap/spanstash.h"

#include "base/bits.h"
#include "heap/mheap_internal.h"

static size_t bytes_of(const struct mspan *s) {
  return s->npages * MGC_PAGE_SIZE;
}

void spanstash_init(struct spanstash *st) {
  mutex_init(&st->lock, LOCKRANK_spanstash);
  for (unsigned i = 0; i < SPANSTASH_MAX_PAGES; i++) list_init(&st->bin[i]);
}

static void add_bytes(struct spanstash *st, int64_t n) {
  atomic_u64_fetch_add_relaxed(&st->bytes, (uint64_t)n);
}

static void put_locked(struct spanstash *st, struct mspan *s) {
  unsigned i = s->npages - 1;
  assert_lock_held(&st->lock);
  list_push_front(&st->bin[i], &s->link);
  st->occupied[i / 64] |= 1ull << (i % 64);
  add_bytes(st, (int64_t)bytes_of(s));
}

/* Takes the span of l, which is in bin[i]. */
static struct mspan *pull_locked(struct spanstash *st, unsigned i,
                                 struct list *l) {
  struct mspan *s = list_entry(l, struct mspan, link);
  assert_lock_held(&st->lock);
  list_remove(l);
  if (list_empty(&st->bin[i])) st->occupied[i / 64] &= ~(1ull << (i % 64));
  add_bytes(st, -(int64_t)bytes_of(s));
  return s;
}

struct mspan *spanstash_take(struct spanstash *st, struct heap *h,
                             size_t npages, unsigned sizeclass) {
  if (npages > SPANSTASH_MAX_PAGES ||
      atomic_u64_load_relaxed(&st->bytes) < npages * MGC_PAGE_SIZE)
    return NULL;
  unsigned i = (unsigned)npages - 1;
  struct mspan *s = NULL;
  mutex_lock(&st->lock);
  if (!list_empty(&st->bin[i])) s = pull_locked(st, i, st->bin[i].next);
  mutex_unlock(&st->lock);
  if (s) mheap_unpark(h, s, sizeclass);
  return s;
}

/* The first occupied bin from bin `from` on; SPANSTASH_MAX_PAGES: none. */
static unsigned next_occupied(const struct spanstash *st, unsigned from) {
  while (from < SPANSTASH_MAX_PAGES) {
    uint64_t bits = st->occupied[from / 64] >> (from % 64);
    if (bits) return from + ctz64(bits);
    from = (from / 64 + 1) * 64;
  }
  return SPANSTASH_MAX_PAGES;
}

/* The oldest span of the next bin that has any; NULL: the stash is empty. */
static struct mspan *evict_locked(struct spanstash *st) {
  unsigned i = next_occupied(st, st->hand);
  if (i == SPANSTASH_MAX_PAGES) i = next_occupied(st, 0);
  if (i == SPANSTASH_MAX_PAGES) return NULL;
  st->hand = i + 1;
  return pull_locked(st, i, st->bin[i].prev);
}

void spanstash_shrink(struct spanstash *st, struct heap *h, size_t limit) {
  while (atomic_u64_load_relaxed(&st->bytes) > limit) {
    mutex_lock(&st->lock);
    struct mspan *s = evict_locked(st);
    mutex_unlock(&st->lock);
    if (!s) return;
    mheap_free_parked(h, s);
  }
}

void spanstash_give(struct spanstash *st, struct heap *h, struct mspan *s,
                    size_t limit) {
  if (s->npages > SPANSTASH_MAX_PAGES || bytes_of(s) > limit / 2) {
    mheap_free_parked(h, s);
    return;
  }
  mutex_lock(&st->lock);
  put_locked(st, s);
  mutex_unlock(&st->lock);
  spanstash_shrink(st, h, limit);
}
