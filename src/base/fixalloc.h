// SPDX-License-Identifier: MIT
/*
 * Free-list allocator of fixed-size metadata objects (Go: mfixalloc.go). Chunks
 * of about 16 KiB come from persistentalloc and are never given back, so that an
 * object's memory stays an object of the same kind for ever. The caller locks.
 */
#ifndef MGC_BASE_FIXALLOC_H
#define MGC_BASE_FIXALLOC_H

#include "base/persistent.h"
#include <stdbool.h>
#include <stdint.h>

#define FIXALLOC_CHUNK 16384

struct fixalloc {
  size_t size;                       /* (c) */
  void (*first)(void *arg, void *p); /* (c) called once for each object */
  void *arg;                         /* (c) */
  struct persistent *source;         /* (c) */
  struct fixalloc_link *list;        /* free objects */
  uintptr_t chunk;
  uint32_t nchunk;      /* bytes left in chunk */
  uint32_t nalloc;      /* (c) bytes of a new chunk, a multiple of size */
  size_t inuse;         /* bytes handed out now */
  struct memstat *stat; /* (c) */
  bool zero;            /* zero objects that are used again; may be cleared */
};

/* size: at least a pointer, at most FIXALLOC_CHUNK. first may be NULL. */
void fixalloc_init(struct fixalloc *f, size_t size,
                   void (*first)(void *arg, void *p), void *arg,
                   struct persistent *source, struct memstat *stat);
/* NULL when memory is exhausted. */
void *fixalloc_alloc(struct fixalloc *f);
void fixalloc_free(struct fixalloc *f, void *p);

#endif
