// SPDX-License-Identifier: MIT
/*
 * xmalloc [PAIRS BATCHES COUNT]: one thread allocates and another frees, after
 * Lever and Boreham (malloc() Performance in a Multithreaded Linux Environment,
 * USENIX 2000). Producers put batches of COUNT blocks of a few small sizes on a
 * bounded list, consumers take them off and free them.
 */
#include "common.h"

enum { MOST_WAITING = 64 };

struct batch {
  struct batch *next;
  long count;
  struct block *blocks[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct batch *waiting;
static long waiting_count, producers_left, batches, blocks_each;

struct worker {
  uint64_t seed, sum;
  bool produces;
};

static struct batch *make(struct random *random) {
  static const uint16_t sizes[] = {16, 24, 32, 48, 64, 96, 128, 192, 256, 384};
  struct batch *b =
      must(malloc(sizeof *b + (size_t)blocks_each * sizeof(struct block *)));
  b->count = blocks_each;
  for (long i = 0; i < blocks_each; i++)
    b->blocks[i] = block_new(
        sizes[random_below(random, sizeof sizes / sizeof *sizes)], (uint64_t)i);
  return b;
}

static void put(struct batch *b) {
  pthread_mutex_lock(&lock);
  while (waiting_count >= MOST_WAITING) pthread_cond_wait(&changed, &lock);
  b->next = waiting;
  waiting = b;
  if (waiting_count++ == 0) pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

/* All that wait, or NULL when nothing comes any more. */
static struct batch *take(void) {
  pthread_mutex_lock(&lock);
  while (!waiting && producers_left > 0) pthread_cond_wait(&changed, &lock);
  struct batch *b = waiting;
  waiting = NULL;
  waiting_count = 0;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  return b;
}

static void produce(struct worker *w) {
  struct random random = random_from(w->seed);
  for (long i = 0; i < batches; i++) put(make(&random));
  pthread_mutex_lock(&lock);
  producers_left--;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

static void consume(struct worker *w) {
  struct batch *b;
  while ((b = take())) {
    while (b) {
      struct batch *next = b->next;
      for (long i = 0; i < b->count; i++) w->sum += block_free(b->blocks[i]);
      free(b);
      b = next;
    }
  }
}

static void *work(void *arg) {
  struct worker *w = arg;
  if (w->produces)
    produce(w);
  else
    consume(w);
  return NULL;
}

int main(int argc, char **argv) {
  int pairs = (int)argument(argc, argv, 1, 2);
  batches = argument(argc, argv, 2, 60000);
  blocks_each = argument(argc, argv, 3, 120);
  producers_left = pairs;

  struct worker *workers = must(calloc((size_t)pairs * 2, sizeof *workers));
  for (int i = 0; i < pairs * 2; i++) {
    workers[i].seed = (uint64_t)i;
    workers[i].produces = i % 2 == 0;
  }
  run_threads(pairs * 2, work, workers, sizeof *workers);
  uint64_t sum = 0;
  for (int i = 0; i < pairs * 2; i++) sum += workers[i].sum;
  free(workers);
  printf("xmalloc %lu\n", sum);
  return 0;
}
