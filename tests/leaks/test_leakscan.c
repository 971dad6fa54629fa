// SPDX-License-Identifier: MIT
/* The scan against a slow reference, on a malloc heap whose every block is known. */
#include "face/malloc/leakscan.h"
#include "support/rng.h"
#include "support/test_heap.h"

#include <criterion/criterion.h>

#define MAX_BLOCKS 300
#define MAX_EDGES 3
#define ROOTS 8

struct block {
  uintptr_t p;
  size_t size; /* of the slot */
  unsigned nedges;
  unsigned edge[MAX_EDGES];
};

struct fixture {
  struct heap *h;
  struct theap *th;
  struct tcache *t;
  struct leakscan ls;
  struct leak_result *r;
  uintptr_t root[ROOTS];
  struct block b[MAX_BLOCKS];
  unsigned n;
};

static struct fixture *setup(void) {
  struct vm *vm = vm_system();
  /* Apart from each other: a theap begins on a cache line. */
  struct fixture *f = vm->ops->alloc(vm, align_up(sizeof *f, 4096), NULL);
  f->th = vm->ops->alloc(vm, align_up(sizeof *f->th, 4096), NULL);
  f->r = vm->ops->alloc(vm, align_up(sizeof *f->r, 4096), NULL);
  f->h = test_heap_cfg((struct heap_config){.classes = &sizeclasses_malloc,
                                            .opt = {.window_log2 = 34}});
  cr_assert_not_null(f->h);
  theap_init(f->th, f->h, 0x1234567890abcdef);
  f->t = tcache_attach(f->th, 1);
  cr_assert_not_null(f->t);
  return f;
}

static uintptr_t take(struct fixture *f, size_t size) {
  if (size > MAX_SMALL_SIZE) {
    bool zero;
    struct mspan *s = theap_alloc_large(f->th, size, 16, &zero);
    cr_assert_not_null(s);
    return s->base;
  }
  unsigned sc = sizeclass_of(&sizeclasses_malloc, size);
  void *p = (void *)tcache_take(f->t, tcache_list_off(sc));
  if (!p) p = tcache_refill(f->t, sc).p;
  cr_assert_not_null(p);
  return (uintptr_t)p;
}

static void give(struct fixture *f, uintptr_t p) {
  tcache_free_slow(f->th, f->t, p);
}

static unsigned add(struct fixture *f, size_t size) {
  struct block *b = &f->b[f->n];
  b->p = take(f, size);
  b->size = span_of(&f->h->arenas, b->p)->elemsize;
  memset((void *)b->p, 0, size < 64 ? size : 64);
  return f->n++;
}

/* A pointer into block `to` is put into word e of block `from`. */
static void link_blocks(struct fixture *f, unsigned from, unsigned to,
                        size_t offset) {
  struct block *b = &f->b[from];
  cr_assert_lt(b->nedges, MAX_EDGES);
  ((uintptr_t *)b->p)[b->nedges] = f->b[to].p + offset;
  b->edge[b->nedges++] = to;
}

static void run(struct fixture *f) {
  memset(f->r, 0, sizeof *f->r);
  cr_assert(leakscan_begin(&f->ls, f->h, vm_system()));
  leakscan_range(&f->ls, (uintptr_t)f->root, (uintptr_t)(f->root + ROOTS));
  cr_assert(leakscan_finish(&f->ls, f->r));
  leakscan_end(&f->ls);
}

/* --- the reference --- */

static void flood(const struct fixture *f, unsigned from, bool *seen) {
  if (seen[from]) return;
  seen[from] = true;
  for (unsigned e = 0; e < f->b[from].nedges; e++)
    flood(f, f->b[from].edge[e], seen);
}

struct expected {
  uint64_t blocks, bytes, direct;
};

/* A block is direct when every unreachable block that leads to it can be reached
 * from it (it is in a ring that nothing else leads to); of a ring, one. */
static struct expected reference(const struct fixture *f) {
  static bool from[MAX_BLOCKS][MAX_BLOCKS];
  bool live[MAX_BLOCKS] = {0}, counted[MAX_BLOCKS] = {0};
  struct expected x = {0};
  memset(from, 0, sizeof from);
  for (unsigned i = 0; i < ROOTS; i++)
    for (unsigned j = 0; j < f->n; j++)
      if (f->root[i] - f->b[j].p < f->b[j].size) flood(f, j, live);
  for (unsigned i = 0; i < f->n; i++) flood(f, i, from[i]);
  for (unsigned i = 0; i < f->n; i++) {
    if (live[i]) continue;
    x.blocks++;
    x.bytes += f->b[i].size;
    bool direct = !counted[i];
    for (unsigned j = 0; j < f->n; j++) {
      if (live[j] || !from[j][i]) continue;
      if (!from[i][j]) direct = false;
    }
    if (!direct) continue;
    x.direct++;
    for (unsigned j = 0; j < f->n; j++)
      if (from[i][j] && from[j][i]) counted[j] = true;
  }
  return x;
}

/* --- tests --- */

Test(leakscan, random_graphs_agree_with_the_reference) {
  struct rng r = rng_seed();
  for (unsigned round = 0; round < 40; round++) {
    struct fixture *f = setup();
    unsigned n = 1 + (unsigned)rng_below(&r, MAX_BLOCKS);
    for (unsigned i = 0; i < n; i++)
      add(f, rng_chance(&r, 3) ? 40000 + rng_below(&r, 100000)
                               : 24 + rng_below(&r, 600));
    unsigned edges = (unsigned)rng_below(&r, 2 * n);
    for (unsigned e = 0; e < edges; e++) {
      unsigned from = (unsigned)rng_below(&r, n);
      unsigned to = (unsigned)rng_below(&r, n);
      if (f->b[from].nedges < MAX_EDGES)
        link_blocks(f, from, to, rng_below(&r, f->b[to].size));
    }
    for (unsigned i = 0; i < ROOTS; i++)
      f->root[i] = rng_chance(&r, 50) ? f->b[rng_below(&r, n)].p : 0;
    struct expected x = reference(f);
    run(f);
    cr_assert_eq(f->r->live_blocks, n);
    cr_assert_eq(f->r->leaked_blocks, x.blocks);
    cr_assert_eq(f->r->leaked_bytes, x.bytes);
    cr_assert_eq(f->r->direct_blocks, x.direct);
  }
}

Test(leakscan, freed_slots_are_no_blocks_and_keep_nothing_alive) {
  struct fixture *f = setup();
  for (unsigned i = 0; i < 200; i++) add(f, 64);
  link_blocks(f, 0, 1, 0);
  ((uintptr_t *)f->b[0].p)[4] = f->b[1].p; /* what a free does not overwrite */
  f->root[0] = f->b[0].p;
  for (unsigned i = 0; i < 200; i++)
    if (i != 1) give(f, f->b[i].p);
  run(f);
  cr_assert_eq(f->r->live_blocks, 1);
  cr_assert_eq(f->r->leaked_blocks, 1);
  cr_assert_eq(f->r->group[0].addr, f->b[1].p);
}

Test(leakscan, slots_freed_by_another_thread_are_no_blocks) {
  struct fixture *f = setup();
  for (unsigned i = 0; i < 10; i++) add(f, 64);
  for (unsigned i = 0; i < 9; i++)
    tcache_free_remote(f->th, span_of(&f->h->arenas, f->b[i].p), f->b[i].p);
  run(f);
  cr_assert_eq(f->r->live_blocks, 1, "%zu", (size_t)f->r->live_blocks);
  cr_assert_eq(f->r->leaked_blocks, 1);
}

Test(leakscan, block_that_refers_to_itself_is_no_ring) {
  struct fixture *f = setup();
  add(f, 64);
  link_blocks(f, 0, 0, 0);
  run(f);
  cr_assert_eq(f->r->ngroups, 1);
  cr_assert_eq(f->r->group[0].rings, 0);
  cr_assert_eq(f->r->group[0].blocks, 1);
}

Test(leakscan, ring_is_one_direct_block_and_what_hangs_off_it) {
  struct fixture *f = setup();
  /* The tail first: it is visited, and for a time a direct block itself. */
  unsigned tail = add(f, 64), a = add(f, 64), b = add(f, 64);
  link_blocks(f, a, b, 8);
  link_blocks(f, b, a, 0);
  link_blocks(f, b, tail, 0);
  run(f);
  cr_assert_eq(f->r->ngroups, 1);
  cr_assert_eq(f->r->group[0].rings, 1);
  cr_assert_eq(f->r->group[0].blocks, 1);
  cr_assert_eq(f->r->group[0].all_blocks, 3);
}

Test(leakscan, long_list_needs_no_recursion_and_little_memory) {
  struct fixture *f = setup();
  uintptr_t next = 0;
  for (unsigned i = 0; i < 200000; i++) {
    uintptr_t p = take(f, 32);
    memset((void *)p, 0, 32);
    *(uintptr_t *)p = next;
    next = p;
  }
  f->root[0] = next;
  cr_assert(leakscan_begin(&f->ls, f->h, vm_system()));
  leakscan_range(&f->ls, (uintptr_t)f->root, (uintptr_t)(f->root + ROOTS));
  cr_assert_leq(f->ls.todo.cap, 65536);
  cr_assert(leakscan_finish(&f->ls, f->r));
  leakscan_end(&f->ls);
  cr_assert_eq(f->r->live_blocks, 200000);
  cr_assert_eq(f->r->leaked_blocks, 0);
  f->root[0] = 0;
  run(f);
  cr_assert_eq(f->r->direct_blocks, 1);
  cr_assert_eq(f->r->group[0].all_blocks, 200000);
}

Test(leakscan, array_of_many_blocks_in_a_large_block) {
  struct fixture *f = setup();
  unsigned array = add(f, 100000 * sizeof(uintptr_t));
  uintptr_t *word = (uintptr_t *)f->b[array].p;
  for (unsigned i = 0; i < 100000; i++) word[i] = take(f, 16) + 8;
  f->root[3] = (uintptr_t)&word[99999]; /* into its end */
  run(f);
  cr_assert_eq(f->r->live_blocks, 100001);
  cr_assert_eq(f->r->leaked_blocks, 0);
}

Test(leakscan, kept_block_is_no_leak_but_what_it_refers_to_is) {
  struct fixture *f = setup();
  add(f, 64), add(f, 64);
  link_blocks(f, 0, 1, 0);
  cr_assert(leakscan_begin(&f->ls, f->h, vm_system()));
  leakscan_keep(&f->ls, f->b[0].p + 20);
  cr_assert(leakscan_finish(&f->ls, f->r));
  leakscan_end(&f->ls);
  cr_assert_eq(f->r->leaked_blocks, 1);
  cr_assert_eq(f->r->group[0].addr, f->b[1].p);
}

static uintptr_t stacks[2];

static unsigned two_stacks(uintptr_t p, uintptr_t *frame, unsigned max) {
  cr_assert_geq(max, 2);
  frame[0] = stacks[(p >> 5) & 1];
  frame[1] = 7;
  return 2;
}

Test(leakscan, blocks_are_grouped_by_size_and_stack) {
  struct fixture *f = setup();
  for (unsigned i = 0; i < 64; i++) add(f, 32);
  for (unsigned i = 0; i < 3; i++) add(f, 1000);
  stacks[0] = 100, stacks[1] = 200;
  cr_assert(leakscan_begin(&f->ls, f->h, vm_system()));
  f->ls.stack_of = two_stacks;
  cr_assert(leakscan_finish(&f->ls, f->r));
  leakscan_end(&f->ls);
  cr_assert_eq(f->r->leaked_blocks, 67);
  uint64_t of32 = 0;
  for (unsigned i = 0; i < f->r->ngroups; i++) {
    const struct leak_group *g = &f->r->group[i];
    cr_assert_eq(g->nframes, 2);
    cr_assert_eq(g->frame[1], 7);
    if (g->size == 32) {
      cr_assert_eq(g->blocks, 32);
      of32 += g->frame[0];
    }
    if (i > 0) cr_assert_leq(g->all_bytes, f->r->group[i - 1].all_bytes);
  }
  cr_assert_eq(of32, 300);
}

Test(leakscan, more_groups_than_room_are_summed_up) {
  struct fixture *f = setup();
  static const size_t slots[] = {16, 32, 48, 64, 80, 96, 112, 128};
  /* Large blocks of many sizes: each is a group. */
  for (unsigned i = 0; i < LEAK_GROUPS + 20; i++)
    take(f, MAX_SMALL_SIZE + 8192 * (size_t)(i + 1));
  for (unsigned i = 0; i < array_len(slots); i++) take(f, slots[i]);
  run(f);
  cr_assert_eq(f->r->ngroups, LEAK_GROUPS);
  uint64_t blocks = f->r->other_blocks, bytes = f->r->other_bytes;
  for (unsigned i = 0; i < f->r->ngroups; i++) {
    blocks += f->r->group[i].all_blocks;
    bytes += f->r->group[i].all_bytes;
  }
  cr_assert_eq(blocks, f->r->leaked_blocks);
  cr_assert_eq(bytes, f->r->leaked_bytes);
  cr_assert_eq(blocks, LEAK_GROUPS + 20 + array_len(slots));
}

static bool half_find(const struct mspan *s, uintptr_t p,
                      struct leak_range *bytes) {
  bytes->lo = p + 16;
  bytes->hi = p + 32;
  return (p - s->base) / s->elemsize % 2 == 0;
}

Test(leakscan, special_owner_says_what_is_a_block_and_how_long) {
  struct fixture *f = setup();
  int owner;
  for (unsigned i = 0; i < 4; i++) add(f, 64);
  unsigned other = add(f, 1000);
  struct mspan *s = span_of(&f->h->arenas, f->b[0].p);
  atomic_ptr_store_release(&s->local.owner, &owner);
  *(uintptr_t *)f->b[0].p = f->b[other].p; /* outside the block's bytes */
  *(uintptr_t *)(f->b[1].p + 16) = f->b[other].p; /* no block */
  cr_assert(leakscan_begin(&f->ls, f->h, vm_system()));
  f->ls.special_owner = &owner;
  f->ls.special_find = half_find;
  f->root[0] = f->b[0].p + 4;
  f->root[1] = f->b[1].p + 4;
  leakscan_range(&f->ls, (uintptr_t)f->root, (uintptr_t)(f->root + ROOTS));
  cr_assert(leakscan_finish(&f->ls, f->r));
  leakscan_end(&f->ls);
  cr_assert_eq(f->r->direct_blocks, 1 + (s->nelems + 1) / 2 - 1);
  bool named = false;
  for (unsigned i = 0; i < f->r->ngroups; i++)
    if (f->r->group[i].addr == f->b[other].p) named = true;
  cr_assert(named);
}
