// SPDX-License-Identifier: MIT
/*
 * Where marking begins. Everything in the list is scanned conservatively, word
 * by word, and interior pointers count:
 *
 *   stacks     from each thread's stack pointer to the end of its stack, with the
 *              registers (world.c says how they come to be there)
 *   data       writable segments of the program and its shared objects, without
 *              what is read-only after relocation
 *   TLS        each thread's block of each module, and its descriptor, which has
 *              the values of pthread_setspecific
 *   added      ranges given by the program (gc_add_roots), and pins
 *
 * Ranges are cut into shards of ROOT_SHARD_BYTES so that markers share them. The
 * list lives in metadata memory and keeps its size from cycle to cycle; when it
 * cannot grow, the range is scanned at once (roots_add returns false).
 *
 * A thread whose stack pointer lies outside its stack is on a signal stack or a
 * coroutine's: what is mapped above that pointer is scanned, and all of the
 * thread's own stack.
 */
#ifndef MGC_GC_ROOTS_H
#define MGC_GC_ROOTS_H

#include "base/lock.h"
#include "base/persistent.h"
#include "gc/world.h"
#include "os/tls.h"

#define ROOT_SHARD_BYTES ((uintptr_t)256 << 10)
#define ROOTS_LATE 64 /* ranges that may find no place in the list */

struct root_range {
  uintptr_t lo, hi; /* multiples of 8 */
};

struct pin {
  uintptr_t object; /* 0: empty */
  uintptr_t count;
};

struct roots {
  /* This cycle's shards. */
  struct root_range *shard; /* (s) */
  size_t n, cap;            /* (s) */
  struct tls_module *tls;   /* (s) modules with thread-local variables */
  size_t ntls, tls_cap;     /* (s) */
  uint64_t stack_bytes, globals_bytes; /* (s) */
  /* Scans a range that found no place in the list. */
  struct root_range late[ROOTS_LATE]; /* (s) for passes after an overflow */
  size_t nlate;                       /* (s) */
  void (*scan_now)(void *arg, uintptr_t lo, uintptr_t hi); /* (c) */
  void *scan_arg;                                          /* (c) */

  struct mutex lock;        /* rank roots */
  struct root_range *added; /* guarded by lock */
  size_t nadded, added_cap; /* guarded by lock */
  struct pin *pins;         /* guarded by lock; open addressing */
  size_t npins, pins_cap;   /* guarded by lock; cap 0 or a power of two */

  struct tls_layout layout; /* (c) */
  struct persistent *meta;  /* (c) */
  struct memstat *stat;     /* (c) */
};

void roots_init(struct roots *r, struct persistent *meta, struct memstat *stat);

/* Any thread, inside the allocator. */
bool roots_add_range(struct roots *r, uintptr_t lo, uintptr_t hi);
void roots_remove_ranges(struct roots *r, uintptr_t lo, uintptr_t hi);
bool roots_pin(struct roots *r, uintptr_t object);
bool roots_unpin(struct roots *r, uintptr_t object);

/* Reads a word of each page of the data segments, so that none of them has its first
 * fault in a pause. With the loader's lock held, as below. */
void roots_touch(void);
/* Lists all roots. Stopped world, with the loader's lock held by the caller
 * (inside segments_visit). self_sp: where the caller's own stack is scanned
 * from; 0: the caller is a thread of the library, with no roots. */
void roots_collect(struct roots *r, struct world *w, uintptr_t self_sp);
/* Lists the stacks and registers alone. Stopped world; the loader's lock is not
 * needed. */
void roots_collect_stacks(struct roots *r, struct world *w);

#endif
