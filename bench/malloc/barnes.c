// SPDX-License-Identifier: MIT
/*
 * barnes [BODIES STEPS]: Barnes and Hut's n-body method (Nature 324, 1986):
 * each step builds an octree of the bodies, walks it for each body's force, and
 * drops it. Cells and leaves are blocks of their own. Cells are opened rarely,
 * so that allocation has a part in the time.
 */
#include "common.h"

#include <math.h>

struct vector {
  double x, y, z;
};

struct body {
  struct vector at, speed, pull;
  double mass;
};

struct leaf {
  struct leaf *next;
  const struct body *body;
};

enum { LEAF_MOST = 4, DEPTH_MOST = 24 };

struct cell {
  struct cell *child[8]; /* of an inner cell */
  struct leaf *leaves;   /* of an outer one */
  struct vector middle, mass_at;
  double half, mass;
  int count;
  bool inner;
};

static struct cell *cell_new(struct vector middle, double half) {
  struct cell *c = must(calloc(1, sizeof *c));
  c->middle = middle;
  c->half = half;
  return c;
}

static int octant(const struct cell *c, const struct body *b) {
  return (b->at.x >= c->middle.x) | (b->at.y >= c->middle.y) << 1 |
         (b->at.z >= c->middle.z) << 2;
}

static struct cell *child(struct cell *c, int i) {
  if (!c->child[i]) {
    double h = c->half / 2;
    struct vector m = {c->middle.x + (i & 1 ? h : -h),
                       c->middle.y + (i & 2 ? h : -h),
                       c->middle.z + (i & 4 ? h : -h)};
    c->child[i] = cell_new(m, h);
  }
  return c->child[i];
}

static void insert(struct cell *c, const struct body *b, int depth);

static void split(struct cell *c, int depth) {
  c->inner = true;
  struct leaf *l = c->leaves;
  c->leaves = NULL;
  while (l) {
    struct leaf *next = l->next;
    insert(child(c, octant(c, l->body)), l->body, depth + 1);
    free(l);
    l = next;
  }
}

static void insert(struct cell *c, const struct body *b, int depth) {
  c->count++;
  if (!c->inner && c->count > LEAF_MOST && depth < DEPTH_MOST) split(c, depth);
  if (c->inner) {
    insert(child(c, octant(c, b)), b, depth + 1);
    return;
  }
  struct leaf *l = must(malloc(sizeof *l));
  *l = (struct leaf){.next = c->leaves, .body = b};
  c->leaves = l;
}

static void weigh(struct cell *c, struct vector at, double mass) {
  c->mass += mass;
  c->mass_at.x += at.x * mass;
  c->mass_at.y += at.y * mass;
  c->mass_at.z += at.z * mass;
}

static void sum_up(struct cell *c) {
  for (struct leaf *l = c->leaves; l; l = l->next)
    weigh(c, l->body->at, l->body->mass);
  for (int i = 0; i < 8; i++)
    if (c->child[i]) {
      sum_up(c->child[i]);
      weigh(c, c->child[i]->mass_at, c->child[i]->mass);
    }
  c->mass_at.x /= c->mass;
  c->mass_at.y /= c->mass;
  c->mass_at.z /= c->mass;
}

static void pull(struct body *b, struct vector at, double mass) {
  double dx = at.x - b->at.x, dy = at.y - b->at.y, dz = at.z - b->at.z;
  double d2 = dx * dx + dy * dy + dz * dz + 1e-4;
  double f = mass / (d2 * sqrt(d2));
  b->pull.x += f * dx;
  b->pull.y += f * dy;
  b->pull.z += f * dz;
}

static void force(struct body *b, const struct cell *c) {
  double dx = c->mass_at.x - b->at.x, dy = c->mass_at.y - b->at.y,
         dz = c->mass_at.z - b->at.z;
  /* Opening angle 2: coarse, see above. */
  if (c->inner && dx * dx + dy * dy + dz * dz > c->half * c->half) {
    pull(b, c->mass_at, c->mass);
    return;
  }
  for (const struct leaf *l = c->leaves; l; l = l->next)
    if (l->body != b) pull(b, l->body->at, l->body->mass);
  for (int i = 0; i < 8; i++)
    if (c->child[i]) force(b, c->child[i]);
}

static void drop(struct cell *c) {
  for (struct leaf *l = c->leaves, *next; l; l = next) {
    next = l->next;
    free(l);
  }
  for (int i = 0; i < 8; i++)
    if (c->child[i]) drop(c->child[i]);
  free(c);
}

static void move(struct body *b) {
  const double dt = 1e-5;
  b->speed.x += b->pull.x * dt;
  b->speed.y += b->pull.y * dt;
  b->speed.z += b->pull.z * dt;
  b->at.x += b->speed.x * dt;
  b->at.y += b->speed.y * dt;
  b->at.z += b->speed.z * dt;
}

int main(int argc, char **argv) {
  long n = argument(argc, argv, 1, 40000);
  long steps = argument(argc, argv, 2, 50);
  struct random random = random_from(86);
  struct body **bodies = must(malloc((size_t)n * sizeof *bodies));
  for (long i = 0; i < n; i++) {
    bodies[i] = must(calloc(1, sizeof **bodies));
    double *at[] = {&bodies[i]->at.x, &bodies[i]->at.y, &bodies[i]->at.z};
    for (int k = 0; k < 3; k++) {
      double u = (double)(random_next(&random) >> 11) * 0x1p-53;
      *at[k] = u * u - 0.5; /* denser on one side */
    }
    bodies[i]->mass = 1.0 / (double)n;
  }
  for (long step = 0; step < steps; step++) {
    struct cell *top = cell_new((struct vector){0, 0, 0}, 1.0);
    for (long i = 0; i < n; i++) insert(top, bodies[i], 0);
    sum_up(top);
    for (long i = 0; i < n; i++) {
      bodies[i]->pull = (struct vector){0, 0, 0};
      force(bodies[i], top);
    }
    drop(top);
    for (long i = 0; i < n; i++) move(bodies[i]);
  }
  double sum = 0;
  for (long i = 0; i < n; i++) {
    sum += bodies[i]->at.x + bodies[i]->speed.y;
    free(bodies[i]);
  }
  free(bodies);
  printf("barnes %.12g\n", sum);
  return 0;
}
