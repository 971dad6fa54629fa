// SPDX-License-Identifier: MIT
/*
 * mstress [THREADS ITERATIONS SCALE]: a random mix after the description of
 * mimalloc's stress test. In each iteration new threads are started, as
 * a server without a pool would. Each makes blocks of which some die at once,
 * some when the thread ends, and some are exchanged with those in a table that
 * all threads share and that outlives them. Most are small, some are not.
 */
#include "common.h"

enum { SHARED = 1000, RETAIN_PERCENT = 10, BURST = 100 };

static struct block *shared[SHARED];
static long scale;

struct worker {
  uint64_t sum, seed;
};

static struct block *make(struct random *random) {
  uint64_t tag = random_next(random);
  if (tag % 4096 == 0)
    return block_new(random_size(random, 65536, 524288), tag);
  if (tag % 64 == 0) return block_new(random_size(random, 2048, 32768), tag);
  return block_new(8 * random_size(random, 1, 48), tag);
}

static void *work(void *arg) {
  struct worker *w = arg;
  struct random random = random_from(w->seed);
  struct block **kept = NULL;
  size_t kept_count = 0, kept_room = 0;
  for (long i = 0; i < scale; i++) {
    struct block *passing[BURST];
    for (int j = 0; j < BURST; j++) passing[j] = make(&random);
    for (int j = 0; j < BURST; j++) {
      uint64_t fate = random_below(&random, 100);
      if (fate < RETAIN_PERCENT) {
        if (kept_count == kept_room) {
          kept_room = kept_room ? kept_room * 2 : 16;
          kept = must(realloc(kept, kept_room * sizeof(struct block *)));
        }
        kept[kept_count++] = passing[j];
      } else if (fate < 2 * RETAIN_PERCENT) {
        size_t at = random_below(&random, SHARED);
        w->sum += block_free(
            __atomic_exchange_n(&shared[at], passing[j], __ATOMIC_ACQ_REL));
      } else {
        w->sum += block_free(passing[j]);
      }
    }
  }
  for (size_t i = 0; i < kept_count; i++) w->sum += block_free(kept[i]);
  free(kept);
  return NULL;
}

int main(int argc, char **argv) {
  int threads = (int)argument(argc, argv, 1, 8);
  long iterations = argument(argc, argv, 2, 80);
  scale = argument(argc, argv, 3, 300);
  uint64_t sum = 0;
  struct worker *workers = must(calloc((size_t)threads, sizeof *workers));
  for (long i = 0; i < iterations; i++) {
    for (int t = 0; t < threads; t++)
      workers[t] = (struct worker){.seed = (uint64_t)(i * threads + t)};
    run_threads(threads, work, workers, sizeof *workers);
    for (int t = 0; t < threads; t++) sum += workers[t].sum;
    /* Half of the table goes from time to time. */
    if (i % 8 == 7)
      for (int j = 0; j < SHARED; j += 2) {
        sum += block_free(shared[j]);
        shared[j] = NULL;
      }
  }
  for (int j = 0; j < SHARED; j++) sum += block_free(shared[j]);
  free(workers);
  printf("mstress %lu\n", sum);
  return 0;
}
