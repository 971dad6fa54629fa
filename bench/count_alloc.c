// SPDX-License-Identifier: MIT
/*
 * count_alloc SIZE N: allocates N typed objects of 16, 64 or 256 bytes in a tight
 * loop with the collector off. Under callgrind, the difference of two runs over
 * the difference of their N is the instructions of one allocation.
 */
#include "backend.h"

#define DEFINE(size)                                                           \
  struct object_##size {                                                       \
    void *p;                                                                   \
    char rest[size - sizeof(void *)];                                          \
  };                                                                           \
  POINTERS(struct object_##size, p);                                           \
  static __attribute__((noinline)) void loop_##size(long n) {                  \
    for (long i = 0; i < n; i++) use(NEW(struct object_##size));               \
  }
DEFINE(16)
DEFINE(64)
DEFINE(256)

int main(int argc, char **argv) {
  INIT();
  COLLECTOR_OFF();
  long size = argument(argc, argv, 1, 16), n = argument(argc, argv, 2, 100000);
  switch (size) {
  case 16:
    loop_16(n);
    return 0;
  case 64:
    loop_64(n);
    return 0;
  case 256:
    loop_256(n);
    return 0;
  default:
    fprintf(stderr, "count_alloc: 16, 64 or 256, not %ld\n", size);
    return 2;
  }
}
