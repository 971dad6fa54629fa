// SPDX-License-Identifier: MIT
/*
 * count_pair SIZE COUNT: COUNT times a malloc of SIZE bytes and its free, and
 * nothing else. The difference of two lengths under callgrind, divided by the
 * difference of the counts, is the number of instructions of a pair, with the
 * loop's and the PLT's.
 */
#include "common.h"

int main(int argc, char **argv) {
  size_t size = (size_t)argument(argc, argv, 1, 64);
  long count = argument(argc, argv, 2, 100000);
  uint64_t sum = 0;
  for (long i = 0; i < count; i++) {
    volatile unsigned char *p = malloc(size);
    p[0] = (unsigned char)i;
    sum += p[0];
    free((void *)p);
  }
  printf("count_pair %lu\n", sum);
  return 0;
}
