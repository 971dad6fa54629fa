// SPDX-License-Identifier: MIT
/*
 * gcbench [SCALE]: John Ellis's and Pete Kovac's benchmark in the form that Hans
 * Boehm published, written anew. Complete binary trees of several depths are
 * built from the leaves up and from the root down, while a tree and an array of
 * doubles stay alive. SCALE repeats the middle part (1).
 */
#include "report.h"

enum {
  STRETCH_DEPTH = 18,    /* about 24 MB */
  LASTING_DEPTH = 16,    /* about 4 MB */
  ARRAY_LENGTH = 500000, /* 4 MB without pointers */
  MIN_DEPTH = 4,
  MAX_DEPTH = 16
};

struct node {
  struct node *left, *right;
  int i, j;
};

POINTERS(struct node, left, right);

static long tree_size(int depth) { return (1l << (depth + 1)) - 1; }

/* As many trees as make twice the stretch tree's nodes. */
static long tree_count(int depth) {
  return 2 * tree_size(STRETCH_DEPTH) / tree_size(depth);
}

static struct node *new_node(struct node *left, struct node *right) {
  struct node *n = must(NEW(struct node));
  n->left = left;
  n->right = right;
  n->i = n->j = 0;
  return n;
}

static struct node *build_up(int depth) {
  if (depth <= 0) return new_node(NULL, NULL);
  struct node *left = build_up(depth - 1);
  return new_node(left, build_up(depth - 1));
}

static void build_down(int depth, struct node *n) {
  if (depth <= 0) return;
  n->left = new_node(NULL, NULL);
  n->right = new_node(NULL, NULL);
  build_down(depth - 1, n->left);
  build_down(depth - 1, n->right);
}

static void drop(struct node *n) {
#if !COLLECTED
  if (n->left) drop(n->left);
  if (n->right) drop(n->right);
#endif
  FREE(n);
}

static long count(const struct node *n) {
  return n ? 1 + count(n->left) + count(n->right) : 0;
}

static void construct(int depth) {
  long n = tree_count(depth);
  uint64_t start = now_ns();
  for (long i = 0; i < n; i++) {
    struct node *t = new_node(NULL, NULL);
    build_down(depth, t);
    drop(t);
  }
  uint64_t middle = now_ns();
  for (long i = 0; i < n; i++) drop(build_up(depth));
  fprintf(stderr, "%ld trees of depth %d: down %llu ms, up %llu ms\n", n, depth,
          (unsigned long long)(middle - start) / 1000000,
          (unsigned long long)(now_ns() - middle) / 1000000);
}

int main(int argc, char **argv) {
  report_begin();
  long scale = argument(argc, argv, 1, 1);
  drop(build_up(STRETCH_DEPTH));

  struct node *lasting = new_node(NULL, NULL);
  build_down(LASTING_DEPTH, lasting);
  double *array = must(NEW_NOSCAN(ARRAY_LENGTH * sizeof(double)));
  for (int i = 0; i < ARRAY_LENGTH / 2; i++) array[i] = 1.0 / (i + 1);

  for (long s = 0; s < scale; s++) {
    for (int d = MIN_DEPTH; d <= MAX_DEPTH; d += 2) construct(d);
  }
  if (array[1000] != 1.0 / 1001 || !lasting->left) {
    fprintf(stderr, "gcbench: what should stay is damaged\n");
    return 1;
  }
  uint64_t sum = (uint64_t)(count(lasting) + scale);
  drop(lasting);
  FREE(array);
  report_end(sum, NULL);
  return 0;
}
