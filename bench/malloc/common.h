// SPDX-License-Identifier: MIT
/*
 * What the small malloc benchmarks share. Each is a program of its own that
 * calls only the C library's malloc family, so that LD_PRELOAD decides what it
 * measures. The work is fixed by the arguments: random numbers come from seeds,
 * threads do a given number of operations, and what a program prints depends on
 * neither time, addresses nor the order in which threads ran. A runner can thus
 * compare the output under two allocators.
 */
#ifndef MGC_BENCH_MALLOC_COMMON_H
#define MGC_BENCH_MALLOC_COMMON_H

#include "../input.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BENCH_PAGE = 4096 };

static inline _Noreturn void die(const char *why) {
  fprintf(stderr, "%s\n", why);
  exit(1);
}

static inline void *must(void *p) {
  if (__builtin_expect(p == NULL, 0)) die("out of memory");
  return p;
}

static inline struct random random_from(uint64_t seed) {
  return (struct random){(seed + 1) * 0x9E3779B97F4A7C15u};
}

/* lo to hi, inclusive, each size as likely as any other. */
static inline size_t random_size(struct random *r, size_t lo, size_t hi) {
  return lo + random_below(r, hi - lo + 1);
}

/* lo to hi, each power of two as likely as any other: mostly small. */
static inline size_t random_skewed(struct random *r, size_t lo, size_t hi) {
  unsigned doublings = 0;
  while ((lo << (doublings + 1)) <= hi) doublings++;
  size_t base = lo << random_below(r, doublings + 1);
  size_t size = base + random_below(r, base);
  return size > hi ? hi : size;
}

/*
 * A block that knows what it is: its size and a tag are written at its
 * beginning, a byte at its end and one in each page, and block_free adds up
 * what it finds there. Two owners of one block would give a wrong sum.
 */
struct block {
  uint32_t size, tag;
};

static inline unsigned char *block_last(struct block *b) {
  return (unsigned char *)b + b->size - 1;
}

static inline void block_init(struct block *b, size_t size, uint64_t tag) {
  for (size_t at = BENCH_PAGE; at < size; at += BENCH_PAGE)
    ((volatile unsigned char *)b)[at] = (unsigned char)at;
  b->size = (uint32_t)size;
  b->tag = (uint32_t)tag;
  if (size > sizeof *b) *block_last(b) = (unsigned char)tag;
}

static inline struct block *block_new(size_t size, uint64_t tag) {
  if (size < sizeof(struct block)) size = sizeof(struct block);
  struct block *b = must(malloc(size));
  block_init(b, size, tag);
  return b;
}

static inline uint64_t block_sum(struct block *b) {
  uint64_t sum = b->size + b->tag;
  if (b->size > sizeof *b) sum += *block_last(b) == (unsigned char)b->tag;
  return sum;
}

static inline uint64_t block_free(struct block *b) {
  if (!b) return 0;
  uint64_t sum = block_sum(b);
  free(b);
  return sum;
}

static inline pthread_t thread_start(void *(*body)(void *), void *arg) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, body, arg)) die("cannot start a thread");
  return thread;
}

/* Runs body on n elements of args (each size bytes), a thread each. */
static inline void run_threads(int n, void *(*body)(void *), void *args,
                               size_t size) {
  pthread_t *threads = must(calloc((size_t)n, sizeof *threads));
  for (int i = 0; i < n; i++)
    threads[i] = thread_start(body, (char *)args + (size_t)i * size);
  for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
  free(threads);
}

#endif
