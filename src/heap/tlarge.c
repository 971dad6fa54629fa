// SPDX-License-Identifier: MIT
/*
 * Objects of more than MAX_SMALL_SIZE: each has a span of its own, made and given
 * back by whoever asks, with no thread's cache in between. The span belongs to the
 * theap's central cache, so that the fast path of free declines it, and only its
 * first page is in the page map: no other address of it can be freed.
 *
 * Growing (realloc). In this order:
 *
 *   1. in place, when the pages behind it are free
 *   2. elsewhere, with as much free space behind it as the block has itself: the
 *      next growths are then in place, so that a block that grows by small steps
 *      between others that grow, too, moves a number of times that is logarithmic
 *      in its size
 *
 * A move copies; or, from MOVE_MIN_BYTES on, lets the kernel move the physical
 * pages (vm move), which costs about a fifth, and the block is never there twice.
 * Not when the new place has physical memory already: that would be thrown away,
 * and the old one's faulted in again by the next user.
 *
 * A place that was moved to is a mapping of its own for the kernel, and a process
 * may have 65530 of them. So there are never more than MOVED_MAX such blocks, and
 * when one is freed its mapping is made anew (vm renew), after which the kernel
 * merges it with its neighbours; its pages are given back by the same call.
 *
 *   I1  local.left is 1 for a block whose mapping is its own, and th->nmoved counts
 *       them
 *   I2  the pages of a block that was left by a move read as zero
 */
#include "heap/tcache_internal.h"

#include "page/page.h"
#include <string.h>

/* A block that comes and goes is better off with memory that stays: measured with
 * four blocks that grow to 4 MiB by turns, again and again, copying took a fifth of
 * the time; from 16 MiB on moving won. */
#define MOVE_MIN_BYTES ((size_t)4 << 20)
#define MOVED_MAX 1000u
/* A block takes address space for its alignment, and tables for that. No program
 * wants more; who asks for more wants to see it refused. */
#define ALIGN_MAX ((size_t)4 << 30)
/* Blocks of less grow elsewhere without room behind. */
#define ROOM_MIN_PAGES 8u

static size_t block_bytes(const struct mspan *s) {
  return s->npages * MGC_PAGE_SIZE;
}

static void enter(struct theap *th, struct mspan *s) {
  s->local.free = TCACHE_NONE;
  /* release: pairs with the acquire of whoever frees */
  atomic_ptr_store_release(&s->local.owner, &th->central);
  pagemap_set(&tcache_globals.map, s->base, 1, s);
  theap_count_pages(th, 0, (int64_t)s->npages);
}

/* Asks for pages: when the limit admits bytes more, and once more after memory was
 * given back. */
static struct mspan *take(struct theap *th, size_t npages, size_t align_pages,
                          size_t room, size_t bytes) {
  for (int attempt = 0;; attempt++) {
    struct mspan *s = NULL;
    if (theap_admit(th, bytes))
      s = room && attempt == 0
              ? mheap_alloc_plain_with_room(th->heap, npages, room)
          : align_pages > 1
              ? mheap_alloc_plain(th->heap, npages, align_pages, 0)
              : theap_take_span(th, npages, 0);
    if (s || attempt > 0 || !th->reclaim || !th->reclaim(th, bytes)) return s;
  }
}

struct mspan *theap_alloc_large(struct theap *th, size_t size, size_t align,
                                bool *zero) {
  if (size == 0 || size > MAX_LARGE_SIZE || align > ALIGN_MAX) return NULL;
  size_t align_pages = align > MGC_PAGE_SIZE ? align >> MGC_PAGE_SHIFT : 1;
  size_t npages = pages_for(size);
  struct mspan *s = take(th, npages, align_pages, 0, npages * MGC_PAGE_SIZE);
  if (!s) return NULL;
  tdense_begin(th, s);
  *zero = !s->needzero;
  enter(th, s);
  return s;
}

/* --- freeing --- */

/* The mapping of [p, p + n) becomes like its neighbours', without pages. */
static void renew(struct theap *th, uintptr_t p, size_t n) {
  struct vm *vm = th->heap->vm;
  vm->ops->renew(vm, (void *)p, n, "mallocgc: heap");
}

/* Nobody but the caller finds s any more. released: it has no physical memory. */
static void leave(struct theap *th, struct mspan *s, bool released) {
  struct heap *h = th->heap;
  pagemap_set(&tcache_globals.map, s->base, 1, NULL);
  theap_count_pages(th, 0, -(int64_t)s->npages);
  if (s->local.left) {
    renew(th, s->base, block_bytes(s));
    atomic_u32_fetch_sub_relaxed(&th->nmoved, 1);
    released = true;
  }
  if (released)
    mheap_free_released(h, s);
  else
    theap_give_span(th, s);
  if (th->freed) th->freed(th);
}

void theap_free_large(struct theap *th, struct mspan *s) {
  tdense_end(th, s);
  leave(th, s, false);
}

/* --- realloc --- */

static void shrink(struct theap *th, struct mspan *s, size_t npages) {
  size_t less = s->npages - npages;
  bool own_mapping = s->local.left;
  uintptr_t tail = s->base + npages * MGC_PAGE_SIZE;
  if (own_mapping) renew(th, tail, less * MGC_PAGE_SIZE);
  mheap_shrink_plain(th->heap, s, npages, own_mapping);
  theap_count_pages(th, 0, -(int64_t)less);
  if (th->freed) th->freed(th);
}

static bool extend(struct theap *th, struct mspan *s, size_t npages) {
  size_t more = npages - s->npages;
  if (!theap_admit(th, more * MGC_PAGE_SIZE) ||
      !mheap_extend_plain(th->heap, s, npages))
    return false;
  theap_count_pages(th, 0, (int64_t)more);
  return true;
}

/* Moves the contents of s to t, which is larger. True when all of s's physical
 * pages are gone. */
static bool move_contents(struct theap *th, struct mspan *s, struct mspan *t) {
  struct vm *vm = th->heap->vm;
  size_t n = block_bytes(s), moved = 0;
  char *from = (char *)s->base, *to = (char *)t->base;
  bool fresh = !t->needzero; /* no physical memory that would be lost */
  if (n >= MOVE_MIN_BYTES && fresh &&
      atomic_u32_load_relaxed(&th->nmoved) < MOVED_MAX) {
    vm->ops->move(vm, from, to, n, &moved);
    if (moved > 0) {
      t->local.left = 1;
      atomic_u32_fetch_add_relaxed(&th->nmoved, 1);
    }
  }
  memcpy(to + moved, from + moved, n - moved);
  return moved == n;
}

static void *move(struct theap *th, struct mspan *s, size_t npages) {
  size_t room = npages >= ROOM_MIN_PAGES ? npages : 0;
  /* Pages that move are never there twice. */
  size_t more = block_bytes(s) < MOVE_MIN_BYTES ? npages : npages - s->npages;
  struct mspan *t = take(th, npages, 1, room, more * MGC_PAGE_SIZE);
  if (!t) return NULL;
  enter(th, t);
  bool released = move_contents(th, s, t);
  leave(th, s, released);
  return (void *)t->base;
}

void *theap_realloc_large(struct theap *th, struct mspan *s, size_t size) {
  if (size > MAX_LARGE_SIZE) return NULL;
  size_t npages = pages_for(size);
  if (npages != s->npages) tdense_end(th, s);
  if (npages < s->npages)
    shrink(th, s, npages);
  else if (npages > s->npages && !extend(th, s, npages))
    return move(th, s, npages);
  return (void *)s->base;
}
