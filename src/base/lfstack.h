// SPDX-License-Identifier: MIT
/*
 * Lock-free stack of nodes that are never unmapped (Go: lfstack.go). The head
 * packs a 48-bit address and a 16+3-bit push count against ABA; nodes are 8-byte
 * aligned.
 */
#ifndef MGC_BASE_LFSTACK_H
#define MGC_BASE_LFSTACK_H

#include "base/atomic.h"
#include <stddef.h>

struct lfnode {
  struct atomic_u64 next;
  uint64_t pushcnt;
};

struct lfstack {
  struct atomic_u64 head;
};

void lfstack_push(struct lfstack *s, struct lfnode *node);
/* NULL when empty. */
struct lfnode *lfstack_pop(struct lfstack *s);
static inline bool lfstack_empty(const struct lfstack *s) {
  return atomic_u64_load_acquire(&s->head) == 0;
}

#endif
