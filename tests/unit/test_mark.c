// SPDX-License-Identifier: MIT
/*
 * Marking, on a heap of its own with roots given by hand: what is marked is
 * compared, object by object, with a reference traversal that reads the test's
 * own tables. Random graphs of every size class and kind; one marker and several;
 * without memory for mark buffers and queues; object at a time, and span at a time with
 * each kernel.
 */
#include "gc/mark.h"
#include "gc/roots.h"
#include "gc/world.h"
#include "support/rng.h"
#include "support/test_heap.h"
#include "type/type.h"
#include <criterion/criterion.h>
#include <stdlib.h>

#define MAX_OBJECTS 20000
#define MAX_EDGES 6

enum kind { TYPED, CONSERVATIVE, NOSCAN, KINDS };

struct object {
  uintptr_t p;
  size_t size;
  enum kind kind;
  unsigned nedges, edge[MAX_EDGES]; /* that the collector must follow */
  bool reached;
};

/* How small objects are marked. */
static const struct way {
  enum heap_markunit unit;
  enum heap_scankernel kernel;
} ways[] = {
    {MARKUNIT_OBJECT, SCANKERNEL_AUTO},
    {MARKUNIT_SPAN, SCANKERNEL_PORTABLE},
    {MARKUNIT_SPAN, SCANKERNEL_AVX2},
    {MARKUNIT_SPAN, SCANKERNEL_AVX512},
};
#define NWAYS (sizeof ways / sizeof *ways)

struct graph {
  size_t only_size; /* of objects; 0: any */
  struct heap *h;
  struct mcache *c;
  struct marking *m;
  struct roots *roots;
  struct world *world;
  struct rng r;
  size_t n;
  struct object o[MAX_OBJECTS];
  uintptr_t root[64];
  size_t nroots;
};

static struct graph *graph_new(struct rng r, const struct way *way) {
  struct graph *g = calloc(1, sizeof *g);
  g->h = test_heap();
  g->h->opt.markunit = way->unit;
  g->h->opt.scankernel = way->kernel;
  g->c = mcache_new(g->h);
  g->r = r;
  g->m = persistent_alloc(&g->h->meta, sizeof *g->m, 64, NULL);
  g->roots = persistent_alloc(&g->h->meta, sizeof *g->roots, 64, NULL);
  g->world = persistent_alloc(&g->h->meta, sizeof *g->world, 64, NULL);
  roots_init(g->roots, &g->h->meta, NULL);
  cr_assert(mark_init(g->m, g->h, g->roots, g->world));
  return g;
}

/* Even words of a typed object are pointers, odd ones are not. */
static const struct mgc_type *type_of_words(size_t nwords) {
  static const uint8_t mask[] = {0x55, 0x55, 0x55, 0x55,
                                 0x55, 0x55, 0x55, 0x55};
  size_t n = nwords < 64 ? nwords : 64;
  uint8_t cut[8];
  memcpy(cut, mask, sizeof cut);
  if (n % 8) cut[n / 8] &= (uint8_t)((1u << (n % 8)) - 1);
  return mgc_type_make("test words", nwords * 8, 8, cut, n);
}

static size_t random_size(struct rng *r) {
  uint64_t k = rng_below(r, 100);
  if (k < 60) return 8 * (1 + rng_below(r, 16));
  if (k < 90) return 8 * (1 + rng_below(r, 256));
  if (k < 98) return 8 * (1 + rng_below(r, 4096));
  return 8 * (4097 + rng_below(r, 40000));
}

static uintptr_t allocate(struct graph *g, size_t size, enum kind kind,
                          const struct mgc_type *type) {
  bool noscan = kind == NOSCAN;
  if (size > MAX_SMALL_SIZE) {
    struct mspan *s = mheap_alloc_large(g->h, size, 0, noscan, g->c);
    cr_assert_not_null(s);
    if (s->needzero) memset((void *)s->base, 0, s->elemsize);
    if (!noscan)
      atomic_ptr_store_release(&s->masktype, (void *)(uintptr_t)type);
    return s->base;
  }
  unsigned sc = sizeclass_of(g->h->classes, size);
  struct spanclass spc = spanclass_make(sc, noscan);
  struct mgc_run *run = &g->c->pub.run[spc.v];
  uintptr_t p;
  /* One type for each class until the run is used up. */
  if (run->type != type) cr_assert(mcache_refill(g->h, g->c, spc, type));
  while (!mgc_run_take(run, run->elemsize, &p))
    cr_assert(mcache_refill(g->h, g->c, spc, type));
  return p;
}

static void add_object(struct graph *g) {
  struct object *o = &g->o[g->n];
  o->size = g->only_size ? g->only_size : random_size(&g->r);
  o->kind = (enum kind)rng_below(&g->r, KINDS);
  size_t words = o->size / 8;
  const struct mgc_type *type = mgc_run_zeroed;
  if (o->kind == CONSERVATIVE) type = &mgc_type_conservative;
  if (o->kind == TYPED) {
    type = type_of_words(words);
    cr_assert_not_null(type);
  }
  o->p = allocate(g, o->size, o->kind, type);
  g->n++;
}

/* Whether word w of o is one that the collector reads as a pointer. */
static bool is_pointer_word(const struct object *o, size_t w) {
  if (o->kind == NOSCAN) return false;
  if (o->kind == CONSERVATIVE) return true;
  return w < 64 && w % 2 == 0;
}

/* Writes references into random words, pointer words or not. */
static void add_edges(struct graph *g, struct object *o) {
  size_t words = o->size / 8;
  for (unsigned i = 0; i < MAX_EDGES; i++) {
    size_t w = rng_below(&g->r, words);
    unsigned to = (unsigned)rng_below(&g->r, g->n);
    /* Mostly in the same span, or the next. */
    if (g->only_size && rng_chance(&g->r, 2))
      to = (unsigned)(((size_t)(o - g->o) + rng_below(&g->r, 40)) % g->n);
    uintptr_t *slot = (uintptr_t *)o->p + w;
    if (*slot || rng_chance(&g->r, 2)) continue;
    /* Interior pointers to any byte count. */
    *slot = g->o[to].p + rng_below(&g->r, g->o[to].size);
    if (is_pointer_word(o, w)) o->edge[o->nedges++] = to;
  }
}

/* Words that are no references: small, huge, and just outside of objects. */
static void add_noise(struct graph *g, struct object *o) {
  static const uintptr_t noise[] = {1, UINTPTR_MAX, (uintptr_t)1 << 63,
                                    (uintptr_t)1 << 47, 0x7f0000000000};
  uintptr_t *slot = (uintptr_t *)o->p + rng_below(&g->r, o->size / 8);
  if (!*slot) *slot = noise[rng_below(&g->r, 5)];
}

static void build(struct graph *g, size_t n) {
  while (g->n < n) add_object(g);
  for (size_t i = 0; i < n; i++) {
    if (!rng_chance(&g->r, 3)) add_edges(g, &g->o[i]);
    add_noise(g, &g->o[i]);
  }
  /* The tail of large objects too. */
  for (size_t i = 0; i < n; i++) {
    struct object *o = &g->o[i];
    if (o->size <= MAX_SMALL_SIZE || o->kind != CONSERVATIVE) continue;
    uintptr_t *last = (uintptr_t *)o->p + o->size / 8 - 1;
    if (*last || o->nedges == MAX_EDGES) continue;
    unsigned to = (unsigned)rng_below(&g->r, n);
    *last = g->o[to].p;
    o->edge[o->nedges++] = to;
  }
  mcache_flush(g->h, g->c);
}

static void reach(struct graph *g, unsigned first) {
  unsigned *stack = malloc(sizeof *stack * MAX_OBJECTS * (MAX_EDGES + 1));
  size_t n = 0;
  stack[n++] = first;
  while (n > 0) {
    struct object *o = &g->o[stack[--n]];
    if (o->reached) continue;
    o->reached = true;
    for (unsigned i = 0; i < o->nedges; i++) stack[n++] = o->edge[i];
  }
  free(stack);
}

static void choose_roots(struct graph *g, size_t nroots) {
  g->nroots = nroots;
  for (size_t i = 0; i < nroots; i++) {
    unsigned to = (unsigned)rng_below(&g->r, g->n);
    g->root[i] = g->o[to].p + rng_below(&g->r, g->o[to].size);
    reach(g, to);
  }
  static struct root_range shard;
  shard =
      (struct root_range){(uintptr_t)g->root, (uintptr_t)(g->root + nroots)};
  g->roots->shard = &shard;
  g->roots->n = 1;
}

/* Scanned bits are those of the marks, and nobody waits. */
static void check_scanned(struct mspan *s, void *arg) {
  bool by_span = *(bool *)arg;
  if (!s->by_span) return;
  cr_assert_eq(atomic_u8_load_relaxed(&s->owned), SPANQ_UNOWNED);
  for (size_t w = 0; w < mspan_nwords(s); w++) {
    uint64_t mark = atomic_u64_load_relaxed(&s->bits[w].mark);
    cr_assert_eq(atomic_u64_load_relaxed(&mspan_scanned(s)[w]),
                 by_span ? mark : 0);
  }
}

static void compare(struct graph *g) {
  bool by_span = g->h->opt.markunit != MARKUNIT_OBJECT;
  mheap_visit_spans(g->h, check_scanned, &by_span);
  uint64_t bytes = 0, objects = 0, marked_bytes, marked_objects;
  for (size_t i = 0; i < g->n; i++) {
    struct object *o = &g->o[i];
    struct mspan *s = span_of_heap(&g->h->arenas, o->p);
    unsigned slot = mspan_index(s, o->p);
    cr_assert_eq(mspan_is_marked(s, slot), o->reached,
                 "object %zu size %zu kind %d: marked %d, reachable %d", i,
                 o->size, o->kind, mspan_is_marked(s, slot), o->reached);
    if (!o->reached) continue;
    bytes += s->elemsize;
    objects++;
    cr_assert(atomic_u8_load_relaxed(&s->has_marks));
    cr_assert(
        arena_page_bit(arena_of(&g->h->arenas, s->base)->page_marks, s->base));
  }
  mark_sum(g->m, &marked_bytes, &marked_objects);
  cr_assert_eq(marked_bytes, bytes, "%lu, want %lu", marked_bytes, bytes);
  cr_assert_eq(marked_objects, objects);
}

static void clear_marks(struct mspan *s, void *arg) {
  (void)arg;
  mspan_clear_marks(s);
  atomic_u8_store_relaxed(&s->has_marks, 0);
}

static void unmark_all(struct graph *g) {
  mheap_visit_spans(g->h, clear_marks, NULL);
  for (size_t i = 0; i < g->n; i++) g->o[i].reached = false;
}

static void mark_rounds(struct graph *g, const size_t *nroots, size_t n,
                        unsigned markers) {
  for (size_t round = 0; round < n; round++) {
    choose_roots(g, nroots[round % 6]);
    mark_prepare(g->m, markers);
    mark_run(g->m);
    compare(g);
    unmark_all(g);
  }
}

Test(mark, marks_exactly_what_is_reachable) {
  struct rng r = rng_seed();
  for (size_t way = 0; way < NWAYS; way++) {
    struct graph *g = graph_new(r, &ways[way]);
    build(g, 8000);
    mark_rounds(g, (size_t[]){0, 1, 3, 10, 40, 64}, 6, 1);
  }
}

Test(mark, spans_of_one_size_are_marked_exactly) {
  struct rng r = rng_seed();
  static const size_t sizes[] = {8, 16, 24, 48, 64, 112, 256, 480, 512, 576};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (size_t way = 0; way < NWAYS; way++) {
      struct graph *g = graph_new(r, &ways[way]);
      g->only_size = sizes[i];
      build(g, 20000);
      mark_rounds(g, (size_t[]){0, 1, 2, 10, 40, 64}, 6, 1);
    }
}

Test(mark, several_markers_agree) {
  struct rng r = rng_seed();
  for (size_t way = 0; way < NWAYS; way++)
    for (size_t size = 0; size <= 64; size += 32) {
      struct graph *g = graph_new(r, &ways[way]);
      g->only_size = size;
      build(g, 12000);
      mark_make_helpers(g->m, 3);
      cr_assert_eq(atomic_u32_load_acquire(&g->m->nhelpers), 3);
      mark_rounds(g, (size_t[]){20, 20, 20, 20, 20, 20}, 20, 4);
    }
}

/* An array of pointers to boxes that lie one behind another, but for every third, and
 * each with a pointer to bytes: their bits are set many at a time. */
static void neighbours(const struct way *way, size_t size, unsigned helpers) {
  enum { N = 30000 };
  struct graph *g = graph_new(rng_from(1), way);
  uint64_t bytes, objects, kept = 0;
  uintptr_t top =
      allocate(g, (size_t)N * 8, CONSERVATIVE, &mgc_type_conservative);
  for (size_t i = 0; i < N; i++) {
    uintptr_t box = allocate(g, size, CONSERVATIVE, &mgc_type_conservative);
    *(uintptr_t *)box = allocate(g, 24, NOSCAN, mgc_run_zeroed);
    if (i % 3 == 0) continue;
    ((uintptr_t *)top)[i] = box;
    kept++;
  }
  if (helpers) mark_make_helpers(g->m, helpers);
  static struct root_range shard;
  g->root[0] = top;
  shard = (struct root_range){(uintptr_t)g->root, (uintptr_t)(g->root + 1)};
  g->roots->shard = &shard;
  g->roots->n = 1;
  mcache_flush(g->h, g->c);
  for (int round = 0; round < 3; round++) {
    mark_prepare(g->m, 1 + helpers);
    mark_run(g->m);
    mark_sum(g->m, &bytes, &objects);
    cr_assert_eq(objects, 1 + 2 * kept, "size=%zu helpers=%u objects=%lu", size,
                 helpers, objects);
    bool by_span = g->h->opt.markunit != MARKUNIT_OBJECT;
    mheap_visit_spans(g->h, check_scanned, &by_span);
    unmark_all(g);
  }
}

Test(mark, neighbours_are_marked_together) {
  static const size_t sizes[] = {8, 16, 24, 64, 640};
  for (size_t way = 0; way < NWAYS; way++)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
      for (unsigned helpers = 0; helpers < 3; helpers++)
        neighbours(&ways[way], sizes[i], helpers);
}

/* A list of conservative cells, and an array of pointers to all of them. */
static uintptr_t make_list(struct graph *g, size_t n, uintptr_t *array) {
  uintptr_t head = 0;
  for (size_t i = 0; i < n; i++) {
    uintptr_t p = allocate(g, 16, CONSERVATIVE, &mgc_type_conservative);
    *(uintptr_t *)p = head;
    if (array) array[i] = p;
    head = p;
  }
  return head;
}

static void mark_from(struct graph *g, uintptr_t root) {
  static struct root_range shard;
  mcache_flush(g->h, g->c);
  g->root[0] = root;
  shard = (struct root_range){(uintptr_t)g->root, (uintptr_t)(g->root + 1)};
  g->roots->shard = &shard;
  g->roots->n = 1;
  mark_prepare(g->m, 1);
  mark_run(g->m);
}

Test(mark, long_list_needs_no_memory) {
  for (size_t way = 0; way < NWAYS; way++) {
    struct graph *g = graph_new(rng_from(1), &ways[way]);
    uint64_t bytes, objects;
    uintptr_t head = make_list(g, 300000, NULL);
    uint32_t bufs = atomic_u32_load_relaxed(&g->m->nbufs);
    mark_from(g, head);
    mark_sum(g->m, &bytes, &objects);
    cr_assert_eq(objects, 300000);
    cr_assert_eq(bytes, 300000 * 16);
    cr_assert_eq(atomic_u32_load_relaxed(&g->m->nbufs), bufs);
    cr_assert_eq(atomic_u32_load_relaxed(&g->m->spans.nblocks), 0);
  }
}

Test(mark, huge_array_is_scanned_in_pieces) {
  struct graph *g = graph_new(rng_from(1), &ways[0]);
  uint64_t bytes, objects;
  size_t n = 500000;
  uintptr_t array = allocate(g, n * 8, CONSERVATIVE, &mgc_type_conservative);
  make_list(g, n, (uintptr_t *)array);
  /* No links: each cell is reached from the array only. */
  for (size_t i = 0; i < n; i++) **(uintptr_t **)(array + i * 8) = 0;
  mark_from(g, array + 12345);
  mark_sum(g->m, &bytes, &objects);
  cr_assert_eq(objects, n + 1);
  /* 4 MB of pointers, but never more than a few pieces of 2,048 at once. */
  cr_assert_lt(atomic_u32_load_relaxed(&g->m->nbufs), 64);
}

/* Only the buffers that markers hold, and the rings of their queues. */
static void take_buffers_away(struct graph *g) {
  atomic_u32_store_relaxed(&g->m->spans.max_blocks, 0);
  atomic_u32_store_relaxed(&g->m->max_bufs, 1);
  while (lfstack_pop(&g->m->empty)) {
  }
}

/* An array of n arrays of n cells: wide, so that edges pile up. */
static uintptr_t make_wide(struct graph *g, size_t n) {
  uintptr_t *top =
      (uintptr_t *)allocate(g, n * 8, CONSERVATIVE, &mgc_type_conservative);
  for (size_t i = 0; i < n; i++) {
    top[i] = allocate(g, n * 8, CONSERVATIVE, &mgc_type_conservative);
    for (size_t j = 0; j < n; j++)
      ((uintptr_t *)top[i])[j] =
          allocate(g, 16, CONSERVATIVE, &mgc_type_conservative);
  }
  return (uintptr_t)top;
}

static void mark_wide(struct graph *g, uintptr_t top, size_t n,
                      unsigned helpers) {
  uint64_t bytes, objects, passes = g->m->passes;
  static struct root_range shard;
  bool by_span = g->h->opt.markunit != MARKUNIT_OBJECT;
  g->root[0] = top;
  shard = (struct root_range){(uintptr_t)g->root, (uintptr_t)(g->root + 1)};
  g->roots->shard = &shard;
  g->roots->n = 1;
  mark_prepare(g->m, 1 + helpers);
  mark_run(g->m);
  mark_sum(g->m, &bytes, &objects);
  cr_assert_eq(objects, 1 + n + n * n, "%lu objects", objects);
  cr_assert_gt(g->m->passes, passes, "nothing was forgotten");
  mheap_visit_spans(g->h, check_scanned, &by_span);
  unmark_all(g);
}

Test(mark, without_memory_for_buffers_everything_is_still_found) {
  for (size_t way = 0; way < NWAYS; way++)
    for (unsigned helpers = 0; helpers < 3; helpers++) {
      struct graph *g = graph_new(rng_from(1), &ways[way]);
      size_t n = 700;
      uintptr_t top = make_wide(g, n);
      if (helpers) mark_make_helpers(g->m, helpers);
      mcache_flush(g->h, g->c);
      take_buffers_away(g);
      for (int round = 0; round < 3; round++) mark_wide(g, top, n, helpers);
    }
}

/* Cells in more spans than a ring has room for, which are all found before the first
 * is visited. */
Test(mark, spans_that_no_queue_had_room_for_are_still_scanned) {
  for (unsigned helpers = 0; helpers < 3; helpers++) {
    struct graph *g = graph_new(rng_from(1), &ways[1]);
    size_t n = 2000, per_span = 128;
    uint64_t bytes, objects;
    uintptr_t top = allocate(g, n * 8, CONSERVATIVE, &mgc_type_conservative);
    for (size_t i = 0; i < n * per_span; i++) {
      uintptr_t p = allocate(g, 64, CONSERVATIVE, &mgc_type_conservative);
      if (i % per_span == 0) ((uintptr_t *)top)[i / per_span] = p;
      ((uintptr_t *)p)[7] =
          allocate(g, 8, CONSERVATIVE, &mgc_type_conservative);
    }
    if (helpers) mark_make_helpers(g->m, helpers);
    atomic_u32_store_relaxed(&g->m->spans.max_blocks, 0);
    uint64_t passes = g->m->passes;
    mark_from(g, top);
    mark_sum(g->m, &bytes, &objects);
    cr_assert_eq(objects, 1 + 2 * n, "%lu objects", objects);
    cr_assert_gt(g->m->passes, passes, "nothing was dropped");
    bool by_span = true;
    mheap_visit_spans(g->h, check_scanned, &by_span);
  }
}

Test(mark, random_graph_without_memory_for_buffers) {
  struct rng r = rng_seed();
  for (size_t way = 0; way < NWAYS; way++) {
    struct graph *g = graph_new(r, &ways[way]);
    build(g, 6000);
    take_buffers_away(g);
    for (int round = 0; round < 10; round++) {
      choose_roots(g, 30);
      mark_prepare(g->m, 1);
      /* As if something had been forgotten: all is scanned again. */
      atomic_u32_store_relaxed(&g->m->overflow, 1);
      mark_run(g->m);
      compare(g);
      unmark_all(g);
    }
  }
}

Test(mark, typed_large_array_follows_its_type) {
  struct graph *g = graph_new(rng_from(1), &ways[0]);
  static const uint8_t mask[] = {2}; /* the middle one of three words */
  const struct mgc_type *t = mgc_type_make("test triple", 24, 8, mask, 3);
  uint64_t bytes, objects;
  size_t n = 40000;
  uintptr_t *a = (uintptr_t *)allocate(g, n * 24, TYPED, t);
  uintptr_t *cells = malloc(3 * n * sizeof *cells);
  make_list(g, 3 * n, cells);
  for (size_t i = 0; i < 3 * n; i++) {
    *(uintptr_t *)cells[i] = 0;
    a[i] = cells[i];
  }
  mark_from(g, (uintptr_t)a);
  mark_sum(g->m, &bytes, &objects);
  cr_assert_eq(objects, n + 1);
  for (size_t i = 0; i < 3 * n; i++) {
    struct mspan *s = span_of_heap(&g->h->arenas, cells[i]);
    cr_assert_eq(mspan_is_marked(s, mspan_index(s, cells[i])), i % 3 == 1);
  }
}

Test(mark, large_object_without_published_type_is_not_read) {
  struct graph *g = graph_new(rng_from(1), &ways[0]);
  uint64_t bytes, objects;
  struct mspan *s = mheap_alloc_large(g->h, 100000, 0, false, g->c);
  uintptr_t cell = allocate(g, 16, CONSERVATIVE, &mgc_type_conservative);
  *(uintptr_t *)s->base = cell;
  mark_from(g, s->base);
  mark_sum(g->m, &bytes, &objects);
  cr_assert_eq(objects, 1);
}
