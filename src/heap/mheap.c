// SPDX-License-Identifier: MIT
/*
 * mheap: spans made of pages (Go: mheap.go).
 *
 *   mheap.c         allocating, freeing and lengthening spans, visiting them
 *   mheap_init.c    setting a heap up
 *   mheap_grow.c    address space
 *   mheap_verify.c  the verifier
 *   sweep.c         freeing what is dead; scavenger.c: giving memory back
 *
 * A span begins as a dead struct mspan (from the cache's stock, the free lists,
 * or new) and a run of free pages (from the cache's pages, the page allocator,
 * or after growing). Both are usually found in the thread's cache, so that most
 * spans are made without the heap lock.
 *
 * Publication. Lookups by address (span_of, span_of_heap) take no lock and may
 * run while spans come and go:
 *
 *   alloc   fields; sweepgen, state = INUSE (release); spans[] (release)
 *   free    state = DEAD; sweepgen = 0; spans[] = NULL; pages; the struct last
 *
 * The memory of a struct mspan and of its bits stays a struct mspan and its bits
 * for ever, so that a stale reader reads something harmless: it sees DEAD, or a
 * base and limit that its address is not in, or fails to claim by sweepgen.
 *
 * Zeroing. Pages that were never used, and pages whose physical memory is all
 * given back, read as zero; any other span has needzero set. arena.c keeps the
 * boundary of the never used.
 *
 * Metadata that runs out is a failed allocation and leaves all as it was.
 *
 *   I1  page_in_use is set for the first page of each in-use span, for no other
 *   I2  spans[] is the span for each page of an in-use span, NULL for all others
 *   I3  pages of in-use spans are allocated in the page allocator
 *   I4  pages_inuse and heap_inuse are the sums over in-use spans, pages_scan over those
 *       that may hold pointers
 *   I5  zeroed_base is at or above the end of every in-use span's part of an
 *       arena
 *   I6  every arena of the map is in all_arenas once, and `above` links agree
 *   I7  an in-use span's sweepgen is h or h - 2 (caches flushed, nobody
 *       sweeping), and it is in a set or list of its age
 *   I8  page_marks is set only for unswept spans with has_marks
 */
#include "heap/mheap_internal.h"

#include "base/fatal.h"
#include <string.h>

#define STOCK_REFILL 8 /* dead mspans taken under one lock */

/* --- struct mspan --- */

static struct mspan *new_mspan_locked(struct heap *h, unsigned bits_class) {
  struct mspan *s = fixalloc_alloc(&h->span_alloc);
  if (!s) return NULL;
  s->bits = &s->inline_bits;
  s->bits_class = (uint8_t)bits_class;
  if (bits_class > 0) {
    s->bits = fixalloc_alloc(&h->bits_alloc[bits_class]);
    if (!s->bits) {
      fixalloc_free(&h->span_alloc, s); /* never seen by anybody */
      return NULL;
    }
  }
  mutex_init(&s->special_lock, LOCKRANK_spanspecial);
  list_init(&s->link);
  return s;
}

static struct mspan *get_mspan_locked(struct heap *h, unsigned bits_class) {
  struct list *l = list_pop_front(&h->span_free[bits_class]);
  return l ? list_entry(l, struct mspan, link)
           : new_mspan_locked(h, bits_class);
}

static struct mspan *get_mspan(struct heap *h, unsigned bits_class,
                               struct mcache *mc) {
  struct list *l = mc ? list_pop_front(&mc->stock[bits_class]) : NULL;
  if (l) return list_entry(l, struct mspan, link);
  mutex_lock(&h->lock);
  struct mspan *s = get_mspan_locked(h, bits_class);
  for (int i = 1; mc && s && i < STOCK_REFILL; i++) {
    struct mspan *more = get_mspan_locked(h, bits_class);
    if (!more) break;
    list_push_back(&mc->stock[bits_class], &more->link);
  }
  mutex_unlock(&h->lock);
  return s;
}

static void put_mspan(struct heap *h, struct mspan *s, struct mcache *mc) {
  if (mc) {
    list_push_front(&mc->stock[s->bits_class], &s->link);
    return;
  }
  mutex_lock(&h->lock);
  list_push_front(&h->span_free[s->bits_class], &s->link);
  mutex_unlock(&h->lock);
}

void mheap_return_stock(struct heap *h, struct mcache *mc) {
  mutex_lock(&h->lock);
  for (unsigned i = 0; i < MSPAN_BITS_CLASSES; i++)
    list_append(&h->span_free[i], &mc->stock[i]);
  mutex_unlock(&h->lock);
}

/* --- pages --- */

static uintptr_t take_pages_locked(struct heap *h, size_t npages,
                                   size_t align_pages, uintptr_t *scav) {
  for (int attempt = 0;; attempt++) {
    uintptr_t p = align_pages > 1 ? pagealloc_alloc_aligned(&h->pages, npages,
                                                            align_pages, scav)
                                  : pagealloc_alloc(&h->pages, npages, scav);
    if (p || attempt > 0) return p;
    size_t need = npages + (align_pages > 1 ? align_pages : 0);
    if (need < npages || !mheap_grow_locked(h, need)) return 0;
  }
}

static uintptr_t take_pages(struct heap *h, size_t npages, size_t align_pages,
                            struct mcache *mc, uintptr_t *scav) {
  uintptr_t p = 0;
  bool small = mc && npages < PAGECACHE_MAX_ALLOC && align_pages <= 1;
  if (small && !pagecache_empty(&mc->pages)) {
    p = pagecache_alloc(&mc->pages, npages, scav);
    if (p) return p;
  }
  mutex_lock(&h->lock);
  if (small && pagecache_empty(&mc->pages)) {
    mc->pages = pagealloc_alloc_to_cache(&h->pages);
    p = pagecache_alloc(&mc->pages, npages, scav);
  }
  if (!p) p = take_pages_locked(h, npages, align_pages, scav);
  mutex_unlock(&h->lock);
  return p;
}

/* npages with room free pages after them, if such a place can be had. */
static uintptr_t take_pages_with_room(struct heap *h, size_t npages,
                                      size_t room, uintptr_t *scav) {
  mutex_lock(&h->lock);
  uintptr_t p = pagealloc_alloc_with_room(&h->pages, npages, room, scav);
  if (!p && mheap_grow_locked(h, npages + room))
    p = pagealloc_alloc_with_room(&h->pages, npages, room, scav);
  if (!p) p = take_pages_locked(h, npages, 1, scav);
  mutex_unlock(&h->lock);
  return p;
}

static void give_pages_back(struct heap *h, uintptr_t base, size_t npages) {
  mutex_lock(&h->lock);
  pagealloc_free(&h->pages, base, npages);
  mutex_unlock(&h->lock);
}

/* Pages become Ready; *zero says whether they read as zero. */
static bool ready_pages(struct heap *h, uintptr_t base, size_t npages,
                        uintptr_t scav, bool *zero) {
  size_t n = npages * MGC_PAGE_SIZE;
  if (scav) memstat_add(&h->stats.heap_released, -(int64_t)scav);
  if (scav && !h->vm->ops->used(h->vm, (void *)base, n)) return false;
  bool used_before = arena_take_needs_zero(&h->arenas, base, n);
  *zero = !used_before || scav == n;
  return true;
}

/* --- spans --- */

static void publish_span(struct heap *h, struct mspan *s) {
  /* release: pairs with the acquires of span_of_heap and sweep_try_claim */
  atomic_u32_store_release(&s->sweepgen, atomic_u32_load_relaxed(&h->sweepgen));
  atomic_u8_store_release(&s->state, MSPAN_INUSE);
  arena_set_spans(&h->arenas, s->base, s->npages, s);
  arena_page_bit_set(arena_of(&h->arenas, s->base)->page_in_use, s->base);
}

/* npages more of s; negative: fewer. */
static void count_span(struct heap *h, const struct mspan *s, int64_t npages) {
  memstat_add(&h->stats.heap_inuse, npages * (int64_t)MGC_PAGE_SIZE);
  atomic_u64_fetch_add_relaxed(&h->stats.pages_inuse, (uint64_t)npages);
  if (!mspan_noscan(s))
    atomic_u64_fetch_add_relaxed(&h->stats.pages_scan, (uint64_t)npages);
}

/* Ready pages for a span, and its struct with room for nelems bits. The address,
 * or 0. */
static uintptr_t take_span(struct heap *h, size_t npages, size_t align_pages,
                           size_t nelems, struct mcache *mc, struct mspan **out,
                           bool *zero) {
  uintptr_t scav = 0;
  struct mspan *s = get_mspan(h, mspan_bits_class(nelems), mc);
  if (!s) return 0;
  uintptr_t base = take_pages(h, npages, align_pages, mc, &scav);
  if (base && !ready_pages(h, base, npages, scav, zero)) {
    give_pages_back(h, base, npages);
    base = 0;
  }
  if (!base) put_mspan(h, s, mc);
  *out = s;
  return base;
}

static size_t span_elemsize(const struct heap *h, unsigned sc, size_t npages) {
  return sc ? h->classes->size[sc] : npages * MGC_PAGE_SIZE;
}

/* Everything but publication. size: 0 for small spans. */
static struct mspan *make_span(struct heap *h, size_t npages,
                               size_t align_pages, struct spanclass spc,
                               size_t req_size, struct mcache *mc) {
  unsigned sc = spanclass_size(spc);
  size_t elemsize = span_elemsize(h, sc, npages);
  size_t nelems = npages * MGC_PAGE_SIZE / elemsize;
  struct mspan *s;
  bool zero;
  if (!heap_admit(h, npages * MGC_PAGE_SIZE)) return NULL;
  uintptr_t base = take_span(h, npages, align_pages, nelems, mc, &s, &zero);
  if (!base) return NULL;
  mspan_init(s, base, npages, spc, elemsize, h->classes->divmagic[sc]);
  s->needzero = !zero;
  if (sc == 0) s->req_size = req_size;
  count_span(h, s, (int64_t)npages);
  return s;
}

static void publish_plain(struct heap *h, struct mspan *s, uintptr_t base,
                          size_t npages, unsigned sizeclass, bool zero) {
  mspan_init_plain(s, base, npages, spanclass_make(sizeclass, true),
                   span_elemsize(h, sizeclass, npages),
                   h->classes->divmagic[sizeclass]);
  s->needzero = !zero;
  count_span(h, s, (int64_t)npages);
  publish_span(h, s);
}

struct mspan *mheap_alloc_plain(struct heap *h, size_t npages,
                                size_t align_pages, unsigned sizeclass) {
  struct mspan *s;
  bool zero;
  mgc_assert(npages > 0);
  if (npages > MAX_LARGE_SIZE / MGC_PAGE_SIZE ||
      align_pages > MAX_LARGE_SIZE / MGC_PAGE_SIZE)
    return NULL;
  uintptr_t base = take_span(h, npages, align_pages, 1, NULL, &s, &zero);
  if (!base) return NULL;
  publish_plain(h, s, base, npages, sizeclass, zero);
  return s;
}

struct mspan *mheap_alloc_plain_with_room(struct heap *h, size_t npages,
                                          size_t room) {
  uintptr_t scav = 0;
  bool zero;
  if (npages > MAX_LARGE_SIZE / MGC_PAGE_SIZE) return NULL;
  struct mspan *s = get_mspan(h, 0, NULL);
  if (!s) return NULL;
  uintptr_t base = take_pages_with_room(h, npages, room, &scav);
  if (base && !ready_pages(h, base, npages, scav, &zero)) {
    give_pages_back(h, base, npages);
    base = 0;
  }
  if (!base) {
    put_mspan(h, s, NULL);
    return NULL;
  }
  publish_plain(h, s, base, npages, 0, zero);
  return s;
}

struct mspan *mheap_alloc(struct heap *h, size_t npages, struct spanclass spc,
                          struct mcache *mc) {
  mgc_assert(npages > 0);
  struct mspan *s = make_span(h, npages, 1, spc, 0, mc);
  if (s) publish_span(h, s);
  return s;
}

void mheap_note_marks(struct heap *h, struct mspan *s) {
  if (likely(atomic_u8_load_relaxed(&s->has_marks))) return;
  atomic_u8_store_relaxed(&s->has_marks, 1);
  arena_page_bit_set(arena_of(&h->arenas, s->base)->page_marks, s->base);
}

struct mspan *mheap_alloc_large(struct heap *h, size_t size, size_t align,
                                bool noscan, struct mcache *mc) {
  if (size == 0 || size > MAX_LARGE_SIZE || align > MAX_LARGE_SIZE) return NULL;
  size_t npages = pages_for(size);
  size_t align_pages = align > MGC_PAGE_SIZE ? align >> MGC_PAGE_SHIFT : 1;
  if (h->hooks.sweep_credit)
    h->hooks.sweep_credit(h, npages * MGC_PAGE_SIZE, npages);
  if (!atomic_bool_load_acquire(&h->sweep_done)) sweep_reclaim(h, npages);
  struct mspan *s =
      make_span(h, npages, align_pages, spanclass_make(0, noscan), size, mc);
  if (!s) return NULL;
  s->freeindex = 1;
  s->alloc_count = 1;
  s->untouched = 0;
  atomic_u64_store_relaxed(&s->bits[0].alloc, 1);
  if (unlikely(heap_is_marking(h))) {
    mspan_mark_slots(s, 0, 1);
    mheap_note_marks(h, s);
  }
  publish_span(h, s);
  mheap_list_span(h, s);
  atomic_u64_fetch_add_relaxed(&h->heap_live, s->elemsize);
  return s;
}

/* After this no lookup finds s, and nobody can claim it. */
static void unpublish_span(struct heap *h, struct mspan *s) {
  struct heap_arena *a = arena_of(&h->arenas, s->base);
  atomic_u8_store_release(&s->state, MSPAN_DEAD);
  atomic_u32_store_release(&s->sweepgen, 0);
  arena_page_bit_clear(a->page_in_use, s->base);
  if (arena_page_bit(a->page_specials, s->base))
    arena_page_bit_clear(a->page_specials, s->base);
  if (atomic_u8_load_relaxed(&s->has_marks))
    arena_page_bit_clear(a->page_marks, s->base);
  arena_set_spans(&h->arenas, s->base, s->npages, NULL);
}

static void begin_free(struct heap *h, struct mspan *s) {
  mgc_check(atomic_u8_load_relaxed(&s->state) == MSPAN_INUSE,
            "mheap_free: span is not in use: base=%p state=%u", (void *)s->base,
            atomic_u8_load_relaxed(&s->state));
  unpublish_span(h, s);
  count_span(h, s, -(int64_t)s->npages);
}

void mheap_park(struct heap *h, struct mspan *s) { begin_free(h, s); }

void mheap_unpark(struct heap *h, struct mspan *s, unsigned sizeclass) {
  size_t npages = s->npages;
  mspan_init_plain(s, s->base, npages, spanclass_make(sizeclass, true),
                   span_elemsize(h, sizeclass, npages),
                   h->classes->divmagic[sizeclass]);
  s->needzero = true;
  count_span(h, s, (int64_t)npages);
  publish_span(h, s);
}

void mheap_free_parked(struct heap *h, struct mspan *s) {
  mutex_lock(&h->lock);
  pagealloc_free(&h->pages, s->base, s->npages);
  list_push_front(&h->span_free[s->bits_class], &s->link);
  mutex_unlock(&h->lock);
}

struct mspan *mheap_park_twin(struct heap *h, struct mspan *s) {
  begin_free(h, s);
  struct mspan *twin = get_mspan(h, 0, NULL);
  if (unlikely(!twin)) {
    give_pages_back(h, s->base, s->npages);
    return NULL;
  }
  twin->base = s->base;
  twin->npages = s->npages;
  return twin;
}

void mheap_free_struct(struct heap *h, struct mspan *s) {
  put_mspan(h, s, NULL);
}

void mheap_free(struct heap *h, struct mspan *s) {
  begin_free(h, s);
  mutex_lock(&h->lock);
  pagealloc_free(&h->pages, s->base, s->npages);
  list_remove(&s->link);
  list_push_front(&h->span_free[s->bits_class], &s->link);
  mutex_unlock(&h->lock);
}

/* The pages [base, base + npages pages) of no span go back; released: they have no
 * physical memory. */
static void give_range_back(struct heap *h, uintptr_t base, size_t npages,
                            bool released) {
  int64_t bytes = (int64_t)(npages * MGC_PAGE_SIZE);
  if (!released) {
    give_pages_back(h, base, npages);
    return;
  }
  mutex_lock(&h->lock);
  pagealloc_free_scavenged(&h->pages, base, npages);
  mutex_unlock(&h->lock);
  memstat_add(&h->stats.heap_released, bytes);
  atomic_u64_fetch_add_relaxed(&h->stats.scavenged_total, (uint64_t)bytes);
}

void mheap_free_released(struct heap *h, struct mspan *s) {
  begin_free(h, s);
  give_range_back(h, s->base, s->npages, true);
  put_mspan(h, s, NULL);
}

static void set_plain_npages(struct mspan *s, size_t npages) {
  s->npages = (uint32_t)npages;
  s->elemsize = npages * MGC_PAGE_SIZE;
  s->local.divisor = UINT64_MAX / s->elemsize + 1;
  __atomic_store_n(&s->limit, s->base + s->elemsize, __ATOMIC_RELAXED);
}

void mheap_shrink_plain(struct heap *h, struct mspan *s, size_t npages,
                        bool released) {
  size_t less = s->npages - npages;
  uintptr_t tail = s->base + npages * MGC_PAGE_SIZE;
  mgc_assert(npages > 0 && npages < s->npages);
  set_plain_npages(s, npages);
  arena_set_spans(&h->arenas, tail, less, NULL);
  count_span(h, s, -(int64_t)less);
  give_range_back(h, tail, less, released);
}

/* Whether all from end to the end of the heap is free, but less than npages, and
 * the heap has grown so that it is enough. */
static bool grow_after_locked(struct heap *h, uintptr_t end, size_t npages) {
  if (end > h->cur_arena || end + npages * MGC_PAGE_SIZE <= h->cur_arena)
    return false;
  size_t have = (h->cur_arena - end) >> MGC_PAGE_SHIFT;
  if (have > 0 && !pagealloc_is_free(&h->pages, end, have)) return false;
  return mheap_grow_locked(h, npages - have);
}

/* Takes `more` free pages right after s. */
static bool take_pages_after(struct heap *h, const struct mspan *s, size_t more,
                             bool *zero) {
  uintptr_t scav, base = s->base + s->npages * MGC_PAGE_SIZE;
  mutex_lock(&h->lock);
  bool ok = pagealloc_try_extend(&h->pages, s->base, s->npages, more, &scav);
  if (!ok && grow_after_locked(h, base, more))
    ok = pagealloc_try_extend(&h->pages, s->base, s->npages, more, &scav);
  mutex_unlock(&h->lock);
  if (!ok || ready_pages(h, base, more, scav, zero)) return ok;
  give_pages_back(h, base, more);
  return false;
}

bool mheap_extend_plain(struct heap *h, struct mspan *s, size_t npages) {
  size_t more = npages - s->npages;
  bool zero;
  mgc_assert(npages > s->npages);
  if (npages > MAX_LARGE_SIZE / MGC_PAGE_SIZE ||
      !take_pages_after(h, s, more, &zero))
    return false;
  arena_set_spans(&h->arenas, s->limit, more, s);
  set_plain_npages(s, npages);
  count_span(h, s, (int64_t)more);
  return true;
}

bool mheap_try_extend(struct heap *h, struct mspan *s, size_t new_size) {
  if (spanclass_size(s->spanclass) != 0 || new_size > MAX_LARGE_SIZE ||
      heap_is_marking(h)) /* a marker may be reading what is changed here */
    return false;
  sweep_ensure(h, s); /* or a sweeper may read what is changed here */
  size_t npages = pages_for(new_size);
  if (npages <= s->npages) {
    s->req_size = new_size;
    return true;
  }
  size_t more = npages - s->npages;
  uintptr_t base = s->base + s->npages * MGC_PAGE_SIZE;
  bool zero;
  if (!heap_admit(h, more * MGC_PAGE_SIZE) ||
      !take_pages_after(h, s, more, &zero))
    return false;
  if (!zero && !mspan_noscan(s)) memset((void *)base, 0, more * MGC_PAGE_SIZE);
  s->npages = (uint32_t)npages;
  s->elemsize = npages * MGC_PAGE_SIZE;
  s->req_size = new_size;
  __atomic_store_n(&s->limit, s->base + s->elemsize, __ATOMIC_RELAXED);
  arena_set_spans(&h->arenas, base, more, s);
  count_span(h, s, (int64_t)more);
  atomic_u64_fetch_add_relaxed(&h->heap_live, more * MGC_PAGE_SIZE);
  return true;
}

/* --- spans outside the sets --- */

void mheap_list_span(struct heap *h, struct mspan *s) {
  uint32_t sg = atomic_u32_load_relaxed(&h->sweepgen);
  mutex_lock(&h->lock);
  list_remove(&s->link);
  list_push_back(mheap_listed_swept(h, sg), &s->link);
  mutex_unlock(&h->lock);
}

struct mspan *mheap_next_listed(struct heap *h) {
  uint32_t sg = atomic_u32_load_relaxed(&h->sweepgen);
  mutex_lock(&h->lock);
  struct list *l = list_pop_front(mheap_listed_unswept(h, sg));
  if (l) list_push_back(mheap_listed_swept(h, sg), l);
  mutex_unlock(&h->lock);
  return l ? list_entry(l, struct mspan, link) : NULL;
}

/* --- visiting --- */

static void visit_arena(struct heap *h, struct heap_arena *a,
                        void (*visit)(struct mspan *s, void *arg), void *arg) {
  (void)h;
  for (size_t i = 0; i < array_len(a->page_in_use); i++) {
    unsigned bits = atomic_u8_load_acquire(&a->page_in_use[i]);
    for (; bits; bits &= bits - 1) {
      struct mspan *s = atomic_ptr_load_acquire(&a->spans[i * 8 + ctz64(bits)]);
      if (s && atomic_u8_load_acquire(&s->state) == MSPAN_INUSE) visit(s, arg);
    }
  }
}

struct heap_arena *mheap_arena_at(struct heap *h, size_t i) {
  mutex_lock(&h->lock);
  struct heap_arena *a = i < h->narenas ? h->all_arenas[i] : NULL;
  mutex_unlock(&h->lock);
  return a;
}

void mheap_visit_spans(struct heap *h,
                       void (*visit)(struct mspan *s, void *arg), void *arg) {
  struct heap_arena *a;
  for (size_t i = 0; (a = mheap_arena_at(h, i)) != NULL; i++)
    visit_arena(h, a, visit, arg);
}
