// SPDX-License-Identifier: MIT
/* Asynchronous write tracking with the kernel at hand: what is seen, that nothing is
 * missed, and that nothing fails. What an older or other kernel does: test_wpkernel.c. */
#include "support/rng.h"
#include "support/wpfix.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum { PAGES = 6000 }; /* with every other page written, six full vectors */

static struct wpfix f;

/* --- what is written --- */

Test(wptrack, only_written_pages_are_visited) {
  if (!wpfix_init(&f, PAGES, true)) return;
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 0);
  wpfix_write(&f, 5, 2);
  ((volatile char *)f.mem)[78 * f.page - 1] = 2;
  wpfix_write(&f, PAGES - 1, 2);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 3);
  cr_assert(f.seen[5] && f.seen[77] && f.seen[PAGES - 1]);
}

Test(wptrack, getting_forgets_nothing_and_rearming_all) {
  if (!wpfix_init(&f, PAGES, true)) return;
  wpfix_write(&f, 5, 2);
  wpfix_write(&f, 77, 2);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 2);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 2);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 0);
  wpfix_write(&f, 5, 3);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 1);
  cr_assert(f.seen[5]);
}

static long faults(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return r.ru_minflt;
}

Test(wptrack, disarmed_pages_count_as_written_and_cost_no_faults) {
  if (!wpfix_init(&f, PAGES, true)) return;
  uintptr_t lo = (uintptr_t)f.mem, hi = lo + PAGES * f.page;
  long before = faults();
  for (size_t i = 0; i < PAGES / 2; i++) wpfix_write(&f, i, 2);
  cr_assert_geq(faults() - before, PAGES / 2, "they were not armed");
  cr_assert_eq(wptrack_disarm(&f.w, lo, hi), 0);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), PAGES);
  before = faults();
  for (size_t i = 0; i < PAGES; i++) wpfix_write(&f, i, 3);
  cr_assert_lt(faults() - before, PAGES / 20);
  cr_assert_eq(wptrack_arm(&f.w, lo, hi), 0);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 0);
  wpfix_write(&f, 7, 4);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 1);
}

/* As in a pause: nobody else runs. */
Test(wptrack, a_scan_of_a_still_program_arms_as_well) {
  if (!wpfix_init(&f, PAGES, true)) return;
  for (size_t i = 0; i < PAGES; i += 2) wpfix_write(&f, i, 2);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM | WPTRACK_STILL), PAGES / 2);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 0);
  wpfix_write(&f, 4, 3);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM | WPTRACK_STILL), 1);
  cr_assert(f.seen[4]);
}

Test(wptrack, with_empty_ones_no_written_page_is_missed) {
  if (!wpfix_init(&f, PAGES, true)) return;
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET | WPTRACK_EMPTY), 0);
  for (size_t i = 1; i < PAGES; i += 7) wpfix_write(&f, i, 2);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET | WPTRACK_EMPTY), (PAGES + 5) / 7);
  for (size_t i = 1; i < PAGES; i += 7) cr_assert(f.seen[i]);
  cr_assert_eq(madvise(f.mem, 100 * f.page, MADV_DONTNEED), 0);
  cr_assert_geq(wpfix_scan(&f, WPTRACK_GET | WPTRACK_EMPTY),
                (PAGES + 5) / 7 - (100 + 5) / 7);
}

Test(wptrack, registered_pages_count_as_written_until_armed) {
  if (!wpfix_init(&f, 100, true)) return;
  cr_assert_eq(wptrack_unregister(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), 0);
  cr_assert_eq(wptrack_register(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), 0);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 100);
  cr_assert_eq(wptrack_arm(&f.w, wpfix_at(&f, 10), wpfix_at(&f, 20)), 0);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 90);
  cr_assert_eq(f.w.nlost, 0);
}

static void check_kernel_writes(int from, int socket_end) {
  char *at = f.mem;
  struct iovec v[2] = {{at + 9 * f.page, 4}, {at + 12 * f.page, 4}};
  struct iovec local = {(char[]){'z'}, 1}, remote = {at + 15 * f.page, 1};
  cr_assert_eq(pread(from, at + 1 * f.page, 4, 0), 4);
  cr_assert_eq(read(from, at + 3 * f.page, 4), 4);
  cr_assert_eq(readv(from, v, 2), 8);
  cr_assert_eq(recv(socket_end, at + 11 * f.page, 2, 0), 2);
  cr_assert_eq(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), 1);
  cr_assert_eq(memcmp(at + 1 * f.page, at + 3 * f.page, 4), 0);
}

Test(wptrack, system_calls_write_to_armed_pages_and_are_seen) {
  int socks[2];
  if (!wpfix_init(&f, PAGES, true)) return;
  int from = open("/proc/self/maps", O_RDONLY);
  cr_assert_geq(from, 0);
  cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, socks), 0);
  cr_assert_eq(send(socks[0], "xy", 2, 0), 2);
  check_kernel_writes(from, socks[1]);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 6);
  const int want[] = {1, 3, 9, 11, 12, 15};
  for (size_t i = 0; i < 6; i++) cr_assert(f.seen[want[i]], "%d", want[i]);
  cr_assert_eq(memcmp(f.mem + 11 * f.page, "xy", 2), 0);
  cr_assert_eq(f.mem[15 * f.page], 'z');
}

/* --- how it is asked --- */

Test(wptrack, more_regions_than_the_vector_holds) {
  if (!wpfix_init(&f, PAGES, true)) return;
  for (size_t i = 0; i < PAGES; i += 2) wpfix_write(&f, i, 2);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), PAGES / 2);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), PAGES / 2);
  for (size_t i = 0; i < PAGES; i++) cr_assert_eq(f.seen[i], i % 2 == 0);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 0);
}

Test(wptrack, short_vectors_and_small_pieces) {
  if (!wpfix_init(&f, PAGES, true)) return;
  f.w.arm_piece = f.w.scan_piece = (size_t)2 << 20;
  for (unsigned n = 1; n < 5; n++) {
    f.w.nregions = n;
    for (size_t i = 0; i < PAGES; i++)
      if (i % 7 < 3) wpfix_write(&f, i, 2);
    size_t want = PAGES / 7 * 3 + (PAGES % 7 < 3 ? PAGES % 7 : 3);
    cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), want);
    cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), want);
    for (size_t i = 0; i < PAGES; i++) cr_assert_eq(f.seen[i], i % 7 < 3);
    cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 0);
    for (size_t i = 0; i < PAGES; i += 3) wpfix_write(&f, i, 2);
    cr_assert_eq(wptrack_arm(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), 0);
    cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 0);
  }
}

Test(wptrack, a_part_of_the_range_leaves_the_rest_alone) {
  if (!wpfix_init(&f, PAGES, true)) return;
  for (size_t i = 0; i < PAGES; i++) wpfix_write(&f, i, 2);
  memset(f.seen, 0, PAGES);
  cr_assert_eq(wptrack_scan(&f.w, wpfix_at(&f, 100), wpfix_at(&f, 4321),
                            WPTRACK_REARM, wpfix_visit, &f),
               0);
  for (size_t i = 0; i < PAGES; i++)
    cr_assert_eq(f.seen[i], i >= 100 && i < 4321);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), PAGES - 4221);
}

Test(wptrack, arguments_are_checked) {
  if (!wpfix_init(&f, 8, true)) return;
  uintptr_t lo = wpfix_at(&f, 0), hi = wpfix_end(&f);
  for (int i = 0; i < 2; i++) {
    int want = i ? -EBADF : -EINVAL;
    cr_assert_eq(wptrack_register(&f.w, lo + 1, hi), want);
    cr_assert_eq(wptrack_unregister(&f.w, lo, hi - 1), want);
    cr_assert_eq(wptrack_arm(&f.w, hi, lo), want);
    cr_assert_eq(wptrack_scan(&f.w, lo + 8, hi, 0, wpfix_visit, &f), want);
    want = i ? -EBADF : 0;
    cr_assert_eq(wptrack_register(&f.w, lo, lo), want);
    cr_assert_eq(wptrack_unregister(&f.w, lo, lo), want);
    cr_assert_eq(wptrack_arm(&f.w, lo, lo), want);
    cr_assert_eq(wptrack_scan(&f.w, lo, lo, 0, wpfix_visit, &f), want);
    wptrack_close(&f.w);
    wptrack_close(&f.w);
    cr_assert_not(wptrack_is_open(&f.w));
  }
  cr_assert_eq(f.last, 0);
}

Test(wptrack, registering_and_unregistering_twice) {
  if (!wpfix_init(&f, 64, true)) return;
  uintptr_t lo = wpfix_at(&f, 0), hi = wpfix_end(&f);
  wpfix_write(&f, 3, 2);
  cr_assert_eq(wptrack_register(&f.w, lo, hi), 0);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 1, "what was armed stays armed");
  cr_assert_eq(wptrack_unregister(&f.w, lo, hi), 0);
  cr_assert_eq(wptrack_unregister(&f.w, lo, hi), 0);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 64);
  cr_assert_geq(f.w.nlost, 1);
}

/* --- memory that comes and goes --- */

Test(wptrack, untouched_pages_are_visited_when_they_are_written) {
  if (!wpfix_init(&f, PAGES, false)) return;
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 0);
  wpfix_write(&f, 9, 1);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 1);
  cr_assert(f.seen[9]);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 0);
  /* Reading maps the page of zeros: visited once, and written to later. */
  cr_assert_eq(*(volatile char *)wpfix_at(&f, 20), 0);
  cr_assert_leq(wpfix_scan(&f, WPTRACK_REARM), 1);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 0);
  wpfix_write(&f, 20, 1);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 1);
  cr_assert(f.seen[20]);
}

/* 256 MiB would take 512 KiB. */
Test(wptrack, arming_untouched_pages_costs_no_page_tables) {
  enum { MANY = 65536 };
  if (!wpfix_init(&f, 1, true)) return;
  char *p = wpfix_map(MANY * f.page);
  uintptr_t lo = (uintptr_t)p, hi = lo + MANY * f.page;
  cr_assert_eq(wptrack_register(&f.w, lo, hi), 0);
  size_t before = wpfix_proc_bytes("status", "VmPTE");
  cr_assert_eq(wptrack_arm(&f.w, lo, hi), 0);
  cr_assert_leq(wpfix_proc_bytes("status", "VmPTE"), before + 65536);
}

Test(wptrack, pages_given_back_are_visited_when_used_again) {
  if (!wpfix_init(&f, PAGES, true)) return;
  cr_assert_eq(madvise(f.mem + 16 * f.page, 16 * f.page, MADV_DONTNEED), 0);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 0);
  wpfix_write(&f, 20, 1);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 1);
  cr_assert(f.seen[20]);
  cr_assert_eq(f.w.nlost, 0);
}

Test(wptrack, protections_that_come_and_go_change_nothing) {
  if (!wpfix_init(&f, 100, true)) return;
  wpfix_write(&f, 30, 2);
  for (int prot = PROT_NONE; prot <= PROT_READ; prot++) {
    cr_assert_eq(mprotect(f.mem + 20 * f.page, 20 * f.page, prot), 0);
    cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 1);
    cr_assert_eq(
        mprotect(f.mem + 20 * f.page, 20 * f.page, PROT_READ | PROT_WRITE), 0);
  }
  wpfix_write(&f, 25, 2);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 2);
  cr_assert(f.seen[25] && f.seen[30]);
}

Test(wptrack, holes_are_passed_over) {
  if (!wpfix_init(&f, PAGES, true)) return;
  cr_assert_eq(munmap(f.mem + 40 * f.page, 10 * f.page), 0);
  cr_assert_eq(munmap(f.mem + 4000 * f.page, 1000 * f.page), 0);
  wpfix_write(&f, 39, 2);
  wpfix_write(&f, 50, 2);
  wpfix_write(&f, 5500, 2);
  cr_assert_eq(wptrack_register(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), 0);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 3);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 3);
  cr_assert(f.seen[39] && f.seen[50] && f.seen[5500]);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 0);
  cr_assert_eq(wptrack_unregister(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), 0);
}

/* --- tracking that is lost is never silence --- */

static void replace(size_t i, size_t n, int fd) {
  void *at = (void *)wpfix_at(&f, i);
  int flags = MAP_PRIVATE | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0);
  cr_assert_eq(mmap(at, n * f.page, PROT_READ | PROT_WRITE, flags, fd, 0), at);
}

Test(wptrack, another_mapping_in_the_range_counts_as_written) {
  if (!wpfix_init(&f, PAGES, true)) return;
  wpfix_write(&f, 3, 2);
  wpfix_write(&f, 5000, 2);
  replace(40, 2, -1);
  wpfix_write(&f, 41, 1);
  for (int i = 0; i < 2; i++) {
    cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 4, "exactly, when only asking");
    cr_assert(f.seen[3] && f.seen[40] && f.seen[41] && f.seen[5000]);
  }
  cr_assert_geq(f.w.nlost, 2);
}

Test(wptrack, a_failing_rearm_loses_no_page) {
  for (unsigned vector = 2; vector <= WPTRACK_REGIONS; vector *= 16) {
    if (!wpfix_init(&f, PAGES, true)) return;
    f.w.nregions = vector;
    wpfix_write(&f, 3, 2);
    wpfix_write(&f, 7, 2);
    replace(40, 1, -1);
    wpfix_write(&f, 45, 2);
    wpfix_write(&f, 5900, 2);
    (void)wpfix_scan(&f, WPTRACK_REARM);
    cr_assert(f.seen[3] && f.seen[7] && f.seen[40] && f.seen[45] &&
              f.seen[5900]);
    cr_assert_geq(f.w.nlost, 1);
    /* And what replaced the page goes on to count. */
    (void)wpfix_scan(&f, WPTRACK_REARM);
    cr_assert(f.seen[40]);
    wptrack_close(&f.w);
  }
}

Test(wptrack, arming_around_another_mapping) {
  if (!wpfix_init(&f, PAGES, true)) return;
  for (size_t i = 0; i < PAGES; i++) wpfix_write(&f, i, 2);
  replace(40, 1, -1);
  cr_assert_eq(wptrack_arm(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), 0);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 1);
  cr_assert(f.seen[40]);
  cr_assert_eq(wptrack_register(&f.w, wpfix_at(&f, 40), wpfix_at(&f, 41)), 0);
  wpfix_write(&f, 40, 1);
  cr_assert_eq(wptrack_arm(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), 0);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 0, "registered again");
}

/* Pages of a file have contents before they are touched. */
Test(wptrack, a_file_in_the_range_counts_as_written) {
  if (!wpfix_init(&f, 100, true)) return;
  int fd = open("/proc/self/exe", O_RDONLY);
  cr_assert_geq(fd, 0);
  replace(50, 2, fd);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 2);
  cr_assert(f.seen[50] && f.seen[51]);
}

Test(wptrack, a_range_that_was_moved_counts_as_written) {
  if (!wpfix_init(&f, 100, true)) return;
  char *to = wpfix_map(100 * f.page), *from = f.mem;
  to = mremap(from, 100 * f.page, 100 * f.page, MREMAP_MAYMOVE | MREMAP_FIXED,
              to);
  cr_assert_neq(to, MAP_FAILED);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 0, "nothing is left");
  f.mem = to;
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 100);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 100);
  cr_assert_eq(wptrack_register(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), 0);
  cr_assert_eq(wptrack_arm(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), 0);
  wpfix_write(&f, 3, 2);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 1);
}

Test(wptrack, memory_that_was_never_registered_counts_as_written) {
  if (!wpfix_init(&f, 100, true)) return;
  f.mem = wpfix_map(100 * f.page);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 100);
}

/* --- huge pages --- */

/* 16 MiB of them from a multiple of 2 MiB on; false when there are none. */
static bool init_huge(void) {
  const size_t huge = (size_t)2 << 20, n = 8 * huge;
  if (!wpfix_init(&f, 1, true)) return false;
  char *p = wpfix_map(n + huge);
  f.mem = (char *)(((uintptr_t)p + huge - 1) & ~(huge - 1));
  f.npages = n / f.page;
  f.seen = (unsigned char *)wpfix_map(f.npages);
  (void)madvise(f.mem, n, MADV_HUGEPAGE);
  memset(f.mem, 1, n);
  if (wpfix_proc_bytes("smaps", "AnonHugePages") < n) {
    fprintf(stderr, "skipped: no huge pages\n");
    return false;
  }
  cr_assert_eq(wptrack_register(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), 0);
  cr_assert_eq(wptrack_arm(&f.w, wpfix_at(&f, 0), wpfix_end(&f)), 0);
  return true;
}

Test(wptrack, huge_pages) {
  if (!init_huge()) return;
  size_t per_huge = ((size_t)2 << 20) / f.page;
  cr_assert_geq(wpfix_proc_bytes("smaps", "AnonHugePages"), f.npages * f.page,
                "arming splits none");
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 0);
  wpfix_write(&f, per_huge + 5, 1);
  cr_assert_leq(wpfix_scan(&f, WPTRACK_REARM), per_huge);
  cr_assert(f.seen[per_huge + 5]);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 0);
  wpfix_write(&f, 3 * per_huge + 1, 1);
  cr_assert_eq(
      madvise(f.mem + 3 * per_huge * f.page, 3 * f.page, MADV_DONTNEED), 0);
  wpfix_write(&f, 3 * per_huge + 2, 1);
  (void)wpfix_scan(&f, WPTRACK_REARM);
  cr_assert(f.seen[3 * per_huge + 2]);
}

Test(wptrack, ranges_that_end_inside_of_huge_pages) {
  if (!init_huge()) return;
  size_t per_huge = ((size_t)2 << 20) / f.page;
  for (size_t i = 0; i < f.npages; i++) wpfix_write(&f, i, 2);
  uintptr_t lo = wpfix_at(&f, 17), hi = wpfix_at(&f, 3 * per_huge + 21);
  cr_assert_eq(wptrack_arm(&f.w, lo, hi), 0);
  (void)wpfix_scan(&f, WPTRACK_GET);
  for (size_t i = 0; i < f.npages; i++)
    cr_assert_eq(f.seen[i], wpfix_at(&f, i) < lo || wpfix_at(&f, i) >= hi,
                 "page %zu", i);
}

/* --- others --- */

Test(wptrack, a_second_userfaultfd_is_told) {
  static struct wptrack other;
  if (!wpfix_init(&f, 100, true)) return;
  cr_assert_eq(wptrack_open(&other, wptrack_system()), 0);
  uintptr_t lo = wpfix_at(&f, 0), hi = wpfix_end(&f);
  cr_assert_eq(wptrack_register(&other, lo, lo + 4 * f.page), -EBUSY);
  wpfix_write(&f, 7, 1);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_GET), 1, "and changes nothing");
  cr_assert_eq(wptrack_unregister(&f.w, lo, hi), 0);
  cr_assert_eq(wptrack_register(&other, lo, lo + 4 * f.page), 0);
  wptrack_close(&other);
  cr_assert_eq(wptrack_register(&f.w, lo, hi), 0, "free when it is closed");
}

Test(wptrack, a_child_of_fork_leaves_its_parents_tracking_alone) {
  if (!wpfix_init(&f, 100, true)) return;
  wpfix_write(&f, 50, 2);
  pid_t pid = fork();
  if (pid == 0) {
    wptrack_after_fork_child(&f.w);
    wpfix_write(&f, 1, 9);
    int bad = wptrack_is_open(&f.w) ||
              wptrack_arm(&f.w, wpfix_at(&f, 0), wpfix_end(&f)) != -EBADF ||
              wptrack_scan(&f.w, wpfix_at(&f, 0), wpfix_end(&f), WPTRACK_REARM,
                           wpfix_visit, &f) != -EBADF;
    /* And it may start afresh. */
    bad |= wptrack_open(&f.w, wptrack_system()) != 0 ||
           wptrack_register(&f.w, wpfix_at(&f, 0), wpfix_end(&f)) != 0 ||
           wptrack_arm(&f.w, wpfix_at(&f, 0), wpfix_end(&f)) != 0;
    wpfix_write(&f, 2, 9);
    if (!bad) bad |= wpfix_scan(&f, WPTRACK_GET) != 1 || !f.seen[2];
    wptrack_close(&f.w);
    _exit(bad);
  }
  int status;
  wpfix_write(&f, 7, 1);
  cr_assert_eq(waitpid(pid, &status, 0), pid);
  cr_assert_eq(status, 0);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 2);
  cr_assert(f.seen[7] && f.seen[50]);
  wpfix_write(&f, 8, 1);
  cr_assert_eq(wpfix_scan(&f, WPTRACK_REARM), 1);
  cr_assert_eq(f.w.nlost, 0);
}

/* --- against a model, a byte a page --- */

struct model {
  unsigned char contents[PAGES], armed[PAGES];
};

static void model_step(struct model *m, struct rng *r) {
  size_t i = rng_below(r, PAGES), n = 1 + rng_below(r, 300);
  if (i + n > PAGES) n = PAGES - i;
  uintptr_t lo = wpfix_at(&f, i), hi = lo + n * f.page;
  switch (rng_below(r, 5)) {
  case 0:
    cr_assert_eq(madvise((void *)lo, n * f.page, MADV_DONTNEED), 0);
    memset(m->contents + i, 0, n);
    memset(m->armed + i, 0, n);
    return;
  case 1:
    cr_assert_eq(wptrack_arm(&f.w, lo, hi), 0);
    for (size_t j = i; j < i + n; j++) m->armed[j] = m->contents[j];
    return;
  case 2:
    cr_assert_eq(wptrack_unregister(&f.w, lo, hi), 0);
    cr_assert_eq(wptrack_register(&f.w, lo, hi), 0);
    memset(m->armed + i, 0, n);
    return;
  default:
    for (size_t j = 0; j < n; j++) {
      size_t at = rng_below(r, PAGES);
      ((volatile char *)f.mem)[at * f.page + rng_below(r, f.page)]++;
      m->contents[at] = 1;
      m->armed[at] = 0;
    }
  }
}

Test(wptrack, random_steps_agree_with_a_model) {
  static struct model m;
  static const unsigned vectors[] = {1, 2, 3, 64, WPTRACK_REGIONS};
  if (!wpfix_init(&f, PAGES, true)) return;
  struct rng r = rng_seed();
  memset(m.contents, 1, PAGES);
  memset(m.armed, 1, PAGES);
  for (int step = 0; step < 1500; step++) {
    model_step(&m, &r);
    if (!rng_chance(&r, 4)) continue;
    bool rearm = rng_chance(&r, 2);
    f.w.nregions = vectors[rng_below(&r, 5)];
    f.w.arm_piece = (size_t)2 << (20 + rng_below(&r, 5));
    f.w.scan_piece = (size_t)2 << (20 + rng_below(&r, 5));
    (void)wpfix_scan(&f, rearm ? WPTRACK_REARM : WPTRACK_GET);
    for (size_t i = 0; i < PAGES; i++)
      cr_assert_eq(f.seen[i], m.contents[i] && !m.armed[i], "step %d, page %zu",
                   step, i);
    if (rearm) memcpy(m.armed, m.contents, PAGES);
  }
  cr_assert_eq(f.w.nlost, 0);
}

/* --- beside a program that writes: a copy kept by rounds becomes exact --- */

enum { SHARED = 2000, ROUNDS = 150 };
static uint64_t copies[SHARED];
static bool stop_writing;

static uint64_t *word(size_t i) { return (uint64_t *)wpfix_at(&f, i); }

static void *write_on(void *arg) {
  struct rng r = rng_from((uintptr_t)arg);
  while (!__atomic_load_n(&stop_writing, __ATOMIC_RELAXED))
    (void)__atomic_fetch_add(word(rng_below(&r, SHARED)), 1, __ATOMIC_RELAXED);
  return NULL;
}

static void copy(uintptr_t lo, uintptr_t hi, void *arg) {
  (void)arg;
  for (size_t i = (lo - wpfix_at(&f, 0)) / f.page; lo < hi; lo += f.page, i++)
    copies[i] = __atomic_load_n(word(i), __ATOMIC_RELAXED);
}

Test(wptrack, no_write_is_lost_beside_two_writers) {
  pthread_t writers[2];
  if (!wpfix_init(&f, SHARED, false)) return;
  for (uintptr_t i = 0; i < 2; i++)
    cr_assert_eq(pthread_create(&writers[i], NULL, write_on, (void *)(i + 1)),
                 0);
  for (int i = 0; i < ROUNDS; i++)
    cr_assert_eq(wptrack_scan(&f.w, wpfix_at(&f, 0), wpfix_end(&f),
                              WPTRACK_REARM, copy, NULL),
                 0);
  __atomic_store_n(&stop_writing, true, __ATOMIC_RELAXED);
  for (int i = 0; i < 2; i++) pthread_join(writers[i], NULL);
  cr_assert_eq(wptrack_scan(&f.w, wpfix_at(&f, 0), wpfix_end(&f), WPTRACK_GET,
                            copy, NULL),
               0);
  for (size_t i = 0; i < SHARED; i++)
    cr_assert_eq(copies[i], *word(i), "page %zu", i);
}
