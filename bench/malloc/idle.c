// SPDX-License-Identifier: MIT
/*
 * idle VARIANT [MIB FREED SECONDS]: a program that peaks, and then waits. It
 * allocates MIB (430) of blocks of 16 to 2048 bytes, frees some, and sleeps
 * without a call to the allocator. Four lines: resident KiB at the peak, after
 * the frees, a second and SECONDS (10) later; a fifth has the sum of what was
 * freed, a sixth the CPU time in microseconds that the process used asleep.
 *
 * A small block that was made last stays, as something does in most programs.
 *
 *   part     the first MIB - FREED are kept, FREED (400) freed in order
 *   order    all freed, in the order in which they were made
 *   threads  all freed, by 4 threads, each a quarter
 *   random   9 in 10 freed, at random
 */
#include "common.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { FREERS = 4 };

/* Exact, where statm's counters lag by some pages for each processor; by read,
 * since stdio would call malloc. */
static long resident_kib(void) {
  char text[4096];
  int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
  if (fd < 0) die("no /proc/self/smaps_rollup");
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = 0;
  const char *line = strstr(text, "Rss:");
  return line ? strtol(line + 4, NULL, 10) : -1;
}

static uint64_t cpu_us(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000u +
         (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Returns what the process used meanwhile. */
static uint64_t wait_until(struct timespec start, long seconds) {
  uint64_t cpu = cpu_us();
  start.tv_sec += seconds;
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &start, NULL))
    continue;
  return cpu_us() - cpu;
}

struct blocks {
  struct block **at;
  size_t count;
  uint64_t sum;
};

static void *free_all(void *arg) {
  struct blocks *b = arg;
  for (size_t i = 0; i < b->count; i++) {
    b->sum += block_free(b->at[i]);
    b->at[i] = NULL;
  }
  return NULL;
}

static uint64_t free_by_threads(struct blocks all) {
  struct blocks quarter[FREERS];
  size_t each = all.count / FREERS;
  uint64_t sum = 0;
  for (size_t i = 0; i < FREERS; i++)
    quarter[i] =
        (struct blocks){.at = all.at + i * each,
                        .count = i == FREERS - 1 ? all.count - i * each : each};
  run_threads(FREERS, free_all, quarter, sizeof *quarter);
  for (size_t i = 0; i < FREERS; i++) sum += quarter[i].sum;
  return sum;
}

static uint64_t free_at_random(struct blocks all) {
  struct random random = random_from(90);
  uint64_t sum = 0;
  for (size_t i = 0; i < all.count; i++)
    if (random_below(&random, 10) != 0) {
      sum += block_free(all.at[i]);
      all.at[i] = NULL;
    }
  return sum;
}

static uint64_t free_rest(struct blocks all, uint64_t bytes_kept) {
  size_t first = 0;
  while (first < all.count && bytes_kept > all.at[first]->size)
    bytes_kept -= all.at[first++]->size;
  struct blocks rest = {.at = all.at + first, .count = all.count - first};
  free_all(&rest);
  return rest.sum;
}

int main(int argc, char **argv) {
  static char line[4096]; /* stdio's own would be the last block of the heap */
  setvbuf(stdout, line, _IOLBF, sizeof line);
  const char *variant = argc > 1 ? argv[1] : "part";
  uint64_t most = (uint64_t)argument(argc, argv, 2, 430) << 20;
  uint64_t freed = (uint64_t)argument(argc, argv, 3, 400) << 20;
  long seconds = argument(argc, argv, 4, 10);
  struct random random = random_from(430);
  size_t room = most / 256; /* the mean is above 500 */
  struct blocks all = {.at = must(malloc(room * sizeof *all.at))};
  for (uint64_t bytes = 0; bytes < most && all.count < room;) {
    struct block *b = block_new(random_skewed(&random, 16, 2048), all.count);
    memset(b + 1, 1, b->size - sizeof *b);
    all.at[all.count++] = b;
    bytes += b->size;
  }
  printf("%ld\n", resident_kib());

  struct block *last = block_new(64, 0);
  uint64_t sum = 0;
  if (!strcmp(variant, "part"))
    sum = free_rest(all, most - freed);
  else if (!strcmp(variant, "order"))
    sum = free_rest(all, 0);
  else if (!strcmp(variant, "threads"))
    sum = free_by_threads(all);
  else if (!strcmp(variant, "random"))
    sum = free_at_random(all);
  else
    die("idle part|order|threads|random [MIB FREED SECONDS]");

  struct timespec start;
  clock_gettime(CLOCK_MONOTONIC, &start);
  printf("%ld\n", resident_kib());
  uint64_t cpu = wait_until(start, 1);
  long soon = resident_kib();
  cpu += wait_until(start, seconds);
  long late = resident_kib();
  printf("%ld\n%ld\n%lu\n%lu\n", soon, late, sum, cpu);
  free(last);
  return 0;
}
