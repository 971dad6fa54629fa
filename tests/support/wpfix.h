// SPDX-License-Identifier: MIT
/* A mapping whose written pages are asked for. Where the kernel at hand, or a filter,
 * has no write tracking the tests are skipped, with the reason; where it has, a library
 * that cannot open it has failed. */
#ifndef MGC_TESTS_SUPPORT_WPFIX_H
#define MGC_TESTS_SUPPORT_WPFIX_H

#include "os/wptrack.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define WPFIX_ASYNC (WPK_FEATURE_WP_ASYNC | WPK_FEATURE_WP_UNPOPULATED)
#define WPFIX_SYNC                                                             \
  (WPK_FEATURE_SIGBUS | WPK_FEATURE_WP_UNPOPULATED | WPK_FEATURE_EXACT_ADDRESS)

struct wpfix {
  struct wptrack w;
  char *mem;
  size_t page, npages;
  unsigned char *seen; /* how often the last scan visited a page */
  uintptr_t last;      /* where the last visit ended */
  bool disorder;
};

static inline char *wpfix_map(size_t n) {
  void *p =
      mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  cr_assert_neq(p, MAP_FAILED);
  (void)madvise(p, n, MADV_NOHUGEPAGE);
  return p;
}

/* Whether the kernel accepts these features, asked without the library. */
static inline bool wpfix_kernel_has(uint64_t features) {
  struct utsname u;
  int major = 0, minor = 0;
  bool async = features & WPK_FEATURE_WP_ASYNC;
  struct wpk_api api = {.api = WPK_API, .features = features};
  cr_assert_eq(uname(&u), 0);
  (void)sscanf(u.release, "%d.%d", &major, &minor);
  if (async && major * 1000 + minor < 6009) return false;
  if (async && access("/proc/self/pagemap", R_OK) != 0) return false;
  int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | WPK_USER_MODE_ONLY);
  bool has = fd >= 0 && ioctl(fd, WPK_IOC_API, &api) == 0;
  if (fd >= 0) close(fd);
  return has;
}

static inline bool wpfix_skip(uint64_t features, const char *reason, int err) {
  cr_assert_not(wpfix_kernel_has(features), "the kernel can, but: %s (%s)",
                reason, strerror(-err));
  fprintf(stderr, "skipped: %s (%s)\n", reason, strerror(-err));
  return false;
}

static inline uintptr_t wpfix_at(const struct wpfix *f, size_t i) {
  return (uintptr_t)f->mem + i * f->page;
}
static inline uintptr_t wpfix_end(const struct wpfix *f) {
  return wpfix_at(f, f->npages);
}

/* A store that the compiler keeps. */
static inline void wpfix_write(struct wpfix *f, size_t i, char v) {
  *(volatile char *)wpfix_at(f, i) = v;
}

/* npages pages of `touched` contents, registered and armed. False: skip. */
static inline bool wpfix_init(struct wpfix *f, size_t npages, bool touched) {
  int err = wptrack_open(&f->w, wptrack_system());
  if (err) return wpfix_skip(WPFIX_ASYNC, wptrack_reason(&f->w), err);
  f->page = (size_t)sysconf(_SC_PAGESIZE);
  f->npages = npages;
  f->mem = wpfix_map(npages * f->page);
  f->seen = (unsigned char *)wpfix_map(npages);
  if (touched) memset(f->mem, 1, npages * f->page);
  cr_assert_eq(wptrack_register(&f->w, wpfix_at(f, 0), wpfix_end(f)), 0);
  cr_assert_eq(wptrack_arm(&f->w, wpfix_at(f, 0), wpfix_end(f)), 0);
  cr_assert_eq(f->w.nlost, 0);
  return true;
}

static inline void wpfix_visit(uintptr_t lo, uintptr_t hi, void *arg) {
  struct wpfix *f = arg;
  f->disorder |= lo < f->last || lo >= hi || lo < wpfix_at(f, 0) ||
                 hi > wpfix_end(f) || (lo | hi) % f->page != 0;
  f->last = hi;
  for (; !f->disorder && lo < hi; lo += f->page)
    f->seen[(lo - wpfix_at(f, 0)) / f->page]++;
}

/* Scans all of it; returns how many pages were visited, each once and in order. */
static inline size_t wpfix_scan(struct wpfix *f, unsigned flags) {
  size_t n = 0;
  memset(f->seen, 0, f->npages);
  f->last = 0;
  int err =
      wptrack_scan(&f->w, wpfix_at(f, 0), wpfix_end(f), flags, wpfix_visit, f);
  cr_assert_eq(err, 0, "%s", strerror(-err));
  cr_assert_not(f->disorder);
  for (size_t i = 0; i < f->npages; i++) n += f->seen[i];
  return n;
}

/* Bytes after key in /proc/self/<file>, summed over its lines. */
static inline size_t wpfix_proc_bytes(const char *file, const char *key) {
  char path[64], line[256];
  size_t sum = 0, kib;
  snprintf(path, sizeof path, "/proc/self/%s", file);
  FILE *in = fopen(path, "r");
  cr_assert_not_null(in);
  while (fgets(line, sizeof line, in))
    if (strncmp(line, key, strlen(key)) == 0 &&
        sscanf(line + strlen(key), ": %zu", &kib) == 1)
      sum += kib << 10;
  fclose(in);
  return sum;
}

#endif
