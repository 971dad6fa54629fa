// SPDX-License-Identifier: MIT
/*
 * thousand [THREADS COUNT ROUNDS GENERATIONS]: a thousand threads at once with
 * small objects: each holds COUNT blocks of 16 to 256 bytes, and waits for all
 * the others while it does, so that they are all in memory together. They
 * replace their blocks ROUNDS times, and end; then come the next thousand.
 */
#include "common.h"

static long count, rounds;
static pthread_barrier_t barrier;

struct worker {
  uint64_t sum, seed;
};

static void *work(void *arg) {
  struct worker *w = arg;
  struct random random = random_from(w->seed);
  struct block **held = must(calloc((size_t)count, sizeof *held));
  for (long round = 0; round < rounds; round++) {
    for (long i = 0; i < count; i++) {
      w->sum += block_free(held[i]);
      held[i] = block_new(random_size(&random, 16, 256), (uint64_t)i);
    }
    pthread_barrier_wait(&barrier);
  }
  for (long i = 0; i < count; i++) w->sum += block_free(held[i]);
  free(held);
  return NULL;
}

int main(int argc, char **argv) {
  int threads = (int)argument(argc, argv, 1, 1000);
  count = argument(argc, argv, 2, 100);
  rounds = argument(argc, argv, 3, 10);
  long generations = argument(argc, argv, 4, 3);
  pthread_barrier_init(&barrier, NULL, (unsigned)threads);
  struct worker *workers = must(calloc((size_t)threads, sizeof *workers));
  uint64_t sum = 0;
  for (long g = 0; g < generations; g++) {
    for (int i = 0; i < threads; i++)
      workers[i] = (struct worker){.seed = (uint64_t)(g * threads + i)};
    run_threads(threads, work, workers, sizeof *workers);
    for (int i = 0; i < threads; i++) sum += workers[i].sum;
  }
  free(workers);
  printf("thousand %lu\n", sum);
  return 0;
}
