// SPDX-License-Identifier: MIT
#include "base/fatal.h"
#include "os/procfs.h"
#include "os/thread_linux.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Threads that wait until they are told to end, with known ids. */
#define THREADS 60

struct crowd {
  pthread_barrier_t here, end;
  pthread_t threads[THREADS];
  int ids[THREADS];
};

struct member {
  struct crowd *crowd;
  int i;
};

static void *wait_in_crowd(void *arg) {
  struct member *m = arg;
  struct crowd *c = m->crowd;
  c->ids[m->i] = thread_id();
  pthread_barrier_wait(&c->here);
  pthread_barrier_wait(&c->end);
  return NULL;
}

static void crowd_start(struct crowd *c, int n) {
  static struct member members[THREADS];
  pthread_barrier_init(&c->here, NULL, (unsigned)n + 1);
  pthread_barrier_init(&c->end, NULL, (unsigned)n + 1);
  for (int i = 0; i < n; i++) {
    members[i] = (struct member){c, i};
    cr_assert_eq(
        pthread_create(&c->threads[i], NULL, wait_in_crowd, &members[i]), 0);
  }
  pthread_barrier_wait(&c->here);
}

static void crowd_end(struct crowd *c, int n) {
  pthread_barrier_wait(&c->end);
  for (int i = 0; i < n; i++) pthread_join(c->threads[i], NULL);
}

Test(procfs, read_gives_the_beginning_with_a_nul) {
  char whole[64], part[5];
  cr_assert_gt(procfs_read("/proc/self/comm", whole, sizeof(whole)), 4);
  cr_assert_eq(procfs_read("/proc/self/comm", part, sizeof(part)), 4);
  cr_assert_eq(strlen(part), 4);
  cr_assert_eq(strncmp(whole, part, 4), 0);
}

Test(procfs, read_of_nothing_fails_and_keeps_errno) {
  char buf[16] = "old";
  errno = EBADMSG;
  cr_assert_eq(procfs_read("/proc/self/no such file", buf, sizeof(buf)), -1);
  cr_assert_str_eq(buf, "");
  cr_assert_eq(procfs_read("/proc/self", buf, sizeof(buf)), -1);
  cr_assert_eq(errno, EBADMSG);
}

Test(procfs, statm_sees_mapping_and_touching) {
  struct procfs_statm before, mapped, touched;
  size_t n = (size_t)64 << 20;
  cr_assert(procfs_statm(&before));
  cr_assert_gt(before.resident, 0);
  cr_assert_gt(before.size, before.resident);
  char *p =
      mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  cr_assert(procfs_statm(&mapped));
  memset(p, 1, n / 2);
  cr_assert(procfs_statm(&touched));
  cr_assert_geq(mapped.size, before.size + n);
  /* The kernel counts resident pages in batches for each thread. */
  cr_assert_geq(touched.resident, mapped.resident + n / 2 - (1 << 20));
  if (!MGC_TSAN) /* which writes to its shadow as well */
    cr_assert_lt(touched.resident, mapped.resident + n);
}

Test(procfs, thread_count_follows_threads) {
  struct crowd c;
  /* A sanitizer may start a thread of its own with the first one. */
  crowd_start(&c, 1);
  crowd_end(&c, 1);
  unsigned before = procfs_thread_count();
  cr_assert_geq(before, 1);
  crowd_start(&c, 7);
  cr_assert_eq(procfs_thread_count(), before + 7);
  crowd_end(&c, 7);
}

static void list_tasks(int *ids, size_t room, size_t *n) {
  struct procfs_tasks it;
  *n = 0;
  cr_assert(procfs_tasks_begin(&it));
  for (int id; (id = procfs_tasks_next(&it));) {
    cr_assert_lt(*n, room);
    ids[(*n)++] = id;
  }
  cr_assert_eq(procfs_tasks_next(&it), 0, "the end is the end");
  procfs_tasks_end(&it);
}

static size_t count_int(const int *ids, size_t n, int id) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) count += ids[i] == id;
  return count;
}

/* More threads than one buffer of directory entries holds. */
Test(procfs, tasks_lists_every_thread_once) {
  struct crowd c;
  int ids[THREADS + 10];
  size_t n;
  crowd_start(&c, THREADS);
  list_tasks(ids, array_len(ids), &n);
  for (int i = 0; i < THREADS; i++)
    cr_assert_eq(count_int(ids, n, c.ids[i]), 1);
  cr_assert_eq(count_int(ids, n, thread_id()), 1);
  cr_assert_eq(n, procfs_thread_count());
  cr_assert_gt(n * 24, (size_t)PROCFS_TASKS_BUFFER / 2);
  crowd_end(&c, THREADS);
}

Test(procfs, tasks_leaves_no_descriptor_open) {
  int ids[16];
  size_t n;
  int before = dup(0);
  close(before);
  list_tasks(ids, array_len(ids), &n);
  int after = dup(0);
  cr_assert_eq(before, after);
}

Test(procfs, find_mapping_of_own_pages) {
  struct procfs_mapping m;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  char *p = mmap(NULL, 8 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uintptr_t lo = (uintptr_t)p;
  cr_assert_eq(mprotect(p + 2 * page, 3 * page, PROT_READ | PROT_WRITE), 0);
  cr_assert_eq(munmap(p + 5 * page, page), 0);
  for (uintptr_t at = lo + 2 * page; at < lo + 5 * page; at += page - 1) {
    cr_assert(procfs_find_mapping(at, &m));
    cr_assert_eq(m.start, lo + 2 * page);
    cr_assert_eq(m.end, lo + 5 * page);
    cr_assert(m.read && m.write && !m.exec && !m.shared);
  }
  cr_assert_not(procfs_find_mapping(lo + 5 * page, &m));
  cr_assert(procfs_find_mapping(lo + 2 * page - 1, &m));
  cr_assert(!m.read && !m.write);
  cr_assert_eq(m.end, lo + 2 * page);
}

Test(procfs, find_mapping_tells_code_and_shared_memory) {
  struct procfs_mapping m;
  char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  cr_assert(procfs_find_mapping((uintptr_t)p, &m));
  cr_assert(m.shared && m.read && !m.write);
  cr_assert(procfs_find_mapping((uintptr_t)(void *)procfs_statm, &m));
  cr_assert(m.exec && m.read && !m.write && !m.shared);
  cr_assert(procfs_find_mapping((uintptr_t)&m, &m), "the stack");
  cr_assert(m.write);
}

Test(procfs, find_mapping_of_nothing_is_false) {
  struct procfs_mapping m;
  errno = EBADMSG;
  cr_assert_not(procfs_find_mapping(0, &m));
  cr_assert_not(procfs_find_mapping(UINTPTR_MAX, &m));
  cr_assert_eq(errno, EBADMSG);
}

/* Many mappings with long names: lines cross every buffer boundary. */
Test(procfs, find_mapping_reads_past_many_lines) {
  char path[200];
  struct procfs_mapping m;
  uintptr_t at[150];
  memset(path, 'n', sizeof(path));
  memcpy(path, "/tmp/mgc-", 9);
  snprintf(path + 150, 40, "-%d", getpid());
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  cr_assert_geq(fd, 0);
  unlink(path);
  cr_assert_eq(ftruncate(fd, 4096), 0);
  for (size_t i = 0; i < array_len(at); i++)
    at[i] = (uintptr_t)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
  for (size_t i = 0; i < array_len(at); i++) {
    cr_assert(procfs_find_mapping(at[i] + 100, &m));
    cr_assert(m.start <= at[i] && at[i] + 4096 <= m.end);
    cr_assert(m.read && !m.write && !m.exec && !m.shared);
  }
}

struct wanted_area {
  uintptr_t at, last;
  bool found, in_order;
};

static void look_for(uintptr_t lo, uintptr_t hi, void *arg) {
  struct wanted_area *w = arg;
  cr_assert_lt(lo, hi);
  if (lo < w->last) w->in_order = false;
  w->last = hi;
  if (w->at >= lo && w->at < hi) w->found = true;
}

static bool is_anonymous(const void *p) {
  struct wanted_area w = {.at = (uintptr_t)p, .in_order = true};
  cr_assert(procfs_visit_anonymous(look_for, &w));
  cr_assert(w.in_order);
  return w.found;
}

Test(procfs, visit_anonymous_tells_memory_of_no_file_only) {
  static const struct {
    int prot, flags;
    bool anonymous;
  } cases[] = {
      {PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, true},
      {PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, true},
      {PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, false},
      {PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, false},
      {PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, false},
      {PROT_READ | PROT_WRITE, MAP_PRIVATE, false},
  };
  int local, fd = open("/proc/self/exe", O_RDONLY);
  cr_assert_geq(fd, 0);
  for (size_t i = 0; i < array_len(cases); i++) {
    void *p = mmap(NULL, 8192, cases[i].prot, cases[i].flags,
                   cases[i].flags & MAP_ANONYMOUS ? -1 : fd, 0);
    cr_assert_neq(p, MAP_FAILED);
    cr_assert_eq(is_anonymous(p), cases[i].anonymous, "case %zu", i);
    munmap(p, 8192);
  }
  cr_assert(is_anonymous(&local)); /* the stack */
  cr_assert_not(is_anonymous((void *)(uintptr_t)look_for));
}

Test(procfs, pages_present_are_those_that_were_touched) {
  enum { PAGES = 1000 };
  uint64_t present[(PAGES + 63) / 64];
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char *p = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  cr_assert_neq(p, MAP_FAILED);
  madvise(p, PAGES * page, MADV_NOHUGEPAGE);
  for (size_t i = 0; i < PAGES; i += 7) p[i * page] = 1;
  cr_assert(procfs_pages_present((uintptr_t)p, PAGES, present));
  for (size_t i = 0; i < PAGES; i++)
    cr_assert_eq((present[i / 64] >> (i % 64)) & 1, i % 7 == 0, "page %zu", i);
}

Test(procfs, blocked_signals_of_another_thread) {
  struct crowd c;
  uint64_t mask = 0;
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGRTMAX);
  pthread_sigmask(SIG_BLOCK, &set, &old);
  crowd_start(&c, 1);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  cr_assert(procfs_blocked_signals(c.ids[0], &mask));
  cr_assert(mask >> (SIGUSR1 - 1) & 1);
  cr_assert(mask >> (SIGRTMAX - 1) & 1);
  cr_assert_not(mask >> (SIGUSR2 - 1) & 1);
  cr_assert(procfs_blocked_signals(thread_id(), &mask));
  cr_assert_not(mask >> (SIGUSR1 - 1) & 1);
  crowd_end(&c, 1);
  cr_assert_not(procfs_blocked_signals(1 << 30, &mask));
}
