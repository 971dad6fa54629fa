// SPDX-License-Identifier: MIT
/*
 * spanSet: a bag of spans that any number of threads push to and pop from
 * without locks (Go: mspanset.go).
 *
 *   spine --> [ block 0 | block 1 | block 2 |  ...  ]     grows under spine_lock
 *                  freed     |         |
 *                         512 entries  512 entries
 *                            ^              ^
 *                           head           tail
 *
 * Entry number n lies in block n / 512. `index` packs head (the next number to
 * pop) and tail (the next to push) into one word, so that one compare-and-swap
 * moves either and sees both. Numbers only grow, until spanset_reset.
 *
 * Push first makes sure that the block of number `tail` exists, and only then
 * takes the number: a push that finds no memory leaves no hole. Pop reads the
 * entry before it takes the number; an entry that is still NULL (its pusher has
 * the number and has not stored yet) counts as not there.
 *
 * The thread that pops a block's last entry gives the block to the pool, where
 * any set finds it. A slow pop may then read an entry of a block that belongs to
 * another set by now: memory of blocks and spines is never unmapped, and the
 * compare-and-swap fails because head has moved.
 *
 *   I1  head <= tail; entries [head, tail) are in the set, or about to be
 *   I2  a block in the pool has all entries NULL and popped == 0
 *   I3  spine[n / 512] is a block for every n in [head, tail)
 */
#include "heap/spanset.h"

#include "base/compiler.h"
#include "base/fatal.h"
#include <string.h>

/* A pause files a few spans of a thread's, each in a set of its class. */
#define WARM_BLOCKS 4

struct spanset_block {
  struct lfnode node;       /* link in the pool */
  struct atomic_u32 popped; /* entries popped so far */
  MGC_CACHE_ALIGNED struct atomic_ptr entry[SPANSET_BLOCK_ENTRIES];
};

static inline uint32_t index_head(uint64_t i) { return (uint32_t)(i >> 32); }
static inline uint32_t index_tail(uint64_t i) { return (uint32_t)i; }

void spanset_init(struct spanset *b, struct spanset_pool *pool) {
  *b = (struct spanset){.pool = pool};
  mutex_init(&b->spine_lock, LOCKRANK_spanset);
}

static struct spanset_block *pool_get(struct spanset_pool *pool) {
  struct lfnode *n = lfstack_pop(&pool->stack);
  if (n) return container_of(n, struct spanset_block, node);
  return persistent_alloc(pool->meta, sizeof(struct spanset_block), CACHELINE,
                          pool->stat);
}

static void pool_put(struct spanset_pool *pool, struct spanset_block *blk) {
  atomic_u32_store_relaxed(&blk->popped, 0);
  lfstack_push(&pool->stack, &blk->node);
}

void spanset_pool_warm(struct spanset_pool *pool) {
  struct spanset_block *blk[WARM_BLOCKS];
  unsigned n = 0;
  while (n < WARM_BLOCKS && (blk[n] = pool_get(pool)) != NULL) n++;
  while (n > 0) {
    struct spanset_block *b = blk[--n];
    for (unsigned i = 0; i < SPANSET_BLOCK_ENTRIES; i++)
      atomic_ptr_store_relaxed(&b->entry[i], NULL);
    pool_put(pool, b);
  }
}

/* Readers may hold the old spine for any time, so it is left alone: all old
 * spines together are smaller than the newest. */
static bool grow_spine(struct spanset *b) {
  uintptr_t cap = b->spine_cap ? 2 * b->spine_cap : SPANSET_INIT_SPINE;
  struct atomic_ptr *spine =
      persistent_alloc(b->pool->meta, cap * sizeof *spine, 0, b->pool->stat);
  if (!spine) return false;
  struct atomic_ptr *old = atomic_ptr_load_relaxed(&b->spine);
  for (uintptr_t i = 0; i < b->spine_cap; i++)
    atomic_ptr_store_relaxed(&spine[i], atomic_ptr_load_relaxed(&old[i]));
  b->spine_cap = cap;
  /* release: pairs with the acquire in spine_block */
  atomic_ptr_store_release(&b->spine, spine);
  return true;
}

static struct spanset_block *spine_block(struct spanset *b, uintptr_t top) {
  struct atomic_ptr *spine = atomic_ptr_load_acquire(&b->spine);
  return atomic_ptr_load_acquire(&spine[top]);
}

/* Makes block `top` exist. */
static MGC_NOINLINE bool add_block(struct spanset *b, uintptr_t top) {
  bool ok = true;
  mutex_lock(&b->spine_lock);
  uintptr_t len = atomic_uptr_load_relaxed(&b->spine_len);
  if (top >= len) {
    mgc_assert(top == len);
    struct spanset_block *blk = NULL;
    ok = (len < b->spine_cap || grow_spine(b)) &&
         (blk = pool_get(b->pool)) != NULL;
    if (ok) {
      struct atomic_ptr *spine = atomic_ptr_load_relaxed(&b->spine);
      atomic_ptr_store_release(&spine[top], blk);
      /* release: pairs with the acquire in spanset_push */
      atomic_uptr_store_release(&b->spine_len, len + 1);
    }
  }
  mutex_unlock(&b->spine_lock);
  return ok;
}

bool spanset_push(struct spanset *b, struct mspan *s) {
  uint64_t i = atomic_u64_load_relaxed(&b->index);
  uintptr_t tail;
  do {
    tail = index_tail(i);
    if (unlikely(tail >= SPANSET_MAX_PUSHES)) return false;
    uintptr_t top = tail / SPANSET_BLOCK_ENTRIES;
    if (top >= atomic_uptr_load_acquire(&b->spine_len) && !add_block(b, top))
      return false;
    /* acq_rel: the block of this number is visible to whoever sees the number */
  } while (!atomic_u64_cas_acq_rel(&b->index, &i, i + 1));
  struct spanset_block *blk = spine_block(b, tail / SPANSET_BLOCK_ENTRIES);
  /* release: pairs with the acquire in spanset_pop; the span is all there */
  atomic_ptr_store_release(&blk->entry[tail % SPANSET_BLOCK_ENTRIES], s);
  return true;
}

static void retire_entry(struct spanset *b, struct spanset_block *blk,
                         uint32_t n) {
  atomic_ptr_store_relaxed(&blk->entry[n % SPANSET_BLOCK_ENTRIES], NULL);
  /* acq_rel: the last popper sees every other's NULL before it gives away */
  uint32_t popped = atomic_u32_fetch_add_acq_rel(&blk->popped, 1) + 1;
  if (popped < SPANSET_BLOCK_ENTRIES) return;
  struct atomic_ptr *spine = atomic_ptr_load_acquire(&b->spine);
  atomic_ptr_store_relaxed(&spine[n / SPANSET_BLOCK_ENTRIES], NULL);
  pool_put(b->pool, blk);
}

struct mspan *spanset_pop(struct spanset *b) {
  uint64_t i = atomic_u64_load_acquire(&b->index);
  for (;;) {
    uint32_t head = index_head(i);
    if (head >= index_tail(i)) return NULL;
    struct spanset_block *blk = spine_block(b, head / SPANSET_BLOCK_ENTRIES);
    struct mspan *s =
        blk ? atomic_ptr_load_acquire(&blk->entry[head % SPANSET_BLOCK_ENTRIES])
            : NULL;
    if (!s) {
      uint64_t now = atomic_u64_load_acquire(&b->index);
      if (index_head(now) == head) return NULL; /* being pushed */
      i = now;
      continue;
    }
    if (atomic_u64_cas_acq_rel(&b->index, &i, i + (1ull << 32))) {
      retire_entry(b, blk, head);
      return s;
    }
  }
}

size_t spanset_len(const struct spanset *b) {
  uint64_t i = atomic_u64_load_acquire(&b->index);
  return index_tail(i) - index_head(i);
}

void spanset_reset(struct spanset *b) {
  uint64_t i = atomic_u64_load_acquire(&b->index);
  mgc_check(index_head(i) == index_tail(i),
            "spanset: reset with %zu spans left", spanset_len(b));
  uintptr_t top = index_head(i) / SPANSET_BLOCK_ENTRIES;
  if (top < atomic_uptr_load_relaxed(&b->spine_len)) {
    struct atomic_ptr *spine = atomic_ptr_load_relaxed(&b->spine);
    struct spanset_block *blk = atomic_ptr_load_relaxed(&spine[top]);
    atomic_ptr_store_relaxed(&spine[top], NULL);
    if (blk) pool_put(b->pool, blk);
  }
  atomic_uptr_store_relaxed(&b->spine_len, 0);
  atomic_u64_store_release(&b->index, 0);
}

void spanset_visit(struct spanset *b, void (*visit)(struct mspan *s, void *arg),
                   void *arg) {
  uint64_t i = atomic_u64_load_acquire(&b->index);
  for (uint32_t n = index_head(i); n < index_tail(i); n++) {
    struct spanset_block *blk = spine_block(b, n / SPANSET_BLOCK_ENTRIES);
    mgc_check(blk, "spanset I3: no block for entry %u", n);
    visit(atomic_ptr_load_acquire(&blk->entry[n % SPANSET_BLOCK_ENTRIES]), arg);
  }
}
