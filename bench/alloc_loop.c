// SPDX-License-Identifier: MIT
/*
 * alloc_loop [MIB]: time of one allocation of 8 B to 1 MiB, with a pointer in the
 * first word (typed) and without pointers (noscan), collections included. Each
 * line allocates MIB megabytes (128), but at most 10 million objects; 64 objects
 * are alive at any time. Prints: size typed_ns noscan_ns.
 */
#include "backend.h"

#define ALIVE 64
#define MAX_OBJECTS 10000000

static struct alive { void *slot[ALIVE]; } alive;

static long total_bytes;

static long objects_of(size_t size) {
  long n = total_bytes / (long)size;
  return n > MAX_OBJECTS ? MAX_OBJECTS : n;
}

/* Keeps p in the place of an older object, which is freed. */
static inline void keep(long i, void *p) {
  FREE(alive.slot[i % ALIVE]);
  *(void **)p = NULL;
  alive.slot[i % ALIVE] = p;
}

static void drop_all(void) {
  for (int i = 0; i < ALIVE; i++) {
    FREE(alive.slot[i]);
    alive.slot[i] = NULL;
  }
}

static double noscan_ns(size_t size) {
  long n = objects_of(size);
  uint64_t start = now_ns();
  for (long i = 0; i < n; i++) keep(i, must(NEW_NOSCAN(size)));
  double ns = (double)(now_ns() - start) / (double)n;
  drop_all();
  return ns;
}

/* clang-format off */
#define SIZES(S)                                                               \
  S(16) S(32) S(48) S(64) S(96) S(128) S(256) S(512) S(1024) S(2048) S(4096)   \
  S(8192) S(16384) S(32768) S(65536) S(131072) S(262144) S(524288) S(1048576)
/* clang-format on */

struct object_8 {
  void *p;
};
POINTERS(struct object_8, p);
#define DECLARE(size)                                                          \
  struct object_##size {                                                       \
    void *p;                                                                   \
    char rest[size - sizeof(void *)];                                          \
  };                                                                           \
  POINTERS(struct object_##size, p);
SIZES(DECLARE)

/* A function for each size, since NEW takes a type. */
#define DEFINE(size)                                                           \
  static double typed_ns_##size(void) {                                        \
    long n = objects_of(size);                                                 \
    uint64_t start = now_ns();                                                 \
    for (long i = 0; i < n; i++) keep(i, must(NEW(struct object_##size)));     \
    double ns = (double)(now_ns() - start) / (double)n;                        \
    drop_all();                                                                \
    return ns;                                                                 \
  }
DEFINE(8)
SIZES(DEFINE)

int main(int argc, char **argv) {
  INIT();
  total_bytes = argument(argc, argv, 1, 128) << 20;
#define REPORT(size)                                                           \
  printf("%d %.2f %.2f\n", size, typed_ns_##size(), noscan_ns(size));
  REPORT(8)
  SIZES(REPORT)
  return 0;
}
