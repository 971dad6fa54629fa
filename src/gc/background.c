// SPDX-License-Identifier: MIT
/*
 * Who sweeps, and who scavenges, when nobody has to.
 *
 * After each cycle the sweeper thread sweeps span by span, in batches of ten,
 * and gives the processor away between batches. Threads that take a new span pay
 * for it in proportion (sweep_credit): so many pages for each byte allocated that
 * all are swept when the next cycle is due, even if the sweeper never runs (Go:
 * deductSweepCredit). What is left is swept by the next cycle. Near a memory limit, where
 * little can be allocated from one cycle to the next, sweeping takes as long as marking;
 * it is counted as the collector's time then (limiter.c).
 *
 * The scavenger thread returns memory at the pace of page/scavpace.c while
 * scavenge_excess says that there is too much.
 *
 * Both work only with world.background held, in short pieces, and look at
 * stop_wanted before they take it again: so a stop waits for a piece at most,
 * and finds them outside the heap.
 *
 * The sweeper is also who sees that no cycle has ended for a long time, and asks for one
 * (Go: forcegchelper): finalizers run. When the program has taken no memory for a while
 * it does the same, once, so that what an idle program has dropped goes back.
 *
 * Both are started when the first cycle ends. A system that gives no thread gets
 * the same work from the allocating threads and the next cycle.
 */
#include "gc/state.h"

#include "os/clock.h"
#include "os/thread_linux.h"
#include "page/scavpace.h"

#define SWEEP_BATCH 10
/* Pages to sweep for each MiB, at which it is no longer a small part of allocating: 128
 * when the heap doubles, eight times as many when it grows by an eighth. */
#define MANY_PER_MB 1024u
#define SCAV_IDLE_NS 5000000000 /* Go's cooldown after finding nothing */
/* A periodic cycle that has not begun by then is asked for again. */
#define PERIOD_RETRY_NS ((int64_t)1000000000)
#define STARTED_SWEEPER 1u
#define STARTED_SCAVENGER 2u

static void lock_for_work(struct world *w) MGC_NO_ANALYSIS {
  while (atomic_u32_load_relaxed(&w->stop_wanted))
    futex_wait(&w->stop_wanted, 1, -1);
  mutex_lock(&w->background);
}

static void unlock_work(struct world *w) MGC_NO_ANALYSIS {
  mutex_unlock(&w->background);
}

static void begin_thread(struct gc *g) {
  world_add_library_thread(&g->world);
  atomic_u32_fetch_add_release(&g->bg.running, 1);
  futex_wake(&g->bg.running, 1);
}

/* --- sweeping --- */

bool background_sweep_batch(struct gc *g) {
  size_t n = 0;
  lock_for_work(&g->world);
  for (int i = 0; i < SWEEP_BATCH && n != SIZE_MAX; i++) {
    n = sweep_one(g->h);
    if (n != SIZE_MAX) atomic_u64_fetch_add_relaxed(&g->bg.pages_swept, n);
  }
  unlock_work(&g->world);
  return n != SIZE_MAX;
}

/* Until there is something to sweep; it has a clock for cycles that nothing but time asks
 * for, too. */
static void sweeper_rest(struct gc *g, uint32_t seen) {
  int64_t left = pace_time_left(g, clock_nanotime());
  if (left != 0) {
    futex_wait(&g->bg.sweep_wake, seen, left);
    return;
  }
  beside_ask_periodic(g);
  /* The cycle's end wakes us. */
  futex_wait(&g->bg.sweep_wake, seen, PERIOD_RETRY_NS);
}

static void sweeper_main(void *arg) {
  struct gc *g = arg;
  uint32_t seen = 0;
  begin_thread(g);
  for (;;) {
    uint32_t wake = atomic_u32_load_acquire(&g->bg.sweep_wake);
    if (wake == seen) {
      sweeper_rest(g, seen);
      continue;
    }
    seen = wake;
    while (background_sweep_batch(g)) thread_yield();
  }
}

void background_note_sweep(struct gc *g, int64_t ns) {
  unsigned threads = atomic_u32_load_relaxed(&thread_registry.count);
  if (threads > g->nprocs) threads = g->nprocs;
  if (threads == 0) threads = 1;
  /* Others sweep at the same time, or are at work. */
  atomic_i64_fetch_add_relaxed(&g->bg.swept_ns, ns / threads);
  /* With the stopping collector no processor is nobody's (pace.c: note_idle): those for
   * which there is no thread go with who has the time. */
  if (!gc_is_beside(g)) ns = ns * g->nprocs / threads;
  limiter_add_assist(&g->pace.limiter, ns);
}

static void sweep_until(struct gc *g, uint64_t due) {
  struct background *b = &g->bg;
  while (atomic_u64_load_relaxed(&b->pages_swept) < due) {
    size_t n = sweep_one(g->h);
    if (n == SIZE_MAX) break;
    atomic_u64_fetch_add_relaxed(&b->pages_swept, n);
  }
}

void gc_sweep_credit_hook(struct heap *h, size_t span_bytes, size_t npages) {
  struct gc *g = gc_of(h);
  struct background *b = &g->bg;
  uint64_t per_mb = atomic_u64_load_relaxed(&b->pages_per_mb);
  if (per_mb == 0 || atomic_bool_load_acquire(&h->sweep_done)) return;
  uint64_t live = heap_live_bytes(h);
  uint64_t basis = atomic_u64_load_relaxed(&b->live_basis);
  uint64_t grown = (live > basis ? live - basis : 0) + span_bytes;
  uint64_t due = (grown * per_mb >> 20) + npages;
  if (due <= atomic_u64_load_relaxed(&b->pages_swept)) return;
  if (likely(per_mb < MANY_PER_MB)) {
    sweep_until(g, due);
    return;
  }
  int64_t begin = clock_nanotime();
  sweep_until(g, due);
  background_note_sweep(g, clock_nanotime() - begin);
}

/* --- scavenging --- */

static size_t op_scavenge(void *arg, size_t n, int64_t *ns) {
  struct gc *g = arg;
  lock_for_work(&g->world);
  int64_t start = clock_nanotime();
  size_t got = scavenge_background(g->h, n);
  *ns = clock_nanotime() - start;
  unlock_work(&g->world);
  return got;
}

static bool op_should_stop(void *arg) {
  struct gc *g = arg;
  return scavenge_excess(g->h) == 0;
}

static int64_t op_sleep(void *arg, int64_t ns) {
  struct gc *g = arg;
  int64_t start = clock_nanotime();
  uint32_t wake = atomic_u32_load_relaxed(&g->bg.scav_wake);
  futex_wait(&g->bg.scav_wake, wake, ns);
  return clock_nanotime() - start;
}

static unsigned op_nprocs(void *arg) {
  struct gc *g = arg;
  return g->nprocs;
}

static const struct scavpace_ops scavenger_ops = {op_scavenge, op_should_stop,
                                                  op_sleep, op_nprocs};

/* Nothing was found that may go. What is too much all the same lies in chunks
 * that were full not long ago: a program that does not collect for so long is
 * not about to fill them again. */
static void scavenger_rest(struct gc *g, uint32_t seen) {
  bool excess = scavenge_excess(g->h) != 0;
  int64_t until = clock_nanotime() + SCAV_IDLE_NS;
  futex_wait(&g->bg.scav_wake, seen, excess ? SCAV_IDLE_NS : -1);
  if (!excess || clock_nanotime() < until) return;
  lock_for_work(&g->world);
  scavenger_next_gen(g->h);
  unlock_work(&g->world);
}

static void scavenger_main(void *arg) {
  struct gc *g = arg;
  struct scavpace pace;
  double worked;
  uint32_t seen = 0;
  begin_thread(g);
  scavpace_init(&pace, &scavenger_ops, g, g->h->vm->page_size);
  for (;;) {
    uint32_t wake = atomic_u32_load_acquire(&g->bg.scav_wake);
    size_t got = scavenge_excess(g->h) ? scavpace_work(&pace, &worked) : 0;
    if (got) {
      scavpace_sleep(&pace, worked);
    } else if (wake == seen) {
      scavenger_rest(g, seen);
    }
    seen = wake;
  }
}

/* --- both --- */

static void start_one(struct gc *g, const char *name, void (*fn)(void *arg),
                      uint32_t bit) {
  struct background *b = &g->bg;
  if (atomic_u32_load_acquire(&b->started) & bit) return;
  if (atomic_u32_fetch_or_acq_rel(&b->started, bit) & bit) return;
  uint32_t before = atomic_u32_load_acquire(&b->running), now;
  if (thread_start_library(name, fn, g) != 0) return;
  /* Until it is known as ours (another may start meanwhile: then it is known a
   * little later). */
  while ((now = atomic_u32_load_acquire(&b->running)) == before)
    futex_wait(&b->running, now, -1);
}

void background_start(struct gc *g) {
  if (g->h->opt.background_sweep)
    start_one(g, "sweep", sweeper_main, STARTED_SWEEPER);
  if (g->h->opt.scavenge)
    start_one(g, "scav", scavenger_main, STARTED_SCAVENGER);
}

void background_pace_sweep(struct gc *g, uint64_t trigger) {
  struct background *b = &g->bg;
  struct heap *h = g->h;
  uint64_t live = heap_live_bytes(h);
  uint64_t pages = atomic_u64_load_relaxed(&h->stats.pages_inuse);
  uint64_t swept = atomic_u64_load_relaxed(&b->pages_swept);
  pages = pages > swept ? pages - swept : 0;
  double ratio = pacer_sweep_ratio(pages, live, trigger);
  double per_mb = ratio * (double)(1 << 20);
  atomic_u64_store_relaxed(&b->pages_swept, 0);
  atomic_u64_store_relaxed(&b->live_basis, live);
  atomic_u64_store_relaxed(&b->pages_per_mb, (uint64_t)per_mb + 1);
}

void background_new_cycle(struct gc *g, uint64_t trigger) {
  atomic_u64_store_relaxed(&g->bg.pages_swept, 0);
  background_pace_sweep(g, trigger);
}

void background_after_fork(struct gc *g) {
  atomic_u32_store_relaxed(&g->bg.started, 0);
  atomic_u32_store_relaxed(&g->bg.running, 0);
}
