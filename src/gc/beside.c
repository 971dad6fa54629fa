// SPDX-License-Identifier: MIT
/*
 * A cycle beside the program (Go: gcStart, gcBgMarkWorker, gcMarkDone).
 *
 * The collector has a thread of its own for it, which does this:
 *
 *   1  finishes the sweeping of the cycle before
 *   2  stops the world; empties all caches; reads the roots into edges; switches
 *      `marking` and the barrier on; starts the world      the first pause
 *   3  marks, on a quarter of the processors and on idle ones, while the program runs
 *   4  stops the world; takes what the threads' barriers have kept, and what their
 *      registers and stacks hold. When more hangs on that than can be marked in a
 *      moment, starts the world and goes back to 3
 *   5  switches both off; every span becomes unswept; paces the next cycle; starts the
 *      world                                               the second pause
 *
 * Why all that is alive gets marked, with barriers. What was reachable in 2 (the snapshot) is marked
 * in 3: a way to it that the program removes goes through the barrier (barrier.c). What
 * is allocated after 2 is marked at once (mcache.c, mheap.c). So neither needs a look at
 * the program's variables again; 4 looks at stacks for the sake of stores that are just
 * under way.
 *
 * With the kernel's tracking there is no snapshot. Pages are armed before 2 (track.c),
 * and between 3 and 4 what the program has written is scanned again, in rounds
 * (rounds.c), until little is left for the second pause, which reads all roots once
 * more.
 *
 * The program is not to run away: a thread that allocates helps to mark, as far as the
 * marking is behind (pace.c), so that the heap is at its goal when marking ends.
 *
 * Nothing becomes free while marking runs: explicit frees wait (alloc/free.c), spans are
 * swept before, large objects are not extended in place.
 *
 * Locks. In 2 and 4 the thread takes the loader's lock and then the gc lock, as a cycle
 * in gc.c does; in 3 it holds none, so that others may stop the world for reasons of
 * their own; then they pause the markers (mark_pause).
 *
 *   I1  heap.marking and the barrier change together, in a stopped world
 *   I2  when `marking` goes off there are no edges, no marker is at work, and no thread
 *       has kept a pointer
 *   I3  `finished` follows `begun` by at most one
 */
#include "gc/barrier.h"
#include "gc/turn.h"

#include "base/fatal.h"
#include "os/clock.h"
#include "os/segments.h"
#include "os/thread_linux.h"
#include <limits.h>

/* What hangs on the last changes is followed for so long in the second pause, before
 * marking goes on beside the program: by barriers, and by tracking. */
#define LAST_NS 50000
#define LAST_NS_KERNEL 600000
/* Steps of 128 edges between two looks at the clock. */
#define LAST_STEPS 2

/* --- the first pause --- */

static void push_roots(struct gc *g) {
  const struct roots *r = &g->roots;
  for (size_t i = 0; i < r->n; i++)
    mark_push(&g->marking.marker[0], r->shard[i].lo, r->shard[i].hi);
}

/* At the most. */
static unsigned markers_for(const struct gc *g, const struct turn *c) {
  unsigned helpers = atomic_u32_load_acquire(&g->marking.nhelpers);
  if (c->t.live_before < GC_PARALLEL_MIN_BYTES) return 1;
  /* How many of them really take part: pace.c. */
  return g->nprocs < 1 + helpers ? g->nprocs : 1 + helpers;
}

static void switch_marking(struct gc *g, bool on, bool barrier) { /* I1 */
  atomic_u32_store_relaxed(&g->h->marking, on);
  barrier_set(on && barrier);
}

static void end_cycle(struct turn *c);

/* False: the world could not be stopped while we hold the loader's lock, or there is
 * something to sweep first. */
static bool open_cycle(struct turn *c) {
  struct gc *g = c->g;
  struct marking *m = &g->marking;
  c->t.goal = g->pace.pacer.goal;
  /* Somebody has collected a small heap since. */
  if (!atomic_bool_load_acquire(&g->h->sweep_done)) return false;
  roots_touch();
  spanset_pool_warm(&g->h->spanset_pool);
  if (!world_stop(&g->world, GC_STOP_PATIENCE_NS)) return false;
  c->t.begin = g->world.began;
  gc_pause_begin(&c->first, c->t.begin);
  gc_pause_part(&c->first, "stop");
  /* Who asks from here on is served by this cycle if he has seen `begun` as it was, and
   * asks again if not: so `wanted` is cleared before. */
  atomic_u32_store_release(&g->beside.wanted, 0);
  if (atomic_u32_exchange_acq_rel(&g->beside.forced, 0))
    c->forced = c->t.forced = true;
  atomic_u64_fetch_add_release(&g->started, 1);
  atomic_u32_fetch_add_release(&g->beside.begun, 1);
  futex_wake(&g->beside.begun, INT_MAX);
  gc_flush_caches(g, c->limit);
  gc_forget_frees();
  gc_pause_part(&c->first, "flush");
  c->t.live_before = heap_live_bytes(g->h);
  if (unlikely(g->h->opt.verify)) gc_verify_stopped(g);
  g->nmarkers = markers_for(g, c);
  mark_prepare(m, g->nmarkers);
  m->shared = true; /* the program runs beside, and may help */
  atomic_u32_store_relaxed(&m->active, 0);
  gc_pause_part(&c->first, "prepare");
  roots_collect(&g->roots, &g->world, 0);
  gc_pause_part(&c->first, "roots");
  push_roots(g);
  gc_pause_part(&c->first, "push");
  /* Without memory for the roots' edges there is no snapshot: all is marked now. */
  if (unlikely(atomic_u32_load_relaxed(&m->overflow))) {
    mark_again(&m->marker[0]);
    m->shared = true;
  }
  if (c->whole) {
    c->t.stopped = c->first.now;
    mark_beside(m, NULL, NULL); /* nothing is beside it now */
    c->t.marked = clock_nanotime();
    gc_pause_begin(&c->last, c->t.marked);
    end_cycle(c);
    return true;
  }
  switch_marking(g, true, !c->kernel);
  pace_begin(g, &c->t, c->periodic);
  world_start(&g->world);
  gc_pause_part(&c->first, "start");
  c->t.stopped = c->first.now;
  return true;
}

/* --- the last pause --- */

static void take_kept(struct gc *g) {
  for (struct thread *t = thread_registry.head; t; t = t->next)
    barrier_flush(&g->marking, t);
}

/* The program was faster too often: the pause lasts as long as it takes. */
static bool is_last_try(const struct turn *c) {
  return c->tries > MAX_TRIES || c->rounds.n >= MAX_ROUNDS;
}

/* Edges from what may have changed unseen: roots, and with tracking written pages.
 * False: more than a pause may have. */
static bool push_rest(struct turn *c) {
  struct gc *g = c->g;
  take_kept(g);
  gc_pause_part(&c->last, "kept");
  if (!c->kernel) {
    roots_collect_stacks(&g->roots, &g->world);
    push_roots(g);
    gc_pause_part(&c->last, "stacks");
    return true;
  }
  roots_collect(&g->roots, &g->world, 0);
  push_roots(g);
  gc_pause_part(&c->last, "roots");
  bool at_last = is_last_try(c) || g->track.lost;
  return track_last(&g->track, &g->marking.marker[0],
                    at_last ? SIZE_MAX : (size_t)ROUNDS_LEFT << c->tries / 4);
}

/* Marks what has come up since marking had nothing left, for a moment. True: that was
 * all. */
static bool mark_rest(struct turn *c) {
  struct gc *g = c->g;
  struct marking *m = &g->marking;
  struct marker *k = &m->marker[0];
  bool little = push_rest(c);
  if (c->kernel) gc_pause_part(&c->last, "scan");
  if (!little) return false;
  int64_t end = clock_nanotime() + (c->kernel ? LAST_NS_KERNEL : LAST_NS);
  bool at_last = is_last_try(c);
  do {
    k->quota = at_last ? 0 : LAST_STEPS;
    mark_drain(k);
  } while (mark_has_work(k) && clock_nanotime() < end);
  k->quota = 0;
  gc_pause_part(&c->last, "drain");
  if (mark_has_work(k)) return false;
  if (unlikely(atomic_u32_load_relaxed(&m->overflow))) mark_again(k);
  return true;
}

static void check_ended(const struct gc *g) { /* I2 */
  const struct marking *m = &g->marking;
  for (const struct thread *t = thread_registry.head; t; t = t->next)
    if (t->nbarrier) verify_fail("beside I2", "thread=%d keeps", t->tid);
  if (atomic_u32_load_relaxed(&m->active) || mark_has_work(&m->marker[0]))
    verify_fail("beside I2", "active=%u", atomic_u32_load_relaxed(&m->active));
}

static void sum_up(struct gc *g, struct gc_times *t) {
  struct gc_stats *s = &g->stats;
  mark_sum(&g->marking, &s->heap_marked, &s->objects_marked);
  t->live_at_end = heap_live_bytes(g->h);
  /* What has come since the first pause is alive, whether it is or not. */
  if (t->live_at_end > t->live_before)
    s->heap_marked += t->live_at_end - t->live_before;
  t->live_after = s->heap_marked;
}

/* In the last pause, when everything is marked. Starts the world. */
static void end_cycle(struct turn *c) {
  struct gc *g = c->g;
  c->done = true;
  gc_flush_caches(g, c->limit);
  gc_pause_part(&c->last, "flush");
  switch_marking(g, false, false);
  if (unlikely(g->h->opt.verify)) check_ended(g);
  if (unlikely(g->h->opt.checkmark)) {
    roots_collect(&g->roots, &g->world, 0);
    checkmark_run(g, c->whole);
  }
  sum_up(g, &c->t);
  gc_turn_cycle(g, &c->t,
                !c->forced && !c->periodic &&
                    g->pace.pacer.config.memory_limit == INT64_MAX);
  /* Not before: marks are a matter of unswept spans (mheap I8). */
  if (unlikely(g->h->opt.verify)) gc_verify_stopped(g);
  gc_pause_part(&c->last, "turn");
  world_start(&g->world);
  gc_pause_part(&c->last, "start");
  c->t.end = c->last.now;
  gc_note_cycle(g, &c->t);
  if (unlikely(g->h->opt.trace_gc))
    gc_trace_pauses(g, &c->first, &c->last, &c->longest);
}

void turn_note_pause(struct turn *c, int64_t begin) {
  int64_t ns = clock_nanotime() - begin;
  gc_note_pause(c->g, ns);
  pace_note_stop(c->g, begin, begin + ns, true);
  /* Counted as a part of the first one. */
  c->t.begin -= ns;
  c->t.retried += ns;
}

/* False: the world could not be stopped. c->done says whether the cycle has ended. */
static bool close_cycle(struct turn *c) {
  struct gc *g = c->g;
  if (!world_stop(&g->world, GC_STOP_PATIENCE_NS)) return false;
  int64_t begin = g->world.began;
  gc_pause_begin(&c->last, begin);
  gc_pause_part(&c->last, "stop");
  c->t.marked = begin;
  if (mark_rest(c)) {
    end_cycle(c);
    return true;
  }
  c->tries++;
  world_start(&g->world);
  turn_note_pause(c, begin);
  return true;
}

/* --- the thread --- */

static void lock_and(struct turn *c, bool (*part)(struct turn *c)) {
  c->entered = true;
  gc_lock(c->g);
  c->again = !part(c);
  gc_unlock(c->g);
}

static void enter_open(void *arg) { lock_and(arg, open_cycle); }
static void enter_close(void *arg) { lock_and(arg, close_cycle); }

static void visit_nothing(const struct segment_info *info, void *arg) {
  (void)info, (void)arg;
}

static void finish_sweeping(struct gc *g) {
  while (background_sweep_batch(g)) {
  }
  sweep_wait(g->h);
}

/* Runs a part inside the loader's lock, as often as it takes. */
static void visit(struct turn *c, void (*enter)(void *arg)) {
  do {
    c->entered = false;
    if (enter == enter_open) finish_sweeping(c->g);
    (void)gc_begin_visit(c->g, true);
    segments_visit(enter, visit_nothing, c);
    if (!c->entered) enter(c); /* a static program without headers */
    gc_end_visit(c->g);
  } while (c->again);
}

static void add_thread(void *world) { world_add_library_thread(world); }

/* Whether one short stop is less than what tracking costs. */
static bool is_small(const struct gc *g) {
  return pace_stops_if_small(g) && pace_is_small(heap_live_bytes(g->h));
}

bool beside_prefers_stop(const struct gc *g) {
  const struct beside *b = &g->beside;
  return is_small(g) && !heap_is_marking(g->h) &&
         !atomic_u32_load_relaxed(&b->wanted) &&
         !atomic_u32_load_acquire(&b->busy);
}

/* Chooses how to mark. Reopens tracking in the child of a fork. */
static void prepare(struct turn *c) {
  struct gc *g = c->g;
  c->whole = !gc_is_beside(g);
  c->kernel = atomic_u32_load_relaxed(&g->beside.mode) == GC_KERNEL;
  if (!c->kernel) return;
  c->whole = is_small(g);
  if (c->whole) return;
  if (!wptrack_is_open(&g->track.w))
    g->track.err = track_open(&g->track, g->h, wptrack_system());
  if (g->nprocs > 1) track_start_mate(&g->track, add_thread, &g->world);
  int64_t begin = clock_nanotime();
  c->whole = !track_arm(&g->track);
  if (c->whole) c->rounds.err = g->track.err;
  c->rounds.arm_ns = clock_nanotime() - begin;
}

static void run_cycle(struct gc *g) {
  struct beside *b = &g->beside;
  struct turn c = {.g = g,
                   .forced = atomic_u32_exchange_acq_rel(&b->forced, 0) != 0,
                   .limit = atomic_u32_exchange_acq_rel(&b->limit, 0) != 0};
  c.periodic = atomic_u32_exchange_acq_rel(&b->periodic, 0) && !c.forced;
  /* The program has come to one since, by itself: it is served. */
  if (c.periodic && atomic_u64_load_relaxed(&g->started) !=
                        atomic_u64_load_relaxed(&b->periodic_started))
    return;
  c.t.forced = c.forced;
  c.t.periodic = c.periodic;
  prepare(&c);
  c.t.beside = !c.whole;
  visit(&c, enter_open);
  while (unlikely(atomic_u32_load_acquire(&g->faults.hold)))
    futex_wait(&g->faults.hold, 1, -1);
  while (!c.done) {
    mark_beside(&g->marking, &pace_ops, g);
    if (c.kernel) {
      pace_begin_rounds(g);
      rounds_clean(&c);
      pace_end_rounds(g);
    }
    visit(&c, enter_close);
  }
  gc_wake_background(g);
  if (c.kernel && unlikely(g->h->opt.trace_gc)) {
    c.rounds.last = g->track.pages;
    if (g->track.lost) c.rounds.err = g->track.err;
    c.rounds.tries = c.tries;
    c.rounds.level = c.level;
    gc_trace_rounds(g, &c.rounds);
  }
  /* release: all of the cycle, to beside_collect */
  atomic_u32_fetch_add_release(&b->finished, 1);
  futex_wake(&b->finished, INT_MAX);
  if (c.kernel && !c.whole) track_disarm(&g->track, &b->wanted);
}

static void thread_main(void *arg) {
  struct gc *g = arg;
  struct beside *b = &g->beside;
  world_add_library_thread(&g->world);
  atomic_u32_store_release(&b->running, 1);
  futex_wake(&b->running, INT_MAX);
  for (;;) {
    atomic_u32_store_relaxed(&b->busy, 1);
    bool wanted = atomic_u32_exchange_acq_rel(&b->wanted, 0) != 0;
    if (wanted) run_cycle(g);
    atomic_u32_store_release(&b->busy, 0);
    if (!wanted) futex_wait(&b->wanted, 0, -1);
  }
}

bool beside_start(struct gc *g) {
  struct beside *b = &g->beside;
  uint32_t none = 0;
  if (likely(atomic_u32_load_acquire(&b->running))) return true;
  if (atomic_u32_cas_acq_rel(&b->starting, &none, 1) &&
      thread_start_library("gc", thread_main, g) != 0) {
    atomic_u32_store_release(&b->starting, 0);
    return false;
  }
  while (!atomic_u32_load_acquire(&b->running))
    futex_wait(&b->running, 0, 1000000);
  return true;
}

static void ask(struct gc *g) {
  if (atomic_u32_load_relaxed(&g->beside.wanted)) return;
  atomic_u32_store_release(&g->beside.wanted, 1);
  futex_wake(&g->beside.wanted, 1);
}

/* --- for gc.c --- */

static void sweep_in_pieces(struct gc *g) {
  struct thread *t = thread_self;
  size_t n;
  do {
    thread_enter(t);
    n = sweep_one(g->h);
    thread_leave(t);
  } while (n != SIZE_MAX);
  /* What others have in hand would look alive. */
  gc_blocking_begin(t);
  sweep_wait(g->h);
  gc_blocking_end(t);
}

bool beside_collect(struct gc *g, bool forced, bool limit) {
  struct beside *b = &g->beside;
  struct thread *t = thread_self;
  if (!beside_start(g)) return false;
  if (g->nprocs > 1) mark_make_helpers(&g->marking, g->nprocs - 1);
  if (limit) atomic_u32_store_relaxed(&b->limit, 1);
  if (forced) atomic_u32_store_relaxed(&b->forced, 1);
  /* The next to begin is one that begins after this. acquire: `begun` */
  uint32_t want = atomic_u32_load_acquire(&b->begun) + 1, have;
  ask(g);
  while (forced &&
         (int32_t)((have = atomic_u32_load_acquire(&b->finished)) - want) < 0) {
    gc_blocking_begin(t);
    futex_wait(&b->finished, have, -1);
    gc_blocking_end(t);
  }
  if (forced) {
    sweep_in_pieces(g);
    background_start(g);
  }
  return true;
}

/* The heap is not to run away from a thread that waits for a processor, or sweeps. */
static void wait_for_begin(struct gc *g) {
  struct thread *t = thread_self;
  if (!t) return;
  uint32_t begun = atomic_u32_load_relaxed(&g->beside.begun);
  gc_blocking_begin(t);
  futex_wait(&g->beside.begun, begun, pace_wait_ns(g));
  gc_blocking_end(t);
}

void beside_trigger(struct gc *g) {
  if (heap_is_marking(g->h)) {
    pace_help(g);
    return;
  }
  if (heap_live_bytes(g->h) < atomic_u64_load_relaxed(&g->h->gc_trigger))
    return;
  /* It takes a moment until the thread has begun. */
  if (atomic_u32_load_relaxed(&g->beside.wanted) ||
      atomic_u32_load_acquire(&g->beside.busy)) {
    if (pace_is_over_goal(g)) wait_for_begin(g);
    return;
  }
  if (beside_collect(g, false, false)) background_start(g);
}

void beside_ask_periodic(struct gc *g) {
  if (!beside_start(g) || heap_is_marking(g->h)) return;
  atomic_u64_store_relaxed(&g->beside.periodic_started,
                           atomic_u64_load_relaxed(&g->started));
  atomic_u32_store_release(&g->beside.periodic, 1);
  ask(g);
}

static void clear_marks(struct mspan *s, void *arg) {
  struct heap *h = arg;
  mspan_clear_marks(s);
  if (!atomic_u8_load_relaxed(&s->has_marks)) return;
  atomic_u8_store_relaxed(&s->has_marks, 0);
  arena_page_bit_clear(arena_of(&h->arenas, s->base)->page_marks, s->base);
}

/* The child of a fork in the middle of a cycle gives it up. Its one thread keeps what
 * is allocated. */
void beside_after_fork(struct gc *g) {
  struct beside *b = &g->beside;
  atomic_u32_store_relaxed(&b->running, 0);
  atomic_u32_store_relaxed(&b->busy, 0);
  atomic_u32_store_relaxed(&b->starting, 0);
  atomic_u32_store_relaxed(&b->wanted, 0);
  atomic_u32_store_relaxed(&b->finished, atomic_u32_load_relaxed(&b->begun));
  track_after_fork(&g->track);
  pace_after_fork(g);
  work_reset(&g->marking);
  if (!heap_is_marking(g->h)) return;
  switch_marking(g, false, false);
  if (thread_self) thread_self->nbarrier = 0;
  mheap_visit_spans(g->h, clear_marks, g->h);
  atomic_u64_store_relaxed(&g->h->gc_trigger, heap_live_bytes(g->h));
}
