// SPDX-License-Identifier: MIT
/*
 * mcentral: where spans wait that no thread caches (Go: mcentral.go).
 *
 *   cache_span   partial swept -> sweep some of partial and full unswept -> grow
 *   uncache      back to partial or full, swept
 *
 * Entries of the sets are hints, and ownership is in the span: an unswept span
 * belongs to who claims it by sweepgen (h-2 -> h-1). So a span that was swept by
 * another way (sweep_ensure, sweep_reclaim) may stay in the unswept set, and
 * whoever pops it fails to claim it and goes on. The partial swept set is
 * different: popping is owning, so a span is there at most once.
 *
 * Explicit frees and full spans. A slot of a full span that is freed must be
 * found again before the next collection, since a program that frees all it
 * allocates never has one. The span cannot be taken out of the middle of the
 * full set; it is filed in the partial set as well, and its entry in the full
 * set becomes a hint that will fail to be claimed. mspan.filed_full makes both
 * happen once:
 *
 *   filing full     set FULL, then look at the alloc bits once more
 *   freeing a slot  clear the alloc bit, then see whether FULL is set
 *
 * All four in one total order (seq_cst), so at least one of the two sees the
 * other; who clears FULL files the span as partial. ENTRY stays until the span
 * is swept, so that a span that fills and drains again and again has one entry.
 *
 * When metadata for a set runs out, the span goes to the heap's list, which
 * needs none, and rests there until the next sweep.
 */
#include "heap/mcentral.h"

#include "base/fatal.h"
#include "heap/mheap_internal.h"

/* Spans swept in one call before growing instead: each is a page or more that
 * may be taken without need, so 100 keep the cost in space under 1 % (Go). */
#define SWEEP_BUDGET 100

void mcentral_init(struct mcentral *c, struct spanclass spc,
                   struct spanset_pool *pool) {
  c->spanclass = spc;
  for (unsigned i = 0; i < 2; i++) {
    spanset_init(&c->partial[i], pool);
    spanset_init(&c->full[i], pool);
  }
}

/* --- filing --- */

static void push_or_list(struct heap *h, struct spanset *set, struct mspan *s) {
  if (likely(spanset_push(set, s))) return;
  /* Found again when it is swept; and a collection resets the sets. */
  mheap_list_span(h, s);
  atomic_u64_store_relaxed(&h->gc_trigger, 0);
}

static void file_partial(struct heap *h, struct mspan *s, uint32_t sg) {
  struct mcentral *c = &h->central[s->spanclass.v];
  push_or_list(h, mcentral_partial_swept(c, sg), s);
}

/* Clears FULL; true for the one thread that did. */
static bool clear_full(struct mspan *s) {
  uint8_t old = atomic_u8_load_seq_cst(&s->filed_full);
  while (old & MSPAN_FILED_FULL)
    if (atomic_u8_cas_seq_cst(&s->filed_full, &old,
                              (uint8_t)(old & ~MSPAN_FILED_FULL)))
      return true;
  return false;
}

static void file_full(struct heap *h, struct mspan *s, uint32_t sg) {
  bool has_entry = atomic_u8_load_relaxed(&s->filed_full) & MSPAN_FILED_ENTRY;
  atomic_u8_store_seq_cst(&s->filed_full, MSPAN_FILED_FULL | MSPAN_FILED_ENTRY);
  /* The entry first: once FULL is cleared the span may be anybody's. */
  if (!has_entry)
    push_or_list(h, mcentral_full_swept(&h->central[s->spanclass.v], sg), s);
  if (!mspan_is_full(s) && clear_full(s)) file_partial(h, s, sg);
}

void mcentral_file_swept(struct heap *h, struct mspan *s) {
  uint32_t sg = atomic_u32_load_relaxed(&h->sweepgen);
  if (mspan_is_full(s))
    file_full(h, s, sg);
  else
    file_partial(h, s, sg);
}

void mcentral_note_free(struct heap *h, struct mspan *s) {
  if (clear_full(s)) file_partial(h, s, atomic_u32_load_relaxed(&h->sweepgen));
}

void mcentral_uncache_span(struct heap *h, struct mspan *s) {
  uint32_t sg = atomic_u32_load_relaxed(&h->sweepgen);
  mgc_check(atomic_u32_load_relaxed(&s->sweepgen) == sg + 3,
            "mspan I5: uncached span is not cached: base=%p sweepgen=%u h=%u",
            (void *)s->base, atomic_u32_load_relaxed(&s->sweepgen), sg);
  /* release: pairs with the acquires of sweep_ensure and mcache's reuse */
  atomic_u32_store_release(&s->sweepgen, sg);
  mcentral_file_swept(h, s);
}

/* --- caching --- */

/* Sweeps spans of one unswept set until one has room. Spans that turn out to be
 * empty are used as they are: cheaper than freeing the pages and taking them
 * again. */
static struct mspan *sweep_set(struct heap *h, struct spanset *set,
                               struct spanclass spc, int *budget) {
  struct mspan *s;
  while (*budget > 0 && (s = spanset_pop(set)) != NULL) {
    if (!sweep_try_claim(h, s)) continue;
    --*budget;
    enum span_disposition d = sweep_span(h, s, true);
    if (d == SPAN_PARTIAL && s->spanclass.v == spc.v) return s;
    if (d != SPAN_FREED) mcentral_file_swept(h, s);
  }
  return NULL;
}

static struct mspan *sweep_for_room(struct heap *h, struct spanclass spc,
                                    uint32_t sg) {
  struct mcentral *c = &h->central[spc.v];
  int budget = SWEEP_BUDGET;
  atomic_u32_fetch_add_acq_rel(&h->sweep_active, 1);
  struct mspan *s = sweep_set(h, mcentral_partial_unswept(c, sg), spc, &budget);
  if (!s) s = sweep_set(h, mcentral_full_unswept(c, sg), spc, &budget);
  atomic_u32_fetch_sub_acq_rel(&h->sweep_active, 1);
  return s;
}

struct mspan *mcentral_cache_span(struct heap *h, struct spanclass spc,
                                  struct mcache *mc) {
  size_t npages = h->classes->npages[spanclass_size(spc)];
  if (h->hooks.sweep_credit)
    h->hooks.sweep_credit(h, npages * MGC_PAGE_SIZE, npages);
  uint32_t sg = atomic_u32_load_relaxed(&h->sweepgen);
  struct mspan *s = spanset_pop(mcentral_partial_swept(&h->central[spc.v], sg));
  if (!s && !atomic_bool_load_acquire(&h->sweep_done))
    s = sweep_for_room(h, spc, sg);
  if (!s) {
    if (!atomic_bool_load_acquire(&h->sweep_done)) sweep_reclaim(h, npages);
    s = mheap_alloc(h, npages, spc, mc);
    if (!s) return NULL;
  }
  atomic_u32_fetch_add_relaxed(&h->central[spc.v].taken, 1);
  s->freeindex = 0;
  /* release: pairs with the acquire in mcache's reuse */
  atomic_u32_store_release(&s->sweepgen, sg + 3);
  return s;
}
