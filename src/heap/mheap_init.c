// SPDX-License-Identifier: MIT
/* Setting a heap up (Go: mallocinit, mheap.init). See heap.h. */
#include "heap/mheap_internal.h"

#include "base/print.h"
#include <errno.h>

_Static_assert(MGC_NUM_SPAN_CLASSES == NUM_SPAN_CLASSES, "run.h and ours");
_Static_assert(HEAP_ARENA_BYTES % PALLOC_CHUNK_BYTES == 0, "whole chunks");
_Static_assert(offsetof(struct mcache, pub) == 0, "mgc_tls points to pub");
_Static_assert(sizeof(struct mcache) <= FIXALLOC_CHUNK, "one fixalloc object");

static void init_allocators(struct heap *h) {
  struct heap_stats *st = &h->stats;
  fixalloc_init(&h->span_alloc, sizeof(struct mspan), NULL, NULL, &h->meta,
                &st->span_meta);
  fixalloc_init(&h->cache_alloc, sizeof(struct mcache), NULL, NULL, &h->meta,
                &st->cache_meta);
  fixalloc_init(&h->reuse_alloc, sizeof(struct mcache_reuse), NULL, NULL,
                &h->meta, &st->cache_meta);
  for (unsigned i = 0; i < MSPAN_BITS_CLASSES; i++) {
    list_init(&h->span_free[i]);
    fixalloc_init(&h->bits_alloc[i], MSPAN_SETS_BYTES << i, NULL, NULL,
                  &h->meta, &st->span_meta);
  }
  for (unsigned i = 0; i < array_len(h->listed); i++) list_init(&h->listed[i]);
}

static void init_centrals(struct heap *h) {
  h->spanset_pool.meta = &h->meta;
  h->spanset_pool.stat = &h->stats.span_meta;
  for (unsigned i = 0; i < NUM_SPAN_CLASSES; i++)
    mcentral_init(&h->central[i], (struct spanclass){(uint8_t)i},
                  &h->spanset_pool);
}

static enum heap_init_status init_tables(struct heap *h, struct addrwindow w,
                                         char *detail, size_t detail_size) {
  int err = pagealloc_init(&h->pages, h->vm, &h->meta, &h->stats.page_meta, w);
  if (err == 0) {
    h->pages.lock = &h->lock;
    if (arena_map_init(&h->arenas, h->vm, w, &h->stats.arena_meta))
      return HEAP_INIT_OK;
    pagealloc_destroy(&h->pages);
  }
  print_format(detail, detail_size,
               "cannot map the tables of a %u-bit address window: error %d",
               w.log2_size, err ? -err : ENOMEM);
  return h->one_region ? HEAP_INIT_METADATA : HEAP_INIT_ADDRESS_SPACE;
}

enum heap_init_status heap_init(struct heap *h, const struct heap_config *cfg,
                                char *detail, size_t detail_size) {
  if (!detail) detail_size = 0;
  h->vm = cfg->vm;
  h->classes = cfg->classes;
  h->opt = cfg->opt;
  atomic_u64_store_relaxed(&h->huge_from, (uint64_t)cfg->opt.hugepages << 20);
  if (!is_pow2(h->vm->page_size) || h->vm->page_size > MGC_PAGE_SIZE) {
    print_format(detail, detail_size,
                 "physical pages of %zu bytes: at most %zu can be used",
                 h->vm->page_size, (size_t)MGC_PAGE_SIZE);
    return HEAP_INIT_PAGE_SIZE;
  }
  mutex_init(&h->lock, LOCKRANK_mheap);
  vm_source_init(&h->meta_source, h->vm);
  persistent_init(&h->meta, &h->meta_source.src);
  init_allocators(h);
  init_centrals(h);
  /* From 4 on: h - 2 and 0 (a dead span's) are then different. */
  atomic_u32_store_relaxed(&h->sweepgen, 4);
  atomic_bool_store_relaxed(&h->sweep_done, true);
  atomic_u64_store_relaxed(&h->gc_trigger, UINT64_MAX);
  atomic_u64_store_relaxed(&h->scav_percent_goal, UINT64_MAX);
  atomic_u64_store_relaxed(&h->scav_limit_goal, UINT64_MAX);
  atomic_u64_store_relaxed(&h->hard_limit, UINT64_MAX);

  struct addrwindow w;
  enum heap_init_status st =
      mheap_choose_window(h, cfg, &w, detail, detail_size);
  if (st == HEAP_INIT_OK) st = init_tables(h, w, detail, detail_size);
  if (st != HEAP_INIT_OK && h->one_region)
    h->vm->ops->free(h->vm, (void *)h->cur_arena,
                     h->cur_arena_end - h->cur_arena);
  return st;
}
