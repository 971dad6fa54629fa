// SPDX-License-Identifier: MIT
/*
 * rptest [THREADS ROUNDS SLOTS OPS MAX]: a random mix after the description of
 * rpmalloc's benchmark: each thread keeps SLOTS blocks of 16 to MAX bytes,
 * small ones more often, and replaces them in random order; now and then it
 * leaves a batch of blocks for any other thread and frees one that was left for
 * it. Blocks are freed in bulk at the end of a round.
 */
#include "common.h"

enum { BATCH = 64, OPS_PER_BATCH = 1024, CROSSINGS = 32 };

struct batch {
  struct block *blocks[BATCH];
};

static long rounds, slots, ops;
static size_t largest;
static struct batch *crossing[CROSSINGS]; /* exchanged atomically */

struct worker {
  uint64_t sum, seed;
};

static uint64_t batch_free(struct batch *b) {
  uint64_t sum = 0;
  if (!b) return 0;
  for (int i = 0; i < BATCH; i++) sum += block_free(b->blocks[i]);
  free(b);
  return sum;
}

static uint64_t cross(struct random *random) {
  struct batch *b = must(malloc(sizeof *b));
  for (int i = 0; i < BATCH; i++)
    b->blocks[i] = block_new(random_skewed(random, 16, largest), (uint64_t)i);
  size_t at = random_below(random, CROSSINGS);
  return batch_free(__atomic_exchange_n(&crossing[at], b, __ATOMIC_ACQ_REL));
}

static void *work(void *arg) {
  struct worker *w = arg;
  struct random random = random_from(w->seed);
  struct block **held = must(calloc((size_t)slots, sizeof *held));
  for (long round = 0; round < rounds; round++) {
    for (long i = 0; i < ops; i++) {
      size_t at = random_below(&random, (uint64_t)slots);
      w->sum += block_free(held[at]);
      held[at] = block_new(random_skewed(&random, 16, largest), (uint64_t)i);
      if (i % OPS_PER_BATCH == 0) w->sum += cross(&random);
    }
    for (long i = 0; i < slots; i++) {
      w->sum += block_free(held[i]);
      held[i] = NULL;
    }
  }
  free(held);
  return NULL;
}

int main(int argc, char **argv) {
  int threads = (int)argument(argc, argv, 1, 4);
  rounds = argument(argc, argv, 2, 20);
  slots = argument(argc, argv, 3, 8000);
  ops = argument(argc, argv, 4, 100000);
  largest = (size_t)argument(argc, argv, 5, 16000);
  struct worker *workers = must(calloc((size_t)threads, sizeof *workers));
  for (int i = 0; i < threads; i++) workers[i].seed = (uint64_t)i;
  run_threads(threads, work, workers, sizeof *workers);
  uint64_t sum = 0;
  for (int i = 0; i < threads; i++) sum += workers[i].sum;
  for (int i = 0; i < CROSSINGS; i++) sum += batch_free(crossing[i]);
  free(workers);
  printf("rptest %lu\n", sum);
  return 0;
}
