// SPDX-License-Identifier: MIT
/*
 * See fixalloc.h. A free object's first word is the link to the next one: who
 * reads an object through a stale pointer must not trust its first word.
 */
#include "base/fixalloc.h"

#include "base/bits.h"
#include "base/fatal.h"
#include <string.h>

struct fixalloc_link {
  struct fixalloc_link *next;
};

void fixalloc_init(struct fixalloc *f, size_t size,
                   void (*first)(void *arg, void *p), void *arg,
                   struct persistent *source, struct memstat *stat) {
  size = align_up(size, PTR_BYTES);
  mgc_check(size >= sizeof(struct fixalloc_link) && size <= FIXALLOC_CHUNK,
            "fixalloc_init: size=%zu", size);
  *f = (struct fixalloc){
      .size = size,
      .first = first,
      .arg = arg,
      .source = source,
      .nalloc = (uint32_t)(FIXALLOC_CHUNK / size * size),
      .stat = stat,
      .zero = true,
  };
}

/* Objects whose size is a multiple of a cache line may be declared aligned to
 * one, and so on down: give the chunk the size's own alignment. */
static size_t chunk_align(size_t size) {
  size_t align = size & -size;
  return align < CACHELINE ? align : CACHELINE;
}

static void *take_new(struct fixalloc *f) {
  if (f->nchunk < f->size) {
    void *chunk =
        persistent_alloc(f->source, f->nalloc, chunk_align(f->size), f->stat);
    if (!chunk) return NULL;
    f->chunk = (uintptr_t)chunk;
    f->nchunk = f->nalloc;
  }
  void *p = (void *)f->chunk;
  f->chunk += f->size;
  f->nchunk -= (uint32_t)f->size;
  if (f->first) f->first(f->arg, p);
  return p;
}

void *fixalloc_alloc(struct fixalloc *f) {
  void *p = f->list;
  if (p) {
    f->list = f->list->next;
    if (f->zero) memset(p, 0, f->size);
  } else {
    p = take_new(f);
    if (!p) return NULL;
  }
  f->inuse += f->size;
  return p;
}

void fixalloc_free(struct fixalloc *f, void *p) {
  mgc_check(f->inuse >= f->size, "fixalloc_free: more frees than allocations");
  struct fixalloc_link *link = p;
  f->inuse -= f->size;
  link->next = f->list;
  f->list = link;
}
