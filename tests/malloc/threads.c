// SPDX-License-Identifier: MIT
/*
 * threads turn   10,000 threads one after another: what one leaves, the next ones
 *                use, so memory is the same after 1,000 and after 10,000
 * threads once   1,000 threads at once, that free what others allocated
 */
#include "check.h"
#include <pthread.h>

enum { BLOCKS = 60 };

static size_t size_of(unsigned i) {
  return i % 30 == 29 ? 70000 : i % 10 == 9 ? 5000 : i * 8 % 500 + 1;
}

static pthread_attr_t small_stack(void) {
  pthread_attr_t a;
  pthread_attr_init(&a);
  pthread_attr_setstacksize(&a, 64 << 10);
  return a;
}

/* --- in turn --- */

static void *kept[BLOCKS]; /* of the thread that has ended; main frees them */

static void *short_thread(void *arg) {
  unsigned char *p[BLOCKS];
  (void)arg;
  for (unsigned i = 0; i < BLOCKS; i++) {
    p[i] = malloc(size_of(i));
    memset(p[i], 1, size_of(i));
  }
  for (unsigned i = 0; i < BLOCKS; i++)
    if (i % 2)
      free(p[i]);
    else
      kept[i] = p[i];
  return NULL;
}

static void in_turn(void) {
  enum { FIRST = 1000, ALL = 10000, MAY_GROW = 1 << 20 };
  pthread_attr_t a = small_stack();
  long after_first = 0;
  for (int n = 1; n <= ALL; n++) {
    pthread_t t;
    if (pthread_create(&t, &a, short_thread, NULL) != 0) {
      CHECK(false, "thread %d", n);
      return;
    }
    pthread_join(t, NULL);
    for (unsigned i = 0; i < BLOCKS; i += 2) free(kept[i]);
    if (n == FIRST) after_first = check_resident();
  }
  long after_all = check_resident();
  printf("resident after %d threads: %ld KiB, after %d: %ld KiB\n", FIRST,
         after_first >> 10, ALL, after_all >> 10);
  CHECK(after_all < after_first + MAY_GROW, "%ld, then %ld", after_first,
        after_all);
}

/* --- at once --- */

enum { THREADS = 1000 };
static pthread_barrier_t barrier;
static unsigned char *blocks[THREADS][BLOCKS];

static void *long_thread(void *arg) {
  uintptr_t me = (uintptr_t)arg, other = (me + 1) % THREADS;
  for (unsigned i = 0; i < BLOCKS; i++) {
    size_t n = i % 50 == 49 ? 9000 : i * 8 + 1;
    blocks[me][i] = malloc(n);
    CHECK(blocks[me][i], "thread %zu", (size_t)me);
    memset(blocks[me][i], (int)(me + i), n);
  }
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier); /* main has looked */
  for (unsigned i = 0; i < BLOCKS; i++) {
    CHECK(blocks[other][i][0] == (unsigned char)(other + i), "of %zu",
          (size_t)other);
    free(blocks[other][i]);
  }
  free(malloc(100));
  return NULL;
}

static void at_once(void) {
  /* 16 KiB of objects a thread, in 60 sizes, and its stack. */
  enum { MAY_USE = 400 << 10 };
  static pthread_t t[THREADS];
  pthread_attr_t a = small_stack();
  pthread_barrier_init(&barrier, NULL, THREADS + 1);
  long before = check_resident();
  for (uintptr_t i = 0; i < THREADS; i++)
    if (pthread_create(&t[i], &a, long_thread, (void *)i) != 0) {
      CHECK(false, "thread %zu", (size_t)i);
      exit(1);
    }
  pthread_barrier_wait(&barrier);
  long with = check_resident();
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  printf("resident: %ld KiB a thread\n", (with - before) / THREADS >> 10);
  CHECK((with - before) / THREADS < MAY_USE, "%ld", (with - before) / THREADS);
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  check_begin();
  if (strcmp(argv[1], "turn") == 0)
    in_turn();
  else
    at_once();
  return check_end();
}
