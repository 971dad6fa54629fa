// SPDX-License-Identifier: MIT
/* A hardened allocator on a small heap of its own, with seeded randomness. */
#ifndef MGC_TESTS_HARDENTEST_H
#define MGC_TESTS_HARDENTEST_H

#include "face/malloc/harden.h"
#include "support/rng.h"
#include "support/test_heap.h"

#include <criterion/criterion.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline void ht_fill(void *arg, void *buf, size_t n) {
  for (size_t i = 0; i < n; i++) ((uint8_t *)buf)[i] = (uint8_t)rng_u64(arg);
}

static inline struct harden *ht_new_on(struct heap *h, struct rng *r) {
  struct vm *vm = vm_system();
  struct harden *hd =
      vm->ops->alloc(vm, align_up(sizeof *hd, vm->page_size), NULL);
  harden_init(hd, h, NULL, NULL, r ? ht_fill : NULL, r);
  return hd;
}

static inline struct harden *ht_new(struct rng *r) {
  struct heap *h = test_heap_cfg((struct heap_config){
      .classes = &sizeclasses_malloc, .opt = {.window_log2 = 34}});
  cr_assert_not_null(h);
  return ht_new_on(h, r);
}

/* Whether a byte can be read, asked of the kernel: sanitizers keep SIGSEGV for
 * themselves. */
static inline bool ht_accessible(const void *p) {
  int fd[2];
  cr_assert_eq(pipe(fd), 0);
  bool ok = syscall(SYS_write, fd[1], p, (size_t)1) == 1;
  close(fd[0]);
  close(fd[1]);
  return ok;
}

/* What must succeed. */
static inline char *ht_take(struct harden *hd, size_t size) {
  struct harden_finding f;
  char *p = (char *)harden_take(hd, size, 16, &f);
  cr_assert_null(f.kind, "%s", f.kind);
  cr_assert_not_null(p);
  return p;
}

static inline struct mspan *ht_span(struct harden *hd, const void *p) {
  return span_of(&hd->env.heap->arenas, (uintptr_t)p);
}

static inline struct harden_finding ht_try_give(struct harden *hd, void *p) {
  return harden_give(hd, ht_span(hd, p), (uintptr_t)p);
}

static inline void ht_give(struct harden *hd, void *p) {
  struct harden_finding f = ht_try_give(hd, p);
  cr_assert_null(f.kind, "%s (%s)", f.kind, f.state);
}

static inline bool ht_is(const struct harden_finding *f, const char *kind) {
  return f->kind && strcmp(f->kind, kind) == 0;
}

#endif
