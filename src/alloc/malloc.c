// SPDX-License-Identifier: MIT
/*
 * mallocgc: from a request to a slot (Go: malloc.go).
 *
 *   mgc_new(T), inlined     the thread's run of T's span class carries T's mask:
 *                           add, compare, done (mallocgc/run.h)
 *   otherwise, by size:
 *     0                     &zerobase
 *     < 16, no pointers     tiny: several objects in one 16-byte block
 *     <= 32 KiB             small: the next slot of the class's run
 *                             run used up: mcache_refill
 *                               next run of the cached span
 *                               mcentral: a swept span with room, sweeping some
 *                               mheap: pages from the thread's page cache, the
 *                                 page allocator, or the OS
 *     more                  large: a span of its own
 *
 * Zeroing. Slots for values with pointers are always zero when they are handed
 * out: a run is zeroed when it is taken, while it is in cache, and not at all
 * when its memory is fresh from the OS. Slots without pointers are zeroed on
 * request only.
 *
 * Masks. A run's slots carry the mask of the type it was taken for, tiled over
 * the whole slot; so arrays and single values of one type share runs. (The tail
 * of a slot past the object is zero, and zero words point nowhere.) A value of
 * another type takes its slot from the run all the same, and has its slot's mask
 * written then.
 *
 * Where a stop may happen. Between thread_enter and thread_leave it waits; at
 * any other instruction it may come. An object that has been taken but not yet
 * returned is in a register or on the stack, and so is found. The mask of a slot
 * is in place before thread_leave.
 *
 *   I1  in_alloc is 0 when a hook of heap/hooks.h that may collect is called
 *   I2  a large object's type is published after its memory is zero
 */
#include "alloc/malloc.h"
#include "alloc/init.h"
#include "base/annotate.h"
#include "base/fatal.h"
#include "heap/heapbits.h"
#include <string.h>

/* How often the program is asked for one object. */
#define OUT_OF_MEMORY_TRIES 8

char zerobase[16] __attribute__((aligned(16)));

unsigned alloc_sizeclass(const struct heap *h, size_t size, size_t align) {
  const struct sizeclass_table *tab = h->classes;
  if (unlikely(size > MAX_SMALL_SIZE || align > MGC_PAGE_SIZE)) return 0;
  unsigned c = sizeclass_of(tab, size);
  /* Spans start on pages, so a slot is aligned when its size is a multiple. */
  while (unlikely(!is_aligned(tab->size[c], align)))
    if (++c == tab->nclasses) return 0;
  return c;
}

/* Collects when it is time to. The object just taken is still in the caller's
 * frame, where the scan finds it. */
static MGC_NOINLINE void alloc_maybe_collect(struct heap *h) {
  bool due = heap_live_bytes(h) >= atomic_u64_load_relaxed(&h->gc_trigger);
  uint32_t every = h->opt.gc_every;
  if (unlikely(every != 0) &&
      (atomic_u64_fetch_add_relaxed(&h->ticks, 1) + 1) % every == 0) {
    atomic_u64_store_relaxed(&h->gc_trigger, 0);
    due = true;
  }
  if (unlikely(due) && h->hooks.trigger) h->hooks.trigger(h);
}

/* Asks the program, outside the allocator: it may free, and collect. */
static bool ask_program(struct thread *t, size_t size) {
  struct heap *h = t->heap;
  thread_enter(t);
  mutex_lock(&h->lock);
  bool (*ask)(size_t size, void *arg) = h->out_of_memory;
  void *arg = h->out_of_memory_arg;
  mutex_unlock(&h->lock);
  thread_leave(t);
  /* What the function itself allocates fails at once. */
  if (!ask || t->asking) return false;
  t->asking = true;
  bool again = ask(size, arg);
  t->asking = false;
  return again;
}

/* True: try again. Called outside the allocator (I1). attempt counts from 0. */
static MGC_COLD bool alloc_out_of_memory(struct thread *t, size_t size,
                                         unsigned attempt) {
  struct heap *h = t->heap;
  if (!h->hooks.limit) return false;
  if (attempt > 0 && (attempt > OUT_OF_MEMORY_TRIES || !ask_program(t, size)))
    return false;
  h->hooks.limit(h);
  return true;
}

void alloc_set_out_of_memory(struct thread *t,
                             bool (*ask)(size_t size, void *arg), void *arg) {
  struct heap *h = t->heap;
  thread_enter(t);
  mutex_lock(&h->lock);
  h->out_of_memory = ask;
  h->out_of_memory_arg = arg;
  mutex_unlock(&h->lock);
  thread_leave(t);
}

/* A run for spc; the caller is inside the allocator, and still is afterwards,
 * but may have been outside. */
static bool alloc_refill(struct thread *t, struct spanclass spc,
                         const struct mgc_type *want) {
  struct mcache *c = t->cache;
  for (unsigned attempt = 0;; attempt++) {
    if (likely(mcache_refill(c->heap, c, spc, want) != NULL)) return true;
    thread_leave(t);
    bool again = alloc_out_of_memory(t, c->pub.run[spc.v].elemsize, attempt);
    thread_enter(t);
    if (!again) return false;
  }
}

/* A slot came from a run that was made ready for something else. */
static MGC_NOINLINE void alloc_fit_slot(struct mcache *c, struct spanclass spc,
                                        void *p, const struct mgc_type *want) {
  struct mspan *s = c->span[spc.v];
  if (spanclass_noscan(spc)) {
    if (want == mgc_run_zeroed && mspan_slots_dirty(s))
      memset(p, 0, s->elemsize);
    return;
  }
  heapbits_set_slots(&c->heap->arenas, s, mspan_index(s, (uintptr_t)p), 1, want,
                     s->elemsize);
  /* relaxed: only this thread and a stopped world read it */
  atomic_ptr_store_relaxed(&s->masktype, NULL);
}

void *alloc_small(struct thread *t, struct spanclass spc,
                  const struct mgc_type *type, bool zero) {
  struct mcache *c = t->cache;
  struct mgc_run *r = &c->pub.run[spc.v];
  if (spanclass_noscan(spc)) type = zero ? mgc_run_zeroed : mgc_run_raw;
  bool refilled = false;
  thread_enter(t);
  uintptr_t p;
  while (unlikely(!mgc_run_take(r, r->elemsize, &p))) {
    if (!alloc_refill(t, spc, type)) {
      thread_leave(t);
      return NULL;
    }
    refilled = true;
  }
  if (r->type != type) alloc_fit_slot(c, spc, (void *)p, type);
  thread_leave(t);
  if (refilled) alloc_maybe_collect(c->heap);
  return (void *)p;
}

/* The tiny block's words are read and written here while a stop may come at any
 * instruction: flushing a stopped thread clears `tiny`, and the order below makes
 * every interleaving end in a block that this thread still refers to. */
void *alloc_tiny(struct thread *t, size_t size, size_t align) {
  struct mcache *c = t->cache;
  uintptr_t off = align_up(atomic_uptr_load_relaxed(&c->tinyoffset), align);
  uintptr_t tiny = atomic_uptr_load_relaxed(&c->tiny);
  if (off + size <= MAX_TINY_SIZE && tiny != 0) {
    atomic_uptr_store_relaxed(&c->tinyoffset, off + size);
    c->counts.tiny_allocs++;
    return (void *)(tiny + off);
  }
  char *p = alloc_small(t, TINY_SPAN_CLASS, NULL, true);
  if (unlikely(!p)) return NULL;
  /* Keep the block that has more room left. */
  if (size < atomic_uptr_load_relaxed(&c->tinyoffset) ||
      atomic_uptr_load_relaxed(&c->tiny) == 0) {
    /* The block first: a stop between the two makes it 0 again. */
    atomic_uptr_store_relaxed(&c->tiny, (uintptr_t)p);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    atomic_uptr_store_relaxed(&c->tinyoffset, size);
  }
  return p;
}

void *alloc_large(struct thread *t, size_t size, size_t align,
                  const struct mgc_type *type, bool zero) {
  struct mcache *c = t->cache;
  struct heap *h = c->heap;
  bool noscan = type == NULL;
  struct mspan *s;
  char *p = NULL;
  for (unsigned attempt = 0;; attempt++) {
    thread_enter(t);
    s = mheap_alloc_large(h, size, align, noscan, c);
    if (s) {
      c->counts.large_nalloc++;
      c->counts.large_alloc_bytes += s->elemsize;
      c->allocated += (int64_t)s->elemsize;
      p = (char *)s->base;
      /* A stop finds the object by this address, not by s: it must not be
       * loaded from the span again after thread_leave. */
      __asm__ volatile("" : "+r"(p));
    }
    thread_leave(t);
    if (likely(s != NULL)) break;
    if (!alloc_out_of_memory(t, size, attempt)) return NULL;
  }
  /* Outside the allocator: zeroing a gigabyte must not hold up a stop. */
  if (s->needzero && (zero || !noscan)) memset(p, 0, s->elemsize);
  /* I2. release: pairs with the marker's acquire */
  if (!noscan) atomic_ptr_store_release(&s->masktype, (void *)(uintptr_t)type);
  alloc_maybe_collect(h);
  return p;
}

void *mallocgc(size_t size, const struct mgc_type *type, size_t align,
               bool needzero) {
  if (unlikely(size == 0)) return zerobase;
  struct thread *t = thread_get();
  if (unlikely(!t)) return NULL;
  const struct heap *h = t->heap;
  bool noscan = !type || type->ptrdata == 0;
  if (align == 0) align = type ? type->align : alloc_natural_align(size);
  if (noscan) {
    if (size < MAX_TINY_SIZE && h->opt.tiny && align <= 8)
      return alloc_tiny(t, size, align);
    type = NULL;
  }
  unsigned sc = alloc_sizeclass(h, size, align);
  if (unlikely(sc == 0)) return alloc_large(t, size, align, type, needzero);
  return alloc_small(t, spanclass_make(sc, noscan), type, needzero);
}

/* Sets up the inlined path: which run, which slot size, which marker. Values that
 * are tiny, large or of size 0 keep match == NULL and come here each time. */
static void slot_setup(struct mgc_typeslot *slot, const struct heap *h,
                       const struct mgc_type *type) {
  bool noscan = type->ptrdata == 0;
  size_t size = slot->size, align = slot->align;
  if (size == 0 || (noscan && size < MAX_TINY_SIZE && h->opt.tiny)) return;
  unsigned sc = alloc_sizeclass(h, size, align);
  if (sc == 0) return;
  uint32_t run = spanclass_make(sc, noscan).v;
  /* Threads that set up one slot together write the same values. */
  __atomic_store_n(&slot->run_offset, run * (uint32_t)sizeof(struct mgc_run),
                   __ATOMIC_RELAXED);
  __atomic_store_n(&slot->elemsize, h->classes->size[sc], __ATOMIC_RELAXED);
  /* release: pairs with the acquire in mgc_new_from */
  __atomic_store_n(&slot->match, noscan ? mgc_run_zeroed : type,
                   __ATOMIC_RELEASE);
}

void *alloc_from_slot(struct mgc_typeslot *slot) {
  struct thread *t = thread_get();
  if (unlikely(!t)) return NULL;
  const struct mgc_type *type = mgc_typeslot_type(slot);
  if (unlikely(!__atomic_load_n(&slot->match, __ATOMIC_ACQUIRE)))
    slot_setup(slot, t->heap, type);
  const struct mgc_type *match =
      __atomic_load_n(&slot->match, __ATOMIC_ACQUIRE);
  if (unlikely(!match)) return mallocgc(slot->size, type, slot->align, true);
  uint32_t run = __atomic_load_n(&slot->run_offset, __ATOMIC_RELAXED) /
                 (uint32_t)sizeof(struct mgc_run);
  return alloc_small(t, (struct spanclass){(uint8_t)run}, match, true);
}
