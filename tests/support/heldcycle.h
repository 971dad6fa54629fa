// SPDX-License-Identifier: MIT
/* A cycle beside the program, of the native face's heap, that is held open. */
#ifndef MGC_TEST_HELDCYCLE_H
#define MGC_TEST_HELDCYCLE_H

#include "alloc/init.h"
#include "gc/state.h"
#include <criterion/criterion.h>
#include <mallocgc.h>
#include <pthread.h>
#include <unistd.h>

static inline struct gc *gc(void) { return gc_of(heap_default()); }

static inline void *heldcycle_collect(void *arg) {
  (void)arg;
  mgc_collect();
  return NULL;
}

static pthread_t heldcycle_thread;

/* A cycle has read the roots, and does not mark yet. */
static inline void open_cycle(void) {
  atomic_u32_store_relaxed(&gc()->faults.hold, 1);
  cr_assert_eq(pthread_create(&heldcycle_thread, NULL, heldcycle_collect, NULL),
               0);
  while (!heap_is_marking(heap_default())) usleep(100);
}

static inline void close_cycle(void) {
  atomic_u32_store_release(&gc()->faults.hold, 0);
  futex_wake(&gc()->faults.hold, 1);
  pthread_join(heldcycle_thread, NULL);
}

#endif
