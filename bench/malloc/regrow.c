// SPDX-License-Identifier: MIT
/*
 * regrow [MIB CYCLES]: fragmentation, then growth. The heap grows to MIB of
 * blocks of one range of sizes, nine blocks in ten are freed at random, and it
 * grows again with blocks of another range: what was freed is of use only where
 * whole spans came free, or where sizes fit. Peak memory is what to look at.
 */
#include "common.h"

static const struct {
  uint16_t smallest, largest;
} phases[] = {{16, 64}, {200, 1500}, {48, 160}, {2000, 9000}, {96, 400}};
enum { PHASES = sizeof phases / sizeof *phases };

int main(int argc, char **argv) {
  uint64_t most = (uint64_t)argument(argc, argv, 1, 64) << 20;
  long cycles = argument(argc, argv, 2, 2);
  size_t room = most / phases[0].smallest;
  struct block **live = must(malloc(room * sizeof *live));
  size_t n = 0;
  uint64_t bytes = 0, sum = 0;
  struct random random = random_from(10);
  for (long phase = 0; phase < cycles * PHASES; phase++) {
    size_t lo = phases[phase % PHASES].smallest;
    size_t hi = phases[phase % PHASES].largest;
    while (bytes < most && n < room) {
      live[n] = block_new(random_size(&random, lo, hi), n);
      bytes += live[n++]->size;
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
      if (random_below(&random, 10) == 0) {
        live[kept++] = live[i];
      } else {
        bytes -= live[i]->size;
        sum += block_free(live[i]);
      }
    }
    n = kept;
  }
  for (size_t i = 0; i < n; i++) sum += block_free(live[i]);
  free(live);
  printf("regrow %lu\n", sum);
  return 0;
}
