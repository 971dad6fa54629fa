// SPDX-License-Identifier: MIT
/*
 * What write tracking by the kernel takes (os/wptrack.h): arming and scanning a range,
 * the first write to a page in both ways of tracking, and how long other threads' mmap
 * and munmap wait for a piece of a given size. The pieces in wptrack.c and wpsync.c are
 * from here.
 *
 *   wptrack_cost [MiB, 1024]
 *
 * Least of a few runs; of the waits the 90th percentile, since the longest is that of
 * whatever else the machine does.
 */
#include "os/wptrack.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
enum { RUNS = 3 };

static struct wptrack w;
static struct wpsync s;
static size_t size, page;
static char *mem;

static uintptr_t lo(void) { return (uintptr_t)mem; }
static uintptr_t hi(void) { return (uintptr_t)mem + size; }

static double now(void) { /* microseconds */
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Ends the program: there is nothing to measure then. */
static void must(int err, const char *what) {
  if (!err) return;
  fprintf(stderr, "%s: %s\n", what, strerror(-err));
  exit(1);
}

static void new_memory(bool huge) {
  if (mem) munmap(mem, size + 2 * MIB);
  char *p = mmap(NULL, size + 2 * MIB, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) must(-12, "mmap");
  mem = (char *)(((uintptr_t)p + 2 * MIB - 1) & ~(2 * MIB - 1));
  madvise(mem, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  memset(mem, 1, size);
}

/* --- one thing, timed --- */

static size_t npages;
static void count(uintptr_t from, uintptr_t to, void *arg) {
  (void)arg;
  npages += (to - from) / page;
}

static void arm(void) { must(wptrack_arm(&w, lo(), hi()), "arm"); }
static void get(void) {
  must(wptrack_scan(&w, lo(), hi(), WPTRACK_GET, count, NULL), "scan");
}
static void rearm(void) {
  must(wptrack_scan(&w, lo(), hi(), WPTRACK_REARM, count, NULL), "scan");
}
static void protect(void) { must(wpsync_protect(&s, lo(), hi()), "protect"); }
static void unprotect(void) {
  must(wpsync_unprotect(&s, lo(), hi()), "unprotect");
}
static void write_all(void) {
  for (size_t i = 0; i < size; i += page) ((volatile char *)mem)[i]++;
}

/* Microseconds of fn after prepare (NULL: nothing), the least of some runs. */
static double least(void (*prepare)(void), void (*fn)(void)) {
  double best = 1e18;
  for (int i = 0; i < RUNS; i++) {
    if (prepare) prepare();
    double t = now();
    fn();
    t = now() - t;
    if (t < best) best = t;
  }
  return best;
}

static double per_gib(double us) { return us * 1024 * MIB / (double)size; }

static void line(const char *what, double us, const char *unit) {
  printf("  %-52s %10.2f %s\n", what, us, unit);
}

static size_t nscattered;
static void write_scattered(void) {
  uint64_t x = 88172645463325252u;
  arm();
  for (size_t i = 0; i < nscattered; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    ((volatile char *)mem)[x % (size / page) * page]++;
  }
}

/* --- asynchronous --- */

static void scattered(void) {
  static const size_t numbers[] = {1000, 10000, 100000};
  char what[64];
  for (size_t i = 0; i < 3; i++) {
    nscattered = numbers[i];
    snprintf(what, sizeof what, "scan, %zu scattered pages: get", nscattered);
    line(what, least(write_scattered, get) / 1e3, "ms");
    snprintf(what, sizeof what, "scan, %zu scattered pages: rearm", nscattered);
    line(what, least(write_scattered, rearm) / 1e3, "ms");
  }
}

static void async_costs(bool huge) {
  printf("\nasynchronous, %s pages, %zu MiB\n", huge ? "2 MiB" : "4 KiB",
         size / MIB);
  new_memory(huge);
  double t = now();
  must(wptrack_register(&w, lo(), hi()), "register");
  line("register", now() - t, "us");
  t = now();
  arm();
  line("arm, nothing armed, first time", per_gib(now() - t) / 1e3, "ms/GiB");
  line("arm, all armed", per_gib(least(NULL, arm)) / 1e3, "ms/GiB");
  line("scan, nothing written", per_gib(least(NULL, get)) / 1e3, "ms/GiB");
  double first = least(arm, write_all);
  double later = least(NULL, write_all);
  line("a page's first write, beyond the write",
       (first - later) * 1e3 / (double)(size / page), "ns");
  if (huge) printf("  (%zu a huge page, which is split)\n", 2 * MIB / page);
  line("arm, nothing armed", per_gib(least(write_all, arm)) / 1e3, "ms/GiB");
  line("scan, all written: rearm", per_gib(least(write_all, rearm)) / 1e3,
       "ms/GiB");
  scattered();
  must(wptrack_unregister(&w, lo(), hi()), "unregister");
}

/* --- synchronous --- */

static size_t granule;
static void on_sigbus(int signo, siginfo_t *info, void *context) {
  (void)signo, (void)context;
  uintptr_t at = (uintptr_t)info->si_addr & ~(granule - 1);
  if (wpsync_unprotect(&s, at, at + granule) != 0) _exit(1);
}

static void sync_costs(bool huge) {
  struct sigaction act = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
  sigaction(SIGBUS, &act, NULL);
  printf("\nsynchronous, %s pages, %zu MiB\n", huge ? "2 MiB" : "4 KiB",
         size / MIB);
  new_memory(huge);
  must(wpsync_register(&s, lo(), hi()), "register");
  line("protect", per_gib(least(unprotect, protect)) / 1e3, "ms/GiB");
  line("unprotect", per_gib(least(protect, unprotect)) / 1e3, "ms/GiB");
  granule = huge ? 2 * MIB : page;
  double first = least(protect, write_all), later = least(NULL, write_all);
  line("a granule's first write: signal, unprotect",
       (first - later) / (double)(size / granule), "us");
  must(wpsync_unregister(&s, lo(), hi()), "unregister");
}

/* --- how long others wait --- */

/* The nth processor that the program may use: a thread that waits on the one where the
 * pieces are done is woken sooner. */
static void use_processor(int n) {
  cpu_set_t may, one;
  CPU_ZERO(&one);
  if (sched_getaffinity(getpid(), sizeof may, &may) != 0) return;
  for (size_t i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET(i, &may) && n-- == 0) CPU_SET(i, &one);
  (void)sched_setaffinity(0, sizeof one, &one);
}

enum { MAX_WAITS = 20000 };
static atomic_bool stop, passing;
static double waits[MAX_WAITS];
static size_t nwaits;

static void *map_and_unmap(void *arg) {
  (void)arg;
  use_processor(1);
  while (!atomic_load_explicit(&stop, memory_order_relaxed) &&
         nwaits < MAX_WAITS) {
    bool began = atomic_load_explicit(&passing, memory_order_relaxed);
    double t = now();
    void *p = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(p, page);
    t = now() - t;
    if (began) waits[nwaits++] = t;
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
  }
  return NULL;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Milliseconds of waits that began while fn ran; it runs for about 300 ms. */
static double wait_beside(void (*prepare)(void), void (*fn)(void)) {
  pthread_t t;
  double until = now() + 3e5;
  nwaits = 0;
  atomic_store(&stop, false);
  must(-pthread_create(&t, NULL, map_and_unmap, NULL), "pthread_create");
  do {
    if (prepare) prepare();
    atomic_store(&passing, true);
    fn();
    atomic_store(&passing, false);
  } while (now() < until);
  atomic_store(&stop, true);
  pthread_join(t, NULL);
  qsort(waits, nwaits, sizeof waits[0], by_size);
  return nwaits ? waits[nwaits * 9 / 10] / 1e3 : 0;
}

static struct wptrack_sys hasty; /* the system without pauses */
static void no_pause(void) {}

static void two_waits(void (*prepare)(void), void (*fn)(void)) {
  for (int i = 0; i < 2; i++) {
    w.sys = s.sys = i ? wptrack_system() : &hasty;
    printf(" %9.2f (%5.2f)", wait_beside(prepare, fn),
           per_gib(least(prepare, fn)) / 1e3);
  }
}

static void pieces(bool huge) {
  static const size_t mib[] = {2, 4, 16, 64, 256, 1024};
  printf("\npieces, %s pages: another thread's wait for mmap, ms, 90th "
         "percentile, and (all of it, ms/GiB)\n  %6s %17s %17s %17s %17s %9s\n",
         huge ? "2 MiB" : "4 KiB", "MiB", "arm, no pause", "arm",
         "protect, no pause", "protect", "get");
  for (size_t i = 0; i < sizeof mib / sizeof mib[0]; i++) {
    size_t piece = mib[i] * MIB;
    if (piece > size) break;
    new_memory(huge);
    w.arm_piece = w.scan_piece = s.piece = piece;
    printf("  %6zu", mib[i]);
    must(wptrack_register(&w, lo(), hi()), "register");
    two_waits(huge ? NULL : write_all, arm);
    arm();
    double g = per_gib(least(NULL, get)) / 1e3;
    must(wptrack_unregister(&w, lo(), hi()), "unregister");
    must(wpsync_register(&s, lo(), hi()), "register");
    two_waits(unprotect, protect);
    must(wpsync_unregister(&s, lo(), hi()), "unregister");
    printf(" %9.2f\n", g);
  }
}

int main(int argc, char **argv) {
  size = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1024) * MIB;
  page = (size_t)sysconf(_SC_PAGESIZE);
  if (size < 2 * MIB || size % (2 * MIB) != 0) {
    fprintf(stderr, "usage: wptrack_cost [MiB, an even number]\n");
    return 2;
  }
  int err = wptrack_open(&w, wptrack_system());
  if (err) must(err, wptrack_reason(&w));
  err = wpsync_open(&s, wptrack_system());
  if (err) must(err, wpsync_reason(&s));
  hasty = *wptrack_system();
  hasty.pause = no_pause;
  use_processor(0);
  for (int huge = 0; huge < 2; huge++) async_costs(huge);
  for (int huge = 0; huge < 2; huge++) sync_costs(huge);
  for (int huge = 0; huge < 2; huge++) pieces(huge);
  return 0;
}
