// SPDX-License-Identifier: MIT
/*
 * Threads that use the heap: registry, the calling thread's record, and the
 * in-allocator flag that defers stop signals.
 *
 * A thread attaches itself at its first allocation and detaches when it ends
 * (pthread key destructor). Its record is type-stable memory outside the
 * collected heap.
 *
 *   I1  a record is on the registry's list from attach to detach, and its thread
 *       is alive all that time
 *   I2  a thread that holds any lock ranked roots or higher has in_alloc > 0, so
 *       that a stopped world holds none of them. Locks ranked lower (init, gc,
 *       threads) are waited for with in_alloc == 0.
 *
 * Lock key: (o) owning thread  (t) registry lock  (a) atomic  (s) stopped world
 */
#ifndef MGC_ALLOC_THREAD_H
#define MGC_ALLOC_THREAD_H

#include "alloc/account.h"
#include "base/atomic.h"
#include "base/compiler.h"
#include "base/fixalloc.h"
#include "base/lock.h"
#include "heap/mcache.h"

enum thread_state {
  THREAD_RUNNING = 0,  /* runs program code; a stop must signal it */
  THREAD_STOPPED,      /* acknowledged a stop, waits for the restart */
  THREAD_BLOCKED,      /* in a declared blocking region: needs no signal */
  THREAD_BLOCKED_HELD, /* a stop found it blocked; leaving the region waits */
};

/* Words of the stack below a blocking region that are kept: the frames of the
 * library's functions that began it, with the registers they saved. Frames are
 * larger under a sanitizer. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define THREAD_SPILL_WORDS 256
#else
#define THREAD_SPILL_WORDS 48
#endif

/* Pointers that the write barrier keeps until they are handed to the markers. */
#define THREAD_BARRIER_MAX 250

struct thread {
  struct mcache *cache;           /* (o) */
  struct atomic_u32 in_alloc;     /* (o) nesting; its own handler reads it */
  struct atomic_u32 stop_pending; /* (a) a stop waits for this thread */
  struct atomic_u32 state;        /* (a) enum thread_state */
  struct atomic_u32 stop_epoch;   /* (a) last stop acknowledged; release */
  struct atomic_uptr sp; /* (a) when stopped or blocked: scan from here */
  uintptr_t stack_lo, stack_hi; /* (t) bounds of the stack */
  uintptr_t thread_pointer;     /* (t) for thread-local storage */
  int32_t tid;                  /* (t) kernel thread id */
  uint32_t blocking_depth;      /* (o) */
  bool dead;                    /* (s) ended without detaching: see world.c */
  bool is_main;                 /* (t) */
  bool asking;       /* (o) the program's function for lack of memory runs */
  struct heap *heap; /* (t) */
  struct thread *next, *prev;            /* (t) */
  uint32_t nspilled;                     /* (o), or read in a stopped world */
  uintptr_t spilled[THREAD_SPILL_WORDS]; /* the same: see gc_blocking_begin */
  /* (o) inside the allocator, or a stopped world: gc/barrier.c */
  uint32_t nbarrier;
  uintptr_t barrier[THREAD_BARRIER_MAX];
  /* (o) inside the allocator, or a stopped world: gc/pace.c */
  struct assist_account account;
  int64_t
      charged; /* of cache->allocated and live_debt, what account knows of */
};

struct thread_registry {
  struct mutex lock;       /* rank threads */
  struct thread *head;     /* (t) */
  struct atomic_u32 count; /* (a) written under lock */
  struct fixalloc alloc;   /* (t) */
  /* Filled in by the gc layer before the first thread attaches; NULL without a
   * collector. Called with the registry lock held; on_detach also for a thread that
   * ended without it, by another. */
  void (*on_attach)(struct thread *t);
  void (*on_detach)(struct thread *t);
  /* A stop was requested while t was inside the allocator: stop now. */
  void (*stop_self)(struct thread *t);
};

extern struct thread_registry thread_registry; /* of the default heap */

extern _Thread_local struct thread *thread_self
    __attribute__((tls_model("initial-exec")));

/* Prepares the registry for the default heap; false when the system has no
 * thread key left. At initialisation, once. */
bool thread_registry_init(struct heap *h);

/* The calling thread's record, attached if need be; NULL when the heap cannot be
 * initialised or metadata is exhausted. Any thread; not inside the allocator. */
struct thread *thread_get_slow(void);
static MGC_ALWAYS_INLINE struct thread *thread_get(void) {
  struct thread *t = thread_self;
  return likely(t != NULL) ? t : thread_get_slow();
}
/* Detaches the calling thread: its cache is flushed and given back. A later
 * allocation attaches it again. */
void thread_detach(void);

/* Takes the record of a thread that ended without detaching off the registry, and
 * its cache. Registry lock held, world stopped. */
void thread_bury(struct thread *t);

/* Between enter and leave the stop signal's handler does nothing, and the thread
 * stops at leave. Nests. A thread that is already asked to stop does not enter:
 * fork waits at this gate, and a tool that delays signals is served by it. The
 * signal fences keep the compiler, not another processor, in order: the reader
 * is a handler on this thread. */
static MGC_ALWAYS_INLINE void thread_enter(struct thread *t) {
  uint32_t n = atomic_u32_load_relaxed(&t->in_alloc);
  while (n == 0 && unlikely(atomic_u32_load_relaxed(&t->stop_pending)))
    thread_registry.stop_self(t);
  atomic_u32_store_relaxed(&t->in_alloc, n + 1);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
static MGC_ALWAYS_INLINE void thread_leave(struct thread *t) {
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  uint32_t n = atomic_u32_load_relaxed(&t->in_alloc) - 1;
  atomic_u32_store_relaxed(&t->in_alloc, n);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  if (n == 0 && unlikely(atomic_u32_load_relaxed(&t->stop_pending)))
    thread_registry.stop_self(t);
}

#endif
