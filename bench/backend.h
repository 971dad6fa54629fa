// SPDX-License-Identifier: MIT
/*
 * One program, three ways to manage memory, chosen at compile time:
 *
 *   BENCH_MALLOCGC  the collected heap of this project, typed objects
 *   BENCH_LIBGC     bdwgc as its users use it: GC_MALLOC, GC_MALLOC_ATOMIC
 *   BENCH_MALLOC    malloc, and free by hand (or by LD_PRELOAD, another malloc)
 *
 * Objects from NEW and NEW_NOSCAN are not assumed to be zero, since malloc's are
 * not: programs fill them in. Arrays from NEW_ARRAY are. FREE does nothing where there
 * is a collector. STORE is for pointers that are stored into objects later than their
 * first: mallocgc's write barrier, which is a plain store unless BENCH_BARRIERS is in
 * the environment.
 */
#ifndef MGC_BENCH_BACKEND_H
#define MGC_BENCH_BACKEND_H

#include "input.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(BENCH_MALLOCGC)

#include <mallocgc.h>
#define BACKEND "mallocgc"
#define COLLECTED 1
#define POINTERS(...) MGC_TYPE(__VA_ARGS__)
#define INIT() use_barriers_if_asked()
#define NEW(T) mgc_new(T)
#define NEW_ARRAY(T, n) mgc_new_array(T, n)
#define NEW_NOSCAN(n) mgc_new_noscan(n)
#define FREE(p) ((void)(p))
#define COLLECT() mgc_collect()
#define COLLECTOR_OFF() ((void)mgc_set_gc_percent(-1))
#ifdef MGC_HAS_STORE
#define STORE(slot, value) mgc_store(slot, value)
#endif

static inline void use_barriers_if_asked(void) {
  if (!getenv("BENCH_BARRIERS")) return;
#ifdef MGC_HAS_STORE
  if (mgc_use_barriers()) return;
#endif
  fprintf(stderr, "no write barriers to be had\n");
  exit(1);
}

/* Bytes of objects that are alive as far as the collector can tell. */
static inline uint64_t live_bytes(void) {
  struct mgc_memstats s;
  mgc_collect();
  mgc_read_memstats(&s);
  return s.heap_alloc;
}

#elif defined(BENCH_LIBGC)

#define GC_THREADS /* its pthread_create */
#include <gc.h>
#define BACKEND "libgc"
#define COLLECTED 1
#define POINTERS(...) struct bench_no_types
#define INIT() GC_INIT()
#define NEW(T) ((T *)GC_MALLOC(sizeof(T)))
#define NEW_ARRAY(T, n) ((T *)GC_MALLOC((n) * sizeof(T)))
#define NEW_NOSCAN(n) GC_MALLOC_ATOMIC(n)
#define FREE(p) ((void)(p))
#define COLLECT() GC_gcollect()
#define COLLECTOR_OFF() GC_disable()

static inline uint64_t live_bytes(void) {
  GC_gcollect();
  GC_gcollect(); /* sweeping is lazy: the second one finishes the first's */
  return GC_get_heap_size() - GC_get_free_bytes() - GC_get_unmapped_bytes();
}

#elif defined(BENCH_MALLOC)

#define BACKEND "malloc"
#define COLLECTED 0
#define POINTERS(...) struct bench_no_types
#define INIT() ((void)0)
#define NEW(T) ((T *)malloc(sizeof(T)))
#define NEW_ARRAY(T, n) ((T *)calloc(n, sizeof(T)))
#define NEW_NOSCAN(n) malloc(n)
#define FREE(p) free(p)
#define COLLECT() ((void)0)
#define COLLECTOR_OFF() ((void)0)

#include <malloc.h>
static inline uint64_t live_bytes(void) { return mallinfo2().uordblks; }

#else
#error "define BENCH_MALLOCGC, BENCH_LIBGC or BENCH_MALLOC"
#endif

#ifndef STORE
#define STORE(slot, value) ((void)(*(slot) = (value)))
#endif

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Makes the compiler believe that p is used. */
static inline void use(const void *p) {
  __asm__ volatile("" : : "g"(p) : "memory");
}

static inline void *must(void *p) {
  if (__builtin_expect(p != NULL, 1)) return p;
  fprintf(stderr, BACKEND ": out of memory\n");
  exit(1);
}

#endif
