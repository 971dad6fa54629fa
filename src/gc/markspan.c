// SPDX-License-Identifier: MIT
/*
 * Marking a span at a time (Go: mgcmark_greenteagc.go).
 *
 * Objects of 16 to 512 bytes with pointers, which lie in spans of one page
 * (mspan.by_span), are not scanned when they are found. A mark queues their span
 * (spanq.h), and when its turn comes, all that has gathered there is scanned at once,
 * page by page instead of line by line: one miss of the TLB and one look at the span
 * for many objects, lines in order and asked for ahead, and kernels with vectors
 * (spanscan.h). All other objects are marked as in mark.c, in the same loop.
 *
 *   1  take an edge: the last that a span has given (out), or one of a buffer, own or
 *      shared; when there is none, take the oldest span and scan it
 *   2  the edge goes through the ring of mark.c, and its slot is marked, together with
 *      those of the next edges in the ring that have their bits in the same word: with
 *      several markers a mark is an atomic instruction, and an array's elements were
 *      often allocated one after another (tiny of bench/gc: 2 markers took longer
 *      than one)
 *   3  an object of a span like these: tell the span, and queue it if nobody has. Any
 *      other: scan it, its words are edges of the buffer
 *
 * A visit of a span scans what waits there, and then, as long as there is any, what
 * it has found in the span itself: structures that were allocated together would come
 * back to it once for each of their levels otherwise. These edges go no way at all:
 * no look-up of the span, no ring, no queue. They are sorted without a branch that
 * depends on where they lead.
 *
 * A mark is set before the object is read, as in mark.c, because the program may be
 * writing it, and whoever scans written pages again passes over objects without one
 * (track.c). Slots that the program gets while marking runs have mark and scanned bits
 * set (mspan_mark_slots), so no claim meets them.
 *
 * Memory for blocks of the queue may be had or not: what was dropped is found again by
 * its bits (markspan_adopt). Without memory for a marker's queue it marks object at a
 * time beside others who do not: it scans each object that it marks, and a span may
 * scan it a second time.
 *
 *   I1  when marking ends, no span is owned, and with all markers at it scanned is mark
 *   I2  between visits `seen` is 0
 */
#include "gc/markspan.h"

#include "gc/markslot.h"
#include "os/cpu.h"

/* So many edges are sorted bit by bit. */
#define FEW_EDGES 24
/* Lines of the next page that are asked for with each pass over this one. All of them at
 * once are more than the processor remembers. */
#define LINES_A_PASS 24

/* Edges that a span's is asked for before it is looked up: 1.2 times as fast on a random
 * graph, and 1.5 times when others use the memory too. */
#define SPANS_AHEAD 16

/* --- set-up --- */

/* As the option says, when the processor has it. */
static const struct spanscan_kernel *choose_kernel(const struct heap *h) {
  static const char *const names[] = {"", "portable", "avx2", "avx512"};
  _Static_assert(SCANKERNEL_AVX512 == 3, "in this order");
  uint32_t features = cpu_features();
  const struct spanscan_kernel *k;
  for (unsigned i = 0; (k = spanscan_kernel_at(i)) != NULL; i++)
    if (!strcmp(k->name, names[h->opt.scankernel]) && !(k->needs & ~features))
      return k;
  return spanscan_choose(features);
}

static bool is_by_span(const struct sizeclass_table *t, struct spanclass sc) {
  unsigned i = spanclass_size(sc);
  return mspan_is_by_span(sc, t->npages[i], t->size[i]);
}

void markspan_init(struct marking *m) {
  spanq_pool_init(&m->spans, m->meta, m->stat);
  m->kernel = NULL;
}

void markspan_prepare(struct marking *m) {
  const struct heap *h = m->h;
  unsigned n = 0;
  if (m->kernel || h->opt.markunit == MARKUNIT_OBJECT) return;
  const struct spanscan_kernel *kernel = choose_kernel(h);
  while (h->classes->size[n + 1] <= MSPAN_BY_SPAN_MAX) n++;
  struct spanscan_class *c = persistent_alloc(
      m->meta, (n + 1) * sizeof *m->scan_class, CACHELINE, m->stat);
  if (!c) return;
  for (unsigned i = 1; i <= n; i++)
    if (is_by_span(h->classes, spanclass_make(i, false)))
      spanscan_class_init(&c[i], h->classes->size[i]);
  m->scan_class = c;
  m->kernel = kernel;
}

const struct spanscan_class *markspan_class(const struct marking *m,
                                            struct spanclass sc) {
  if (!m->kernel || !is_by_span(m->h->classes, sc)) return NULL;
  return &m->scan_class[spanclass_size(sc)];
}

void markspan_reset_marker(struct marker *k) {
  struct marking *m = k->m;
  if (!m->kernel || k->spans) return;
  struct marker_spans *ms =
      persistent_alloc(m->meta, sizeof *ms, CACHELINE, m->stat);
  if (!ms) return;
  spanq_init(&ms->q, &m->spans);
  k->spans = ms;
}

/* --- a visit --- */

struct visit {
  struct mspan *s;
  uintptr_t base, bytes; /* of its slots */
  uint64_t divmul;
  struct atomic_u64 *scanned;
  unsigned nsets;
  uint64_t found; /* slots, ones64_by_byte */
};

/* In place of a slot. */
#define ELSEWHERE (SPANSCAN_SETS * 64)

static MGC_ALWAYS_INLINE uintptr_t slot_or_elsewhere(const struct visit *v,
                                                     uintptr_t off) {
  uintptr_t slot = (uintptr_t)((off * v->divmul) >> 32);
  /* No branch, which compilers like to make of the operator. */
  return ELSEWHERE ^ ((slot ^ ELSEWHERE) & -(uintptr_t)(off < v->bytes));
}

/* Of the edges out[from, to) takes those that lead to the span itself; their slots
 * are in `found`. The others move together. Returns: their end. */
static MGC_ALWAYS_INLINE size_t sort_few(const struct visit *v, uintptr_t *out,
                                         size_t from, size_t to,
                                         uint64_t *found) {
  size_t n = from;
  for (size_t i = from; i < to; i++) {
    uintptr_t word = out[i], off = word - v->base;
    uintptr_t slot = slot_or_elsewhere(v, off);
    found[slot / 64] |= 1ull << (slot % 64);
    out[n] = word;
    n += off >= v->bytes;
  }
  return n;
}

/* Bit i is byte i, which is 0 or 1. Clears them. */
static MGC_ALWAYS_INLINE uint64_t bytes_to_bits(uint8_t *byte) {
  uint64_t set = 0;
  for (unsigned i = 0; i < 8; i++) {
    uint64_t x;
    memcpy(&x, byte + 8 * i, sizeof x);
    set |= (x * 0x0102040810204080u >> 56) << (8 * i);
  }
  memset(byte, 0, 64);
  return set;
}

/* The same by way of bytes, whose stores do not wait for each other. */
static MGC_ALWAYS_INLINE size_t sort_many(const struct visit *v, uint8_t *seen,
                                          uintptr_t *out, size_t from,
                                          size_t to, uint64_t *found) {
  size_t n = from;
  for (size_t i = from; i < to; i++) {
    uintptr_t word = out[i], off = word - v->base;
    seen[slot_or_elsewhere(v, off)] = 1;
    out[n] = word;
    n += off >= v->bytes;
  }
  for (unsigned w = 0; w < v->nsets; w++)
    found[w] = bytes_to_bits(seen + (size_t)64 * w);
  return n;
}

/* Marks what was found and claims it. False: nothing was new. */
static MGC_ALWAYS_INLINE bool mark_found(struct visit *v, const uint64_t *found,
                                         uint64_t *toscan, const bool shared) {
  uint64_t any = 0;
  for (unsigned w = 0; w < v->nsets; w++) {
    struct mspan_bits *b = &v->s->bits[w];
    /* acquire: before alloc, see mark_slots */
    uint64_t mark = atomic_u64_load_acquire(&b->mark);
    uint64_t new = found[w] & ~mark &atomic_u64_load_relaxed(&b->alloc);
    toscan[w] = 0;
    if (new == 0) continue;
    if (shared) {
      new &= ~atomic_u64_fetch_or_seq_cst(&b->mark, new);
      v->found += ones64_by_byte(new);
      new &= ~atomic_u64_fetch_or_relaxed(&v->scanned[w], new);
    } else {
      uint64_t scanned = atomic_u64_load_relaxed(&v->scanned[w]);
      v->found += ones64_by_byte(new);
      atomic_u64_store_relaxed(&b->mark, mark | new);
      atomic_u64_store_relaxed(&v->scanned[w], scanned | new);
    }
    toscan[w] = new;
    any |= new;
  }
  return any != 0;
}

static MGC_ALWAYS_INLINE struct mspan *span_at(const struct heap_arena *a,
                                               uintptr_t base) {
  /* acquire: pairs with the release in arena_set_spans */
  return atomic_ptr_load_acquire(&a->spans[arena_page_index(base)]);
}

static MGC_ALWAYS_INLINE const struct atomic_u64 *
bitmap_at(const struct heap_arena *a, uintptr_t base) {
  return &a->bitmap[arena_word_index(base) / 64];
}

static MGC_ALWAYS_INLINE struct spanq_span queued(struct mspan *s) {
  return (struct spanq_span){.owned = &s->owned,
                             .bits = s->bits,
                             .scanned = mspan_scanned(s),
                             .nsets = (unsigned)mspan_nwords(s)};
}

static MGC_ALWAYS_INLINE void prefetch_pass(struct marker_spans *ms) {
  uintptr_t end = ms->ahead + LINES_A_PASS * CACHELINE;
  if (end > ms->ahead_end) end = ms->ahead_end;
  for (; ms->ahead < end; ms->ahead += CACHELINE)
    __builtin_prefetch((const void *)ms->ahead);
}

/* Edges that lead out of the span are in out[0, nout) afterwards. */
static MGC_ALWAYS_INLINE void visit_span(struct marker *k, uintptr_t base,
                                         unsigned slot, const bool shared) {
  const struct marking *m = k->m;
  struct marker_spans *ms = k->spans;
  const struct heap_arena *a = arena_at(entry_origin(&m->h->arenas), base);
  struct mspan *s = span_at(a, base);
  struct spanq_span q = queued(s);
  struct marker_class *class = &k->class[s->spanclass.v];
  struct visit v = {.s = s,
                    .base = base,
                    .bytes = s->limit - base,
                    .divmul = s->divmul,
                    .scanned = q.scanned,
                    .nsets = q.nsets};
  struct spanscan_page page = {.base = base, .bitmap = bitmap_at(a, base)};
  struct spanscan_range range = {m->lo, m->extent};
  uint64_t found[SPANSCAN_SETS + 1];
  size_t n = 0, edges = 0;
  if (!spanq_claim(&q, slot, shared, page.toscan)) {
    ms->nout = 0;
    return;
  }
  do {
    size_t from = n;
    prefetch_pass(ms);
    size_t end = n + m->kernel->scan(class->scan, &page, range, ms->out + n);
    if (end - n <= FEW_EDGES) {
      memset(found, 0, sizeof found);
      n = sort_few(&v, ms->out, n, end, found);
    } else {
      n = sort_many(&v, ms->seen, ms->out, n, end, found);
    }
    edges += end - from;
  } while (mark_found(&v, found, page.toscan, shared));
  ms->seen[ELSEWHERE] = 0; /* I2 */
  unsigned nfound = sum_of_bytes64(v.found);
  class->found += nfound;
  class->inside += nfound - class->inside / 8;
  ms->inside += (uint32_t)(edges - n);
  ms->nout = n;
}

/* --- the next spans --- */

/* Asks for what scanning begins with. */
static MGC_ALWAYS_INLINE void prefetch_heads(struct marker *k) {
  struct spanq_entry e;
  if (!spanq_ahead(&k->spans->q, SPANSCAN_BITMAP_AHEAD - 1, &e)) return;
  uintptr_t base = (uintptr_t)spanq_entry_span(e);
  const struct heap_arena *a = arena_at(entry_origin(&k->m->h->arenas), base);
  spanscan_prefetch_bitmap(bitmap_at(a, base));
  __builtin_prefetch(span_at(a, base)->bits);
}

/* Asks for the objects of the span that comes next: what waits there, or all of its
 * page when visits of its class go on to find as much again. */
static MGC_ALWAYS_INLINE void prefetch_next(struct marker *k) {
  struct marker_spans *ms = k->spans;
  struct spanq_entry e;
  ms->ahead = ms->ahead_end = 0;
  if (!spanq_ahead(&ms->q, 0, &e)) return;
  uintptr_t base = (uintptr_t)spanq_entry_span(e);
  const struct heap_arena *a = arena_at(entry_origin(&k->m->h->arenas), base);
  struct mspan *s = span_at(a, base);
  const struct marker_class *class = &k->class[s->spanclass.v];
  /* inside / 8 is what is found on average. */
  if (class->inside >= 2u * s->nelems) {
    ms->ahead = base;
    ms->ahead_end = base + SPANSCAN_PAGE_BYTES;
    return;
  }
  struct spanscan_page page = {.base = base};
  struct spanq_span q = queued(s);
  spanq_peek(&q, spanq_entry_slot(e), page.toscan);
  k->m->kernel->prefetch(class->scan, &page);
}

/* Visits the oldest span. False: there is none. */
static MGC_ALWAYS_INLINE bool visit_next(struct marker *k, const bool shared) {
  struct spanq_entry e;
  if (!spanq_get(&k->spans->q, &e)) return false;
  prefetch_heads(k);
  prefetch_next(k);
  visit_span(k, (uintptr_t)spanq_entry_span(e), spanq_entry_slot(e), shared);
  return true;
}

static MGC_NOINLINE bool visit_alone(struct marker *k) {
  return visit_next(k, false);
}
static MGC_NOINLINE bool visit_shared(struct marker *k) {
  return visit_next(k, true);
}

/* Takes n steps, at least one, off a count that has its last one counted elsewhere. */
static inline uint32_t less_steps(uint32_t left, uint32_t n) {
  return left > n ? left - n : 1;
}

/* Counts the edges that stayed in their span as steps. True: k is to leave. */
static bool count_inside(struct marker *k) {
  uint32_t steps = k->spans->inside / MARK_BUDGET;
  if (steps == 0) return false;
  k->spans->inside %= MARK_BUDGET;
  /* The last one is counted by mark_look_around. */
  if (k->quota > 0)
    k->quota = (int32_t)less_steps((uint32_t)k->quota, steps - 1);
  k->untold = less_steps(k->untold, steps - 1);
  return mark_look_around(k);
}

/* --- the loop --- */

/* Whether k can have a buffer of edges. */
static MGC_ALWAYS_INLINE bool has_edges(const struct marker *k) {
  return k->spare->n > 0 || !lfstack_empty(&k->m->full);
}

/* Asks for the span of an edge that comes later. */
static MGC_ALWAYS_INLINE void prefetch_span(uintptr_t origin, uintptr_t p) {
  const struct heap_arena *a = arena_at(origin, p);
  if (likely(a))
    __builtin_prefetch(atomic_ptr_load_relaxed(&a->spans[arena_page_index(p)]));
}

/* Puts back what a leaving marker has at hand. */
static MGC_NOINLINE void leave(struct marker *k, const struct slot_ref *ring,
                               unsigned get, unsigned held, size_t nout) {
  if (k->n + WORK_ROOM > WORKBUF_ENTRIES) work_make_room(k);
  k->n = put_back(k->cur->edge, k->n, ring, get, held);
  while (nout > 0) {
    if (k->n + WORK_ROOM > WORKBUF_ENTRIES) work_make_room(k);
    k->cur->edge[k->n++] = k->spans->out[--nout];
  }
}

static MGC_ALWAYS_INLINE bool
is_in_word(const struct slot_ref *r, const struct mspan *s, uintptr_t word) {
  return r->s == s && r->index / 64 == word;
}

/* The slots of r's word; r is the first of them. */
static MGC_ALWAYS_INLINE void push_slots(struct marker *k, struct slot_ref r,
                                         uint64_t slots) {
  if (r.s->elemsize == PTR_BYTES) {
    mark_push_pointers(k, r, slots);
    return;
  }
  for (;;) {
    mark_push_big(k, r);
    if ((slots &= slots - 1) == 0) return;
    r.index = align_down(r.index, 64) + (unsigned)__builtin_ctzll(slots);
  }
}

static MGC_ALWAYS_INLINE void drain(struct marker *k, const bool shared) {
  struct marker_spans *const ms = k->spans;
  const uintptr_t origin = entry_origin(&k->m->h->arenas);
  struct slot_ref ring[MARK_RING], r;
  unsigned get = 0, held = 0; /* the oldest entry, and how many there are */
  const uintptr_t *edge = k->cur->edge, *const out = ms->out;
  size_t n = k->n, nout = 0;

#define WITH_MARKER(call) (k->n = n, (call), n = k->n, edge = k->cur->edge)
  for (;;) {
    uintptr_t p;
    if (nout > 0) {
      p = out[--nout];
      if (nout >= SPANS_AHEAD) prefetch_span(origin, out[nout - SPANS_AHEAD]);
    } else if (n > 0) {
      p = edge[--n];
      if (unlikely(p & WORK_PIECE_TAG)) {
        WITH_MARKER(mark_push_piece(k, p));
        continue;
      }
    } else if (has_edges(k)) {
      WITH_MARKER((void)work_refill(k));
      continue;
    } else if (shared ? visit_shared(k) : visit_alone(k)) {
      bool leaves = false;
      nout = ms->nout;
      if (shared) WITH_MARKER(leaves = count_inside(k));
      if (!leaves) continue;
      WITH_MARKER(leave(k, ring, get, held, nout));
      return;
    } else {
      p = 0;
    }
    struct slot_ref found;
    if (likely(p)) {
      if (unlikely(!find_slot(origin, p, &found))) continue;
      if (unlikely(held < MARK_RING)) {
        ring[(get + held++) % MARK_RING] = found;
        continue;
      }
    } else if (held == 0) {
      k->cur->n = k->n = 0;
      return;
    }
    /* The new entry takes the oldest one's place; at the end there is none. */
    r = ring[get % MARK_RING];
    if (likely(p))
      ring[get % MARK_RING] = found;
    else
      held--;
    get++;
    if (shared && unlikely(--k->budget == 0)) {
      bool leaves;
      WITH_MARKER(leaves = mark_look_around(k));
      if (leaves) {
        WITH_MARKER(leave(k, &r, 0, 1, 0));
        WITH_MARKER(leave(k, ring, get, held, nout));
        return;
      }
    }
    struct mspan *s = r.s;
    uintptr_t word = r.index / 64;
    uint64_t slots = 1ull << (r.index % 64);
    unsigned before = held;
    while (held > 0 && is_in_word(&ring[get % MARK_RING], s, word)) {
      slots |= 1ull << (ring[get++ % MARK_RING].index % 64);
      held--;
    }
    if (shared) k->budget = less_steps(k->budget, before - held);
    bool first;
    if (!(slots = mark_slots(&s->bits[word], slots, shared, &first))) continue;
    if (unlikely(first)) mark_note_span(k, s);
    struct marker_class *class = &k->class[s->spanclass.v];
    bool more = slots & (slots - 1);
    class->found += more ? sum_of_bytes64(ones64_by_byte(slots)) : 1;
    r.index = 64 * word + (unsigned)__builtin_ctzll(slots);
    if (likely(class->scan)) {
      if (spanq_note(&s->owned, more, shared))
        spanq_put(&ms->q,
                  spanq_entry_make((const void *)s->base, (unsigned)r.index),
                  &s->owned);
      continue;
    }
    if (!mspan_noscan(s)) WITH_MARKER(push_slots(k, r, slots));
  }
#undef WITH_MARKER
}

static MGC_NOINLINE void drain_alone(struct marker *k) { drain(k, false); }
static MGC_NOINLINE void drain_shared(struct marker *k) { drain(k, true); }

/* Edges in the vector registers of a thread that is stopped later would be roots. */
static void forget_registers(void) {
#if defined(__x86_64__)
  __asm__ volatile("pxor %%xmm0, %%xmm0\n\tpxor %%xmm1, %%xmm1\n\t"
                   "pxor %%xmm2, %%xmm2\n\tpxor %%xmm3, %%xmm3\n\t"
                   "pxor %%xmm4, %%xmm4\n\tpxor %%xmm5, %%xmm5\n\t"
                   "pxor %%xmm6, %%xmm6\n\tpxor %%xmm7, %%xmm7"
                   :
                   :
                   : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                     "xmm7");
#endif
}

void markspan_drain(struct marker *k) {
  struct marking *m = k->m;
  k->spans->inside = 0;
  if (m->shared)
    drain_shared(k);
  else
    drain_alone(k);
  forget_registers();
  if (unlikely(atomic_u32_load_relaxed(&m->spans.lost)))
    atomic_u32_store_relaxed(&m->overflow, 1);
}

/* --- giving up what one has --- */

void markspan_release(struct marker *k) {
  struct marking *m = k->m;
  struct spanq_entry e;
  if (!k->spans || spanq_empty(&k->spans->q)) return;
  if (likely(spanq_release(&k->spans->q))) return;
  while (spanq_get(&k->spans->q, &e)) {
    uintptr_t base = (uintptr_t)spanq_entry_span(e);
    struct mspan *s = span_of(&m->h->arenas, base);
    atomic_u8_store_seq_cst(&s->owned, SPANQ_UNOWNED);
  }
  atomic_u32_store_release(&m->spans.lost, 1);
  atomic_u32_store_relaxed(&m->overflow, 1);
}

static void adopt_span(struct mspan *s, void *arg) {
  struct marker *k = arg;
  if (!s->by_span || !atomic_u8_load_relaxed(&s->has_marks)) return;
  struct spanq_span q = queued(s);
  if (!spanq_adopt(&q)) return;
  spanq_put(&k->spans->q, spanq_entry_make((const void *)s->base, 0),
            &s->owned);
  mark_drain(k);
}

void markspan_adopt(struct marker *k) {
  struct marking *m = k->m;
  if (!k->spans || !atomic_u32_load_relaxed(&m->spans.lost)) return;
  atomic_u32_store_relaxed(&m->spans.lost, 0);
  mheap_visit_spans(m->h, adopt_span, k);
}

void markspan_reset(struct marking *m) {
  struct lfnode *node;
  while ((node = lfstack_pop(&m->spans.full)) != NULL)
    lfstack_push(&m->spans.empty, node);
  for (unsigned i = 0; i < GC_MAX_MARKERS; i++)
    if (m->marker[i].spans) spanq_reset(&m->marker[i].spans->q);
  atomic_u32_store_relaxed(&m->spans.lost, 0);
}
