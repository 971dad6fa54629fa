// SPDX-License-Identifier: MIT
/*
 * Allocation: the path from a request to a slot. The overview is at the head of
 * malloc.c. Every function here attaches the calling thread if need be, returns
 * NULL when memory is exhausted (errno is the face's business), and may collect
 * unless said otherwise.
 */
#ifndef MGC_ALLOC_MALLOC_H
#define MGC_ALLOC_MALLOC_H

#include "alloc/thread.h"
#include "heap/heap.h"
#include "mallocgc/type.h"

/* What objects of size 0 point to. */
extern char zerobase[16];

/* The class for size bytes (1 to MAX_SMALL_SIZE) whose slots are aligned to
 * align (a power of two up to the page size); 0: none, use whole pages. */
unsigned alloc_sizeclass(const struct heap *h, size_t size, size_t align);

/**
 * The heart (Go: mallocgc): size bytes for a value, or an array of values, of
 * type; type NULL: no pointers. align 0: the type's, or what size implies.
 *
 * Units:   bytes.
 * Returns: the object, zero when needzero or when it holds pointers.
 * Errors:  NULL when memory is exhausted.
 * Threads: any. May collect.
 */
void *mallocgc(size_t size, const struct mgc_type *type, size_t align,
               bool needzero);

/**
 * One object for a slot of inlined allocation, which is set up for the fast path
 * by its first call here.
 *
 * Units:   none.  Errors: NULL.  Threads: any. May collect.
 */
void *alloc_from_slot(struct mgc_typeslot *slot);

/* The small, tiny and large parts of mallocgc, for realloc and the faces. type
 * is a descriptor with pointers for scan classes and ignored for noscan ones. */
void *alloc_small(struct thread *t, struct spanclass spc,
                  const struct mgc_type *type, bool zero);
void *alloc_tiny(struct thread *t, size_t size, size_t align);
void *alloc_large(struct thread *t, size_t size, size_t align,
                  const struct mgc_type *type, bool zero);

/* Has ask (NULL: nobody) called when memory cannot be had and a collection has not
 * helped. Any thread, outside the allocator. */
void alloc_set_out_of_memory(struct thread *t,
                             bool (*ask)(size_t size, void *arg), void *arg);

/* The alignment that an object of unknown contents needs: that of the largest
 * C type that fits in it (C23 7.24.3), at most 16. */
static inline size_t alloc_natural_align(size_t size) {
  if (size >= 16) return 16;
  return size == 0 ? 1 : (size_t)1 << (bit_length64(size) - 1);
}

#endif
