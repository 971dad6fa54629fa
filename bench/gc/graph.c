// SPDX-License-Identifier: MIT
/*
 * graph [NODES STEPS]: a directed graph of ten million nodes with two edges each, which
 * are objects too, being rewired at random. A step makes an edge between two nodes that
 * it draws, in the place of one that was there, and walks on from its end.
 */
#include "program.h"

enum { WALK = 4 };

struct edge {
  struct node *to;
  uint64_t weight;
};
POINTERS(struct edge, to);

struct node {
  struct edge *out[2];
  uint64_t id, visits;
};
POINTERS(struct node, out);

struct place {
  struct node *node;
};
POINTERS(struct place, node);

static struct place *graph;
static uint64_t nodes;

static struct node *any_node(struct random *random) {
  return graph[random_below(random, nodes)].node;
}

static struct edge *new_edge(struct node *to, uint64_t weight) {
  struct edge *e = must(NEW(struct edge));
  e->to = to;
  e->weight = weight;
  return e;
}

static void build(struct random *random) {
  graph = must(NEW_ARRAY(struct place, nodes));
  for (uint64_t i = 0; i < nodes; i++) {
    struct node *n = must(NEW(struct node));
    n->out[0] = n->out[1] = NULL;
    n->id = i;
    n->visits = 0;
    STORE(&graph[i].node, n);
  }
  for (uint64_t i = 0; i < nodes; i++)
    for (int k = 0; k < 2; k++)
      STORE(&graph[i].node->out[k], new_edge(any_node(random), i));
}

static void rewire(struct node *from, struct node *to, uint64_t step) {
  struct edge **slot = &from->out[step % 2];
  struct edge *old = *slot;
  STORE(slot, new_edge(to, step));
  FREE(old);
}

static uint64_t walk(struct node *n, uint64_t which) {
  uint64_t sum = 0;
  for (int i = 0; i < WALK; i++) {
    struct edge *e = n->out[(which >> i) % 2];
    n = e->to;
    sum += e->weight + n->id + n->visits++;
  }
  return sum;
}

int main(int argc, char **argv) {
  static struct latencies latencies;
  nodes = argument_u64(argc, argv, 1, 10000000);
  uint64_t steps = argument_u64(argc, argv, 2, 10000000);
  struct random random = {1};
  uint64_t sum = 0;
  report_begin();
  build(&random);
  latencies_begin(&latencies);
  for (uint64_t i = 0; i < steps; i++) {
    struct node *from = any_node(&random);
    struct node *to = any_node(&random);
    rewire(from, to, i);
    sum += walk(to, i);
    latencies_note(&latencies);
  }
  report_end(sum, &latencies);
  return 0;
}
