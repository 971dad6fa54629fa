// SPDX-License-Identifier: MIT
/* What the heap has done and holds now (Go: runtime.MemStats). */
#ifndef MALLOCGC_STATS_H
#define MALLOCGC_STATS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MGC_NUM_SIZE_CLASSES 68
#define MGC_PAUSE_RING 256

struct mgc_size_stats {
  uint32_t size;    /* bytes of a slot */
  uint64_t mallocs; /* slots handed out, ever */
  uint64_t frees;   /* slots found dead or freed, ever */
};

/** Go's MemStats in snake case. All sizes are bytes, all times nanoseconds.
 * Counts are exact: the world is stopped while they are read. */
struct mgc_memstats {
  uint64_t alloc;       /* = heap_alloc */
  uint64_t total_alloc; /* bytes of objects allocated, ever */
  uint64_t sys;         /* bytes obtained from the OS: the sum of the *_sys */
  uint64_t mallocs;     /* objects allocated, ever, tiny ones included */
  uint64_t frees;       /* objects freed, ever, tiny ones included */
  uint64_t tiny_allocs; /* of mallocs: combined into an existing block */

  uint64_t heap_alloc;    /* bytes of objects not yet swept away */
  uint64_t heap_sys;      /* address space of the heap that is mapped */
  uint64_t heap_idle;     /* heap_sys - heap_inuse */
  uint64_t heap_inuse;    /* bytes in spans that hold objects */
  uint64_t heap_released; /* of heap_idle: given back to the OS */
  uint64_t heap_objects;  /* mallocs - frees */
  uint64_t heap_live;   /* what pacing counts: runs count when they are taken */
  uint64_t heap_marked; /* bytes the last mark found alive */

  uint64_t mspan_sys;  /* span structs and their bits */
  uint64_t mcache_sys; /* thread caches */
  uint64_t arena_sys;  /* bitmaps and page tables of the arenas */
  uint64_t gc_sys;     /* page allocator tables and mark queues */
  uint64_t other_sys;

  uint64_t next_gc;        /* heap_live at which the next collection starts */
  uint64_t last_gc;        /* end of the last one, since 1970 */
  uint64_t pause_total_ns; /* of the stops of collections */
  uint64_t pause_ns[MGC_PAUSE_RING]; /* the last ones: [(num_gc + 255) % 256] */
  uint64_t pause_end[MGC_PAUSE_RING]; /* since 1970 */
  /* Each stop on its own: a collection beside the program has two and more. */
  uint64_t num_pauses;
  uint64_t pause_max_ns; /* the longest */
  uint64_t pause_p50_ns,
      pause_p99_ns;       /* at most a quarter above the exact ones */
  uint32_t num_gc;        /* completed collections */
  uint32_t num_forced_gc; /* of these: by mgc_collect */
  double gc_cpu_fraction; /* of the processor time since the start */
  bool enable_gc;         /* false: mgc_set_gc_percent(-1) and no limit */
  uint32_t threads;       /* attached now */

  struct mgc_size_stats by_size[MGC_NUM_SIZE_CLASSES]; /* [0]: large objects */
};

/**
 * Reads the statistics. Stops the world for the time it takes to add up the
 * threads' caches (tens of microseconds for a few threads).
 *
 * Units:     see the fields.
 * Errors:    none; all zero when the heap cannot be initialised.
 * Threads:   any.
 * Ownership: *out is the caller's.
 * Go:        runtime.ReadMemStats.
 */
void mgc_read_memstats(struct mgc_memstats *out);

#ifdef __cplusplus
}
#endif
#endif
