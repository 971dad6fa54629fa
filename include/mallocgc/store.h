// SPDX-License-Identifier: MIT
/*
 * Storing pointers to collected objects, for programs that help the collector to mark
 * beside them.
 *
 * A program that has called mgc_use_barriers and stores every pointer into collected
 * objects by these functions is stopped for some ten microseconds at the beginning and
 * at the end of a collection, whatever the size of its heap. Without that call they are
 * plain stores, and a collection stops the program while it marks.
 *
 * What needs a barrier: stores into objects of the heap. What needs none: variables, on
 * the stack, static or thread-local; memory that mgc_add_roots knows; objects without
 * pointers; the first store into a field of a new object, which is NULL.
 */
#ifndef MALLOCGC_STORE_H
#define MALLOCGC_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* mgc_store is there. */
#define MGC_HAS_STORE 1

/**
 * Promises that from now on every pointer is stored into collected objects by the
 * functions below, and lets collections mark beside the program.
 *
 * Units:   none.
 * Returns: true; false when this cannot be had (no thread for it): collections stop the
 *          program as before, and everything works.
 * Errors:  false only.
 * Threads: any; before other threads store.
 */
bool mgc_use_barriers(void);

/* Not 0 while a collection marks beside the program. Read by the inlined functions. */
extern uint32_t mgc_barrier_on __attribute__((visibility("default")));
/* The out-of-line half of mgc_store. Programs use that.
 * Units: none. Errors: none. Threads: any. */
void mgc_barrier_record(const void *was, const void *is);

/**
 * *slot = value, where slot is a pointer in a collected object.
 *
 * The store comes first and the question after it: a collection that begins between the
 * two begins with the new value in the heap, and the old one in a register of this
 * thread, where it looks; one that began before hears of both here.
 *
 * Units:   none.
 * Errors:  none.
 * Threads: any; an atomic store, release: who loads the pointer (acquire) finds what was
 *          written to the object before.
 * Go:      gcWriteBarrier.
 */
static inline void mgc_store(void *slot, const void *value) {
  const void **p = (const void **)slot;
  const void *was = __atomic_load_n(p, __ATOMIC_RELAXED);
  __atomic_store_n(p, value, __ATOMIC_RELEASE);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  if (__builtin_expect(__atomic_load_n(&mgc_barrier_on, __ATOMIC_RELAXED) != 0,
                       0))
    mgc_barrier_record(was, value);
}

/**
 * memmove for words that may be pointers, with barriers for what is overwritten and
 * what is written.
 *
 * Units:   n bytes.
 * Errors:  none.
 * Threads: any; no other thread may use dst meanwhile.
 * Go:      typedmemmove, typedslicecopy.
 */
void mgc_copy(void *dst, const void *src, size_t n);

/**
 * memset(dst, 0, n) for words that may be pointers, with a barrier.
 *
 * Units:   n bytes.
 * Errors:  none.
 * Threads: any.
 * Go:      memclrHasPointers.
 */
void mgc_clear(void *dst, size_t n);

#ifdef __cplusplus
}
#endif
#endif
