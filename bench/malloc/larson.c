// SPDX-License-Identifier: MIT
/*
 * larson [THREADS BLOCKS ROUNDS OPS MIN MAX]: a server after Larson and
 * Krishnan (ISMM 1998). Each thread replaces random blocks of its array by new
 * ones of random sizes; after OPS of them it hands the array to a new thread
 * and ends, so that a block is mostly freed by another thread than made it,
 * which is gone by then.
 */
#include "common.h"

#include <semaphore.h>

static long blocks_each, ops_each, rounds;
static size_t smallest, largest;
static sem_t ended;

struct lineage {
  struct block **blocks;
  struct random random;
  uint64_t sum;
  long rounds_left;
};

static void *serve(void *arg) {
  struct lineage *l = arg;
  for (long i = 0; i < ops_each; i++) {
    size_t at = random_below(&l->random, (uint64_t)blocks_each);
    l->sum += block_free(l->blocks[at]);
    l->blocks[at] =
        block_new(random_size(&l->random, smallest, largest), (uint64_t)i);
  }
  if (--l->rounds_left > 0)
    pthread_detach(thread_start(serve, l));
  else
    sem_post(&ended);
  return NULL;
}

static void start(struct lineage *l, uint64_t seed) {
  l->random = random_from(seed);
  l->sum = 0;
  l->rounds_left = rounds;
  l->blocks = must(malloc((size_t)blocks_each * sizeof *l->blocks));
  for (long i = 0; i < blocks_each; i++)
    l->blocks[i] =
        block_new(random_size(&l->random, smallest, largest), (uint64_t)i);
  pthread_detach(thread_start(serve, l));
}

int main(int argc, char **argv) {
  int threads = (int)argument(argc, argv, 1, 4);
  blocks_each = argument(argc, argv, 2, 5000);
  rounds = argument(argc, argv, 3, 150);
  ops_each = argument(argc, argv, 4, 50000);
  smallest = (size_t)argument(argc, argv, 5, 8);
  largest = (size_t)argument(argc, argv, 6, 1000);
  sem_init(&ended, 0, 0);

  struct lineage *all = must(calloc((size_t)threads, sizeof *all));
  for (int i = 0; i < threads; i++) start(&all[i], (uint64_t)i);
  for (int i = 0; i < threads; i++) {
    while (sem_wait(&ended)) continue;
  }
  uint64_t sum = 0;
  for (int i = 0; i < threads; i++) {
    sum += all[i].sum;
    for (long j = 0; j < blocks_each; j++) sum += block_free(all[i].blocks[j]);
    free(all[i].blocks);
  }
  free(all);
  printf("larson %lu\n", sum);
  return 0;
}
