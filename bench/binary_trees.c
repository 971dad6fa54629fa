// SPDX-License-Identifier: MIT
/*
 * binary_trees [DEPTH THREADS]: the binary-trees program of the Computer Language
 * Benchmarks Game (after Boehm's GCBench), 16-byte nodes: one tree that stays, and
 * many that are built, walked and dropped, by THREADS threads (1).
 */
#include "report.h"

#include <pthread.h>

enum { MOST_THREADS = 64 };

struct tree {
  struct tree *left, *right;
};

POINTERS(struct tree, left, right);

static struct tree *build(int depth) {
  struct tree *t = must(NEW(struct tree));
  if (depth == 0) {
    t->left = t->right = NULL;
    return t;
  }
  t->left = build(depth - 1);
  t->right = build(depth - 1);
  return t;
}

static long count(const struct tree *t) {
  return t->left ? 1 + count(t->left) + count(t->right) : 1;
}

static void drop(struct tree *t) {
#if !COLLECTED
  if (t->left) {
    drop(t->left);
    drop(t->right);
  }
#endif
  FREE(t);
}

struct worker {
  pthread_t thread;
  int depth;
  long trees, check;
};

static void *work(void *arg) {
  struct worker *w = arg;
  for (long i = 0; i < w->trees; i++) {
    struct tree *t = build(w->depth);
    w->check += count(t);
    drop(t);
  }
  return NULL;
}

/* The sum of the checks of so many trees, shared among the threads. */
static long many(long trees, int depth, long threads) {
  static struct worker workers[MOST_THREADS];
  long check = 0;
  for (long i = 0; i < threads; i++) {
    long share = trees / threads + (i < trees % threads);
    workers[i] = (struct worker){.depth = depth, .trees = share};
    if (i == threads - 1)
      work(&workers[i]);
    else if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
      exit(1);
  }
  for (long i = 0; i < threads; i++) {
    if (i < threads - 1) pthread_join(workers[i].thread, NULL);
    check += workers[i].check;
  }
  return check;
}

int main(int argc, char **argv) {
  const int min_depth = 4;
  int depth = (int)argument(argc, argv, 1, 20);
  long threads = argument(argc, argv, 2, 1);
  int max_depth = depth < min_depth + 2 ? min_depth + 2 : depth;
  uint64_t sum = 0;
  report_begin();
  if (threads < 1 || threads > MOST_THREADS) return 1;

  struct tree *stretch = build(max_depth + 1);
  printf("stretch tree of depth %d\t check: %ld\n", max_depth + 1,
         count(stretch));
  drop(stretch);
  stretch = NULL;

  struct tree *lasting = build(max_depth);
  for (int d = min_depth; d <= max_depth; d += 2) {
    long trees = 1l << (max_depth - d + min_depth);
    long check = many(trees, d, threads);
    printf("%ld\t trees of depth %d\t check: %ld\n", trees, d, check);
    sum += (uint64_t)check;
  }
  printf("long lived tree of depth %d\t check: %ld\n", max_depth,
         count(lasting));
  drop(lasting);
  report_end(sum, NULL);
  return 0;
}
