// SPDX-License-Identifier: MIT
/*
 * Synchronous write protection: userfaultfd's SIGBUS mode. See wptrack.h for what it is.
 *
 *   I1  after wpsync_protect, no byte of the range changes until wpsync_unprotect: the
 *       program's write is a SIGBUS, the kernel's an EFAULT
 *   I2  wpsync_unprotect may be called from the handler of that SIGBUS
 *
 * Pages that were never touched are protected too (WP_UNPOPULATED), which creates page
 * tables: 2 KiB a MiB. EXACT_ADDRESS is asked for because si_addr must be the address
 * written to and not its page; Linux 6.18 on x86-64 gives that without it too. Huge
 * pages stay huge when whole ones are protected and unprotected; a part splits one.
 *
 * The trial takes no signal. A handler belongs to the whole process, so one that is put
 * up for a moment would get other threads' SIGBUS. Instead the kernel writes to a
 * protected page, which must fail, and to one whose protection was lifted, which must
 * not; a fault of the program takes the same way through the kernel, and the kernel has
 * accepted to report it by SIGBUS (WPK_FEATURE_SIGBUS).
 */
#include "os/wptrack.h"

#include <errno.h>
#include <unistd.h>

#define FEATURES                                                               \
  (WPK_FEATURE_SIGBUS | WPK_FEATURE_WP_UNPOPULATED | WPK_FEATURE_EXACT_ADDRESS)

static int change(const struct wpsync *s, uintptr_t lo, uintptr_t hi,
                  uint64_t mode) {
  int err = wpkernel_check(s->uffd, s->page, lo, hi);
  int64_t held = 0;
  bool one = lo < hi && wpkernel_piece_end(lo, hi, s->piece) == hi;
  while (!err && lo < hi) {
    uintptr_t end = wpkernel_piece_end(lo, hi, s->piece);
    err = wpkernel_protect(s->sys, one ? NULL : &held, s->uffd, lo, end, mode);
    lo = end;
  }
  return err;
}

int wpsync_protect(const struct wpsync *s, uintptr_t lo, uintptr_t hi) {
  return change(s, lo, hi, WPK_PROTECT_WP);
}

int wpsync_unprotect(const struct wpsync *s, uintptr_t lo, uintptr_t hi) {
  return change(s, lo, hi, WPK_PROTECT_DONTWAKE);
}

int wpsync_register(struct wpsync *s, uintptr_t lo, uintptr_t hi) {
  int err = wpkernel_check(s->uffd, s->page, lo, hi);
  if (err || lo == hi) return err;
  return wpkernel_register(s->sys, s->uffd, lo, hi);
}

int wpsync_unregister(struct wpsync *s, uintptr_t lo, uintptr_t hi) {
  int err = wpkernel_check(s->uffd, s->page, lo, hi);
  if (err || lo == hi) return err;
  return wpkernel_unregister(s->sys, s->uffd, lo, hi);
}

/* --- opening --- */

/* Two pages, of which the first was touched. */
static const char *try_pages(struct wpsync *s, char *p) {
  uintptr_t lo = (uintptr_t)p, hi = lo + 2 * s->page;
  int (*kernel_write)(void *) = s->sys->kernel_write;
  *(volatile char *)p = 1;
  if (wpsync_register(s, lo, hi) != 0) return "no range can be registered";
  if (wpsync_protect(s, lo, hi) != 0) return "pages cannot be protected";
  if (kernel_write(p) != -EFAULT || kernel_write(p + s->page) != -EFAULT)
    return "protected pages can be written";
  if (wpsync_unprotect(s, lo, hi) != 0) return "protection cannot be lifted";
  if (kernel_write(p) != 0 || kernel_write(p + s->page) != 0)
    return "protection stays when it is lifted";
  if (wpsync_protect(s, lo, hi) != 0 || wpsync_unregister(s, lo, hi) != 0 ||
      kernel_write(p) != 0)
    return "protection stays when the range is unregistered";
  return NULL;
}

static int give_up(struct wpsync *s, int err, const char *reason) {
  wpsync_close(s);
  s->reason = reason;
  return err;
}

int wpsync_open(struct wpsync *s, const struct wptrack_sys *sys) {
  const char *reason = NULL;
  *s = (struct wpsync){.sys = sys,
                       .uffd = -1,
                       .page = (size_t)sysconf(_SC_PAGESIZE),
                       .piece = WPKERNEL_PIECE};
  s->uffd = wpkernel_open(
      sys, FEATURES, "no write protection by SIGBUS in this kernel", &reason);
  if (s->uffd < 0) return give_up(s, s->uffd, reason);
  char *p = sys->map(2 * s->page);
  if (!p) return give_up(s, -ENOMEM, "no memory for the trial");
  reason = try_pages(s, p);
  sys->unmap(p, 2 * s->page);
  return reason ? give_up(s, -EIO, reason) : 0;
}

void wpsync_close(struct wpsync *s) {
  if (s->uffd >= 0) s->sys->close(s->uffd);
  s->uffd = -1;
}

void wpsync_after_fork_child(struct wpsync *s) { wpsync_close(s); }
