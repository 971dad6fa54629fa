// SPDX-License-Identifier: MIT
/*
 * Spans whose objects wait to be scanned (Go: spanQueue in mgcwork.go and
 * spanInlineMarkBits).
 *
 * For small objects the unit of marking work is the span, not the object. A span
 * is queued when the first of its objects is marked, and while it waits, further
 * marks gather in it; when its turn comes, all of them are scanned at once, in the
 * order of their addresses (spanscan.h). The queue is first in, first out, since
 * the longest wait gathers most marks.
 *
 * What is known of a span's objects is in three places:
 *
 *   mark     the object is reachable (mspan_bits)
 *   scanned  somebody has scanned it or is about to; a subset of mark
 *   owned    SPANQ_UNOWNED: the span is in no queue. SPANQ_ONE: it is in one, or in
 *            the hands of somebody who is about to put it there, and its entry's
 *            slot is all that waits. SPANQ_MANY: the same, and more may wait
 *
 * Who has set a mark bit calls spanq_note. The one who finds the span unowned owns
 * it and must queue it; the others go on, and the second turns ONE into MANY. Who
 * takes an entry calls spanq_claim: it first sets owned to SPANQ_UNOWNED, and then
 * claims, by setting scanned bits, what is marked and not scanned. From then on a
 * mark queues the span again, to this queue or another one, while the first scan
 * may still be going on; the scanned bits keep the two apart. With SPANQ_ONE only
 * the entry's slot is looked at: one pair of bit words instead of up to 8.
 *
 *   I1  a mark is not lost. mark is set before owned is read, and owned is released
 *       before mark is read; all four accesses are seq_cst. So either spanq_claim
 *       sees the mark, or spanq_note sees the release and owns the span
 *   I2  a slot is scanned once: whoever changes its scanned bit from 0 to 1 scans it
 *   I3  a span is in at most one queue: only who changes owned from SPANQ_UNOWNED
 *       puts it there, and only who took it from there changes it back. So the
 *       queues never hold more entries than there are spans
 *   I4  SPANQ_ONE means that every mark but the entry's was or will be told by
 *       another spanq_note: a claim of one slot leaves nothing behind
 *
 * Each marker has a queue of its own, which nobody else touches: a ring of the oldest
 * entries, and behind it a chain of blocks of SPANQ_BLOCK. Order matters here. On a
 * random graph of 300 MB a claim found 28 slots; with the chain as a stack it found 2,
 * and marking took four times as long.
 *
 * (Go's other markers steal from the queues. Here a marker that sees idle ones gives
 * them its oldest entries, as with edges: work.h. They go to a list shared by all; it
 * is last in, first out, but hardly ever holds more than one block.)
 *
 * When there is no memory for a block the entry is dropped: the span becomes unowned
 * with marks that nobody scans, and `lost` is set. Nothing else is forgotten, so
 * that marking can go on, and in the end spans where mark and scanned differ are
 * queued again (spanq_adopt), until nothing is lost.
 */
#ifndef MGC_GC_SPANQ_H
#define MGC_GC_SPANQ_H

#include "base/lfstack.h"
#include "base/persistent.h"
#include "gc/spanscan.h"
#include "heap/mspan.h"

#define SPANQ_RING 256 /* a power of two */
#define SPANQ_LOW 8    /* with less in the ring it is filled */
#define SPANQ_BLOCK 126
#define SPANQ_BLOCK_BYTES 1024
#define SPANQ_STEP ((size_t)32 << 10) /* taken from metadata at once */

/* --- which of a span's objects wait --- */

enum spanq_owned { SPANQ_UNOWNED = 0, SPANQ_ONE, SPANQ_MANY };

/* A span as this file sees it. */
struct spanq_span {
  struct atomic_u8 *owned;       /* enum spanq_owned */
  const struct mspan_bits *bits; /* nsets of them */
  struct atomic_u64 *scanned;    /* nsets words */
  unsigned nsets;                /* (nelems + 63) / 64 */
};

/* Tells of a mark bit, or of several (`more`), that the caller has just set, with
 * seq_cst when markers share. True: the caller has to queue the span, with one of
 * them. */
static MGC_ALWAYS_INLINE bool spanq_note(struct atomic_u8 *owned, bool more,
                                         bool shared) {
  uint8_t old = atomic_u8_load_seq_cst(owned);
  while (old != SPANQ_MANY) {
    uint8_t new = old == SPANQ_UNOWNED && !more ? SPANQ_ONE : SPANQ_MANY;
    if (!shared)
      atomic_u8_store_relaxed(owned, new);
    else if (!atomic_u8_cas_seq_cst(owned, &old, new))
      continue;
    return old == SPANQ_UNOWNED;
  }
  return false;
}

/* Releases the span of an entry with this slot, and claims what waits in it.
 * toscan has SPANSCAN_SETS words, all of which are written.
 * False: nothing. */
bool spanq_claim(const struct spanq_span *s, unsigned slot, bool shared,
                 uint64_t *toscan);

/* What may wait in it, without claiming: for prefetching. Writes SPANSCAN_SETS
 * words. */
void spanq_peek(const struct spanq_span *s, unsigned slot, uint64_t *toscan);

/* After entries were dropped. True: objects of the span wait, and the caller has to
 * queue it, with any slot. */
bool spanq_adopt(const struct spanq_span *s);

/* --- the queue --- */

/* Any pointer of 48 bits that stands for the span (not NULL), and the slot that was
 * marked when it was queued. */
struct spanq_entry {
  uint64_t v;
};

static inline struct spanq_entry spanq_entry_make(const void *span,
                                                  unsigned slot) {
  return (struct spanq_entry){(uint64_t)(uintptr_t)span | (uint64_t)slot << 48};
}
static inline void *spanq_entry_span(struct spanq_entry e) {
  return (void *)(uintptr_t)(e.v & low_mask64(48));
}
static inline unsigned spanq_entry_slot(struct spanq_entry e) {
  return (unsigned)(e.v >> 48);
}

struct spanq_block {
  union {
    struct lfnode node;       /* in a shared list */
    struct spanq_block *next; /* in a queue */
  };
  struct spanq_entry entry[SPANQ_BLOCK]; /* the oldest first, to one of 0 */
};

/* What markers share. Lock key: (a) atomic; (c) const. */
struct spanq_pool {
  struct lfstack full;
  struct lfstack empty;
  struct atomic_u32 lost;       /* (a) entries were dropped */
  struct atomic_u32 nblocks;    /* (a) blocks that exist */
  struct atomic_u32 max_blocks; /* (a) tests: no more blocks than this */
  struct persistent *meta;      /* (c) */
  struct memstat *stat;         /* (c) */
};

/* One marker's. */
struct MGC_CACHE_ALIGNED spanq {
  struct spanq_pool *pool;
  uint32_t get, put; /* count up for ever; put - get entries are in the ring */
  /* Behind the ring: full blocks, the oldest first, and the one that is filled. */
  struct spanq_block *first, *last, *tail;
  uint32_t nfull, ntail; /* full blocks; entries in tail */
  struct spanq_entry ring[SPANQ_RING];
};

void spanq_pool_init(struct spanq_pool *pool, struct persistent *meta,
                     struct memstat *stat);
void spanq_init(struct spanq *q, struct spanq_pool *pool);

static inline uint32_t spanq_held(const struct spanq *q) {
  return q->put - q->get;
}
/* Whether it has no entry at all. Those behind the ring come after it: while there are
 * any, the ring is not empty. */
static inline bool spanq_empty(const struct spanq *q) {
  return spanq_held(q) == 0;
}
/* Whether a marker without entries would find some. */
static inline bool spanq_available(const struct spanq_pool *pool) {
  return !lfstack_empty(&pool->full);
}

/* Puts e behind the ring. False: no memory. */
MGC_MUST_CHECK bool spanq_append(struct spanq *q, struct spanq_entry e);
/* Fills the ring from what is behind it. */
void spanq_pull(struct spanq *q);

/* Queues a span that the caller owns. When there is no memory it is dropped. */
static MGC_ALWAYS_INLINE void spanq_put(struct spanq *q, struct spanq_entry e,
                                        struct atomic_u8 *owned) {
  if (likely(!q->tail && spanq_held(q) < SPANQ_RING)) {
    q->ring[q->put++ % SPANQ_RING] = e;
    return;
  }
  if (likely(spanq_append(q, e))) return;
  /* release, before `lost`: who adopts the span afterwards owns it */
  atomic_u8_store_seq_cst(owned, SPANQ_UNOWNED);
  atomic_u32_store_release(&q->pool->lost, 1);
}

/* Fills an empty ring from the shared list. False: there is nothing. */
MGC_MUST_CHECK bool spanq_refill(struct spanq *q);

/* The oldest entry, or one of the list's. False: there is none. */
static MGC_ALWAYS_INLINE bool spanq_get(struct spanq *q,
                                        struct spanq_entry *out) {
  if (unlikely(spanq_held(q) == 0) && !spanq_refill(q)) return false;
  *out = q->ring[q->get++ % SPANQ_RING];
  if (unlikely(spanq_held(q) < SPANQ_LOW) && q->tail) spanq_pull(q);
  return true;
}

/* The entry that spanq_get will return after n others. False: not known yet. */
static inline bool spanq_ahead(const struct spanq *q, uint32_t n,
                               struct spanq_entry *out) {
  if (n >= spanq_held(q)) return false;
  *out = q->ring[(q->get + n) % SPANQ_RING];
  return true;
}

/* Gives old entries to the others, a block of them or half of the ring, if they have
 * nothing and there are at least two. True: there is something for them now that was not. */
bool spanq_share(struct spanq *q);
/* Gives all of the queue to the others: for a marker that leaves. False: no memory,
 * and the rest is still in the ring. */
MGC_MUST_CHECK bool spanq_release(struct spanq *q);
/* Forgets all entries, for good: nobody marks any more. */
void spanq_reset(struct spanq *q);

#endif
