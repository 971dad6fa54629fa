// SPDX-License-Identifier: MIT
#include "base/annotate.h"
#include "support/child.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char room[256] __attribute__((aligned(64)));

static void touch_middle(void *arg) { *(volatile char *)arg = 1; }

Test(annotate, poisoned_memory_is_reported_where_somebody_watches) {
  annotate_poison(room + 64, 64);
  struct child c = child_run(touch_middle, room + 100);
  cr_assert_eq(c.status != 0, MGC_ASAN);
  cr_assert_eq(strstr(c.err, "use-after-poison") != NULL, MGC_ASAN);
}

Test(annotate, unpoisoned_memory_is_usable) {
  annotate_poison(room + 64, 64);
  annotate_unpoison(room + 64, 64);
  struct child c = child_run(touch_middle, room + 100);
  cr_assert_eq(c.status, 0, "%s", c.err);
}

/* A hand-over that ThreadSanitizer cannot see: raw system calls on a pipe. */
struct hand_over {
  int fds[2];
  long value; /* plain */
};

static void *hand_over(void *arg) {
  struct hand_over *h = arg;
  h->value = 42;
  annotate_release(h);
  syscall(SYS_write, h->fds[1], "x", 1);
  return NULL;
}

Test(annotate, release_and_acquire_order_two_threads) {
  struct hand_over h = {0};
  pthread_t thread;
  char c;
  cr_assert_eq(pipe(h.fds), 0);
  pthread_create(&thread, NULL, hand_over, &h);
  cr_assert_eq(syscall(SYS_read, h.fds[0], &c, 1), 1);
  annotate_acquire(&h);
  cr_assert_eq(h.value, 42);
  pthread_join(thread, NULL);
}
