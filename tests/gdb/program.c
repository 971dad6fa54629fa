// SPDX-License-Identifier: MIT
/* What test_gdb.py looks at: a few objects, and a function to stop in. */
#include <mallocgc.h>

struct node {
  long number;
  struct node *left, *right;
  double weight;
  char *name;
};

MGC_TYPE(struct node, left, right, name);

static struct node *root;
static char *text;
static char *large;

__attribute__((noinline)) static void stop_here(void) {
  __asm__ volatile("" : : : "memory");
}

int main(void) {
  root = mgc_newobject(mgc_typeof(struct node));
  if (!root) return 1;
  root->number = 42;
  root->left = mgc_new(struct node);
  root->right = root->left;
  text = mgc_new_noscan(100);
  large = mgc_new_noscan(100000);
  root->name = text;
  mgc_collect();
  stop_here();
  return root->left && large ? 0 : 1;
}
