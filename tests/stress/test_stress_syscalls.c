// SPDX-License-Identifier: MIT
/*
 * System calls that write into objects of every kind, and mappings put into them, while
 * one cycle after the other runs beside the program and the kernel tracks its writes:
 * no call fails because of that, and what came by one is found by the collector.
 */
#include "stress.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

TestSuite(stress_syscalls, .timeout = 300);

enum { SLOTS = 4096, LARGE = 1 << 20, FILE_BYTES = 60000, THREADS = 3 };

/* The only pointer to it comes into its slot by a system call. */
struct item {
  struct item *self;
  uint64_t check;
};
MGC_TYPE(struct item, self);

struct slot {
  struct item *item;
};
MGC_TYPE(struct slot, item);

struct tables {
  struct slot *typed;         /* of struct slot */
  struct item **conservative; /* of unknown words */
  char *noscan;
};
MGC_TYPE(struct tables, typed, conservative, noscan);

static _Atomic bool stop;
static const char *_Atomic broken;
static _Atomic uint64_t calls;

static void expect(ssize_t n, size_t want, const char *what) {
  calls++;
  if (n == (ssize_t)want) return;
  if (n < 0) perror(what);
  broken = what;
}

static struct item *new_item(uint64_t check) {
  struct item *i = mgc_new(struct item);
  if (!i) abort();
  i->self = i;
  i->check = check;
  return i;
}

static void check_item(const struct item *i) {
  if (i && (i->self != i || i->check >> 32 != 0x17e3))
    broken = "an item that came by a system call was collected";
}

/* A pointer goes through the kernel into *slot. */
static void send_pointer(struct rng *r, const int fds[2], void *slot) {
  struct item *item = new_item(0x17e3ull << 32 | (uint32_t)rng_u64(r));
  struct iovec v = {slot, sizeof item}, from = {&item, sizeof item};
  expect(send(fds[0], &item, sizeof item, 0), sizeof item, "send");
  switch (rng_u64(r) % 4) {
  case 0:
    expect(read(fds[1], slot, sizeof item), sizeof item, "read");
    break;
  case 1:
    expect(recv(fds[1], slot, sizeof item, 0), sizeof item, "recv");
    break;
  case 2:
    expect(readv(fds[1], &v, 1), sizeof item, "readv");
    break;
  default: {
    struct item *same;
    expect(recv(fds[1], &same, sizeof same, 0), sizeof same, "recv");
    expect(process_vm_writev(getpid(), &from, 1, &v, 1, 0), sizeof item,
           "process_vm_writev");
  }
  }
}

/* Whole pages of a large object without pointers get another mapping. */
static void map_into(struct rng *r, char *object) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  uintptr_t lo = ((uintptr_t)object + page - 1) & ~(uintptr_t)(page - 1);
  size_t npages = ((uintptr_t)object + LARGE - lo) / page;
  char *at = (char *)lo + rng_u64(r) % npages * page;
  calls++;
  if (mmap(at, page, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
    broken = "mmap";
  *at = 1;
}

/* Not from /dev/zero, where a signal, and a stop is one, ends a read early. */
static void fill(struct rng *r, char *object, int file) {
  size_t n = 1 + rng_u64(r) % FILE_BYTES,
         at = rng_u64(r) % (LARGE - FILE_BYTES);
  expect(pread(file, object + at, n, 0), n, "pread");
}

static void *work(void *seed) {
  struct rng r = rng_from((uintptr_t)seed + 1);
  struct tables *t = mgc_new(struct tables);
  int fds[2], file = memfd_create("file", MFD_CLOEXEC);
  if (!t || file < 0 || ftruncate(file, FILE_BYTES) != 0 ||
      socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) != 0)
    abort();
  t->typed = mgc_new_array(struct slot, SLOTS);
  t->conservative = mgc_alloc(SLOTS * sizeof *t->conservative);
  t->noscan = mgc_new_noscan(LARGE);
  while (!stop && !broken) {
    struct slot *small = mgc_new(struct slot);
    size_t i = rng_u64(&r) % SLOTS;
    send_pointer(&r, fds, &t->typed[i]);
    send_pointer(&r, fds, &t->conservative[i]);
    send_pointer(&r, fds, small);
    check_item(small->item);
    check_item(t->typed[rng_u64(&r) % SLOTS].item);
    check_item(t->conservative[rng_u64(&r) % SLOTS]);
    fill(&r, t->noscan, file);
    if (rng_u64(&r) % 64 == 0) map_into(&r, t->noscan);
    if (rng_u64(&r) % 512 == 0) t->noscan = mgc_new_noscan(LARGE);
  }
  close(fds[0]);
  close(fds[1]);
  close(file);
  return NULL;
}

Test(stress_syscalls, none_fails_and_all_are_seen) {
  pthread_t t[THREADS];
  struct mgc_memstats before, after;
  stress_options("gcmode=kernel,clobber_free=1,checkmark=1");
  mgc_read_memstats(&before);
  for (uintptr_t i = 0; i < THREADS; i++)
    cr_assert_eq(pthread_create(&t[i], NULL, work, (void *)i), 0);
  double until = stress_now() + stress_seconds();
  while (stress_now() < until && !broken) mgc_collect();
  stop = true;
  for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  cr_assert_null(broken, "%s", broken);
  mgc_read_memstats(&after);
  cr_assert_gt(after.num_gc, before.num_gc + FEW_CYCLES);
  cr_assert_gt(calls, 100u);
}
