// SPDX-License-Identifier: MIT
/*
 * cache_scratch [THREADS ROUNDS SIZE WRITES]: passive false sharing. The main
 * thread makes a small block for each thread, side by side; the threads free
 * them, and an allocator that gives such a block to the thread that freed it
 * leaves two threads writing to one line.
 */
#include "false_sharing.h"

int main(int argc, char **argv) {
  return false_sharing(argc, argv, "cache_scratch", true);
}
