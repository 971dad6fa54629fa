// SPDX-License-Identifier: MIT
/*
 * Marking (Go: mgcmark.go).
 *
 * The loop has no recursion and hardly a branch that depends on the program's
 * data. For each edge, in this order:
 *
 *   1  pop an edge from the marker's buffer (LIFO); find its span and slot,
 *      without a branch that is hard to predict; ask for the cache lines of its
 *      mark word and of the object; put {span, slot} into a ring of MARK_RING
 *   2  take the oldest entry of the ring: its lines have arrived meanwhile. Test
 *      the slot's alloc and mark bits, which lie side by side; set mark
 *   3  a new object with pointers: read its mask from the arena's bitmap, and push
 *      the words that lie in the heap's address range
 *
 * The ring is what hides memory latency (Cher, Hosking, Vitek, "Software
 * prefetching for mark-sweep garbage collection", 2004): LIFO order alone would
 * touch each object right after it was found.
 *
 * Objects up to 512 bytes have at most 64 words and one mask word. Larger ones
 * are read a bitmap word at a time, and left when no_more_ptrs says so. Large
 * objects (a span each) are scanned by their type, tiled, in pieces of
 * MARK_PIECE_BYTES; the rest of the object goes back as an edge of its own
 * (WORK_PIECE_TAG) under the piece's children, so that other markers can take it
 * and the stack stays short. Noscan objects are marked and never read.
 *
 * With one marker the mark word is loaded and stored; with several it takes an
 * atomic or, after a plain test, because most edges lead to marked objects.
 *
 *   I1  an object is scanned by the marker that set its mark bit, once (again
 *       only by mark_again)
 *   I2  only slots with their alloc bit set are marked
 *   I3  page_marks of a span's first page is set when one of its slots is marked
 */
#include "gc/mark.h"

#include "base/fatal.h"
#include "gc/roots.h"
#include "gc/scan.h"
#include "heap/heapbits.h"
#include "type/ptrmask.h"
#include "type/type.h"
#include <string.h>

#define MARK_RING 16 /* a power of two */
/* Edges between two looks at whether others are idle: about 5 us. */
#define SHARE_BUDGET 128
/* Root words that are filtered before what they found is followed. */
#define ROOT_BLOCK_WORDS 128

struct slot_ref {
  struct mspan *s;
  uintptr_t index;
};

bool mark_init(struct marking *m, struct heap *h, struct roots *roots,
               struct world *world) {
  m->h = h;
  m->roots = roots;
  m->world = world;
  m->meta = &h->meta;
  m->stat = &h->stats.gc_meta;
  atomic_u32_store_relaxed(&m->max_bufs, UINT32_MAX);
  return work_init_marker(m, 0);
}

/* See struct marker_class. The mask of a slot begins at a bit whose number in its
 * byte is a multiple of the slot's lowest bit of size, and it must end in the 64
 * bits that are loaded from that byte on. A span of one page lies in one arena,
 * so that these slots do too. */
static uint64_t slot_words(const struct sizeclass_table *t,
                           unsigned sizeclass) {
  unsigned nwords = t->size[sizeclass] / PTR_BYTES;
  unsigned step = nwords & -nwords;
  unsigned max_shift = step < 8 ? 8 - step : 0;
  bool one_load = nwords + max_shift <= 64 && t->npages[sizeclass] == 1;
  return one_load && sizeclass != 0 ? low_mask64(nwords) : 0;
}

static void reset_marker(const struct marking *m, struct marker *k) {
  k->large_bytes = 0;
  for (unsigned c = 0; c < NUM_SPAN_CLASSES; c++) {
    struct spanclass sc = {(uint8_t)c};
    k->class[c].found = 0;
    k->class[c].slot_words =
        spanclass_noscan(sc) ? 0
                             : slot_words(m->h->classes, spanclass_size(sc));
  }
}

void mark_prepare(struct marking *m, unsigned nmarkers) {
  const struct heap *h = m->h;
  uintptr_t lo = UINTPTR_MAX, hi = 0;
  for (size_t i = 0; i < h->narenas; i++) {
    uintptr_t base = h->all_arenas[i]->base;
    if (base < lo) lo = base;
    if (base + HEAP_ARENA_BYTES > hi) hi = base + HEAP_ARENA_BYTES;
  }
  m->lo = lo;
  m->extent = hi > lo ? hi - lo : 0;
  m->shared = nmarkers > 1;
  m->nmarkers = nmarkers;
  atomic_u32_store_relaxed(&m->active, 1);
  atomic_u32_store_relaxed(&m->next_root, 0);
  atomic_u32_store_relaxed(&m->done, 0);
  atomic_u32_store_relaxed(&m->overflow, 0);
  for (unsigned i = 0; i < nmarkers; i++) reset_marker(m, &m->marker[i]);
}

void mark_sum(const struct marking *m, uint64_t *bytes, uint64_t *objects) {
  *bytes = *objects = 0;
  for (unsigned i = 0; i < m->nmarkers; i++) {
    const struct marker *k = &m->marker[i];
    *bytes += k->large_bytes;
    for (unsigned c = 0; c < NUM_SPAN_CLASSES; c++) {
      *objects += k->class[c].found;
      *bytes += k->class[c].found * m->h->classes->size[c / 2];
    }
  }
}

/* --- from an edge to a slot --- */

/* Where entry[0] of the arena map would be if its first arena were number 0. An
 * integer, because no object begins there. */
static MGC_ALWAYS_INLINE uintptr_t entry_origin(const struct arena_map *map) {
  return (uintptr_t)map->entry - map->first * sizeof map->entry[0];
}

/* arena_of for an address between the heap's lowest and highest. */
static MGC_ALWAYS_INLINE const struct heap_arena *arena_at(uintptr_t origin,
                                                           uintptr_t p) {
  uintptr_t entry =
      origin + (p >> HEAP_ARENA_SHIFT) * sizeof(struct atomic_ptr);
  return atomic_ptr_load_relaxed((const struct atomic_ptr *)entry);
}

/* The slot that edge p leads to. False: none; p lies in [lo, lo + extent). */
static MGC_ALWAYS_INLINE bool find_slot(uintptr_t origin, uintptr_t p,
                                        struct slot_ref *out) {
  const struct heap_arena *a = arena_at(origin, p);
  if (unlikely(!a)) return false;
  struct mspan *s = atomic_ptr_load_relaxed(&a->spans[arena_page_index(p)]);
  if (unlikely(!s)) return false;
  /* In a stopped world a span that pages point to is in use (mspan I4). */
  mgc_assert(atomic_u8_load_relaxed(&s->state) == MSPAN_INUSE && p >= s->base);
  if (unlikely(p >= s->limit)) return false;
  out->s = s;
  out->index = (uintptr_t)(((p - s->base) * (uint64_t)s->divmul) >> 32);
  __builtin_prefetch(&s->bits[out->index / 64], 1);
  __builtin_prefetch((const void *)p, 0);
  return true;
}

/* The first of 64 slots of s is marked. */
static MGC_COLD void note_span(struct marker *k, struct mspan *s) {
  /* A large span has one slot, so this is once for each object. */
  if (spanclass_size(s->spanclass) == 0) k->large_bytes += s->elemsize;
  if (atomic_u8_load_relaxed(&s->has_marks)) return;
  atomic_u8_store_relaxed(&s->has_marks, 1);
  arena_page_bit_set(arena_of(&k->m->h->arenas, s->base)->page_marks, s->base);
}

/* Marks the slot. True: it was an object without a mark. *first: no other of its
 * 64 was marked. */
static MGC_ALWAYS_INLINE bool mark_slot(struct slot_ref r, bool shared,
                                        bool *first) {
  struct mspan_bits *b = &r.s->bits[r.index / 64];
  uint64_t bit = 1ull << (r.index % 64);
  uint64_t mark = atomic_u64_load_relaxed(&b->mark);
  if (!(atomic_u64_load_relaxed(&b->alloc) & ~mark & bit)) return false;
  if (shared)
    mark = atomic_u64_fetch_or_relaxed(&b->mark, bit);
  else
    atomic_u64_store_relaxed(&b->mark, mark | bit);
  *first = mark == 0;
  return !shared || !(mark & bit);
}

/* --- from an object to edges --- */

/* Pushes the words of mask from w on. k has room for 64 (work I3). Masks whose
 * bits are the lowest ones (all of a conservative object, the links at the head
 * of a struct) need no search for the next bit. */
static MGC_ALWAYS_INLINE size_t push_masked(uintptr_t *edge, size_t n,
                                            const uintptr_t *w, uint64_t mask,
                                            uintptr_t lo, uintptr_t extent) {
  if ((mask & (mask + 1)) == 0) {
    for (; mask; mask >>= 1) {
      uintptr_t v = scan_load(w++);
      edge[n] = v;
      n += v - lo < extent;
    }
    return n;
  }
  do {
    uintptr_t v = scan_load(&w[(unsigned)__builtin_ctzll(mask)]);
    mask &= mask - 1;
    edge[n] = v;
    n += v - lo < extent;
  } while (mask);
  return n;
}

/* The mask of the slot at p, whose class has slot_words: 64 bits of the bitmap
 * from the byte that holds p's bit. (Nobody writes the bitmap in a stopped
 * world.) Past the end of the bitmap lies no_more_ptrs, so the load may run
 * over; slot_words cuts that off. */
static MGC_ALWAYS_INLINE uint64_t slot_mask(const struct heap_arena *a,
                                            uintptr_t p, uint64_t slot_words) {
  uintptr_t i = arena_word_index(p);
  uint64_t bits;
  memcpy(&bits, (const char *)a->bitmap + i / 8, sizeof bits);
  return bits >> (i % 8) & slot_words;
}

static void push_words(struct marker *k, uintptr_t p, uint64_t mask) {
  const struct marking *m = k->m;
  if (unlikely(k->n + WORK_ROOM > WORKBUF_ENTRIES)) work_make_room(k);
  k->n = push_masked(k->cur->edge, k->n, (const uintptr_t *)p, mask, m->lo,
                     m->extent);
}

/* What is done with 64 words of an object: pushed, and, by mark_again, followed
 * at once. */
typedef void piece_fn(struct marker *k, uintptr_t p, uint64_t mask);

/* A small object of any size: a bitmap word (512 bytes of heap) at a time. */
static void scan_medium(struct marker *k, uintptr_t base, size_t size,
                        piece_fn *piece) {
  const struct arena_map *arenas = &k->m->h->arenas;
  uintptr_t end = base + size;
  for (uintptr_t p = base; p < end;) {
    const struct heap_arena *a = arena_of(arenas, p);
    uintptr_t next = align_down(p, 64 * PTR_BYTES) + 64 * PTR_BYTES;
    if (next > end) next = end;
    uint64_t mask = heapbits_load(a, p, next);
    if (mask) piece(k, p, mask);
    p = next;
    if (p < end && heapbits_no_more(a, p)) break;
  }
}

/* Bytes [off, end) of the large object in s, by its type. */
static void scan_large(struct marker *k, const struct mspan *s, size_t off,
                       size_t end, piece_fn *piece) {
  /* acquire: pairs with the release in alloc_large */
  const struct mgc_type *type = atomic_ptr_load_acquire(&s->masktype);
  if (!type) return; /* not published yet: it has no contents */
  bool all = type == &type_conservative;
  for (; off < end; off += 64 * PTR_BYTES) {
    uint64_t mask = all ? ~0ull : type_tiled_mask(type, off / PTR_BYTES);
    if (end - off < 64 * PTR_BYTES)
      mask &= low_mask64((unsigned)((end - off) / PTR_BYTES));
    if (mask) piece(k, s->base + off, mask);
  }
}

/* One piece of a large object; the rest is pushed first, and so taken last. */
static MGC_NOINLINE void push_large(struct marker *k, const struct mspan *s,
                                    size_t off) {
  size_t end = s->limit - s->base;
  if (end - off > MARK_PIECE_BYTES) {
    end = off + MARK_PIECE_BYTES;
    if (unlikely(k->n + WORK_ROOM > WORKBUF_ENTRIES)) work_make_room(k);
    k->cur->edge[k->n++] = (s->base + end) | WORK_PIECE_TAG;
  }
  scan_large(k, s, off, end, push_words);
}

static MGC_NOINLINE void push_piece(struct marker *k, uintptr_t edge) {
  uintptr_t p = edge & ~WORK_PIECE_TAG;
  const struct mspan *s = span_of(&k->m->h->arenas, p);
  push_large(k, s, p - s->base);
}

static MGC_NOINLINE void push_big(struct marker *k, struct slot_ref r) {
  if (spanclass_size(r.s->spanclass) == 0)
    push_large(k, r.s, 0);
  else
    scan_medium(k, mspan_slot(r.s, (unsigned)r.index), r.s->elemsize,
                push_words);
}

/* --- the loop --- */

static MGC_ALWAYS_INLINE void drain(struct marker *k, const bool shared) {
  struct marking *const m = k->m;
  const uintptr_t lo = m->lo, extent = m->extent;
  const uintptr_t origin = entry_origin(&m->h->arenas);
  struct slot_ref ring[MARK_RING], r;
  unsigned get = 0, held = 0; /* the oldest entry, and how many there are */
  uintptr_t *edge = k->cur->edge;
  size_t n = k->n;

#define WITH_MARKER(call) (k->n = n, (call), n = k->n, edge = k->cur->edge)
  for (;;) {
    if (likely(n > 0)) {
      uintptr_t p = edge[--n];
      if (unlikely(p & WORK_PIECE_TAG)) {
        WITH_MARKER(push_piece(k, p));
        continue;
      }
      struct slot_ref found;
      if (unlikely(!find_slot(origin, p, &found))) continue;
      if (unlikely(held < MARK_RING)) {
        ring[(get + held++) % MARK_RING] = found;
        continue;
      }
      /* The ring is full: the new entry takes the oldest one's place. */
      r = ring[get % MARK_RING];
      ring[get++ % MARK_RING] = found;
    } else if (held > 0) {
      r = ring[get++ % MARK_RING];
      held--;
    } else {
      bool more;
      WITH_MARKER(more = work_refill(k));
      if (more) continue;
      return;
    }
    if (shared && unlikely(--k->budget == 0)) {
      k->budget = SHARE_BUDGET;
      WITH_MARKER(work_share(k));
    }
    bool first;
    if (!mark_slot(r, shared, &first)) continue;
    if (unlikely(first)) note_span(k, r.s);
    const struct mspan *s = r.s;
    struct marker_class *class = &k->class[s->spanclass.v];
    class->found++;
    const uint64_t slot_words = class->slot_words;
    if (slot_words == 0) {
      if (!mspan_noscan(s)) WITH_MARKER(push_big(k, r));
      continue;
    }
    if (unlikely(n + WORK_ROOM > WORKBUF_ENTRIES))
      WITH_MARKER(work_make_room(k));
    uintptr_t base = s->base + r.index * s->elemsize;
    uint64_t mask = slot_mask(arena_at(origin, base), base, slot_words);
    n = push_masked(edge, n, (const uintptr_t *)base, mask, lo, extent);
  }
#undef WITH_MARKER
}

static MGC_NOINLINE void drain_alone(struct marker *k) { drain(k, false); }
static MGC_NOINLINE void drain_shared(struct marker *k) { drain(k, true); }

void mark_drain(struct marker *k) {
  k->budget = SHARE_BUDGET;
  if (k->m->shared)
    drain_shared(k);
  else
    drain_alone(k);
}

void mark_words(struct marker *k, uintptr_t lo, uintptr_t hi) {
  const uintptr_t block = ROOT_BLOCK_WORDS * PTR_BYTES;
  for (uintptr_t p = lo; p < hi; p += block) {
    uintptr_t end = hi - p < block ? hi : p + block;
    for (uintptr_t w = p; w < end; w += 64 * PTR_BYTES) {
      size_t left = (end - w) / PTR_BYTES;
      push_words(k, w, left < 64 ? low_mask64((unsigned)left) : ~0ull);
    }
    if (k->n) mark_drain(k);
  }
}

/* --- after an overflow --- */

static void follow_words(struct marker *k, uintptr_t p, uint64_t mask) {
  push_words(k, p, mask);
  mark_drain(k);
}

static void follow_span(struct mspan *s, void *arg) {
  struct marker *k = arg;
  if (mspan_noscan(s) || !atomic_u8_load_relaxed(&s->has_marks)) return;
  for (unsigned i = 0; i < s->nelems; i++) {
    if (!mspan_is_marked(s, i)) continue;
    if (spanclass_size(s->spanclass) == 0)
      scan_large(k, s, 0, s->limit - s->base, follow_words);
    else
      scan_medium(k, mspan_slot(s, i), s->elemsize, follow_words);
  }
}

void mark_again(struct marker *k) {
  struct marking *m = k->m;
  const struct roots *roots = m->roots;
  m->shared = false;
  while (atomic_u32_load_relaxed(&m->overflow)) {
    atomic_u32_store_relaxed(&m->overflow, 0);
    m->passes++;
    for (size_t i = 0; i < roots->n; i++)
      mark_words(k, roots->shard[i].lo, roots->shard[i].hi);
    for (size_t i = 0; i < roots->nlate; i++)
      mark_words(k, roots->late[i].lo, roots->late[i].hi);
    mheap_visit_spans(m->h, follow_span, k);
  }
}
