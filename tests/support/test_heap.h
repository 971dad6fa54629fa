// SPDX-License-Identifier: MIT
/* A heap for tests, in memory of its own, apart from the default one. */
#ifndef MGC_TESTS_SUPPORT_TEST_HEAP_H
#define MGC_TESTS_SUPPORT_TEST_HEAP_H

#include "heap/heap.h"
#include "mallocgc/type.h"
#include "os/vm.h"
#include <string.h>

/* Never unmapped, like what the heap itself maps; leak checkers do not look. */
static inline struct heap *test_heap_raw(void) {
  struct vm *vm = vm_system();
  return vm->ops->alloc(vm, align_up(sizeof(struct heap), vm->page_size), NULL);
}

/* NULL when heap_init fails. cfg.vm NULL: the system's. */
static inline struct heap *test_heap_cfg(struct heap_config cfg) {
  struct heap *h = test_heap_raw();
  if (!cfg.vm) cfg.vm = vm_system();
  if (!cfg.classes) cfg.classes = &sizeclasses_heap;
  if (cfg.address_space_left == 0) cfg.address_space_left = UINT64_MAX;
  return heap_init(h, &cfg, NULL, 0) == HEAP_INIT_OK ? h : NULL;
}

/* A heap in the smallest window: cheap to make and to verify. */
static inline struct heap *test_heap(void) {
  return test_heap_cfg((struct heap_config){.opt = {.window_log2 = 34}});
}

/* A conservative word for scan runs: all words are pointers. */
#define TEST_TYPE_WORDS (&mgc_type_conservative)

#endif
