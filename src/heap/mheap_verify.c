// SPDX-License-Identifier: MIT
/* The heap's verifier: mheap I1-I8 (see mheap.c), each span's own invariants,
 * and the page allocator's. Walks everything. */
#include "heap/mheap_internal.h"

#include "base/fatal.h"

struct verify_state {
  struct heap *h;
  uint32_t sweepgen;
  uint64_t npages, nspans; /* in-use spans seen through page_in_use */
  uint64_t nscan;          /* pages of those that may hold pointers */
  uint64_t nfiled;         /* of them, seen in a set or list of their age */
  bool swept, full;        /* which set is being visited */
};

static bool page_allocated(const struct pagealloc *p, uintptr_t addr) {
  size_t ci = (addr - p->window.base) >> PALLOC_CHUNK_SHIFT;
  const struct pallocdata *block = p->chunks[ci >> p->l2_bits];
  return block && pallocbits_get(&block[ci & ((1u << p->l2_bits) - 1)].alloc,
                                 chunk_page_index(addr));
}

static void verify_span_pages(struct verify_state *v, const struct mspan *s) {
  uintptr_t end = s->base + s->npages * MGC_PAGE_SIZE;
  for (uintptr_t p = s->base; p < end; p += MGC_PAGE_SIZE) {
    if (span_of(&v->h->arenas, p) != s)
      verify_fail("mheap I2", "span=%p page=%p", (void *)s->base, (void *)p);
    if (!page_allocated(&v->h->pages, p))
      verify_fail("mheap I3", "span=%p page=%p", (void *)s->base, (void *)p);
    const struct heap_arena *a = arena_of(&v->h->arenas, p);
    if (p != s->base && arena_page_bit(a->page_in_use, p))
      verify_fail("mheap I1", "span=%p page=%p", (void *)s->base, (void *)p);
    uintptr_t zeroed = atomic_uptr_load_relaxed(&a->zeroed_base);
    if (p + MGC_PAGE_SIZE - a->base > zeroed)
      verify_fail("mheap I5", "span=%p page=%p zeroed_base=%zu",
                  (void *)s->base, (void *)p, (size_t)zeroed);
  }
}

static void verify_span(struct verify_state *v, struct mspan *s, uintptr_t p) {
  if (!s || s->base != p || atomic_u8_load_relaxed(&s->state) != MSPAN_INUSE)
    verify_fail("mheap I1", "page_in_use without a span: page=%p span=%p",
                (void *)p, (void *)s);
  mspan_verify(s);
  verify_span_pages(v, s);
  uint32_t sg = atomic_u32_load_relaxed(&s->sweepgen);
  if (sg != v->sweepgen && sg != v->sweepgen - 2)
    verify_fail("mheap I7", "span=%p sweepgen=%u h=%u", (void *)s->base, sg,
                v->sweepgen);
  v->npages += s->npages;
  if (!mspan_noscan(s)) v->nscan += s->npages;
  v->nspans++;
}

static void verify_arena(struct verify_state *v, struct heap_arena *a) {
  uintptr_t above = a->base + HEAP_ARENA_BYTES;
  if (arena_of(&v->h->arenas, a->base) != a ||
      atomic_ptr_load_relaxed(&a->above) != arena_of(&v->h->arenas, above))
    verify_fail("mheap I6", "arena=%p", (void *)a->base);
  for (size_t i = 0; i < PAGES_PER_ARENA; i++) {
    uintptr_t p = a->base + i * MGC_PAGE_SIZE;
    struct mspan *s = atomic_ptr_load_relaxed(&a->spans[i]);
    if (arena_page_bit(a->page_in_use, p)) verify_span(v, s, p);
    if (s && (p < s->base || p >= s->base + s->npages * MGC_PAGE_SIZE))
      verify_fail("mheap I2", "page=%p names span=%p", (void *)p,
                  (void *)s->base);
    if (arena_page_bit(a->page_marks, p) &&
        (!s || p != s->base || !atomic_u8_load_relaxed(&s->has_marks) ||
         atomic_u32_load_relaxed(&s->sweepgen) == v->sweepgen))
      verify_fail("mheap I8", "page=%p", (void *)p);
  }
}

/* Entries of sets are hints; one counts when the span is where it says it is. */
static void verify_filed(struct mspan *s, void *arg) {
  struct verify_state *v = arg;
  if (!s) verify_fail("mheap I7", "a set has an empty entry");
  if (atomic_u8_load_relaxed(&s->state) != MSPAN_INUSE) return;
  uint32_t age = v->swept ? v->sweepgen : v->sweepgen - 2;
  bool full = atomic_u8_load_relaxed(&s->filed_full) & MSPAN_FILED_FULL;
  if (atomic_u32_load_relaxed(&s->sweepgen) == age && full == v->full)
    v->nfiled++;
}

static void visit_list(struct list *head, struct verify_state *v) {
  list_for_each(l, head) {
    struct mspan *s = list_entry(l, struct mspan, link);
    v->full = atomic_u8_load_relaxed(&s->filed_full) & MSPAN_FILED_FULL;
    verify_filed(s, v);
  }
}

static void count_filed(struct verify_state *v) {
  for (unsigned i = 0; i < NUM_SPAN_CLASSES; i++) {
    struct mcentral *c = &v->h->central[i];
    for (unsigned j = 0; j < 2; j++) {
      v->swept = j == v->sweepgen / 2 % 2;
      v->full = false;
      spanset_visit(&c->partial[j], verify_filed, v);
      v->full = true;
      spanset_visit(&c->full[j], verify_filed, v);
    }
  }
  v->swept = true;
  visit_list(mheap_listed_swept(v->h, v->sweepgen), v);
  v->swept = false;
  visit_list(mheap_listed_unswept(v->h, v->sweepgen), v);
}

void mheap_verify(struct heap *h) {
  struct verify_state v = {.h = h,
                           .sweepgen = atomic_u32_load_relaxed(&h->sweepgen)};
  mutex_lock(&h->lock);
  pagealloc_verify(&h->pages);
  for (size_t i = 0; i < h->narenas; i++) verify_arena(&v, h->all_arenas[i]);
  count_filed(&v);
  mutex_unlock(&h->lock);
  uint64_t npages = atomic_u64_load_relaxed(&h->stats.pages_inuse);
  if (npages != v.npages ||
      memstat_load(&h->stats.heap_inuse) != npages * MGC_PAGE_SIZE)
    verify_fail("mheap I4", "pages_inuse=%llu seen=%llu",
                (unsigned long long)npages, (unsigned long long)v.npages);
  if (atomic_u64_load_relaxed(&h->stats.pages_scan) != v.nscan)
    verify_fail(
        "mheap I4", "pages_scan=%llu seen=%llu",
        (unsigned long long)atomic_u64_load_relaxed(&h->stats.pages_scan),
        (unsigned long long)v.nscan);
  /* More is possible: a listed span may have an entry in a set too. */
  if (v.nfiled < v.nspans)
    verify_fail("mheap I7", "%llu spans in use, %llu filed",
                (unsigned long long)v.nspans, (unsigned long long)v.nfiled);
}
