// SPDX-License-Identifier: MIT
/*
 * Address space for the heap (Go: mheap.grow, mheap.sysAlloc).
 *
 * Unlimited address space: the window is all 48 bits. Arenas are reserved when
 * they are needed, next to each other from a hint on: 0x1ac0 << 32, then the
 * same with i << 40 added. Such addresses are easy to tell from text when one
 * looks at memory, and keep clear of mmap's own area. Go's 0x00c0 << 32 would
 * not do: roots are scanned conservatively, and a pair of ints whose second is
 * 192 looks like an address there (tables in libcrypto's data do). A pair whose
 * second is 6848 is rare. When no hint
 * works (sanitizers own these addresses) any address will do.
 *
 * Limited address space (RLIMIT_AS): tables for 48 bits would use it up, since
 * reservations count. One region is reserved at the start, and the window is
 * just around it.
 *
 *   cur_arena          cur_arena_end
 *   |  reserved, not yet given  |
 *   ^ grows by multiples of 4 MiB: arena metadata, map, pagealloc_grow
 */
#include "heap/mheap_internal.h"

#include "base/fatal.h"
#include "base/print.h"
#include <string.h>

#define HINT_FIRST ((uintptr_t)0x1ac0 << 32)
#define HINT_STEP ((uintptr_t)1 << 40)
/* Go has 128; a process with more heaps than this puts them anywhere. */
#define HINT_COUNT 16u
#define FULL_WINDOW_LOG2 48u
#define HUGE_MAX_PAGES 64u

/* --- choosing the window --- */

static size_t region_size(const struct heap_config *cfg) {
  uint64_t left = cfg->address_space_left;
  uint64_t size = left == UINT64_MAX ? UINT64_MAX : left / 2;
  unsigned log2 = cfg->opt.window_log2;
  if (log2 == 0) log2 = FULL_WINDOW_LOG2 - 1;
  if (size > (uint64_t)1 << log2) size = (uint64_t)1 << log2;
  if (size < HEAP_MIN_REGION) size = HEAP_MIN_REGION;
  return align_down((uintptr_t)size, HEAP_ARENA_BYTES);
}

/* The smallest window that holds [base, base + size). Its base is base: window
 * bases are multiples of a chunk only. */
static struct addrwindow window_around(uintptr_t base, size_t size) {
  unsigned log2 = bit_length64(size - 1);
  if (log2 < ADDRWINDOW_MIN_LOG2) log2 = ADDRWINDOW_MIN_LOG2;
  return (struct addrwindow){.base = base, .log2_size = log2};
}

static void *reserve_region(struct heap *h, const struct heap_config *cfg,
                            size_t size) {
  if (size > cfg->address_space_left) return NULL;
  return h->vm->ops->reserve(h->vm, NULL, size, HEAP_ARENA_BYTES,
                             "mallocgc: heap reservation");
}

enum heap_init_status mheap_choose_window(struct heap *h,
                                          const struct heap_config *cfg,
                                          struct addrwindow *w, char *detail,
                                          size_t detail_size) {
  bool limited = cfg->address_space_left != UINT64_MAX;
  unsigned log2 = cfg->opt.window_log2;
  h->next_hint = HINT_FIRST;
  if (!limited && (log2 == 0 || log2 >= FULL_WINDOW_LOG2)) {
    *w = (struct addrwindow){.base = 0, .log2_size = FULL_WINDOW_LOG2};
    return HEAP_INIT_OK;
  }
  size_t size = region_size(cfg);
  void *p = reserve_region(h, cfg, size);
  if (!p && size > HEAP_MIN_REGION) {
    size = HEAP_MIN_REGION;
    p = reserve_region(h, cfg, size);
  }
  if (!p) {
    print_format(detail, detail_size,
                 "cannot reserve %zu bytes of address space for the heap: "
                 "left=%llu (RLIMIT_AS, see ulimit -v)",
                 size, (unsigned long long)cfg->address_space_left);
    return HEAP_INIT_ADDRESS_SPACE;
  }
  h->one_region = true;
  h->cur_arena = (uintptr_t)p;
  h->cur_arena_end = h->cur_arena + size;
  *w = window_around(h->cur_arena, size);
  return HEAP_INIT_OK;
}

/* --- growing --- */

static uintptr_t reserve_at(struct heap *h, uintptr_t hint, size_t n) {
  if (hint && hint + n > (uintptr_t)1 << FULL_WINDOW_LOG2) return 0;
  return (uintptr_t)h->vm->ops->reserve(
      h->vm, (void *)hint, n, HEAP_ARENA_BYTES, "mallocgc: heap reservation");
}

static uintptr_t reserve_arenas(struct heap *h, size_t n) {
  uintptr_t p = reserve_at(h, h->next_hint, n);
  while (!p && h->hints_tried < HINT_COUNT)
    p = reserve_at(h, HINT_FIRST + HINT_STEP * h->hints_tried++, n);
  if (!p) p = reserve_at(h, 0, n);
  if (!p) return 0;
  if (p + n > (uintptr_t)1 << FULL_WINDOW_LOG2) {
    h->vm->ops->free(h->vm, (void *)p, n);
    return 0;
  }
  /* tiny_arenas leaves a hole, so that spans and ranges never join up. */
  h->next_hint = p + n + (h->opt.tiny_arenas ? HEAP_ARENA_BYTES : 0);
  return p;
}

/* Makes room for one more entry of all_arenas. */
static bool reserve_arena_entry(struct heap *h) {
  if (h->narenas < h->all_arenas_cap) return true;
  size_t cap = h->all_arenas_cap ? 2 * h->all_arenas_cap : 64;
  struct heap_arena **all = persistent_alloc(
      &h->meta, cap * sizeof(struct heap_arena *), 0, &h->stats.arena_meta);
  if (!all) return false;
  if (h->narenas) memcpy(all, h->all_arenas, h->narenas * sizeof *all);
  h->all_arenas = all;
  h->all_arenas_cap = cap;
  return true;
}

/* Metadata first: the page allocator never hands out a page without any. */
static bool add_arenas(struct heap *h, uintptr_t from, uintptr_t to) {
  for (uintptr_t p = align_down(from, HEAP_ARENA_BYTES); p < to;
       p += HEAP_ARENA_BYTES) {
    struct heap_arena *a;
    if (!reserve_arena_entry(h) ||
        !arena_map_add(&h->arenas, h->vm, p, &h->stats.arena_meta, &a))
      return false;
    if (a) h->all_arenas[h->narenas++] = a;
  }
  return true;
}

/* Gives [from, from + n) of the reservation to the page allocator. */
static bool give_pages(struct heap *h, uintptr_t from, size_t n) {
  if (!add_arenas(h, from, from + n)) return false;
  if (h->hooks.growing && !h->hooks.growing(h, from, n)) return false;
  if (!h->vm->ops->map(h->vm, (void *)from, n, "mallocgc: heap")) return false;
  if (!pagealloc_grow(&h->pages, from, n)) {
    h->vm->ops->fault(h->vm, (void *)from, n);
    return false;
  }
  memstat_add(&h->stats.heap_sys, (int64_t)n);
  /* Nothing was touched: free pages without physical memory. */
  memstat_add(&h->stats.heap_released, (int64_t)n);
  return true;
}

/* Makes [cur_arena, cur_arena_end) hold at least n bytes. */
static bool reserve_more(struct heap *h, size_t n) {
  if (h->one_region) return false;
  size_t ask = align_up(n, HEAP_ARENA_BYTES);
  uintptr_t p = reserve_arenas(h, ask);
  if (!p) return false;
  if (p != h->cur_arena_end) {
    /* What is left of the old arena goes to the page allocator; if even that
     * fails, some address space is lost and nothing else. */
    if (h->cur_arena < h->cur_arena_end)
      (void)give_pages(h, h->cur_arena, h->cur_arena_end - h->cur_arena);
    h->cur_arena = p;
  }
  h->cur_arena_end = p + ask;
  return true;
}

/* Huge pages for a heap that is large already and grows for small objects: these
 * fill memory densely, in address order. A large object may be an array of which
 * little is ever touched, and would then cost 512 times as much (malloc: tdense.c). */
static void ask_huge_pages(struct heap *h, uintptr_t from, size_t n,
                           size_t npages) {
  uint64_t least = atomic_u64_load_relaxed(&h->huge_from);
  if (least == 0 || npages > HUGE_MAX_PAGES ||
      memstat_load(&h->stats.heap_inuse) < least)
    return;
  (void)pagealloc_ask_huge(&h->pages, from, n);
}

/* Of a block of this length or more the huge pages at its ends are asked for, too, which
 * are not its own alone. What is free beside it may so have memory that counts as given
 * back, until it is used or freed once more: two fifths of the block at most, and seldom any,
 * since blocks lie side by side. */
#define WITH_ENDS_BYTES (5 * PAGEALLOC_HALF_BYTES)

void mheap_ask_huge(struct heap *h, uintptr_t base, size_t n, bool drop) {
  uintptr_t end = base + n, p = align_up(base, PAGEALLOC_HALF_BYTES);
  uintptr_t last = align_down(end, PAGEALLOC_HALF_BYTES);
  if (n >= WITH_ENDS_BYTES) {
    p = align_down(base, PAGEALLOC_HALF_BYTES);
    last = align_up(end, PAGEALLOC_HALF_BYTES);
  }
  for (; p < last; p += PAGEALLOC_HALF_BYTES) {
    mutex_lock(&h->lock);
    size_t asked = pagealloc_ask_huge(&h->pages, p, PAGEALLOC_HALF_BYTES);
    mutex_unlock(&h->lock);
    if (asked && drop && p >= base && p + PAGEALLOC_HALF_BYTES <= end)
      h->vm->ops->unused(h->vm, (void *)p, PAGEALLOC_HALF_BYTES);
  }
}

bool mheap_grow_locked(struct heap *h, size_t npages) {
  assert_lock_held(&h->lock);
  if (npages > SIZE_MAX / 2 / MGC_PAGE_SIZE) return false;
  size_t n = align_up(npages * MGC_PAGE_SIZE, PALLOC_CHUNK_BYTES);
  if (h->cur_arena_end - h->cur_arena < n && !reserve_more(h, n)) return false;
  if (!give_pages(h, h->cur_arena, n)) return false;
  ask_huge_pages(h, h->cur_arena, n, npages);
  h->cur_arena += n;
  return true;
}
