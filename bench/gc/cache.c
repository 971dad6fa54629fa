// SPDX-License-Identifier: MIT
/*
 * cache [ENTRIES OPERATIONS]: a hash table of small linked objects, 528 bytes an entry
 * (2 GiB of four million), in which entries are replaced at random as fast as it goes:
 * the hard case for a collector that runs beside the program, since the stores are all
 * over the heap. Half of the keys are there at any time. An operation looks one key up,
 * and puts another.
 */
#include "program.h"

enum { DATA_BYTES = 400, PER_BUCKET = 4 };

struct value {
  struct entry *owner;
  uint64_t version;
  unsigned char data[DATA_BYTES];
};
POINTERS(struct value, owner);

struct entry {
  struct entry *next, *previous;
  struct value *value;
  uint64_t key;
  uint64_t uses[10];
};
POINTERS(struct entry, next, previous, value);

struct bucket {
  struct entry *first;
};
POINTERS(struct bucket, first);

static struct bucket *table;
static uint64_t nbuckets;

static struct value *new_value(struct entry *owner, uint64_t version) {
  struct value *v = must(NEW(struct value));
  v->owner = owner;
  v->version = version;
  pattern_fill(v->data, DATA_BYTES, version);
  return v;
}

static struct entry *new_entry(uint64_t key, uint64_t version) {
  struct entry *e = must(NEW(struct entry));
  e->next = e->previous = NULL;
  e->value = NULL;
  e->key = key;
  memset(e->uses, 0, sizeof e->uses);
  e->value = new_value(e, version);
  return e;
}

static void replace_value(struct entry *e, uint64_t version) {
  struct value *old = e->value;
  STORE(&e->value, new_value(e, version));
  FREE(old);
}

static void push(struct bucket *b, struct entry *e) {
  e->next = b->first;
  if (b->first) STORE(&b->first->previous, e);
  STORE(&b->first, e);
}

static void evict(struct entry *last) {
  STORE(&last->previous->next, NULL);
  FREE(last->value);
  FREE(last);
}

/* Replaces the value of a key that is there; otherwise puts a new entry first, and
 * drops the last one of a full chain. */
static void put(uint64_t key, uint64_t version) {
  struct bucket *b = &table[key % nbuckets];
  struct entry *last = NULL;
  unsigned n = 0;
  for (struct entry *e = b->first; e; e = e->next) {
    if (e->key == key) {
      replace_value(e, version);
      return;
    }
    last = e;
    n++;
  }
  push(b, new_entry(key, version));
  if (n >= PER_BUCKET) evict(last);
}

static uint64_t get(uint64_t key) {
  for (struct entry *e = table[key % nbuckets].first; e; e = e->next) {
    if (e->key != key) continue;
    e->uses[key % 10]++;
    return e->value->version + e->value->data[key % DATA_BYTES] +
           e->value->owner->uses[key % 10];
  }
  return 1;
}

int main(int argc, char **argv) {
  static struct latencies latencies;
  uint64_t entries = argument_u64(argc, argv, 1, 4000000);
  uint64_t operations = argument_u64(argc, argv, 2, 8000000);
  struct random random = {1};
  uint64_t sum = 0;
  report_begin();
  pattern_init();
  nbuckets = (entries + PER_BUCKET - 1) / PER_BUCKET;
  table = must(NEW_ARRAY(struct bucket, nbuckets));
  for (uint64_t key = 0; key < entries; key++) put(key, key);

  latencies_begin(&latencies);
  for (uint64_t i = 0; i < operations; i++) {
    sum += get(random_below(&random, 2 * entries));
    put(random_below(&random, 2 * entries), i);
    latencies_note(&latencies);
  }
  report_end(sum, &latencies);
  return 0;
}
