// SPDX-License-Identifier: MIT
/*
 * The markers of a cycle: the collecting thread and its helpers.
 *
 * Helpers are threads of the library that sleep between cycles. They join when
 * `open` is set and `start` moves, in any order and perhaps never: the collecting
 * thread does not wait for one to wake up, it only waits for those that joined to
 * leave. A helper that joins looks for work as an idle marker does.
 *
 * The end. `active` counts the markers that hold edges or may take a root shard;
 * only they can make work for others. When it is 0 and the list of full buffers
 * is empty and no shard is left, nothing can come any more: whoever sees that
 * sets `done`. The order matters: a marker becomes active before it takes work
 * from the list, and looks at `active` before it looks at the list again.
 *
 * An idle marker spins for a microsecond and then sleeps: on a machine whose
 * processors are all busy a spinning marker takes time from a working one.
 */
#include "gc/mark.h"

#include "base/fatal.h"
#include "gc/roots.h"
#include "gc/world.h"
#include "os/thread_linux.h"
#include <limits.h>

#define IDLE_SPINS 30
/* A missed wake-up costs at most this long. */
#define IDLE_SLEEP_NS 500000

static bool take_root(struct marker *k, struct root_range *out) {
  struct marking *m = k->m;
  const struct roots *roots = m->roots;
  if (atomic_u32_load_relaxed(&m->next_root) >= roots->n) return false;
  uint32_t i = atomic_u32_fetch_add_relaxed(&m->next_root, 1);
  if (i >= roots->n) return false;
  *out = roots->shard[i];
  return true;
}

static bool work_available(const struct marking *m) {
  return !lfstack_empty(&m->full) ||
         atomic_u32_load_seq_cst(&m->next_root) < m->roots->n;
}

static void sleep_idle(struct marking *m) {
  for (int i = 0; i < IDLE_SPINS; i++) {
    if (work_available(m) || atomic_u32_load_relaxed(&m->active) == 0) return;
    cpu_relax();
  }
  uint32_t seq = atomic_u32_load_seq_cst(&m->wake);
  atomic_u32_fetch_add_seq_cst(&m->idlers, 1);
  if (!work_available(m) && atomic_u32_load_seq_cst(&m->active) != 0)
    futex_wait(&m->wake, seq, IDLE_SLEEP_NS);
  atomic_u32_fetch_sub_seq_cst(&m->idlers, 1);
}

/* For a marker that is not active: until there may be work (true, and it is
 * active again), or never will be. */
static bool await_work(struct marking *m) {
  for (;;) {
    if (atomic_u32_load_acquire(&m->done)) return false;
    if (work_available(m)) {
      atomic_u32_fetch_add_seq_cst(&m->active, 1);
      return true;
    }
    if (atomic_u32_load_seq_cst(&m->active) == 0) {
      if (work_available(m)) continue;
      atomic_u32_store_release(&m->done, 1);
      work_wake(m, INT_MAX);
      return false;
    }
    sleep_idle(m);
  }
}

/* For an active marker. */
static void mark_until_done(struct marker *k) {
  struct marking *m = k->m;
  struct root_range r;
  do {
    while (take_root(k, &r)) mark_words(k, r.lo, r.hi);
    mark_drain(k);
    atomic_u32_fetch_sub_seq_cst(&m->active, 1);
  } while (await_work(m));
}

/* --- helpers --- */

static void help(struct marker *k) {
  struct marking *m = k->m;
  atomic_u32_fetch_add_seq_cst(&m->participants, 1);
  /* One that was made after this cycle was prepared stays out. */
  if (atomic_u32_load_seq_cst(&m->open) && k->index < m->nmarkers &&
      await_work(m))
    mark_until_done(k);
  /* release: the marks, to the acquire in dismiss_helpers */
  if (atomic_u32_fetch_sub_acq_rel(&m->participants, 1) == 1)
    futex_wake(&m->participants, 1);
}

static void helper_main(void *arg) {
  struct marker *k = arg;
  struct marking *m = k->m;
  uint32_t seen = atomic_u32_load_acquire(&m->start);
  world_add_library_thread(m->world);
  /* release: all of the above, to mark_make_helpers */
  atomic_u32_fetch_add_release(&m->nhelpers, 1);
  futex_wake(&m->nhelpers, 1);
  for (;;) {
    uint32_t start = atomic_u32_load_acquire(&m->start);
    if (start == seen) {
      futex_wait(&m->start, seen, -1);
      continue;
    }
    seen = start;
    help(k);
  }
}

static bool start_helper(struct marking *m, uint32_t have) {
  struct thread *t = thread_self;
  /* Before there is a thread nobody else uses this marker. The allocator's locks
   * are taken (thread.h I2). */
  if (t) thread_enter(t);
  bool ready = work_init_marker(m, have + 1);
  if (t) thread_leave(t);
  if (!ready) return false;
  if (thread_start_library("mark", helper_main, &m->marker[have + 1]) != 0)
    return false;
  uint32_t n;
  while ((n = atomic_u32_load_acquire(&m->nhelpers)) == have)
    futex_wait(&m->nhelpers, n, -1);
  return true;
}

void mark_make_helpers(struct marking *m, unsigned n) {
  uint32_t have = atomic_u32_load_acquire(&m->nhelpers), expect = 0;
  if (n > GC_MAX_MARKERS - 1) n = GC_MAX_MARKERS - 1;
  if (likely(have >= n)) return;
  if (!atomic_u32_cas_acq_rel(&m->creating, &expect, 1)) return;
  while ((have = atomic_u32_load_acquire(&m->nhelpers)) < n)
    if (!start_helper(m, have)) break;
  atomic_u32_store_release(&m->creating, 0);
}

void mark_after_fork(struct marking *m) {
  atomic_u32_store_relaxed(&m->nhelpers, 0);
  atomic_u32_store_relaxed(&m->participants, 0);
  atomic_u32_store_relaxed(&m->idlers, 0);
  atomic_u32_store_relaxed(&m->creating, 0);
}

static void call_helpers(struct marking *m) {
  atomic_u32_store_seq_cst(&m->open, 1);
  atomic_u32_fetch_add_release(&m->start, 1);
  futex_wake(&m->start, INT_MAX);
}

static void dismiss_helpers(struct marking *m) {
  uint32_t n;
  atomic_u32_store_seq_cst(&m->open, 0);
  while ((n = atomic_u32_load_seq_cst(&m->participants)) != 0)
    futex_wait(&m->participants, n, -1);
}

void mark_run(struct marking *m) {
  struct marker *k = &m->marker[0];
  if (m->shared) call_helpers(m);
  mark_until_done(k);
  if (m->shared) dismiss_helpers(m);
  mark_again(k);
}
