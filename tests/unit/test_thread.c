// SPDX-License-Identifier: MIT
#include "base/bits.h"
#include "base/lock.h"
#include "os/procfs.h"
#include "os/signals.h"
#include "os/thread_linux.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static bool inside(const void *p, uintptr_t lo, uintptr_t hi) {
  return (uintptr_t)p >= lo && (uintptr_t)p < hi;
}

static void *check_bounds(void *arg) {
  uintptr_t lo = 0, hi = 0;
  (void)arg;
  uintptr_t sp = arch_stack_pointer();
  if (!thread_stack_bounds(&lo, &hi)) return "no bounds";
  if (!inside((void *)sp, lo, hi)) return "the stack pointer is outside";
  if (!is_aligned(hi, PTR_BYTES)) return "not aligned";
  return NULL;
}

Test(thread, stack_bounds_hold_the_stack_pointer) {
  pthread_t thread;
  void *complaint = check_bounds(NULL);
  cr_assert_null(complaint, "main: %s", (char *)complaint);
  pthread_create(&thread, NULL, check_bounds, NULL);
  pthread_join(thread, &complaint);
  cr_assert_null(complaint, "other: %s", (char *)complaint);
}

Test(thread, main_stack_bounds_hold_the_environment) {
  uintptr_t lo, hi;
  cr_assert(thread_stack_bounds(&lo, &hi));
  cr_assert(inside(&lo, lo, hi));
  cr_assert(inside(__builtin_frame_address(0), lo, hi));
}

Test(thread, id_and_pointer_are_the_threads_own) {
  cr_assert_eq(thread_id(), getpid());
  cr_assert_neq(arch_thread_pointer(), 0);
#if defined(__x86_64__)
  cr_assert_eq(arch_thread_pointer(), (uintptr_t)pthread_self());
#endif
}

struct report {
  struct atomic_u32 done;
  char name[16];
  uint64_t blocked;
  uintptr_t stack_size;
  int tid;
};

static void report_self(void *arg) {
  struct report *r = arg;
  uintptr_t lo = 0, hi = 0;
  r->tid = thread_id();
  prctl(PR_GET_NAME, r->name);
  if (!procfs_blocked_signals(r->tid, &r->blocked)) r->blocked = 0;
  if (thread_stack_bounds(&lo, &hi)) r->stack_size = hi - lo;
  atomic_u32_store_release(&r->done, 1);
  futex_wake(&r->done, 1);
}

static void wait_for(struct atomic_u32 *word) {
  while (!atomic_u32_load_acquire(word)) futex_wait(word, 0, -1);
}

Test(thread, library_thread_is_named_masked_and_small) {
  struct report r = {0};
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, NULL, &before);
  cr_assert_eq(thread_start_library("mark", report_self, &r), 0);
  wait_for(&r.done);
  cr_assert_str_eq(r.name, "mallocgc-mark");
  cr_assert_neq(r.tid, thread_id());
  /* All but KILL, STOP and the two that glibc keeps from everybody. */
  cr_assert_geq(popcount64(r.blocked), 60);
  cr_assert_leq(r.stack_size, (uintptr_t)1 << 20);
  pthread_sigmask(SIG_SETMASK, NULL, &after);
  for (int signo = 1; signo < SIGRTMAX; signo++)
    cr_assert_eq(sigismember(&before, signo), sigismember(&after, signo));
}

/* Not an exact count: ThreadSanitizer starts threads of its own. */
Test(thread, library_threads_that_return_are_gone) {
  for (int i = 0; i < 50; i++) {
    struct report r = {0};
    cr_assert_eq(thread_start_library("x", report_self, &r), 0);
    wait_for(&r.done);
  }
  for (int i = 0; i < 2000 && procfs_thread_count() > 5; i++) usleep(1000);
  cr_assert_leq(procfs_thread_count(), 5);
}

#define HIDDEN ((uintptr_t)0x5a5a1234deadbee0) /* kept inverted, so that the */
static volatile uintptr_t inverted = ~HIDDEN;  /* value is in no memory */

struct search {
  uintptr_t top, sp;
  unsigned count;
};

MGC_NO_SANITIZE static void search_stack(void *arg, uintptr_t sp) {
  struct search *s = arg;
  s->sp = sp;
  for (uintptr_t at = align_up(sp, PTR_BYTES); at < s->top; at += PTR_BYTES)
    s->count += ~*(volatile uintptr_t *)at == inverted;
}

/* Holds the value in a register that calls preserve, and nowhere else. */
MGC_NOINLINE static unsigned call_with_value(struct search *s, bool hold) {
#if defined(__x86_64__)
  register uintptr_t value __asm__("r12") = hold ? ~inverted : 0;
#else
  register uintptr_t value __asm__("x20") = hold ? ~inverted : 0;
#endif
  __asm__ volatile("" : "+r"(value));
  thread_call_spilled(search_stack, s);
  __asm__ volatile("" : "+r"(value));
  return s->count;
}

Test(thread, registers_are_spilled_above_the_stack_pointer) {
  uintptr_t lo;
  struct search s = {0};
  cr_assert(thread_stack_bounds(&lo, &s.top));
  s.top = (uintptr_t)__builtin_frame_address(0);
  cr_assert_eq(call_with_value(&s, false), 0);
  cr_assert_geq(call_with_value(&s, true), 1);
  cr_assert_lt(s.sp, (uintptr_t)__builtin_frame_address(0));
}

/* What a handler saw. */
static struct atomic_u32 handled;
static struct atomic_i32 handler_tid;
static struct atomic_uptr handler_frame;

static void note_signal(int signo, siginfo_t *info, void *ucontext) {
  (void)signo, (void)info;
  atomic_i32_store_relaxed(&handler_tid, thread_id());
  atomic_uptr_store_relaxed(&handler_frame, (uintptr_t)ucontext);
  atomic_u32_fetch_add_release(&handled, 1);
  futex_wake(&handled, 1);
}

static void other_handler(int signo) { (void)signo; }

struct target {
  struct atomic_u32 ready, stop;
  int tid;
  uintptr_t lo, hi;
};

static void *wait_for_stop(void *arg) {
  struct target *t = arg;
  /* An alternate stack must not be used: it is not in the bounds. */
  static char alternate[65536];
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
  sigaltstack(&stack, NULL);
  /* ThreadSanitizer (gcc 12) loses a signal that comes while the thread's first
   * blocking call makes its record of pending signals. */
  usleep(1);
  t->tid = thread_id();
  if (!thread_stack_bounds(&t->lo, &t->hi)) t->hi = 0;
  atomic_u32_store_release(&t->ready, 1);
  futex_wake(&t->ready, 1);
  /* ThreadSanitizer calls handlers only in calls that it knows. */
  while (!atomic_u32_load_acquire(&t->stop)) usleep(1000);
  stack.ss_flags = SS_DISABLE;
  sigaltstack(&stack, NULL);
  return NULL;
}

Test(signals, signal_to_a_thread_runs_on_its_own_stack) {
  struct target t = {0};
  pthread_t thread;
  int signo = signal_claim(SIGNAL_DEFAULT_STOP, note_signal);
  cr_assert_eq(signo, SIGRTMIN + 6);
  pthread_create(&thread, NULL, wait_for_stop, &t);
  wait_for(&t.ready);
  cr_assert_eq(thread_signal(t.tid, signo), 0);
  wait_for(&handled);
  cr_assert_eq(atomic_i32_load_relaxed(&handler_tid), t.tid);
  uintptr_t frame = atomic_uptr_load_relaxed(&handler_frame);
  if (!MGC_TSAN) /* which calls handlers later, with a copy */
    cr_assert(frame >= t.lo && frame < t.hi);
  atomic_u32_store_release(&t.stop, 1);
  pthread_join(thread, NULL);
  signal_release(signo, note_signal);
}

Test(signals, signal_to_a_dead_thread_is_esrch) {
  errno = EBADMSG;
  cr_assert_eq(thread_signal(1 << 30, SIGRTMIN + 6), -ESRCH);
  cr_assert_eq(errno, EBADMSG);
}

Test(signals, claim_passes_over_handlers_of_others) {
  int first = SIGNAL_DEFAULT_STOP;
  signal(first, other_handler);
  struct sigaction info = {.sa_sigaction = note_signal, .sa_flags = SA_SIGINFO};
  info.sa_sigaction = (signal_handler *)(void *)other_handler;
  sigaction(first + 1, &info, NULL);
  signal(first + 2, SIG_IGN); /* nobody's */
  errno = EBADMSG;
  cr_assert_eq(signal_claim(first, note_signal), first + 2);
  cr_assert_eq(errno, EBADMSG);
  struct sigaction now;
  sigaction(first, NULL, &now);
  cr_assert_eq(now.sa_handler, other_handler, "left as it was");
  sigaction(first + 2, NULL, &now);
  cr_assert_eq(now.sa_flags & (SA_RESTART | SA_SIGINFO | SA_ONSTACK),
               SA_RESTART | SA_SIGINFO);
  cr_assert(sigismember(&now.sa_mask, SIGUSR1));
  cr_assert_not(sigismember(&now.sa_mask, SIGSEGV));
}

Test(signals, claim_of_ones_own_signal_is_the_same) {
  int signo = signal_claim(SIGNAL_DEFAULT_STOP, note_signal);
  cr_assert_eq(signal_claim(SIGNAL_DEFAULT_STOP, note_signal), signo);
  cr_assert(signal_is_ours(signo, note_signal));
}

Test(signals, claim_fails_when_all_are_taken_or_impossible) {
  for (int signo = SIGRTMAX - 2; signo <= SIGRTMAX; signo++)
    signal(signo, other_handler);
  cr_assert_eq(signal_claim(SIGRTMAX - 2, note_signal), -EBUSY);
  cr_assert_eq(signal_claim(0, note_signal), -EINVAL);
  cr_assert_eq(signal_claim(SIGKILL, note_signal), -EINVAL);
  cr_assert_eq(signal_claim(1000, note_signal), -EINVAL);
}

Test(signals, claim_below_the_real_time_numbers_goes_on_above) {
  cr_assert_eq(signal_claim(SIGPWR, note_signal), SIGPWR);
  signal(SIGUSR1, other_handler);
  cr_assert_eq(signal_claim(SIGUSR1, note_signal), SIGRTMIN);
}

Test(signals, release_gives_back_only_what_is_ours) {
  int signo = signal_claim(SIGNAL_DEFAULT_STOP, note_signal);
  struct sigaction now;
  signal_release(signo, note_signal);
  sigaction(signo, NULL, &now);
  cr_assert_eq(now.sa_handler, SIG_DFL);
  signal(signo, other_handler);
  cr_assert_not(signal_is_ours(signo, note_signal));
  signal_release(signo, note_signal);
  sigaction(signo, NULL, &now);
  cr_assert_eq(now.sa_handler, other_handler);
}

Test(signals, unblock_delivers_what_waits_and_tells) {
  int signo = signal_claim(SIGNAL_DEFAULT_STOP, note_signal);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signo);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  cr_assert_eq(thread_signal(thread_id(), signo), 0);
  cr_assert_eq(atomic_u32_load_acquire(&handled), 0);
  cr_assert(signal_unblock(signo));
  usleep(1000); /* see wait_for_stop */
  cr_assert_eq(atomic_u32_load_acquire(&handled), 1);
  cr_assert_not(signal_unblock(signo));
}
