// SPDX-License-Identifier: MIT
/* Synchronous write protection with the kernel at hand, and a SIGBUS handler as a
 * collector would have. What an older or other kernel does: test_wpkernel.c. */
#include "base/atomic.h"
#include "support/rng.h"
#include "support/wpfix.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

enum { PAGES = 6000, MAX_FAULTS = 65536 };

static struct wpsync s;
static char *mem;
static size_t page, npages;
static struct atomic_u32 nfaults, fault_code;
static uintptr_t fault_at[MAX_FAULTS];
static size_t granule; /* what the handler lifts at a time */

static uintptr_t at(size_t i) { return (uintptr_t)mem + i * page; }

static void on_sigbus(int signo, siginfo_t *info, void *context) {
  (void)signo, (void)context;
  uintptr_t addr = (uintptr_t)info->si_addr, lo = addr & ~(granule - 1);
  uint32_t i = atomic_u32_fetch_add_relaxed(&nfaults, 1);
  if (addr < at(0) || addr >= at(npages) || i >= MAX_FAULTS) _exit(77);
  fault_at[i] = addr;
  atomic_u32_store_relaxed(&fault_code, (uint32_t)info->si_code);
  if (wpsync_unprotect(&s, lo, lo + granule) != 0) _exit(78);
}

static void install(void) {
  struct sigaction act = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
  cr_assert_eq(sigaction(SIGBUS, &act, NULL), 0);
}

static uint32_t faults(void) { return atomic_u32_load_relaxed(&nfaults); }

/* n pages, registered and protected. False: skip. */
static bool init(size_t n, bool touched) {
  int err = wpsync_open(&s, wptrack_system());
  if (err) return wpfix_skip(WPFIX_SYNC, wpsync_reason(&s), err);
  granule = page = (size_t)sysconf(_SC_PAGESIZE);
  npages = n;
  mem = wpfix_map(n * page);
  if (touched) memset(mem, 1, n * page);
  install();
  cr_assert_eq(wpsync_register(&s, at(0), at(n)), 0);
  cr_assert_eq(wpsync_protect(&s, at(0), at(n)), 0);
  return true;
}

static void store(size_t i, size_t offset, char v) {
  ((volatile char *)mem)[i * page + offset] = v;
}
static char load(size_t i) { return ((volatile char *)mem)[i * page]; }

Test(wpsync, the_first_write_to_a_page_is_one_signal_at_its_address) {
  if (!init(PAGES, true)) return;
  errno = 12345;
  store(5, 1234, 2);
  cr_assert_eq(errno, 12345);
  cr_assert_eq(faults(), 1);
  cr_assert_eq(fault_at[0], at(5) + 1234);
  cr_assert_eq(atomic_u32_load_relaxed(&fault_code), BUS_ADRERR);
  cr_assert_eq(mem[5 * page + 1234], 2, "the write was made");
  store(5, 0, 3);
  cr_assert_eq(faults(), 1);
  store(PAGES - 1, page - 1, 2);
  cr_assert_eq(faults(), 2);
}

Test(wpsync, reading_is_free) {
  if (!init(PAGES, true)) return;
  for (size_t i = 0; i < PAGES; i++) cr_assert_eq(load(i), 1);
  cr_assert_eq(faults(), 0);
}

Test(wpsync, pages_never_touched_are_protected_too) {
  if (!init(PAGES, false)) return;
  store(9, 0, 1);
  cr_assert_eq(faults(), 1);
  cr_assert_eq(load(20), 0);
  cr_assert_eq(faults(), 1);
  store(20, 0, 1);
  cr_assert_eq(faults(), 2, "reading it before has not lifted it");
}

Test(wpsync, every_page_of_a_range_in_pieces) {
  if (!init(PAGES, true)) return;
  cr_assert_eq(wpsync_unprotect(&s, at(0), at(PAGES)), 0);
  s.piece = (size_t)2 << 20;
  cr_assert_eq(wpsync_protect(&s, at(3), at(PAGES - 3)), 0);
  for (size_t i = 0; i < PAGES; i++) store(i, 0, 2);
  cr_assert_eq(faults(), PAGES - 6);
  for (size_t i = 0; i < PAGES - 6; i++) cr_assert_eq(fault_at[i], at(i + 3));
  cr_assert_eq(wpsync_protect(&s, at(0), at(PAGES)), 0);
  cr_assert_eq(wpsync_unprotect(&s, at(0), at(PAGES)), 0);
  for (size_t i = 0; i < PAGES; i++) store(i, 0, 3);
  cr_assert_eq(faults(), PAGES - 6);
}

Test(wpsync, system_calls_fail_until_protection_is_lifted) {
  if (!init(100, true)) return;
  int fd = open("/proc/self/maps", O_RDONLY);
  cr_assert_geq(fd, 0);
  cr_assert_eq(pread(fd, mem + 3 * page, 8, 0), -1);
  cr_assert_eq(errno, EFAULT);
  cr_assert_eq(load(3), 1);
  cr_assert_eq(wpsync_unprotect(&s, at(3), at(4)), 0);
  cr_assert_eq(pread(fd, mem + 3 * page, 8, 0), 8);
  cr_assert_eq(faults(), 0);
}

Test(wpsync, unregistering_lifts_all_and_closing_too) {
  if (!init(100, true)) return;
  cr_assert_eq(wpsync_register(&s, at(0), at(100)), 0);
  store(1, 0, 2);
  cr_assert_eq(faults(), 1, "registering twice has not lifted it");
  cr_assert_eq(wpsync_unregister(&s, at(0), at(50)), 0);
  cr_assert_eq(wpsync_unregister(&s, at(0), at(50)), 0);
  for (size_t i = 0; i < 50; i++) store(i, 0, 2);
  cr_assert_eq(faults(), 1);
  cr_assert_eq(wpsync_protect(&s, at(0), at(50)), -ENOENT);
  wpsync_close(&s);
  wpsync_close(&s);
  for (size_t i = 0; i < 100; i++) store(i, 0, 3);
  cr_assert_eq(faults(), 1);
}

/* What is not protected is never taken for protected. */
Test(wpsync, a_range_that_lost_its_registration_is_an_error) {
  if (!init(100, true)) return;
  cr_assert_eq(mmap((void *)at(40), page, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
               (void *)at(40));
  cr_assert_eq(wpsync_protect(&s, at(0), at(100)), -ENOENT);
  cr_assert_eq(wpsync_protect(&s, at(41), at(100)), 0);
}

Test(wpsync, arguments_are_checked) {
  if (!init(8, true)) return;
  for (int i = 0; i < 2; i++) {
    int want = i ? -EBADF : -EINVAL;
    cr_assert_eq(wpsync_register(&s, at(0) + 1, at(8)), want);
    cr_assert_eq(wpsync_unregister(&s, at(0), at(8) - 1), want);
    cr_assert_eq(wpsync_protect(&s, at(8), at(0)), want);
    cr_assert_eq(wpsync_unprotect(&s, at(0) + 8, at(8)), want);
    want = i ? -EBADF : 0;
    cr_assert_eq(wpsync_register(&s, at(0), at(0)), want);
    cr_assert_eq(wpsync_unregister(&s, at(0), at(0)), want);
    cr_assert_eq(wpsync_protect(&s, at(0), at(0)), want);
    cr_assert_eq(wpsync_unprotect(&s, at(0), at(0)), want);
    wpsync_close(&s);
  }
}

Test(wpsync, a_range_is_tracked_in_one_way_at_a_time) {
  static struct wptrack w;
  if (!init(100, true)) return;
  int err = wptrack_open(&w, wptrack_system());
  if (err) {
    (void)wpfix_skip(WPFIX_ASYNC, wptrack_reason(&w), err);
    return;
  }
  cr_assert_eq(wptrack_register(&w, at(10), at(20)), -EBUSY);
  store(15, 0, 2);
  cr_assert_eq(faults(), 1);
  cr_assert_eq(wpsync_unregister(&s, at(0), at(100)), 0);
  cr_assert_eq(wptrack_register(&w, at(0), at(100)), 0);
  cr_assert_eq(wpsync_register(&s, at(10), at(20)), -EBUSY);
  cr_assert_eq(wptrack_unregister(&w, at(0), at(100)), 0);
  cr_assert_eq(wpsync_register(&s, at(10), at(20)), 0);
  cr_assert_eq(wpsync_protect(&s, at(10), at(20)), 0);
  store(16, 0, 2);
  cr_assert_eq(faults(), 2);
}

Test(wpsync, a_child_of_fork_leaves_its_parents_protection_alone) {
  if (!init(100, true)) return;
  pid_t pid = fork();
  if (pid == 0) {
    wpsync_after_fork_child(&s);
    for (size_t i = 0; i < 100; i++) store(i, 0, 9);
    int bad = wpsync_is_open(&s) || faults() != 0 ||
              wpsync_unprotect(&s, at(0), at(100)) != -EBADF;
    bad |= wpsync_open(&s, wptrack_system()) != 0 ||
           wpsync_register(&s, at(0), at(100)) != 0 ||
           wpsync_protect(&s, at(0), at(100)) != 0;
    store(3, 0, 9);
    _exit(bad || faults() != 1);
  }
  int status;
  cr_assert_eq(waitpid(pid, &status, 0), pid);
  cr_assert_eq(status, 0);
  for (size_t i = 0; i < 100; i++) {
    cr_assert_eq(load(i), 1);
    store(i, 0, 2);
  }
  cr_assert_eq(faults(), 100);
}

/* As wptrack.h says of a child that keeps the descriptor. */
Test(wpsync, unregistering_before_closing_is_enough_beside_a_child) {
  int ends[2];
  char c;
  if (!init(100, true)) return;
  cr_assert_eq(pipe(ends), 0);
  pid_t pid = fork();
  if (pid == 0) {
    close(ends[1]);
    _exit(read(ends[0], &c, 1) != 0);
  }
  cr_assert_eq(wpsync_unregister(&s, at(0), at(100)), 0);
  wpsync_close(&s);
  for (size_t i = 0; i < 100; i++) store(i, 0, 2);
  cr_assert_eq(faults(), 0);
  close(ends[1]);
  cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(wpsync, huge_pages_stay_huge) {
  const size_t huge = (size_t)2 << 20;
  if (!init(1, true)) return;
  char *p = wpfix_map(9 * huge);
  mem = (char *)(((uintptr_t)p + huge - 1) & ~(huge - 1));
  npages = 8 * huge / page;
  (void)madvise(mem, 8 * huge, MADV_HUGEPAGE);
  memset(mem, 1, 8 * huge);
  if (wpfix_proc_bytes("smaps", "AnonHugePages") < 8 * huge) {
    fprintf(stderr, "skipped: no huge pages\n");
    return;
  }
  granule = huge;
  cr_assert_eq(wpsync_register(&s, at(0), at(npages)), 0);
  cr_assert_eq(wpsync_protect(&s, at(0), at(npages)), 0);
  for (size_t i = 0; i < npages; i += 100) store(i, 0, 2);
  cr_assert_eq(faults(), 8);
  cr_assert_geq(wpfix_proc_bytes("smaps", "AnonHugePages"), 8 * huge);
}

/* --- several threads --- */

enum { NTHREADS = 3, NSTORES = 40000 };

static void *add_at_random(void *arg) {
  struct rng r = rng_from((uintptr_t)arg);
  for (int i = 0; i < NSTORES; i++)
    (void)__atomic_fetch_add((uint64_t *)at(rng_below(&r, npages)), 1,
                             __ATOMIC_RELAXED);
  return NULL;
}

Test(wpsync, threads_that_write_while_pages_are_protected_lose_nothing) {
  pthread_t t[NTHREADS];
  uint64_t sum = 0;
  if (!init(500, false)) return;
  for (uintptr_t i = 0; i < NTHREADS; i++)
    cr_assert_eq(pthread_create(&t[i], NULL, add_at_random, (void *)(i + 1)),
                 0);
  for (int i = 0; i < 20; i++)
    cr_assert_eq(wpsync_protect(&s, at(0), at(npages)), 0);
  for (int i = 0; i < NTHREADS; i++) pthread_join(t[i], NULL);
  for (size_t i = 0; i < npages; i++) sum += *(uint64_t *)at(i);
  cr_assert_eq(sum, NTHREADS * NSTORES);
  cr_assert_geq(faults(), npages);
}
