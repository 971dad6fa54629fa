// SPDX-License-Identifier: MIT
/* Checkmark mode finds a mark that is missing, and one that is too many. */
#include "alloc/init.h"
#include "gc/state.h"
#include <criterion/criterion.h>
#include <mallocgc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct node {
  struct node *next;
  uint64_t number;
};
MGC_TYPE(struct node, next);

static struct node *volatile root;

static void build(void) {
  setenv("MALLOCGC_OPTIONS", "checkmark=1", 1);
  struct node *n = NULL;
  for (int i = 0; i < 1000; i++) {
    struct node *more = mgc_new(struct node);
    more->next = n;
    n = more;
  }
  root = n;
}

Test(checkmark, sound_marking_passes) {
  build();
  for (int i = 0; i < 5; i++) mgc_collect();
  root = NULL;
  mgc_collect();
}

Test(checkmark, missing_mark_is_fatal, .signal = SIGABRT) {
  build();
  mgc_collect();
  struct gc *g = gc_of(heap_default());
  g->faults.unmark = (uintptr_t)root->next->next;
  mgc_collect();
}

/* Cuts the list and has a node behind the cut marked. On a stack of its own,
 * because a stale word on the collecting one would be a root. */
static void *plant_mark(void *arg) {
  (void)arg;
  build();
  mgc_collect();
  struct node *n = root;
  for (int i = 0; i < 500; i++) n = n->next;
  gc_of(heap_default())->faults.mark = (uintptr_t)n;
  root->next = NULL;
  return NULL;
}

Test(checkmark, mark_of_an_unreachable_object_is_fatal, .signal = SIGABRT) {
  pthread_t t;
  pthread_create(&t, NULL, plant_mark, NULL);
  pthread_join(t, NULL);
  mgc_collect();
}

Test(checkmark, mark_of_a_free_slot_is_fatal, .signal = SIGABRT) {
  build();
  setenv("MALLOCGC_OPTIONS", "", 1);
  mgc_collect();
  struct mspan *s =
      span_of_heap(&heap_default()->arenas, (uintptr_t)root->next);
  gc_of(heap_default())->faults.mark = mspan_slot(s, s->nelems - 1u);
  mgc_collect();
}
