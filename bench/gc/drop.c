// SPDX-License-Identifier: MIT
/*
 * drop [PEAK_MIB KEPT_MIB MS...]: a program that peaks, and then waits. It makes KEPT_MIB
 * (100) of small linked objects that stay, more on top of them up to PEAK_MIB (2048),
 * drops these, and sleeps without a call to the library: how much memory is resident
 * after so many milliseconds (1000, 10000, 60000)?
 *
 *   drop: after_ms=N resident_kib=N       after_ms=-1 is the peak
 */
#include "program.h"

#include <fcntl.h>
#include <unistd.h>

enum { LIST_LENGTH = 1000, MOST_TIMES = 16 };

struct node {
  struct node *next;
  uint64_t number[15];
};
POINTERS(struct node, next);

struct list {
  struct node *first;
};
POINTERS(struct list, first);

/* Exact, where the counters of status lag by some pages for each processor; by read,
 * since stdio would call malloc. */
static long resident_kib(void) {
  char text[4096];
  int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[n > 0 ? n : 0] = 0;
  const char *line = strstr(text, "Rss:");
  return line ? strtol(line + 4, NULL, 10) : (long)status_kib("VmRSS:");
}

/* Many short lists: what a stack may still hold by chance is one of them. */
static struct list *lists;
static uint64_t nlists;

static __attribute__((noinline)) struct node *build(uint64_t n) {
  struct node *first = NULL;
  for (uint64_t i = 0; i < n; i++) {
    struct node *node = must(NEW(struct node));
    node->next = first;
    for (int k = 0; k < 15; k++) node->number[k] = i;
    first = node;
  }
  return first;
}

static __attribute__((noinline)) void drop_from(uint64_t begin) {
  for (uint64_t i = begin; i < nlists; i++) {
#if !COLLECTED
    for (struct node *n = lists[i].first, *next; n; n = next) {
      next = n->next;
      FREE(n);
    }
#endif
    STORE(&lists[i].first, NULL);
  }
}

static void wait_until(struct timespec t, long ms) {
  t.tv_nsec += ms % 1000 * 1000000;
  t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
  t.tv_nsec %= 1000000000;
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)) continue;
}

int main(int argc, char **argv) {
  static char line[4096]; /* stdio's own would be malloc's last block */
  static const long usual[] = {1000, 10000, 60000};
  uint64_t per_list = LIST_LENGTH * sizeof(struct node);
  uint64_t kept = (argument_u64(argc, argv, 2, 100) << 20) / per_list;
  long times[MOST_TIMES], ntimes = argc > 3 ? argc - 3 : 3;
  nlists = (argument_u64(argc, argv, 1, 2048) << 20) / per_list;
  if (ntimes > MOST_TIMES) ntimes = MOST_TIMES;
  for (long i = 0; i < ntimes; i++)
    times[i] = argc > 3 ? argument(argc, argv, 3 + (int)i, 0) : usual[i];

  report_begin();
  setvbuf(stdout, line, _IOLBF, sizeof line);
  lists = must(NEW_ARRAY(struct list, nlists));
  for (uint64_t i = 0; i < nlists; i++)
    STORE(&lists[i].first, build(LIST_LENGTH));
  printf("drop: after_ms=-1 resident_kib=%ld\n", resident_kib());

  struct timespec start;
  drop_from(kept);
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (long i = 0; i < ntimes; i++) {
    wait_until(start, times[i]);
    printf("drop: after_ms=%ld resident_kib=%ld\n", times[i], resident_kib());
  }
  return 0;
}
