// SPDX-License-Identifier: MIT
/*
 * Pacing at work: what pacer.c, assist.c, markshare.c and limiter.c compute, brought
 * together with clocks, threads and locks (Go: gcController, gcAssistAlloc,
 * gcBgMarkWorker).
 *
 * Units of work are bytes of objects scanned (mark_tell_work), roots included: those are
 * read in the first pause and count as done when marking begins.
 *
 * Who allocates. While marking, every refill of a run and every large object comes by
 * here (the trigger is 0). The thread's account is charged with what it has allocated;
 * when neither that nor the background's credit covers it, it marks. It does so for
 * ASSIST_NS at most for each 64 KiB that it has allocated; what it owes then it owes
 * further, and pays at its next refill, so that no single allocation takes long. Who
 * finds nothing to mark waits in the queue, to be paid first from what the background
 * does, and for WAIT_NS at most: then it goes on with its debt. So the heap can pass its
 * goal, but by CHARGE_BYTES or a large object in each such time, for each thread; and
 * with each tenth by which it has passed, that time doubles. The kernel may keep a marker
 * waiting for a tenth of a second while eight threads allocate.
 *
 * Who marks. The collector's own thread is the first worker, the helpers (worker.c) are
 * the others. By markshare.c the first `dedicated` ones mark to the end; the next may be
 * a fractional one, which has its share of the time since the cycle began; all others are
 * for idle processors. A thread cannot ask whether a processor is idle, and one of idle
 * priority that the kernel does not run while others work holds up the cycle's end, and
 * every stop, with what it has in hand. So all have the program's priority, and look at
 * how much of the last millisecond they have had a processor: who was kept from it has
 * taken it from others. Who has been preempted is `crowded` for the next CROWDED_NS. The
 * fractional worker goes on over its share while it is not (that is idle time), and rests
 * when it is, but not between rounds over written pages: they would find more. An idle
 * worker rests when it is. Whether another idle worker is called
 * follows from the processor time of the whole process: are there processors that it does
 * not use?
 *
 * Lock: `lock` of struct pace, taken inside the gc lock, by who is inside the allocator
 * or is a marker at work; so a stopped world has it free.
 *
 *   I1  a thread in the queue is in pace_help; pace_end leaves none in it
 *   I2  the accounts' cycle is that of struct assist, or they are void
 */
#include "gc/state.h"

#include "base/fatal.h"
#include "os/clock.h"
#include "os/thread_linux.h"
#include <limits.h>

/* Bytes of the heap that one stop of some ten milliseconds marks, by all processors. */
#define SMALL_HEAP_BYTES ((uint64_t)64 << 20)
/* A cycle begins no later than this part of the way to the goal. By trigger.c it may be
 * 61/64 or 4 MiB before it: so the goal is reached, but with nothing in hand when the
 * kernel gives the marker less of a processor than before. A cache of 500 000 entries
 * takes 512 MiB in 9 cycles by this, and 545 to 565 in 8 or 9 without, and nobody helps. */
#define LATEST_64THS 53
/* Steps of 128 edges between two looks at the clock while helping: some 80 us. */
#define ASSIST_STEPS 16
/* Allocated between two charges: so a thread allocates 20 MB in a second even if it has
 * to wait each time, and a heap at its limit is slow, but not at a stop. */
#define CHARGE_BYTES ((int64_t)16 << 10)
/* What a thread helps at once, at most, for each ASSIST_PER bytes. */
#define ASSIST_NS ((int64_t)250000)
#define ASSIST_PER ((int64_t)64 << 10)
/* What a thread waits in the queue, at most: with the heap near its goal, and then. */
#define WAIT_NS ((int64_t)500000)
#define WAIT_DOUBLED_MOST 6
/* Between two computations of the ratio. */
#define REVISE_NS 500000
/* Between two looks at whether a worker had its processor. */
#define SHIFT_NS 1000000
/* The kernel preempts a thread for some 3 ms at a time. */
#define CROWDED_NS ((int64_t)15000000)
/* Over which the process's use of processors is measured. */
#define USAGE_NS ((int64_t)3000000)
#define IDLE_ENOUGH 0.75 /* of a processor */
/* The fractional worker rests so long, at least and at most. */
#define REST_MIN_NS 200000
#define REST_MAX_NS 5000000

struct waiter {
  struct assist_waiter w;
  struct atomic_u32 paid; /* (a) futex */
};

static void lock(struct pace *p) MGC_NO_ANALYSIS { mutex_lock(&p->lock); }
static bool trylock(struct pace *p) MGC_NO_ANALYSIS {
  return mutex_trylock(&p->lock);
}
static void unlock(struct pace *p) MGC_NO_ANALYSIS { mutex_unlock(&p->lock); }

/* --- figures --- */

static struct pacer_memory memory_of(const struct gc *g, uint64_t heap_alloc) {
  const struct heap_stats *st = &g->h->stats;
  uint64_t retained = heap_retained_bytes(g->h);
  uint64_t inuse = memstat_load(&st->heap_inuse);
  return (struct pacer_memory){
      .mapped_ready = heap_mapped_bytes(g->h),
      .heap_free = retained > inuse ? retained - inuse : 0,
      .heap_alloc = heap_alloc,
  };
}

/* Nothing is allocated while a small heap is marked: one stop takes less time than
 * tracking. */
bool pace_stops_if_small(const struct gc *g) {
  return g->h->opt.gcmode == GCMODE_AUTO &&
         atomic_u32_load_relaxed(&g->beside.mode) == GC_KERNEL;
}

bool pace_is_small(uint64_t bytes) { return bytes < SMALL_HEAP_BYTES; }

static bool next_stops(const struct gc *g) {
  return !gc_is_beside(g) ||
         (pace_stops_if_small(g) && pace_is_small(g->pace.pacer.goal));
}

uint64_t pace_trigger(const struct gc *g) {
  const struct pacer *p = &g->pace.pacer;
  uint64_t marked = p->last.heap_marked;
  if (next_stops(g) || p->goal == PACER_NO_GOAL || p->goal <= marked)
    return p->trigger;
  uint64_t latest = marked + (p->goal - marked) / 64 * LATEST_64THS;
  return p->trigger < latest ? p->trigger : latest;
}

/* What the pacer has come to is handed on. (g), and nobody marks, or the lock. */
static void commit(struct gc *g) {
  struct pacer *p = &g->pace.pacer;
  if (!p->marking) {
    if (next_stops(g)) pacer_stop_next(p, limiter_limits(&g->pace.limiter));
    atomic_u64_store_relaxed(&g->h->gc_trigger, pace_trigger(g));
  }
  g->stats.next_gc = p->goal;
  atomic_u64_store_relaxed(&g->pace.goal, p->goal);
}

bool pace_is_over_goal(const struct gc *g) {
  return heap_live_bytes(g->h) > atomic_u64_load_relaxed(&g->pace.goal);
}

int64_t pace_wait_ns(const struct gc *g) {
  uint64_t live = heap_live_bytes(g->h);
  uint64_t goal = atomic_u64_load_relaxed(&g->pace.goal);
  if (live <= goal) return WAIT_NS;
  uint64_t tenths = (live - goal) / (goal / 10 + 1);
  return WAIT_NS << (tenths < WAIT_DOUBLED_MOST ? tenths : WAIT_DOUBLED_MOST);
}

void pace_init(struct gc *g, const struct pacer_config *c) {
  struct pace *p = &g->pace;
  mutex_init(&p->lock, LOCKRANK_pace);
  list_init(&p->queue);
  limiter_init(&p->limiter, g->nprocs);
  pacer_init(&p->pacer, c);
  limiter_open(&p->limiter, markshare_plan(g->nprocs, false).share,
               g->start_time);
  atomic_i32_store_relaxed(&p->percent, c->percent);
  p->period_ns = (int64_t)g->h->opt.gc_period_ms * 1000000;
  p->idle_after_ns = (int64_t)g->h->opt.gc_idle_ms * 1000000;
  commit(g);
}

void pace_configure(struct gc *g, const struct pacer_config *c) {
  struct pace *p = &g->pace;
  atomic_i32_store_relaxed(&p->percent, c->percent);
  lock(p);
  pacer_configure(&p->pacer, c);
  commit(g);
  uint64_t trigger = pace_trigger(g);
  bool marking = p->pacer.marking;
  unlock(p);
  if (!marking) background_pace_sweep(g, trigger);
}

#define STOPPED_RETRY_NS 50000000

int64_t pace_time_left(struct gc *g, int64_t now) {
  struct pace *p = &g->pace;
  int percent = atomic_i32_load_relaxed(&p->percent);
  /* The cycle's end wakes the caller. */
  if (heap_is_marking(g->h)) return p->period_ns ? p->period_ns : -1;
  /* A program that is stopped is not at rest. acquire: last_end is of before */
  if (atomic_u32_load_acquire(&g->world.stop_wanted)) return STOPPED_RETRY_NS;
  int64_t last = atomic_i64_load_relaxed(&p->last_end);
  int64_t period = trigger_period_left(percent, p->period_ns, last, now);
  int64_t idle = trigger_idle_left(&p->watch, percent, p->idle_after_ns,
                                   heap_live_bytes(g->h), last, now);
  if (period < 0) return idle;
  return idle < 0 || period < idle ? period : idle;
}

/* --- the limiter --- */

/* Processors that the process has not used are nobody's: a program that waits in debt
 * would otherwise seem to have them. Lock. */
static void note_idle(struct gc *g, int64_t now) {
  struct pace *p = &g->pace;
  int64_t cpu = clock_process_cpu();
  int64_t had = (now - p->idle_since) * g->nprocs, used = cpu - p->idle_cpu;
  if (p->idle_since != 0 && had > used)
    limiter_add_idle(&p->limiter, had - used);
  p->idle_since = now;
  p->idle_cpu = cpu;
}

static void tick(struct gc *g, int64_t now) {
  if (!limiter_needs_tick(&g->pace.limiter, now)) return;
  note_idle(g, now);
  limiter_tick(&g->pace.limiter, now);
}

/* --- the ratio --- */

/* Lock. */
static void revise(struct gc *g, int64_t now) {
  struct pace *p = &g->pace;
  uint64_t live = heap_live_bytes(g->h);
  uint64_t scan =
      atomic_u64_load_relaxed(&g->h->stats.pages_scan) * MGC_PAGE_SIZE;
  struct pacer_progress progress = {
      .heap_live = live,
      .heap_scan = scan < live ? scan : live,
      .work = atomic_u64_load_relaxed(&g->marking.work) + p->root_bytes,
  };
  if (p->pacer.config.memory_limit != PACER_NO_LIMIT) {
    struct pacer_memory memory = memory_of(g, live);
    pacer_update_memory(&p->pacer, &memory);
  }
  assist_set_ratio(&p->assist, pacer_revise(&p->pacer, &progress));
  tick(g, now);
  atomic_i64_store_relaxed(&p->revised, now);
}

/* Inside the allocator, or a marker at work. */
static void revise_if_due(struct gc *g, int64_t now) {
  struct pace *p = &g->pace;
  if (now - atomic_i64_load_relaxed(&p->revised) < REVISE_NS) return;
  if (!trylock(p)) return;
  if (p->pacer.marking) revise(g, now);
  unlock(p);
}

/* --- who allocates --- */

static int64_t charge(struct gc *g, struct thread *t, int64_t *bytes) {
  struct pace *p = &g->pace;
  int64_t total = t->cache->allocated + t->cache->live_debt;
  *bytes = total - t->charged;
  if (*bytes < CHARGE_BYTES) return 0; /* or some were given back */
  t->charged = total;
  return assist_charge(&p->assist, &t->account, (size_t)*bytes,
                       limiter_limits(&p->limiter));
}

/* False: in debt, and nothing is there to mark. */
static bool pay(struct gc *g, struct thread *t, int64_t bytes) {
  struct pace *p = &g->pace;
  int64_t most = ASSIST_NS * (1 + bytes / ASSIST_PER);
  int64_t begin = clock_nanotime(), now = begin;
  bool paid = false, found;
  do {
    uint64_t done;
    found = mark_assist(&g->marking, ASSIST_STEPS, &done);
    if (found) paid = assist_settle(&p->assist, &t->account, (int64_t)done);
    now = clock_nanotime();
  } while (found && !paid && now - begin < most &&
           !atomic_u32_load_relaxed(&t->stop_pending));
  atomic_i64_fetch_add_relaxed(&p->assist_ns, now - begin);
  limiter_add_assist(&p->limiter, now - begin);
  revise_if_due(g, now);
  return found || paid;
}

/* For the queue's lock. False: there is nothing to wait for. */
static bool begin_wait(struct gc *g, struct thread *t, struct waiter *w) {
  struct pace *p = &g->pace;
  thread_enter(t);
  lock(p);
  bool waits = p->pacer.marking;
  if (waits) {
    assist_wait(&p->queue, &w->w);
    atomic_u32_fetch_add_relaxed(&p->nwaiting, 1);
  }
  unlock(p);
  thread_leave(t);
  return waits;
}

static void end_wait(struct gc *g, struct thread *t, struct waiter *w) {
  struct pace *p = &g->pace;
  thread_enter(t);
  lock(p);
  if (!atomic_u32_load_relaxed(&w->paid)) {
    list_remove(&w->w.link);
    atomic_u32_fetch_sub_relaxed(&p->nwaiting, 1);
  }
  unlock(p);
  thread_leave(t);
}

static void wake_resting(struct pace *p) {
  if (!atomic_u32_load_relaxed(&p->resting)) return;
  atomic_u32_fetch_add_relaxed(&p->rest, 1);
  futex_wake(&p->rest, INT_MAX);
}

static void wait_for_pay(struct gc *g, struct thread *t) {
  struct waiter w = {.w.account = &t->account};
  if (!begin_wait(g, t, &w)) return;
  wake_resting(&g->pace);
  gc_blocking_begin(t);
  futex_wait(&w.paid, 0, pace_wait_ns(g));
  gc_blocking_end(t);
  end_wait(g, t, &w);
}

void pace_help(struct gc *g) {
  struct thread *t = thread_self;
  int64_t bytes;
  if (!t) return;
  thread_enter(t);
  bool due = heap_is_marking(g->h) && charge(g, t, &bytes) > 0;
  bool going = !due || pay(g, t, bytes);
  thread_leave(t);
  if (!due) return;
  gc_clear_dead_stack();
  if (going) return;
  /* Rounds over written pages pay for nothing. */
  if (!atomic_u32_load_relaxed(&g->pace.rounds) || pace_is_over_goal(g))
    wait_for_pay(g, t);
}

void pace_detach(struct gc *g, struct thread *t) {
  assist_close(&g->pace.assist, &t->account);
}

/* Lock. Those in `woken` are out of the queue. */
static void wake_paid(struct pace *p, struct list *woken) {
  struct list *l;
  while ((l = list_pop_front(woken)) != NULL) {
    struct waiter *w = container_of(l, struct waiter, w.link);
    atomic_u32_fetch_sub_relaxed(&p->nwaiting, 1);
    /* It stays until it has had the lock. */
    atomic_u32_store_relaxed(&w->paid, 1);
    futex_wake(&w->paid, 1);
  }
}

static void give_credit(struct pace *p, int64_t work) {
  if (likely(atomic_u32_load_relaxed(&p->nwaiting) == 0)) {
    assist_add_credit(&p->assist, work);
    return;
  }
  struct list woken;
  list_init(&woken);
  lock(p);
  assist_pay(&p->assist, &p->queue, work, &woken);
  wake_paid(p, &woken);
  unlock(p);
}

/* --- who marks --- */

static struct pace_shift *shift_of(struct gc *g, const struct marker *k) {
  return &g->pace.shift[k->index];
}

static bool is_fractional(const struct pace *p, const struct marker *k) {
  const struct markshare *s = &p->pacer.share;
  return k->index == s->dedicated && s->fractional > 0 && !p->all_mark;
}

/* Workers that have a share by right. */
static unsigned base_workers(const struct pace *p) {
  const struct markshare *s = &p->pacer.share;
  return p->all_mark ? UINT_MAX : s->dedicated + (s->fractional > 0);
}

static bool is_idle_worker(const struct pace *p, const struct marker *k) {
  return k->index >= base_workers(p);
}

static bool op_join(void *arg, struct marker *k) {
  struct pace *p = &((struct gc *)arg)->pace;
  if (!is_idle_worker(p, k)) return true;
  return !limiter_limits(&p->limiter) && idle_workers_add(&p->idle);
}

static void op_quit(void *arg, struct marker *k) {
  struct pace *p = &((struct gc *)arg)->pace;
  if (is_idle_worker(p, k)) idle_workers_remove(&p->idle);
}

static void open_shift(struct pace_shift *s, int64_t now) {
  s->since_ns = now;
  s->since_cpu = clock_thread_cpu();
}

static void op_begin(void *arg, struct marker *k) {
  struct gc *g = arg;
  open_shift(shift_of(g, k), clock_nanotime());
  if (k->index == 0 && base_workers(&g->pace) > 1)
    mark_call_helpers(&g->marking);
}

/* What the worker did in the shift that ends now, as background or idle time. */
static void close_shift(struct gc *g, const struct marker *k, int64_t now) {
  struct pace *p = &g->pace;
  struct pace_shift *s = shift_of(g, k);
  int64_t wall = now - s->since_ns, worked = clock_thread_cpu() - s->since_cpu;
  if (wall >= SHIFT_NS && worked < wall - wall / 8)
    s->crowded_until = now + CROWDED_NS;
  int64_t background = worked;
  if (is_idle_worker(p, k)) {
    background = 0;
  } else if (is_fractional(p, k) && now > s->crowded_until) {
    double due = (double)(now - p->pacer.start_ns) * p->pacer.share.fractional;
    int64_t room = (int64_t)due - p->fractional_ns;
    background = room < 0 ? 0 : room < worked ? room : worked;
  }
  if (is_fractional(p, k)) p->fractional_ns += background;
  atomic_i64_fetch_add_relaxed(&p->background_ns, background);
  atomic_i64_fetch_add_relaxed(&p->idle_ns, worked - background);
  limiter_add_idle(&p->limiter, worked - background);
  open_shift(s, now);
}

/* How many idle workers there may be; the collector's own thread. */
static void seek_idle(struct gc *g, int64_t now) {
  struct pace *p = &g->pace;
  int64_t wall = now - p->usage_since;
  if (wall < USAGE_NS) return;
  int64_t cpu = clock_process_cpu();
  double used = (double)(cpu - p->usage_cpu) / (double)wall;
  p->usage_since = now;
  p->usage_cpu = cpu;
  uint32_t n = idle_workers_count(&p->idle);
  bool more = p->shift[0].crowded_until <= now &&
              !limiter_limits(&p->limiter) && used <= g->nprocs - IDLE_ENOUGH &&
              n < p->pacer.share.idle_max;
  idle_workers_set_max(&p->idle, more ? n + 1 : n);
  if (idle_workers_wanted(&p->idle)) mark_call_helpers(&g->marking);
}

static bool must_rest(struct pace *p, const struct marker *k, int64_t now) {
  bool crowded = p->shift[k->index].crowded_until > now;
  if (is_idle_worker(p, k)) return crowded || limiter_limits(&p->limiter);
  return crowded && is_fractional(p, k) && !p->in_haste &&
         atomic_u32_load_relaxed(&p->nwaiting) == 0 &&
         markshare_must_stop(&p->pacer.share, now - p->pacer.start_ns,
                             p->fractional_ns);
}

static bool op_tick(void *arg, struct marker *k) {
  struct gc *g = arg;
  struct pace *p = &g->pace;
  give_credit(p, (int64_t)mark_tell_work(k));
  int64_t now = clock_nanotime();
  if (k->index == 0) {
    revise_if_due(g, now);
    if (g->marking.nmarkers > base_workers(p)) seek_idle(g, now);
  }
  if (now - shift_of(g, k)->since_ns < SHIFT_NS) return false;
  close_shift(g, k, now);
  return must_rest(p, k, now);
}

static void op_end(void *arg, struct marker *k) {
  struct gc *g = arg;
  give_credit(&g->pace, (int64_t)mark_tell_work(k));
  close_shift(g, k, clock_nanotime());
}

/* Until the fractional worker's share of the time has come up to what it had. */
static bool op_rest(void *arg, struct marker *k) {
  struct gc *g = arg;
  struct pace *p = &g->pace;
  if (is_idle_worker(p, k)) return false;
  uint32_t seen = atomic_u32_load_relaxed(&p->rest);
  int64_t elapsed = clock_nanotime() - p->pacer.start_ns;
  if (markshare_may_begin(&p->pacer.share, elapsed, p->fractional_ns))
    return true;
  double until = (double)p->fractional_ns / p->pacer.share.fractional;
  int64_t ns = (int64_t)until - elapsed;
  if (ns < REST_MIN_NS) ns = REST_MIN_NS;
  if (ns > REST_MAX_NS) ns = REST_MAX_NS;
  atomic_u32_store_relaxed(&p->resting, 1);
  if (atomic_u32_load_relaxed(&p->nwaiting) == 0)
    futex_wait(&p->rest, seen, ns);
  atomic_u32_store_relaxed(&p->resting, 0);
  return true;
}

const struct mark_ops pace_ops = {op_join, op_quit, op_begin,
                                  op_tick, op_end,  op_rest};

void pace_begin_rounds(struct gc *g) {
  struct pace *p = &g->pace;
  p->rounds_cpu = clock_thread_cpu();
  p->in_haste = true;
  atomic_u32_store_relaxed(&p->rounds, 1);
}

void pace_end_rounds(struct gc *g) {
  struct pace *p = &g->pace;
  atomic_u32_store_relaxed(&p->rounds, 0);
  atomic_i64_fetch_add_relaxed(&p->background_ns,
                               clock_thread_cpu() - p->rounds_cpu);
}

/* --- cycles --- */

void pace_note_stop(struct gc *g, int64_t begin, int64_t end, bool marking) {
  struct pace *p = &g->pace;
  lock(p);
  if (gc_is_beside(g)) note_idle(g, end);
  limiter_begin_stop(&p->limiter, marking, begin);
  limiter_end_stop(&p->limiter, end);
  unlock(p);
}

static void open_accounts(struct pace *p, double ratio) {
  assist_begin(&p->assist, ratio);
  for (struct thread *t = thread_registry.head; t; t = t->next)
    t->charged = t->cache->allocated + t->cache->live_debt;
}

void pace_begin(struct gc *g, const struct gc_times *t, bool periodic) {
  struct pace *p = &g->pace;
  int64_t now = clock_nanotime();
  struct pacer_start start = {.now_ns = now,
                              .heap_live = t->live_before,
                              .stack_bytes = g->roots.stack_bytes,
                              .globals_bytes = g->roots.globals_bytes,
                              .nprocs = g->nprocs,
                              .periodic = periodic};
  pace_note_stop(g, t->begin, now, true);
  lock(p);
  pacer_start_cycle(&p->pacer, &start);
  p->root_bytes = g->roots.stack_bytes + g->roots.globals_bytes;
  p->all_mark = t->forced;
  p->fractional_ns = 0;
  p->in_haste = false;
  atomic_i64_store_relaxed(&p->assist_ns, 0);
  atomic_i64_store_relaxed(&p->background_ns, 0);
  atomic_i64_store_relaxed(&p->idle_ns, 0);
  p->usage_since = now;
  p->usage_cpu = clock_process_cpu();
  idle_workers_set_max(&p->idle, 0);
  open_accounts(p, 1);
  revise(g, now);
  /* Each refill and each large object is to come by. */
  atomic_u64_store_relaxed(&g->h->gc_trigger, 0);
  g->stats.next_gc = p->pacer.goal;
  atomic_u64_store_relaxed(&p->goal, p->pacer.goal);
  unlock(p);
}

static uint64_t all_work(struct gc *g) {
  struct marking *m = &g->marking;
  for (unsigned i = 0; i < GC_MAX_MARKERS; i++)
    if (m->marker[i].cycle == m->cycle) (void)mark_tell_work(&m->marker[i]);
  return atomic_u64_load_relaxed(&m->work);
}

static void release_queue(struct pace *p) { /* I1 */
  struct list woken;
  list_init(&woken);
  list_append(&woken, &p->queue);
  wake_paid(p, &woken);
}

void pace_end(struct gc *g, const struct gc_times *t) {
  struct pace *p = &g->pace;
  int64_t now = clock_nanotime();
  if (!t->beside) {
    atomic_i64_store_relaxed(&p->background_ns,
                             (t->marked - t->stopped) * g->nmarkers);
    atomic_i64_store_relaxed(&p->assist_ns, 0);
    atomic_i64_store_relaxed(&p->idle_ns, 0);
  }
  struct pacer_end e = {
      .now_ns = t->marked,
      .heap_live = t->live_at_end,
      .heap_marked = g->stats.heap_marked,
      .heap_work = all_work(g),
      .stack_work = g->roots.stack_bytes,
      .globals_work = g->roots.globals_bytes,
      .background_ns = atomic_i64_load_relaxed(&p->background_ns),
      .assist_ns = atomic_i64_load_relaxed(&p->assist_ns),
      .idle_ns = atomic_i64_load_relaxed(&p->idle_ns),
      .memory = memory_of(g, t->live_at_end),
      .forced = t->forced || !t->beside,
  };
  int64_t swept = atomic_i64_exchange_acq_rel(&g->bg.swept_ns, 0);
  if (!t->beside) {
    int64_t last = atomic_i64_load_relaxed(&p->last_end);
    int64_t since = t->begin - (last ? last : g->start_time);
    /* Several threads may have swept at once. */
    if (swept > since - since / 16) swept = since - since / 16;
    e.taken_ns = now - t->begin + swept;
    e.program_ns = since - swept;
  }
  pace_note_stop(g, t->beside ? t->marked : t->begin, now, false);
  lock(p);
  pacer_end_cycle(&p->pacer, &e);
  release_queue(p);
  commit(g);
  atomic_i64_store_relaxed(&p->last_end, now);
  unlock(p);
}

void pace_after_fork(struct gc *g) {
  struct pace *p = &g->pace;
  list_init(&p->queue);
  atomic_u32_store_relaxed(&p->nwaiting, 0);
  atomic_u32_store_relaxed(&p->resting, 0);
  p->pacer.marking = false;
  atomic_u64_store_relaxed(&p->idle.state, 0);
}
