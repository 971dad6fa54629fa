// SPDX-License-Identifier: MIT
/*
 * A stop by signal, as the collector's (gc/world.c), for threads of which nothing
 * is known: none has a record of ours, and none defers the stop, because the scan
 * does not mind where in the allocator a thread stands (leakscan.c).
 *
 *   1  before: room for the threads, and who blocks the signal
 *   2  epoch becomes odd; every thread of /proc/self/task gets the signal; that is
 *      repeated until no new one is found
 *   3  the handler writes down its stack pointer, acknowledges, and sleeps until the
 *      epoch changes; the kernel has saved the registers above it on the stack
 *
 * A thread that blocks the signal is not sent any: it might be waiting for signals
 * by sigwait, and would get one that it knows nothing of. It runs on; what is known
 * of it is what the kernel tells of a thread in a system call: its stack pointer
 * and the call's arguments' registers. Such a thread nearly always sleeps in a call
 * (that is what signals are blocked for), several frames deep, where the registers
 * of the frames above have been saved to the stack.
 *
 * The handler stays installed for good: a signal that was sent to a thread which
 * did not answer in time may come much later, and must find a handler.
 *
 *   I1  pending is the number of threads in state WAITING
 *   I2  who takes a thread out of WAITING (it, or the stopper) takes from pending
 */
#include "face/malloc/leakstop.h"

#include "base/bits.h"
#include "base/lock.h"
#include "base/print.h"
#include "os/arch.h"
#include "os/clock.h"
#include "os/procfs.h"
#include "os/signals.h"
#include "os/thread_linux.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

#define POLL_NS 1000000
/* A thread that does not answer for so long sleeps in the kernel where signals do
 * not reach it, or there are very many more threads than processors. */
#define PATIENCE_NS 2000000000
#define DEAF_TRIES 10
#define DEAF_PAUSE_NS 500000
/* For a program that makes threads faster than we find them. */
#define ROUNDS_MAX 100

static struct {
  struct atomic_u32 epoch;   /* (a) odd: stopping or stopped; futex */
  struct atomic_u32 pending; /* (a) acknowledgements to come; futex */
  struct atomic_ptr table;   /* (a) struct leakstop_table * */
  int signo;                 /* the stopper's; 0: none claimed */
  int self;                  /* the stopper's thread id */
} stop;

static struct leakstop_table *the_table(void) {
  return atomic_ptr_load_acquire(&stop.table);
}

static size_t place_of(const struct leakstop_table *t, int tid) {
  return (size_t)((uint32_t)tid * 0x9e3779b1u) & t->mask;
}

/* The place of tid, or the empty one where it belongs; NULL: full. */
static struct leakstop_thread *find(struct leakstop_table *t, int tid) {
  for (size_t i = place_of(t, tid), n = 0; n <= t->mask; n++) {
    int have = atomic_i32_load_acquire(&t->thread[i].tid);
    if (have == tid || have == 0) return &t->thread[i];
    i = (i + 1) & t->mask;
  }
  return NULL;
}

/* --- the threads' side --- */

static void acknowledge(void) {
  /* release: what this thread wrote, to the acquire in await_all */
  if (atomic_u32_fetch_sub_acq_rel(&stop.pending, 1) == 1)
    futex_wake(&stop.pending, 1);
}

static void on_signal(int signo, siginfo_t *info, void *context) {
  uint32_t epoch = atomic_u32_load_acquire(&stop.epoch);
  uint32_t expect = LEAKSTOP_WAITING;
  (void)signo, (void)info, (void)context;
  if (!(epoch & 1)) return;
  int saved = errno;
  struct leakstop_table *t = the_table();
  struct leakstop_thread *me = t ? find(t, thread_id()) : NULL;
  if (me && atomic_i32_load_relaxed(&me->tid) != 0) {
    atomic_uptr_store_relaxed(&me->sp, arch_stack_pointer());
    if (atomic_u32_cas_acq_rel(&me->state, &expect, LEAKSTOP_STOPPED)) {
      acknowledge();
      /* acquire: pairs with the release in leakstop_resume */
      while (atomic_u32_load_acquire(&stop.epoch) == epoch)
        futex_wait(&stop.epoch, epoch, -1);
    }
  }
  errno = saved;
}

/* --- before the stop --- */

static bool is_deaf(int tid) {
  uint64_t mask;
  if (!procfs_blocked_signals(tid, &mask)) return false;
  if ((mask >> (stop.signo - 1)) & 1) return true;
  /* A main thread that called pthread_exit stays in the list. */
  char state = procfs_task_state(tid);
  return state == 'Z' || state == 'X';
}

/* A thread in the handler must not look as if it blocked the signal. */
static bool unblock_in_handler(void) {
  struct sigaction sa;
  if (sigaction(stop.signo, NULL, &sa) != 0) return false;
  sigdelset(&sa.sa_mask, stop.signo);
  sa.sa_flags |= SA_NODEFER;
  return sigaction(stop.signo, &sa, NULL) == 0;
}

static bool claim_signal(void) {
  if (stop.signo > 0 && signal_is_ours(stop.signo, on_signal)) return true;
  stop.signo = signal_claim(SIGNAL_DEFAULT_STOP, on_signal);
  return stop.signo > 0 && unblock_in_handler();
}

/* Four places for each thread that there is: twice as many may come to be, and
 * the table is still half empty. */
static bool make_table(struct vm *vm, unsigned nthreads) {
  struct leakstop_table *t = the_table();
  size_t want = 256;
  while (want < (size_t)nthreads * 4) want *= 2;
  if (!t || t->mask + 1 < want) {
    size_t bytes = sizeof *t + want * sizeof t->thread[0];
    t = vm_alloc(vm, align_up(bytes, vm->page_size), "mallocgc: leaks", NULL);
    if (!t) return false;
    t->mask = want - 1;
    atomic_ptr_store_release(&stop.table, t);
  }
  for (size_t i = 0; i <= t->mask; i++) {
    atomic_u32_store_relaxed(&t->thread[i].state, LEAKSTOP_NONE);
    atomic_i32_store_release(&t->thread[i].tid, 0);
  }
  return true;
}

/* Notes tid; NULL: no place. *is_new: it was not there. */
static struct leakstop_thread *note(int tid, bool *is_new) {
  struct leakstop_thread *th = find(the_table(), tid);
  if (!th) return NULL;
  *is_new = atomic_i32_load_relaxed(&th->tid) == 0;
  if (!*is_new) return th;
  th->epoch = 0;
  th->deaf = is_deaf(tid);
  atomic_uptr_store_relaxed(&th->sp, 0);
  atomic_i32_store_release(&th->tid, tid);
  return th;
}

bool leakstop_prepare(struct vm *vm) {
  struct procfs_tasks it;
  bool is_new;
  int tid;
  stop.self = thread_id();
  if (!claim_signal() || !make_table(vm, procfs_thread_count())) return false;
  if (!procfs_tasks_begin(&it)) return false;
  while ((tid = procfs_tasks_next(&it)) != 0)
    if (tid != stop.self) note(tid, &is_new);
  procfs_tasks_end(&it);
  return true;
}

/* --- the stop --- */

static void let_go(struct leakstop_thread *th) {
  uint32_t expect = LEAKSTOP_WAITING;
  if (atomic_u32_cas_acq_rel(&th->state, &expect, LEAKSTOP_NONE)) acknowledge();
}

/* The queue of real-time signals may be full: it is sent again then (prod). */
static void send(struct leakstop_thread *th, int tid) {
  int err = thread_signal(tid, stop.signo);
  th->sent = err == 0;
  if (err == -ESRCH) let_go(th);
}

static void signal_thread(struct leakstop_thread *th, int tid) {
  atomic_u32_fetch_add_relaxed(&stop.pending, 1);
  atomic_u32_store_release(&th->state, LEAKSTOP_WAITING);
  send(th, tid);
}

/* Asks tid to stop. True: it was not yet seen in this stop. */
static bool ask(int tid, uint32_t epoch) {
  bool is_new;
  struct leakstop_thread *th = note(tid, &is_new);
  if (!th || th->epoch == epoch) return false;
  th->epoch = epoch;
  if (!th->deaf) signal_thread(th, tid);
  return true;
}

/* Lets go those that have ended or begun to block the signal and, when there is no
 * patience left, all. */
static void prod(bool give_up) {
  struct leakstop_table *t = the_table();
  for (size_t i = 0; i <= t->mask; i++) {
    struct leakstop_thread *th = &t->thread[i];
    int tid = atomic_i32_load_relaxed(&th->tid);
    if (atomic_u32_load_acquire(&th->state) != LEAKSTOP_WAITING) continue;
    if (give_up || is_deaf(tid)) {
      th->deaf = true;
      let_go(th);
    } else if (!th->sent || procfs_task_state(tid) == 0) {
      send(th, tid);
    }
  }
}

static void await_all(void) {
  int64_t start = clock_nanotime();
  uint32_t n;
  /* acquire: what the threads wrote before they stopped */
  while ((n = atomic_u32_load_acquire(&stop.pending)) != 0) {
    futex_wait(&stop.pending, n, POLL_NS);
    int64_t waited = clock_nanotime() - start;
    if (waited > 5 * POLL_NS) prod(waited > PATIENCE_NS);
  }
}

static bool walk(uint32_t epoch) {
  struct procfs_tasks it;
  bool found = false;
  int tid;
  if (!procfs_tasks_begin(&it)) return false;
  while ((tid = procfs_tasks_next(&it)) != 0)
    if (tid != stop.self && ask(tid, epoch)) found = true;
  procfs_tasks_end(&it);
  return found;
}

/* Threads block all signals for a moment now and then: in other handlers, in the C
 * library. Such a one runs, where one that blocks them for good mostly sleeps.
 * True: some may be worth another try. */
static bool ask_deaf(uint32_t epoch) {
  static struct atomic_u32 never; /* nobody wakes it */
  struct leakstop_table *t = the_table();
  bool again = false;
  for (size_t i = 0; i <= t->mask; i++) {
    struct leakstop_thread *th = &t->thread[i];
    int tid = atomic_i32_load_relaxed(&th->tid);
    if (!tid || th->epoch != epoch || !th->deaf ||
        procfs_task_state(tid) != 'R')
      continue;
    th->deaf = is_deaf(tid);
    if (!th->deaf) signal_thread(th, tid);
    again = true;
  }
  if (again) futex_wait(&never, 0, DEAF_PAUSE_NS);
  return again;
}

void leakstop_all(void) {
  uint32_t epoch = atomic_u32_load_relaxed(&stop.epoch) + 1;
  atomic_u32_store_release(&stop.epoch, epoch);
  for (int i = 0; i < ROUNDS_MAX && walk(epoch); i++) await_all();
  for (int i = 0; i < DEAF_TRIES && ask_deaf(epoch); i++) await_all();
}

void leakstop_resume(void) {
  /* release: pairs with the acquire in on_signal */
  atomic_u32_fetch_add_release(&stop.epoch, 1);
  futex_wake(&stop.epoch, INT_MAX);
}

void leakstop_after_fork(void) {
  if (atomic_u32_load_relaxed(&stop.epoch) & 1)
    atomic_u32_fetch_add_release(&stop.epoch, 1);
  atomic_u32_store_relaxed(&stop.pending, 0);
}

/* --- who was seen --- */

/* The next hexadecimal or decimal number of /proc/.../syscall. */
static const char *next_number(const char *s, uintptr_t *out) {
  bool hex = s[0] == '0' && s[1] == 'x';
  *out = 0;
  for (s += hex ? 2 : 0; *s && *s != ' ' && *s != '\n'; s++) {
    uintptr_t digit = (uintptr_t)(*s <= '9' ? *s - '0' : *s - 'a' + 10);
    *out = *out * (hex ? 16 : 10) + digit;
  }
  return *s == ' ' ? s + 1 : s;
}

/* The stack pointer of a thread that sleeps in the kernel; 0: it runs. The line
 * is "running", "-1 SP PC" (not in a call), or "NR A0 A1 A2 A3 A4 A5 SP PC". */
static uintptr_t sleeping_sp(int tid) {
  char path[48], line[256];
  print_format(path, sizeof path, "/proc/self/task/%d/syscall", tid);
  if (procfs_read(path, line, sizeof line) <= 0) return 0;
  if (line[0] == 'r') return 0;
  uintptr_t word[9];
  unsigned n = 0;
  const char *s = line[0] == '-' ? line + 1 : line;
  while (n < array_len(word) && *s && *s != '\n')
    s = next_number(s, &word[n++]);
  return n >= 3 ? word[n - 2] : 0;
}

void leakstop_visit(void (*visit)(int tid, uintptr_t sp, bool deaf, void *arg),
                    void *arg) {
  struct leakstop_table *t = the_table();
  uint32_t epoch = atomic_u32_load_relaxed(&stop.epoch);
  for (size_t i = 0; i <= t->mask; i++) {
    struct leakstop_thread *th = &t->thread[i];
    int tid = atomic_i32_load_relaxed(&th->tid);
    if (tid == 0 || th->epoch != epoch) continue;
    bool stopped = atomic_u32_load_acquire(&th->state) == LEAKSTOP_STOPPED;
    if (stopped)
      visit(tid, atomic_uptr_load_relaxed(&th->sp), false, arg);
    else
      visit(tid, sleeping_sp(tid), th->deaf, arg);
  }
}
