// SPDX-License-Identifier: MIT
/*
 * Explicit free (Go: freegc, here for every kind of object) and realloc.
 *
 * A free clears the slot's alloc bit; the bit is what tells a second free. The
 * slot is then remembered in the thread's reuse list of its class, which refills
 * look at first; an entry is only a hint, since another thread that caches the
 * span may claim the slot through the bits. A span nobody caches is filed as
 * partial, so that slots beyond the list are found again without a collection.
 * Large objects give their pages back at once.
 *
 * heap_live goes down by what is freed: a program that frees what it can
 * collects less often.
 *
 * While the collector marks beside the program nothing may become free under its
 * eyes. Frees are remembered then (mcache.later), and carried out by the thread's next
 * free after marking; a second free of such an object is found out there.
 */
#include "alloc/free.h"
#include "base/fatal.h"
#include "os/thread_linux.h"
#include <string.h>

#define CLEAR_PIECE ((size_t)64 << 10)

bool object_find(const struct heap *h, uintptr_t p, struct object_ref *out) {
  struct mspan *s = span_of_heap(&h->arenas, p);
  if (!s) return false;
  out->span = s;
  out->index = s->divmul ? mspan_index(s, p) : 0;
  /* A dead address may meet a span that is being made: stay inside its bits. */
  if (unlikely(out->index >= s->nelems)) {
    out->span = NULL;
    return false;
  }
  out->base = mspan_slot(s, out->index);
  return mspan_is_alloc(s, out->index);
}

static MGC_COLD MGC_NORETURN void
free_invalid(const void *p, const struct object_ref *o, const char *why) {
  if (!o->span) fatal_user("invalid free", "ptr=%p (%s)", p, why);
  fatal_user("invalid free",
             "ptr=%p (%s) span=0x%lx elemsize=%zu index=%u object=0x%lx", p,
             why, (unsigned long)o->span->base, o->span->elemsize, o->index,
             (unsigned long)o->base);
}

static MGC_COLD MGC_NORETURN void
free_double(const void *p, const struct mspan *s, unsigned index) {
  fatal_user("double free", "ptr=%p span=0x%lx elemsize=%zu index=%u", p,
             (unsigned long)s->base, s->elemsize, index);
}

static bool is_tiny_block(const struct heap *h, const struct mspan *s) {
  return h->opt.tiny && s->spanclass.v == TINY_SPAN_CLASS.v;
}

/* Finds p's slot and checks that p is its first byte. */
static void find_for_free(const struct heap *h, const void *p,
                          struct object_ref *o) {
  *o = (struct object_ref){0};
  bool live = object_find(h, (uintptr_t)p, o);
  if (!o->span) free_invalid(p, o, "not in the heap");
  if (is_tiny_block(h, o->span)) return;
  if (o->base != (uintptr_t)p) free_invalid(p, o, "inside an object");
  if (!live) free_double(p, o->span, o->index);
}

static void free_large(struct thread *t, struct mspan *s, const void *p) {
  struct heap *h = t->heap;
  size_t bytes = s->elemsize;
  if (!mspan_free_slot(s, 0)) free_double(p, s, 0);
  t->cache->counts.large_nfree++;
  t->cache->counts.large_free_bytes += bytes;
  atomic_u64_fetch_sub_relaxed(&h->heap_live, bytes);
  mheap_free(h, s);
}

static void free_small(struct thread *t, struct mspan *s, unsigned index,
                       void *p) {
  struct heap *h = t->heap;
  if (h->opt.clobber_free) memset(p, 0xdb, s->elemsize);
  if (!mcache_free_slot(h, t->cache, s, index)) free_double(p, s, index);
}

/* Inside the allocator. */
static void free_now(struct thread *t, const struct object_ref *o, void *p) {
  if (spanclass_size(o->span->spanclass) == 0) {
    sweep_ensure(t->heap, o->span);
    free_large(t, o->span, p);
  } else {
    free_small(t, o->span, o->index, p);
  }
}

/* What was freed while marking ran. Inside the allocator. */
static MGC_NOINLINE void free_waiting(struct thread *t) {
  struct mcache_reuse *later = t->cache->later;
  while (later->n > 0) {
    void *p = (void *)later->slot[--later->n];
    struct object_ref o;
    find_for_free(t->heap, p, &o);
    free_now(t, &o, p);
  }
}

void object_free(struct thread *t, void *p) {
  if (!p || p == zerobase) return;
  struct heap *h = t->heap;
  struct object_ref o;
  find_for_free(h, p, &o);
  if (is_tiny_block(h, o.span)) return;
  thread_enter(t);
  /* Marking begins and ends with every thread outside the allocator. */
  if (unlikely(heap_is_marking(h))) {
    mcache_free_later(h, t->cache, o.span, o.index);
  } else {
    if (unlikely(t->cache->later != NULL)) free_waiting(t);
    free_now(t, &o, p);
  }
  thread_leave(t);
}

/* What a new object in place of the one in s is scanned by. */
static const struct mgc_type *type_for_copy(const struct mspan *s) {
  if (mspan_noscan(s)) return NULL;
  const struct mgc_type *type = atomic_ptr_load_acquire(&s->masktype);
  return type ? type : &mgc_type_conservative;
}

/* Whether size bytes are served well by the slot that p has: it fits, and takes
 * more than half of it. */
static bool realloc_fits(const struct mspan *s, size_t size) {
  return size <= s->elemsize && (size > s->elemsize / 2 || s->elemsize <= 16);
}

/* The alignment a moved object gets: its type's own may be more than what its
 * size implies. */
static size_t realloc_align(const struct mgc_type *type, size_t size) {
  size_t align = alloc_natural_align(size);
  if (type && align < 8) align = 8;
  return type && type->align > align ? type->align : align;
}

/* Clears what may hold pointers, in pieces that do not hold up a stop. */
static void clear_words(struct thread *t, char *p, size_t n) {
  const struct heap *h = t->heap;
  for (size_t piece; n > 0; p += piece, n -= piece) {
    piece = n < CLEAR_PIECE ? n : CLEAR_PIECE;
    /* Together: a cycle that begins between the two would not hear of it. */
    thread_enter(t);
    if (h->hooks.before_clear) h->hooks.before_clear(t->heap, p, piece);
    memset(p, 0, piece);
    thread_leave(t);
  }
}

static bool realloc_in_place(struct thread *t, struct mspan *s, size_t size) {
  if (spanclass_size(s->spanclass) != 0 || size <= s->elemsize) return false;
  struct heap *h = t->heap;
  size_t before = s->elemsize;
  thread_enter(t);
  bool done = mheap_try_extend(h, s, size);
  if (done) t->cache->counts.large_alloc_bytes += s->elemsize - before;
  thread_leave(t);
  return done;
}

void *object_realloc(struct thread *t, void *p, size_t size) {
  struct heap *h = t->heap;
  struct object_ref o;
  size_t room = size + 1; /* a pointer one past the end stays inside */
  if (p == zerobase) return mallocgc(room, &mgc_type_conservative, 16, true);
  find_for_free(h, p, &o);
  struct mspan *s = o.span;
  if (is_tiny_block(h, s)) {
    /* How much of the block belongs to p is not known: to its end. */
    size_t old = (size_t)(o.base + s->elemsize - (uintptr_t)p);
    char *q = mallocgc(room, NULL, alloc_natural_align(size), false);
    if (q) memcpy(q, p, old < size ? old : size);
    return q;
  }
  if (realloc_fits(s, room)) {
    /* What is cut off must be zero when the object grows again. */
    if (!mspan_noscan(s)) clear_words(t, (char *)p + size, s->elemsize - size);
    return p;
  }
  if (realloc_in_place(t, s, room)) return p;
  size_t old = s->elemsize;
  const struct mgc_type *type = type_for_copy(s);
  char *q = mallocgc(room, type, realloc_align(type, size), type != NULL);
  if (!q) return NULL;
  memcpy(q, p, old < size ? old : size);
  object_free(t, p);
  return q;
}
