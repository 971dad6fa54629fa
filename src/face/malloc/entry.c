// SPDX-License-Identifier: MIT
/*
 * malloc and free: the fast paths, and what is behind them. See tcache.h for how
 * slots are handed out and taken back, mface.h for the modes.
 *
 * The fast path of free reads the page map, one cache line of the span and the
 * object's first two words. It goes through when all of this holds: the page
 * belongs to a span of small objects that this thread owns; the address is the
 * first byte of a slot; the slot is not on a free list. Everything else, NULL
 * among it, is sorted out by mface_free_slow.
 */
#include "face/malloc/mface.h"

#include "base/annotate.h"
#include "os/thread_linux.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MFACE_EXPORT __attribute__((visibility("default")))

static unsigned class_for(const struct sizeclass_table *tab, size_t size,
                          size_t align) {
  if (unlikely(size > MAX_SMALL_SIZE || align > MGC_PAGE_SIZE)) return 0;
  unsigned c = size ? sizeclass_of(tab, size) : 1;
  /* Spans start on pages, so a slot is aligned when its size is a multiple. */
  while (!is_aligned(tab->size[c], align))
    if (++c == tab->nclasses) return 0;
  return c;
}

static void *alloc_large(struct theap *th, size_t size, size_t align,
                         bool zero) {
  bool is_zero;
  if (unlikely(size > MAX_LARGE_SIZE)) return NULL;
  struct mspan *s = theap_alloc_large(th, size ? size : 1, align, &is_zero);
  if (unlikely(!s)) return NULL;
  void *p = (void *)s->base;
  if (zero && !is_zero) memset(p, 0, size);
  return p;
}

static void *alloc_small(struct tcache *t, unsigned sc, size_t size,
                         bool zero) {
  void *p = (void *)tcache_take(t, tcache_list_off(sc));
  if (unlikely(!p)) {
    struct tcache_result r = tcache_refill(t, sc);
    if (r.zero) return r.p;
    p = r.p;
  }
  if (zero && p) memset(p, 0, size);
  return p;
}

void *mface_alloc_plain(size_t size, size_t align, bool zero) {
  struct tcache *t = mface_thread();
  if (unlikely(!t)) return NULL;
  struct theap *th = t->th;
  unsigned sc = class_for(th->heap->classes, size, align);
  if (unlikely(sc == 0)) return alloc_large(th, size, align, zero);
  return alloc_small(t, sc, size, zero);
}

static MGC_COLD void *alloc_in_mode(size_t size, size_t align, bool zero) {
  if (mface->modes & MFACE_HARDEN) return harden_alloc(size, align, zero);
  return profile_alloc(size, align, zero);
}

/* Everything that is not popped from a list at once. */
static MGC_NOINLINE void *alloc_slow(size_t size, size_t align, bool zero) {
  if (unlikely(!mface_thread())) return NULL;
  janitor_poll(&mface->theap, false);
  if (unlikely(mface->modes != 0)) return alloc_in_mode(size, align, zero);
  return mface_alloc_plain(size, align, zero);
}

/* What mface_alloc_fast declined, when a list has it all the same. */
static MGC_ALWAYS_INLINE void *alloc_medium(size_t size) {
  if (size <= TCACHE_DIRECT_MAX || size > MAX_SMALL_SIZE) return NULL;
  struct tcache *t = tcache_self;
  return (void *)tcache_take(t, t->headoff128[(size + 127) / 128]);
}

void *mface_alloc(size_t size) {
  void *p = mface_alloc_fast(size);
  return likely(p != NULL) ? p : alloc_slow(size, 16, false);
}

void *mface_alloc_zeroed(size_t size) {
  void *p = mface_alloc_fast(size);
  if (unlikely(!p)) p = alloc_medium(size);
  if (unlikely(!p)) return alloc_slow(size, 16, true);
  return memset(p, 0, size);
}

void *mface_alloc_aligned(size_t align, size_t size) {
  return alloc_slow(size, align < 16 ? 16 : align, false);
}

static MGC_COLD MGC_NOINLINE void *malloc_failed(void) {
  errno = ENOMEM;
  return NULL;
}

/* A thread without a cache, and any in a mode, has offset 0 everywhere. */
static uint16_t headoff_for(const struct tcache *t, size_t size) {
  if (size <= TCACHE_DIRECT_MAX) return t->headoff[size];
  if (size <= MAX_SMALL_SIZE) return t->headoff128[(size + 127) / 128];
  return 0;
}

static MGC_NOINLINE void *malloc_slow(size_t size) {
  struct tcache *t = tcache_self;
  uint16_t headoff = headoff_for(t, size);
  if (likely(headoff != 0)) {
    void *p = (void *)tcache_take(t, headoff);
    if (likely(p != NULL)) return p;
    p = tcache_refill(t, headoff / sizeof t->list[0]).p;
    janitor_poll(t->th, false);
    if (likely(p != NULL)) return p;
  }
  void *p = alloc_slow(size, 16, false);
  return likely(p != NULL) ? p : malloc_failed();
}

/* --- freeing --- */

static MGC_NOINLINE void free_event(struct tcache *t, struct mspan *s) {
  tcache_free_event(t, s);
  janitor_poll(t->th, true);
}

/* The span of the hardened allocator's that has p in its pages, or NULL. Its objects
 * may begin anywhere in their slots' span, so nothing else may judge p. */
static struct mspan *hardened(uintptr_t p) {
  if (likely(!mface || !(mface->modes & MFACE_HARDEN))) return NULL;
  struct mspan *s = span_of(&mface->heap.arenas, p);
  void *owner = s ? atomic_ptr_load_acquire(&s->local.owner) : NULL;
  return owner == harden_owner ? s : NULL;
}

static MGC_NOINLINE void free_slow(void *ptr) {
  uintptr_t p = (uintptr_t)ptr;
  if (!ptr) return;
  struct mface *m = mface_get();
  if (unlikely(!m)) return; /* nothing of ours was ever handed out */
  struct theap *th = &m->theap;
  if (unlikely(m->modes != 0)) {
    struct mspan *s = hardened(p);
    if (s) {
      harden_free(s, p);
      return;
    }
    s = span_of_heap(&m->heap.arenas, p);
    struct tcache *owner = s ? atomic_ptr_load_acquire(&s->local.owner) : NULL;
    if (owner && owner == profile_owner) {
      profile_free(tcache_find(th, p), p);
      return;
    }
  }
  tcache_free_slow(th, tcache_self, p);
  janitor_poll(th, true);
}

/* No slot of a span of this thread's: one of another's, or of a mode's or central's;
 * or the middle of a slot, or p is in no span. */
static MGC_NOINLINE void free_other(struct mspan *s, uintptr_t p) {
  if (unlikely(s->local.binoff == 0 || mface->modes != 0 ||
               !mspan_local_starts(&s->local, p) || tcache_looks_free(p))) {
    free_slow((void *)p);
    return;
  }
  tcache_free_remote(&mface->theap, s, p);
  janitor_poll(&mface->theap, true);
  /* A thread that only frees: with a cache its end is noticed, where the janitor
   * may be started. */
  if (unlikely(tcache_self == &tcache_nobody) &&
      atomic_u32_load_relaxed(&janitor_wanted))
    (void)mface_thread();
}

static MGC_ALWAYS_INLINE bool free_fast(void *ptr) {
  uintptr_t p = (uintptr_t)ptr;
  struct mspan *s = pagemap_get(&tcache_globals.map, p);
  if (unlikely(!s)) return false;
  struct tcache *t = (struct tcache *)((uintptr_t)tcache_self +
                                       mspan_local_stray(&s->local, p));
  if (unlikely(!atomic_ptr_is(&s->local.owner, t))) {
    free_other(s, p);
    return true;
  }
  if (unlikely(tcache_may_be_free(p))) return false;
  if (unlikely(!tcache_put(t, s, p))) free_event(t, s);
  return true;
}

void mface_free(void *ptr) {
  if (likely(free_fast(ptr))) return;
  free_slow(ptr);
}

/* --- sizes, moving --- */

/* A span of small objects with p in its pages, as long as there is no mode; or
 * NULL. One load and two tests: programs ask for sizes as often as for memory. */
static MGC_ALWAYS_INLINE struct mspan *small_span(uintptr_t p) {
  struct mspan *s = pagemap_get(&tcache_globals.map, p);
  return likely(s && s->local.binoff != 0 && mface->modes == 0) ? s : NULL;
}

size_t mface_usable(const void *ptr) {
  uintptr_t p = (uintptr_t)ptr;
  const struct mspan *small = small_span(p);
  if (likely(small != NULL)) return small->elemsize;
  struct mspan *s = hardened(p);
  if (unlikely(s != NULL)) return harden_usable(s, p);
  return tcache_find(&mface->theap, p)->elemsize;
}

/* Whether the block may stay as it is: it has room, and not twice too much. */
static bool fits(size_t have, size_t size) {
  return size <= have && (size > have / 2 || have <= 64);
}

static void *move(void *ptr, size_t have, size_t size) {
  void *q = mface_alloc(size);
  /* Making a block smaller never fails: programs do not check. */
  if (!q) return size <= have ? ptr : NULL;
  memcpy(q, ptr, have < size ? have : size);
  mface_free(ptr);
  return q;
}

static bool owned_by_profile(const struct mspan *s) {
  return atomic_ptr_load_relaxed(&s->local.owner) == profile_owner;
}

/* Large blocks, modes, and what is no block at all. */
static MGC_NOINLINE void *realloc_slow(void *ptr, size_t size) {
  struct mspan *s = hardened((uintptr_t)ptr);
  if (s) return move(ptr, harden_usable(s, (uintptr_t)ptr), size);
  s = tcache_find(&mface_get()->theap, (uintptr_t)ptr);
  bool large = spanclass_size(s->spanclass) == 0 && size > MAX_SMALL_SIZE;
  if (unlikely(mface->modes & MFACE_PROFILE) && large)
    return profile_realloc_large(s, size);
  if (unlikely(mface->modes != 0 && owned_by_profile(s)))
    return move(ptr, mface_usable(ptr), size);
  size_t have = s->elemsize;
  if (large) return theap_realloc_large(&mface->theap, s, size);
  if (fits(have, size)) return ptr;
  return move(ptr, have, size);
}

void *mface_realloc(void *ptr, size_t size) {
  uintptr_t p = (uintptr_t)ptr;
  const struct mspan *s = small_span(p);
  if (unlikely(!s || tcache_looks_free(p) || !mspan_local_starts(&s->local, p)))
    return realloc_slow(ptr, size);
  size_t have = s->elemsize;
  return fits(have, size) ? ptr : move(ptr, have, size);
}

/* --- what programs call --- */

MFACE_EXPORT void *malloc(size_t size) {
  void *p = mface_alloc_fast(size);
  return likely(p != NULL) ? p : malloc_slow(size);
}

MFACE_EXPORT void free(void *ptr) {
  if (likely(free_fast(ptr))) return;
  free_slow(ptr);
}
