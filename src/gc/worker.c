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

#include "base/bits.h"
#include "base/fatal.h"
#include "gc/markspan.h"
#include "gc/roots.h"
#include "gc/world.h"
#include "os/thread_linux.h"
#include <limits.h>

#define IDLE_SPINS 30
#define NO_MORE_ROOTS (UINT32_MAX / 2)
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
  return !lfstack_empty(&m->full) || spanq_available(&m->spans) ||
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

/* --- pauses --- */

static void stand(struct marking *m) {
  /* release: what the marker did, to the acquire in mark_pause */
  if (atomic_u32_fetch_sub_seq_cst(&m->running, 1) == 1)
    futex_wake(&m->running, 1);
}

static void go(struct marking *m) {
  for (;;) {
    atomic_u32_fetch_add_seq_cst(&m->running, 1);
    /* One total order with mark_pause: it sees us run, or we see it. */
    if (likely(atomic_u32_load_seq_cst(&m->pause) == 0)) return;
    stand(m);
    futex_wait(&m->pause, 1, -1);
  }
}

void mark_begin_work(struct marking *m) { go(m); }
void mark_end_work(struct marking *m) { stand(m); }

void mark_stand_by(struct marking *m) {
  stand(m);
  go(m);
}

void mark_pause(struct marking *m) {
  uint32_t n;
  atomic_u32_store_seq_cst(&m->pause, 1);
  while ((n = atomic_u32_load_seq_cst(&m->running)) != 0)
    futex_wait(&m->running, n, -1);
}

void mark_resume(struct marking *m) {
  atomic_u32_store_seq_cst(&m->pause, 0);
  futex_wake(&m->pause, INT_MAX);
}

static void mark_for_ops(struct marker *k) {
  const struct mark_ops *ops = k->m->ops;
  void *arg = k->m->ops_arg;
  k->leaves = false;
  ops->begin(arg, k);
  mark_drain(k);
  ops->end(arg, k);
  if (k->leaves) work_release(k);
}

/* For an active marker. */
static void mark_until_done(struct marker *k) {
  struct marking *m = k->m;
  struct root_range r;
  do {
    go(m);
    while (take_root(k, &r)) mark_words(k, r.lo, r.hi);
    if (m->ops)
      mark_for_ops(k);
    else
      mark_drain(k);
    stand(m);
    atomic_u32_fetch_sub_seq_cst(&m->active, 1);
    if (k->leaves && !m->ops->rest(m->ops_arg, k)) return;
  } while (await_work(m));
}

/* --- threads of the program that help --- */

/* A marker that is not a library thread's; NULL: all are taken. */
static struct marker *take_assistant(struct marking *m) {
  uint64_t taken = atomic_u64_load_relaxed(&m->assistants);
  for (;;) {
    uint64_t unused = ~taken & low_mask64(GC_MAX_ASSISTANTS);
    if (!unused) return NULL;
    unsigned i = ctz64(unused);
    /* acquire: the marker's buffers, of whoever had it before */
    if (!atomic_u64_cas_acquire(&m->assistants, &taken, taken | 1ull << i))
      continue;
    return &m->marker[GC_MAX_MARKERS - 1 - i];
  }
}

static void leave_assistant(struct marking *m, const struct marker *k) {
  unsigned i = GC_MAX_MARKERS - 1 - k->index;
  atomic_u64_fetch_and_release(&m->assistants, ~(1ull << i));
}

bool mark_assist(struct marking *m, int32_t steps, uint64_t *bytes) {
  struct marker *k;
  *bytes = 0;
  if (!work_available(m)) {
    atomic_u32_store_relaxed(&m->wanted, 1);
    return false;
  }
  if (!(k = take_assistant(m))) return false;
  unsigned index = (unsigned)(k - m->marker);
  bool found = false;
  if (work_init_marker(m, index)) {
    if (k->cycle != m->cycle) mark_reset_marker(m, k);
    atomic_u32_fetch_add_seq_cst(&m->active, 1);
    k->quota = steps;
    k->assists = true;
    found = work_refill(k) || markspan_refill(k);
    if (found) mark_drain(k);
    *bytes = mark_tell_work(k);
    work_release(k);
    atomic_u32_fetch_sub_seq_cst(&m->active, 1);
  }
  leave_assistant(m, k);
  return found;
}

/* --- helpers --- */

static void take_part(struct marker *k) {
  struct marking *m = k->m;
  if (m->ops && !m->ops->join(m->ops_arg, k)) return;
  if (await_work(m)) mark_until_done(k);
  if (m->ops) m->ops->quit(m->ops_arg, k);
}

static void help(struct marker *k) {
  struct marking *m = k->m;
  atomic_u32_fetch_add_seq_cst(&m->participants, 1);
  /* One that was made after this cycle was prepared stays out. */
  if (atomic_u32_load_seq_cst(&m->open) && k->index < m->nmarkers) take_part(k);
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
  if (n > GC_MAX_HELPERS) n = GC_MAX_HELPERS;
  if (likely(have >= n)) return;
  if (!atomic_u32_cas_acq_rel(&m->creating, &expect, 1)) return;
  while ((have = atomic_u32_load_acquire(&m->nhelpers)) < n)
    if (!start_helper(m, have)) break;
  atomic_u32_store_release(&m->creating, 0);
}

void mark_after_fork(struct marking *m) {
  atomic_u32_store_relaxed(&m->pause, 0);
  atomic_u32_store_relaxed(&m->running, 0);
  atomic_u64_store_relaxed(&m->assistants, 0);
  atomic_u32_store_relaxed(&m->active, 0);
  atomic_u32_store_relaxed(&m->nhelpers, 0);
  atomic_u32_store_relaxed(&m->participants, 0);
  atomic_u32_store_relaxed(&m->idlers, 0);
  atomic_u32_store_relaxed(&m->creating, 0);
}

void mark_call_helpers(struct marking *m) {
  atomic_u32_fetch_add_release(&m->start, 1);
  futex_wake(&m->start, INT_MAX);
}

static void call_helpers(struct marking *m) {
  atomic_u32_store_seq_cst(&m->open, 1);
  mark_call_helpers(m);
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

void mark_beside(struct marking *m, const struct mark_ops *ops, void *arg) {
  m->ops = ops;
  m->ops_arg = arg;
  /* The roots were read when the world stood. */
  atomic_u32_store_relaxed(&m->next_root, NO_MORE_ROOTS);
  atomic_u32_store_relaxed(&m->done, 0);
  /* Not a store: threads of the program may be at work. */
  atomic_u32_fetch_add_seq_cst(&m->active, 1);
  if (m->nmarkers > 1) call_helpers(m);
  mark_until_done(&m->marker[0]);
  if (m->nmarkers > 1) dismiss_helpers(m);
  m->ops = NULL;
}
