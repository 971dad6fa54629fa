// SPDX-License-Identifier: MIT
/* See spanstash.h. */
#include "heap/spanstash.h"

#include "heap/mheap_internal.h"

static size_t bytes_of(const struct mspan *s) {
  return s->npages * MGC_PAGE_SIZE;
}

void spanstash_init(struct spanstash *st) {
  mutex_init(&st->lock, LOCKRANK_spanstash);
  for (unsigned i = 0; i <= SPANSTASH_MAX_PAGES; i++) list_init(&st->bin[i]);
}

static void add_bytes(struct spanstash *st, int64_t n) {
  atomic_u64_fetch_add_relaxed(&st->bytes, (uint64_t)n);
}

struct mspan *spanstash_take(struct spanstash *st, struct heap *h,
                             size_t npages, unsigned sizeclass) {
  if (npages > SPANSTASH_MAX_PAGES ||
      atomic_u64_load_relaxed(&st->bytes) < npages * MGC_PAGE_SIZE)
    return NULL;
  mutex_lock(&st->lock);
  struct list *l = list_pop_front(&st->bin[npages]);
  if (l) add_bytes(st, -(int64_t)(npages * MGC_PAGE_SIZE));
  mutex_unlock(&st->lock);
  if (!l) return NULL;
  struct mspan *s = list_entry(l, struct mspan, link);
  mheap_unpark(h, s, sizeclass);
  return s;
}

/* The oldest span of the next bin that has any; NULL: the stash is empty. */
static struct mspan *evict_locked(struct spanstash *st) {
  assert_lock_held(&st->lock);
  for (unsigned i = 0; i <= SPANSTASH_MAX_PAGES; i++) {
    st->hand = (st->hand + 1) % (SPANSTASH_MAX_PAGES + 1);
    struct list *bin = &st->bin[st->hand];
    if (list_empty(bin)) continue;
    struct mspan *s = list_entry(bin->prev, struct mspan, link);
    list_remove(&s->link);
    add_bytes(st, -(int64_t)bytes_of(s));
    return s;
  }
  return NULL;
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
  mheap_park(h, s);
  if (s->npages > SPANSTASH_MAX_PAGES || bytes_of(s) > limit / 2) {
    mheap_free_parked(h, s);
    return;
  }
  mutex_lock(&st->lock);
  list_push_front(&st->bin[s->npages], &s->link);
  add_bytes(st, (int64_t)bytes_of(s));
  mutex_unlock(&st->lock);
  spanstash_shrink(st, h, limit);
}
