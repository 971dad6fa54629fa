// SPDX-License-Identifier: MIT
/*
 * See lfstack.h. The head is 45 bits of address (48 bits, less the 3 that
 * alignment makes zero) above 19 bits of the node's own push count.
 *
 * I1  A node is never unmapped and its `next` stays a link: a slow pop reads
 *     the `next` of a node that others have popped and pushed since, and then
 *     fails its exchange because the count has changed.
 * I2  Every change of the head is a read-modify-write, so each continues the
 *     release sequence of the push before it, and one acquire sees them all.
 */
#include "base/lfstack.h"

#include "base/bits.h"
#include "base/fatal.h"

#define COUNT_BITS 19

static uint64_t pack(const struct lfnode *node, uint64_t count) {
  return ((uint64_t)(uintptr_t)node >> PTR_SHIFT) << COUNT_BITS |
         (count & low_mask64(COUNT_BITS));
}

static struct lfnode *unpack(uint64_t head) {
  return (struct lfnode *)(uintptr_t)(head >> COUNT_BITS << PTR_SHIFT);
}

void lfstack_push(struct lfstack *s, struct lfnode *node) {
  mgc_check(unpack(pack(node, 0)) == node, "lfstack: node %p cannot be packed",
            (void *)node);
  node->pushcnt++;
  uint64_t new = pack(node, node->pushcnt);
  uint64_t old = atomic_u64_load_relaxed(&s->head);
  do {
    atomic_u64_store_relaxed(&node->next, old);
    /* Release: the node's contents, to the acquires in lfstack_pop. */
  } while (!atomic_u64_cas_release(&s->head, &old, new));
}

struct lfnode *lfstack_pop(struct lfstack *s) {
  uint64_t old = atomic_u64_load_acquire(&s->head);
  while (old) {
    struct lfnode *node = unpack(old);
    uint64_t next = atomic_u64_load_relaxed(&node->next);
    if (atomic_u64_cas_acq_rel(&s->head, &old, next)) return node;
  }
  return NULL;
}
