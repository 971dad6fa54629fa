// SPDX-License-Identifier: MIT
/*
 * The report: when it is made, and where it goes. What is in it is msnap.h's.
 *
 * At exit. By a destructor of the library, which runs after the program's atexit
 * functions and the destructors of what was linked with it; not after _exit, exec
 * or a deadly signal. A process that was forked and went on without exec did not
 * ask: it prints nothing at exit, or a server would print a report for each of
 * its workers. It answers SIGUSR2 like any other.
 *
 * On SIGUSR2, when a report (or a heap profile, which is then written, too:
 * profile.h) was asked for and the signal was at its default when
 * the library started. A program that takes the signal for itself gets it. The
 * handler makes the report itself, in whatever thread the kernel chose, and may
 * have interrupted the allocator anywhere. This is safe because
 *
 *   I1  it takes no lock: msnap_take reads the heap without any
 *   I2  it allocates nothing from the heap: its buffers are a mapping of its own
 *   I3  it calls only system calls and formatters of base/print.h
 *   I4  one report is made at a time; a signal that comes meanwhile is dropped,
 *       for whoever waits would wait for the thread it may have interrupted
 *
 * Where. Standard error as it was when the library started, which is kept under a
 * high number: programs close it before they end (those of coreutils all do), and
 * others get number 2 for a file of data. It is used only while it is still the
 * same file. Or MALLOCGC_REPORT_FILE, which is opened anew for each report and
 * added to; %p in it is the process's id. Each report is one write, so that those
 * of many processes do not mix.
 *
 * `mallocgc stat PID` needs none of this. It finds the anchor by the ELF note
 * below, which survives strip, and reads the process's memory. Where the Yama
 * module allows that only of children, a process that was asked for a report lets
 * every process of its user do so.
 */
#include "face/malloc/msnap.h"

#include "base/print.h"
#include "face/malloc/profile.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mallocgc/version.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Numbers that programs do not reach, and select(2) still takes. */
#define HIGH_FD 1000u
#define DEFAULT_COLUMNS 100u
#define WRITE_PATIENCE_MS 2000

/* --- the anchor --- */

const struct msnap_anchor msnap_anchor
    __attribute__((used, visibility("hidden"))) = {
        .magic = MSNAP_MAGIC,
        .mface = &mface,
        .globals = &tcache_globals,
        .none = tcache_none,
        .version = MGC_VERSION_STRING,
        .layout = MSNAP_LAYOUT,
};

__asm__(".pushsection .note.mallocgc,\"a\",%note\n"
        ".balign 4\n"
        ".long 9, 8, 1\n" /* sizes of name and contents; MSNAP_NOTE_TYPE */
        ".asciz \"mallocgc\"\n"
        ".balign 4\n"
        ".quad msnap_anchor - .\n"
        ".popsection");

void msnap_take_own(struct msnap *out) {
  const struct msnap_from own = {
      .anchor = &msnap_anchor, .direct = true, .self = tcache_self};
  if (msnap_take(&own, out) != MSNAP_OK) *out = (struct msnap){0};
}

/* --- where it goes --- */

struct report_state {
  bool asked, json;
  const char *path; /* the environment's; NULL: standard error */
  int pid;          /* that asked */
  int fd;           /* the kept standard error, or -1 */
  dev_t dev;        /* of it */
  ino_t ino;
  struct msnap_style style;
  struct atomic_u32 busy;
};

static struct report_state state = {.fd = -1};

static void keep_stderr(void) {
  struct stat st;
  struct rlimit lim;
  if (fstat(STDERR_FILENO, &st) != 0) return;
  rlim_t from = HIGH_FD;
  if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur <= HIGH_FD)
    from = lim.rlim_cur / 2;
  state.fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, (int)from);
  state.dev = st.st_dev;
  state.ino = st.st_ino;
}

static bool is_kept_file(int fd) {
  struct stat st;
  return fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == state.dev &&
         st.st_ino == state.ino;
}

static int kept_stderr(void) {
  if (state.fd < 0) return -1; /* it was closed from the beginning */
  if (is_kept_file(state.fd)) return state.fd;
  return is_kept_file(STDERR_FILENO) ? STDERR_FILENO : -1;
}

/* The path with %p replaced; false: too long. */
static bool expand_path(char *out, size_t n) {
  size_t len = 0;
  for (const char *p = state.path; *p && len < n; p++) {
    if (p[0] == '%' && p[1] == 'p') {
      len += print_format(out + len, n - len, "%d", getpid());
      p++;
    } else {
      out[len++] = *p;
    }
  }
  if (len >= n) return false;
  out[len] = 0;
  return true;
}

static int open_report(void) {
  char path[PATH_MAX];
  if (!state.path) return kept_stderr();
  int fd = -1;
  if (expand_path(path, sizeof path))
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);
  if (fd < 0 && kept_stderr() >= 0)
    print_fd(kept_stderr(),
             "mallocgc: cannot write the report to %s: errno %d\n", state.path,
             errno);
  return fd;
}

/* --- writing --- */

static void write_all(int fd, const char *buf, size_t n) {
  while (n > 0) {
    ssize_t got = write(fd, buf, n);
    if (got >= 0) {
      buf += got;
      n -= (size_t)got;
    } else if (errno == EAGAIN) {
      /* The other end of a pipe that does not block may be slow. */
      struct pollfd p = {.fd = fd, .events = POLLOUT};
      if (poll(&p, 1, WRITE_PATIENCE_MS) <= 0) return;
    } else if (errno != EINTR) {
      return;
    }
  }
}

/* A reader who is gone must not change how the program ends. */
static void write_without_sigpipe(int fd, const char *buf, size_t n) {
  sigset_t pipe_only, old, pending;
  struct timespec now = {0};
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  sigpending(&pending);
  bool had = sigismember(&pending, SIGPIPE) == 1;
  sigprocmask(SIG_BLOCK, &pipe_only, &old);
  write_all(fd, buf, n);
  if (!had) sigtimedwait(&pipe_only, NULL, &now);
  sigprocmask(SIG_SETMASK, &old, NULL);
}

struct report_room {
  struct msnap snap;
  char text[MSNAP_TEXT_MAX];
};

static void report(const char *when) {
  struct report_room *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (r == MAP_FAILED) return;
  const struct msnap_from own = {.anchor = &msnap_anchor, .self = tcache_self};
  if (msnap_take(&own, &r->snap) == MSNAP_OK) {
    size_t n = state.json
                   ? msnap_print_json(&r->snap, when, r->text, sizeof r->text)
                   : msnap_print_text(&r->snap, &state.style, when, r->text,
                                      sizeof r->text);
    int fd = open_report();
    if (fd >= 0) write_without_sigpipe(fd, r->text, n);
    if (fd >= 0 && state.path) close(fd);
  }
  munmap(r, sizeof *r);
}

static void report_once(const char *when) {
  int saved = errno;
  uint32_t expect = 0;
  /* acquire: pairs with the release below; I4 */
  if (atomic_u32_cas_acquire(&state.busy, &expect, 1)) {
    report(when);
    atomic_u32_store_release(&state.busy, 0);
  }
  errno = saved;
}

/* --- when --- */

static void on_signal(int signo) {
  (void)signo;
  if (state.asked) report_once("while running");
  profile_write();
}

static void claim_signal(void) {
  struct sigaction old,
      act = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
  if (sigaction(SIGUSR2, NULL, &old) != 0 || old.sa_handler != SIG_DFL) return;
  sigemptyset(&act.sa_mask);
  sigaction(SIGUSR2, &act, NULL);
}

__attribute__((destructor(101))) static void at_exit(void) {
  if (state.asked && getpid() == state.pid) report_once("at exit");
}

/* --- how it looks --- */

static bool locale_is_utf8(void) {
  const char *names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
  for (size_t i = 0; i < array_len(names); i++) {
    const char *v = getenv(names[i]);
    if (!v || !*v) continue;
    return strcasestr(v, "utf-8") || strcasestr(v, "utf8");
  }
  return false;
}

static void choose_style(void) {
  struct winsize ws = {0};
  bool tty = !state.path && ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0;
  const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
  unsigned columns = tty && ws.ws_col ? ws.ws_col : DEFAULT_COLUMNS;
  state.style.columns = columns > 120 ? 120 : columns;
  state.style.utf8 = locale_is_utf8();
  state.style.color =
      tty && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
}

void report_start(struct mface *m) {
  if (profile) claim_signal();
  if (!m->opt.report) return;
  state.json = m->opt.report_json;
  state.path = m->opt.report_path;
  state.pid = getpid();
  keep_stderr();
  choose_style();
  claim_signal();
  /* Fails where there is no Yama: then nobody is kept out. */
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  state.asked = true;
}
