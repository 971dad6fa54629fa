// SPDX-License-Identifier: MIT
/* See wpkernel.h. */
#include "os/wpkernel.h"

#include "base/bits.h"
#include "os/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* --- the system ---
 * Raw calls: open and close of the C library are cancellation points. */

static int result(long r, int saved) {
  int err = errno;
  errno = saved;
  return r < 0 ? -err : (int)r;
}

static int sys_userfaultfd(int flags) {
  int saved = errno;
  return result(syscall(SYS_userfaultfd, flags), saved);
}

static int sys_open(const char *path, int flags) {
  int saved = errno;
  return result(syscall(SYS_openat, AT_FDCWD, path, flags, 0), saved);
}

static int sys_ioctl(int fd, unsigned long request, void *arg) {
  int saved = errno;
  return result(syscall(SYS_ioctl, fd, request, arg), saved);
}

static void sys_close(int fd) {
  int saved = errno;
  (void)result(syscall(SYS_close, fd), saved);
}

static int sys_release(char *buf, size_t n) {
  int saved = errno;
  struct utsname u;
  int err = result(uname(&u), saved);
  buf[0] = 0;
  if (!err) strncat(buf, u.release, n - 1);
  return err;
}

/* The C library's clock_gettime writes without the kernel. */
static int sys_kernel_write(void *p) {
  int saved = errno;
  return result(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, p), saved);
}

static void *sys_map(size_t n) {
  int saved = errno;
  void *p =
      mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  errno = saved;
  return p == MAP_FAILED ? NULL : p;
}

static void sys_unmap(void *p, size_t n) {
  int saved = errno;
  (void)result(munmap(p, n), saved);
}

/* The kernel's timer slack makes it about 75 us. */
static void sys_pause(void) {
  int saved = errno;
  const struct timespec t = {.tv_nsec = 20000};
  (void)result(syscall(SYS_nanosleep, &t, NULL), saved);
}

const struct wptrack_sys *wptrack_system(void) {
  static const struct wptrack_sys sys = {
      .userfaultfd = sys_userfaultfd,
      .open = sys_open,
      .ioctl = sys_ioctl,
      .close = sys_close,
      .release = sys_release,
      .kernel_write = sys_kernel_write,
      .map = sys_map,
      .unmap = sys_unmap,
      .nanotime = clock_nanotime,
      .pause = sys_pause,
  };
  return &sys;
}

/* --- opening --- */

/* Filters of containers know the system call and not the device. */
static int open_device(const struct wptrack_sys *sys, int flags) {
  int device = sys->open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  if (device < 0) return device;
  int fd = sys->ioctl(device, WPK_IOC_NEW, (void *)(uintptr_t)flags);
  sys->close(device);
  return fd;
}

static const char *why_no_descriptor(int err) {
  switch (err) {
  case -ENOSYS:
    return "no userfaultfd in this kernel, or it is filtered";
  case -EPERM:
    return "userfaultfd is not permitted";
  case -EMFILE:
  case -ENFILE:
    return "too many open files";
  default:
    return "userfaultfd cannot be opened";
  }
}

int wpkernel_open(const struct wptrack_sys *sys, uint64_t features,
                  const char *no_feature, const char **reason) {
  int flags = O_CLOEXEC | O_NONBLOCK | WPK_USER_MODE_ONLY;
  int fd = sys->userfaultfd(flags);
  if (fd == -EPERM || fd == -ENOSYS) {
    int other = open_device(sys, flags);
    if (other >= 0) fd = other;
  }
  if (fd < 0) {
    *reason = why_no_descriptor(fd);
    return fd;
  }
  struct wpk_api api = {.api = WPK_API, .features = features};
  int err = sys->ioctl(fd, WPK_IOC_API, &api);
  /* A kernel refuses features that it does not know; an emulation may only leave
   * them out. */
  if (err >= 0 && (api.features & features) != features) err = -EINVAL;
  if (err >= 0) return fd;
  *reason = no_feature;
  sys->close(fd);
  return err;
}

/* --- ranges --- */

int wpkernel_check(int fd, size_t page, uintptr_t lo, uintptr_t hi) {
  if (fd < 0) return -EBADF;
  return lo <= hi && is_aligned(lo | hi, page) ? 0 : -EINVAL;
}

int wpkernel_piece(const struct wptrack_sys *sys, int64_t *held, int fd,
                   unsigned long request, void *arg) {
  if (!held) return sys->ioctl(fd, request, arg);
  if (*held >= WPKERNEL_HOLD_NS) {
    sys->pause();
    *held = 0;
  }
  int64_t began = sys->nanotime();
  int r = sys->ioctl(fd, request, arg);
  *held += sys->nanotime() - began;
  return r;
}

/* The kernel says EAGAIN while another thread forks or moves the mapping and a
 * userfaultfd asked to be told of it. Ours does not ask, so it should not say it. */
#define MAX_TRIES 100

int wpkernel_protect(const struct wptrack_sys *sys, int64_t *held, int fd,
                     uintptr_t lo, uintptr_t hi, uint64_t mode) {
  int err = -EAGAIN;
  for (int i = 0; i < MAX_TRIES && err == -EAGAIN; i++) {
    struct wpk_writeprotect a = {.range = {.start = lo, .len = hi - lo},
                                 .mode = mode};
    err = wpkernel_piece(sys, held, fd, WPK_IOC_WRITEPROTECT, &a);
  }
  return err < 0 ? err : 0;
}

int wpkernel_register(const struct wptrack_sys *sys, int fd, uintptr_t lo,
                      uintptr_t hi) {
  struct wpk_register r = {.range = {.start = lo, .len = hi - lo},
                           .mode = WPK_REGISTER_WP};
  int err = sys->ioctl(fd, WPK_IOC_REGISTER, &r);
  return err < 0 ? err : 0;
}

int wpkernel_unregister(const struct wptrack_sys *sys, int fd, uintptr_t lo,
                        uintptr_t hi) {
  struct wpk_range r = {.start = lo, .len = hi - lo};
  int err = sys->ioctl(fd, WPK_IOC_UNREGISTER, &r);
  return err < 0 ? err : 0;
}
