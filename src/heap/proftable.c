// SPDX-License-Identifier: MIT
/* See proftable.h. */
#include "heap/proftable.h"

#include "base/bits.h"
#include "base/fatal.h"
#include "heap/sample.h"
#include <string.h>

#define FIRST_HEADS 1024u
#define FIRST_SLOTS 1024u

/* Tables come from the OS and go back there when a larger one takes their place.
 */
static void *new_table(struct proftable *t, size_t n, size_t elem) {
  size_t bytes;
  if (__builtin_mul_overflow(n, elem, &bytes)) return NULL;
  return vm_alloc(t->vm, align_up(bytes, t->vm->page_size), "profile", t->stat);
}

static void free_table(struct proftable *t, void *p, size_t n, size_t elem) {
  size_t bytes = align_up(n * elem, t->vm->page_size);
  if (!p) return;
  t->vm->ops->free(t->vm, p, bytes);
  memstat_add(t->stat, -(int64_t)bytes);
}

static uint64_t mix(uint64_t h, uint64_t x) {
  unsigned __int128 product =
      (unsigned __int128)(h ^ x) * 0x9fb21c651e98df25ull;
  return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

bool proftable_init(struct proftable *t, struct vm *vm, struct persistent *meta,
                    struct memstat *stat) {
  *t = (struct proftable){.vm = vm, .meta = meta, .stat = stat};
  t->head = new_table(t, FIRST_HEADS, sizeof t->head[0]);
  t->live = new_table(t, FIRST_SLOTS, sizeof t->live[0]);
  t->nheads = t->head ? FIRST_HEADS : 0;
  t->nslots = t->live ? FIRST_SLOTS : 0;
  return t->head && t->live;
}

/* --- buckets --- */

static void link_bucket(struct proftable *t, struct prof_bucket *b) {
  struct prof_bucket **head = &t->head[b->hash & (t->nheads - 1)];
  b->chain = *head;
  *head = b;
}

/* One bucket a chain on average. No memory: the chains get longer. */
static void grow_heads(struct proftable *t) {
  size_t n = t->nheads * 2;
  struct prof_bucket **head = new_table(t, n, sizeof head[0]);
  if (!head) return;
  free_table(t, t->head, t->nheads, sizeof t->head[0]);
  t->head = head;
  t->nheads = n;
  for (struct prof_bucket *b = atomic_ptr_load_relaxed(&t->first); b;
       b = atomic_ptr_load_relaxed(&b->next))
    link_bucket(t, b);
}

static bool same_stack(const struct prof_bucket *b, const uintptr_t *frames,
                       unsigned nframes) {
  return b->nframes == nframes &&
         memcmp(b->frame, frames, nframes * sizeof frames[0]) == 0;
}

struct prof_bucket *proftable_bucket(struct proftable *t,
                                     const uintptr_t *frames, unsigned nframes,
                                     size_t size) {
  unsigned step = sample_size_step(size);
  uint64_t h = mix(step, nframes);
  for (unsigned i = 0; i < nframes; i++) h = mix(h, frames[i]);
  struct prof_bucket *b = t->head[h & (t->nheads - 1)];
  for (; b; b = b->chain)
    if (b->hash == h && b->size_step == step && same_stack(b, frames, nframes))
      return b;
  size_t bytes = sizeof *b + nframes * sizeof b->frame[0];
  b = persistent_alloc(t->meta, bytes, 8, t->stat);
  if (!b) return NULL;
  b->hash = h;
  b->size_step = step;
  b->nframes = nframes;
  memcpy(b->frame, frames, nframes * sizeof frames[0]);
  if (++t->nbuckets > t->nheads) grow_heads(t);
  link_bucket(t, b);
  /* release: pairs with the acquires in proftable_next */
  atomic_ptr_store_release(t->last ? &t->last->next : &t->first, b);
  t->last = b;
  return b;
}

/* --- live objects --- */

static size_t home_slot(const struct proftable *t, uintptr_t addr) {
  return mix(0x2545f4914f6cdd1dull, addr) & (t->nslots - 1);
}

/* The slot of addr, or the free one where it would be. */
static size_t probe(const struct proftable *t, uintptr_t addr) {
  size_t i = home_slot(t, addr);
  while (t->live[i].addr && t->live[i].addr != addr)
    i = (i + 1) & (t->nslots - 1);
  return i;
}

bool proftable_reserve(struct proftable *t) {
  if ((t->nlive + 1) * 4 <= t->nslots * 3) return true;
  struct prof_live *old = t->live;
  size_t nold = t->nslots;
  struct prof_live *table = new_table(t, nold * 2, sizeof table[0]);
  if (!table) return false;
  t->live = table;
  t->nslots = nold * 2;
  for (size_t i = 0; i < nold; i++)
    if (old[i].addr) t->live[probe(t, old[i].addr)] = old[i];
  free_table(t, old, nold, sizeof old[0]);
  return true;
}

void proftable_add(struct proftable *t, uintptr_t addr, size_t size,
                   struct prof_bucket *bucket) {
  struct prof_live *slot = &t->live[probe(t, addr)];
  mgc_check(slot->addr == 0, "proftable: added twice: ptr=%p", (void *)addr);
  *slot = (struct prof_live){.addr = addr, .size = size, .bucket = bucket};
  t->nlive++;
  if (!bucket) return;
  atomic_u64_fetch_add_relaxed(&bucket->alloc_bytes, size);
  atomic_u64_fetch_add_relaxed(&bucket->allocs, 1);
}

/* Slot i becomes free: whatever follows without a gap and may lie nearer to its
 * home moves into the hole, which moves on. */
static void close_gap(struct proftable *t, size_t i) {
  size_t mask = t->nslots - 1;
  for (size_t j = (i + 1) & mask; t->live[j].addr; j = (j + 1) & mask) {
    size_t home = home_slot(t, t->live[j].addr);
    if (((j - home) & mask) < ((j - i) & mask)) continue;
    t->live[i] = t->live[j];
    i = j;
  }
  t->live[i] = (struct prof_live){0};
}

bool proftable_remove(struct proftable *t, uintptr_t addr) {
  size_t i = probe(t, addr);
  struct prof_live *slot = &t->live[i];
  if (slot->addr == 0) return false;
  if (slot->bucket) {
    /* release: pairs with the acquires in proftable_read */
    atomic_u64_fetch_add_release(&slot->bucket->free_bytes, slot->size);
    atomic_u64_fetch_add_release(&slot->bucket->frees, 1);
  }
  t->nlive--;
  close_gap(t, i);
  return true;
}

const struct prof_live *proftable_find(const struct proftable *t,
                                       uintptr_t addr) {
  const struct prof_live *slot = &t->live[probe(t, addr)];
  return slot->addr ? slot : NULL;
}

/* --- reading --- */

const struct prof_bucket *proftable_next(const struct proftable *t,
                                         const struct prof_bucket *b) {
  return atomic_ptr_load_acquire(b ? &b->next : &t->first);
}

struct prof_sums proftable_read(const struct prof_bucket *b) {
  /* What was freed is read first: then what was allocated is no less. */
  uint64_t frees = atomic_u64_load_acquire(&b->frees);
  uint64_t free_bytes = atomic_u64_load_acquire(&b->free_bytes);
  struct prof_sums s = {.all = atomic_u64_load_relaxed(&b->allocs),
                        .all_bytes = atomic_u64_load_relaxed(&b->alloc_bytes)};
  s.live = s.all - frees;
  s.live_bytes = s.all_bytes - free_bytes;
  if (s.all == 0) s.all_bytes = 0;
  if (s.live == 0) s.live_bytes = 0;
  return s;
}

void proftable_verify(const struct proftable *t) {
  uint64_t live = 0, bytes = 0, sum = 0, sum_bytes = 0;
  size_t n = 0;
  for (size_t i = 0; i < t->nslots; i++) {
    const struct prof_live *l = &t->live[i];
    if (!l->addr) continue;
    n++;
    if (proftable_find(t, l->addr) != l)
      verify_fail("proftable I1", "ptr=%p slot=%zu", (void *)l->addr, i);
    if (l->bucket) {
      live++;
      bytes += l->size;
    }
  }
  const struct prof_bucket *b = NULL;
  while ((b = proftable_next(t, b)) != NULL) {
    struct prof_sums s = proftable_read(b);
    sum += s.live;
    sum_bytes += s.live_bytes;
  }
  if (n != t->nlive || live != sum || bytes != sum_bytes)
    verify_fail("proftable I2", "slots=%zu nlive=%zu live=%llu sum=%llu", n,
                t->nlive, (unsigned long long)live, (unsigned long long)sum);
}
