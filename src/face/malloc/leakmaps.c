// SPDX-License-Identifier: MIT
/*
 * Memory that the program has from the system and not from malloc: pools (Python's
 * objects are in such), other heaps (a Java virtual machine's), coroutines' stacks.
 * What it refers to is in use, as far as anyone can tell.
 *
 * From the kernel's list of mappings this takes those that are anonymous, private,
 * readable and writable, without
 *
 *   - arenas of malloc's heap
 *   - what this library has for itself (vm_system_visit), in which the addresses
 *     of all spans are
 *   - stacks: of threads that live, scanned from their stack pointers already; of
 *     threads that have ended, in which a lost pointer is lost
 *
 * and of them the pages that have contents. A program may have reserved terabytes.
 *
 * When some of the library's own memory is not known, nothing of this is scanned:
 * it would make everything reachable.
 */
#include "face/malloc/leakroots.h"

#include "base/bits.h"
#include "os/procfs.h"

#define BATCH 512u /* pages asked about at a time */

struct walk {
  struct leakroots *r;
  struct leakscan *ls;
  size_t next;      /* first range of skip that may still lie ahead */
  bool cannot_tell; /* which pages have contents */
};

static void add_skip(uintptr_t lo, uintptr_t hi, void *arg) {
  struct leakroots *r = arg;
  struct leak_range *e = leak_vec_push(&r->skip);
  if (e)
    *e = (struct leak_range){lo, hi};
  else
    r->lost = true;
}

/* Heap sort: threads may be many, and this is no place for qsort, which may
 * allocate. */
static void sift_down(struct leak_range *a, size_t i, size_t n) {
  for (size_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && a[child + 1].lo > a[child].lo) child++;
    if (a[i].lo >= a[child].lo) return;
    struct leak_range t = a[i];
    a[i] = a[child];
    a[child] = t;
  }
}

static void sort(struct leak_range *a, size_t n) {
  for (size_t i = n / 2; i-- > 0;) sift_down(a, i, n);
  while (n > 1) {
    struct leak_range t = a[0];
    a[0] = a[--n];
    a[n] = t;
    sift_down(a, 0, n);
  }
}

/* [lo, hi) is the program's: those of its pages that have contents. */
static void scan_present(struct walk *w, uintptr_t lo, uintptr_t hi) {
  size_t page = w->ls->vm->page_size;
  uint64_t present[BATCH / 64];
  while (lo < hi && !w->cannot_tell) {
    uintptr_t first = align_down(lo, page);
    size_t n = (align_up(hi, page) - first) / page;
    if (n > BATCH) n = BATCH;
    if (!procfs_pages_present(first, n, present)) {
      w->cannot_tell = true;
      break;
    }
    for (size_t i = 0; i < n; i++, first += page) {
      if (!((present[i / 64] >> (i % 64)) & 1)) continue;
      uintptr_t end = first + page;
      leakscan_range(w->ls, first > lo ? first : lo, end < hi ? end : hi);
    }
    lo = first;
  }
  if (lo < hi) leakscan_range(w->ls, lo, hi);
}

/* skip is sorted, and mappings come in order. Ranges of skip may overlap. */
static void visit_mapping(uintptr_t lo, uintptr_t hi, void *walk) {
  struct walk *w = walk;
  const struct leak_range *skip = w->r->skip.data;
  while (w->next < w->r->skip.n && skip[w->next].hi <= lo) w->next++;
  for (size_t i = w->next; i < w->r->skip.n && lo < hi; i++) {
    if (skip[i].lo >= hi) break;
    if (skip[i].lo > lo) scan_present(w, lo, skip[i].lo);
    if (skip[i].hi > lo) lo = skip[i].hi;
  }
  if (lo < hi) scan_present(w, lo, hi);
}

void leakroots_scan_mapped(struct leakroots *r, struct leakscan *ls) {
  struct walk w = {.r = r, .ls = ls};
  const struct heap *h = ls->heap;
  if (!vm_system_visit(add_skip, r)) return;
  for (size_t i = 0; i < h->narenas; i++)
    add_skip(h->all_arenas[i]->base, h->all_arenas[i]->base + HEAP_ARENA_BYTES,
             r);
  sort(r->skip.data, r->skip.n);
  if (!procfs_visit_anonymous(visit_mapping, &w)) r->lost = true;
}
