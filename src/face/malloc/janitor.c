// SPDX-License-Identifier: MIT
/*
 * The janitor: the one thread of the malloc face. It gives free pages back at the
 * pace of heap/giveback.h and tidies what ended threads left, so that a program
 * that has become idle is small soon, without a call from it.
 *
 *   none -begin-> awake <-> asleep      asleep: on a futex, without a timeout
 *
 * Starting. A program that never has 8 MiB of free pages never gets the thread: a
 * second thread makes stdio and shared pointers of the C++ library take real
 * locks. It is not started where pages become free (theap.freed): that is inside
 * the thread caches' work, and pthread_create allocates. There it is only wanted,
 * and started when the slow path of malloc or free is left (janitor_poll).
 *
 * Not from a free in a program with threads, however: the C library frees the
 * descriptors of ended threads while it holds the lock of its stack cache, which
 * pthread_create takes. There it waits for the next slow malloc; and lest there be
 * none after everything was freed, a program that has threads and MANY_PAGES in
 * use gets it beforehand.
 *
 * fork. The forking thread waits until the janitor is between two pieces of work
 * (J.work), since the pages of a piece count as allocated meanwhile and would be
 * lost to the child. The child has no janitor, and starts one when it wants one.
 */
#include "face/malloc/mface.h"

#include "heap/giveback.h"
#include "os/clock.h"
#include "os/single.h"
#include "os/thread_linux.h"
#include <errno.h>

#define MANY_PAGES (((uint64_t)32 << 20) / MGC_PAGE_SIZE)
/* Bytes given back under one hold of the lock for work: what a fork waits for. */
#define PIECE_BYTES ((size_t)4 << 20)
/* What ended threads left is looked through so often. */
#define TIDY_NS 5000000000ll
#define TIDY_RESTING_NS 500000000ll
/* A system that gives no thread is asked a few times. */
#define START_ATTEMPTS 3u

enum janitor_state { JANITOR_NONE, JANITOR_AWAKE, JANITOR_ASLEEP };

struct atomic_u32 janitor_wanted;

static struct {
  struct atomic_u32 state; /* enum janitor_state; a futex */
  struct atomic_u32 timer; /* a futex that nobody wakes */
  struct atomic_u32 attempts;
  struct mutex work;
  int64_t tidied_ns;    /* (o) the janitor */
  struct giveback pace; /* (o) */
} J = {.work = MUTEX_INIT(janitor)};

/* --- figures --- */

static uint64_t inuse_bytes(const struct heap *h) {
  return memstat_load(&h->stats.heap_inuse);
}

static uint64_t free_bytes(const struct heap *h) {
  uint64_t sys = memstat_load(&h->stats.heap_sys);
  uint64_t away = memstat_load(&h->stats.heap_released) + inuse_bytes(h);
  return sys > away ? sys - away : 0;
}

static bool worth_waking(const struct heap *h) {
  return giveback_worth_waking(inuse_bytes(h), free_bytes(h));
}

static struct giveback_figures read_figures(struct theap *th) {
  struct heap *h = th->heap;
  struct giveback_figures f = {.inuse = inuse_bytes(h), .free = free_bytes(h)};
  uint64_t now = atomic_u64_load_relaxed(&th->pages);
  uint64_t high = atomic_u64_load_relaxed(&th->high_pages);
  atomic_u64_store_relaxed(&th->high_pages, now);
  uint64_t above = high > now ? high - now : 0;
  f.peak = f.inuse + above * MGC_PAGE_SIZE;
  /* Every page that came into use without physical memory left `released`. */
  f.taken = atomic_u64_load_relaxed(&h->stats.scavenged_total) +
            memstat_load(&h->stats.heap_sys) -
            memstat_load(&h->stats.heap_released);
  return f;
}

/* --- the thread --- */

/* The stash is for a program at work; for one that rests it is emptied. */
static void tidy(struct theap *th, int64_t now_ns, bool rests) {
  if (now_ns - J.tidied_ns < (rests ? TIDY_RESTING_NS : TIDY_NS)) return;
  J.tidied_ns = now_ns;
  mutex_lock(&J.work);
  theap_trim_orphans(th);
  mutex_unlock(&J.work);
}

static uint64_t give_back(struct heap *h, const struct giveback_step *step) {
  uint64_t got = 0;
  while (got < step->bytes) {
    uint64_t left = step->bytes - got;
    size_t ask = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    mutex_lock(&J.work);
    size_t n = step->all ? scavenge_now(h, ask) : scavenge_background(h, ask);
    mutex_unlock(&J.work);
    got += n;
    if (n < ask) break;
  }
  return got;
}

static void sleep_until_woken(struct heap *h) {
  /* Pages that became free before this woke nobody. seq_cst: the figures are read
   * after it, as those who free pages read it after they changed the figures. */
  atomic_u32_store_seq_cst(&J.state, JANITOR_ASLEEP);
  uint32_t asleep = JANITOR_ASLEEP;
  if (worth_waking(h) &&
      atomic_u32_cas_acq_rel(&J.state, &asleep, JANITOR_AWAKE))
    return;
  while (atomic_u32_load_acquire(&J.state) == JANITOR_ASLEEP)
    futex_wait(&J.state, JANITOR_ASLEEP, -1);
}

static void janitor_main(void *arg) {
  struct theap *th = arg;
  for (;;) {
    int64_t now_ns = clock_nanotime();
    struct giveback_figures f = read_figures(th);
    struct giveback_step step = giveback_next(&J.pace, now_ns, &f);
    tidy(th, now_ns, step.all);
    /* Chunks that were dense at the last step, and are not now, may go. */
    scavenger_next_gen(th->heap);
    uint64_t got = step.bytes ? give_back(th->heap, &step) : 0;
    int64_t sleep_ns = giveback_done(&J.pace, &step, got, free_bytes(th->heap));
    if (sleep_ns < 0)
      sleep_until_woken(th->heap);
    else
      futex_wait(&J.timer, 0, sleep_ns);
  }
}

/* --- starting and waking --- */

static void wake(void) {
  uint32_t asleep = JANITOR_ASLEEP;
  if (atomic_u32_cas_acq_rel(&J.state, &asleep, JANITOR_AWAKE))
    futex_wake(&J.state, 1);
}

static void pages_freed(struct theap *th) {
  uint32_t state = atomic_u32_load_seq_cst(&J.state);
  if (likely(state == JANITOR_AWAKE) || likely(!worth_waking(th->heap))) return;
  if (state == JANITOR_ASLEEP)
    wake();
  else if (atomic_u32_load_relaxed(&J.attempts) < START_ATTEMPTS)
    atomic_u32_store_relaxed(&janitor_wanted, JANITOR_WANTED);
}

static void heap_grown(struct theap *th) {
  atomic_u64_store_relaxed(&th->grown_at, UINT64_MAX);
  if (atomic_u32_load_relaxed(&J.state) == JANITOR_NONE &&
      atomic_u32_load_relaxed(&janitor_wanted) == 0)
    atomic_u32_store_relaxed(&janitor_wanted, JANITOR_WANTED_BY_THREADS);
}

MGC_COLD void janitor_begin(struct theap *th, bool in_free) {
  uint32_t wanted = atomic_u32_load_relaxed(&janitor_wanted);
  if (wanted == JANITOR_WANTED_BY_THREADS ? in_free || single_threaded()
                                          : in_free && !single_threaded())
    return;
  uint32_t none = JANITOR_NONE;
  if (!atomic_u32_cas_acq_rel(&J.state, &none, JANITOR_AWAKE)) return;
  atomic_u32_store_relaxed(&janitor_wanted, 0);
  int saved = errno;
  if (thread_start_library("tidy", janitor_main, th) != 0) {
    atomic_u32_fetch_add_relaxed(&J.attempts, 1);
    atomic_u32_store_release(&J.state, JANITOR_NONE);
  }
  errno = saved;
}

void janitor_start(struct mface *m) {
  struct theap *th = &m->theap;
  th->reclaim = theap_reclaim;
  if (!m->heap.opt.scavenge) return;
  atomic_u64_store_relaxed(&th->grown_at, MANY_PAGES);
  th->grown = heap_grown;
  th->freed = pages_freed;
}

/* --- fork --- */

void janitor_fork(bool before, bool child) MGC_NO_ANALYSIS {
  if (before) {
    mutex_lock(&J.work);
    return;
  }
  mutex_unlock(&J.work);
  if (!child) return;
  J.pace = (struct giveback){.begun = false};
  J.tidied_ns = 0;
  atomic_u32_store_relaxed(&J.attempts, 0);
  atomic_u32_store_relaxed(&J.state, JANITOR_NONE);
  atomic_u32_store_relaxed(&janitor_wanted, 0);
  struct theap *th = &mface->theap;
  if (!th->grown) return;
  atomic_u64_store_relaxed(&th->grown_at, MANY_PAGES);
  pages_freed(th);
}
