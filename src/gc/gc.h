// SPDX-License-Identifier: MIT
/*
 * The collector, as the faces and the allocator's start-up see it. How a cycle
 * runs is told in gc.c; how threads are stopped, in world.c.
 *
 * Every function that may wait for a collection says so with "waits": the
 * calling thread must be outside the allocator (in_alloc == 0) and hold no lock.
 * While it waits it counts as blocked, so that it does not hold up a stop.
 */
#ifndef MGC_GC_GC_H
#define MGC_GC_GC_H

#include "alloc/thread.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap;

/* Number of pauses that are remembered (Go: MemStats.PauseNs). */
#define GC_PAUSE_RING 256
/* Pauses by length, four slots to a power of two, from 1 us to 8 s. */
#define GC_PAUSE_SLOTS 96

struct gc_stats {
  uint32_t num_gc;         /* completed cycles */
  uint32_t num_forced;     /* of those, asked for by gc_collect */
  uint64_t pause_total_ns; /* all pauses since start */
  uint64_t num_pauses;     /* a cycle beside the program has several */
  uint64_t pause_max_ns;   /* the longest */
  uint64_t pause_hist[GC_PAUSE_SLOTS]; /* how many, by length: gc_pause_slot */
  uint64_t pause_ns[GC_PAUSE_RING];    /* newest at (num_gc + 255) % 256 */
  uint64_t pause_end[GC_PAUSE_RING];   /* wall clock, ns since 1970 */
  uint64_t last_gc;         /* wall clock of the last cycle's end, 0: none */
  uint64_t heap_marked;     /* bytes found alive by the last cycle */
  uint64_t objects_marked;  /* objects found alive by the last cycle */
  uint64_t next_gc;         /* heap_live at which the next cycle starts */
  uint64_t stack_bytes;     /* stacks scanned in the last cycle */
  uint64_t globals_bytes;   /* data segments, TLS and user roots likewise */
  uint64_t overflows;       /* mark work did not fit: extra passes, ever */
  double gc_cpu_fraction;   /* share of the process's processor time */
  int percent;              /* gc_set_percent, -1: off */
  int64_t memory_limit;     /* gc_set_memory_limit, INT64_MAX: none */
  uint32_t threads_stopped; /* signalled or found blocked in the last cycle */
  uint32_t threads_foreign; /* of those, never attached */
  uint32_t threads_skipped; /* foreign ones that could not be stopped */
};

/* Makes the collector of h: state, hooks of h and of thread_registry, the
 * stop signal's handler. The environment's options are in h->opt.
 * Returns: 0, or -ENOMEM, -EAGAIN (no signal to be had).
 * Threads: before h is shared. */
MGC_MUST_CHECK int gc_init(struct heap *h);

/* A complete cycle that starts after this call (Go: runtime.GC): the world is
 * marked, and everything is swept on return. Waits. Concurrent callers share a
 * cycle only when it began after both calls. */
void gc_collect(struct heap *h);

/* Hook heap_hooks.trigger: collects if heap_live is still at the trigger, after
 * waiting for a collection that is going on. Waits. */
void gc_trigger_hook(struct heap *h);
/* Hook heap_hooks.limit: collects, sweeps everything and takes back all caches.
 * Waits. */
void gc_limit_hook(struct heap *h);
/* Hook heap_hooks.sweep_credit. Inside the allocator; does not wait. */
void gc_sweep_credit_hook(struct heap *h, size_t span_bytes, size_t npages);

/* Sets GOGC and gives back the old value; negative: off (-1). Waits. */
int gc_set_percent(struct heap *h, int percent);
/* Sets the soft memory limit in bytes and gives back the old value; negative
 * only asks. INT64_MAX: none. Waits. */
int64_t gc_set_memory_limit(struct heap *h, int64_t bytes);
/* The same for the limit that heap_admit keeps. */
int64_t gc_set_hard_limit(struct heap *h, int64_t bytes);

/* The program stores by mgc_store from now on: cycles run beside it. False: there is no
 * thread for that. Waits. */
bool gc_use_barriers(struct heap *h);
/* The slow half of mgc_store. Any thread; t NULL: it has no record. */
void gc_barrier_record(struct heap *h, struct thread *t, uintptr_t was,
                       uintptr_t is);
/* The words of [p, p + n) are about to be overwritten, or are written to another place.
 * t inside the allocator, until that is done. Hook heap_hooks.before_clear. */
void gc_barrier_words(struct heap *h, struct thread *t, const void *p,
                      size_t n);

/* The words of [lo, hi) are roots from now on. Ranges may overlap and be added
 * several times. False: metadata memory is exhausted. Any thread, outside the
 * allocator. */
MGC_MUST_CHECK bool gc_add_roots(struct heap *h, void *lo, void *hi);
/* Forgets every range that lies wholly inside [lo, hi). */
void gc_remove_roots(struct heap *h, void *lo, void *hi);
/* The object that holds p is alive until as many gc_unpin calls with the same
 * p. False: metadata memory is exhausted. Any thread, outside the allocator. */
MGC_MUST_CHECK bool gc_pin(struct heap *h, void *p);
/* False when p is not pinned. */
bool gc_unpin(struct heap *h, void *p);

/* Between begin and end the calling thread t uses no heap memory and calls
 * nothing of the library: it may wait for as long as it likes without holding up
 * a collection, and is not signalled. What it held at begin stays alive. Nests.
 * end may wait for a collection that is going on. */
void gc_blocking_begin(struct thread *t);
/* The same for a caller that returns into the region: frames_end is the end of the
 * outermost frame that goes then. */
void gc_blocking_begin_from(struct thread *t, uintptr_t frames_end);
void gc_blocking_end(struct thread *t);

/* The slot of a pause of ns, and the longest that a slot holds. Pure. */
unsigned gc_pause_slot(int64_t ns);
uint64_t gc_pause_slot_end(unsigned slot);
/* The length, at most a quarter too long, that a share q of all pauses does not exceed;
 * 0: there were none. Units: nanoseconds. Pure. */
uint64_t gc_pause_quantile(const struct gc_stats *s, double q);
/* A consistent copy. Waits, unless the caller has stopped the world. */
void gc_read_stats(struct heap *h, struct gc_stats *out);

/* Collects, then returns all free pages to the system. Waits. */
void gc_free_os_memory(struct heap *h);

/* Stops all other threads: each stands outside the allocator, and every cache
 * may be read. Not nested. The caller is inside the allocator until
 * gc_start_world, and must take no lock that is not this library's. Waits. */
void gc_stop_world(struct heap *h);
void gc_start_world(struct heap *h);
/* Visits the attached threads, the caller included. Stopped world. */
void gc_forall_threads(struct heap *h,
                       void (*visit)(struct thread *t, void *arg), void *arg);

/* Around fork(), from pthread_atfork. prepare leaves every other thread outside
 * the allocator and keeps it out of it; parent lets them go on. child drops the
 * other threads' records and caches; library threads are started again when a
 * collection needs them. */
void gc_fork_prepare(struct heap *h);
void gc_fork_parent(struct heap *h);
void gc_fork_child(struct heap *h);

#endif
