// SPDX-License-Identifier: MIT
/*
 * The kernel's interface to write protection by page: what wptrack.c and wpsync.c
 * have in common. The headers of most distributions are older than the kernels they
 * run on, so the numbers and structs are here, as in uapi/linux/userfaultfd.h and
 * uapi/linux/fs.h; they are the same on x86-64 and aarch64.
 *
 * Everything goes through a struct wptrack_sys, so that tests can be an old kernel,
 * a container's filter or a process without /proc.
 */
#ifndef MGC_OS_WPKERNEL_H
#define MGC_OS_WPKERNEL_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* Results are the system calls' own, with -errno for an error; errno stays as it was.
 * ioctl is async-signal-safe. */
struct wptrack_sys {
  int (*userfaultfd)(int flags);
  int (*open)(const char *path, int flags);
  int (*ioctl)(int fd, unsigned long request, void *arg);
  void (*close)(int fd);
  int (*release)(char *buf, size_t n); /* uname's, with a zero at its end */
  /* The kernel writes WPKERNEL_WRITE bytes at p, as read(2) does: 0 or -EFAULT. */
  int (*kernel_write)(void *p);
  void *(*map)(size_t n); /* private, anonymous, writable; NULL: no memory */
  void (*unmap)(void *p, size_t n);
  int64_t (*nanotime)(void); /* monotonic; async-signal-safe, as pause is */
  void (*pause)(void);       /* some 0.1 ms */
};
const struct wptrack_sys *wptrack_system(void);

#define WPKERNEL_WRITE 16

/* --- userfaultfd --- */

#define WPK_USER_MODE_ONLY                                                     \
  1 /* flag of userfaultfd: any user may, from 5.11 on */

struct wpk_api {
  uint64_t api, features, ioctls;
};
struct wpk_range {
  uint64_t start, len;
};
struct wpk_register {
  struct wpk_range range;
  uint64_t mode, ioctls;
};
struct wpk_writeprotect {
  struct wpk_range range;
  uint64_t mode;
};

#define WPK_API 0xaaull
#define WPK_FEATURE_SIGBUS (1ull << 7)          /* 4.14 */
#define WPK_FEATURE_EXACT_ADDRESS (1ull << 11)  /* 5.18 */
#define WPK_FEATURE_WP_UNPOPULATED (1ull << 13) /* 6.4 */
#define WPK_FEATURE_WP_ASYNC (1ull << 15)       /* 6.7 */

#define WPK_REGISTER_WP (1ull << 1)
#define WPK_PROTECT_WP (1ull << 0)
#define WPK_PROTECT_DONTWAKE (1ull << 1)

#define WPK_IOC_API _IOWR(0xaa, 0x3f, struct wpk_api)
#define WPK_IOC_REGISTER _IOWR(0xaa, 0x00, struct wpk_register)
#define WPK_IOC_UNREGISTER _IOR(0xaa, 0x01, struct wpk_range)
#define WPK_IOC_WRITEPROTECT _IOWR(0xaa, 0x06, struct wpk_writeprotect)
#define WPK_IOC_NEW                                                            \
  _IO(0xaa, 0x00) /* of /dev/userfaultfd; the argument is flags */

/* --- PAGEMAP_SCAN, 6.7 --- */

struct wpk_region {
  uint64_t start, end, categories;
};
struct wpk_scan {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define WPK_SCAN_WP_MATCHING (1ull << 0)
#define WPK_SCAN_CHECK_WPASYNC (1ull << 1)

#define WPK_PAGE_WPALLOWED (1ull << 0)
#define WPK_PAGE_WRITTEN (1ull << 1)
#define WPK_PAGE_PRESENT (1ull << 3)
#define WPK_PAGE_SWAPPED (1ull << 4)

#define WPK_IOC_SCAN _IOWR('f', 16, struct wpk_scan)

/* --- what both kinds of tracking do alike --- */

/* A descriptor of userfaultfd with these features, or -errno; *reason then says what
 * is missing. */
MGC_MUST_CHECK int wpkernel_open(const struct wptrack_sys *sys,
                                 uint64_t features, const char *no_feature,
                                 const char **reason);
/* 0 or -errno. lo < hi. */
MGC_MUST_CHECK int wpkernel_register(const struct wptrack_sys *sys, int fd,
                                     uintptr_t lo, uintptr_t hi);
MGC_MUST_CHECK int wpkernel_unregister(const struct wptrack_sys *sys, int fd,
                                       uintptr_t lo, uintptr_t hi);

/* 0: the range is of whole pages; -EBADF: closed; -EINVAL. */
MGC_MUST_CHECK int wpkernel_check(int fd, size_t page, uintptr_t lo,
                                  uintptr_t hi);

/*
 * Pieces. The kernel holds the lock of the address space for as long as one call takes,
 * and other threads' mmap and munmap wait for it: up to 180 ms for a heap of 4 GiB. So
 * a range is done in pieces. That alone is not enough: in some runs a thread on another
 * processor waited for the whole range, as if the next call had the lock before it was
 * awake. In others, with both processors busy, it waited for a piece (0.07 ms for
 * 16 MiB). So there is a pause when the calls since the last one have taken a while.
 *
 * A run of the first kind, arming 1 GiB of small pages; ms that a thread on another
 * processor waits for mmap meanwhile, 90th percentile, and (that arming takes), with
 * this between any two pieces:
 *
 *   piece    nothing    sched_yield  5 us spent  20 us spent  sleep, least
 *   16 MiB   6.5 (4.5)  4.6 (4.5)    0.02 (4.9)  0.04 (6.0)   0.10 (8.1)
 *   64 MiB   7.2 (4.6)  7.5 (4.7)    6.9 (4.8)   0.29 (4.9)   0.28 (5.5)
 *
 * A sleep takes no processor from the program. One behind every piece adds 5 ms a GiB,
 * also where little was written and with huge pages, where a scan takes 0.9 and 0.04 ms;
 * and rounds of cleaning that take longer find more written. Hence by time.
 * bench/gc/wptrack_cost.c measures both.
 */
#define WPKERNEL_PIECE ((size_t)16 << 20)
/* As 64 MiB take to arm: a quarter of the time goes to pauses then. */
#define WPKERNEL_HOLD_NS 250000

/* A piece's ioctl. *held: nanoseconds that the range's calls took since the last pause,
 * 0 at first; NULL: neither clock nor pause. */
MGC_MUST_CHECK int wpkernel_piece(const struct wptrack_sys *sys, int64_t *held,
                                  int fd, unsigned long request, void *arg);
/* The same for UFFDIO_WRITEPROTECT of a piece: 0 or -errno. */
MGC_MUST_CHECK int wpkernel_protect(const struct wptrack_sys *sys,
                                    int64_t *held, int fd, uintptr_t lo,
                                    uintptr_t hi, uint64_t mode);

/* Where the piece that begins at `at` ends: a multiple of piece, or hi. Multiples, so
 * that no piece ends inside of a huge page: the kernel would split it. */
static inline uintptr_t wpkernel_piece_end(uintptr_t at, uintptr_t hi,
                                           size_t piece) {
  uintptr_t left = piece - (at & (piece - 1));
  return left < hi - at ? at + left : hi;
}

#endif
