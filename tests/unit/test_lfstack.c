// SPDX-License-Identifier: MIT
#include "base/compiler.h"
#include "base/fatal.h"
#include "base/lfstack.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>

struct item {
  struct lfnode node;
  long owner; /* plain: only the thread that popped the item may touch it */
};

static struct item *item_of(struct lfnode *node) {
  return node ? container_of(node, struct item, node) : NULL;
}

Test(lfstack, last_in_is_first_out_and_empty_pops_null) {
  struct lfstack s = {0};
  struct item items[3] = {0};
  cr_assert(lfstack_empty(&s));
  cr_assert_null(lfstack_pop(&s));
  for (int i = 0; i < 3; i++) lfstack_push(&s, &items[i].node);
  cr_assert_not(lfstack_empty(&s));
  for (int i = 2; i >= 0; i--)
    cr_assert_eq(item_of(lfstack_pop(&s)), &items[i]);
  cr_assert(lfstack_empty(&s));
  cr_assert_null(lfstack_pop(&s));
}

Test(lfstack, same_node_again_changes_the_head) {
  struct lfstack s = {0};
  struct item item = {0};
  lfstack_push(&s, &item.node);
  uint64_t head = atomic_u64_load_relaxed(&s.head);
  lfstack_pop(&s);
  lfstack_push(&s, &item.node);
  cr_assert_neq(atomic_u64_load_relaxed(&s.head), head,
                "the count is what makes a slow pop fail");
}

Test(lfstack, push_count_wraps_without_touching_the_address) {
  struct lfstack s = {0};
  struct item item = {0};
  item.node.pushcnt = ((uint64_t)1 << 19) - 2;
  for (int i = 0; i < 4; i++) {
    lfstack_push(&s, &item.node);
    cr_assert_eq(item_of(lfstack_pop(&s)), &item);
  }
}

Test(lfstack, misaligned_node_is_fatal, .signal = SIGABRT) {
  struct lfstack s = {0};
  char room[2 * sizeof(struct lfnode)] __attribute__((aligned(8))) = {0};
  /* An address that packs to another one; the count is read by memory. */
  lfstack_push(&s, (struct lfnode *)(void *)(room + 4));
}

#define THREADS 4
#define ITEMS 64
#define ROUNDS 20000

struct shared {
  struct lfstack a, b;
  struct item items[ITEMS];
};

struct worker {
  struct shared *s;
  struct rng rng;
  long id;
};

static void *move_items(void *arg) {
  struct worker *w = arg;
  for (int i = 0; i < ROUNDS; i++) {
    bool from_a = rng_chance(&w->rng, 2), to_a = rng_chance(&w->rng, 2);
    struct item *item = item_of(lfstack_pop(from_a ? &w->s->a : &w->s->b));
    if (!item) continue;
    mgc_check(item->owner == 0, "item popped by %ld and %ld", item->owner,
              w->id);
    item->owner = w->id;
    if (rng_chance(&w->rng, 8)) sched_yield();
    item->owner = 0;
    lfstack_push(to_a ? &w->s->a : &w->s->b, &item->node);
  }
  return NULL;
}

Test(lfstack, threads_that_move_items_lose_and_share_none) {
  static struct shared s;
  struct rng r = rng_seed();
  struct worker workers[THREADS];
  pthread_t threads[THREADS];
  size_t n = 0;
  for (int i = 0; i < ITEMS; i++) lfstack_push(&s.a, &s.items[i].node);
  for (int i = 0; i < THREADS; i++) {
    workers[i] = (struct worker){&s, rng_from(rng_u64(&r)), i + 1};
    pthread_create(&threads[i], NULL, move_items, &workers[i]);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (struct item *i;
       (i = item_of(lfstack_pop(&s.a))) || (i = item_of(lfstack_pop(&s.b)));
       n++) {
    cr_assert_eq(i->owner, 0);
    i->owner = -1;
  }
  cr_assert_eq(n, ITEMS);
}
