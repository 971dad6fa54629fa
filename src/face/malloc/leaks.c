// SPDX-License-Identifier: MIT
/*
 * The leak report: blocks that the program can no longer reach.
 *
 * When. MALLOCGC_LEAKS=1: at exit, in this library's destructor: after the
 * program's atexit handlers and its own destructors, before those of most
 * libraries, whose data still hold what they have not freed. Not when the program
 * ends by _exit, quick_exit or a signal. MALLOCGC_LEAKS=signal: whenever SIGUSR1
 * (MALLOCGC_LEAKS_SIGNAL) arrives; the handler wakes a thread of the library, which
 * does the rest.
 *
 * How.
 *   1  prepare, while the program runs (memory, the list of threads)
 *   2  with the loader's lock and all of this library's: stop the other threads
 *      (leakstop.c) and list the roots (leakroots.c)
 *   3  make a copy of the process, which has this thread only: what fork does,
 *      without its handlers and without the signal to the parent
 *   4  let the threads go on
 *   5  the copy marks (leakscan.c), writes the result into shared memory and ends
 *   6  print, with names, when nothing is locked any more
 *
 * So the program stands still for 2 and 3: some milliseconds, whatever the heap's
 * size, and what the scan meets (a page that cannot be read, too little memory) is
 * the copy's trouble. Where no copy can be had, the scan comes before 4.
 *
 * What is not seen: pointers in files and shared memory, and such as are not kept as
 * addresses (XOR lists, bits in use beyond the block). docs/leaks.md says it to
 * users.
 */
#include "face/malloc/leaks.h"

#include "base/fatal.h"
#include "base/print.h"
#include "face/malloc/harden.h"
#include "face/malloc/leakroots.h"
#include "face/malloc/leakstop.h"
#include "face/malloc/mface.h"
#include "face/malloc/profile.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/signals.h"
#include "os/thread_linux.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where standard error is kept, for programs that close it before they end (all of
 * GNU's do). */
#define KEPT_FD_MIN 240

static struct leak_options opt;
static struct mutex report_lock = MUTEX_INIT(gc); /* one report at a time */
/* Held from before the loader's lock is taken until threads go on: a child of fork
 * would keep that lock for ever. */
static struct mutex stop_lock = MUTEX_INIT(threads);
static struct atomic_u32 requests; /* (a) grows with each signal; futex */
static int kept_stderr = -1;

/* One report under way. */
struct report {
  struct leakroots roots; /* first: segments_visit passes one argument */
  struct leak_result *result;
  uintptr_t sp; /* where the stack of the asking thread begins; 0: no root */
  bool copy;
  int64_t stopped_at;
  struct leak_times times;
};

/* --- scanning --- */

static unsigned stack_of(uintptr_t p, uintptr_t *frame, unsigned max) {
  size_t size;
  return profile_stack_of(p, &size, frame, max);
}

static bool find_hardened(const struct mspan *s, uintptr_t p,
                          struct leak_range *bytes) {
  size_t size;
  if (spanclass_size(s->spanclass) == 0) {
    const struct harden_large *l = (const void *)s->local.free;
    *bytes = (struct leak_range){l->p, l->p + l->size};
    return l->live;
  }
  if (!harden_slot_find((const void *)s->local.free, p, &bytes->lo, &size))
    return false;
  bytes->hi = bytes->lo + size;
  return true;
}

static bool mark_from_roots(struct report *rp, struct leakscan *ls) {
  const struct leak_range *r = rp->roots.range.data;
  const uintptr_t *kept = rp->roots.keep.data;
  if (!leakscan_begin(ls, &mface->heap, vm_system())) return false;
  ls->stack_of = profile ? stack_of : NULL;
  ls->special_owner = harden_owner;
  ls->special_find = find_hardened;
  for (size_t i = 0; i < rp->roots.range.n; i++)
    leakscan_range(ls, r[i].lo, r[i].hi);
  if (!opt.nomaps) leakroots_scan_mapped(&rp->roots, ls);
  /* After what is reachable, whose words count. */
  for (size_t i = 0; i < rp->roots.keep.n; i++) leakscan_keep(ls, kept[i]);
  return true;
}

static void scan(struct report *rp) {
  int64_t start = clock_nanotime();
  struct leakscan ls;
  bool ok = mark_from_roots(rp, &ls) && leakscan_finish(&ls, rp->result);
  leakscan_end(&ls);
  rp->result->mark_ns = clock_nanotime() - start;
  /* release: pairs with the acquire in leaks_report */
  if (ok && !rp->roots.lost) atomic_u32_store_release(&rp->result->done, 1);
}

/* --- the copy --- */

/* What handling faults changes in this process. */
struct faults {
  struct sigaction segv, bus;
  sigset_t mask;
};

#define OPENED_MAX 256u

static struct {
  uintptr_t last;
  uintptr_t page[OPENED_MAX]; /* made readable: to be closed again */
  unsigned npages;
} opened;

/* A page of the program's that cannot be read holds no pointers: it is made
 * readable, or, where there is no memory behind it, replaced. */
static void on_fault(int signo, siginfo_t *info, void *context) {
  size_t page_size = vm_system()->page_size;
  uintptr_t page = align_down((uintptr_t)info->si_addr, page_size);
  (void)signo, (void)context;
  if (page == opened.last || page == 0) _exit(1);
  opened.last = page;
  if (mprotect((void *)page, page_size, PROT_READ) == 0) {
    if (opened.npages < OPENED_MAX) opened.page[opened.npages++] = page;
    return;
  }
  void *p = mmap((void *)page, page_size, PROT_READ,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (p == MAP_FAILED) _exit(1);
}

static void handle_faults(struct faults *f) {
  struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  sigset_t set;
  opened.last = opened.npages = 0;
  sigfillset(&set);
  sigdelset(&set, SIGSEGV);
  sigdelset(&set, SIGBUS);
  pthread_sigmask(SIG_SETMASK, &set, &f->mask);
  sigaction(SIGSEGV, &sa, &f->segv);
  sigaction(SIGBUS, &sa, &f->bus);
}

static void handle_faults_no_more(const struct faults *f) {
  for (unsigned i = 0; i < opened.npages; i++)
    mprotect((void *)opened.page[i], vm_system()->page_size, PROT_NONE);
  sigaction(SIGSEGV, &f->segv, NULL);
  sigaction(SIGBUS, &f->bus, NULL);
  pthread_sigmask(SIG_SETMASK, &f->mask, NULL);
}

/* fork without what belongs to it: no handlers are called, and the parent gets no
 * SIGCHLD, nor does its wait see the child (__WCLONE). */
static int copy_process(void) { return (int)syscall(SYS_clone, 0, 0, 0, 0, 0); }

static bool await_copy(int pid, struct leak_result *r) {
  /* Not waitpid, where a thread can be cancelled. */
  while (syscall(SYS_wait4, pid, NULL, (int)__WCLONE, NULL) < 0 &&
         errno == EINTR) {
  }
  return atomic_u32_load_acquire(&r->done) != 0;
}

/* --- the stop --- */

static void lock_modules(void) MGC_NO_ANALYSIS {
  janitor_fork(true, false);
  profile_fork(true, false);
  harden_fork(true, false);
  mutex_lock(&mface->theap.lock);
  mutex_lock(&mface->heap.lock);
}

static void unlock_modules(bool child) MGC_NO_ANALYSIS {
  mutex_unlock(&mface->heap.lock);
  mutex_unlock(&mface->theap.lock);
  harden_fork(false, child);
  profile_fork(false, child);
  if (!child) janitor_fork(false, false);
}

static void begin_stop(void *report) {
  struct report *rp = report;
  lock_modules();
  rp->stopped_at = clock_nanotime();
  leakstop_all();
}

static void add_object(const struct segment_info *info, void *report) {
  leakroots_add_object(info, &((struct report *)report)->roots);
}

static void add_thread(int tid, uintptr_t sp, bool deaf, void *report) {
  (void)deaf;
  leakroots_add_stack(&((struct report *)report)->roots, tid, sp);
}

/* The child's pid; 0: there is none. */
static int scan_or_copy(struct report *rp) {
  struct faults f;
  int pid = rp->copy ? copy_process() : -1;
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "mallocgc-leaks");
    handle_faults(&f);
    unlock_modules(true);
    scan(rp);
    _exit(0);
  }
  unlock_modules(false);
  if (pid > 0) return pid;
  handle_faults(&f);
  scan(rp);
  handle_faults_no_more(&f);
  return 0;
}

/* Returns the copy's pid; 0: there is none, and the scan is done. */
static int take_stock(struct report *rp) {
  mutex_lock(&stop_lock);
  segments_visit(begin_stop, add_object, rp);
  leakroots_list_stacks(&rp->roots);
  leakstop_visit(add_thread, rp);
  if (rp->sp) leakroots_add_stack(&rp->roots, thread_id(), rp->sp);
  leakroots_add_threads(&rp->roots);
  leakroots_add_link_maps(&rp->roots);
  int pid = scan_or_copy(rp);
  leakstop_resume();
  rp->times.stop_ns = clock_nanotime() - rp->stopped_at;
  mutex_unlock(&stop_lock);
  return pid;
}

static bool find_leaks(struct report *rp) {
  int pid = take_stock(rp);
  rp->times.copied = pid != 0;
  rp->times.pid = getpid();
  if (pid) return await_copy(pid, rp->result);
  return atomic_u32_load_acquire(&rp->result->done) != 0;
}

/* --- the report --- */

static int open_output(void) {
  if (opt.path)
    return open(opt.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  return fcntl(STDERR_FILENO, F_GETFD) >= 0 ? STDERR_FILENO : kept_stderr;
}

static void print_report(const struct report *rp) {
  int fd = open_output();
  if (fd < 0) {
    print_fd(STDERR_FILENO, "mallocgc: leaks: cannot write to %s: errno=%d\n",
             opt.path ? opt.path : "standard error", errno);
    return;
  }
  if (opt.json)
    leakprint_json(fd, rp->result, &rp->times);
  else
    leakprint_text(fd, rp->result, &rp->times);
  if (opt.path) close(fd);
}

/* One attempt. sp as in struct report. */
static int64_t attempt(uintptr_t sp, bool copy) {
  struct report rp = {.sp = sp, .copy = copy};
  int64_t found = -1;
  rp.result = mmap(NULL, sizeof *rp.result, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (rp.result == MAP_FAILED) return -1;
  leakroots_init(&rp.roots, vm_system());
  if (leakstop_prepare(vm_system()) && find_leaks(&rp)) {
    print_report(&rp);
    found = (int64_t)rp.result->leaked_blocks;
  }
  leakroots_free(&rp.roots);
  munmap(rp.result, sizeof *rp.result);
  return found;
}

static int64_t report_from(uintptr_t sp) {
  int saved = errno;
  mutex_lock(&report_lock);
  int64_t found = attempt(sp, !opt.inplace);
  if (found < 0 && !opt.inplace) found = attempt(sp, false);
  mutex_unlock(&report_lock);
  if (found < 0)
    print_fd(STDERR_FILENO,
             "mallocgc: leaks: no report: no memory or no /proc\n");
  errno = saved;
  return found;
}

struct request {
  int64_t found;
};

static void report_spilled(void *arg, uintptr_t sp) {
  ((struct request *)arg)->found = report_from(sp);
}

int64_t leaks_report(void) {
  struct request rq = {0};
  thread_call_spilled(report_spilled, &rq);
  return rq.found;
}

/* --- when --- */

static void on_request(int signo, siginfo_t *info, void *context) {
  (void)signo, (void)info, (void)context;
  atomic_u32_fetch_add_release(&requests, 1);
  futex_wake(&requests, 1);
}

/* The library's thread: nothing on its stack is the program's. */
static void serve(void *arg) {
  uint32_t seen = 0;
  (void)arg;
  for (;;) {
    uint32_t now = atomic_u32_load_acquire(&requests);
    if (now == seen) {
      futex_wait(&requests, seen, -1);
      continue;
    }
    seen = now; /* several signals while one report was made: one more */
    report_from(0);
  }
}

static void start_server(void) {
  atomic_u32_store_relaxed(&requests, 0);
  if (thread_start_library("leaks", serve, NULL) != 0)
    print_fd(STDERR_FILENO, "mallocgc: leaks: no thread for reports\n");
}

static void start_on_signal(void) {
  int signo = signal_claim(opt.signo, on_request);
  if (signo != opt.signo)
    print_fd(STDERR_FILENO,
             "mallocgc: leaks: signal %d is taken, reports are on signal %d\n",
             opt.signo, signo);
  start_server();
}

static void before_fork(void) MGC_NO_ANALYSIS { mutex_lock(&stop_lock); }

static void after_fork_in_parent(void) MGC_NO_ANALYSIS {
  mutex_unlock(&stop_lock);
}

static void after_fork_in_child(void) MGC_NO_ANALYSIS {
  mutex_unlock(&stop_lock);
  mutex_init(&report_lock, LOCKRANK_gc);
  leakstop_after_fork();
  if (opt.on_signal) start_server();
}

bool leaks_parse(const char *list, struct leak_options *o) {
  static const char *const words[] = {"0",    "1",       "exit",  "signal",
                                      "json", "inplace", "nomaps"};
  bool asked = false, good = true;
  while (*list) {
    size_t n = strcspn(list, ","), i = 0;
    while (i < array_len(words) &&
           (strlen(words[i]) != n || memcmp(words[i], list, n) != 0))
      i++;
    if (i == 0) return good;
    if (i == 1 || i == 2) o->at_exit = asked = true;
    if (i == 3) o->on_signal = asked = true;
    if (i == 4) o->json = true;
    if (i == 5) o->inplace = true;
    if (i == 6) o->nomaps = true;
    if (i == array_len(words)) good = false;
    list += n;
    if (*list == ',') list++;
  }
  if (!asked) o->at_exit = true; /* json alone, or a word unknown to us */
  return good;
}

void leaks_start(struct mface *m) {
  const char *list = NULL;
  uint64_t n;
  if (!m->opt.leaks || env_string("MALLOCGC_LEAKS", &list) != ENV_OK) return;
  opt.signo = SIGUSR1;
  bool good = leaks_parse(list, &opt);
  if (env_string("MALLOCGC_LEAKS_FILE", &opt.path) == ENV_MALFORMED)
    good = false;
  enum env_result r = env_u64("MALLOCGC_LEAKS_SIGNAL", &n);
  if (r == ENV_OK && n > 0 && n <= (uint64_t)SIGRTMAX) opt.signo = (int)n;
  if (r == ENV_MALFORMED) good = false;
  r = env_u64("MALLOCGC_LEAKS_EXIT", &n);
  if (r == ENV_OK && n < 256) opt.exit_code = (int)n;
  if (r == ENV_MALFORMED) good = false;
  if (!good)
    print_fd(STDERR_FILENO,
             "mallocgc: warning: cannot understand all of MALLOCGC_LEAKS*\n");
  if (!opt.path)
    kept_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, KEPT_FD_MIN);
  if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) !=
      0)
    return;
  if (opt.on_signal) start_on_signal();
}

/* See the head for what has run before. */
__attribute__((destructor)) static void report_at_exit(void) {
  if (!opt.at_exit || leaks_report() <= 0 || opt.exit_code == 0) return;
  fflush(NULL);
  _exit(opt.exit_code);
}
