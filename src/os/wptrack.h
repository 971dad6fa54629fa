// SPDX-License-Identifier: MIT
/*
 * Which pages did the program write? The kernel tells, for programs that know nothing
 * of it, in two ways:
 *
 *   struct wptrack   asynchronous. Pages are armed; the first write to one disarms it,
 *                    inside the kernel (about 1 us), and a scan lists what is not
 *                    armed. Writes by system calls count, and none fails. wptrack.c
 *   struct wpsync    synchronous. Pages are protected; a write to one is a SIGBUS, whose
 *                    handler notes or saves the page and lifts the protection. System
 *                    calls that write there fail with EFAULT. wpsync.c
 *
 * Neither needs a privilege, but a container's filter may forbid both. A range belongs
 * to one descriptor of one process: to change between the ways, unregister and register.
 *
 * Ranges are of whole pages of mapped, private memory (anonymous, or .data and .bss).
 * A function that takes one gives -EBADF when its descriptor is closed and -EINVAL when
 * lo > hi or one of them is not a page's address; lo == hi is nothing and succeeds.
 *
 * fork. A child has the parent's descriptors, and what it does with them is done to the
 * parent's memory; its own copies of the pages are not tracked. So the handler of fork
 * in the child calls the _after_fork_child function first of all. A child that lives on
 * with them keeps the ranges registered though the parent closes: therefore unregister
 * before closing. exec closes them.
 */
#ifndef MGC_OS_WPTRACK_H
#define MGC_OS_WPTRACK_H

#include "os/wpkernel.h"

#define WPTRACK_REGIONS 512
/* At most so much is best given to a scan that arms in a pause: 1,024 pages to arm are
 * 0.1 to 0.4 ms. */
#define WPTRACK_STILL_PIECE ((size_t)4 << 20)

/* One thread at a time, and so for all that takes one. 12 KiB. */
struct wptrack {
  const struct wptrack_sys *sys;
  int uffd, pagemap; /* -1: closed */
  size_t page;       /* const after open */
  /* Bytes that one system call is given, powers of two of at least 2 MiB (why:
   * wpkernel.h). Open sets them; the owner may change them. */
  size_t arm_piece;  /* arm, and scan with WPTRACK_REARM: with pauses */
  size_t scan_piece; /* scan without, which is for a stopped world: none */
  int64_t held;      /* nanoseconds since the last pause (wpkernel_piece) */
  uint64_t nlost;    /* calls that met memory which is not tracked (any more) */
  const char *reason;
  unsigned nregions; /* WPTRACK_REGIONS; fewer in tests of a full vector */
  struct wpk_region region[WPTRACK_REGIONS];
};

typedef void wptrack_visit(uintptr_t lo, uintptr_t hi, void *arg);

/* Opens the descriptors and tries them on pages of its own.
 * Errors: -errno, and w is closed: -ENOSYS for a kernel before 6.9, -EPERM or -ENOSYS
 * where userfaultfd is forbidden, -ENOENT without /proc, -EINVAL where a feature is
 * missing, -EIO where the trial went wrong. */
MGC_MUST_CHECK int wptrack_open(struct wptrack *w,
                                const struct wptrack_sys *sys);
/* Nothing when it is closed. See "fork" above for the ranges. */
void wptrack_close(struct wptrack *w);
static inline bool wptrack_is_open(const struct wptrack *w) {
  return w->uffd >= 0;
}
/* Why the last open failed, for a trace: constant. NULL: it did not. */
static inline const char *wptrack_reason(const struct wptrack *w) {
  return w->reason;
}

/* Makes a range one that can be armed; all of it counts as written until it is. What
 * is registered already stays as it is. A hole in the range is passed over.
 * Errors: -EBUSY: another userfaultfd has a part; -EINVAL: memory of a kind that cannot
 * be tracked; -ENOMEM: too many mappings, or none here. */
MGC_MUST_CHECK int wptrack_register(struct wptrack *w, uintptr_t lo,
                                    uintptr_t hi);
/* Nothing in the range is tracked any more. What was not registered is passed over.
 * Errors: -EINVAL, -ENOMEM as above. */
MGC_MUST_CHECK int wptrack_unregister(struct wptrack *w, uintptr_t lo,
                                      uintptr_t hi);

/* Everything in the range counts as unwritten: what is written after the return is
 * found by a scan; what is written meanwhile may be. A part that is not tracked
 * (nlost) cannot be armed, and every scan will say that it was written.
 * Errors: -errno; some of it is armed then. */
MGC_MUST_CHECK int wptrack_arm(struct wptrack *w, uintptr_t lo, uintptr_t hi);

/* Everything in the range counts as written again: no first write to a page costs the
 * program anything more.
 * Errors: -errno; some of it is still armed then, which does no harm. */
MGC_MUST_CHECK int wptrack_disarm(struct wptrack *w, uintptr_t lo,
                                  uintptr_t hi);

enum wptrack_flags {
  WPTRACK_GET = 0,
  /* What is visited was armed again before, each page in the same step in which it was
   * found written: a visitor sees every write that no later scan will find. */
  WPTRACK_REARM = 1,
  /* No other thread of the process runs: to arm is cheap then, since no processor has to
   * be told, and nobody waits for the address space. Takes no pauses. */
  WPTRACK_STILL = 2,
  /* Pages without contents may be visited, too: a scan that only gets takes a third of
   * the time then, because the kernel looks at one bit of each page. */
  WPTRACK_EMPTY = 4,
};

/* Visits the runs of pages written since they were armed, in order and each page once.
 * Pages without contents (never touched, or given back) read as zero and are not
 * visited, but with WPTRACK_EMPTY. A part that is not tracked (another mapping took its place; it was moved;
 * it was not registered) is always visited, whatever is mapped there, readable or not;
 * with WPTRACK_REARM so is the rest of its piece.
 * Errors: -errno; with WPTRACK_REARM pages may have been armed that nobody was told of,
 * so all of the range must be taken for written. */
MGC_MUST_CHECK int wptrack_scan(struct wptrack *w, uintptr_t lo, uintptr_t hi,
                                unsigned flags, wptrack_visit *visit,
                                void *arg);

/* In the child of fork: closes the descriptors and does nothing else to them. */
void wptrack_after_fork_child(struct wptrack *w);

/* --- synchronous --- */

/* Const between open and close, so that a signal handler may use it. */
struct wpsync {
  const struct wptrack_sys *sys;
  int uffd; /* -1: closed */
  size_t page;
  size_t piece; /* as arm_piece of struct wptrack */
  const char *reason;
};

/* Opens the descriptor and tries it on pages of its own, without a signal.
 * Errors: as wptrack_open, but that neither /proc nor a kernel of 6.9 is needed. */
MGC_MUST_CHECK int wpsync_open(struct wpsync *s, const struct wptrack_sys *sys);
/* Nothing when it is closed. Unregister first: a write to what is still protected, with
 * a child of fork holding the descriptor, is a SIGBUS. */
void wpsync_close(struct wpsync *s);
static inline bool wpsync_is_open(const struct wpsync *s) {
  return s->uffd >= 0;
}
static inline const char *wpsync_reason(const struct wpsync *s) {
  return s->reason;
}

/* As their namesakes; unregister lifts all protection. */
MGC_MUST_CHECK int wpsync_register(struct wpsync *s, uintptr_t lo,
                                   uintptr_t hi);
MGC_MUST_CHECK int wpsync_unregister(struct wpsync *s, uintptr_t lo,
                                     uintptr_t hi);

/* From the return on the first write to a page of the range, touched before or not, is
 * a SIGBUS (BUS_ADRERR, si_addr: the address written to). Reading is free. Pauses when it
 * takes long: who has stopped the world gives ranges that lie in one piece each.
 * Errors: -ENOENT: a part is not registered (any more); other -errno. Some of it may be
 * protected then.
 * Threads: any, also at once. Async-signal-safe; errno stays. */
MGC_MUST_CHECK int wpsync_protect(const struct wpsync *s, uintptr_t lo,
                                  uintptr_t hi);
/* The range may be written again: for the handler, which then returns to the write.
 * Errors and threads: as wpsync_protect. */
MGC_MUST_CHECK int wpsync_unprotect(const struct wpsync *s, uintptr_t lo,
                                    uintptr_t hi);

/* In the child of fork: closes the descriptor and does nothing else to it. */
void wpsync_after_fork_child(struct wpsync *s);

#endif
