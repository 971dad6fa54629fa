// SPDX-License-Identifier: MIT
/* Write tracking on kernels that cannot, or that answer wrongly: each call refused in
 * turn, each answer that a trial at the opening must see through. What the kernel at
 * hand does well: test_wptrack.c, test_wpsync.c. */
#include "support/wpfix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

/* --- a kernel with faults --- */

static struct fault {
  const char *release;
  int uffd_error, device_error, pagemap_error;
  bool no_memory;
  unsigned long
      request; /* of ioctl: its nth call (0: every one) gives result */
  unsigned nth;
  int result;
  bool every_request;      /* the nth of any */
  uint64_t drop_scan;      /* flags of PAGEMAP_SCAN that it ignores */
  uint64_t drop_features;  /* of its answer to the API call */
  bool finds_nothing;      /* PAGEMAP_SCAN */
  bool stale_walk_end;     /* PAGEMAP_SCAN */
  bool ignores_protection; /* WRITEPROTECT, one way or the other */
  uint64_t ignored_mode;
  bool no_kernel_write;
} k;
static unsigned ncalls, ndevice;
static int nopen; /* descriptors and mappings that were not given back */

static const struct wptrack_sys *real(void) { return wptrack_system(); }

static int opened(int fd) {
  nopen += fd >= 0;
  return fd;
}
static int fake_userfaultfd(int flags) {
  if (k.uffd_error) return k.uffd_error;
  return opened(real()->userfaultfd(flags));
}
static int fake_open(const char *path, int flags) {
  if (strcmp(path, "/dev/userfaultfd") != 0)
    return k.pagemap_error ? k.pagemap_error
                           : opened(real()->open(path, flags));
  ndevice++;
  /* Only root may open the real one. */
  return k.device_error ? k.device_error
                        : opened(real()->open("/dev/null", flags));
}
static void fake_close(int fd) {
  nopen--;
  real()->close(fd);
}
static int fake_release(char *buf, size_t n) {
  if (!k.release) return real()->release(buf, n);
  snprintf(buf, n, "%s", k.release);
  return k.release[0] ? 0 : -EFAULT;
}
static int fake_kernel_write(void *p) {
  return k.no_kernel_write ? -EFAULT : real()->kernel_write(p);
}
static void *fake_map(size_t n) {
  void *p = k.no_memory ? NULL : real()->map(n);
  nopen += p != NULL;
  return p;
}
static void fake_unmap(void *p, size_t n) {
  nopen--;
  real()->unmap(p, n);
}

static int64_t fake_nanotime(void) { return real()->nanotime(); }
static void fake_pause(void) { real()->pause(); }

static uint64_t most_armed; /* regions that one call may arm */

static int fake_scan(int fd, struct wpk_scan *a) {
  if (a->flags & WPK_SCAN_WP_MATCHING && a->vec_len > most_armed)
    most_armed = a->vec_len;
  a->flags &= ~k.drop_scan;
  if (k.finds_nothing) return 0;
  int n = real()->ioctl(fd, WPK_IOC_SCAN, a);
  if (k.stale_walk_end) a->walk_end = ncalls % 2 ? a->start : a->end;
  return n;
}

static int fake_ioctl(int fd, unsigned long request, void *arg) {
  if (request == k.request || k.every_request) {
    ncalls++;
    if (k.nth == 0 || ncalls == k.nth) return k.result;
  }
  if (request == WPK_IOC_NEW)
    return opened(real()->userfaultfd((int)(uintptr_t)arg));
  if (request == WPK_IOC_SCAN) return fake_scan(fd, arg);
  struct wpk_writeprotect *wp = arg;
  if (request == WPK_IOC_WRITEPROTECT && k.ignores_protection &&
      wp->mode == k.ignored_mode)
    return 0;
  int r = real()->ioctl(fd, request, arg);
  if (request == WPK_IOC_API)
    ((struct wpk_api *)arg)->features &= ~k.drop_features;
  return r;
}

static const struct wptrack_sys faulty = {
    .userfaultfd = fake_userfaultfd,
    .open = fake_open,
    .ioctl = fake_ioctl,
    .close = fake_close,
    .release = fake_release,
    .kernel_write = fake_kernel_write,
    .map = fake_map,
    .unmap = fake_unmap,
    .nanotime = fake_nanotime,
    .pause = fake_pause,
};

static struct wptrack w;
static struct wpsync s;

static bool kernel_can(void) {
  int err = wptrack_open(&w, real());
  if (err) return wpfix_skip(WPFIX_ASYNC, wptrack_reason(&w), err);
  err = wpsync_open(&s, real());
  if (err) return wpfix_skip(WPFIX_SYNC, wpsync_reason(&s), err);
  wptrack_close(&w);
  wpsync_close(&s);
  return true;
}

/* What an opening leaves: the result and the reason agree, and nothing stays open. */
static void check_end(int err, bool is_open, const char *reason) {
  cr_assert_eq(is_open, err == 0);
  cr_assert_eq(reason == NULL, err == 0);
  if (err) cr_assert_eq(nopen, 0, "%d left open: %s", nopen, reason);
}

static int open_async(void) {
  ncalls = ndevice = 0;
  nopen = 0;
  int err = wptrack_open(&w, &faulty);
  check_end(err, wptrack_is_open(&w), wptrack_reason(&w));
  return err;
}
static int open_sync(void) {
  ncalls = ndevice = 0;
  nopen = 0;
  int err = wpsync_open(&s, &faulty);
  check_end(err, wpsync_is_open(&s), wpsync_reason(&s));
  return err;
}
static void close_async(void) {
  wptrack_close(&w);
  cr_assert_eq(nopen, 0);
}
static void close_sync(void) {
  wpsync_close(&s);
  cr_assert_eq(nopen, 0);
}

/* --- kernels that cannot --- */

Test(wpkernel, old_kernels_are_refused_by_their_release) {
  const char *old[] = {"6.8.12-generic", "5.15.0", "4.19",  "6.8", "6", "6.",
                       "nonsense",       "",       "-6.90", "6,9"};
  for (size_t i = 0; i < array_len(old); i++) {
    k.release = old[i];
    cr_assert_eq(open_async(), -ENOSYS, "%s", old[i]);
    cr_assert_str_eq(wptrack_reason(&w), "the kernel is older than 6.9");
  }
}

Test(wpkernel, new_kernels_are_taken_by_their_release) {
  const char *new[] = {"6.9.0", "6.9-rc1", "6.10.3-amd64", "6.100",
                       "7.0",   "10.1",    "6.9"};
  if (!kernel_can()) return;
  for (size_t i = 0; i < array_len(new); i++) {
    k.release = new[i];
    cr_assert_eq(open_async(), 0, "%s", new[i]);
    close_async();
  }
}

Test(wpkernel, the_device_where_the_system_call_is_forbidden) {
  static const int errors[] = {-EPERM, -ENOSYS};
  if (!kernel_can()) return;
  for (size_t i = 0; i < 2; i++) {
    k.uffd_error = errors[i];
    k.device_error = 0;
    cr_assert_eq(open_async(), 0);
    cr_assert_eq(ndevice, 1);
    close_async();
    cr_assert_eq(open_sync(), 0);
    close_sync();
    k.device_error = -EACCES;
    cr_assert_eq(open_async(), errors[i], "the error of the system call");
    cr_assert_eq(open_sync(), errors[i]);
    k.device_error = 0;
    k.request = WPK_IOC_NEW;
    k.result = -EINVAL;
    cr_assert_eq(open_async(), errors[i]);
    k.request = 0;
  }
  k.uffd_error = -EMFILE;
  cr_assert_eq(open_async(), -EMFILE);
  cr_assert_eq(ndevice, 0);
  cr_assert_str_eq(wptrack_reason(&w), "too many open files");
}

Test(wpkernel, reasons_name_what_is_missing) {
  k.release = "6.9";
  k.device_error = -ENOENT;
  k.uffd_error = -EPERM;
  cr_assert_eq(open_async(), -EPERM);
  cr_assert_str_eq(wptrack_reason(&w), "userfaultfd is not permitted");
  k.uffd_error = -ENOSYS;
  cr_assert_eq(open_sync(), -ENOSYS);
  cr_assert_str_eq(wpsync_reason(&s),
                   "no userfaultfd in this kernel, or it is filtered");
  if (!kernel_can()) return;
  k.uffd_error = 0;
  k.pagemap_error = -ENOENT;
  cr_assert_eq(open_async(), -ENOENT);
  cr_assert_str_eq(wptrack_reason(&w), "/proc/self/pagemap cannot be opened");
  cr_assert_eq(open_sync(), 0, "which needs no /proc");
  close_sync();
  k.pagemap_error = 0;
  k.no_memory = true;
  cr_assert_eq(open_async(), -ENOMEM);
  cr_assert_eq(open_sync(), -ENOMEM);
}

Test(wpkernel, missing_features_are_refused) {
  if (!kernel_can()) return;
  k.request = WPK_IOC_API;
  k.result = -EINVAL;
  cr_assert_eq(open_async(), -EINVAL);
  cr_assert_eq(open_sync(), -EINVAL);
  k.request = 0;
  k.drop_features = WPK_FEATURE_WP_ASYNC;
  cr_assert_eq(open_async(), -EINVAL);
  cr_assert_eq(open_sync(), 0);
  close_sync();
  static const uint64_t sync_only[] = {WPK_FEATURE_SIGBUS,
                                       WPK_FEATURE_EXACT_ADDRESS};
  for (size_t i = 0; i < array_len(sync_only); i++) {
    k.drop_features = sync_only[i];
    cr_assert_eq(open_async(), 0);
    close_async();
    cr_assert_eq(open_sync(), -EINVAL);
  }
}

/* Fails the 1st, 2nd, 3rd ... ioctl until the opening succeeds. */
static unsigned refuse_each_in_turn(int (*open_it)(void), int result) {
  unsigned n = 0;
  k.every_request = true;
  k.result = result;
  do {
    k.nth = ++n;
    cr_assert_lt(n, 50);
  } while (open_it() != 0);
  cr_assert_lt(ncalls, n, "it succeeds only when nothing fails");
  return n - 1;
}

Test(wpkernel, each_refused_request_of_the_trial_fails_the_opening) {
  if (!kernel_can()) return;
  static const int errors[] = {-EINVAL, -ENOMEM, -EBUSY};
  for (size_t i = 0; i < array_len(errors); i++) {
    cr_assert_geq(refuse_each_in_turn(open_async, errors[i]), 8);
    close_async();
    cr_assert_geq(refuse_each_in_turn(open_sync, errors[i]), 6);
    close_sync();
  }
}

/* --- kernels that answer wrongly --- */

static void async_is_refused(const char *reason) {
  cr_assert_eq(open_async(), -EIO);
  cr_assert_str_eq(wptrack_reason(&w), reason);
}
static void sync_is_refused(const char *reason) {
  cr_assert_eq(open_sync(), -EIO);
  cr_assert_str_eq(wpsync_reason(&s), reason);
}

Test(wpkernel, the_trial_sees_through_a_scan_that_finds_nothing) {
  if (!kernel_can()) return;
  k.finds_nothing = true;
  async_is_refused("written pages are not seen");
}

Test(wpkernel, the_trial_sees_through_a_scan_that_arms_nothing) {
  if (!kernel_can()) return;
  k.drop_scan = WPK_SCAN_WP_MATCHING;
  async_is_refused("armed pages seem written");
}

Test(wpkernel, the_trial_sees_through_a_scan_that_tells_no_loss) {
  if (!kernel_can()) return;
  k.drop_scan = WPK_SCAN_CHECK_WPASYNC;
  async_is_refused("lost tracking is not noticed");
}

Test(wpkernel, the_trial_sees_system_calls_that_fail) {
  if (!kernel_can()) return;
  k.no_kernel_write = true;
  async_is_refused("system calls cannot write to armed pages");
}

Test(wpkernel, the_trial_sees_through_protection_that_is_none) {
  if (!kernel_can()) return;
  k.ignores_protection = true;
  k.ignored_mode = WPK_PROTECT_WP;
  sync_is_refused("protected pages can be written");
  k.ignored_mode = WPK_PROTECT_DONTWAKE;
  sync_is_refused("protection stays when it is lifted");
}

/* --- answers while it is used --- */

enum { PAGES = 3000 };
static struct wpfix f;

/* f with the faulty kernel under it, which has no faults yet. */
static bool begin(void) {
  if (!wpfix_init(&f, PAGES, true)) return false;
  f.w.sys = &faulty;
  ncalls = 0;
  return true;
}

static int scan_error(unsigned flags) {
  return wptrack_scan(&f.w, wpfix_at(&f, 0), wpfix_end(&f), flags, wpfix_visit,
                      &f);
}

Test(wpkernel, stale_walk_ends_are_not_believed) {
  if (!begin()) return;
  k.stale_walk_end = true;
  for (int i = 0; i < 2; i++) {
    for (size_t j = 0; j < PAGES; j += 2) wpfix_write(&f, j, 2);
    cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), PAGES / 2);
    cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), PAGES / 2);
    cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 0);
    ncalls++;
  }
}

/* A call that arms makes page faults of others wait: 1 ms and not 8. */
Test(wpkernel, few_regions_are_armed_in_one_call) {
  if (!begin()) return;
  most_armed = 0;
  for (size_t j = 0; j < PAGES; j += 2) wpfix_write(&f, j, 2);
  k.request = WPK_IOC_SCAN;
  k.nth = UINT_MAX;
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), PAGES / 2);
  /* Some return early, when the kernel has other things to do. */
  cr_assert_leq(ncalls, 2 * (PAGES / 2 / WPTRACK_REGIONS) + 4);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), PAGES / 2);
  for (size_t j = 0; j < PAGES; j += 2) wpfix_write(&f, j, 2);
  cr_assert_eq(wptrack_arm(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), 0);
  cr_assert_geq(most_armed, 1);
  cr_assert_leq(most_armed, 64);
}

Test(wpkernel, a_failing_scan_fails_wherever_it_does) {
  static const int errors[] = {-EINTR, -EINVAL, -ENOMEM, -EFAULT, -EAGAIN};
  if (!begin()) return;
  for (size_t j = 0; j < PAGES; j += 2) wpfix_write(&f, j, 2);
  k.request = WPK_IOC_SCAN;
  for (size_t i = 0; i < array_len(errors); i++)
    for (k.nth = 1; k.nth < 4; k.nth++) {
      k.result = errors[i];
      f.last = ncalls = 0;
      cr_assert_eq(scan_error(WPTRACK_GET), errors[i]);
      cr_assert_eq(ncalls, k.nth, "it is not tried again");
    }
  ncalls = 0;
  k.nth = 1;
  cr_assert_eq(wptrack_arm(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), errors[4]);
}

/* EPERM of a filter, and not of lost tracking: also when the second scan asks. */
Test(wpkernel, a_forbidden_scan_is_an_error) {
  if (!begin()) return;
  k.request = WPK_IOC_SCAN;
  k.nth = 0;
  k.result = -EPERM;
  cr_assert_eq(scan_error(WPTRACK_GET), -EPERM);
  cr_assert_eq(scan_error(WPTRACK_REARM), -EPERM);
  cr_assert_eq(wptrack_arm(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), -EPERM);
}

Test(wpkernel, a_count_that_cannot_be_is_an_error) {
  if (!begin()) return;
  k.request = WPK_IOC_SCAN;
  k.nth = 0;
  f.w.nregions = 4;
  f.w.region[4].start = wpfix_at(&f, 0);
  f.w.region[4].end = wpfix_at(&f, 1);
  k.result = 5;
  cr_assert_eq(scan_error(WPTRACK_GET), -EIO, "more than there is room for");
  cr_assert_eq(f.last, 0, "and what is behind the vector is not visited");
  f.w.nregions = WPTRACK_REGIONS;
  memset(f.w.region, 0, sizeof f.w.region);
  k.result = WPTRACK_REGIONS;
  cr_assert_eq(scan_error(WPTRACK_GET), -EIO,
               "a full vector that ends nowhere");
}

Test(wpkernel, refused_ranges) {
  static const int errors[] = {-EBUSY, -EINVAL, -ENOMEM};
  if (!begin()) return;
  cr_assert_eq(open_sync(), 0);
  for (size_t i = 0; i < array_len(errors); i++) {
    k.result = errors[i];
    k.request = WPK_IOC_REGISTER;
    cr_assert_eq(wptrack_register(&f.w, wpfix_at(&f, 0), wpfix_end(&f)),
                 errors[i]);
    cr_assert_eq(wpsync_register(&s, wpfix_at(&f, 0), wpfix_end(&f)),
                 errors[i]);
    k.request = WPK_IOC_UNREGISTER;
    cr_assert_eq(wptrack_unregister(&f.w, wpfix_at(&f, 0), wpfix_end(&f)),
                 errors[i]);
    cr_assert_eq(wpsync_unregister(&s, wpfix_at(&f, 0), wpfix_end(&f)),
                 errors[i]);
  }
}

Test(wpkernel, a_kernel_that_is_busy_is_asked_again_but_not_for_ever) {
  if (!begin()) return;
  cr_assert_eq(open_sync(), 0);
  uintptr_t lo = wpfix_at(&f, 0), hi = lo + f.page;
  cr_assert_eq(wptrack_unregister(&f.w, lo, hi), 0);
  cr_assert_eq(wpsync_register(&s, lo, hi), 0);
  k.request = WPK_IOC_WRITEPROTECT;
  k.result = -EAGAIN;
  k.nth = 1;
  ncalls = 0;
  cr_assert_eq(wpsync_protect(&s, lo, hi), 0);
  cr_assert_eq(ncalls, 2);
  cr_assert_eq(real()->kernel_write((void *)lo), -EFAULT);
  k.nth = 0;
  cr_assert_eq(wpsync_unprotect(&s, lo, hi), -EAGAIN);
  cr_assert_leq(ncalls, 1000);
}

/* --- pieces --- */

static struct {
  uintptr_t next;
  size_t piece;
  unsigned long request;
  unsigned n, npauses, nclocks;
  int64_t now, cost;     /* what one call takes */
  int64_t held, longest; /* since the last pause */
} pieces;

static int piece_ioctl(int fd, unsigned long request, void *arg) {
  struct wpk_scan *a = arg;
  struct wpk_writeprotect *p = arg;
  (void)fd;
  cr_assert_eq(request, pieces.request);
  bool scan = request == WPK_IOC_SCAN;
  uintptr_t lo = scan ? a->start : p->range.start;
  uintptr_t hi = scan ? a->end : lo + p->range.len;
  cr_assert_eq(lo, pieces.next, "nothing is left out or done twice");
  cr_assert_eq(lo / pieces.piece, (hi - 1) / pieces.piece);
  pieces.next = hi;
  pieces.n++;
  pieces.now += pieces.cost;
  pieces.held += pieces.cost;
  if (pieces.held > pieces.longest) pieces.longest = pieces.held;
  return 0;
}

static void piece_pause(void) {
  cr_assert_geq(pieces.held, WPKERNEL_HOLD_NS, "a pause for nothing");
  pieces.held = 0;
  pieces.npauses++;
}
static int64_t piece_nanotime(void) {
  pieces.nclocks++;
  return pieces.now;
}

static void begin_pieces(unsigned long request, uintptr_t lo, size_t piece) {
  pieces.request = request;
  pieces.next = lo;
  pieces.piece = piece;
  pieces.n = pieces.npauses = pieces.nclocks = 0;
}

static void end_pieces(uintptr_t hi) { cr_assert_eq(pieces.next, hi); }

static const struct wptrack_sys piece_sys = {
    .ioctl = piece_ioctl, .nanotime = piece_nanotime, .pause = piece_pause};

static void open_pieces(size_t piece, int64_t cost) {
  w = (struct wptrack){.sys = &piece_sys,
                       .page = 4096,
                       .nregions = WPTRACK_REGIONS,
                       .arm_piece = piece,
                       .scan_piece = piece};
  s = (struct wpsync){.sys = &piece_sys, .page = 4096, .piece = piece};
  pieces.cost = cost;
  pieces.held = pieces.longest = 0;
}

/* No kernel: addresses only. */
Test(wpkernel, ranges_go_to_the_kernel_in_aligned_pieces) {
  const size_t mib = (size_t)1 << 20;
  static const size_t sizes[] = {2, 16, 64};
  const uintptr_t los[] = {64 * mib, 7 * mib, 5 * mib + 4096, 0};
  const size_t lens[] = {4096, 100 * mib, 33 * mib + 8192, 16 * mib};
  for (size_t i = 0; i < 3 * 4 * 4; i++) {
    size_t piece = sizes[i % 3] * mib, len = lens[i / 12];
    uintptr_t lo = los[i / 3 % 4], hi = lo + len;
    open_pieces(piece, 0);
    begin_pieces(WPK_IOC_SCAN, lo, piece);
    cr_assert_eq(wptrack_arm(&w, lo, hi), 0);
    end_pieces(hi);
    cr_assert_leq(pieces.n, len / piece + 2);
    begin_pieces(WPK_IOC_SCAN, lo, piece);
    cr_assert_eq(wptrack_scan(&w, lo, hi, WPTRACK_GET, wpfix_visit, NULL), 0);
    end_pieces(hi);
    begin_pieces(WPK_IOC_SCAN, lo, piece);
    cr_assert_eq(wptrack_scan(&w, lo, hi, WPTRACK_REARM, wpfix_visit, NULL), 0);
    end_pieces(hi);
    begin_pieces(WPK_IOC_WRITEPROTECT, lo, piece);
    cr_assert_eq(wpsync_protect(&s, lo, hi), 0);
    end_pieces(hi);
  }
}

/* The lock is never held much longer than WPKERNEL_HOLD_NS, whatever a call takes. */
Test(wpkernel, pauses_follow_the_time_that_calls_take) {
  const size_t piece = (size_t)2 << 20;
  static const int64_t costs[] = {0,      700,    14000,  70000,
                                  200000, 300000, 5000000};
  for (size_t i = 0; i < array_len(costs); i++) {
    int64_t most = WPKERNEL_HOLD_NS + costs[i];
    open_pieces(piece, costs[i]);
    begin_pieces(WPK_IOC_SCAN, 0, piece);
    /* By many calls of one piece, as a caller with many spans does. */
    for (uintptr_t lo = 0; lo < 300 * piece; lo += piece)
      cr_assert_eq(wptrack_arm(&w, lo, lo + piece), 0);
    cr_assert_leq(pieces.longest, most);
    cr_assert_eq(pieces.npauses > 0, 300 * costs[i] > most);
    open_pieces(piece, costs[i]);
    begin_pieces(WPK_IOC_WRITEPROTECT, 0, piece);
    cr_assert_eq(wpsync_protect(&s, 0, 300 * piece), 0);
    cr_assert_leq(pieces.longest, most);
    cr_assert_eq(pieces.npauses > 0, 300 * costs[i] > most);
  }
}

/* What a stopped world and a signal handler do. */
Test(wpkernel, getting_and_single_pieces_take_no_pause_and_no_clock) {
  const size_t piece = (size_t)2 << 20;
  open_pieces(piece, (int64_t)50 * WPKERNEL_HOLD_NS);
  begin_pieces(WPK_IOC_SCAN, 0, piece);
  cr_assert_eq(wptrack_scan(&w, 0, 9 * piece, WPTRACK_GET, wpfix_visit, NULL),
               0);
  cr_assert_eq(pieces.npauses, 0);
  cr_assert_eq(pieces.nclocks, 0);
  begin_pieces(WPK_IOC_WRITEPROTECT, 0, piece);
  for (uintptr_t lo = 0; lo < 9 * piece; lo += piece) {
    cr_assert_eq(wpsync_protect(&s, lo, lo + piece), 0);
    pieces.next = lo;
    cr_assert_eq(wpsync_unprotect(&s, lo, lo + piece), 0);
  }
  cr_assert_eq(pieces.npauses, 0);
  cr_assert_eq(pieces.nclocks, 0);
}

Test(wpkernel, errno_is_kept) {
  const struct wptrack_sys *sys = real();
  char release[8];
  errno = 12345;
  cr_assert_eq(sys->ioctl(-1, WPK_IOC_SCAN, NULL), -EBADF);
  cr_assert_eq(sys->open("/nonexistent", O_RDONLY), -ENOENT);
  cr_assert_lt(sys->userfaultfd(-1), 0);
  sys->close(-1);
  int64_t began = sys->nanotime();
  sys->pause();
  cr_assert_geq(sys->nanotime() - began, 20000);
  cr_assert_eq(sys->kernel_write(NULL) == 0, false);
  cr_assert_eq(sys->release(release, sizeof release), 0);
  cr_assert_lt(strlen(release), sizeof release);
  cr_assert_null(sys->map(SIZE_MAX / 2));
  cr_assert_eq(errno, 12345);
}
