// SPDX-License-Identifier: MIT
/*
 * binary_trees [DEPTH]: the binary-trees program of the Computer Language
 * Benchmarks Game (after Boehm's GCBench), one thread, 16-byte nodes: one tree
 * that stays, and many that are built, walked and dropped.
 */
#include "backend.h"

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

int main(int argc, char **argv) {
  INIT();
  const int min_depth = 4;
  int depth = (int)argument(argc, argv, 1, 20);
  int max_depth = depth < min_depth + 2 ? min_depth + 2 : depth;

  struct tree *stretch = build(max_depth + 1);
  printf("stretch tree of depth %d\t check: %ld\n", max_depth + 1,
         count(stretch));
  drop(stretch);
  stretch = NULL;

  struct tree *lasting = build(max_depth);
  for (int d = min_depth; d <= max_depth; d += 2) {
    long trees = 1l << (max_depth - d + min_depth);
    long check = 0;
    for (long i = 0; i < trees; i++) {
      struct tree *t = build(d);
      check += count(t);
      drop(t);
    }
    printf("%ld\t trees of depth %d\t check: %ld\n", trees, d, check);
  }
  printf("long lived tree of depth %d\t check: %ld\n", max_depth,
         count(lasting));
  drop(lasting);
  return 0;
}
