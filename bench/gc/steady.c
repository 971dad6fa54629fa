// SPDX-License-Identifier: MIT
/*
 * steady [MIB OPERATIONS]: so many MiB of linked objects of 64 bytes stay alive, in
 * chains of 16, while short lists of such objects are made and dropped as fast as it
 * goes; after every 64 lists a chain is replaced. What a collector that runs beside the
 * program takes from it here is its pauses and its share of the processors: the program
 * writes where it allocates, and now and then elsewhere.
 *
 * An operation makes a list of 8 objects and reads it.
 */
#include "program.h"

enum { CHAIN = 16, LIST = 8, LISTS_PER_CHAIN = 64 };

struct node {
  struct node *next, *first;
  uint64_t value;
  uint64_t data[5];
};
POINTERS(struct node, next, first);

struct slot {
  struct node *chain;
};
POINTERS(struct slot, chain);

static struct slot *table;
static uint64_t nslots;

static struct node *new_list(unsigned n, uint64_t value) {
  struct node *first = NULL, *list = NULL;
  for (unsigned i = 0; i < n; i++) {
    struct node *node = must(NEW(struct node));
    if (!first) first = node;
    node->next = list;
    node->first = first;
    node->value = value + i;
    memset(node->data, 0, sizeof node->data);
    list = node;
  }
  return list;
}

static uint64_t sum_of(const struct node *list) {
  uint64_t sum = 0;
  for (; list; list = list->next) sum += list->value + list->first->data[0];
  return sum;
}

static void drop(struct node *list) {
  while (list) {
    struct node *next = list->next;
    FREE(list);
    list = next;
  }
}

static void replace(uint64_t i, uint64_t value) {
  struct node *old = table[i].chain;
  STORE(&table[i].chain, new_list(CHAIN, value));
  drop(old);
}

int main(int argc, char **argv) {
  static struct latencies latencies;
  uint64_t mib = argument_u64(argc, argv, 1, 2048);
  uint64_t operations = argument_u64(argc, argv, 2, 20000000);
  struct random random = {1};
  uint64_t sum = 0;
  report_begin();
  nslots = (mib << 20) / (CHAIN * sizeof(struct node));
  table = must(NEW_ARRAY(struct slot, nslots));
  for (uint64_t i = 0; i < nslots; i++) replace(i, i);

  latencies_begin(&latencies);
  for (uint64_t i = 0; i < operations; i++) {
    struct node *list = new_list(LIST, i);
    sum += sum_of(list);
    drop(list);
    if (i % LISTS_PER_CHAIN == 0) replace(random_below(&random, nslots), i);
    latencies_note(&latencies);
  }
  for (uint64_t i = 0; i < nslots; i++) sum += sum_of(table[i].chain);
  report_end(sum, &latencies);
  return 0;
}
