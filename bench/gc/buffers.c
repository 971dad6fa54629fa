// SPDX-License-Identifier: MIT
/*
 * buffers [KEPT OPERATIONS]: large buffers without pointers, of 64 KiB to 8 MiB, each
 * power of two as likely as another. A new one takes the place of one drawn from those
 * kept; a byte of each of its pages is written.
 */
#include "program.h"

enum { SMALLEST = 65536, DOUBLINGS = 7, LARGEST = SMALLEST << DOUBLINGS };
enum { PAGE = 4096 };

struct buffer {
  unsigned char *bytes;
  size_t size;
};
POINTERS(struct buffer, bytes);

static size_t any_size(struct random *random) {
  size_t base = (size_t)SMALLEST << random_below(random, DOUBLINGS + 1);
  size_t size = base + random_below(random, base);
  return size < LARGEST ? size : LARGEST;
}

/* Of one byte of each page. */
static uint64_t sum_of(struct buffer b) {
  uint64_t sum = b.size;
  for (size_t at = 0; at < b.size; at += PAGE) sum += b.bytes[at];
  return sum;
}

static uint64_t replace(struct buffer *place, size_t size, uint64_t i) {
  struct buffer old = *place;
  uint64_t sum = sum_of(old);
  unsigned char *bytes = must(NEW_NOSCAN(size));
  for (size_t at = 0; at < size; at += PAGE)
    bytes[at] = (unsigned char)(at / PAGE + i);
  STORE(&place->bytes, bytes);
  place->size = size;
  FREE(old.bytes);
  return sum;
}

int main(int argc, char **argv) {
  static struct latencies latencies;
  uint64_t kept = argument_u64(argc, argv, 1, 64);
  uint64_t operations = argument_u64(argc, argv, 2, 20000);
  struct random random = {1};
  uint64_t sum = 0;
  report_begin();
  struct buffer *buffers = must(NEW_ARRAY(struct buffer, kept));
  latencies_begin(&latencies);
  for (uint64_t i = 0; i < operations; i++) {
    size_t size = any_size(&random);
    sum += replace(&buffers[random_below(&random, kept)], size, i);
    latencies_note(&latencies);
  }
  use(buffers);
  report_end(sum, &latencies);
  return 0;
}
