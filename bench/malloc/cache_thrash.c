// SPDX-License-Identifier: MIT
/*
 * cache_thrash [THREADS ROUNDS SIZE WRITES]: active false sharing. The threads
 * allocate small blocks of their own; an allocator that serves them from one
 * place puts two threads' blocks on one line.
 */
#include "false_sharing.h"

int main(int argc, char **argv) {
  return false_sharing(argc, argv, "cache_thrash", false);
}
