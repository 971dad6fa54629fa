// SPDX-License-Identifier: MIT
/*
 * Frees by threads that do not own the span, without locks.
 *
 * A span has one word for them, span->local.remote:
 *
 *   bits 0-31   first slot of the list they have built: its offset / 16 + 1; 0: none
 *   bits 32-47  number of slots on it
 *   bit 48      ARMED: the owner has gone away from the span and wants a notice
 *   bit 49      CLAIMED: every slot was on the list; the pages are being given back
 *   bit 50      DONE: they have been, and the struct is the owner's
 *   bit 51      LEFT: the owner has done with the struct; it is the claimer's
 *   bits 52-63  OUT: a list of so many slots has all that were in use; 0: nelems
 *
 * A free links its slot to the list's head and swaps the word. The owner takes the
 * whole list by swapping in 0. That a list returns to an earlier head and count
 * between another's load and swap (ABA) does no harm: what was linked to is that
 * head, whatever follows it.
 *
 * The notice. An owner looks at its current span by itself. One that it files as full
 * it arms; the free that makes the list 1/8 of the span's slots takes ARMED away,
 * and whoever did so pushes the span on the owner's inbox. One with slots in use
 * that it files as partial it arms too; there the notice comes when the span is
 * empty as far as the freer can tell: the list is as long as `left`, which the
 * owner's own frees count down meanwhile. So at most one notice is under way for a
 * span, and it has one link for it (masktype). While one is under way (pending, or
 * filed so and not armed) the struct must not be freed.
 *
 * The claim. A free that would make the list as long as the span has slots knows
 * that nobody holds any slot: none is in use, none on a list of the owner's. It
 * swaps in CLAIMED and gives the pages back at once, so that memory which others
 * have freed goes back even when its owner sleeps. A partial span has other slots,
 * on the owner's list or never used: by OUT the owner says how many are in use,
 * and promises to hand out none before it withdraws OUT (its own frees only keep
 * the list from getting so long). The struct is in a list of the owner's, who
 * drops it when it next comes by; whichever of the two comes second (DONE, LEFT)
 * frees it, so that neither waits. (After a fork, the other may be gone.)
 *
 * An owner may change (theap.c) after a notice's sender has read it. Whoever drains
 * an inbox sends on what is not its own; inboxes live as long as the heap.
 */
#include "heap/tcache_internal.h"

#include "base/fatal.h"
#include "os/single.h"

#define REMOTE_ARMED ((uint64_t)1 << 48)
#define REMOTE_CLAIMED ((uint64_t)1 << 49)
#define REMOTE_DONE ((uint64_t)1 << 50)
#define REMOTE_LEFT ((uint64_t)1 << 51)
#define REMOTE_OUT_SHIFT 52
#define REMOTE_OUT ((uint64_t)0xfff << REMOTE_OUT_SHIFT)
_Static_assert(MAX_OBJS_PER_SPAN <= 0xfff, "OUT holds any number of slots");

static unsigned remote_count(uint64_t w) {
  return (unsigned)(w >> 32) & 0xffff;
}

static uintptr_t remote_head(const struct mspan *s, uint64_t w) {
  uint32_t at = (uint32_t)w;
  return at ? s->base + (uintptr_t)(at - 1) * 16 : TCACHE_NONE;
}

static uint64_t remote_make(const struct mspan *s, uintptr_t p,
                            unsigned count) {
  return (uint64_t)count << 32 | ((p - s->base) / 16 + 1);
}

static unsigned remote_out(uint64_t w) {
  return (unsigned)(w >> REMOTE_OUT_SHIFT);
}

/* Length of the list at which the owner of an armed span is told. */
static unsigned notice_at(const struct mspan *s, uint64_t w) {
  if (remote_out(w)) return tspan_left(s);
  return s->nelems < 16 ? 1 : s->nelems / 8;
}

/* Length of the list that leaves no slot in use. */
static unsigned claim_at(const struct mspan *s, uint64_t w) {
  return remote_out(w) ? remote_out(w) : s->nelems;
}

/* --- the inbox --- */

static void send_notice(struct mspan *s) {
  /* acquire: pairs with the release in tcache_adopt */
  struct tcache *t = atomic_ptr_load_acquire(&s->local.owner);
  void *first = atomic_ptr_load_relaxed(&t->inbox);
  do {
    atomic_ptr_store_relaxed(&s->masktype, first);
    /* release: pairs with the exchange in tcache_drain */
  } while (!atomic_ptr_cas_release(&t->inbox, &first, s));
}

/* A claimed span leaves the owner's lists, if it is in one. */
static void unlist(struct tcache *t, struct mspan *s) {
  if (s->local.where == TSPAN_CURRENT &&
      t->bin[spanclass_size(s->spanclass)].span != s)
    return;
  tcache_unfile(t, s);
  tcache_disown(t, s);
  s->local.where = TSPAN_CURRENT; /* of no bin: in no list */
}

static void leave_struct(struct tcache *t, struct mspan *s) {
  if (atomic_u64_fetch_or_acq_rel(&s->local.remote, REMOTE_LEFT) & REMOTE_DONE)
    mheap_free_struct(t->th->heap, s);
}

/* Others, or the owner too, have freed a part of s, which is filed. True when all
 * is free and the pages were given back. */
static bool look_again(struct tcache *t, struct mspan *s) {
  /* Own frees into a full span so far: they are on its list, uncounted. */
  if (s->local.where == TSPAN_FULL)
    tspan_set_left(s, s->freeindex - (tspan_full_frees(s) - s->local.left));
  if (tremote_empties(s)) {
    tcache_release(t, s);
    return true;
  }
  tcache_file(t, s, TSPAN_PARTIAL);
  return false;
}

/* A notice for s has arrived at its owner. True when pages were given back. */
static bool receive(struct tcache *t, struct mspan *s) {
  bool claimed = tremote_is_claimed(s);
  bool filed = !claimed && s->local.where != TSPAN_CURRENT;
  if (claimed) unlist(t, s);
  if (filed) tcache_unfile(t, s);
  /* Now: unfiling takes this notice for one that is still on its way. */
  s->local.pending = 0;
  if (claimed) leave_struct(t, s);
  return filed && look_again(t, s);
}

void tcache_drain(struct tcache *t) {
  struct mspan *s = atomic_ptr_exchange_acq_rel(&t->inbox, NULL), *next;
  bool freed = false;
  for (; s; s = next) {
    next = atomic_ptr_load_relaxed(&s->masktype);
    if (atomic_ptr_load_relaxed(&s->local.owner) != t) {
      send_notice(s);
      continue;
    }
    freed |= receive(t, s);
  }
  if (freed && t->th->freed) t->th->freed(t->th);
}

/* --- the owner's side of the word --- */

/* Puts `new` in the word's place if it is still *w. Three locked instructions for each
 * span that fills up and empties are a tenth of sh6's and regrow's time, and most
 * programs have one thread. */
static bool swap_word(struct mspan *s, uint64_t *w, uint64_t new) {
  if (likely(single_threaded())) {
    atomic_u64_store_relaxed(&s->local.remote, new);
    return true;
  }
  /* acquire: others' links; release: the owner's list and what it has carved */
  return atomic_u64_cas_acq_rel(&s->local.remote, w, new);
}

bool tremote_is_claimed(const struct mspan *s) {
  return atomic_u64_load_acquire(&s->local.remote) & REMOTE_CLAIMED;
}

uintptr_t tremote_harvest(struct mspan *s, unsigned *n) {
  uint64_t w = atomic_u64_load_relaxed(&s->local.remote);
  do {
    *n = 0;
    if (remote_count(w) == 0 || (w & REMOTE_CLAIMED)) return TCACHE_NONE;
  } while (!swap_word(s, &w, 0));
  *n = remote_count(w);
  return remote_head(s, w);
}

void tremote_absorb_all(struct mspan *s) {
  unsigned n;
  (void)tremote_harvest(s, &n);
  if (n == 0) return;
  mgc_assert(n == s->local.left);
  s->local.free = TCACHE_NONE;
  s->freeindex = 0;
  s->needzero = true;
  tspan_set_left(s, 0);
}

bool tremote_empties(struct mspan *s) {
  uint64_t w = atomic_u64_load_relaxed(&s->local.remote);
  if (s->local.pending || (w & REMOTE_CLAIMED)) return false;
  if (remote_count(w) != s->local.left) return false;
  tremote_absorb_all(s);
  return true;
}

bool tremote_arm(struct mspan *s) {
  uint64_t w = atomic_u64_load_relaxed(&s->local.remote);
  return w == 0 && swap_word(s, &w, REMOTE_ARMED);
}

bool tremote_offer(struct mspan *s) {
  uint64_t w = atomic_u64_load_relaxed(&s->local.remote), new;
  uint64_t armed = s->local.pending ? 0 : REMOTE_ARMED;
  uint64_t out = (uint64_t)s->local.left << REMOTE_OUT_SHIFT;
  do {
    /* Claimed a moment ago, when it was not armed: armed now, no notice comes. */
    new = w &REMOTE_CLAIMED ? w | armed : w | armed | out;
    if (remote_count(w) == s->local.left) return false;
  } while (!swap_word(s, &w, new));
  return true;
}

void tremote_disarm(struct mspan *s) {
  uint64_t w = atomic_u64_load_relaxed(&s->local.remote);
  while (!swap_word(s, &w, w & ~(REMOTE_ARMED | REMOTE_OUT))) {
  }
  if (!(w & REMOTE_ARMED)) s->local.pending = 1;
}

void tremote_drop_claimed(struct tcache *t, struct mspan *s) {
  /* FULL spans come here by their notice only. */
  unlist(t, s);
  if (!s->local.pending) leave_struct(t, s);
}

void tcache_sift(struct tcache *t, unsigned sc) {
  list_for_each(l, &t->bin[sc].partial) {
    struct mspan *s = list_entry(l, struct mspan, link);
    if (tremote_is_claimed(s)) {
      tremote_drop_claimed(t, s);
      continue;
    }
    uint64_t w = atomic_u64_load_relaxed(&s->local.remote);
    if (s->local.pending || remote_count(w) != s->local.left) continue;
    tcache_unfile(t, s);
    if (tremote_empties(s))
      tcache_release(t, s);
    else
      tcache_file(t, s, TSPAN_PARTIAL);
  }
}

/* --- the others' side --- */

/* Gives the pages of s back; its struct is the owner's to free. */
static void claim(struct theap *th, struct mspan *s, bool notice) {
  theap_count_pages(th, spanclass_size(s->spanclass), -(int64_t)s->npages);
  pagemap_set(&tcache_globals.map, s->base, s->npages, NULL);
  theap_give_pages(th, s);
  /* A notice must come before the struct may go. */
  if (notice) send_notice(s);
  if (atomic_u64_fetch_or_acq_rel(&s->local.remote, REMOTE_DONE) & REMOTE_LEFT)
    mheap_free_struct(th->heap, s);
  if (th->freed) th->freed(th);
}

void tcache_free_remote(struct theap *th, struct mspan *s, uintptr_t p) {
  uint64_t w = atomic_u64_load_relaxed(&s->local.remote), new;
  unsigned count;
  do {
    if (unlikely(w & REMOTE_CLAIMED)) tcache_double_free(s, p);
    count = remote_count(w) + 1;
    if (count == claim_at(s, w)) {
      new = REMOTE_CLAIMED;
    } else {
      tcache_link(p, remote_head(s, w));
      new = remote_make(s, p, count) | (w & REMOTE_OUT);
      if (count < notice_at(s, w)) new |= w &REMOTE_ARMED;
    }
    /* release: the link; acquire: what others linked, when the span is claimed */
  } while (!atomic_u64_cas_acq_rel(&s->local.remote, &w, new));
  bool notice = (w & REMOTE_ARMED) && !(new &REMOTE_ARMED);
  if (new == REMOTE_CLAIMED)
    claim(th, s, notice);
  else if (notice)
    send_notice(s);
}
