// SPDX-License-Identifier: MIT
/*
 * What the threads of a malloc heap share: the list of their caches, the spans
 * that ended threads left behind, and the slow way of a free.
 *
 * The caches of the threads that ended last stay as they are, warm, but for their lists:
 * in a program with many short threads the next one takes it, with spans that are in the
 * processor's cache (thread_churn of bench/malloc: two thirds of the user time). There
 * are a few small ones at most, until the janitor tidies, or small objects would take
 * more pages than ever.
 *
 * What another thread leaves, and a cache that is warm no longer: the empty spans go
 * back, the others to th->central, a tcache like any other that is used under th->lock.
 * A thread that needs a span of a class takes one from there before it takes pages. The
 * struct of such a cache stays for ever and serves a later thread: somebody who has read
 * it as an owner may still send it a notice.
 */
#include "heap/mheap_internal.h"
#include "heap/tcache_internal.h"

#include "base/fatal.h"
#include <string.h>

static bool cover_pages(struct heap *h, uintptr_t base, size_t n) {
  return pagemap_cover(&tcache_globals.map, h->vm, base, n);
}

/* --- caches --- */

/* Room of a thread's list. */
#define LIST_BYTES 8192u
#define LIST_MIN 2u
#define LIST_MAX 64u

static int32_t list_limit(size_t size) {
  size_t n = size ? LIST_BYTES / size : 0;
  return (int32_t)(n < LIST_MIN ? LIST_MIN : n > LIST_MAX ? LIST_MAX : n);
}

static uint16_t head_offset(const struct sizeclass_table *tab, size_t size) {
  unsigned sc = size ? sizeclass_of(tab, size) : 1;
  return (uint16_t)tcache_list_off(sc);
}

void tcache_slow_only(struct tcache *t) {
  memset(t->headoff, 0, sizeof t->headoff);
  memset(t->headoff128, 0, sizeof t->headoff128);
}

static void init_cache(struct tcache *t, struct theap *th) {
  const struct sizeclass_table *tab = th->heap->classes;
  t->th = th;
  for (unsigned i = 0; i < TCACHE_CLASSES; i++) {
    t->list[i] = (struct tcache_list){.head = TCACHE_NONE,
                                      .limit = list_limit(tab->size[i])};
    t->list[i].room = t->list[i].limit;
    list_init(&t->bin[i].partial);
    list_init(&t->bin[i].full);
  }
  for (unsigned i = 0; i < array_len(t->headoff); i++)
    /* Sizes are multiples of 16 (tremote.c). */
    t->headoff[i] =
        i % 16 == 1 || i == 0 ? head_offset(tab, i) : t->headoff[i - 1];
  for (unsigned i = 0; i < array_len(t->headoff128); i++)
    t->headoff128[i] = head_offset(tab, i * 128);
  list_init(&t->link);
}

/* Where the heap's arenas will be, as far as can be told. */
static void init_pagemap(struct heap *h) {
  bool one = h->one_region;
  uintptr_t base = one ? h->cur_arena : h->next_hint;
  size_t n = one ? h->cur_arena_end - base : SIZE_MAX;
  pagemap_init(&tcache_globals.map, h->vm, base, n);
}

void theap_init(struct theap *th, struct heap *h, uint64_t secret) {
  th->heap = h;
  mutex_init(&th->lock, LOCKRANK_tcache);
  list_init(&th->caches);
  list_init(&th->spare_caches);
  fixalloc_init(&th->alloc, sizeof(struct tcache), NULL, NULL, &h->meta,
                &h->stats.cache_meta);
  atomic_u64_store_relaxed(&th->memory_limit, UINT64_MAX);
  init_cache(&th->central, th);
  tcache_begin(&th->central);
  spanstash_init(&th->stash);
  init_pagemap(h);
  tcache_globals.secret = (uint64_t)TCACHE_TAG << 56 | secret >> 8;
  h->hooks.growing = cover_pages;
}

/* A spare one, which has nothing, or a new one. */
static struct tcache *take_cache_locked(struct theap *th) {
  struct list *l = list_pop_front(&th->spare_caches);
  if (l) return list_entry(l, struct tcache, link);
  struct tcache *t = fixalloc_alloc(&th->alloc);
  if (t) init_cache(t, th);
  return t;
}

/* Most of a thread's spans it has hardly begun: with huge pages a thousand threads that
 * have little would take 154 MB in place of 88 (thousand of bench/malloc). So each puts
 * off huge pages for small objects by as much as it may so waste. */
#define HUGE_LATER_BYTES ((uint64_t)256 << 10)

static void count_caches_locked(struct theap *th, int by) {
  uint64_t *n = &th->ncaches, least = (uint64_t)th->heap->opt.hugepages << 20;
  *n += (uint64_t)by;
  if (least == 0) return;
  atomic_u64_store_relaxed(&th->heap->huge_from, least + *n * HUGE_LATER_BYTES);
}

/* The one whose thread ended last; NULL: none. */
static struct tcache *take_warm_locked(struct theap *th) {
  uint32_t n = atomic_u32_load_relaxed(&th->nwarm);
  if (n == 0) return NULL;
  atomic_u32_store_relaxed(&th->nwarm, n - 1);
  return th->warm[n - 1];
}

struct tcache *tcache_attach(struct theap *th, int32_t tid) {
  mutex_lock(&th->lock);
  struct tcache *t = take_warm_locked(th);
  if (!t && (t = take_cache_locked(th)) != NULL) tcache_begin(t);
  if (t) {
    t->tid = tid;
    t->attached = true;
    list_push_back(&th->caches, &t->link);
    count_caches_locked(th, 1);
  }
  mutex_unlock(&th->lock);
  return t;
}

/* --- what ended threads leave --- */

/* By 1/32 at least. */
static bool is_new_peak(const struct theap *th, uint64_t pages) {
  uint64_t peak = atomic_u64_load_relaxed(&th->peak_pages);
  return pages > peak + peak / 32;
}

/* The spans of one of t's lists become central's, filed as they are: what others see
 * of them, the remote word, tells nothing of the owner. */
static void leave_list_locked(struct theap *th, struct tcache *t,
                              struct list *from, struct list *to) {
  list_for_each(l, from) {
    struct mspan *s = list_entry(l, struct mspan, link);
    tcache_disown(t, s);
    tcache_adopt(&th->central, s);
  }
  list_append(to, from);
}

/* What t, whose thread has ended and which is not warm, has after tcache_trim. */
static void leave_all_locked(struct theap *th, struct tcache *t) {
  for (unsigned sc = 1; sc < th->heap->classes->nclasses; sc++) {
    struct tcache_bin *b = &t->bin[sc], *c = &th->central.bin[sc];
    if (!list_empty(&b->partial)) atomic_u32_store_relaxed(&th->orphans[sc], 1);
    leave_list_locked(th, t, &b->partial, &c->partial);
    leave_list_locked(th, t, &b->full, &c->full);
  }
  th->central.empty_bytes +=
      t->empty_bytes; /* of those with a notice pending */
  t->empty_bytes = 0;
  list_push_front(&th->spare_caches, &t->link);
}

/* So that four caches hold little, and to cool them takes little. */
#define WARM_BYTES_MAX ((uint64_t)1 << 20)

static bool keep_warm_locked(struct theap *th, struct tcache *t) {
  uint32_t n = atomic_u32_load_relaxed(&th->nwarm);
  if (n == THEAP_WARM_MAX || t->owned_bytes > WARM_BYTES_MAX) return false;
  th->warm[n] = t;
  atomic_u32_store_relaxed(&th->nwarm, n + 1);
  return true;
}

void tcache_detach(struct tcache *t) {
  struct theap *th = t->th;
  tcache_return_lists(t);
  mutex_lock(&th->lock);
  t->attached = false;
  list_remove(&t->link);
  count_caches_locked(th, -1);
  bool warm = keep_warm_locked(th, t);
  mutex_unlock(&th->lock);
  if (!warm) {
    tcache_trim(t);
    mutex_lock(&th->lock);
    leave_all_locked(th, t);
    mutex_unlock(&th->lock);
  }
  if (th->freed) th->freed(th);
}

static void cool_all_locked(struct theap *th) {
  struct tcache *t;
  while ((t = take_warm_locked(th)) != NULL) {
    tcache_trim(t);
    leave_all_locked(th, t);
  }
}

bool theap_cool_to_grow(struct theap *th, size_t npages) {
  if (likely(atomic_u32_load_relaxed(&th->nwarm) == 0)) return false;
  if (!is_new_peak(th, atomic_u64_load_relaxed(&th->pages) + npages))
    return false;
  mutex_lock(&th->lock);
  cool_all_locked(th);
  mutex_unlock(&th->lock);
  return true;
}

static bool central_has_mail(struct theap *th) {
  return atomic_ptr_load_relaxed(&th->central.inbox) != NULL;
}

/* Draining files spans as partial that were not counted. */
static void count_orphans_locked(struct theap *th) {
  struct tcache *c = &th->central;
  for (unsigned sc = 1; sc < th->heap->classes->nclasses; sc++)
    atomic_u32_store_relaxed(&th->orphans[sc],
                             list_empty(&c->bin[sc].partial) ? 0 : 1);
}

static void drain_central_locked(struct theap *th) {
  if (!central_has_mail(th)) return;
  tcache_drain(&th->central);
  count_orphans_locked(th);
}

struct mspan *theap_take_orphan(struct theap *th, struct tcache *t,
                                unsigned sc) {
  if (atomic_u32_load_relaxed(&th->orphans[sc]) == 0 && !central_has_mail(th))
    return NULL;
  mutex_lock(&th->lock);
  struct tcache *c = &th->central;
  drain_central_locked(th);
  struct list *l = c->bin[sc].partial.next;
  struct mspan *s = NULL;
  if (l != &c->bin[sc].partial) {
    s = list_entry(l, struct mspan, link);
    tcache_unfile(c, s);
    tcache_disown(c, s);
    tcache_adopt(t, s);
  }
  if (list_empty(&c->bin[sc].partial))
    atomic_u32_store_relaxed(&th->orphans[sc], 0);
  mutex_unlock(&th->lock);
  return s;
}

void theap_trim_orphans(struct theap *th) {
  mutex_lock(&th->lock);
  cool_all_locked(th);
  list_for_each(l, &th->spare_caches)
      tcache_drain(list_entry(l, struct tcache, link));
  tcache_trim(&th->central);
  count_orphans_locked(th);
  mutex_unlock(&th->lock);
  spanstash_shrink(&th->stash, th->heap, 0);
}

/* --- figures --- */

static void note_peak(struct theap *th, uint64_t pages) {
  mutex_lock(&th->lock);
  if (pages > atomic_u64_load_relaxed(&th->peak_pages)) {
    atomic_u64_store_relaxed(&th->peak_pages, pages);
    for (unsigned i = 0; i < TCACHE_CLASSES; i++)
      atomic_u64_store_relaxed(&th->peak_class_pages[i],
                               atomic_u64_load_relaxed(&th->class_pages[i]));
  }
  mutex_unlock(&th->lock);
}

void theap_count_pages(struct theap *th, unsigned sc, int64_t npages) {
  atomic_u64_fetch_add_relaxed(&th->class_pages[sc], (uint64_t)npages);
  uint64_t n = atomic_u64_fetch_add_relaxed(&th->pages, (uint64_t)npages) +
               (uint64_t)npages;
  if (n > atomic_u64_load_relaxed(&th->high_pages))
    atomic_u64_store_relaxed(&th->high_pages, n);
  if (unlikely(npages > 0 && is_new_peak(th, n))) note_peak(th, n);
}

/* --- spans --- */

/* What the stash may hold: half of what was in use at the peak, within bounds, but
 * hardly more than has been freed since. So a program whose threads fill and empty
 * their spans in turn seldom meets the page allocator, and the stash does not make the
 * peak higher. */
#define STASH_SHIFT 1
#define STASH_MIN ((size_t)1 << 20)
#define STASH_MAX ((size_t)16 << 20)
#define STASH_OVER_PEAK ((size_t)256 << 10)

/* What is in use and in the stash is at most the peak and a little. */
static size_t room_below_peak(const struct theap *th) {
  uint64_t now = atomic_u64_load_relaxed(&th->pages);
  uint64_t peak = atomic_u64_load_relaxed(&th->peak_pages);
  return (peak > now ? (peak - now) * MGC_PAGE_SIZE : 0) + STASH_OVER_PEAK;
}

static size_t stash_limit(const struct theap *th) {
  size_t n =
      atomic_u64_load_relaxed(&th->peak_pages) * MGC_PAGE_SIZE >> STASH_SHIFT;
  size_t room = room_below_peak(th);
  if (n < STASH_MIN) n = STASH_MIN;
  if (n > STASH_MAX) n = STASH_MAX;
  return n < room ? n : room;
}

struct mspan *theap_take_span(struct theap *th, size_t npages, unsigned sc) {
  struct mspan *s = spanstash_take(&th->stash, th->heap, npages, sc);
  if (s) return s;
  /* Spans of other lengths must not make the heap larger than it was. */
  size_t n = npages * MGC_PAGE_SIZE, room = room_below_peak(th);
  spanstash_shrink(&th->stash, th->heap, room > n ? room - n : 0);
  return mheap_alloc_plain(th->heap, npages, 1, sc);
}

void theap_give_span(struct theap *th, struct mspan *s) {
  mheap_park(th->heap, s);
  spanstash_give(&th->stash, th->heap, s, stash_limit(th));
}

void theap_give_pages(struct theap *th, struct mspan *s) {
  struct mspan *twin = mheap_park_twin(th->heap, s);
  if (twin) spanstash_give(&th->stash, th->heap, twin, stash_limit(th));
}

/* --- the slow way of a free --- */

static MGC_COLD MGC_NORETURN void not_an_object(struct theap *th, uintptr_t p) {
  bool ours = arena_of(&th->heap->arenas, p) != NULL;
  fatal_user(ours ? "double free or invalid free" : "invalid free",
             "ptr=%p (%s)", (void *)p,
             ours ? "in free pages of the heap" : "not in the heap");
}

static MGC_COLD MGC_NORETURN void inside_object(const struct mspan *s,
                                                uintptr_t p) {
  uintptr_t base = p - (p - s->base) % s->elemsize;
  fatal_user("invalid free",
             "ptr=%p (inside an object) object=0x%lx elemsize=%zu", (void *)p,
             (unsigned long)base, s->elemsize);
}

struct mspan *tcache_find(struct theap *th, uintptr_t p) {
  struct mspan *s = span_of_heap(&th->heap->arenas, p);
  if (unlikely(!s)) not_an_object(th, p);
  if (unlikely((p - s->base) % s->elemsize != 0)) inside_object(s, p);
  if (unlikely(spanclass_size(s->spanclass) != 0 && tcache_looks_free(p)))
    tcache_double_free(s, p);
  return s;
}

void tcache_free_slow(struct theap *th, struct tcache *t, uintptr_t p) {
  struct mspan *s = tcache_find(th, p);
  if (spanclass_size(s->spanclass) == 0) {
    theap_free_large(th, s);
    return;
  }
  /* acquire: pairs with the release in tcache_adopt */
  if (atomic_ptr_load_acquire(&s->local.owner) != t) {
    tcache_free_remote(th, s, p);
    return;
  }
  if (!tcache_put(t, s, p)) tcache_free_event(t, s);
}

/* --- the verifier --- */

static unsigned length(const struct mspan *s, uintptr_t p) {
  unsigned n = 0;
  for (; p != TCACHE_NONE; p = ((const uint64_t *)p)[0], n++) {
    if (p < s->base || p >= s->limit || (p - s->base) % s->elemsize != 0)
      verify_fail("tcache I4", "span=0x%lx slot=%p", (unsigned long)s->base,
                  (void *)p);
    if (!tcache_looks_free(p) || n > s->nelems)
      verify_fail("tcache I4", "span=0x%lx slot=%p n=%u",
                  (unsigned long)s->base, (void *)p, n);
  }
  return n;
}

static void verify_span(const struct tcache *t, const struct mspan *s,
                        enum tspan_place where) {
  unsigned own = length(s, s->local.free), left = s->local.left;
  if (atomic_ptr_load_relaxed(&s->local.owner) != t)
    verify_fail("tcache I1", "span=0x%lx", (unsigned long)s->base);
  if (s->freeindex > s->nelems)
    verify_fail("tcache I3", "span=0x%lx carved=%u nelems=%u",
                (unsigned long)s->base, s->freeindex, s->nelems);
  if (s->local.where != where)
    verify_fail("tcache I5", "span=0x%lx where=%u", (unsigned long)s->base,
                s->local.where);
  unsigned want = where == TSPAN_FULL ? tspan_full_frees(s) : s->freeindex;
  if (left + own != want)
    verify_fail("tcache I4", "span=0x%lx where=%u left=%u own=%u carved=%u",
                (unsigned long)s->base, where, left, own, s->freeindex);
}

static void verify_list(const struct tcache *t, unsigned sc) {
  for (uintptr_t p = t->list[sc].head; p != TCACHE_NONE;
       p = ((const uint64_t *)p)[0]) {
    const struct mspan *s = span_of_heap(&t->th->heap->arenas, p);
    if (!s || atomic_ptr_load_relaxed(&s->local.owner) != t ||
        spanclass_size(s->spanclass) != sc || !tcache_looks_free(p))
      verify_fail("tcache I2", "class=%u slot=%p", sc, (void *)p);
  }
}

static void verify_partial(const struct tcache *t, const struct mspan *s) {
  if (!tremote_is_claimed(s)) verify_span(t, s, TSPAN_PARTIAL);
}

void tcache_verify(const struct tcache *t) {
  for (unsigned sc = 1; sc < t->th->heap->classes->nclasses; sc++) {
    const struct tcache_bin *b = &t->bin[sc];
    if (b->span && !tremote_is_claimed(b->span)) {
      verify_span(t, b->span, TSPAN_CURRENT);
    }
    verify_list(t, sc);
    list_for_each(l, &b->partial)
        verify_partial(t, list_entry(l, struct mspan, link));
    list_for_each(l, &b->full)
        verify_span(t, list_entry(l, struct mspan, link), TSPAN_FULL);
  }
}
