// SPDX-License-Identifier: MIT
/*
 * Checkmark mode (Go: mcheckmark.go): after marking, still in the stopped world,
 * the graph is traversed once more by the simplest means, and the outcomes are
 * compared. The bits are those of heapArena.checkmarks, one for each word of the
 * heap; an object's is that of its first word.
 *
 * As little as possible is shared with mark.c: one thread, one stack of objects
 * (a mapping that doubles), division in place of multiplication, every word of
 * the bitmap asked, no prefetch, no pieces, no early end of long objects.
 *
 *   I1  what this traversal reaches is marked
 *   I2  what is marked is reached; not asked when a thread is in a blocking
 *       region, whose system call may write over a stale word meanwhile, nor when the
 *       program ran while it was marked, and may have let go of it since
 */
#include "gc/state.h"

#include "base/fatal.h"
#include "base/print.h"
#include "gc/scan.h"
#include "heap/heapbits.h"
#include "type/ptrmask.h"
#include "type/type.h"

struct checker {
  struct gc *g;
  struct heap *h;
  uintptr_t *stack; /* objects to scan */
  size_t n, cap;
  bool out_of_memory;
};

static bool prepare_bits(struct gc *g) {
  struct heap *h = g->h;
  for (size_t i = 0; i < h->narenas; i++) {
    struct heap_arena *a = h->all_arenas[i];
    struct checkmarks *c = atomic_ptr_load_relaxed(&a->checkmarks);
    if (!c) {
      c = persistent_alloc(&h->meta, sizeof *c, 64, &h->stats.gc_meta);
      if (!c) return false;
      atomic_ptr_store_release(&a->checkmarks, c);
      continue;
    }
    for (size_t w = 0; w < HEAP_ARENA_BITMAP_WORDS; w++)
      if (atomic_u64_load_relaxed(&c->bits[w]))
        atomic_u64_store_relaxed(&c->bits[w], 0);
  }
  return true;
}

static struct atomic_u64 *check_word(struct heap *h, uintptr_t p,
                                     uint64_t *bit) {
  struct checkmarks *c =
      atomic_ptr_load_relaxed(&arena_of(&h->arenas, p)->checkmarks);
  uintptr_t i = arena_word_index(p);
  *bit = 1ull << (i % 64);
  return &c->bits[i / 64];
}

static void push(struct checker *c, uintptr_t object) {
  if (c->n == c->cap) {
    size_t cap = c->cap ? 2 * c->cap : 8192;
    uintptr_t *p =
        vm_alloc(c->h->vm, cap * sizeof *p, "mallocgc: checkmark", NULL);
    if (!p) {
      c->out_of_memory = true;
      return;
    }
    for (size_t i = 0; i < c->n; i++) p[i] = c->stack[i];
    if (c->stack) c->h->vm->ops->free(c->h->vm, c->stack, c->cap * sizeof *p);
    c->stack = p;
    c->cap = cap;
  }
  c->stack[c->n++] = object;
}

static MGC_COLD void found_unmarked(const struct mspan *s, size_t i,
                                    uintptr_t word, uintptr_t where,
                                    uintptr_t holder) {
  fatal_bug("checkmark found unmarked object: ptr=%p (word %p at %p in %s %p) "
            "span=%p elemsize=%zu index=%zu spanclass=%u sweepgen=%u",
            (void *)(s->base + i * s->elemsize), (void *)word, (void *)where,
            holder ? "object" : "root", (void *)holder, (void *)s->base,
            s->elemsize, i, s->spanclass.v,
            atomic_u32_load_relaxed(&s->sweepgen));
}

/* A word that may be a pointer, found at `where` in object `holder` (0: root). */
static void check_edge(struct checker *c, uintptr_t word, uintptr_t where,
                       uintptr_t holder) {
  const struct mspan *s = span_of_heap(&c->h->arenas, word);
  uint64_t bit;
  if (!s) return;
  size_t i = (word - s->base) / s->elemsize;
  if (!mspan_is_alloc(s, (unsigned)i)) return;
  if (!mspan_is_marked(s, (unsigned)i)) /* I1 */
    found_unmarked(s, i, word, where, holder);
  uintptr_t object = s->base + i * s->elemsize;
  struct atomic_u64 *w = check_word(c->h, object, &bit);
  if (atomic_u64_fetch_or_relaxed(w, bit) & bit) return;
  if (!mspan_noscan(s)) push(c, object);
}

static bool is_pointer_word(const struct heap *h, const struct mspan *s,
                            uintptr_t object, uintptr_t p) {
  if (spanclass_size(s->spanclass) == 0) {
    const struct mgc_type *type = atomic_ptr_load_acquire(&s->masktype);
    if (!type) return false;
    return type_tiled_mask(type, (p - object) / PTR_BYTES) & 1;
  }
  return heapbits_load(arena_of(&h->arenas, p), p, p + PTR_BYTES) & 1;
}

static void check_object(struct checker *c, uintptr_t object) {
  const struct mspan *s = span_of(&c->h->arenas, object);
  for (uintptr_t p = object; p < object + s->elemsize; p += PTR_BYTES)
    if (is_pointer_word(c->h, s, object, p))
      check_edge(c, scan_load((const uintptr_t *)p), p, object);
}

static void check_span(struct mspan *s, void *arg) {
  struct checker *c = arg;
  uint64_t bit;
  for (unsigned i = 0; i < s->nelems; i++) {
    if (!mspan_is_marked(s, i)) continue;
    uintptr_t object = mspan_slot(s, i);
    struct atomic_u64 *w = check_word(c->h, object, &bit);
    if (!(atomic_u64_load_relaxed(w) & bit)) /* I2 */
      fatal_bug("checkmark: marked object is not reachable: ptr=%p span=%p "
                "elemsize=%zu index=%u",
                (void *)object, (void *)s->base, s->elemsize, i);
  }
}

static bool everybody_stood(void) {
  for (const struct thread *t = thread_registry.head; t; t = t->next)
    if (atomic_u32_load_relaxed(&t->state) == THREAD_BLOCKED_HELD) return false;
  return true;
}

static void plant_faults(struct gc *g) {
  uintptr_t unmark = g->faults.unmark, mark = g->faults.mark;
  struct mspan *s;
  if (unmark && (s = span_of_heap(&g->h->arenas, unmark)) != NULL) {
    unsigned i = mspan_index(s, unmark);
    atomic_u64_fetch_and_relaxed(&s->bits[i / 64].mark, ~(1ull << (i % 64)));
  }
  if (mark && (s = span_of_heap(&g->h->arenas, mark)) != NULL)
    mspan_set_mark(s, mspan_index(s, mark));
}

void checkmark_run(struct gc *g, bool exact) {
  struct checker c = {.g = g, .h = g->h};
  plant_faults(g);
  if (!prepare_bits(g)) return; /* no memory: this cycle is not checked */
  for (size_t i = 0; i < g->roots.n; i++) {
    struct root_range r = g->roots.shard[i];
    for (uintptr_t p = r.lo; p < r.hi; p += PTR_BYTES)
      check_edge(&c, scan_load((const uintptr_t *)p), p, 0);
  }
  while (c.n > 0) check_object(&c, c.stack[--c.n]);
  if (exact && !c.out_of_memory && everybody_stood())
    mheap_visit_spans(g->h, check_span, &c);
  if (c.stack) g->h->vm->ops->free(g->h->vm, c.stack, c.cap * sizeof *c.stack);
}
