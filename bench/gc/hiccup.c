// SPDX-License-Identifier: MIT
/*
 * bench_hiccup: what a thread that does nothing but read the clock loses while another
 * thread of its process changes the page table: what the machine takes, whatever a
 * collector does. Write tracking lives on such changes, so that a pause or an operation
 * is not shorter than these gaps.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { PAGE = 4096 };
#define BYTES ((size_t)1 << 30)
#define SECONDS 5

enum work { NOTHING, WRITES, PROTECTS, DROPS };
static const char *const names[] = {"nothing", "writes", "protects and writes",
                                    "drops and writes"};

static char *memory;
static atomic_bool stop;
static uint64_t done; /* pages */

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void touch(char *page, enum work work) {
  if (work == PROTECTS) {
    mprotect(page, PAGE, PROT_READ);
    mprotect(page, PAGE, PROT_READ | PROT_WRITE);
  } else if (work == DROPS) {
    madvise(page, PAGE, MADV_DONTNEED);
  }
  if (work != NOTHING) (*(volatile char *)page)++;
}

static void *other(void *arg) {
  uint64_t i = 0;
  for (; !stop; i++)
    touch(memory + i * 2654435761u % (BYTES / PAGE) * PAGE, *(enum work *)arg);
  done = i;
  return NULL;
}

static void measure(enum work work) {
  static const uint64_t longer_us[] = {100, 1000, 10000};
  uint64_t gaps[3] = {0}, longest = 0, last = now_ns();
  uint64_t end = last + SECONDS * 1000000000ull;
  pthread_t t;
  stop = false;
  if (pthread_create(&t, NULL, other, &work) != 0) abort();
  while (last < end) {
    uint64_t now = now_ns(), gap = now - last;
    if (gap > longest) longest = gap;
    for (int i = 0; i < 3; i++) gaps[i] += gap > longer_us[i] * 1000;
    last = now;
  }
  stop = true;
  pthread_join(t, NULL);
  printf("%-20s %8lu %8lu %8lu %10.2f %12lu\n", names[work], gaps[0], gaps[1],
         gaps[2], (double)longest / 1e6, work == NOTHING ? 0 : done / SECONDS);
}

int main(void) {
  memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  for (size_t i = 0; i < BYTES; i += PAGE) memory[i] = 1;
  printf("%-20s %8s %8s %8s %10s %12s\n", "the other thread", ">0.1 ms",
         ">1 ms", ">10 ms", "most, ms", "its pages/s");
  for (enum work w = NOTHING; w <= DROPS; w++) measure(w);
  return 0;
}
