// SPDX-License-Identifier: MIT
/*
 * The collector (Go: mgc.go): a cycle, and who may ask for one.
 *
 * A cycle of this file stops the world for the whole of marking, marks in parallel,
 * and sweeps lazily afterwards:
 *
 *   1  finish the sweeping of the cycle before
 *   2  stop the world (world.c)
 *   3  empty all thread caches: afterwards alloc bits say what is an object
 *   4  list the roots (roots.c) and mark from them (mark.c, worker.c)
 *   5  checkmark mode: mark again, compare (checkmark.c)
 *   6  every span becomes unswept (sweep_start_cycle); pace the next cycle
 *      (pacer.c)
 *   7  start the world; wake sweeper and scavenger (background.c)
 *
 * What is allocated after 6 lies in swept spans and is not looked at before the
 * next cycle, so nothing has to be allocated "black".
 *
 * Locks. The whole of a cycle runs inside dl_iterate_phdr's first callback, that
 * is with the loader's lock, and takes the gc lock in there: a thread that holds
 * the loader's lock (an unwinder's or the program's own callback) and allocates
 * may come to wait for the gc lock, and must not meet a collector that waits for
 * the loader. From before it asks for the loader's lock until it has the gc lock
 * a thread counts as blocked. No stopped thread holds the loader's lock, and no
 * object can be unloaded while its data is scanned. Helper threads are made
 * before, with no lock held, because pthread_create takes locks of the loader.
 *
 * For a program that helps with barriers, or whose writes the kernel tracks, the same
 * is done beside it: beside.c.
 *
 *   I1  h->sweepgen changes only here, in a stopped world
 *   I2  between cycles heap_live is what the last one marked plus what has been
 *       allocated since (runs count when they are taken)
 *   I3  a cycle that gc_collect waited for began after the call
 */
#include "gc/barrier.h"
#include "gc/state.h"

#include "base/bits.h"
#include "base/fatal.h"
#include "base/print.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/segments.h"
#include "os/thread_linux.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

enum cycle_kind {
  CYCLE_TRIGGER, /* heap_live has reached the trigger */
  CYCLE_FORCED,  /* gc_collect */
  CYCLE_LIMIT,   /* memory could not be had */
};

/* Lies on the stack above what is scanned: initialised words only. */
struct request {
  struct gc *g;
  uintptr_t kind;          /* enum cycle_kind */
  uint64_t started_before; /* g->started at the time of the request */
};

struct cycle {
  struct gc *g;
  enum cycle_kind kind;
  uint64_t started_before;
  uintptr_t sp; /* the caller's stack is scanned from here */
  bool entered; /* the loader's lock was taken */
  bool again;   /* the world could not be stopped */
  struct gc_times t;
};

/* --- set-up --- */

/* Before the markers start: the collecting thread's own. */
static void scan_root_now(void *arg, uintptr_t lo, uintptr_t hi) {
  struct marking *m = arg;
  mark_words(&m->marker[0], lo, hi);
}

static void before_clear_hook(struct heap *h, void *p, size_t n) {
  gc_barrier_words(h, thread_self, p, n);
}

static void detach_hook(struct thread *t) {
  barrier_flush(&gc_of(t->heap)->marking, t);
  pace_detach(gc_of(t->heap), t);
}

/* Marking beside a program without barriers, if it is asked for and can be had. */
static void choose_mode(struct gc *g) {
  struct heap *h = g->h;
  if (h->opt.gcmode == GCMODE_STOP) return;
  int err = track_open(&g->track, h, wptrack_system());
  if (!err)
    atomic_u32_store_release(&g->beside.mode, GC_KERNEL);
  else if (h->opt.trace_gc || h->opt.trace_init)
    print_fd(2, "mallocgc: gcmode=stop: %s (%d)\n", g->track.w.reason, err);
}

int gc_init(struct heap *h) {
  struct gc *g =
      persistent_alloc(&h->meta, sizeof *g, CACHELINE, &h->stats.gc_meta);
  if (!g) return -ENOMEM;
  g->h = h;
  mutex_init(&g->lock, LOCKRANK_gc);
  g->nprocs = h->opt.mark_workers ? h->opt.mark_workers : cpu_count();
  if (g->nprocs > GC_MAX_HELPERS + 1) g->nprocs = GC_MAX_HELPERS + 1;
  g->start_time = clock_nanotime();
  g->soft_limit = g->hard_limit = INT64_MAX;
  roots_init(&g->roots, &h->meta, &h->stats.gc_meta);
  if (!mark_init(&g->marking, h, &g->roots, &g->world)) return -ENOMEM;
  g->roots.scan_now = scan_root_now;
  g->roots.scan_arg = &g->marking;
  int err = world_init(&g->world, &h->meta, &h->stats.gc_meta);
  if (err) return err == -ENOMEM ? err : -EAGAIN;
  h->gc = g;
  h->hooks.trigger = gc_trigger_hook;
  h->hooks.limit = gc_limit_hook;
  h->hooks.sweep_credit = gc_sweep_credit_hook;
  h->hooks.before_clear = before_clear_hook;
  choose_mode(g);
  thread_registry.on_detach = detach_hook;
  struct pacer_config pacing = {.percent = 100,
                                .memory_limit = INT64_MAX,
                                .goal_halflife_ns =
                                    (int64_t)h->opt.goal_halflife_ms * 1000000};
  pace_init(g, &pacing);
  return 0;
}

/* The caller has just taken g->lock. */
static void own_lock(struct gc *g) {
  if (thread_self) thread_enter(thread_self);
  atomic_i32_store_relaxed(&g->owner, thread_id());
}

void gc_lock(struct gc *g) MGC_NO_ANALYSIS {
  struct thread *t = thread_self;
  if (!mutex_trylock(&g->lock)) {
    if (t) gc_blocking_begin(t);
    mutex_lock(&g->lock);
    /* Does not wait: only who holds the lock stops the world. */
    if (t) gc_blocking_end(t);
  }
  own_lock(g);
}

void gc_unlock(struct gc *g) MGC_NO_ANALYSIS {
  atomic_i32_store_relaxed(&g->owner, 0);
  mutex_unlock(&g->lock);
  if (thread_self) thread_leave(thread_self);
}

/* --- the stopped part of a cycle --- */

void gc_flush_caches(struct gc *g, bool pages_too) {
  for (struct thread *t = thread_registry.head; t; t = t->next) {
    if (pages_too)
      mcache_release_all(g->h, t->cache);
    else
      mcache_flush(g->h, t->cache);
  }
}

void gc_forget_frees(void) {
  for (struct thread *t = thread_registry.head; t; t = t->next)
    mcache_forget_later(t->cache);
}

void gc_verify_stopped(struct gc *g) {
  for (struct thread *t = thread_registry.head; t; t = t->next)
    mcache_verify(g->h, t->cache);
  mheap_verify(g->h);
}

static void mark_all(struct gc *g, const struct cycle *c) {
  uint32_t helpers = atomic_u32_load_acquire(&g->marking.nhelpers);
  bool alone = c->t.live_before < GC_PARALLEL_MIN_BYTES;
  g->nmarkers = alone ? 1 : 1 + helpers;
  mark_prepare(&g->marking, g->nmarkers);
  roots_collect(&g->roots, &g->world, c->sp);
  mark_run(&g->marking);
  mark_sum(&g->marking, &g->stats.heap_marked, &g->stats.objects_marked);
}

static void pace_next(struct gc *g, const struct gc_times *t) {
  struct heap *h = g->h;
  const struct pacer *p = &g->pace.pacer;
  uint64_t last_settled = p->settled;
  h->last_heap_inuse = memstat_load(&h->stats.heap_inuse);
  /* I2 */
  atomic_u64_store_relaxed(&h->heap_live, g->stats.heap_marked);
  pace_end(g, t);
  background_new_cycle(g, pace_trigger(g));
  /* A program at rest is not about to grow. */
  uint64_t to = t->periodic ? g->stats.heap_marked : p->settled;
  if (p->settled != PACER_NO_GOAL && last_settled != PACER_NO_GOAL)
    scavenger_pace(h, to, last_settled, p->config.memory_limit);
}

void gc_turn_cycle(struct gc *g, const struct gc_times *t, bool keeps_room) {
  g->h->sweep_keeps_room = keeps_room;
  sweep_start_cycle(g->h);
  pace_next(g, t);
}

void gc_note_pause(struct gc *g, int64_t ns) {
  struct gc_stats *s = &g->stats;
  s->num_pauses++;
  if ((uint64_t)ns > s->pause_max_ns) s->pause_max_ns = (uint64_t)ns;
  s->pause_hist[gc_pause_slot(ns)]++;
}

void gc_note_cycle(struct gc *g, const struct gc_times *t) {
  struct gc_stats *s = &g->stats;
  int64_t marking = t->beside ? t->marked - t->stopped : 0;
  int64_t pause = t->end - t->begin - marking;
  /* With retries in between the first includes those; they are counted. */
  if (t->beside) gc_note_pause(g, t->stopped - t->begin - t->retried);
  gc_note_pause(g, t->beside ? t->end - t->marked : pause);
  uint32_t slot = s->num_gc % GC_PAUSE_RING;
  s->pause_ns[slot] = (uint64_t)pause;
  s->pause_end[slot] = s->last_gc = (uint64_t)clock_wall();
  s->pause_total_ns += (uint64_t)pause;
  s->num_gc++;
  if (t->forced) s->num_forced++;
  s->stack_bytes = g->roots.stack_bytes;
  s->globals_bytes = g->roots.globals_bytes;
  s->overflows = g->marking.passes;
  s->threads_stopped = g->world.nstopped + g->world.nforeign;
  s->threads_foreign = g->world.nforeign;
  s->threads_skipped = g->world.nskipped;
  g->gc_cpu_ns += pause;
  if (t->beside)
    g->gc_cpu_ns += (atomic_i64_load_relaxed(&g->pace.background_ns) +
                     atomic_i64_load_relaxed(&g->pace.assist_ns)) /
                    g->nprocs;
  int64_t age = t->end - g->start_time;
  s->gc_cpu_fraction = age > 0 ? (double)g->gc_cpu_ns / (double)age : 0;
  if (unlikely(g->h->opt.trace_gc)) gc_trace_cycle(g, t);
}

/* False: the world could not be stopped while we hold the loader's lock. */
static bool run_cycle(struct cycle *c) {
  struct gc *g = c->g;
  struct heap *h = g->h;
  int64_t sweeps = clock_nanotime();
  sweep_all(h);
  background_note_sweep(g, clock_nanotime() - sweeps);
  c->t.goal = g->pace.pacer.goal;
  c->t.begin = clock_nanotime();
  if (!world_stop(&g->world, GC_STOP_PATIENCE_NS)) return false;
  c->t.stopped = clock_nanotime();
  /* I3: who reads the old figure has called before the world stood. */
  atomic_u64_fetch_add_release(&g->started, 1);
  gc_flush_caches(g, c->kind == CYCLE_LIMIT);
  gc_forget_frees();
  c->t.live_before = c->t.live_at_end = heap_live_bytes(h);
  if (unlikely(h->opt.verify)) gc_verify_stopped(g);
  mark_all(g, c);
  c->t.marked = clock_nanotime();
  c->t.live_after = g->stats.heap_marked;
  if (unlikely(h->opt.checkmark)) checkmark_run(g, true);
  /* Who asked for the cycle wants memory back, as does a limit. */
  gc_turn_cycle(g, &c->t,
                c->kind == CYCLE_TRIGGER &&
                    g->pace.pacer.config.memory_limit == INT64_MAX);
  world_start(&g->world);
  c->t.end = clock_nanotime();
  gc_note_cycle(g, &c->t);
  return true;
}

MGC_NOINLINE void gc_clear_dead_stack(void) {
  char dead[4096];
  memset(dead, 0, sizeof dead);
  __asm__ volatile("" : : "r"(dead) : "memory");
}

/* --- asking for a cycle --- */

static bool is_due(const struct cycle *c) {
  const struct gc *g = c->g;
  /* The collector's thread is in the middle of one. */
  if (heap_is_marking(g->h)) return false;
  if (c->kind == CYCLE_TRIGGER)
    return heap_live_bytes(g->h) >= atomic_u64_load_relaxed(&g->h->gc_trigger);
  /* I3: one that began since the request serves as well. */
  return atomic_u64_load_relaxed(&g->started) == c->started_before;
}

void gc_wake_background(struct gc *g) {
  atomic_u32_fetch_add_release(&g->bg.sweep_wake, 1);
  futex_wake(&g->bg.sweep_wake, 1);
  atomic_u32_fetch_add_release(&g->bg.scav_wake, 1);
  futex_wake(&g->bg.scav_wake, 1);
}

/* With the loader's lock, and still as a blocked thread. */
static void enter_cycle(void *arg) MGC_NO_ANALYSIS {
  struct cycle *c = arg;
  struct gc *g = c->g;
  struct thread *t = thread_self;
  c->entered = true;
  mutex_lock(&g->lock);
  gc_blocking_end(t);
  own_lock(g);
  bool due = is_due(c);
  bool ran = due && run_cycle(c);
  c->again = due && !ran;
  if (ran) gc_wake_background(g);
  if (c->kind != CYCLE_TRIGGER) sweep_all(g->h);
  gc_unlock(g);
}

static void visit_nothing(const struct segment_info *info, void *arg) {
  (void)info, (void)arg;
}

static void cycle_spilled(void *arg, uintptr_t sp) {
  const struct request *r = arg;
  struct cycle c = {.g = r->g,
                    .kind = (enum cycle_kind)r->kind,
                    .started_before = r->started_before,
                    .sp = sp};
  c.t.forced = c.kind != CYCLE_TRIGGER;
  do {
    /* Who holds the loader's lock may be a collector that waits for us. */
    gc_blocking_begin(thread_self);
    segments_visit(enter_cycle, visit_nothing, &c);
    if (!c.entered) enter_cycle(&c); /* a static program without headers */
  } while (c.again);
}

void gc_end_visit(struct gc *g) {
  if (atomic_u32_fetch_sub_seq_cst(&g->visiting, 1) == 1)
    futex_wake(&g->visiting, INT_MAX);
}

static void wait_as_blocked(struct atomic_u32 *word, uint32_t value) {
  struct thread *t = thread_self;
  if (t) gc_blocking_begin(t);
  futex_wait(word, value, -1);
  if (t) gc_blocking_end(t);
}

bool gc_begin_visit(struct gc *g, bool may_wait) {
  for (;;) {
    atomic_u32_fetch_add_seq_cst(&g->visiting, 1);
    uint32_t forking = atomic_u32_load_seq_cst(&g->forking);
    if (likely(forking == 0)) return true;
    gc_end_visit(g);
    if (!may_wait) return false;
    wait_as_blocked(&g->forking, forking);
  }
}

static void collect(struct gc *g, enum cycle_kind kind) {
  struct request r = {.g = g, .kind = kind};
  int saved = errno;
  r.started_before = atomic_u64_load_acquire(&g->started);
  gc_clear_dead_stack();
  if (gc_is_beside(g) && !beside_prefers_stop(g) &&
      beside_collect(g, true, kind == CYCLE_LIMIT)) {
    errno = saved;
    return;
  }
  if (g->nprocs > 1 && heap_live_bytes(g->h) >= GC_PARALLEL_MIN_BYTES)
    mark_make_helpers(&g->marking, g->nprocs - 1);
  if (gc_begin_visit(g, kind != CYCLE_TRIGGER)) {
    thread_call_spilled(cycle_spilled, &r);
    gc_end_visit(g);
  }
  background_start(g);
  gc_clear_dead_stack();
  /* Not if one beside the program has come before. */
  if (kind != CYCLE_TRIGGER &&
      atomic_u64_load_acquire(&g->started) == r.started_before)
    (void)beside_collect(g, true, kind == CYCLE_LIMIT);
  errno = saved;
}

void gc_collect(struct heap *h) {
  if (thread_get()) collect(gc_of(h), CYCLE_FORCED);
}

void gc_trigger_hook(struct heap *h) {
  struct gc *g = gc_of(h);
  if (gc_is_beside(g) && !beside_prefers_stop(g))
    beside_trigger(g);
  else
    collect(g, CYCLE_TRIGGER);
}

void gc_limit_hook(struct heap *h) { collect(gc_of(h), CYCLE_LIMIT); }

void gc_free_os_memory(struct heap *h) {
  struct gc *g = gc_of(h);
  struct thread *t = thread_get();
  if (!t) return;
  collect(g, CYCLE_LIMIT);
  thread_enter(t);
  scavenge_now(h, SIZE_MAX);
  thread_leave(t);
}

/* --- settings --- */

int gc_set_percent(struct heap *h, int percent) {
  struct gc *g = gc_of(h);
  gc_lock(g);
  struct pacer_config c = g->pace.pacer.config;
  int old = c.percent;
  c.percent = percent < 0 ? -1 : percent;
  pace_configure(g, &c);
  gc_unlock(g);
  return old;
}

/* Near the hard limit collections come earlier, as near the other one. */
static void limit_pacing(struct gc *g) {
  struct pacer_config c = g->pace.pacer.config;
  c.memory_limit =
      g->soft_limit < g->hard_limit ? g->soft_limit : g->hard_limit;
  pace_configure(g, &c);
}

static int64_t set_limit(struct gc *g, int64_t *limit, int64_t bytes) {
  gc_lock(g);
  int64_t old = *limit;
  if (bytes >= 0) {
    *limit = bytes;
    limit_pacing(g);
  }
  gc_unlock(g);
  return old;
}

int64_t gc_set_memory_limit(struct heap *h, int64_t bytes) {
  struct gc *g = gc_of(h);
  return set_limit(g, &g->soft_limit, bytes);
}

int64_t gc_set_hard_limit(struct heap *h, int64_t bytes) {
  struct gc *g = gc_of(h);
  if (bytes >= 0)
    /* A number by itself: nothing else becomes visible with it. */
    atomic_u64_store_relaxed(&h->hard_limit,
                             bytes == INT64_MAX ? UINT64_MAX : (uint64_t)bytes);
  return set_limit(g, &g->hard_limit, bytes);
}

/* --- roots --- */

bool gc_add_roots(struct heap *h, void *lo, void *hi) {
  struct thread *t = thread_get();
  if (!t) return false;
  thread_enter(t);
  bool ok = roots_add_range(&gc_of(h)->roots, (uintptr_t)lo, (uintptr_t)hi);
  thread_leave(t);
  return ok;
}

void gc_remove_roots(struct heap *h, void *lo, void *hi) {
  struct thread *t = thread_get();
  if (!t) return;
  thread_enter(t);
  roots_remove_ranges(&gc_of(h)->roots, (uintptr_t)lo, (uintptr_t)hi);
  thread_leave(t);
}

bool gc_pin(struct heap *h, void *p) {
  struct thread *t = thread_get();
  if (!t) return false;
  thread_enter(t);
  bool ok = roots_pin(&gc_of(h)->roots, (uintptr_t)p);
  thread_leave(t);
  return ok;
}

bool gc_unpin(struct heap *h, void *p) {
  struct thread *t = thread_get();
  if (!t) return false;
  thread_enter(t);
  bool ok = roots_unpin(&gc_of(h)->roots, (uintptr_t)p);
  thread_leave(t);
  return ok;
}

/* --- barriers --- */

bool gc_use_barriers(struct heap *h) {
  struct gc *g = gc_of(h);
  if (atomic_u32_load_acquire(&g->beside.mode) == GC_BARRIER) return true;
  if (!beside_start(g)) return false;
  gc_lock(g);
  atomic_u32_store_release(&g->beside.mode, GC_BARRIER);
  struct pacer_config c = g->pace.pacer.config;
  pace_configure(g, &c);
  gc_unlock(g);
  return true;
}

void gc_barrier_record(struct heap *h, struct thread *t, uintptr_t was,
                       uintptr_t is) {
  struct marking *m = &gc_of(h)->marking;
  if (likely(t != NULL)) {
    barrier_record(m, t, was, is);
    return;
  }
  if (!heap_is_marking(h)) return;
  mark_at_once(m, was);
  mark_at_once(m, is);
}

void gc_barrier_words(struct heap *h, struct thread *t, const void *p,
                      size_t n) {
  barrier_words(&gc_of(h)->marking, t, p, n);
}

/* --- statistics and the stopped world of others --- */

void gc_read_stats(struct heap *h, struct gc_stats *out) {
  struct gc *g = gc_of(h);
  bool mine = atomic_i32_load_relaxed(&g->owner) == thread_id();
  if (!mine) gc_lock(g);
  *out = g->stats;
  out->percent = g->pace.pacer.config.percent;
  out->memory_limit = g->pace.pacer.config.memory_limit;
  if (!mine) gc_unlock(g);
}

void gc_stop_world(struct heap *h) {
  struct gc *g = gc_of(h);
  gc_lock(g);
  (void)world_stop(&g->world, -1);
  mark_pause(&g->marking);
}

void gc_start_world(struct heap *h) {
  struct gc *g = gc_of(h);
  mark_resume(&g->marking);
  world_start(&g->world);
  gc_unlock(g);
}

void gc_forall_threads(struct heap *h,
                       void (*visit)(struct thread *t, void *arg), void *arg) {
  (void)h;
  for (struct thread *t = thread_registry.head; t; t = t->next) visit(t, arg);
}

/* --- fork --- */

static void open_to_visits(struct gc *g) {
  if (atomic_u32_fetch_sub_seq_cst(&g->forking, 1) == 1)
    futex_wake(&g->forking, INT_MAX);
}

void gc_fork_prepare(struct heap *h) {
  struct gc *g = gc_of(h);
  uint32_t n;
  atomic_u32_fetch_add_seq_cst(&g->forking, 1);
  while ((n = atomic_u32_load_seq_cst(&g->visiting)) != 0)
    wait_as_blocked(&g->visiting, n);
  gc_lock(g);
  (void)world_stop(&g->world, -1);
  mark_pause(&g->marking);
  world_gate_close(&g->world);
}

void gc_fork_parent(struct heap *h) {
  struct gc *g = gc_of(h);
  mark_resume(&g->marking);
  world_gate_open(&g->world);
  gc_unlock(g);
  open_to_visits(g);
}

void gc_fork_child(struct heap *h) {
  struct gc *g = gc_of(h);
  world_after_fork(&g->world);
  mark_after_fork(&g->marking);
  beside_after_fork(g);
  background_after_fork(g);
  gc_unlock(g);
  atomic_u32_store_relaxed(&g->visiting, 0);
  atomic_u32_store_relaxed(&g->forking, 0);
}
