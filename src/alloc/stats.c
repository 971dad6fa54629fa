// SPDX-License-Identifier: MIT
/* See stats.h. By class: by_size[0] counts large objects; its bytes are kept
 * apart, since they have no common size. */
#include "alloc/stats.h"
#include <string.h>

static uint64_t load(const struct memstat *s) { return memstat_load(s); }

void stats_begin(struct heap *h, struct mgc_memstats *out) {
  struct heap_stats *s = &h->stats;
  memset(out, 0, sizeof *out);
  out->heap_sys = load(&s->heap_sys);
  out->heap_inuse = load(&s->heap_inuse);
  out->heap_released = load(&s->heap_released);
  out->heap_live = heap_live_bytes(h);
  out->mspan_sys = load(&s->span_meta);
  out->mcache_sys = load(&s->cache_meta);
  out->arena_sys = load(&s->arena_meta);
  out->gc_sys = load(&s->page_meta) + load(&s->gc_meta);
  out->other_sys = load(&s->other_meta);
  for (unsigned c = 0; c < NUM_SIZE_CLASSES; c++) {
    out->by_size[c].size = h->classes->size[c];
    out->by_size[c].mallocs = atomic_u64_load_relaxed(&s->nalloc[c]);
    out->by_size[c].frees = atomic_u64_load_relaxed(&s->nfree[c]);
  }
  out->by_size[0].mallocs += atomic_u64_load_relaxed(&s->large_nalloc);
  out->by_size[0].frees += atomic_u64_load_relaxed(&s->large_nfree);
  out->tiny_allocs = atomic_u64_load_relaxed(&s->tiny_allocs);
  out->total_alloc = atomic_u64_load_relaxed(&s->large_alloc_bytes);
  out->heap_alloc =
      out->total_alloc - atomic_u64_load_relaxed(&s->large_free_bytes);
}

/* Slots of c's run in span class i that nobody has. */
static uint64_t run_rest(const struct mcache *c, unsigned i) {
  const struct mgc_run *r = &c->pub.run[i];
  if (r->elemsize == 0 || r->cur >= r->end) return 0;
  return (r->end - r->cur) / r->elemsize;
}

void stats_add_cache(const struct heap *h, const struct mcache *c,
                     struct mgc_memstats *out) {
  (void)h;
  const struct mcache_counts *n = &c->counts;
  for (unsigned i = 0; i < NUM_SIZE_CLASSES; i++) {
    out->by_size[i].mallocs += n->nalloc[i];
    out->by_size[i].frees += n->nfree[i];
  }
  for (unsigned i = 0; i < NUM_SPAN_CLASSES; i++)
    out->by_size[i / 2].mallocs -= run_rest(c, i);
  out->by_size[0].mallocs += n->large_nalloc;
  out->by_size[0].frees += n->large_nfree;
  out->tiny_allocs += n->tiny_allocs;
  out->total_alloc += n->large_alloc_bytes;
  out->heap_alloc += n->large_alloc_bytes - n->large_free_bytes;
}

void stats_finish(const struct heap *h, struct mgc_memstats *out) {
  (void)h;
  for (unsigned c = 0; c < NUM_SIZE_CLASSES; c++) {
    const struct mgc_size_stats *s = &out->by_size[c];
    out->mallocs += s->mallocs;
    out->frees += s->frees;
    out->total_alloc += s->mallocs * s->size;
    out->heap_alloc += (s->mallocs - s->frees) * s->size;
  }
  /* Tiny objects die with their block: Go counts them in both. */
  out->mallocs += out->tiny_allocs;
  out->frees += out->tiny_allocs;
  out->heap_objects = out->mallocs - out->frees;
  out->alloc = out->heap_alloc;
  out->heap_idle = out->heap_sys - out->heap_inuse;
  out->sys = out->heap_sys + out->mspan_sys + out->mcache_sys + out->arena_sys +
             out->gc_sys + out->other_sys;
}
