// SPDX-License-Identifier: MIT
/* Allocation of metadata that is never freed (Go: persistentalloc). Bumps
 * through 256 KiB chunks; requests of 64 KiB and more go to the source. */
#ifndef MGC_BASE_PERSISTENT_H
#define MGC_BASE_PERSISTENT_H

#include "base/lock.h"
#include "base/memsource.h"

struct persistent {
  struct mutex lock;     /* rank persistent */
  struct memsource *src; /* (c) */
  char *chunk;           /* guarded by lock */
  size_t left;           /* guarded by lock */
};

void persistent_init(struct persistent *p, struct memsource *src);
/* Zeroed memory of n bytes aligned to align (a power of two up to 4096; 0: 8),
 * or NULL. Thread-safe. Counts the bytes it hands out into stat (may be NULL),
 * not the chunk. */
void *persistent_alloc(struct persistent *p, size_t n, size_t align,
                       struct memstat *stat);

#endif
