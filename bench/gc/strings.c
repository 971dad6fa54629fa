// SPDX-License-Identifier: MIT
/*
 * strings [KEPT OPERATIONS]: strings of 16 to 512 bytes, which have no pointers, are
 * built, kept in a table, and dropped when another takes their place. One in four is put
 * together from the beginnings of two that are there.
 */
#include "program.h"

enum { SHORTEST = 16, LONGEST = 512 };

struct text {
  unsigned char *bytes;
  size_t length;
};
POINTERS(struct text, bytes);

static struct text *table;
static uint64_t kept;

static size_t half(size_t n) { return n < LONGEST / 2 ? n : LONGEST / 2; }

static struct text build(struct random *random) {
  size_t n = SHORTEST + random_below(random, LONGEST - SHORTEST + 1);
  struct text t = {must(NEW_NOSCAN(n)), n};
  pattern_fill(t.bytes, n, random_next(random));
  return t;
}

static struct text concatenate(struct text a, struct text b) {
  struct text t = {NULL, half(a.length) + half(b.length)};
  t.bytes = must(NEW_NOSCAN(t.length));
  memcpy(t.bytes, a.bytes, half(a.length));
  memcpy(t.bytes + half(a.length), b.bytes, half(b.length));
  return t;
}

static struct text make(struct random *random) {
  if (random_below(random, 4) != 0) return build(random);
  struct text a = table[random_below(random, kept)];
  struct text b = table[random_below(random, kept)];
  return concatenate(a, b);
}

static uint64_t replace(struct text *place, struct text t) {
  struct text old = *place;
  uint64_t sum = old.length + old.bytes[0] + old.bytes[old.length - 1];
  STORE(&place->bytes, t.bytes);
  place->length = t.length;
  FREE(old.bytes);
  return sum;
}

int main(int argc, char **argv) {
  static struct latencies latencies;
  kept = argument_u64(argc, argv, 1, 1000000);
  uint64_t operations = argument_u64(argc, argv, 2, 20000000);
  struct random random = {1};
  uint64_t sum = 0;
  report_begin();
  pattern_init();
  table = must(NEW_ARRAY(struct text, kept));
  for (uint64_t i = 0; i < kept; i++) {
    struct text t = build(&random);
    STORE(&table[i].bytes, t.bytes);
    table[i].length = t.length;
  }
  latencies_begin(&latencies);
  for (uint64_t i = 0; i < operations; i++) {
    struct text t = make(&random);
    sum += replace(&table[random_below(&random, kept)], t);
    latencies_note(&latencies);
  }
  report_end(sum, &latencies);
  return 0;
}
