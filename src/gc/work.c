// SPDX-License-Identifier: MIT
/* See work.h. */
#include "gc/markspan.h"

#include "base/fatal.h"

static struct workbuf *node_buf(struct lfnode *node) {
  return node ? container_of(node, struct workbuf, node) : NULL;
}

/* Cuts a step of metadata into buffers: one is returned, the rest is listed. */
static struct workbuf *grow(struct marking *m) {
  uint32_t count = WORKBUF_STEP / WORKBUF_BYTES;
  uint32_t have = atomic_u32_load_relaxed(&m->nbufs);
  if (have >= atomic_u32_load_relaxed(&m->max_bufs)) return NULL;
  struct workbuf *b = persistent_alloc(m->meta, WORKBUF_STEP, 64, m->stat);
  if (!b) return NULL;
  atomic_u32_fetch_add_relaxed(&m->nbufs, count);
  for (uint32_t i = 1; i < count; i++) lfstack_push(&m->empty, &b[i].node);
  return b;
}

/* Upwards, and word by word: memcpy leaves edges in vector registers, and those of a
 * thread that helped are roots (a signal frame has them) until something else uses them. */
static void copy_edges(uintptr_t *to, const uintptr_t *from, size_t n) {
  for (size_t i = 0; i < n; i++) {
    to[i] = from[i];
    __asm__ volatile("" : : : "memory"); /* no vectors, no memcpy */
  }
}

static struct workbuf *get_empty(struct marking *m) {
  struct workbuf *b = node_buf(lfstack_pop(&m->empty));
  if (!b) b = grow(m);
  if (b) b->n = 0;
  return b;
}

bool work_init_marker(struct marking *m, unsigned index) {
  struct marker *k = &m->marker[index];
  if (k->spare) return true;
  k->m = m;
  k->index = index;
  if (!k->cur) k->cur = get_empty(m);
  if (k->cur) k->spare = get_empty(m);
  if (k->spare) atomic_u64_fetch_or_relaxed(&m->made, 1ull << index);
  return k->spare != NULL;
}

void work_wake(struct marking *m, int n) {
  if (likely(atomic_u32_load_seq_cst(&m->idlers) == 0)) return;
  atomic_u32_fetch_add_seq_cst(&m->wake, 1);
  futex_wake(&m->wake, n);
}

static void publish(struct marking *m, struct workbuf *b) {
  lfstack_push(&m->full, &b->node);
  if (m->shared) work_wake(m, 1);
}

static void swap_buffers(struct marker *k) {
  struct workbuf *b = k->cur;
  k->cur = k->spare;
  k->spare = b;
  k->n = k->cur->n;
}

void work_make_room(struct marker *k) {
  struct marking *m = k->m;
  k->cur->n = k->n;
  if (k->spare->n == 0) {
    swap_buffers(k);
    return;
  }
  struct workbuf *b = get_empty(m);
  if (unlikely(!b)) {
    atomic_u32_store_relaxed(&m->overflow, 1);
    k->cur->n = k->n = 0;
    return;
  }
  publish(m, k->spare);
  k->spare = k->cur;
  k->cur = b;
  k->n = 0;
}

bool work_refill(struct marker *k) {
  struct marking *m = k->m;
  k->cur->n = k->n = 0;
  if (k->spare->n > 0) {
    swap_buffers(k);
    return true;
  }
  struct workbuf *b = node_buf(lfstack_pop(&m->full));
  if (!b) return false;
  lfstack_push(&m->empty, &k->cur->node);
  k->cur = b;
  k->n = b->n;
  return true;
}

bool work_add_edges(struct marking *m, const uintptr_t *edge, size_t n) {
  struct workbuf *b = get_empty(m);
  if (!b) return false;
  mgc_assert(n <= WORKBUF_ENTRIES);
  copy_edges(b->edge, edge, n);
  b->n = n;
  publish(m, b);
  return true;
}

void work_release(struct marker *k) {
  struct marking *m = k->m;
  markspan_release(k);
  k->cur->n = k->n;
  struct workbuf **own[2] = {&k->cur, &k->spare};
  for (int i = 0; i < 2; i++) {
    if ((*own[i])->n == 0) continue;
    struct workbuf *b = get_empty(m);
    if (b) {
      publish(m, *own[i]);
      *own[i] = b;
    } else {
      atomic_u32_store_relaxed(&m->overflow, 1);
      (*own[i])->n = 0;
    }
  }
  k->n = k->cur->n;
}

void work_reset(struct marking *m) {
  struct lfnode *node;
  while ((node = lfstack_pop(&m->full)) != NULL) lfstack_push(&m->empty, node);
  for (unsigned i = 0; i < GC_MAX_MARKERS; i++) {
    struct marker *k = &m->marker[i];
    if (k->cur) k->cur->n = 0;
    if (k->spare) k->spare->n = 0;
    k->n = 0;
  }
  markspan_reset(m);
}

void work_share(struct marker *k) {
  struct marking *m = k->m;
  if (atomic_u32_load_relaxed(&m->idlers) == 0 &&
      atomic_u32_load_relaxed(&m->wanted) == 0)
    return;
  if (markspan_share(k)) {
    atomic_u32_store_relaxed(&m->wanted, 0);
    work_wake(m, 1);
    return;
  }
  if (!lfstack_empty(&m->full)) return;
  bool whole = k->spare->n > 0;
  if (!whole && k->n < 8) return;
  atomic_u32_store_relaxed(&m->wanted, 0);
  struct workbuf *b = get_empty(m);
  if (!b) return;
  if (whole) {
    publish(m, k->spare);
    k->spare = b;
    return;
  }
  /* The older half: it is nearer to the roots, so more hangs on it. */
  size_t half = k->n / 2;
  copy_edges(b->edge, k->cur->edge, half);
  b->n = half;
  k->n -= half;
  copy_edges(k->cur->edge, k->cur->edge + half, k->n);
  publish(m, b);
}
