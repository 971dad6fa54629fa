// SPDX-License-Identifier: MIT
/*
 * Which blocks can still be reached.
 *
 * A slot is a block of the program's when its span is in use, it was handed out at
 * some time (below freeindex), and it does not carry a free slot's pair of words
 * (tcache.h). So no list has to be walked, whatever a stopped thread was doing to
 * it: a slot on its way from one list to another carries the pair all the time,
 * and one that is just being handed out or freed is in that thread's registers.
 * At worst one slot for each thread is taken for free, and then not reported.
 *
 * Marks are one bit for 16 bytes (malloc's alignment) of an arena, 512 KiB for
 * 64 MiB, of which only pages that describe blocks are touched.
 *
 * A word refers to a block when it points anywhere into its slot. The words of what
 * is reached are gone through in pieces of PIECE, depth first, so that an array
 * of a million pointers does not need a million entries of `todo`. What a word
 * refers to is looked at LEAK_AHEAD such words later, when its mark and its first
 * line have come into the cache.
 *
 * Blocks that were not reached are then visited by address. Each that is still
 * unmarked becomes a representative, and all that it leads to is marked. None can
 * be reached from an earlier one, since that would have marked it. So, from the
 * last to the first, each that no later one leads to is one that no other leads
 * to at all, or the one of a ring that nothing else leads to; it claims all that
 * it leads to and that is not claimed. The others are represented no more.
 *
 *   I1  a marked bit belongs to a slot that is a block
 *   I2  an unclaimed bit belongs to a block that the roots do not lead to; there is
 *       none at the end
 *   I3  the sum of what representatives have claimed is what was not reached
 */
#include "face/malloc/leakscan.h"

#include "base/bits.h"
#include "base/fatal.h"
#include <string.h>

#define GRAIN_SHIFT 4
#define MARK_BYTES (HEAP_ARENA_BYTES >> GRAIN_SHIFT >> 3)
/* Half a page of the processor's: small beside a block's own cost, and `todo`
 * grows by 256 entries at most for each level. */
#define PIECE 2048u
#define LEAK_AHEAD 16u
#define VEC_FIRST_BYTES 65536u

struct leak_arena {
  const struct heap_arena *arena; /* NULL: none */
  uint64_t *mark;
  uint64_t *unclaimed; /* behind it: unreachable, and in nobody's account */
};

struct leak_ahead {
  const struct mspan *s; /* NULL: empty */
  uintptr_t slot;
};

struct leak_rep {
  uintptr_t slot;
  uintptr_t addr; /* of the block: the slot, except for special ones */
  size_t size;
  uint64_t blocks, bytes; /* claimed, with itself; 0: a later one leads to it */
  bool ring;              /* it can be reached from itself */
};

/* --- arrays --- */

void leak_vec_init(struct leak_vec *v, struct vm *vm, size_t size) {
  *v = (struct leak_vec){.vm = vm, .size = size};
}

static bool vec_grow(struct leak_vec *v) {
  size_t old = v->cap * v->size;
  size_t bytes = old ? 2 * old : VEC_FIRST_BYTES;
  size_t want = align_up(bytes, v->vm->page_size);
  void *p = vm_alloc(v->vm, want, "mallocgc: leaks", NULL);
  if (!p) return false;
  if (v->data) {
    memcpy(p, v->data, v->n * v->size);
    v->vm->ops->free(v->vm, v->data, align_up(old, v->vm->page_size));
  }
  v->data = p;
  v->cap = bytes / v->size;
  /* So that `old` is what was asked for, the next time. */
  mgc_assert(align_up(v->cap * v->size, v->vm->page_size) <= want);
  return true;
}

void *leak_vec_push(struct leak_vec *v) {
  if (v->n == v->cap && !vec_grow(v)) return NULL;
  void *e = (char *)v->data + v->n++ * v->size;
  memset(e, 0, v->size);
  return e;
}

void leak_vec_free(struct leak_vec *v) {
  if (v->data)
    v->vm->ops->free(v->vm, v->data,
                     align_up(v->cap * v->size, v->vm->page_size));
  v->data = NULL;
  v->n = v->cap = 0;
}

/* --- beginning and end --- */

static size_t table_bytes(const struct leakscan *ls) {
  return align_up(ls->count * sizeof *ls->arena +
                      LEAK_AHEAD * sizeof *ls->ahead,
                  ls->vm->page_size);
}

static void find_bounds(struct leakscan *ls) {
  const struct heap *h = ls->heap;
  uintptr_t lo = UINTPTR_MAX, hi = 0;
  for (size_t i = 0; i < h->narenas; i++) {
    uintptr_t base = h->all_arenas[i]->base;
    if (base < lo) lo = base;
    if (base + HEAP_ARENA_BYTES > hi) hi = base + HEAP_ARENA_BYTES;
  }
  ls->lo = lo < hi ? lo : 0;
  ls->hi = hi;
  ls->first = ls->lo >> HEAP_ARENA_SHIFT;
  ls->count = (ls->hi >> HEAP_ARENA_SHIFT) - ls->first;
}

bool leakscan_begin(struct leakscan *ls, const struct heap *h, struct vm *vm) {
  *ls = (struct leakscan){.heap = h, .vm = vm};
  leak_vec_init(&ls->todo, vm, sizeof(struct leak_range));
  leak_vec_init(&ls->reps, vm, sizeof(struct leak_rep));
  find_bounds(ls);
  char *p = vm_alloc(vm, table_bytes(ls), "mallocgc: leaks", NULL);
  if (!p) return false;
  ls->ahead = (void *)p;
  ls->arena = (void *)(p + LEAK_AHEAD * sizeof *ls->ahead);
  for (size_t i = 0; i < h->narenas; i++) {
    const struct heap_arena *a = h->all_arenas[i];
    struct leak_arena *la =
        &ls->arena[(a->base >> HEAP_ARENA_SHIFT) - ls->first];
    la->mark = vm_alloc(vm, 2 * MARK_BYTES, "mallocgc: leaks", NULL);
    if (!la->mark) return false;
    la->unclaimed = la->mark + MARK_BYTES / sizeof *la->mark;
    la->arena = a;
  }
  return true;
}

void leakscan_end(struct leakscan *ls) {
  leak_vec_free(&ls->todo);
  leak_vec_free(&ls->reps);
  if (!ls->ahead) return;
  for (uintptr_t i = 0; i < ls->count; i++)
    if (ls->arena[i].mark)
      ls->vm->ops->free(ls->vm, ls->arena[i].mark, 2 * MARK_BYTES);
  ls->vm->ops->free(ls->vm, ls->ahead, table_bytes(ls));
  ls->ahead = NULL;
}

/* --- blocks --- */

/* The program's memory: its sanitizers have no say here. */
MGC_NO_SANITIZE static inline uintptr_t load(uintptr_t at) {
  return *(const volatile uintptr_t *)at;
}

static bool is_large(const struct mspan *s) {
  return spanclass_size(s->spanclass) == 0;
}

static const struct mspan *span_at(const struct leakscan *ls, uintptr_t p) {
  uintptr_t i = (p >> HEAP_ARENA_SHIFT) - ls->first;
  if (i >= ls->count || !ls->arena[i].arena) return NULL;
  return atomic_ptr_load_relaxed(
      &ls->arena[i].arena->spans[arena_page_index(p)]);
}

static bool in_use(const struct mspan *s) {
  return atomic_u8_load_acquire(&s->state) == MSPAN_INUSE && s->elemsize != 0;
}

/* Whether the slot of s at p is a block, and which bytes it has. */
static bool is_block(const struct leakscan *ls, const struct mspan *s,
                     uintptr_t p, struct leak_range *bytes) {
  *bytes = (struct leak_range){p, p + s->elemsize};
  if (unlikely(ls->special_owner &&
               atomic_ptr_load_relaxed(&s->local.owner) == ls->special_owner))
    return ls->special_find(s, p, bytes);
  if (is_large(s)) return true;
  return mspan_index(s, p) < s->freeindex && !tcache_looks_free(p);
}

static const struct leak_arena *arena_at(const struct leakscan *ls,
                                         uintptr_t p) {
  return &ls->arena[(p >> HEAP_ARENA_SHIFT) - ls->first];
}

/* The word of an arena's bits, and the bit, for the slot at p. */
static uint64_t *bit_word(uint64_t *bits, uintptr_t p, uint64_t *bit) {
  uintptr_t g = (p & (HEAP_ARENA_BYTES - 1)) >> GRAIN_SHIFT;
  *bit = 1ull << (g % 64);
  return &bits[g / 64];
}

static bool is_marked(const struct leakscan *ls, uintptr_t p) {
  uint64_t bit;
  return *bit_word(arena_at(ls, p)->mark, p, &bit) & bit;
}

/* --- marking --- */

static void push(struct leakscan *ls, struct leak_range bytes) {
  struct leak_range *r = leak_vec_push(&ls->todo);
  if (r)
    *r = (struct leak_range){align_up(bytes.lo, PTR_BYTES),
                             align_down(bytes.hi, PTR_BYTES)};
  else
    ls->lost = true;
}

/* While there are no representatives, what is marked is reachable. */
static void set_mark(struct leakscan *ls, uintptr_t slot) {
  const struct leak_arena *a = arena_at(ls, slot);
  uint64_t bit, *w = bit_word(a->mark, slot, &bit);
  *w |= bit;
  if (ls->reps.n > 0) *bit_word(a->unclaimed, slot, &bit) |= bit;
}

/* False: it is not unclaimed. */
static bool take_unclaimed(struct leakscan *ls, uintptr_t slot) {
  uint64_t bit, *w = bit_word(arena_at(ls, slot)->unclaimed, slot, &bit);
  if (!(*w & bit)) return false;
  *w &= ~bit;
  return true;
}

/* The slot of s that holds p; 0: none. */
static uintptr_t slot_at(const struct mspan *s, uintptr_t p) {
  if (!in_use(s) || p < s->base || p >= s->limit) return 0;
  return is_large(s) ? s->base : mspan_slot(s, mspan_index(s, p));
}

/* A slot of s. */
static void reach(struct leakscan *ls, const struct mspan *s, uintptr_t slot) {
  struct leak_range bytes;
  if (is_marked(ls, slot) || !is_block(ls, s, slot, &bytes)) return;
  set_mark(ls, slot);
  push(ls, bytes);
}

static void look_ahead(struct leakscan *ls, uintptr_t p) {
  if (p - ls->lo >= ls->hi - ls->lo) return;
  const struct mspan *s = span_at(ls, p);
  uintptr_t slot = s ? slot_at(s, p) : 0;
  uint64_t bit;
  if (!slot) return;
  __builtin_prefetch(bit_word(arena_at(ls, slot)->mark, slot, &bit));
  __builtin_prefetch((const void *)slot);
  struct leak_ahead *a = &ls->ahead[ls->nahead++ % LEAK_AHEAD];
  struct leak_ahead due = *a;
  *a = (struct leak_ahead){s, slot};
  if (due.s) reach(ls, due.s, due.slot);
}

static void claim_block(struct leakscan *ls, const struct mspan *s,
                        uintptr_t slot) {
  struct leak_range bytes;
  ls->rep->blocks++;
  ls->rep->bytes += s->elemsize;
  if (is_block(ls, s, slot, &bytes)) push(ls, bytes);
}

/* The word at `at`, in what ls->rep has claimed, is p. */
static void claim(struct leakscan *ls, uintptr_t at, uintptr_t p) {
  const struct mspan *s = span_at(ls, p);
  uintptr_t slot = s ? slot_at(s, p) : 0;
  if (!slot || !is_marked(ls, slot)) return;
  if (take_unclaimed(ls, slot))
    claim_block(ls, s, slot);
  else if (slot == ls->rep->slot && at - slot >= s->elemsize)
    ls->rep->ring = true;
}

static void scan_piece(struct leakscan *ls, uintptr_t lo, uintptr_t hi) {
  if (!ls->rep) {
    for (uintptr_t at = lo; at < hi; at += PTR_BYTES) look_ahead(ls, load(at));
    return;
  }
  for (uintptr_t at = lo; at < hi; at += PTR_BYTES) {
    uintptr_t p = load(at);
    if (p - ls->lo < ls->hi - ls->lo) claim(ls, at, p);
  }
}

static void flush_ahead(struct leakscan *ls) {
  for (unsigned i = 0; i < LEAK_AHEAD; i++) {
    struct leak_ahead due = ls->ahead[i];
    ls->ahead[i].s = NULL;
    if (due.s) reach(ls, due.s, due.slot);
  }
}

static void drain(struct leakscan *ls) {
  do {
    while (ls->todo.n > 0) {
      struct leak_range *top =
          &((struct leak_range *)ls->todo.data)[ls->todo.n - 1];
      uintptr_t lo = top->lo, hi = top->hi;
      if (hi - lo > PIECE)
        top->lo = hi = lo + PIECE;
      else
        ls->todo.n--;
      scan_piece(ls, lo, hi);
    }
    flush_ahead(ls);
  } while (ls->todo.n > 0);
}

void leakscan_range(struct leakscan *ls, uintptr_t lo, uintptr_t hi) {
  lo = align_up(lo, PTR_BYTES);
  hi = align_down(hi, PTR_BYTES);
  if (lo >= hi) return;
  ls->root_bytes += hi - lo;
  push(ls, (struct leak_range){lo, hi});
  drain(ls);
}

void leakscan_keep(struct leakscan *ls, uintptr_t p) {
  const struct mspan *s = span_at(ls, p);
  uintptr_t slot = s ? slot_at(s, p) : 0;
  struct leak_range bytes;
  if (slot && is_block(ls, s, slot, &bytes)) set_mark(ls, slot);
}

/* --- what was not reached --- */

static void visit_block(struct leakscan *ls, struct leak_result *out,
                        const struct mspan *s, unsigned i) {
  uintptr_t p = mspan_slot(s, i);
  bool marked = is_marked(ls, p);
  struct leak_range bytes;
  if (!marked && !is_block(ls, s, p, &bytes)) return;
  out->live_blocks++;
  out->live_bytes += s->elemsize;
  if (marked) return;
  struct leak_rep *rep = leak_vec_push(&ls->reps);
  if (!rep) {
    ls->lost = true;
    return;
  }
  *rep = (struct leak_rep){.slot = p, .addr = bytes.lo, .size = s->elemsize};
  set_mark(ls, p);
  push(ls, bytes);
  drain(ls);
}

static void visit_arena(struct leakscan *ls, struct leak_result *out,
                        const struct heap_arena *a) {
  for (uintptr_t page = 0; page < PAGES_PER_ARENA; page++) {
    const struct mspan *s = atomic_ptr_load_relaxed(&a->spans[page]);
    /* Once, at its first page. */
    if (!s || !in_use(s) || s->base != a->base + (page << 13)) continue;
    unsigned n = is_large(s) ? 1 : s->nelems;
    for (unsigned i = 0; i < n; i++) visit_block(ls, out, s, i);
  }
}

/* From the last to the first, as the head says. */
static void claim_all(struct leakscan *ls) {
  for (size_t i = ls->reps.n; i-- > 0;) {
    struct leak_rep *rep = &((struct leak_rep *)ls->reps.data)[i];
    if (!take_unclaimed(ls, rep->slot)) continue;
    ls->rep = rep;
    claim_block(ls, span_at(ls, rep->slot), rep->slot);
    drain(ls);
  }
  ls->rep = NULL;
}

/* --- groups --- */

static unsigned frames_of(const struct leakscan *ls, uintptr_t p,
                          uintptr_t *frame) {
  return ls->stack_of ? ls->stack_of(p, frame, LEAK_FRAMES) : 0;
}

static bool same_group(const struct leak_group *g, const struct leak_rep *rep,
                       const uintptr_t *frame, unsigned nframes) {
  return g->size == rep->size && (g->rings != 0) == rep->ring &&
         g->nframes == nframes &&
         memcmp(g->frame, frame, nframes * sizeof *frame) == 0;
}

MGC_NO_SANITIZE static void describe(struct leak_group *g, uintptr_t addr) {
  g->addr = addr;
  g->nwords = LEAK_WORDS;
  for (unsigned i = 0; i < LEAK_WORDS; i++) {
    if (i * PTR_BYTES >= g->size) g->nwords = i;
    g->word[i] = i < g->nwords ? load(addr + i * PTR_BYTES) : 0;
  }
}

static void add_to_group(struct leak_group *g, const struct leak_rep *rep) {
  g->blocks++;
  g->all_blocks += rep->blocks;
  g->all_bytes += rep->bytes;
  if (rep->ring) g->rings++;
}

static uint64_t group_hash(const struct leak_rep *rep, const uintptr_t *frame,
                           unsigned nframes) {
  uint64_t h = rep->size * 2 + rep->ring;
  for (unsigned i = 0; i < nframes; i++)
    h = (h ^ frame[i]) * 0x9e3779b97f4a7c15u + (h >> 29);
  return h ^ h >> 32;
}

/* index: open addressing, twice as many places as there can be groups; 0: empty,
 * else the group's number + 1. */
static void group_rep(const struct leakscan *ls, struct leak_result *out,
                      uint16_t *index, const struct leak_rep *rep) {
  uintptr_t frame[LEAK_FRAMES];
  unsigned nframes = frames_of(ls, rep->addr, frame);
  size_t i = group_hash(rep, frame, nframes) % (2 * LEAK_GROUPS);
  while (index[i] &&
         !same_group(&out->group[index[i] - 1], rep, frame, nframes))
    i = (i + 1) % (2 * LEAK_GROUPS);
  if (!index[i] && out->ngroups == LEAK_GROUPS) {
    out->other_blocks += rep->blocks;
    out->other_bytes += rep->bytes;
    return;
  }
  if (!index[i]) {
    struct leak_group *g = &out->group[out->ngroups++];
    index[i] = (uint16_t)out->ngroups;
    *g = (struct leak_group){.size = rep->size, .nframes = nframes};
    memcpy(g->frame, frame, nframes * sizeof *frame);
    describe(g, rep->addr);
  }
  add_to_group(&out->group[index[i] - 1], rep);
}

static bool comes_before(const struct leak_group *a,
                         const struct leak_group *b) {
  if (a->all_bytes != b->all_bytes) return a->all_bytes > b->all_bytes;
  return a->addr < b->addr;
}

/* Insertion: there are few, and each is 400 bytes. */
static void sort_groups(struct leak_result *out) {
  for (uint32_t i = 1; i < out->ngroups; i++) {
    struct leak_group g = out->group[i];
    uint32_t at = i;
    for (; at > 0 && comes_before(&g, &out->group[at - 1]); at--)
      out->group[at] = out->group[at - 1];
    out->group[at] = g;
  }
}

bool leakscan_finish(struct leakscan *ls, struct leak_result *out) {
  uint16_t index[2 * LEAK_GROUPS] = {0};
  for (uintptr_t i = 0; i < ls->count; i++)
    if (ls->arena[i].arena) visit_arena(ls, out, ls->arena[i].arena);
  claim_all(ls);
  const struct leak_rep *rep = ls->reps.data;
  for (size_t i = 0; i < ls->reps.n; i++) {
    if (rep[i].blocks == 0) continue;
    out->direct_blocks++;
    out->leaked_blocks += rep[i].blocks;
    out->leaked_bytes += rep[i].bytes;
    group_rep(ls, out, index, &rep[i]);
  }
  sort_groups(out);
  out->root_bytes = ls->root_bytes;
  return !ls->lost;
}
