// SPDX-License-Identifier: MIT
/*
 * The write barrier (Go: mbarrier.go, mwbbuf.go): how a program that stores by
 * mgc_store tells the markers what it changes.
 *
 * Marking finds what was reachable when the world stood at the cycle's begin (the
 * snapshot: roots were read then). A pointer that the program takes out of an object
 * after that may be the only way there, so the barrier keeps what a slot held. It keeps
 * the new value too: then two threads that store into one slot at the same time cannot
 * hide each other's.
 *
 * A stop may come between the store and the question whether the barrier is on. At the
 * begin of a cycle: the slot holds the new value already, and the old one is in a
 * register, that is a root. At its end: the old value was in the snapshot and may have
 * been kept by nobody yet; it is in a register, and so stacks are looked at once more
 * (cycle.c). This is why mgc_store needs no protection from signals.
 *
 * Pointers are kept in the thread's own record and handed over 250 at a time, without
 * those whose objects are marked already: their number is bounded then by that of the
 * heap's objects, and marking ends however fast the program stores. When there
 * is no memory for that, they are marked on the spot, and marking goes over all marked
 * objects once more (`overflow`).
 *
 *   I1  between barrier_set(true) and (false) every pointer into the heap that a
 *       recorded store replaced is marked, or in a thread's buffer, or an edge
 */
#include "gc/barrier.h"

#include "base/fatal.h"
#include "gc/scan.h"
#include <mallocgc/store.h>

uint32_t mgc_barrier_on;

void barrier_set(bool on) {
  /* relaxed: the world stands, and its restart orders */
  __atomic_store_n(&mgc_barrier_on, on, __ATOMIC_RELAXED);
}

void barrier_flush(struct marking *m, struct thread *t) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < t->nbarrier; i++)
    if (mark_is_missing(m, t->barrier[i])) t->barrier[n++] = t->barrier[i];
  t->nbarrier = 0;
  if (n == 0 || work_add_edges(m, t->barrier, n)) return;
  for (uint32_t i = 0; i < n; i++) mark_at_once(m, t->barrier[i]);
}

static inline void keep(struct marking *m, struct thread *t, uintptr_t p) {
  if (p - m->lo >= m->extent) return;
  t->barrier[t->nbarrier++] = p;
  if (unlikely(t->nbarrier == THREAD_BARRIER_MAX)) barrier_flush(m, t);
}

void barrier_record(struct marking *m, struct thread *t, uintptr_t was,
                    uintptr_t is) {
  thread_enter(t);
  /* Inside, because the cycle may have ended before. */
  if (heap_is_marking(m->h)) {
    keep(m, t, was);
    if (is != was) keep(m, t, is);
  }
  thread_leave(t);
}

void barrier_words(struct marking *m, struct thread *t, const void *p,
                   size_t n) {
  mgc_assert(atomic_u32_load_relaxed(&t->in_alloc) > 0);
  if (!heap_is_marking(m->h)) return;
  uintptr_t lo = align_up((uintptr_t)p, PTR_BYTES);
  uintptr_t hi = align_down((uintptr_t)p + n, PTR_BYTES);
  for (; lo < hi; lo += PTR_BYTES) keep(m, t, scan_load((const uintptr_t *)lo));
}
