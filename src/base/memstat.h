// SPDX-License-Identifier: MIT
/*
 * Byte counters of memory obtained from the OS, one for each use (Go: sysMemStat
 * in mstats.go). Owned by struct heap; passed by pointer to whoever maps memory.
 */
#ifndef MGC_BASE_MEMSTAT_H
#define MGC_BASE_MEMSTAT_H

#include "base/atomic.h"
#include <stddef.h>

struct memstat {
  struct atomic_u64 bytes; /* relaxed: a statistic */
};

static inline void memstat_add(struct memstat *s, int64_t n) {
  if (s) atomic_u64_fetch_add_relaxed(&s->bytes, (uint64_t)n);
}
static inline uint64_t memstat_load(const struct memstat *s) {
  return atomic_u64_load_relaxed(&s->bytes);
}

#endif
