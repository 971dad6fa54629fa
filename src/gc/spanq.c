// SPDX-License-Identifier: MIT
/* See spanq.h. */
#include "gc/spanq.h"

#include "base/fatal.h"
#include <string.h>

/* --- which of a span's objects wait --- */

/* Slots of one set that are marked and that nobody else has claimed. */
static uint64_t claim_set(const struct mspan_bits *bits,
                          struct atomic_u64 *scanned, uint64_t among,
                          bool shared) {
  /* seq_cst: after the release of `owned` (I1) */
  uint64_t mark = atomic_u64_load_seq_cst(&bits->mark) & among;
  uint64_t old = atomic_u64_load_relaxed(scanned);
  uint64_t claim = mark & ~old;
  if (claim == 0) return 0;
  if (!shared) {
    atomic_u64_store_relaxed(scanned, old | claim);
    return claim;
  }
  return claim & ~atomic_u64_fetch_or_relaxed(scanned, claim);
}

bool spanq_claim(const struct spanq_span *s, unsigned slot, bool shared,
                 uint64_t *toscan) {
  uint8_t owned = SPANQ_UNOWNED;
  if (shared) {
    owned = atomic_u8_exchange_seq_cst(s->owned, SPANQ_UNOWNED);
  } else {
    owned = atomic_u8_load_relaxed(s->owned);
    atomic_u8_store_relaxed(s->owned, SPANQ_UNOWNED);
  }
  mgc_assert(owned != SPANQ_UNOWNED && slot / 64 < s->nsets);
  memset(toscan, 0, SPANSCAN_SETS * sizeof *toscan);
  if (owned == SPANQ_ONE) {
    unsigned i = slot / 64;
    toscan[i] =
        claim_set(&s->bits[i], &s->scanned[i], 1ull << (slot % 64), shared);
    return toscan[i] != 0;
  }
  uint64_t any = 0;
  for (unsigned i = 0; i < s->nsets; i++)
    any |= toscan[i] = claim_set(&s->bits[i], &s->scanned[i], ~0ull, shared);
  return any != 0;
}

void spanq_peek(const struct spanq_span *s, unsigned slot, uint64_t *toscan) {
  memset(toscan, 0, SPANSCAN_SETS * sizeof *toscan);
  if (atomic_u8_load_relaxed(s->owned) != SPANQ_MANY) {
    toscan[slot / 64] = 1ull << (slot % 64);
    return;
  }
  for (unsigned i = 0; i < s->nsets; i++)
    toscan[i] = atomic_u64_load_relaxed(&s->bits[i].mark) &
                ~atomic_u64_load_relaxed(&s->scanned[i]);
}

bool spanq_adopt(const struct spanq_span *s) {
  uint64_t waiting = 0;
  for (unsigned i = 0; i < s->nsets; i++)
    waiting |= atomic_u64_load_seq_cst(&s->bits[i].mark) &
               ~atomic_u64_load_relaxed(&s->scanned[i]);
  if (waiting == 0) return false;
  /* Owned already: then it is queued, but ONE would not tell of what was lost. */
  return atomic_u8_exchange_seq_cst(s->owned, SPANQ_MANY) == SPANQ_UNOWNED;
}

/* --- blocks --- */

static struct spanq_block *node_block(struct lfnode *node) {
  return node ? container_of(node, struct spanq_block, node) : NULL;
}

/* Cuts a step of metadata into blocks: one is returned, the rest is listed. */
static struct spanq_block *grow(struct spanq_pool *pool) {
  uint32_t count = SPANQ_STEP / SPANQ_BLOCK_BYTES;
  uint32_t have = atomic_u32_load_relaxed(&pool->nblocks);
  if (have >= atomic_u32_load_relaxed(&pool->max_blocks)) return NULL;
  struct spanq_block *b =
      persistent_alloc(pool->meta, SPANQ_STEP, CACHELINE, pool->stat);
  if (!b) return NULL;
  atomic_u32_fetch_add_relaxed(&pool->nblocks, count);
  for (uint32_t i = 1; i < count; i++) lfstack_push(&pool->empty, &b[i].node);
  return b;
}

void spanq_pool_init(struct spanq_pool *pool, struct persistent *meta,
                     struct memstat *stat) {
  _Static_assert(sizeof(struct spanq_block) == SPANQ_BLOCK_BYTES,
                 "see SPANQ_BLOCK");
  _Static_assert(SPANQ_BLOCK + SPANQ_LOW <= SPANQ_RING, "the ring has room");
  memset(pool, 0, sizeof *pool);
  pool->meta = meta;
  pool->stat = stat;
  atomic_u32_store_relaxed(&pool->max_blocks, UINT32_MAX);
}

void spanq_init(struct spanq *q, struct spanq_pool *pool) {
  *q = (struct spanq){.pool = pool};
}

static struct spanq_block *get_block(struct spanq_pool *pool) {
  struct spanq_block *b = node_block(lfstack_pop(&pool->empty));
  return b ? b : grow(pool);
}

/* --- behind the ring --- */

bool spanq_append(struct spanq *q, struct spanq_entry e) {
  if (unlikely(!q->tail || q->ntail == SPANQ_BLOCK)) {
    struct spanq_block *b = get_block(q->pool);
    if (unlikely(!b)) return false;
    if (q->tail) {
      q->tail->next = NULL;
      if (q->first)
        q->last->next = q->tail;
      else
        q->first = q->tail;
      q->last = q->tail;
      q->nfull++;
    }
    q->tail = b;
    q->ntail = 0;
  }
  q->tail->entry[q->ntail++] = e;
  return true;
}

/* The oldest block behind the ring, and how many entries it has. NULL: there is none. */
static struct spanq_block *take_first(struct spanq *q, uint32_t *n) {
  struct spanq_block *b = q->first;
  *n = SPANQ_BLOCK;
  if (b) {
    q->first = b->next;
    q->nfull--;
    return b;
  }
  *n = q->ntail;
  b = q->tail;
  q->tail = NULL;
  q->ntail = 0;
  return b;
}

static void load(struct spanq *q, struct spanq_block *b, uint32_t n) {
  for (uint32_t i = 0; i < n && b->entry[i].v; i++)
    q->ring[q->put++ % SPANQ_RING] = b->entry[i];
  lfstack_push(&q->pool->empty, &b->node);
}

void spanq_pull(struct spanq *q) {
  uint32_t n;
  struct spanq_block *b = take_first(q, &n);
  if (b) load(q, b, n);
}

/* --- what others get --- */

static void publish(struct spanq_pool *pool, struct spanq_block *b,
                    uint32_t n) {
  if (n < SPANQ_BLOCK) b->entry[n].v = 0; /* no span: the end */
  lfstack_push(&pool->full, &b->node);
}

/* Moves the n oldest entries to the shared list. */
static bool give(struct spanq *q, uint32_t n) {
  struct spanq_block *b = get_block(q->pool);
  if (unlikely(!b)) return false;
  for (uint32_t i = 0; i < n; i++) b->entry[i] = q->ring[q->get++ % SPANQ_RING];
  publish(q->pool, b, n);
  return true;
}

bool spanq_refill(struct spanq *q) {
  struct spanq_block *b = node_block(lfstack_pop(&q->pool->full));
  if (!b) return false;
  load(q, b, SPANQ_BLOCK);
  return true;
}

bool spanq_share(struct spanq *q) {
  uint32_t n = spanq_held(q) / 2;
  if (n == 0 || spanq_available(q->pool)) return false;
  if (q->nfull > 0) {
    struct spanq_block *b = take_first(q, &n);
    publish(q->pool, b, n);
    return true;
  }
  return give(q, n < SPANQ_BLOCK ? n : SPANQ_BLOCK);
}

bool spanq_release(struct spanq *q) {
  struct spanq_block *b;
  uint32_t count;
  while ((b = take_first(q, &count)) != NULL) publish(q->pool, b, count);
  while (spanq_held(q) > 0) {
    uint32_t n = spanq_held(q);
    if (!give(q, n < SPANQ_BLOCK ? n : SPANQ_BLOCK)) return false;
  }
  return true;
}

void spanq_reset(struct spanq *q) {
  struct spanq_block *b;
  uint32_t n;
  while ((b = take_first(q, &n)) != NULL)
    lfstack_push(&q->pool->empty, &b->node);
  q->get = q->put = 0;
}
