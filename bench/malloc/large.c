// SPDX-License-Identifier: MIT
/*
 * large [ROUNDS LIVE]: after the description of malloc-large in mimalloc's
 * benchmarks: LIVE blocks of 5 to 25 MB are replaced in random order. Each page
 * of a block is written once, as by a program that fills its buffers.
 */
#include "common.h"

enum { MB = 1000000 };

static uint64_t touch(unsigned char *p, size_t size, uint64_t tag) {
  for (size_t i = 0; i < size; i += BENCH_PAGE) p[i] = (unsigned char)tag;
  return p[0] + size;
}

int main(int argc, char **argv) {
  long rounds = argument(argc, argv, 1, 800);
  long live = argument(argc, argv, 2, 20);
  unsigned char **blocks = must(calloc((size_t)live, sizeof *blocks));
  struct random random = random_from(25);
  uint64_t sum = 0;
  for (long i = 0; i < rounds; i++) {
    size_t at = random_below(&random, (uint64_t)live);
    size_t size = random_size(&random, 5 * MB, 25 * MB);
    free(blocks[at]);
    blocks[at] = must(malloc(size));
    sum += touch(blocks[at], size, (uint64_t)i);
  }
  for (long i = 0; i < live; i++) free(blocks[i]);
  free(blocks);
  printf("large %lu\n", sum);
  return 0;
}
