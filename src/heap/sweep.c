// SPDX-License-Identifier: MIT
/*
 * Sweeping: what marking did not reach becomes free (Go: mgcsweep.go, the
 * mechanism; who sweeps how much when is decided above).
 *
 * A collection ends with sweep_start_cycle, which makes every span unswept by
 * adding 2 to the heap's sweepgen. From then on each span is swept once, by
 * whoever claims it first:
 *
 *   a thread that needs room in this span class     mcentral_cache_span
 *   a thread that is about to grow the heap         sweep_reclaim
 *   a thread about to free an object in it          sweep_ensure
 *   the background sweeper, the next collection     sweep_one, sweep_all
 *
 * Sweeping a span is: alloc := mark, mark := 0, a few words of each. Slots are
 * not touched; what is in them is cleared when they are handed out (needzero).
 * A span without live slots gives its pages back, unless the caller wants it.
 *
 * Small spans to sweep are in the sets of mcentral, large ones in the heap's
 * list. Both may hold spans that were swept already; the claim sorts them out.
 *
 *   I1  between sweep_start_cycle and the end of sweeping each in-use span goes
 *       h-2 -> h-1 -> h once, or h-2 -> h-1 -> dead
 *   I2  sweep_done means that no span is at h-2; spans at h-1 are counted in
 *       sweep_active by those who sweep them
 *   I3  a marked slot is allocated (mspan I1): else the program holds a pointer
 *       to an object that was freed, and that is fatal
 */
#include "base/fatal.h"
#include "base/print.h"
#include "heap/mheap_internal.h"

#include <string.h>

#define CLOBBER_BYTE 0xdb
#define RECLAIM_PAGES 512u /* pages looked at in one step of sweep_reclaim */
#define RECLAIM_STEPS_PER_ARENA (PAGES_PER_ARENA / RECLAIM_PAGES)

bool sweep_try_claim(struct heap *h, struct mspan *s) {
  uint32_t expect = atomic_u32_load_relaxed(&h->sweepgen) - 2;
  /* acquire: pairs with the release that published or last swept the span */
  return atomic_u32_load_relaxed(&s->sweepgen) == expect &&
         atomic_u32_cas_acquire(&s->sweepgen, &expect, expect + 1);
}

/* --- one span --- */

static MGC_COLD void report_zombie(const struct mspan *s, unsigned i) {
  print_fd(2,
           "mallocgc: zombie: span base=%p limit=%p elemsize=%zu nelems=%u "
           "spanclass=%u slots allocated=%u marked=%u\n",
           (void *)s->base, (void *)s->limit, s->elemsize, s->nelems,
           s->spanclass.v, mspan_count_alloc(s), mspan_count_mark(s));
  print_fd(2, "mallocgc: zombie: likely causes: (1) a pointer was kept where "
              "the collector does not look (packed, in memory of malloc or "
              "mmap that is no root), and came back after the object was "
              "collected;\n"
              "mallocgc: zombie: (2) the object was given to mgc_free while a "
              "pointer to it was still in use; (3) a data race, or a write "
              "past the end of another object, made the pointer\n");
  fatal_user("pointer to a free object", "ptr=%p span=%p elemsize=%zu index=%u",
             (void *)mspan_slot(s, i), (void *)s->base, s->elemsize, i);
}

static void clobber_slots(const struct mspan *s, size_t w, uint64_t dead) {
  for (; dead; dead &= dead - 1)
    memset((void *)mspan_slot(s, (unsigned)w * 64 + ctz64(dead)), CLOBBER_BYTE,
           s->elemsize);
}

/* Lets the owner of specials look at dead slots; those that must live on (an
 * object with a finalizer) are marked. */
static void visit_dead_specials(struct heap *h, struct mspan *s) {
  for (size_t w = 0; w < mspan_nwords(s); w++) {
    uint64_t dead = atomic_u64_load_relaxed(&s->bits[w].alloc) &
                    ~atomic_u64_load_relaxed(&s->bits[w].mark);
    for (; dead; dead &= dead - 1) {
      unsigned i = (unsigned)w * 64 + ctz64(dead);
      if (h->hooks.special_dead(h, s, i)) mspan_set_mark(s, i);
    }
  }
}

struct sweep_tally {
  unsigned live, freed;
};

_Static_assert(MAX_OBJS_PER_SPAN / 64 <= 31, "ones64_by_byte fits in bytes");

static struct sweep_tally sweep_bits(struct heap *h, struct mspan *s) {
  uint64_t live = 0, freed = 0;
  for (size_t w = 0; w < mspan_nwords(s); w++) {
    struct mspan_bits *b = &s->bits[w];
    uint64_t alloc = atomic_u64_load_relaxed(&b->alloc);
    uint64_t mark = atomic_u64_load_relaxed(&b->mark);
    uint64_t dead = alloc & ~mark;
    if (unlikely(mark & ~alloc)) /* I3 */
      report_zombie(s, (unsigned)w * 64 + ctz64(mark & ~alloc));
    if (dead) {
      freed += ones64_by_byte(dead);
      atomic_u64_store_relaxed(&b->alloc, mark);
      if (unlikely(h->opt.clobber_free)) clobber_slots(s, w, dead);
    }
    if (mark) {
      live += ones64_by_byte(mark);
      atomic_u64_store_relaxed(&b->mark, 0);
    }
  }
  return (struct sweep_tally){.live = sum_of_bytes64(live),
                              .freed = sum_of_bytes64(freed)};
}

static void clear_page_mark(struct heap *h, struct mspan *s) {
  struct heap_arena *a = arena_of(&h->arenas, s->base);
  if (arena_page_bit(a->page_marks, s->base))
    arena_page_bit_clear(a->page_marks, s->base);
  atomic_u8_store_relaxed(&s->has_marks, 0);
}

static void count_freed(struct heap *h, const struct mspan *s, unsigned freed) {
  unsigned sc = spanclass_size(s->spanclass);
  if (sc) {
    atomic_u64_fetch_add_relaxed(&h->stats.nfree[sc], freed);
  } else {
    atomic_u64_fetch_add_relaxed(&h->stats.large_nfree, freed);
    atomic_u64_fetch_add_relaxed(&h->stats.large_free_bytes, s->elemsize);
  }
}

enum span_disposition sweep_span(struct heap *h, struct mspan *s,
                                 bool keep_empty) {
  uint32_t sg = atomic_u32_load_relaxed(&h->sweepgen);
  mgc_check(atomic_u32_load_relaxed(&s->sweepgen) == sg - 1 &&
                atomic_u8_load_relaxed(&s->state) == MSPAN_INUSE,
            "sweep_span: span is not claimed: base=%p sweepgen=%u h=%u",
            (void *)s->base, atomic_u32_load_relaxed(&s->sweepgen), sg);
  if (unlikely(s->specials != NULL) && h->hooks.special_dead)
    visit_dead_specials(h, s);
  struct sweep_tally t = sweep_bits(h, s);
  if (t.live) {
    clear_page_mark(h, s);
    if (s->by_span) mspan_clear_scanned(s);
  }
  if (t.freed) count_freed(h, s, t.freed);
  bool large = spanclass_size(s->spanclass) == 0;
  if (t.live == 0 && (large || !keep_empty)) {
    mheap_free(h, s);
    return SPAN_FREED;
  }
  if (t.freed || atomic_u8_load_relaxed(&s->dirty)) s->needzero = 1;
  atomic_u8_store_relaxed(&s->dirty, 0);
  atomic_u8_store_relaxed(&s->filed_full, 0);
  s->untouched = t.live == 0;
  s->alloc_count = t.live;
  s->freeindex = large ? 1 : 0;
  enum span_disposition d = t.live == s->nelems ? SPAN_FULL : SPAN_PARTIAL;
  /* release: pairs with the acquires in sweep_ensure and mcache's reuse */
  atomic_u32_store_release(&s->sweepgen, sg);
  return d;
}

/* Sweeps a claimed span and files what is left of it. */
static enum span_disposition sweep_and_file(struct heap *h, struct mspan *s,
                                            bool keep_empty) {
  bool large = spanclass_size(s->spanclass) == 0;
  enum span_disposition d = sweep_span(h, s, keep_empty);
  if (d != SPAN_FREED && !large) mcentral_file_swept(h, s);
  return d;
}

/* --- finding unswept spans --- */

/* The sets are emptied in order, full before partial: full spans hold more that
 * may be dead. Nothing is added to an unswept set, so an empty one is done. */
static struct mspan *next_unswept(struct heap *h) {
  uint32_t sg = atomic_u32_load_relaxed(&h->sweepgen);
  uint32_t i = atomic_u32_load_relaxed(&h->sweep_cursor);
  while (i < 2 * NUM_SPAN_CLASSES) {
    struct mcentral *c = &h->central[i / 2];
    struct mspan *s = spanset_pop(i % 2 ? mcentral_partial_unswept(c, sg)
                                        : mcentral_full_unswept(c, sg));
    if (s) return s;
    uint32_t was = i++;
    if (!atomic_u32_cas_relaxed(&h->sweep_cursor, &was, i)) i = was;
  }
  return mheap_next_listed(h);
}

/* A class that took n spans in one cycle will take about as many in the next:
 * that many of its empty spans stay with it, with their bitmaps as they are,
 * which is a tenth of the time to get a span otherwise. What is left of them a
 * cycle later is freed. */
static bool may_keep(struct heap *h, const struct mspan *s) {
  return atomic_i32_load_relaxed(&h->central[s->spanclass.v].keep) > 0;
}

static void note_kept(struct heap *h, const struct mspan *s) {
  if (s->untouched && spanclass_size(s->spanclass) != 0)
    atomic_i32_fetch_sub_relaxed(&h->central[s->spanclass.v].keep, 1);
}

size_t sweep_one(struct heap *h) {
  if (atomic_bool_load_acquire(&h->sweep_done)) return SIZE_MAX;
  size_t npages = SIZE_MAX;
  struct mspan *s;
  atomic_u32_fetch_add_acq_rel(&h->sweep_active, 1);
  while ((s = next_unswept(h)) != NULL)
    if (sweep_try_claim(h, s)) {
      npages = s->npages;
      if (may_keep(h, s)) {
        if (sweep_span(h, s, true) == SPAN_FREED) break;
        note_kept(h, s);
        mcentral_file_swept(h, s);
      } else {
        sweep_and_file(h, s, false);
      }
      break;
    }
  if (!s) atomic_bool_store_release(&h->sweep_done, true);
  atomic_u32_fetch_sub_acq_rel(&h->sweep_active, 1);
  return npages;
}

void sweep_all(struct heap *h) {
  while (sweep_one(h) != SIZE_MAX) {
  }
  sweep_wait(h);
}

void sweep_wait(struct heap *h) {
  /* I2. Others have at most SWEEP_BUDGET spans each still to do. */
  uint32_t n;
  for (int spins = 0; (n = atomic_u32_load_acquire(&h->sweep_active)) != 0;)
    if (++spins < 100)
      cpu_relax();
    else
      futex_wait(&h->sweep_active, n, 50000); /* nobody wakes it: a nap */
}

void sweep_ensure(struct heap *h, struct mspan *s) {
  uint32_t sg = atomic_u32_load_relaxed(&h->sweepgen);
  /* acquire: pairs with the release at the end of sweep_span */
  if (likely(atomic_u32_load_acquire(&s->sweepgen) - sg <= 3)) return;
  atomic_u32_fetch_add_acq_rel(&h->sweep_active, 1);
  if (sweep_try_claim(h, s)) {
    sweep_and_file(h, s, true);
  } else {
    while (atomic_u32_load_acquire(&s->sweepgen) == sg - 1) cpu_relax();
  }
  atomic_u32_fetch_sub_acq_rel(&h->sweep_active, 1);
}

/* --- reclaiming pages --- */

/* Frees the dead spans that begin in 512 pages of a; pages freed. */
static size_t reclaim_step(struct heap *h, struct heap_arena *a, size_t step) {
  size_t freed = 0;
  size_t byte = step * (RECLAIM_PAGES / 8), end = byte + RECLAIM_PAGES / 8;
  for (; byte < end; byte++) {
    unsigned bits = atomic_u8_load_acquire(&a->page_in_use[byte]);
    bits &= ~(unsigned)atomic_u8_load_relaxed(&a->page_marks[byte]);
    for (; bits; bits &= bits - 1) {
      struct mspan *s =
          atomic_ptr_load_acquire(&a->spans[byte * 8 + ctz64(bits)]);
      if (!s || !sweep_try_claim(h, s)) continue;
      size_t npages = s->npages;
      if (sweep_and_file(h, s, false) == SPAN_FREED) freed += npages;
    }
  }
  return freed;
}

/* Takes up to npages from what earlier reclaimers found too much. */
static size_t take_credit(struct heap *h, size_t npages) {
  uint64_t have = atomic_u64_load_relaxed(&h->reclaim_credit);
  while (have > 0) {
    uint64_t take = have < npages ? have : npages;
    if (atomic_u64_cas_relaxed(&h->reclaim_credit, &have, have - take))
      return take;
  }
  return 0;
}

void sweep_reclaim(struct heap *h, size_t npages) {
  atomic_u32_fetch_add_acq_rel(&h->sweep_active, 1);
  while ((npages -= take_credit(h, npages)) > 0) {
    uint64_t i = atomic_u64_load_relaxed(&h->reclaim_index);
    struct heap_arena *a = mheap_arena_at(h, i / RECLAIM_STEPS_PER_ARENA);
    if (!a) break;
    if (!atomic_u64_cas_relaxed(&h->reclaim_index, &i, i + 1)) continue;
    size_t freed = reclaim_step(h, a, i % RECLAIM_STEPS_PER_ARENA);
    if (freed > npages) {
      atomic_u64_fetch_add_relaxed(&h->reclaim_credit, freed - npages);
      break;
    }
    npages -= freed;
  }
  atomic_u32_fetch_sub_acq_rel(&h->sweep_active, 1);
}

/* --- the turn of the cycle --- */

static void start_central(struct mcentral *c, uint32_t sg, bool keep) {
  int32_t taken = (int32_t)atomic_u32_load_relaxed(&c->taken);
  atomic_i32_store_relaxed(&c->keep, keep ? taken : 0);
  atomic_u32_store_relaxed(&c->taken, 0);
  struct spanset *unswept[2] = {mcentral_partial_unswept(c, sg),
                                mcentral_full_unswept(c, sg)};
  for (unsigned i = 0; i < 2; i++) {
    mgc_check(spanset_len(unswept[i]) == 0,
              "sweep I1: a cycle begins with %zu unswept spans of class %u",
              spanset_len(unswept[i]), c->spanclass.v);
    spanset_reset(unswept[i]); /* it is the swept set of the cycle to come */
  }
}

void sweep_start_cycle(struct heap *h) {
  uint32_t sg = atomic_u32_load_relaxed(&h->sweepgen);
  mgc_check(atomic_u32_load_acquire(&h->sweep_active) == 0,
            "sweep I2: a cycle begins while a span is being swept");
  for (unsigned i = 0; i < NUM_SPAN_CLASSES; i++)
    start_central(&h->central[i], sg, h->sweep_keeps_room);
  mgc_check(list_empty(mheap_listed_unswept(h, sg)),
            "sweep I1: a cycle begins with unswept large spans");
  atomic_u32_store_release(&h->sweepgen, sg + 2);
  atomic_u32_store_relaxed(&h->sweep_cursor, 0);
  atomic_u64_store_relaxed(&h->reclaim_index, 0);
  atomic_u64_store_relaxed(&h->reclaim_credit, 0);
  atomic_bool_store_release(&h->sweep_done, false);
}
