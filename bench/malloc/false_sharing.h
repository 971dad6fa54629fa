// SPDX-License-Identifier: MIT
/*
 * What cache_scratch and cache_thrash have in common, after Berger, McKinley,
 * Blumofe and Wilson (Hoard, ASPLOS 2000): threads that write much into small
 * blocks of their own, which is slow when two threads' blocks share a cache
 * line.
 */
#ifndef MGC_BENCH_MALLOC_FALSE_SHARING_H
#define MGC_BENCH_MALLOC_FALSE_SHARING_H

#include "common.h"

struct scribbler {
  uint64_t sum;
  unsigned char *given; /* from the main thread, or NULL */
  size_t size;
  long rounds, writes;
};

static inline uint64_t scribble(volatile unsigned char *p, size_t size,
                                long writes) {
  for (size_t i = 0; i < size; i++) p[i] = (unsigned char)i;
  for (long w = 0; w < writes; w++)
    for (size_t i = 0; i < size; i++) p[i] = (unsigned char)(p[i] + 1);
  return p[size - 1];
}

static void *scribbler_run(void *arg) {
  struct scribbler *s = arg;
  if (s->given) {
    s->sum += scribble(s->given, s->size, s->writes);
    free(s->given);
  }
  for (long i = 0; i < s->rounds; i++) {
    unsigned char *p = must(malloc(s->size));
    s->sum += scribble(p, s->size, s->writes);
    free(p);
  }
  return NULL;
}

/* Arguments: [THREADS ROUNDS SIZE WRITES]. */
static inline int false_sharing(int argc, char **argv, const char *name,
                                bool gives) {
  int threads = (int)argument(argc, argv, 1, 2);
  struct scribbler model = {.rounds = argument(argc, argv, 2, 2000),
                            .size = (size_t)argument(argc, argv, 3, 8),
                            .writes = argument(argc, argv, 4, 50000)};
  struct scribbler *all = must(calloc((size_t)threads, sizeof *all));
  for (int i = 0; i < threads; i++) {
    all[i] = model;
    if (gives) all[i].given = must(malloc(model.size));
  }
  run_threads(threads, scribbler_run, all, sizeof *all);
  uint64_t sum = 0;
  for (int i = 0; i < threads; i++) sum += all[i].sum;
  free(all);
  printf("%s %lu\n", name, sum);
  return 0;
}

#endif
