// SPDX-License-Identifier: MIT
/* See persistent.h. */
#include "base/persistent.h"

#include "base/bits.h"
#include "base/fatal.h"
#include <stdint.h>

#define CHUNK ((size_t)256 << 10)
/* At a quarter of a chunk and more, sharing one would waste more than it saves
 * (Go's maxBlock). */
#define MAX_SHARED ((size_t)64 << 10)
#define SOURCE_UNIT ((size_t)4096) /* see memsource.h */

void persistent_init(struct persistent *p, struct memsource *src) {
  *p = (struct persistent){.src = src};
  mutex_init(&p->lock, LOCKRANK_persistent);
}

/* From the current chunk, or NULL when it has no room. */
static void *take(struct persistent *p, size_t n, size_t align)
    MGC_REQUIRES(p->lock) {
  size_t skip = align_up((uintptr_t)p->chunk, align) - (uintptr_t)p->chunk;
  if (p->left < n || p->left - n < skip) return NULL;
  void *result = p->chunk + skip;
  p->chunk += skip + n;
  p->left -= skip + n;
  return result;
}

static void *alloc_shared(struct persistent *p, size_t n, size_t align) {
  mutex_lock(&p->lock);
  void *result = take(p, n, align);
  if (!result) {
    char *chunk = p->src->alloc(p->src, CHUNK, NULL);
    if (chunk) {
      p->chunk = chunk;
      p->left = CHUNK;
      result = take(p, n, align);
    }
  }
  mutex_unlock(&p->lock);
  return result;
}

void *persistent_alloc(struct persistent *p, size_t n, size_t align,
                       struct memstat *stat) {
  if (align == 0) align = PTR_BYTES;
  mgc_check(n > 0 && is_pow2(align) && align <= SOURCE_UNIT,
            "persistent_alloc: n=%zu align=%zu", n, align);
  void *result;
  if (n < MAX_SHARED)
    result = alloc_shared(p, n, align);
  else if (n > SIZE_MAX - SOURCE_UNIT)
    result = NULL;
  else
    result = p->src->alloc(p->src, align_up(n, SOURCE_UNIT), NULL);
  if (result) memstat_add(stat, (int64_t)n);
  return result;
}
