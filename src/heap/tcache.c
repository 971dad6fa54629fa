// SPDX-License-Identifier: MIT
/*
 * The owner's slow paths: where a class's next slots come from, and what becomes
 * of spans when slots are freed. tcache.h has the design and the invariants.
 *
 * A refill looks, in this order, at
 *
 *   1. the current span: the list that frees built, what others freed, slots that
 *      were never used
 *   2. the inbox: spans of which others freed a good part
 *   3. the partial list
 *   4. what ended threads left (th->central, and warm caches before the heap grows)
 *   5. the page heap
 *
 * Places of a span:
 *
 *   CURRENT  -> FULL     nothing left in it: refill
 *   FULL     -> PARTIAL  1/8 of its slots are free again (free event, inbox)
 *   PARTIAL  -> CURRENT  refill
 *   PARTIAL  -> freed    empty, and enough empty ones are kept already
 *
 * A full span is gone back to only when several of its slots are free. One freed
 * slot would bring it back for one allocation, and a program that replaces objects
 * at random would take this path at every call; what waits is at most 1/8 of the
 * span.
 */
#include "heap/tcache_internal.h"

#include "base/fatal.h"
#include <string.h>

/* What fast paths meet before the heap is made: a table that has no page, and a
 * secret that tcache_none's words do not have. */
struct tcache_globals tcache_globals = {.secret = (uint64_t)TCACHE_TAG << 56};
const uint64_t tcache_none[2] __attribute__((aligned(16)));

struct tcache tcache_nobody = {
    .list = {[0 ... TCACHE_CLASSES - 1] = {.head = (uintptr_t)tcache_none}}};
_Thread_local struct tcache *tcache_self
    __attribute__((tls_model("initial-exec"))) = &tcache_nobody;

/* Bytes of a span that are made into list entries at a time: a little at first,
 * since most threads take few blocks of most classes, and twice as much each time, up
 * to a page of the processor's. Larger slots are handed out singly, untouched.
 * (thread_churn of bench/malloc: 1/8 fewer instructions.) */
#define CARVE_MIN_BYTES 512u
#define CARVE_MAX_BYTES 4096u
/* A class's next span is at most this part of what the thread has of it, and this
 * long: longer ones cost fewer refills (64 KiB: rptest 4 % fewer instructions) but
 * seldom become empty (regrow peaks at 248 MB in place of 228). With an eighth in place of
 * the half sh6 takes 7 % longer. */
#define SPAN_SHARE_SHIFT 1
#define SPAN_MAX_BYTES 32768u
#define PARTIAL_CANDIDATES 4u
/* Empty spans kept by a thread: a part of what it owns, within bounds. */
#define KEEP_SHIFT 4
#define KEEP_MIN 16384u
#define KEEP_MAX 65536u

/* --- what ends the program --- */

MGC_COLD void tcache_broken(const struct mspan *s, uintptr_t p) {
  fatal_user("heap corruption",
             "free list entry overwritten: ptr=%p elemsize=%zu span=0x%lx",
             (void *)p, s ? s->elemsize : 0, (unsigned long)(s ? s->base : 0));
}

MGC_COLD void tcache_double_free(const struct mspan *s, uintptr_t p) {
  fatal_user("double free", "ptr=%p elemsize=%zu span=0x%lx", (void *)p,
             s->elemsize, (unsigned long)s->base);
}

/* --- spans: making, filing, freeing --- */

static bool is_empty(const struct mspan *s) { return s->local.left == 0; }

static size_t span_bytes(const struct mspan *s) {
  return s->npages * MGC_PAGE_SIZE;
}

void tcache_file(struct tcache *t, struct mspan *s, enum tspan_place where) {
  struct tcache_bin *b = &t->bin[spanclass_size(s->spanclass)];
  s->local.where = (uint8_t)where;
  if (where == TSPAN_PARTIAL && !is_empty(s) && !tremote_offer(s))
    tremote_absorb_all(s);
  if (where == TSPAN_FULL) {
    list_push_front(&b->full, &s->link);
  } else if (where == TSPAN_PARTIAL && is_empty(s)) {
    list_push_back(&b->partial, &s->link);
    t->empty_bytes += span_bytes(s);
  } else if (where == TSPAN_PARTIAL) {
    list_push_front(&b->partial, &s->link);
  } else {
    b->span = s;
  }
}

void tcache_unfile(struct tcache *t, struct mspan *s) {
  struct tcache_bin *b = &t->bin[spanclass_size(s->spanclass)];
  if (s->local.where == TSPAN_CURRENT) {
    b->span = NULL;
    return;
  }
  if (s->local.where == TSPAN_PARTIAL && is_empty(s)) {
    t->empty_bytes -= span_bytes(s);
  } else if (s->local.where == TSPAN_PARTIAL) {
    tremote_disarm(s);
  }
  list_remove(&s->link);
}

void tcache_adopt(struct tcache *t, struct mspan *s) {
  struct tcache_bin *b = &t->bin[spanclass_size(s->spanclass)];
  b->npages += s->npages;
  t->owned_bytes += span_bytes(s);
  /* release: pairs with the acquire of whoever sends a notice */
  atomic_ptr_store_release(&s->local.owner, t);
}

void tcache_disown(struct tcache *t, struct mspan *s) {
  struct tcache_bin *b = &t->bin[spanclass_size(s->spanclass)];
  b->npages -= s->npages;
  t->owned_bytes -= span_bytes(s);
}

void tcache_release(struct tcache *t, struct mspan *s) {
  tcache_disown(t, s);
  theap_count_pages(t->th, spanclass_size(s->spanclass), -(int64_t)s->npages);
  pagemap_set(&tcache_globals.map, s->base, s->npages, NULL);
  theap_give_span(t->th, s);
}

/* An unfiled span that has become empty: kept, or given back. */
static void keep_or_release(struct tcache *t, struct mspan *s) {
  size_t keep = t->owned_bytes >> KEEP_SHIFT;
  keep = keep < KEEP_MIN ? KEEP_MIN : keep > KEEP_MAX ? KEEP_MAX : keep;
  if (s->local.pending || t->empty_bytes + span_bytes(s) <= keep) {
    tcache_file(t, s, TSPAN_PARTIAL);
  } else {
    tcache_release(t, s);
    if (t->th->freed) t->th->freed(t->th);
  }
}

/* Pages for the next span of class sc: more when the thread has many already,
 * since a span costs a struct, a refill and, at its end, a part that no slot
 * fits. */
static size_t pages_for_span(const struct tcache *t, unsigned sc) {
  const struct sizeclass_table *tab = t->th->heap->classes;
  size_t npages = tab->npages[sc];
  size_t most = t->bin[sc].npages * MGC_PAGE_SIZE >> SPAN_SHARE_SHIFT;
  size_t all_slots = (size_t)MAX_OBJS_PER_SPAN * tab->size[sc];
  if (most > SPAN_MAX_BYTES) most = SPAN_MAX_BYTES;
  if (most > all_slots) most = all_slots;
  while (2 * npages * MGC_PAGE_SIZE <= most) npages *= 2;
  return npages;
}

static struct mspan *new_span(struct tcache *t, unsigned sc) {
  struct theap *th = t->th;
  size_t npages = pages_for_span(t, sc);
  struct mspan *s;
  for (int attempt = 0;; attempt++) {
    bool admit = theap_admit(th, npages * MGC_PAGE_SIZE);
    s = admit ? theap_take_span(th, npages, sc) : NULL;
    if (likely(s != NULL)) break;
    npages = th->heap->classes->npages[sc];
    if (attempt > 0 ||
        !(th->reclaim && th->reclaim(th, npages * MGC_PAGE_SIZE)))
      return NULL;
  }
  theap_count_pages(th, sc, (int64_t)npages);
  s->local.free = TCACHE_NONE;
  s->local.binoff = (uint16_t)tcache_list_off(sc);
  tcache_adopt(t, s);
  pagemap_set(&tcache_globals.map, s->base, s->npages, s);
  return s;
}

/* --- refilling --- */

void tcache_begin(struct tcache *t) {
  for (unsigned i = 0; i < TCACHE_CLASSES; i++)
    t->bin[i].carve_bytes = CARVE_MIN_BYTES;
}

/* The list is empty and gets the slots of one span. They do not count against its
 * room. */
static void set_list(struct tcache *t, unsigned sc, uintptr_t head) {
  t->list[sc].head = head;
  t->list[sc].room = t->list[sc].limit;
}

static struct tcache_result pop_first(struct tcache *t, unsigned sc) {
  uintptr_t p = tcache_take(t, tcache_list_off(sc));
  if (unlikely(p == 0)) tcache_broken(t->bin[sc].span, t->list[sc].head);
  return (struct tcache_result){.p = (void *)p};
}

/* How many slots from `first` on are made ready: those that end in the processor's page
 * in which they begin, so that the next page is not touched before it is needed. */
static unsigned carve_slots(struct tcache_bin *b, const struct mspan *s,
                            unsigned first) {
  size_t page_left = CARVE_MAX_BYTES - mspan_slot(s, first) % CARVE_MAX_BYTES;
  size_t bytes = b->carve_bytes < page_left ? b->carve_bytes : page_left;
  unsigned n = (unsigned)bytes / (unsigned)s->elemsize;
  if (b->carve_bytes < CARVE_MAX_BYTES) b->carve_bytes *= 2;
  if (n == 0) n = 1;
  return n < s->nelems - first ? n : s->nelems - first;
}

/* Slot i, the first that was not carved, looks free from now on, so that a free of it
 * is found out: it follows blocks that the program has. Not if that took a page more. */
static void mark_unused(const struct mspan *s, unsigned i) {
  uintptr_t p = mspan_slot(s, i);
  if (i < s->nelems && p % CARVE_MAX_BYTES != 0) tcache_link(p, TCACHE_NONE);
}

/* Slots that were never used: the first is handed out as it is, the rest become
 * the list. */
static struct tcache_result carve(struct tcache *t, unsigned sc,
                                  struct mspan *s) {
  unsigned first = s->freeindex;
  unsigned n = carve_slots(&t->bin[sc], s, first), end = first + n;
  tspan_set_left(s, s->local.left + n);
  uintptr_t p = mspan_slot(s, end), next = TCACHE_NONE;
  mark_unused(s, end);
  while (--n > 0) {
    p -= s->elemsize;
    tcache_link(p, next);
    next = p;
  }
  set_list(t, sc, next);
  p -= s->elemsize;
  /* Marked by the carve before, or, of an earlier use of these pages, a list entry: it
   * would look like a second free when the program writes nothing there. */
  if (first > 0 || s->needzero) memset((void *)p, 0, 2 * sizeof(uint64_t));
  /* Last: a leak report that stops the thread before sees no slot of these, and after
   * it sees list entries, and p in a register. */
  __asm__ volatile("" : "+r"(p) : : "memory");
  s->freeindex = (uint16_t)end;
  return (struct tcache_result){.p = (void *)p, .zero = !s->needzero};
}

/* Slots of the current span, if it has any left. */
static bool take_current(struct tcache *t, unsigned sc, struct mspan *s,
                         struct tcache_result *out) {
  if (s->local.free != TCACHE_NONE) {
    set_list(t, sc, s->local.free);
    s->local.free = TCACHE_NONE;
    tspan_set_left(s, s->freeindex);
    *out = pop_first(t, sc);
    return true;
  }
  unsigned n;
  uintptr_t freed = tremote_harvest(s, &n);
  if (n > 0) {
    set_list(t, sc, freed);
    *out = pop_first(t, sc);
    return true;
  }
  if (s->freeindex < s->nelems) {
    *out = carve(t, sc, s);
    return true;
  }
  return false;
}

/* The current span has nothing left; false when it has after all. */
static bool retire_current(struct tcache *t, struct mspan *s) {
  if (!s->local.pending && !tremote_arm(s)) return false;
  tcache_unfile(t, s);
  tcache_file(t, s, TSPAN_FULL);
  tspan_set_left(s, tspan_full_frees(s));
  return true;
}

/* Of the spans that slots were freed of last, the one with most in use: the others
 * may become empty. */
static struct mspan *take_partial(struct tcache *t, unsigned sc) {
  struct mspan *best = NULL;
  unsigned n = 0;
  list_for_each(l, &t->bin[sc].partial) {
    struct mspan *s = list_entry(l, struct mspan, link);
    if (!best || s->local.left > best->local.left) best = s;
    if (++n == PARTIAL_CANDIDATES) break;
  }
  if (best) tcache_unfile(t, best);
  return best;
}

static struct mspan *next_span(struct tcache *t, unsigned sc) {
  struct mspan *s;
  s = take_partial(t, sc);
  if (!s) s = theap_take_orphan(t->th, t, sc);
  if (!s && theap_cool_to_grow(t->th, pages_for_span(t, sc)))
    s = theap_take_orphan(t->th, t, sc);
  if (!s) s = new_span(t, sc);
  return s;
}

MGC_NOINLINE struct tcache_result tcache_refill(struct tcache *t, unsigned sc) {
  struct tcache_result r = {0};
  mgc_assert(sc > 0 && sc < t->th->heap->classes->nclasses);
  if (unlikely(t->list[sc].head != TCACHE_NONE)) {
    return pop_first(t, sc);
  }
  if (atomic_ptr_load_relaxed(&t->inbox)) tcache_drain(t);
  for (;;) {
    struct mspan *s = t->bin[sc].span;
    if (s && unlikely(tremote_is_claimed(s))) {
      tremote_drop_claimed(t, s);
      s = NULL;
    }
    if (s && take_current(t, sc, s, &r)) return r;
    if (s && !retire_current(t, s)) continue;
    s = next_span(t, sc);
    if (!s) return r;
    tcache_file(t, s, TSPAN_CURRENT);
  }
}

/* --- frees by the owner --- */

/* Of s, which was full, `own` slots are on its list. */
static void no_longer_full(struct tcache *t, struct mspan *s, unsigned own) {
  tcache_unfile(t, s);
  tspan_set_left(s, s->freeindex - own);
  tremote_disarm(s);
  if (is_empty(s))
    keep_or_release(t, s);
  else
    tcache_file(t, s, TSPAN_PARTIAL);
}

MGC_NOINLINE void tcache_free_event(struct tcache *t, struct mspan *s) {
  if (s->local.where == TSPAN_FULL) {
    no_longer_full(t, s, tspan_full_frees(s));
  } else if (s->local.where == TSPAN_PARTIAL) {
    list_remove(&s->link); /* it was not empty when it was filed */
    tremote_disarm(s);
    keep_or_release(t, s);
  } /* CURRENT: the next refill takes all of it */
}

/* Slots first .. last, linked, n of them, go back to s, their span. */
static void give_run(struct tcache *t, struct mspan *s, uintptr_t first,
                     uintptr_t last, unsigned n) {
  tcache_link(last, s->local.free);
  s->local.free = first;
  if (s->local.where == TSPAN_FULL && n > s->local.left) {
    no_longer_full(t, s, tspan_full_frees(s) - s->local.left + n);
    return;
  }
  tspan_set_left(s, s->local.left - n);
  if (s->local.left == 0) tcache_free_event(t, s);
}

/* The slot after p on its list. */
static uintptr_t next_slot(const struct mspan *s, uintptr_t p) {
  if (unlikely(!tcache_looks_free(p))) tcache_broken(s, p);
  return *(const uintptr_t *)p;
}

/* A list of slots of any of t's spans goes back. Slots that were freed one after
 * another often lie in one span, and then stay linked as they are. */
static void give_list(struct tcache *t, uintptr_t p) {
  while (p != TCACHE_NONE) {
    struct mspan *s = span_of(&t->th->heap->arenas, p);
    if (unlikely(!s || atomic_ptr_load_relaxed(&s->local.owner) != t))
      tcache_broken(NULL, p);
    uintptr_t last = p, next;
    unsigned n = 1;
    while ((next = next_slot(s, last)) - s->base < s->limit - s->base) {
      last = next;
      n++;
    }
    give_run(t, s, p, last, n);
    p = next;
  }
}

static void return_list(struct tcache *t, unsigned sc) {
  uintptr_t p = t->list[sc].head;
  set_list(t, sc, TCACHE_NONE);
  give_list(t, p);
}

void tcache_return_lists(struct tcache *t) {
  for (unsigned sc = 1; sc < t->th->heap->classes->nclasses; sc++)
    return_list(t, sc);
}

/* --- trimming --- */

void tcache_settle_current(struct tcache *t, unsigned sc) {
  return_list(t, sc);
  struct mspan *s = t->bin[sc].span;
  if (!s) return;
  if (tremote_is_claimed(s)) {
    tremote_drop_claimed(t, s);
    return;
  }
  tcache_unfile(t, s);
  tcache_file(t, s, TSPAN_PARTIAL);
}

void tcache_trim(struct tcache *t) {
  tcache_drain(t);
  for (unsigned sc = 1; sc < t->th->heap->classes->nclasses; sc++) {
    tcache_settle_current(t, sc);
    tcache_sift(t, sc);
  }
}
