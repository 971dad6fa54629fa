// SPDX-License-Identifier: MIT
/*
 * deep_list [NODES]: a list of 10 million nodes, walked after a collection, and
 * dropped. Prints: build ms, collect ms, drop ms, bytes alive before, with the
 * list, and after.
 */
#include "backend.h"

struct node {
  struct node *next;
  long number;
};

POINTERS(struct node, next);

static __attribute__((noinline)) struct node *build(long n) {
  struct node *list = NULL;
  for (long i = 0; i < n; i++) {
    struct node *p = must(NEW(struct node));
    p->next = list;
    p->number = i;
    list = p;
  }
  return list;
}

static __attribute__((noinline)) void drop(struct node *list) {
#if !COLLECTED
  while (list) {
    struct node *next = list->next;
    FREE(list);
    list = next;
  }
#endif
  (void)list;
}

static __attribute__((noinline)) void check(const struct node *list, long n) {
  for (; list; list = list->next) {
    if (list->number != --n) break;
  }
  if (list || n != 0) {
    fprintf(stderr, "deep_list: the list is damaged at %ld\n", n);
    exit(1);
  }
}

static unsigned long long ms(uint64_t from, uint64_t to) {
  return (to - from) / 1000000;
}

static struct node *list;

int main(int argc, char **argv) {
  INIT();
  long n = argument(argc, argv, 1, 10000000);
  uint64_t before = live_bytes();
  uint64_t t0 = now_ns();
  list = build(n);
  uint64_t t1 = now_ns();
  uint64_t with = live_bytes();
  uint64_t t2 = now_ns();
  check(list, n);
  uint64_t t3 = now_ns();
  drop(list);
  list = NULL;
  uint64_t after = live_bytes();
  uint64_t t4 = now_ns();
  printf("%llu %llu %llu %llu %llu %llu\n", ms(t0, t1), ms(t1, t2), ms(t3, t4),
         (unsigned long long)before, (unsigned long long)with,
         (unsigned long long)after);
  return 0;
}
