// SPDX-License-Identifier: MIT
/*
 * Stopping the world (Go: stopTheWorldWithSema, with signals in the place of
 * preemption).
 *
 * A stop goes like this:
 *
 *   1  take the registry's lock, so that nobody attaches or detaches, and the
 *      lock that background threads work under
 *   2  epoch becomes odd
 *   3  for each attached thread: one that is in a declared blocking region is
 *      held there (BLOCKED -> BLOCKED_HELD) and not disturbed; for any other,
 *      `pending` grows by one and stop_pending is set; those that have not stopped
 *      a moment later get the signal
 *   4  sleep until `pending` is 0
 *   5  threads of the process that are neither attached nor ours are looked for
 *      and stopped too ("foreign" threads, below)
 *
 * The signal's handler acknowledges and waits for the epoch to become even. In
 * the allocator it does nothing: thread_leave finds stop_pending and stops there.
 * Who takes stop_pending from 1 to 0 owes the acknowledgement, so that a signal
 * that comes late, when its thread stopped by itself, finds nothing to do.
 *
 * What a stopped thread's registers hold is on its stack: the kernel stored them
 * in the signal frame, which lies above the handler's frame and below the red
 * zone of the interrupted function, so the range from the handler's stack
 * pointer up covers registers, red zone and stack. A thread that stops by itself
 * has its registers spilled by thread_call_spilled; one that begins a blocking
 * region keeps a copy of the frames that will be gone (THREAD_SPILL_WORDS).
 *
 * Foreign threads. A thread may hold heap references without having called the
 * library: its argument, for instance. When /proc/self/task has more entries
 * than there are attached and library threads, it is walked, and each unknown
 * thread gets the signal. The handler finds its slot by thread id. The walk is
 * repeated until it meets no new one, because a thread that still runs may start
 * another. A foreign thread that keeps the signal blocked is waited for
 * FOREIGN_PATIENCE_NS once, and from then on only looked at: what only such a
 * thread refers to is not kept alive. (A thread that blocks all signals and uses
 * the heap attaches itself by that, and a collection then waits for it, until it
 * next allocates or enters a blocking region.)
 *
 * Threads of the library have every signal blocked. Mark workers sleep outside
 * of marking; sweeper and scavenger work only with world.background held.
 *
 * ThreadSanitizer delays signals until the thread calls something that it
 * intercepts; stop_pending is therefore set by the stopper, and every entry and
 * exit of the allocator looks at it. What a thread wrote before a stop happens
 * before the collector's reads by `pending` (release, acquire), and what the
 * collector wrote before what the thread does next by `epoch`.
 *
 *   I1  stop_pending is set only by a stopper that will wait for the thread, or
 *       by the gate of fork
 *   I2  between world_stop and world_start nobody else changes the registry
 *   I3  the handler writes nothing but its thread's record or slot, `pending`,
 *       and its own stack
 */
#include "gc/world.h"

#include "base/bits.h"
#include "base/fatal.h"
#include "base/print.h"
#include "gc/gc.h"
#include "gc/scan.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/procfs.h"
#include "os/signals.h"
#include "os/thread_linux.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

/* A new thread has all signals blocked for some microseconds (glibc); one that
 * sleeps after ten milliseconds blocks ours on purpose. One that could run may
 * only be waiting for a processor. */
#define FOREIGN_PATIENCE_NS 10000000
#define FOREIGN_RUNNABLE_PATIENCE_NS 2000000000
#define FOREIGN_POLL_NS 500000
#define SEND_TRIES 100
/* An attached thread that does not stop for so long is told of. */
#define STOP_WARNING_NS 10000000000
/*
 * To interrupt another processor, or to wake it up, takes 2 us, or 40 where it is a
 * virtual one. So a stop in three steps costs less where there are several: threads are
 * asked, and those that are about to leave the allocator stop by themselves; the others
 * get the signal; and both sides watch each other for a moment before they sleep.
 */
#define STOP_GRACE_NS 40000
#define STOP_SPIN_NS 120000
#define RESTART_SPIN_NS 100000
#define STOP_SPINS 64 /* between two looks at the clock */

/* What the handler needs; there is one collector in a process whose threads are
 * stopped. Set before the signal is claimed. */
static struct atomic_ptr handler_world;

static struct world *the_world(void) {
  return atomic_ptr_load_acquire(&handler_world);
}

/* --- the threads' side --- */

static bool is_stopping(uint32_t epoch) { return (epoch & 1) != 0; }

static void acknowledge(struct world *w) {
  /* release: what this thread wrote, to the stopper's acquire in await_all */
  if (atomic_u32_fetch_sub_acq_rel(&w->pending, 1) == 1)
    futex_wake(&w->pending, 1);
}

/* True: the epoch is another one. */
static bool watch_epoch(const struct world *w, uint32_t epoch) {
  int64_t end = clock_nanotime() + RESTART_SPIN_NS;
  do {
    for (int i = 0; i < STOP_SPINS; i++) {
      if (atomic_u32_load_acquire(&w->epoch) != epoch) return true;
      cpu_relax();
    }
    thread_yield(); /* the collector may be waiting for this processor */
  } while (clock_nanotime() < end);
  return false;
}

static void await_restart(struct world *w, uint32_t epoch) {
  if (atomic_u32_load_relaxed(&w->few) && watch_epoch(w, epoch)) return;
  /* acquire: pairs with the release in world_start */
  while (atomic_u32_load_acquire(&w->epoch) == epoch)
    futex_wait(&w->epoch, epoch, -1);
}

/* Stops t, the calling thread, which owes an acknowledgement. */
static void stop_here(struct world *w, struct thread *t, uintptr_t sp) {
  /* The epoch cannot change before we acknowledge. */
  uint32_t epoch = atomic_u32_load_acquire(&w->epoch);
  /* The signal may find the thread at the start of a blocking region. */
  uint32_t state = atomic_u32_load_relaxed(&t->state);
  uintptr_t blocked_sp = atomic_uptr_load_relaxed(&t->sp);
  atomic_uptr_store_relaxed(&t->sp, sp);
  atomic_u32_store_relaxed(&t->stop_epoch, epoch);
  atomic_u32_store_release(&t->state, THREAD_STOPPED);
  acknowledge(w);
  await_restart(w, epoch);
  atomic_u32_fetch_add_relaxed(&w->resumed, 1);
  atomic_uptr_store_relaxed(&t->sp, blocked_sp);
  atomic_u32_store_release(&t->state, state);
}

static bool take_pending(struct thread *t) {
  uint32_t expect = 1;
  return atomic_u32_cas_acq_rel(&t->stop_pending, &expect, 0);
}

static struct foreign *find_waiting_slot(struct world *w) {
  int tid = 0;
  struct foreign_block *b = atomic_ptr_load_acquire(&w->foreign);
  for (; b; b = atomic_ptr_load_acquire(&b->next)) {
    for (unsigned i = 0; i < FOREIGN_PER_BLOCK; i++) {
      struct foreign *f = &b->slot[i];
      if (atomic_u32_load_acquire(&f->state) != FOREIGN_WAITING) continue;
      if (!tid) tid = thread_id();
      if (atomic_i32_load_relaxed(&f->tid) == tid) return f;
    }
  }
  return NULL;
}

static void stop_foreign(struct world *w, uintptr_t sp) {
  struct foreign *f = find_waiting_slot(w);
  uint32_t epoch = atomic_u32_load_acquire(&w->epoch);
  uint32_t expect = FOREIGN_WAITING;
  if (!f || !is_stopping(epoch)) return;
  atomic_uptr_store_relaxed(&f->sp, sp);
  atomic_uptr_store_relaxed(&f->thread_pointer, arch_thread_pointer());
  /* The stopper may give up waiting at the same moment. */
  if (!atomic_u32_cas_acq_rel(&f->state, &expect, FOREIGN_STOPPED)) return;
  acknowledge(w);
  await_restart(w, epoch);
}

static void on_signal(int signo, siginfo_t *info, void *context) {
  struct world *w = the_world();
  struct thread *t = thread_self;
  uintptr_t sp = arch_stack_pointer();
  int saved = errno;
  (void)signo, (void)info, (void)context;
  if (t && atomic_u32_load_relaxed(&t->in_alloc)) return;
  if (!w || !is_stopping(atomic_u32_load_acquire(&w->epoch))) return;
  if (t && take_pending(t))
    stop_here(w, t, sp);
  else
    stop_foreign(w, sp);
  errno = saved;
}

static void stop_self_spilled(void *arg, uintptr_t sp) {
  struct thread *t = arg;
  struct world *w = the_world();
  while (atomic_u32_load_acquire(&w->gate)) futex_wait(&w->gate, 1, -1);
  if (is_stopping(atomic_u32_load_acquire(&w->epoch)) && take_pending(t))
    stop_here(w, t, sp);
}

static void on_stop_self(struct thread *t) {
  int saved = errno;
  while (atomic_u32_load_acquire(&t->stop_pending))
    thread_call_spilled(stop_self_spilled, t);
  errno = saved;
}

static void on_attach(struct thread *t) {
  struct world *w = the_world();
  (void)t;
  signal_unblock(w->signo);
}

struct spill {
  struct thread *t;
  uintptr_t end; /* of the library's frames that are about to go */
};

static void copy_spilled(void *arg, uintptr_t sp) {
  const struct spill *spill = arg;
  struct thread *t = spill->t;
  uintptr_t n = THREAD_SPILL_WORDS;
  if ((spill->end - sp) / PTR_BYTES < n) n = (spill->end - sp) / PTR_BYTES;
  const uintptr_t *from = (const uintptr_t *)align_up(sp, PTR_BYTES);
  for (uintptr_t i = 0; i < n; i++) t->spilled[i] = scan_load(&from[i]);
  t->nspilled = (uint32_t)n;
  /* The frames that are in the copy may be overwritten in the region. */
  atomic_uptr_store_relaxed(&t->sp, sp);
}

void gc_blocking_begin(struct thread *t) {
  /* The callers' frames stay: they wait in the region. */
  gc_blocking_begin_from(t, (uintptr_t)__builtin_frame_address(0) + 16);
}

void gc_blocking_begin_from(struct thread *t, uintptr_t frames_end) {
  if (t->blocking_depth++ > 0) return;
  struct spill spill = {t, frames_end};
  thread_call_spilled(copy_spilled, &spill);
  /* release: sp and the copy, to the stopper's acquire in stop_attached;
   * sequentially consistent with it, so that either it sees the state or we see
   * its request. */
  atomic_u32_store_seq_cst(&t->state, THREAD_BLOCKED);
  /* Asked to stop before it was seen as blocked: it still owes the answer. */
  if (unlikely(atomic_u32_load_seq_cst(&t->stop_pending)) &&
      atomic_u32_load_relaxed(&t->in_alloc) == 0)
    on_stop_self(t);
}

void gc_blocking_end(struct thread *t) {
  struct world *w = the_world();
  mgc_assert(t->blocking_depth > 0);
  if (--t->blocking_depth > 0) return;
  for (;;) {
    uint32_t epoch = atomic_u32_load_acquire(&w->epoch);
    uint32_t expect = THREAD_BLOCKED;
    /* acquire: pairs with the release in release_held */
    if (atomic_u32_cas_acq_rel(&t->state, &expect, THREAD_RUNNING)) break;
    futex_wait(&w->epoch, epoch, -1);
  }
  t->nspilled = 0;
}

/* --- the stopper's side --- */

int world_init(struct world *w, struct persistent *meta, struct memstat *stat) {
  w->meta = meta;
  w->stat = stat;
  w->nprocs = MGC_TSAN ? 1 : cpu_count();
  w->spins = w->nprocs > 1;
  mutex_init(&w->background, LOCKRANK_worker);
  struct foreign_block *b = persistent_alloc(meta, sizeof *b, 64, stat);
  if (!b) return -ENOMEM;
  atomic_ptr_store_release(&w->foreign, b);
  atomic_ptr_store_release(&handler_world, w);
  w->signo = signal_claim(SIGNAL_DEFAULT_STOP, on_signal);
  if (w->signo < 0) return w->signo;
  thread_registry.on_attach = on_attach;
  thread_registry.on_detach = NULL;
  thread_registry.stop_self = on_stop_self;
  return 0;
}

/* A program may have installed its own handler over ours: take another. */
static void check_signal(struct world *w) {
  if (likely(signal_is_ours(w->signo, on_signal))) return;
  int signo = signal_claim(SIGNAL_DEFAULT_STOP, on_signal);
  if (signo > 0) w->signo = signo;
}

/* The result of the signal: 0, or -ESRCH when the thread is gone. The queue of
 * real-time signals may be full (RLIMIT_SIGPENDING): whoever waits for the
 * thread sends again, and says so when that takes long. */
static int send_stop(const struct world *w, int tid) {
  int err = -EAGAIN;
  for (int i = 0; i < SEND_TRIES && err == -EAGAIN; i++) {
    if (i > 0) thread_yield();
    err = thread_signal(tid, w->signo);
  }
  return err == -EAGAIN ? 0 : err;
}

/* Gives the acknowledgement of a thread that ended without detaching. */
static void stop_dead(struct world *w, struct thread *t) {
  if (take_pending(t)) {
    atomic_uptr_store_relaxed(&t->sp, t->stack_hi);
    t->dead = true;
    acknowledge(w);
  }
}

/* A destructor that ran after ours attached the thread once more. Its record must
 * not be counted as a thread's, or a foreign one would not be looked for. */
static void bury_dead(void) {
  for (struct thread *t = thread_registry.head, *next; t; t = next) {
    next = t->next;
    if (t->dead) thread_bury(t);
  }
}

static void stop_attached(struct world *w, struct thread *t) {
  uint32_t expect = THREAD_BLOCKED;
  w->nstopped++;
  /* acquire: what the thread wrote before its blocking region */
  if (atomic_u32_cas_seq_cst(&t->state, &expect, THREAD_BLOCKED_HELD)) return;
  w->nsignalled++;
  atomic_u32_fetch_add_relaxed(&w->pending, 1);
  atomic_u32_store_seq_cst(&t->stop_pending, 1);
}

static void warn_slow(struct world *w) {
  for (struct thread *t = thread_registry.head; t; t = t->next) {
    uint64_t mask;
    if (!atomic_u32_load_acquire(&t->stop_pending)) continue;
    bool blocked =
        procfs_blocked_signals(t->tid, &mask) && ((mask >> (w->signo - 1)) & 1);
    print_fd(2,
             "mallocgc: warning: thread %d does not stop for a collection%s\n",
             t->tid, blocked ? ": it blocks the signal" : "");
  }
}

/* Signals again whoever has not stopped, and lets the dead go. */
static void prod_attached(struct world *w) {
  for (struct thread *t = thread_registry.head; t; t = t->next)
    if (atomic_u32_load_acquire(&t->stop_pending) && send_stop(w, t->tid) != 0)
      stop_dead(w, t);
}

/* Lets those go that have not stopped yet: they owe nothing any more. */
static void cancel_attached(struct world *w) {
  for (struct thread *t = thread_registry.head; t; t = t->next)
    if (take_pending(t)) acknowledge(w);
}

/* Until ns after the begin of the stop, or `pending` is n. */
static void watch_pending(const struct world *w, uint32_t n, int64_t ns) {
  do {
    for (int i = 0; i < STOP_SPINS; i++) {
      if (atomic_u32_load_acquire(&w->pending) == n) return;
      cpu_relax();
    }
    /* One that is to stop may be waiting for this processor: whoever woke us up. */
    thread_yield();
  } while (clock_nanotime() < w->began + ns);
}

/* False: not all have stopped in patience_ns, and the rest has been let go. */
static bool await_attached(struct world *w, int64_t patience_ns) {
  uint32_t n;
  int64_t waited = 0, step = 100000000;
  bool all = true;
  bool warned = false;
  if (w->spins) watch_pending(w, 0, STOP_SPIN_NS);
  /* acquire: what the threads wrote before they stopped */
  while ((n = atomic_u32_load_acquire(&w->pending)) != 0) {
    int64_t start = clock_nanotime();
    futex_wait(&w->pending, n, step);
    int64_t slept = clock_nanotime() - start;
    waited += slept;
    if (slept < step) continue;
    if (patience_ns >= 0 && waited > patience_ns) {
      cancel_attached(w);
      all = false;
    }
    prod_attached(w);
    if (waited > STOP_WARNING_NS && !warned) {
      warn_slow(w);
      warned = true;
    }
  }
  return all;
}

/* --- foreign threads --- */

static bool is_library_thread(const struct world *w, int tid) {
  for (unsigned i = 0; i < WORLD_MAX_LIBRARY; i++)
    if (atomic_i32_load_acquire(&w->library_tid[i]) == tid) return true;
  return false;
}

static bool is_attached(int tid) {
  for (struct thread *t = thread_registry.head; t; t = t->next)
    if (t->tid == tid) return true;
  return false;
}

/* The slot of tid, or a free one, or NULL without memory. */
static struct foreign *foreign_slot(struct world *w, int tid) {
  struct foreign *unused = NULL;
  struct foreign_block *b = atomic_ptr_load_relaxed(&w->foreign);
  for (;;) {
    for (unsigned i = 0; i < FOREIGN_PER_BLOCK; i++) {
      struct foreign *f = &b->slot[i];
      int have = atomic_i32_load_relaxed(&f->tid);
      if (have == tid) return f;
      if (have == 0 && !unused) unused = f;
    }
    struct foreign_block *next = atomic_ptr_load_relaxed(&b->next);
    if (!next) break;
    b = next;
  }
  if (unused) return unused;
  struct foreign_block *more =
      persistent_alloc(w->meta, sizeof *more, 64, w->stat);
  if (!more) return NULL;
  atomic_ptr_store_release(&b->next, more);
  return &more->slot[0];
}

static void foreign_forget(struct foreign *f) {
  atomic_i32_store_relaxed(&f->tid, 0);
  f->deaf = false;
}

/* A main thread that called pthread_exit stays in the list as a zombie. */
static bool is_zombie(int tid) {
  char state = procfs_task_state(tid);
  return state == 'Z' || state == 'X';
}

static int64_t foreign_patience(int tid) {
  char state = procfs_task_state(tid);
  return state == 'R' || state == 'D' ? FOREIGN_RUNNABLE_PATIENCE_NS
                                      : FOREIGN_PATIENCE_NS;
}

/* Whether tid will not take the signal: it blocks it, or has ended. */
static bool signal_is_blocked(const struct world *w, int tid, bool *gone) {
  uint64_t mask;
  *gone = !procfs_blocked_signals(tid, &mask);
  if (*gone) return false;
  return ((mask >> (w->signo - 1)) & 1) || is_zombie(tid);
}

/* Takes back the acknowledgement that f owes; false: it has just given it. */
static bool foreign_give_up(struct world *w, struct foreign *f) {
  uint32_t expect = FOREIGN_WAITING;
  if (!atomic_u32_cas_acq_rel(&f->state, &expect, FOREIGN_FREE)) return false;
  acknowledge(w);
  return true;
}

/* Signals tid if it is foreign and new to this stop. True: it was new. */
static bool stop_if_foreign(struct world *w, int tid, uint32_t epoch) {
  bool gone;
  if (tid == w->self_tid || is_attached(tid) || is_library_thread(w, tid))
    return false;
  struct foreign *f = foreign_slot(w, tid);
  if (!f) {
    w->nskipped++; /* no memory for its slot: the next walk would not help */
    return false;
  }
  if (f->seen == epoch && atomic_i32_load_relaxed(&f->tid) == tid) return false;
  f->seen = epoch;
  if (atomic_i32_load_relaxed(&f->tid) != tid) f->deaf = false;
  atomic_i32_store_relaxed(&f->tid, tid);
  w->nforeign++;
  if (f->deaf && signal_is_blocked(w, tid, &gone)) {
    w->nskipped++;
    return true;
  }
  atomic_u32_fetch_add_relaxed(&w->pending, 1);
  atomic_u32_store_release(&f->state, FOREIGN_WAITING);
  if (send_stop(w, tid) != 0 && foreign_give_up(w, f)) foreign_forget(f);
  return true;
}

static void for_each_slot(struct world *w,
                          void (*visit)(struct world *w, struct foreign *f,
                                        int64_t waited),
                          int64_t waited) {
  struct foreign_block *b = atomic_ptr_load_relaxed(&w->foreign);
  for (; b; b = atomic_ptr_load_relaxed(&b->next))
    for (unsigned i = 0; i < FOREIGN_PER_BLOCK; i++)
      visit(w, &b->slot[i], waited);
}

/* A foreign thread that has not answered: gone, deaf, or slow. */
static void prod_foreign(struct world *w, struct foreign *f, int64_t waited) {
  if (atomic_u32_load_acquire(&f->state) != FOREIGN_WAITING) return;
  int tid = atomic_i32_load_relaxed(&f->tid);
  if (is_library_thread(w, tid)) { /* it had just been made */
    if (foreign_give_up(w, f)) foreign_forget(f);
    return;
  }
  bool gone, blocked = signal_is_blocked(w, tid, &gone);
  if (!gone && !blocked) gone = send_stop(w, tid) != 0;
  if (gone) {
    if (foreign_give_up(w, f)) foreign_forget(f);
  } else if (waited >= FOREIGN_PATIENCE_NS && (blocked || MGC_TSAN) &&
             waited >= foreign_patience(tid)) {
    if (foreign_give_up(w, f)) {
      w->nskipped++;
      f->deaf = true;
    }
  }
}

static void await_foreign(struct world *w) {
  uint32_t n;
  int64_t start = clock_nanotime();
  while ((n = atomic_u32_load_acquire(&w->pending)) != 0) {
    futex_wait(&w->pending, n, FOREIGN_POLL_NS);
    if (atomic_u32_load_acquire(&w->pending) != 0)
      for_each_slot(w, prod_foreign, clock_nanotime() - start);
  }
}

/* One walk over the process's threads; true when it met a new foreign one. */
static bool walk_tasks(struct world *w, uint32_t epoch) {
  struct procfs_tasks it;
  bool found = false;
  int tid;
  if (!procfs_tasks_begin(&it)) return false;
  while ((tid = procfs_tasks_next(&it)) != 0)
    if (stop_if_foreign(w, tid, epoch)) found = true;
  procfs_tasks_end(&it);
  return found;
}

static void forget_unseen(struct world *w, struct foreign *f, int64_t waited) {
  (void)waited;
  if (f->seen != atomic_u32_load_relaxed(&w->epoch)) foreign_forget(f);
}

static void stop_foreigners(struct world *w, uint32_t epoch) {
  uint32_t known = atomic_u32_load_relaxed(&thread_registry.count) +
                   atomic_u32_load_acquire(&w->nlibrary);
  if (!w->self && !is_library_thread(w, w->self_tid)) known++;
  if (procfs_thread_count() <= known) return;
  while (walk_tasks(w, epoch)) await_foreign(w);
  for_each_slot(w, forget_unseen, 0);
}

/* --- the stop itself --- */

bool world_stop(struct world *w, int64_t patience_ns) MGC_NO_ANALYSIS {
  w->self = thread_self;
  w->self_tid = thread_id();
  w->nstopped = w->nforeign = w->nskipped = w->nsignalled = 0;
  atomic_u32_store_relaxed(&w->stop_wanted, 1);
  mutex_lock(&thread_registry.lock);
  mutex_lock(&w->background);
  check_signal(w);
  (void)
      procfs_thread_count(); /* so that it takes less when the threads stand */
  uint32_t epoch = atomic_u32_load_relaxed(&w->epoch) + 1;
  w->began = clock_nanotime();
  atomic_u32_store_relaxed(
      &w->few, atomic_u32_load_relaxed(&thread_registry.count) < w->nprocs);
  atomic_u32_store_release(&w->epoch, epoch);
  /* One for ourselves, so that nobody wakes us before all are signalled. */
  atomic_u32_store_release(&w->pending, 1);
  for (struct thread *t = thread_registry.head; t; t = t->next)
    if (t != w->self) stop_attached(w, t);
  if (w->spins && w->nsignalled > 0) watch_pending(w, 1, STOP_GRACE_NS);
  prod_attached(w);
  acknowledge(w);
  if (!await_attached(w, patience_ns)) {
    world_start(w);
    return false;
  }
  bury_dead();
  stop_foreigners(w, epoch);
  return true;
}

static void release_held(void) {
  for (struct thread *t = thread_registry.head; t; t = t->next) {
    uint32_t expect = THREAD_BLOCKED_HELD;
    /* release: what the collector did, to gc_blocking_end */
    (void)atomic_u32_cas_acq_rel(&t->state, &expect, THREAD_BLOCKED);
  }
}

static void reset_slot(struct world *w, struct foreign *f, int64_t waited) {
  (void)w, (void)waited;
  atomic_u32_store_release(&f->state, FOREIGN_FREE);
}

static void next_epoch(struct world *w) {
  /* release: what the collector did, to await_restart */
  atomic_u32_fetch_add_release(&w->epoch, 1);
  futex_wake(&w->epoch, INT_MAX);
}

static void unlock_world(struct world *w) MGC_NO_ANALYSIS {
  mutex_unlock(&w->background);
  atomic_u32_store_release(&w->stop_wanted, 0);
  futex_wake(&w->stop_wanted, INT_MAX);
  mutex_unlock(&thread_registry.lock);
}

void world_await_resumed(struct world *w, int64_t ns) {
  int64_t begin = clock_nanotime();
  while (atomic_u32_load_relaxed(&w->resumed) < w->nsignalled &&
         clock_nanotime() - begin < ns)
    thread_yield();
}

void world_start(struct world *w) {
  atomic_u32_store_relaxed(&w->resumed, 0);
  if (w->nforeign) for_each_slot(w, reset_slot, 0);
  release_held();
  next_epoch(w);
  unlock_world(w);
}

void world_visit_foreign(struct world *w,
                         void (*visit)(const struct foreign *f, void *arg),
                         void *arg) {
  struct foreign_block *b = atomic_ptr_load_relaxed(&w->foreign);
  if (!w->nforeign) return;
  for (; b; b = atomic_ptr_load_relaxed(&b->next))
    for (unsigned i = 0; i < FOREIGN_PER_BLOCK; i++)
      if (atomic_u32_load_acquire(&b->slot[i].state) == FOREIGN_STOPPED)
        visit(&b->slot[i], arg);
}

/* --- fork --- */

void world_gate_close(struct world *w) {
  atomic_u32_store_relaxed(&w->gate, 1);
  /* Held threads stay held; all others find the gate when they next enter. */
  for (struct thread *t = thread_registry.head; t; t = t->next)
    if (t != w->self &&
        atomic_u32_load_relaxed(&t->state) != THREAD_BLOCKED_HELD)
      atomic_u32_store_release(&t->stop_pending, 1);
  if (w->nforeign) for_each_slot(w, reset_slot, 0);
  next_epoch(w);
}

void world_gate_open(struct world *w) {
  for (struct thread *t = thread_registry.head; t; t = t->next)
    atomic_u32_store_release(&t->stop_pending, 0);
  atomic_u32_store_release(&w->gate, 0);
  futex_wake(&w->gate, INT_MAX);
  release_held();
  /* Twice, to stay even; those who leave a blocking region wait for a change. */
  atomic_u32_fetch_add_release(&w->epoch, 2);
  futex_wake(&w->epoch, INT_MAX);
  unlock_world(w);
}

void world_after_fork(struct world *w) {
  struct thread *next;
  for (struct thread *t = thread_registry.head; t; t = next) {
    next = t->next;
    if (t == w->self) continue;
    mcache_delete(t->heap, t->cache);
    fixalloc_free(&thread_registry.alloc, t);
  }
  thread_registry.head = w->self;
  atomic_u32_store_relaxed(&thread_registry.count, w->self ? 1 : 0);
  if (w->self) {
    w->self->next = w->self->prev = NULL;
    w->self->tid = thread_id();
  }
  for (unsigned i = 0; i < WORLD_MAX_LIBRARY; i++)
    atomic_i32_store_relaxed(&w->library_tid[i], 0);
  atomic_u32_store_relaxed(&w->nlibrary, 0);
  atomic_u32_store_release(&w->gate, 0);
  unlock_world(w);
}

void world_add_library_thread(struct world *w) {
  int tid = thread_id();
  for (unsigned i = 0; i < WORLD_MAX_LIBRARY; i++) {
    int32_t expect = 0;
    if (atomic_i32_cas_acq_rel(&w->library_tid[i], &expect, tid)) break;
  }
  atomic_u32_fetch_add_release(&w->nlibrary, 1);
  /* A stop that took it for a foreign one looks again. */
  if (atomic_u32_load_acquire(&w->pending)) futex_wake(&w->pending, 1);
}
