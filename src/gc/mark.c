// SPDX-License-Identifier: MIT
/*
 * Marking (Go: mgcmark.go), object at a time. Most small objects are marked a span at a
 * time, with another loop: markspan.c. What they share is in markslot.h.
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

#include "gc/markslot.h"
#include "gc/markspan.h"
#include "gc/roots.h"
#include "gc/world.h"
#include "type/ptrmask.h"
#include "type/type.h"

/* Root words that are filtered before what they found is followed. */
#define ROOT_BLOCK_WORDS 128

bool mark_init(struct marking *m, struct heap *h, struct roots *roots,
               struct world *world) {
  m->h = h;
  m->roots = roots;
  m->world = world;
  m->meta = &h->meta;
  m->stat = &h->stats.gc_meta;
  atomic_u32_store_relaxed(&m->max_bufs, UINT32_MAX);
  markspan_init(m);
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

void mark_reset_marker(struct marking *m, struct marker *k) {
  k->cycle = m->cycle;
  k->quota = 0;
  k->large_bytes = k->piece_bytes = k->told = 0;
  k->untold = MARK_TELL_STEPS;
  k->leaves = false;
  markspan_reset_marker(k);
  for (unsigned c = 0; c < NUM_SPAN_CLASSES; c++) {
    struct spanclass sc = {(uint8_t)c};
    k->class[c].found = 0;
    k->class[c].slot_words =
        spanclass_noscan(sc) ? 0
                             : slot_words(m->h->classes, spanclass_size(sc));
    k->class[c].scan = markspan_class(m, sc);
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
  m->cycle++;
  markspan_prepare(m);
  atomic_u32_store_relaxed(&m->active, 1);
  atomic_u32_store_relaxed(&m->next_root, 0);
  atomic_u32_store_relaxed(&m->done, 0);
  atomic_u32_store_relaxed(&m->overflow, 0);
  atomic_u64_store_relaxed(&m->work, 0);
  for (unsigned i = 0; i < nmarkers; i++) mark_reset_marker(m, &m->marker[i]);
}

void mark_sum(const struct marking *m, uint64_t *bytes, uint64_t *objects) {
  *bytes = *objects = 0;
  uint64_t made = atomic_u64_load_relaxed(&m->made);
  for (; made; made &= made - 1) {
    const struct marker *k = &m->marker[ctz64(made)];
    if (k->cycle != m->cycle) continue;
    *bytes += k->large_bytes;
    for (unsigned c = 0; c < NUM_SPAN_CLASSES; c++) {
      *objects += k->class[c].found;
      *bytes += k->class[c].found * m->h->classes->size[c / 2];
    }
  }
}

/* An object counts as scanned when it is found alive, a large one by its pieces. Beside
 * the 68 sums here counting costs the loop nothing. */
uint64_t mark_tell_work(struct marker *k) {
  const struct sizeclass_table *classes = k->m->h->classes;
  uint64_t bytes = k->piece_bytes;
  for (unsigned c = 1; c < classes->nclasses; c++)
    bytes += k->class[spanclass_make(c, false).v].found * classes->size[c];
  uint64_t more = bytes - k->told;
  k->told = bytes;
  atomic_u64_fetch_add_relaxed(&k->m->work, more);
  return more;
}

/* The first of 64 slots of s is marked. */
MGC_COLD void mark_note_span(struct marker *k, struct mspan *s) {
  /* A large span has one slot, so this is once for each object. */
  if (spanclass_size(s->spanclass) == 0) k->large_bytes += s->elemsize;
  mheap_note_marks(k->m->h, s);
}

/* --- from an object to edges --- */

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
  k->piece_bytes += end - off;
  scan_large(k, s, off, end, push_words);
}

MGC_NOINLINE void mark_push_piece(struct marker *k, uintptr_t edge) {
  uintptr_t p = edge & ~WORK_PIECE_TAG;
  const struct mspan *s = span_of(&k->m->h->arenas, p);
  push_large(k, s, p - s->base);
}

MGC_NOINLINE void mark_push_big(struct marker *k, struct slot_ref r) {
  if (spanclass_size(r.s->spanclass) == 0)
    push_large(k, r.s, 0);
  else
    scan_medium(k, mspan_slot(r.s, (unsigned)r.index), r.s->elemsize,
                push_words);
}

/* A word of the bitmap is one of the mark bits, too. */
MGC_NOINLINE void mark_push_pointers(struct marker *k, struct slot_ref r,
                                     uint64_t slots) {
  uintptr_t p = mspan_slot(r.s, (unsigned)align_down(r.index, 64));
  const struct heap_arena *a = arena_of(&k->m->h->arenas, p);
  uint64_t mask = slots & heapbits_load(a, p, p + 64 * PTR_BYTES);
  if (mask) push_words(k, p, mask);
}

/* --- the loop --- */

MGC_NOINLINE bool mark_look_around(struct marker *k) {
  struct marking *m = k->m;
  k->budget = MARK_BUDGET;
  work_share(k);
  bool paused = atomic_u32_load_acquire(&m->pause) != 0;
  /* A thread of the program that helps is stopped when it has left. */
  if (k->quota > 0)
    return --k->quota == 0 || paused ||
           (k->assists && atomic_u32_load_relaxed(&m->world->stop_wanted));
  if (unlikely(paused)) mark_stand_by(m);
  if (!m->ops || --k->untold > 0) return false;
  k->untold = MARK_TELL_STEPS;
  return k->leaves = m->ops->tick(m->ops_arg, k);
}

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
        WITH_MARKER(mark_push_piece(k, p));
        continue;
      }
      struct slot_ref found;
      if (unlikely(!find_slot(origin, p, &found))) continue;
      __builtin_prefetch((const void *)p, 0);
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
      bool leave;
      WITH_MARKER(leave = mark_look_around(k));
      if (leave) {
        if (n + WORK_ROOM > WORKBUF_ENTRIES) WITH_MARKER(work_make_room(k));
        n = put_back(edge, n, &r, 0, 1);
        k->n = put_back(edge, n, ring, get, held);
        return;
      }
    }
    bool first;
    if (!mark_slot(r, shared, &first)) continue;
    if (unlikely(first)) mark_note_span(k, r.s);
    const struct mspan *s = r.s;
    struct marker_class *class = &k->class[s->spanclass.v];
    class->found++;
    const uint64_t slot_words = class->slot_words;
    if (slot_words == 0) {
      if (!mspan_noscan(s)) WITH_MARKER(mark_push_big(k, r));
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
  k->budget = MARK_BUDGET;
  if (k->spans)
    markspan_drain(k);
  else if (k->m->shared)
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

void mark_push(struct marker *k, uintptr_t lo, uintptr_t hi) {
  for (uintptr_t p = lo; p < hi; p += 64 * PTR_BYTES) {
    size_t left = (hi - p) / PTR_BYTES;
    push_words(k, p, left < 64 ? low_mask64((unsigned)left) : ~0ull);
  }
}

bool mark_has_work(const struct marker *k) {
  return k->n > 0 || k->spare->n > 0 || !lfstack_empty(&k->m->full) ||
         markspan_has_work(k);
}

bool mark_is_missing(const struct marking *m, uintptr_t p) {
  const struct mspan *s = span_of_heap(&m->h->arenas, p);
  if (!s) return false;
  unsigned i = s->divmul ? mspan_index(s, p) : 0;
  return !mspan_is_marked(s, i) && mspan_is_alloc(s, i);
}

void mark_at_once(struct marking *m, uintptr_t p) {
  struct mspan *s = span_of_heap(&m->h->arenas, p);
  unsigned i = s && s->divmul ? mspan_index(s, p) : 0;
  if (!s || !mspan_is_alloc(s, i)) return;
  mspan_mark_slots(s, i, 1);
  mheap_note_marks(m->h, s);
  /* Its own pointers are found when marking goes over all objects again. */
  atomic_u32_store_relaxed(&m->overflow, 1);
}

/* --- what the program has written --- */

/* The words of [p, end), within one small object. */
static void rescan_words(struct marker *k, uintptr_t p, uintptr_t end) {
  const struct arena_map *arenas = &k->m->h->arenas;
  while (p < end) {
    uintptr_t next = align_down(p, 64 * PTR_BYTES) + 64 * PTR_BYTES;
    if (next > end) next = end;
    uint64_t mask = heapbits_load(arena_of(arenas, p), p, next);
    if (mask) push_words(k, p, mask);
    p = next;
  }
}

/* [lo, hi) lies in the pages of s, which has pointers. */
static void rescan_span(struct marker *k, struct mspan *s, uintptr_t lo,
                        uintptr_t hi) {
  if (hi > s->limit) hi = s->limit;
  if (lo >= hi) return;
  if (spanclass_size(s->spanclass) == 0) {
    if (mspan_is_marked(s, 0))
      scan_large(k, s, lo - s->base, hi - s->base, push_words);
    return;
  }
  unsigned last = mspan_index(s, hi - 1);
  for (unsigned i = mspan_index(s, lo); i <= last; i++) {
    /* acquire: the slot's bitmap, pairs with the release in mspan_mark_slots */
    if (!(atomic_u64_load_acquire(&s->bits[i / 64].mark) >> (i % 64) & 1))
      continue;
    uintptr_t p = mspan_slot(s, i), end = p + s->elemsize;
    rescan_words(k, p > lo ? p : lo, end < hi ? end : hi);
  }
}

size_t mark_rescan(struct marker *k, uintptr_t lo, uintptr_t hi) {
  size_t bytes = 0;
  for (uintptr_t p = lo, next; p < hi; p = next) {
    struct mspan *s = span_of(&k->m->h->arenas, p);
    next = align_down(p, MGC_PAGE_SIZE) + MGC_PAGE_SIZE;
    /* A span that is just being made has nothing that anybody could have stored. */
    if (s && atomic_u8_load_acquire(&s->state) == MSPAN_INUSE) {
      uintptr_t end = s->base + s->npages * MGC_PAGE_SIZE;
      if (end > next) next = end;
    } else {
      s = NULL;
    }
    if (next > hi) next = hi;
    if (!s || mspan_noscan(s) || !atomic_u8_load_relaxed(&s->has_marks))
      continue;
    bytes += next - p;
    rescan_span(k, s, p, next);
  }
  return bytes / k->m->h->vm->page_size;
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
    markspan_adopt(k);
    for (size_t i = 0; i < roots->n; i++)
      mark_words(k, roots->shard[i].lo, roots->shard[i].hi);
    for (size_t i = 0; i < roots->nlate; i++)
      mark_words(k, roots->late[i].lo, roots->late[i].hi);
    mheap_visit_spans(m->h, follow_span, k);
  }
}
