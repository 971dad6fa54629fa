// SPDX-License-Identifier: MIT
/* What tcache.c, tremote.c and theap.c share. */
#ifndef MGC_HEAP_TCACHE_INTERNAL_H
#define MGC_HEAP_TCACHE_INTERNAL_H

#include "heap/tcache.h"

/* Own frees after which a full span is gone back to. */
static inline unsigned tspan_full_frees(const struct mspan *s) {
  return s->nelems < 16 ? 1 : s->nelems / 8;
}

/* `left` is read by others who free (tremote.c); the owner writes it so. */
static inline unsigned tspan_left(const struct mspan *s) {
  return __atomic_load_n(&s->local.left, __ATOMIC_RELAXED);
}
static inline void tspan_set_left(struct mspan *s, unsigned n) {
  __atomic_store_n(&s->local.left, n, __ATOMIC_RELAXED);
}

/* --- tcache.c: the owner --- */

/* A slot of s at p is not the list entry that it should be. */
MGC_COLD MGC_NORETURN void tcache_broken(const struct mspan *s, uintptr_t p);
MGC_COLD MGC_NORETURN void tcache_double_free(const struct mspan *s,
                                              uintptr_t p);
/* Puts s, which is in no list, where `where` says, and back. `left` must be right
 * before and unchanged in between. */
void tcache_file(struct tcache *t, struct mspan *s, enum tspan_place where);
void tcache_unfile(struct tcache *t, struct mspan *s);
/* A thread begins to use t. */
void tcache_begin(struct tcache *t);
/* Makes t the owner of s; counts it out. */
void tcache_adopt(struct tcache *t, struct mspan *s);
void tcache_disown(struct tcache *t, struct mspan *s);
/* Gives back s, which is empty, not pending and in no list. */
void tcache_release(struct tcache *t, struct mspan *s);
/* The thread's lists go back to its spans. */
void tcache_return_lists(struct tcache *t);
/* One of them does, and the current span is filed. */
void tcache_settle_current(struct tcache *t, unsigned sc);

/* --- tremote.c: spans and those who free into them from outside --- */

/* Takes the list of slots that others freed; *n is its length, 0: TCACHE_NONE. Not
 * of an armed or claimed span. */
uintptr_t tremote_harvest(struct mspan *s, unsigned *n);
/* For a span whose every slot that is not on its own list others have freed: it
 * begins anew, with all its slots to carve. Walking the list to join it with the
 * owner's would fetch each slot from the other's cache (8 % of sh8's time). */
void tremote_absorb_all(struct mspan *s);
/* Whether s, in no list, is empty when what others freed is counted; then it
 * begins anew. Never of a pending or claimed one. */
bool tremote_empties(struct mspan *s);
/* The owner goes away from s and wants a notice when enough was freed; false:
 * something has been freed already. */
MGC_MUST_CHECK bool tremote_arm(struct mspan *s);
/* The same for a partial span that has slots in use, `left` of them; whoever frees
 * the last one may claim it. False: all have been freed already. */
MGC_MUST_CHECK bool tremote_offer(struct mspan *s);
/* Takes either back: the owner looks again by itself. Notes as pending a notice that
 * is on its way. */
void tremote_disarm(struct mspan *s);
/* Somebody else freed the last slot and has given the pages back. */
bool tremote_is_claimed(const struct mspan *s);
/* Forgets such a span: its struct is freed now or when a notice arrives. */
void tremote_drop_claimed(struct tcache *t, struct mspan *s);
/* Releases the partial spans of a class that are empty, remote frees counted. */
void tcache_sift(struct tcache *t, unsigned sc);

/* --- tdense.c: huge pages for large blocks --- */

/* s is about to be handed out, and the heap's lock is taken; it is about to be given
 * back, or to change. */
void tdense_begin(struct theap *th, struct mspan *s);
void tdense_end(struct theap *th, const struct mspan *s);

/* --- theap.c: what threads share --- */

/* A span of class sc that an ended thread left, now t's and in no list; NULL:
 * none. */
struct mspan *theap_take_orphan(struct theap *th, struct tcache *t,
                                unsigned sc);
/* npages more would be more than ever: what warm caches hold is for all, as orphans
 * or free pages. False: they would not, or there are none. */
bool theap_cool_to_grow(struct theap *th, size_t npages);

#endif
