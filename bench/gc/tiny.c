// SPDX-License-Identifier: MIT
/*
 * tiny [KEPT OPERATIONS]: objects under 16 bytes, as boxed numbers of an interpreter: an
 * operation makes 1 to 15 bytes without pointers and a pointer to them in a box of 8
 * bytes, and keeps the box until KEPT others have been made.
 */
#include "program.h"

struct box {
  unsigned char *number;
};
POINTERS(struct box, number);

struct place {
  struct box *box;
};
POINTERS(struct place, box);

static struct box *new_box(uint64_t i) {
  size_t n = 1 + i % 15;
  unsigned char *number = must(NEW_NOSCAN(n));
  struct box *b = must(NEW(struct box));
  number[0] = (unsigned char)i;
  number[n - 1] = (unsigned char)(i >> 3);
  b->number = number;
  return b;
}

/* The first byte of the number that was there. */
static uint64_t replace(struct place *place, struct box *box) {
  struct box *old = place->box;
  uint64_t first = old ? old->number[0] : 0;
  STORE(&place->box, box);
  if (!old) return first;
  FREE(old->number);
  FREE(old);
  return first;
}

int main(int argc, char **argv) {
  uint64_t kept = argument_u64(argc, argv, 1, 1000000);
  uint64_t operations = argument_u64(argc, argv, 2, 50000000);
  struct random random = {1};
  uint64_t sum = 0, at = 0;
  report_begin();
  struct place *ring = must(NEW_ARRAY(struct place, kept));
  for (uint64_t i = 0; i < operations; i++) {
    sum = 3 * sum + replace(&ring[at], new_box(random_next(&random) >> 32));
    if (++at == kept) at = 0;
  }
  use(ring);
  report_end(sum, NULL);
  return 0;
}
