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
   * thread before this returns. The caller holds no lock, no run and is not
   * inside the allocator (thread->in_alloc == 0). */
  void (*trigger)(struct heap *h);
  /* Memory could not be had: collect, give back, anything. True: try again. The
   * same conditions as trigger. attempt counts from 0. */
  bool (*limit)(struct heap *h, size_t bytes, int attempt);
  /* A span of span_bytes is about to be taken: pay sweeping debt first (at least
   * npages). May sweep spans; never blocks. */
  void (*sweep_credit)(struct heap *h, size_t span_bytes, size_t npages);
  /* Marking is running and bytes were allocated (concurrent collector only;
   * unset by the stop-the-world collector). */
  void (*assist)(struct heap *h, size_t bytes);
  /* The arena at base has been made and is about to get pages; false: it must
   * not, and the hook is called again the next time. With the heap lock. */
  bool (*arena_added)(struct heap *h, uintptr_t base);
  /* mspan_sweep found object i of s dead and it has specials: run or queue them.
   * Returns true when the object must live on (finalizer). Unset until there are
   * specials. */
  bool (*special_dead)(struct heap *h, struct mspan *s, unsigned i);
};

#endif
