// SPDX-License-Identifier: MIT
/*
 * The part of a thread's cache that inlined allocation touches. Programs include
 * <mallocgc.h>; nothing here is called by name.
 *
 * A run is a stretch of consecutive free slots of one span class that belongs to
 * this thread. Taking an object is one addition to `cur` and one comparison with
 * `end`. The addition is a single instruction, so that a stop signal sees either
 * all of it or nothing, and a stopped world may empty a run at any point
 * (cur = end = 0): a thread that had already added finds its slot still marked
 * allocated, or finds end == 0 and asks again.
 */
#ifndef MALLOCGC_RUN_H
#define MALLOCGC_RUN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mgc_type;

#define MGC_NUM_SPAN_CLASSES 136

struct mgc_run {
  uintptr_t cur; /* next free slot; may pass end, never wraps */
  uintptr_t end; /* past the last slot of the run; 0: no run */
  /* What [cur, end) is ready for: slots carry this type's pointer mask and are
   * zero. Runs without pointers: &mgc_run_zeroed (zero) or &mgc_run_raw (not
   * zero). Never NULL in a run that has slots. */
  const struct mgc_type *type;
  uint32_t elemsize; /* slot size; const once the cache exists */
  uint32_t reserved;
};

struct mgc_cache {
  struct mgc_run run[MGC_NUM_SPAN_CLASSES];
};

/* The calling thread's cache; before the first allocation, a shared empty one
 * whose run types match nothing. */
extern __thread struct mgc_cache *mgc_tls
    __attribute__((tls_model("initial-exec"), visibility("default")));

/* Markers for mgc_run.type; their contents mean nothing. */
extern const char mgc_run_zeroed_marker[1]
    __attribute__((visibility("default")));
extern const char mgc_run_raw_marker[1] __attribute__((visibility("default")));
#define mgc_run_zeroed                                                         \
  ((const struct mgc_type *)(const void *)mgc_run_zeroed_marker)
#define mgc_run_raw ((const struct mgc_type *)(const void *)mgc_run_raw_marker)

/* Adds n to r->cur and returns the value before, in one instruction as far as
 * signals of this thread can tell. */
static inline uintptr_t mgc_run_bump(struct mgc_run *r, uintptr_t n) {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  __asm__ volatile("xaddq %0, %1" : "+r"(n), "+m"(r->cur) : : "cc");
  return n;
#else
  return __atomic_fetch_add(&r->cur, n, __ATOMIC_RELAXED);
#endif
}

/* Takes a slot of r; 0 when the run is used up. `end` is read after the addition:
 * a stop in between has made it 0. */
static inline int mgc_run_take(struct mgc_run *r, uintptr_t elemsize,
                               uintptr_t *slot) {
  uintptr_t p = mgc_run_bump(r, elemsize);
  uintptr_t end =
      __atomic_load_n((volatile uintptr_t *)&r->end, __ATOMIC_RELAXED);
  *slot = p;
  return __builtin_expect(p + elemsize <= end, 1) != 0;
}

#ifdef __cplusplus
}
#endif
#endif
