// SPDX-License-Identifier: MIT
/*
 * The default heap (Go: schedinit's calls of mallocinit and gcinit). All of its
 * state is one mapping outside the collected heap and outside .bss, so that the
 * collector's root scan never meets its own tables.
 */
#include "alloc/init.h"
#include "alloc/thread.h"
#include "base/fatal.h"
#include "base/print.h"
#include <errno.h>
#include <stdlib.h>

struct atomic_ptr heap_default_ptr;

static struct mutex init_lock = MUTEX_INIT(init);
static bool init_failed;             /* guarded by init_lock */
static struct pacing_options pacing; /* written once under init_lock */
static struct vm_faulty faulty_vm;   /* option fail_vm */

static const char *read_environment(const char *name) {
  return secure_getenv(name);
}

static struct vm *choose_vm(const struct heap_options *opt) {
  if (opt->fail_vm == 0) return vm_system();
  return vm_faulty_init(&faulty_vm, vm_system(), opt->fail_vm,
                        opt->fail_vm_forever);
}

static struct heap *heap_make(void) {
  struct heap_config cfg = {.classes = &sizeclasses_heap};
  const char *bad = options_load(&cfg.opt, &pacing, NULL, read_environment);
  if (bad) print_fd(2, "mallocgc: warning: cannot understand all of %s\n", bad);
  cfg.vm = choose_vm(&cfg.opt);
  cfg.address_space_left = vm_address_space_left();

  char detail[200] = "no memory for the heap's own state";
  struct heap *h = cfg.vm->ops->alloc(
      cfg.vm, align_up(sizeof *h, cfg.vm->page_size), "mallocgc: heap state");
  if (h && heap_init(h, &cfg, detail, sizeof detail) == HEAP_INIT_OK) {
    if (thread_registry_init(h) && heap_upper_init(h, &pacing) == 0) return h;
    print_format(detail, sizeof detail, "no memory for the collector's state");
  }
  print_fd(2, "mallocgc: cannot start: %s\n", detail);
  return NULL;
}

static MGC_COLD struct heap *heap_default_slow(void) {
  mutex_lock(&init_lock);
  struct heap *h = atomic_ptr_load_acquire(&heap_default_ptr);
  if (!h && !init_failed) {
    h = heap_make();
    init_failed = h == NULL;
    /* release: pairs with the acquire in heap_default */
    atomic_ptr_store_release(&heap_default_ptr, h);
  }
  mutex_unlock(&init_lock);
  return h;
}

struct heap *heap_default(void) {
  struct heap *h = atomic_ptr_load_acquire(&heap_default_ptr);
  return likely(h != NULL) ? h : heap_default_slow();
}
