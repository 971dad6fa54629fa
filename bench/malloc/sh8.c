// SPDX-License-Identifier: MIT
/*
 * sh8 [THREADS ROUNDS COUNT]: the pattern of MicroQuill's sh8bench as it is
 * described: as sh6 in several threads, and part of each round's blocks go to
 * the next thread, which frees them, some in reverse.
 */
#include "common.h"

static const uint16_t sizes[] = {8,   16,  32,  48,  64, 96,
                                 144, 208, 288, 400, 600};
enum { SIZES = sizeof sizes / sizeof *sizes };

static long rounds, count;
static int threads;
static pthread_barrier_t barrier;

struct worker {
  uint64_t sum;
  int number;
  long passed;
  struct block **own, **given; /* given: what the next thread is to free */
};

static struct worker *workers;

static void one_round(struct worker *w, struct random *random, long round) {
  long n = 0;
  while (n < count) {
    uint16_t size = sizes[random_below(random, SIZES)];
    long burst = 1 + (long)random_below(random, 64);
    for (long i = 0; i < burst && n < count; i++)
      w->own[n++] = block_new(size, (uint64_t)(round + i));
  }
  w->passed = 0;
  for (long i = 0; i < n; i += 4) {
    w->given[w->passed++] = w->own[i];
    w->own[i] = NULL;
  }
  for (long i = 0; i < n / 2; i++) w->sum += block_free(w->own[i]);
  for (long i = n - 1; i >= n / 2; i--) w->sum += block_free(w->own[i]);
}

static void *work(void *arg) {
  struct worker *w = arg;
  struct random random = random_from((uint64_t)w->number);
  const struct worker *from = &workers[(w->number + 1) % threads];
  for (long round = 0; round < rounds; round++) {
    one_round(w, &random, round);
    pthread_barrier_wait(&barrier);
    for (long i = from->passed - 1; i >= 0; i--)
      w->sum += block_free(from->given[i]);
    pthread_barrier_wait(&barrier);
  }
  return NULL;
}

int main(int argc, char **argv) {
  threads = (int)argument(argc, argv, 1, 2);
  rounds = argument(argc, argv, 2, 600);
  count = argument(argc, argv, 3, 20000);
  pthread_barrier_init(&barrier, NULL, (unsigned)threads);
  workers = must(calloc((size_t)threads, sizeof *workers));
  for (int i = 0; i < threads; i++) {
    workers[i].number = i;
    workers[i].own = must(calloc((size_t)count, sizeof(struct block *)));
    workers[i].given = must(calloc((size_t)count, sizeof(struct block *)));
  }
  run_threads(threads, work, workers, sizeof *workers);
  uint64_t sum = 0;
  for (int i = 0; i < threads; i++) {
    sum += workers[i].sum;
    free(workers[i].own);
    free(workers[i].given);
  }
  free(workers);
  printf("sh8 %lu\n", sum);
  return 0;
}
