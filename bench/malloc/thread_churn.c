// SPDX-License-Identifier: MIT
/*
 * thread_churn [THREADS AT_ONCE COUNT]: threads that live shortly, AT_ONCE at a
 * time. Each makes COUNT small blocks, frees half of them, and leaves the rest
 * to the main thread, which frees them when the thread has ended.
 */
#include "common.h"

static long count;

struct worker {
  uint64_t sum, seed;
  struct block **left;
};

static void *work(void *arg) {
  struct worker *w = arg;
  struct random random = random_from(w->seed);
  w->left = must(calloc((size_t)count, sizeof *w->left));
  for (long i = 0; i < count; i++)
    w->left[i] = block_new(random_skewed(&random, 16, 1024), (uint64_t)i);
  for (long i = 0; i < count; i += 2) {
    w->sum += block_free(w->left[i]);
    w->left[i] = NULL;
  }
  return NULL;
}

int main(int argc, char **argv) {
  long threads = argument(argc, argv, 1, 20000);
  int at_once = (int)argument(argc, argv, 2, 2);
  count = argument(argc, argv, 3, 300);
  struct worker *workers = must(calloc((size_t)at_once, sizeof *workers));
  uint64_t sum = 0;
  for (long started = 0; started < threads; started += at_once) {
    for (int i = 0; i < at_once; i++)
      workers[i] = (struct worker){.seed = (uint64_t)(started + i)};
    run_threads(at_once, work, workers, sizeof *workers);
    for (int i = 0; i < at_once; i++) {
      sum += workers[i].sum;
      for (long j = 0; j < count; j++) sum += block_free(workers[i].left[j]);
      free(workers[i].left);
    }
  }
  free(workers);
  printf("thread_churn %lu\n", sum);
  return 0;
}
