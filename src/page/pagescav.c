// SPDX-License-Identifier: MIT
/*
 * Giving physical memory of free pages back (Go: mgcscavenge.go, the mechanism).
 *
 * The pages are allocated while the system call runs, so that the heap's lock
 * can be let go and nobody else is handed memory that is about to be zeroed.
 * When to do this, and how much, is decided above: see scavpace.h.
 */
#include "page/pagetree.h"

#include "base/fatal.h"

unsigned pagescav_min_pages(const struct vm *vm) {
  size_t n = vm->page_size >> MGC_PAGE_SHIFT;
  return n > 1 ? (unsigned)n : 1;
}

/* Pages of a huge page, or 0 where keeping them whole is of no use. */
static unsigned huge_pages(const struct vm *vm) {
  size_t huge = vm->hugepage_size;
  if (huge <= MGC_PAGE_SIZE || huge <= vm->page_size) return 0;
  return huge <= PALLOC_CHUNK_BYTES ? (unsigned)(huge >> MGC_PAGE_SHIFT) : 0;
}

static void free_scavenged(struct pagealloc *p, size_t rel, unsigned npages) {
  struct chunkidx ci = {rel_chunk(rel)};
  struct pallocdata *d = chunk_data(p, ci.v);
  pallocdata_free_range(d, rel_page(rel), npages);
  pallocbits_set_range(&d->scavenged, rel_page(rel), npages);
  scavindex_free_scavenged(&p->scav, ci, npages);
  if (rel_addr(p, rel) < p->search_addr) p->search_addr = rel_addr(p, rel);
  pagetree_update(p, rel, npages, PAGERUN_FREE);
}

static bool half_is_huge(const struct pagealloc *p, size_t half) {
  return p->scav.chunks[half / 2].huge >> half % 2 & 1;
}

size_t pagealloc_ask_huge(struct pagealloc *p, uintptr_t base, size_t size) {
  if (p->lock) assert_lock_held(p->lock);
  if (huge_pages(p->vm) == 0) return 0;
  size_t first = rel_of(p, base) / PAGEALLOC_HALF_PAGES, asked = 0;
  size_t n = size / PAGEALLOC_HALF_BYTES;
  for (size_t i = 0, run; i < n; i += run + 1) {
    for (run = 0; i + run < n && !half_is_huge(p, first + i + run); run++) {
      size_t half = first + i + run;
      p->scav.chunks[half / 2].huge |= 1u << half % 2;
    }
    if (run == 0) continue;
    size_t bytes = run * PAGEALLOC_HALF_BYTES;
    p->vm->ops->hugepage(p->vm, (void *)(base + i * PAGEALLOC_HALF_BYTES),
                         bytes, true);
    asked += bytes;
  }
  return asked;
}

/* Giving the run back may break up a huge page that was asked for: its half of the
 * chunk is not asked any more then. With the lock, so that nobody asks meanwhile. */
static void withdraw_huge(struct pagealloc *p, struct chunkidx ci,
                          struct scavrun run) {
  struct scavchunk *c = &p->scav.chunks[ci.v];
  if (!c->huge || is_aligned(run.start | run.npages, huge_pages(p->vm))) return;
  for (unsigned half = 0; half < 2; half++) {
    unsigned lo = half * PAGEALLOC_HALF_PAGES, hi = lo + PAGEALLOC_HALF_PAGES;
    unsigned end = run.start + run.npages;
    bool apart = end <= lo || run.start >= hi;
    bool whole = run.start <= lo && end >= hi;
    if (apart || (whole && huge_pages(p->vm) <= PAGEALLOC_HALF_PAGES) ||
        !(c->huge >> half & 1))
      continue;
    c->huge &= 3u ^ 1u << half;
    size_t rel = (ci.v << PALLOC_CHUNK_LOG_PAGES) + lo;
    p->vm->ops->hugepage(p->vm, (void *)rel_addr(p, rel), PAGEALLOC_HALF_BYTES,
                         false);
  }
}

void pagealloc_free_scavenged(struct pagealloc *p, uintptr_t base,
                              size_t npages) {
  if (p->lock) assert_lock_held(p->lock);
  size_t at = rel_of(p, base);
  mgc_check(npages > 0 && rel_chunk(at) >= p->start &&
                rel_chunk(at + npages - 1) < p->end,
            "pagealloc_free_scavenged: base=0x%zx npages=%zu", (size_t)base,
            npages);
  for (size_t left = npages; left > 0;) {
    struct chunkpart c = first_part(at, left);
    free_scavenged(p, at, c.npages);
    at += c.npages;
    left -= c.npages;
  }
}

/* The lock may be NULL, which the compiler's analysis cannot follow. */
static MGC_NO_ANALYSIS size_t
scavenge_chunk(struct pagealloc *p, struct chunkidx ci, size_t nbytes,
               const struct scavenge_policy *policy) {
  size_t want = PALLOC_CHUNK_PAGES;
  if (nbytes < PALLOC_CHUNK_BYTES) want = pages_for(nbytes);
  struct scavrun run = pallocdata_scavenge_candidate(
      chunk_data(p, ci.v), pagescav_min_pages(p->vm), (unsigned)want,
      huge_pages(p->vm));
  if (run.npages == 0) {
    scavindex_set_empty(&p->scav, ci);
    return 0;
  }
  size_t rel = (ci.v << PALLOC_CHUNK_LOG_PAGES) + run.start;
  size_t bytes = (size_t)run.npages << MGC_PAGE_SHIFT;
  pagealloc_take(p, rel, run.npages);
  withdraw_huge(p, ci, run);

  if (p->lock) mutex_unlock(p->lock);
  p->vm->ops->unused(p->vm, (void *)rel_addr(p, rel), bytes);
  if (p->lock) mutex_lock(p->lock);

  free_scavenged(p, rel, run.npages);
  if (policy->released) policy->released(policy->arg, bytes);
  return bytes;
}

size_t pagealloc_scavenge(struct pagealloc *p, size_t nbytes,
                          const struct scavenge_policy *policy) {
  if (p->lock) assert_lock_held(p->lock);
  size_t released = 0;
  while (released < nbytes) {
    struct chunkidx ci;
    if (policy->should_stop && policy->should_stop(policy->arg)) break;
    if (!scavindex_find(&p->scav, &p->in_use, p->window.base, policy->force,
                        &ci))
      break;
    released += scavenge_chunk(p, ci, nbytes - released, policy);
  }
  return released;
}

void pagealloc_scavenge_next_gen(struct pagealloc *p) {
  if (p->lock) assert_lock_held(p->lock);
  scavindex_next_gen(&p->scav);
}
