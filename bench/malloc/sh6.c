// SPDX-License-Identifier: MIT
/*
 * sh6 [ROUNDS COUNT]: the pattern of MicroQuill's sh6bench as it is described:
 * small blocks of many sizes in bursts of one size, freed partly last made
 * first freed, partly first made first freed; some outlive the round.
 */
#include "common.h"

static const uint16_t sizes[] = {8,   12,  24,  40,  56,  80,  120, 160,
                                 216, 296, 400, 512, 640, 776, 888, 1000};
enum { SIZES = sizeof sizes / sizeof *sizes, KEEP_ONE_IN = 16 };

int main(int argc, char **argv) {
  long rounds = argument(argc, argv, 1, 6000);
  long count = argument(argc, argv, 2, 2000);
  long most = count * SIZES;
  struct block **now = must(calloc((size_t)most, sizeof *now));
  struct block **kept = must(calloc((size_t)most, sizeof *kept));
  struct random random = random_from(6);
  uint64_t sum = 0;
  long kept_count = 0;

  for (long round = 0; round < rounds; round++) {
    long n = 0;
    for (int s = 0; s < SIZES; s++) {
      /* Smaller ones are more frequent. */
      long burst = count / (s + 1) + (long)random_below(&random, 8);
      for (long i = 0; i < burst && n < most; i++)
        now[n++] = block_new(sizes[s], (uint64_t)(round + i));
    }
    for (long i = 0; i < kept_count; i++) sum += block_free(kept[i]);
    kept_count = 0;
    /* The first half in order, the second half backwards. */
    for (long i = 0; i < n / 2; i++) {
      if (i % KEEP_ONE_IN == 0)
        kept[kept_count++] = now[i];
      else
        sum += block_free(now[i]);
    }
    for (long i = n - 1; i >= n / 2; i--) {
      if (i % KEEP_ONE_IN == 0)
        kept[kept_count++] = now[i];
      else
        sum += block_free(now[i]);
    }
  }
  for (long i = 0; i < kept_count; i++) sum += block_free(kept[i]);
  free(now);
  free(kept);
  printf("sh6 %lu\n", sum);
  return 0;
}
