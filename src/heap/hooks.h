// SPDX-License-Identifier: MIT
/*
 * The upcalls of the heap: what a lower layer asks of the layers above, filled in
 * at initialisation and constant afterwards. NULL means "nothing above": the
 * malloc face links no collector. All are called on slow paths only, without the
 * heap lock held unless said otherwise.
 */
#ifndef MGC_HEAP_HOOKS_H
#define MGC_HEAP_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap;
struct mspan;

struct heap_hooks {
  /* heap_live has reached gc_trigger: the collector may run on the calling
   * thread before this returns, or, while it marks beside the program, have it help. The caller holds no lock, no run and is not
   * inside the allocator (thread->in_alloc == 0). */
  void (*trigger)(struct heap *h);
  /* Memory could not be had: collect, and take back all caches. The same conditions
   * as trigger. */
  void (*limit)(struct heap *h);
  /* A span of span_bytes is about to be taken: pay sweeping debt first (at least
   * npages). May sweep spans; never blocks. */
  void (*sweep_credit)(struct heap *h, size_t span_bytes, size_t npages);
  /* Words of an object that may be pointers are about to be overwritten: whoever marks
   * beside the program must hear of what they point to. Inside the allocator, and the
   * caller stays there until they are. */
  void (*before_clear)(struct heap *h, void *p, size_t n);
  /* The heap is about to have the pages of [base, base + n); false: it must not.
   * With the heap lock. */
  bool (*growing)(struct heap *h, uintptr_t base, size_t n);
  /* mspan_sweep found object i of s dead and it has specials: run or queue them.
   * Returns true when the object must live on (finalizer). Unset until there are
   * specials. */
  bool (*special_dead)(struct heap *h, struct mspan *s, unsigned i);
};

#endif
