// SPDX-License-Identifier: MIT
/*
 * fake_ints [MIB]: integers that look like heap addresses. Records hold a number
 * that happens to be the address of a 1 KiB block which nothing points to; the
 * records stay, the blocks should go. Prints how many bytes of the blocks were
 * made, and how many are still alive after a collection.
 */
#include "backend.h"

#define BLOCK 1024

struct record {
  struct record *next;
  uintptr_t number; /* not a pointer */
};

POINTERS(struct record, next);

struct block {
  struct block *self;
  char rest[BLOCK - sizeof(void *)];
};

POINTERS(struct block, self);

static struct record *records;

/* In a function of its own, so that its frame, with real pointers in it, is
 * gone when the collector looks. */
static __attribute__((noinline)) void make(long n) {
  for (long i = 0; i < n; i++) {
    struct block *b = must(NEW(struct block));
    b->self = NULL;
    struct record *r = must(NEW(struct record));
    r->next = records;
    r->number = (uintptr_t)b;
    records = r;
    FREE(b);
  }
}

/* Overwrites what make left on the stack. */
static __attribute__((noinline)) void clear_stack(void) {
  volatile char space[4096];
  for (size_t i = 0; i < sizeof(space); i++) space[i] = 0;
}

int main(int argc, char **argv) {
  INIT();
  long n = (argument(argc, argv, 1, 64) << 20) / BLOCK;
  uint64_t before = live_bytes();
  make(n);
  clear_stack();
  uint64_t after = live_bytes();
  uint64_t list = (uint64_t)n * sizeof(struct record);
  uint64_t kept = after > before + list ? after - before - list : 0;
  printf("%llu %llu\n", (unsigned long long)n * BLOCK,
         (unsigned long long)kept);
  use(records);
  return 0;
}
