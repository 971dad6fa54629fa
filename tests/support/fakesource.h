// SPDX-License-Identifier: MIT
/* A struct memsource for tests: counts its calls and bytes, and fails from the
 * call numbered fail_at on (1 is the first; 0: never). */
#ifndef MGC_TESTS_SUPPORT_FAKESOURCE_H
#define MGC_TESTS_SUPPORT_FAKESOURCE_H

#include "base/memsource.h"
#include <sys/mman.h>

struct fake_source {
  struct memsource src;
  struct atomic_u64 ncalls;
  struct atomic_u64 bytes;
  uint64_t fail_at;
};

static inline void *fake_source_alloc(struct memsource *src, size_t n,
                                      struct memstat *stat) {
  struct fake_source *f = (struct fake_source *)(void *)src;
  uint64_t call = atomic_u64_fetch_add_relaxed(&f->ncalls, 1) + 1;
  if (f->fail_at && call >= f->fail_at) return NULL;
  void *p =
      mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  atomic_u64_fetch_add_relaxed(&f->bytes, n);
  memstat_add(stat, (int64_t)n);
  return p;
}

static inline void fake_source_init(struct fake_source *f, uint64_t fail_at) {
  *f = (struct fake_source){.src = {.alloc = fake_source_alloc},
                            .fail_at = fail_at};
}

#endif
