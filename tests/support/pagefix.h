// SPDX-License-Identifier: MIT
/*
 * A page allocator for tests: real metadata memory, heap addresses that nobody
 * ever touches (pages are only numbers to it), and a vm whose `unused` records
 * what was given back instead of telling the kernel about those addresses.
 */
#ifndef MGC_TESTS_SUPPORT_PAGEFIX_H
#define MGC_TESTS_SUPPORT_PAGEFIX_H

#include "os/vm.h"
#include "page/pagealloc.h"
#include "support/fakesource.h"
#include <criterion/criterion.h>

struct pagefix {
  struct vm vm; /* vm_system with `unused` recorded; must be first */
  struct vm_ops ops;
  uintptr_t unused_base; /* the last call */
  size_t unused_bytes;   /* of all calls */
  size_t unused_calls;
  void (*on_unused)(struct pagefix *f); /* runs inside the call; may be NULL */
  struct fake_source src;
  struct persistent meta;
  struct memstat sys;
  struct pagealloc p;
};

static inline void pagefix_unused(struct vm *vm, void *at, size_t n) {
  struct pagefix *f = (struct pagefix *)(void *)vm;
  f->unused_base = (uintptr_t)at;
  f->unused_bytes += n;
  f->unused_calls++;
  if (f->on_unused) f->on_unused(f);
}

/* Everything but the page allocator itself. */
static inline void pagefix_prepare(struct pagefix *f) {
  *f = (struct pagefix){.vm = *vm_system(), .ops = *vm_system()->ops};
  f->ops.unused = pagefix_unused;
  f->vm.ops = &f->ops;
  f->vm.page_size = 4096;
  f->vm.hugepage_size = 2u << 20;
  fake_source_init(&f->src, 0);
  persistent_init(&f->meta, &f->src.src);
}

static inline void pagefix_init(struct pagefix *f, struct addrwindow w) {
  pagefix_prepare(f);
  int err = pagealloc_init(&f->p, &f->vm, &f->meta, &f->sys, w);
  cr_assert_eq(err, 0, "pagealloc_init: %d", err);
}

static inline void pagefix_destroy(struct pagefix *f) {
  pagealloc_destroy(&f->p);
}

#define CHUNK(i) ((uintptr_t)(i)*PALLOC_CHUNK_BYTES)
#define WINDOW_ALL ((struct addrwindow){0, 48})

static inline void pagefix_grow(struct pagefix *f, uintptr_t chunk,
                                size_t nchunks) {
  cr_assert(pagealloc_grow(&f->p, CHUNK(chunk), nchunks * PALLOC_CHUNK_BYTES));
}

#endif
