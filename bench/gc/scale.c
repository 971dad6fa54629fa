// SPDX-License-Identifier: MIT
/*
 * scale [THREADS OPERATIONS KEPT]: every thread makes OPERATIONS records of 32 bytes
 * with a text of 16 to 256 bytes, each in the place of one of the KEPT that it keeps. The
 * work of a thread is the same however many there are, so where allocation scales, the
 * time does not change up to as many threads as processors.
 */
#include "program.h"

#include <pthread.h>

enum { SHORTEST = 16, LONGEST = 256, MOST_THREADS = 1024 };

struct record {
  unsigned char *text;
  uint64_t length, number, seed;
};
POINTERS(struct record, text);

struct place {
  struct record *record;
};
POINTERS(struct place, record);

struct worker {
  pthread_t thread;
  uint64_t seed, operations, kept, sum;
};

static struct record *new_record(struct random *random, uint64_t number) {
  size_t n = SHORTEST + random_below(random, LONGEST - SHORTEST + 1);
  struct record *r = must(NEW(struct record));
  r->text = NULL;
  r->length = n;
  r->number = number;
  r->seed = random->state;
  r->text = must(NEW_NOSCAN(n));
  pattern_fill(r->text, n, number);
  return r;
}

static uint64_t drop(struct record *r) {
  if (!r) return 0;
  uint64_t sum = r->number + r->length + r->text[r->length - 1];
  FREE(r->text);
  FREE(r);
  return sum;
}

static void *work(void *arg) {
  struct worker *w = arg;
  struct random random = {w->seed};
  struct place *places = must(NEW_ARRAY(struct place, w->kept));
  for (uint64_t i = 0; i < w->operations; i++) {
    struct place *p = &places[random_below(&random, w->kept)];
    struct record *r = new_record(&random, i);
    w->sum += drop(p->record);
    STORE(&p->record, r);
  }
  use(places);
#if !COLLECTED
  for (uint64_t i = 0; i < w->kept; i++) drop(places[i].record);
#endif
  FREE(places);
  return NULL;
}

int main(int argc, char **argv) {
  static struct worker workers[MOST_THREADS];
  uint64_t threads = argument_u64(argc, argv, 1, 2);
  uint64_t operations = argument_u64(argc, argv, 2, 10000000);
  uint64_t kept = argument_u64(argc, argv, 3, 100000);
  uint64_t sum = 0;
  report_begin();
  pattern_init();
  if (threads > MOST_THREADS) threads = MOST_THREADS;
  for (uint64_t i = 0; i < threads; i++) {
    workers[i] =
        (struct worker){.seed = i, .operations = operations, .kept = kept};
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) return 1;
  }
  for (uint64_t i = 0; i < threads; i++) {
    pthread_join(workers[i].thread, NULL);
    sum += workers[i].sum;
  }
  report_end(sum, NULL);
  return 0;
}
