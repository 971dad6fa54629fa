// SPDX-License-Identifier: MIT
/*
 * Asynchronous write tracking: userfaultfd's WP_ASYNC and the ioctl PAGEMAP_SCAN. See
 * wptrack.h for what it is and costs.
 *
 * A page is *armed* when its page table entry (in memory or swapped out) carries the
 * kernel's write-protect mark in a mapping that is registered. "Written" is the absence
 * of the mark, so that whatever drops an entry (MADV_DONTNEED, a new mapping) makes the
 * page written and never clean.
 *
 *   I1  what was written after it was armed is visited by the next scan, or the scan
 *       fails
 *   I2  in order, each page at most once a scan
 *   I3  pages that are armed and not written are not visited, but beside a part that is
 *       not tracked
 *
 * Only pages with contents (PRESENT or SWAPPED) are armed and visited. One without
 * has no entry: it reads as zero, so there is nothing in it to find; it is not armed, so
 * that its first write shows. To arm it too would cost page tables (2 KiB a MiB) and
 * keep huge pages from forming there. One that was read and not written has an entry
 * (the page of zeros) and is visited once for nothing. With WPTRACK_EMPTY a scan that
 * arms nothing may visit pages without contents: 1 GiB of armed small pages takes
 * 0.24 ms then, and 0.65 without.
 *
 * Lost tracking. After mremap or another mapping in the range, entries may lack the
 * mark or keep a stale one, and PAGEMAP_SCAN would pass them over or, with WP_MATCHING,
 * skip the whole mapping. CHECK_WPASYNC makes it fail instead, with EPERM. When it fails
 * it may have armed pages before the part in question, and it does not say which: the
 * regions are lost. So after a failed scan that arms, all of the piece is visited;
 * after one that only gets, a second scan tells exactly.
 *
 * A full vector. PAGEMAP_SCAN stops when the vector is full, and its walk_end is then
 * stale in kernels at hand: the scan goes on behind the last region, which is right
 * because nothing between matched up to there and what follows was not armed. Fewer
 * regions than the vector holds: all was scanned. A vector is always given: without one,
 * kernels before September 2025 can crash where a range begins or ends inside of a huge
 * page.
 *
 * Tried: arming by UFFDIO_WRITEPROTECT, 12 to 14 ms a GiB of small pages where this
 * takes 4.4. Why in pieces: wpkernel.h.
 */
#include "os/wptrack.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define FEATURES (WPK_FEATURE_WP_ASYNC | WPK_FEATURE_WP_UNPOPULATED)
#define HAS_CONTENTS (WPK_PAGE_PRESENT | WPK_PAGE_SWAPPED)

/* A scan that only gets is fast (16 MiB of small pages: 12 us) and made at a stop. */
#define SCAN_PIECE ((size_t)64 << 20)

struct query {
  uint64_t flags, inverted, mask, anyof, wanted;
};

static const struct query query_get = {.flags = WPK_SCAN_CHECK_WPASYNC,
                                       .mask = WPK_PAGE_WRITTEN,
                                       .anyof = HAS_CONTENTS,
                                       .wanted = WPK_PAGE_WRITTEN};
/* The one query for which the kernel has a loop of its own. */
static const struct query query_get_any = {.flags = WPK_SCAN_CHECK_WPASYNC,
                                           .mask = WPK_PAGE_WRITTEN,
                                           .wanted = WPK_PAGE_WRITTEN};
static const struct query query_rearm = {.flags = WPK_SCAN_CHECK_WPASYNC |
                                                  WPK_SCAN_WP_MATCHING,
                                         .mask = WPK_PAGE_WRITTEN,
                                         .anyof = HAS_CONTENTS,
                                         .wanted = WPK_PAGE_WRITTEN};
/* The same where some of it is not tracked: the kernel skips that. */
static const struct query query_rearm_rest = {.flags = WPK_SCAN_WP_MATCHING,
                                              .mask = WPK_PAGE_WRITTEN,
                                              .anyof = HAS_CONTENTS,
                                              .wanted = WPK_PAGE_WRITTEN};
/* All that has contents, and all of mappings that are not tracked: a page of a file
 * has contents without an entry. */
static const struct query query_lost = {
    .inverted = WPK_PAGE_WPALLOWED,
    .anyof = WPK_PAGE_WPALLOWED | HAS_CONTENTS,
    .wanted = WPK_PAGE_WPALLOWED | WPK_PAGE_WRITTEN | HAS_CONTENTS};

/* Regions armed in one call: each costs the other processors a round of TLB flushes, 10
 * to 15 us, for which page faults of other threads wait. */
#define ARM_REGIONS 48

/* One call. Returns how many regions there are, or -errno; *next: where to go on. */
static int scan_once(struct wptrack *w, const struct query *q, bool still,
                     uintptr_t lo, uintptr_t hi, uintptr_t *next) {
  bool arms = (q->flags & WPK_SCAN_WP_MATCHING) && !still;
  unsigned room = w->nregions;
  if (arms && room > ARM_REGIONS) room = ARM_REGIONS;
  struct wpk_scan a = {.size = sizeof a,
                       .flags = q->flags,
                       .start = lo,
                       .end = hi,
                       .vec = (uintptr_t)w->region,
                       .vec_len = room,
                       .category_inverted = q->inverted,
                       .category_mask = q->mask,
                       .category_anyof_mask = q->anyof,
                       .return_mask = q->wanted};
  int n = wpkernel_piece(w->sys, arms ? &w->held : NULL, w->pagemap,
                         WPK_IOC_SCAN, &a);
  if (n < 0) return n;
  *next = hi;
  if ((unsigned)n < room) return n;
  if ((unsigned)n > room) return -EIO;
  *next = (uintptr_t)w->region[n - 1].end;
  return *next > lo && *next <= hi ? n : -EIO; /* I1: it goes on, or fails */
}

/* --- ranges --- */

int wptrack_register(struct wptrack *w, uintptr_t lo, uintptr_t hi) {
  int err = wpkernel_check(w->uffd, w->page, lo, hi);
  if (err || lo == hi) return err;
  return wpkernel_register(w->sys, w->uffd, lo, hi);
}

int wptrack_unregister(struct wptrack *w, uintptr_t lo, uintptr_t hi) {
  int err = wpkernel_check(w->uffd, w->page, lo, hi);
  if (err || lo == hi) return err;
  return wpkernel_unregister(w->sys, w->uffd, lo, hi);
}

int wptrack_disarm(struct wptrack *w, uintptr_t lo, uintptr_t hi) {
  int err = wpkernel_check(w->uffd, w->page, lo, hi);
  while (!err && lo < hi) {
    uintptr_t end = wpkernel_piece_end(lo, hi, w->arm_piece);
    err = wpkernel_protect(w->sys, &w->held, w->uffd, lo, end,
                           WPK_PROTECT_DONTWAKE);
    lo = end;
  }
  return err;
}

int wptrack_arm(struct wptrack *w, uintptr_t lo, uintptr_t hi) {
  int err = wpkernel_check(w->uffd, w->page, lo, hi);
  if (err) return err;
  while (lo < hi) {
    uintptr_t end = wpkernel_piece_end(lo, hi, w->arm_piece);
    int n = scan_once(w, &query_rearm, false, lo, end, &lo);
    if (n == -EPERM) {
      w->nlost++;
      n = scan_once(w, &query_rearm_rest, false, lo, end, &lo);
    }
    if (n < 0) return n;
  }
  return 0;
}

/* --- scanning --- */

static bool is_written(uint64_t categories) {
  if (!(categories & WPK_PAGE_WPALLOWED)) return true;
  return (categories & WPK_PAGE_WRITTEN) && (categories & HAS_CONTENTS);
}

/* A piece with a part that is not tracked. all: no mark in it is believed. */
static int visit_lost(struct wptrack *w, uintptr_t lo, uintptr_t hi, bool all,
                      wptrack_visit *visit, void *arg) {
  w->nlost++;
  while (lo < hi) {
    int n = scan_once(w, &query_lost, false, lo, hi, &lo);
    if (n < 0) return n;
    for (int i = 0; i < n; i++)
      if (all || is_written(w->region[i].categories))
        visit((uintptr_t)w->region[i].start, (uintptr_t)w->region[i].end, arg);
  }
  return 0;
}

static const struct query *query_of(unsigned flags) {
  if (flags & WPTRACK_REARM) return &query_rearm;
  return flags & WPTRACK_EMPTY ? &query_get_any : &query_get;
}

/* [lo, end) of one piece. */
static int scan_piece(struct wptrack *w, uintptr_t lo, uintptr_t end,
                      unsigned flags, wptrack_visit *visit, void *arg) {
  bool rearm = flags & WPTRACK_REARM;
  while (lo < end) {
    int n = scan_once(w, query_of(flags), flags & WPTRACK_STILL, lo, end, &lo);
    if (n == -EPERM) return visit_lost(w, lo, end, rearm, visit, arg);
    if (n < 0) return n;
    for (int i = 0; i < n; i++)
      visit((uintptr_t)w->region[i].start, (uintptr_t)w->region[i].end, arg);
  }
  return 0;
}

int wptrack_scan(struct wptrack *w, uintptr_t lo, uintptr_t hi, unsigned flags,
                 wptrack_visit *visit, void *arg) {
  bool rearm = flags & WPTRACK_REARM;
  size_t piece = rearm ? w->arm_piece : w->scan_piece;
  int err = wpkernel_check(w->uffd, w->page, lo, hi);
  while (!err && lo < hi) {
    uintptr_t end = wpkernel_piece_end(lo, hi, piece);
    err = scan_piece(w, lo, end, flags, visit, arg);
    lo = end;
  }
  return err;
}

/* --- opening --- */

/* Asynchronous tracking is sound from 6.9 on. Older kernels have the features from 6.7
 * on, and the corrections only where somebody brought them back, which nothing tells. */
static bool is_sound(const char *release) {
  unsigned version[2] = {0};
  for (int i = 0; i < 2; i++) {
    while (*release >= '0' && *release <= '9' && version[i] < 1000)
      version[i] = version[i] * 10 + (unsigned)(*release++ - '0');
    if (*release != '.') break;
    release++;
  }
  return version[0] > 6 || (version[0] == 6 && version[1] >= 9);
}

/* The pages of the trial, a bit each; the first is only armed. */
enum { BY_PROGRAM = 2, BY_KERNEL = 4, FRESH = 8, ALL = 15, TRIAL_PAGES = 4 };

struct trial {
  uintptr_t lo;
  size_t page;
  unsigned seen;
};

static void note_seen(uintptr_t lo, uintptr_t hi, void *arg) {
  struct trial *t = arg;
  for (; lo < hi; lo += t->page) t->seen |= 1u << ((lo - t->lo) / t->page);
}

static bool trial_sees(struct wptrack *w, struct trial *t, unsigned flags,
                       unsigned want) {
  t->seen = 0;
  uintptr_t hi = t->lo + TRIAL_PAGES * t->page;
  return wptrack_scan(w, t->lo, hi, flags, note_seen, t) == 0 &&
         t->seen == want;
}

static const char *try_pages(struct wptrack *w, volatile char *p) {
  struct trial t = {.lo = (uintptr_t)p, .page = w->page};
  uintptr_t hi = t.lo + TRIAL_PAGES * t.page;
  p[0] = p[t.page] = p[2 * t.page] = 1;
  if (wptrack_register(w, t.lo, hi) != 0) return "no range can be registered";
  if (wptrack_arm(w, t.lo, hi) != 0) return "PAGEMAP_SCAN does not work";
  if (w->nlost) return "memory just registered is not tracked";
  if (!trial_sees(w, &t, WPTRACK_GET, 0)) return "armed pages seem written";
  p[t.page] = p[3 * t.page] = 2;
  if (w->sys->kernel_write((char *)t.lo + 2 * t.page) != 0)
    return "system calls cannot write to armed pages";
  if (!trial_sees(w, &t, WPTRACK_REARM, BY_PROGRAM | BY_KERNEL | FRESH))
    return "written pages are not seen";
  if (!trial_sees(w, &t, WPTRACK_GET, 0)) return "pages are not armed again";
  if (wptrack_unregister(w, t.lo, hi) != 0)
    return "no range can be unregistered";
  /* Kernels that clear the marks here show all as written without being asked. */
  if (!trial_sees(w, &t, WPTRACK_GET, ALL) || !w->nlost)
    return "lost tracking is not noticed";
  w->nlost = 0;
  return NULL;
}

static int give_up(struct wptrack *w, int err, const char *reason) {
  wptrack_close(w);
  w->reason = reason;
  return err;
}

int wptrack_open(struct wptrack *w, const struct wptrack_sys *sys) {
  char release[64];
  const char *reason = NULL;
  *w = (struct wptrack){.sys = sys,
                        .uffd = -1,
                        .pagemap = -1,
                        .page = (size_t)sysconf(_SC_PAGESIZE),
                        .arm_piece = WPKERNEL_PIECE,
                        .scan_piece = SCAN_PIECE,
                        .nregions = WPTRACK_REGIONS};
  if (sys->release(release, sizeof release) != 0 || !is_sound(release))
    return give_up(w, -ENOSYS, "the kernel is older than 6.9");
  w->uffd =
      wpkernel_open(sys, FEATURES,
                    "no asynchronous write protection in this kernel", &reason);
  if (w->uffd < 0) return give_up(w, w->uffd, reason);
  w->pagemap = sys->open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (w->pagemap < 0)
    return give_up(w, w->pagemap, "/proc/self/pagemap cannot be opened");
  size_t n = TRIAL_PAGES * w->page;
  char *p = sys->map(n);
  if (!p) return give_up(w, -ENOMEM, "no memory for the trial");
  reason = try_pages(w, p);
  sys->unmap(p, n);
  return reason ? give_up(w, -EIO, reason) : 0;
}

void wptrack_close(struct wptrack *w) {
  if (w->uffd >= 0) w->sys->close(w->uffd);
  if (w->pagemap >= 0) w->sys->close(w->pagemap);
  w->uffd = w->pagemap = -1;
}

void wptrack_after_fork_child(struct wptrack *w) { wptrack_close(w); }
