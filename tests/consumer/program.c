// SPDX-License-Identifier: MIT
/* A program as a user writes one: typed objects, a collection, statistics. */
#include <mallocgc.h>
#include <stdio.h>

struct node {
  struct node *left, *right;
  long value;
};
MGC_TYPE(struct node, left, right, MGC_PLAIN(value));

static struct node *tree(int depth) {
  struct node *n = mgc_new(struct node);
  if (!n) return NULL;
  n->value = depth;
  if (depth > 0) {
    n->left = tree(depth - 1);
    n->right = tree(depth - 1);
  }
  return n;
}

static long count(const struct node *n) {
  return n ? 1 + count(n->left) + count(n->right) : 0;
}

int main(void) {
  struct node *root = tree(12);
  mgc_collect();
  struct mgc_memstats stats;
  mgc_read_memstats(&stats);
  long nodes = count(root);
  printf("mallocgc %s: %ld nodes, %llu objects, %u collections\n",
         mgc_version(), nodes, (unsigned long long)stats.heap_objects,
         stats.num_gc);
  return nodes == 8191 && stats.heap_objects >= 8191 && stats.num_gc >= 1 ? 0
                                                                          : 1;
}
