// SPDX-License-Identifier: MIT
/*
 * struct heap: everything that one heap consists of. Functions take it as an
 * argument; the faces share one default instance, tests make their own.
 *
 * Lock key: (c) const after init  (h) heap lock  (a) atomic  (s) stopped world
 */
#ifndef MGC_HEAP_HEAP_H
#define MGC_HEAP_HEAP_H

#include "base/fixalloc.h"
#include "heap/arena.h"
#include "heap/hooks.h"
#include "heap/mcache.h"
#include "heap/mcentral.h"
#include "os/vmsource.h"
#include "page/pagealloc.h"

/* Run-time options that the heap and the layers above read; alloc/options.c
 * fills them from MALLOCGC_OPTIONS. All (c). */
/* How a program that has no barriers is marked. */
enum heap_gcmode {
  GCMODE_STOP = 0, /* it stands meanwhile */
  GCMODE_AUTO,     /* kernel where that can be had and the heap is large */
  GCMODE_KERNEL,   /* it runs, and the kernel tells what it writes */
};

/* What is scanned at once, of small objects with pointers. */
enum heap_markunit {
  MARKUNIT_AUTO = 0,
  MARKUNIT_OBJECT,
  MARKUNIT_SPAN, /* what waits in a span */
};

/* Who scans spans, where the processor can. */
enum heap_scankernel {
  SCANKERNEL_AUTO = 0,
  SCANKERNEL_PORTABLE,
  SCANKERNEL_AVX2,
  SCANKERNEL_AVX512,
};

struct heap_options {
  bool tiny;                 /* tiny allocator; default on */
  bool verify;               /* run verifiers at each phase change */
  bool checkmark;            /* re-mark and compare after each mark */
  bool clobber_free;         /* fill freed slots with 0xdb */
  bool scavenge;             /* background scavenger; default on */
  bool background_sweep;     /* default on */
  bool tiny_arenas;          /* grow by one chunk at a time, arenas far apart */
  uint32_t goal_halflife_ms; /* how fast the goal may fall; 0: at once */
  uint32_t gcmode;           /* enum heap_gcmode */
  uint32_t markunit;         /* enum heap_markunit */
  uint32_t scankernel;       /* enum heap_scankernel */
  uint32_t gc_every;         /* collect at every nth run acquisition; 0: off */
  uint32_t gc_period_ms;     /* 0: no periodic collections */
  uint32_t gc_idle_ms;       /* 0: none for an idle program */
  uint64_t fail_vm;          /* fail the nth VM call; 0: off */
  bool fail_vm_forever;
  uint32_t mark_workers;    /* 0: number of processors */
  uint32_t container_limit; /* percent of the container's memory; 0: none */
  uint32_t window_log2;     /* address window; 0: chosen at init */
  uint32_t hugepages; /* MiB in use from which growth asks for huge pages */
  bool trace_gc, trace_scavenge, trace_init, trace_types;
};

struct heap_stats {          /* all (a) relaxed: statistics and pacing inputs */
  struct memstat heap_sys;   /* arena bytes mapped (Prepared or Ready) */
  struct memstat arena_meta; /* heap_arena structs and the arena map */
  struct memstat page_meta;  /* summaries, chunks */
  struct memstat span_meta;  /* mspans and their bits */
  struct memstat cache_meta; /* mcaches */
  struct memstat gc_meta;    /* work buffers, checkmarks */
  struct memstat other_meta;
  struct memstat heap_inuse;    /* bytes in in-use spans */
  struct memstat heap_released; /* bytes returned to the OS */
  struct atomic_u64 pages_inuse;
  struct atomic_u64 pages_scan; /* of those, in spans that may hold pointers */
  /* Counters of caches that are gone, and of sweeping (by size class). */
  struct atomic_u64 nalloc[NUM_SIZE_CLASSES], nfree[NUM_SIZE_CLASSES];
  struct atomic_u64 large_alloc_bytes, large_nalloc;
  struct atomic_u64 large_free_bytes, large_nfree;
  struct atomic_u64 tiny_allocs;
  struct atomic_u64 scavenged_total; /* bytes given back, ever */
};

struct heap {
  /* Read by marking and every free: kept together. */
  struct arena_map arenas;
  const struct sizeclass_table *classes; /* (c) */
  struct atomic_u32 sweepgen;            /* (a) += 2 in a stopped world */
  /* (a) 1 while the collector marks beside the program; changes in a stopped world.
   * What is allocated meanwhile is marked at once, and explicit frees wait. */
  struct atomic_u32 marking;
  /* Bytes of objects allocated (runs count when taken) since and including what
   * the last mark found alive; pacing. */
  MGC_CACHE_ALIGNED struct atomic_u64 heap_live;
  struct atomic_u64 gc_trigger; /* (a) heap_live at which to collect */
  struct atomic_u64 ticks;      /* (a) run acquisitions, for gc_every */

  MGC_CACHE_ALIGNED struct mutex lock; /* rank mheap */
  struct pagealloc pages;              /* (h) */
  struct fixalloc span_alloc;          /* (h) struct mspan, new ones */
  struct list
      span_free[MSPAN_BITS_CLASSES]; /* (h) dead ones, with their bits */
  struct fixalloc cache_alloc;       /* (h) struct mcache */
  struct fixalloc reuse_alloc;       /* (h) struct mcache_reuse */
  struct fixalloc bits_alloc
      [MSPAN_BITS_CLASSES];      /* (h) 2^i bit pairs and words; [0] unused */
  struct fixalloc special_alloc; /* (h) left to the owner of specials */
  /* (h) Large spans, and small ones that no set had room for: swept and unswept
   * by sweepgen, like the sets of mcentral. */
  struct list listed[2];
  uintptr_t cur_arena, cur_arena_end; /* (h) reserved, not yet given to pages */
  uintptr_t next_hint;                /* (h) where to reserve next */
  unsigned hints_tried;               /* (h) standard hints used up */
  bool
      one_region; /* (c) small window: all address space was reserved at init */
  struct heap_arena **all_arenas; /* (h) in order of creation */
  size_t narenas, all_arenas_cap; /* (h) */
  uint64_t last_heap_inuse;       /* (s) heap_inuse at the last mark end */
  /* (a) bytes in use from which growth asks for huge pages; 0: never. By the option, and
   * for malloc by the number of threads: theap.c. */
  struct atomic_u64 huge_from;
  /* (a) Retained and mapped bytes to come down to; UINT64_MAX: no goal. */
  struct atomic_u64 scav_percent_goal, scav_limit_goal;
  struct atomic_u64 hard_limit; /* (a) bytes; UINT64_MAX: none. hardlimit.c */

  struct mcentral central[NUM_SPAN_CLASSES];
  struct spanset_pool spanset_pool;
  bool sweep_keeps_room;          /* (s) set before sweep_start_cycle */
  struct atomic_u32 sweep_active; /* (a) sweepers at work now */
  struct atomic_bool sweep_done;  /* (a) no unswept span is left */
  struct atomic_u32 sweep_cursor; /* (a) central set the sweeper is at */
  struct atomic_u64
      reclaim_index; /* (a) next page to reclaim, in units of 512 */
  struct atomic_u64 reclaim_credit; /* (a) pages */

  struct vm *vm;                /* (c) */
  struct vm_source meta_source; /* (c) */
  struct persistent meta;       /* own lock */
  struct heap_options opt;      /* (c) */
  struct heap_hooks hooks;      /* (c) */
  struct heap_stats stats;
  void *gc; /* (c) struct gc of the gc layer */
  /* (h) Asked when a collection has not helped; NULL: nobody. alloc/malloc.c */
  bool (*out_of_memory)(size_t size, void *arg);
  void *out_of_memory_arg; /* (h) */
};

static inline bool heap_is_marking(const struct heap *h) {
  /* relaxed: a stop orders it with everything */
  return atomic_u32_load_relaxed(&h->marking) != 0;
}

/* heap_live for those who compare it. The counter itself may be below zero for a
 * moment: one thread's frees are added before another's allocations of the same
 * objects (mcache.live_debt). */
static inline uint64_t heap_live_bytes(const struct heap *h) {
  int64_t live = (int64_t)atomic_u64_load_relaxed(&h->heap_live);
  return live > 0 ? (uint64_t)live : 0;
}

/* Bytes of the heap that have, or may have, physical memory. */
static inline uint64_t heap_retained_bytes(const struct heap *h) {
  uint64_t sys = memstat_load(&h->stats.heap_sys);
  uint64_t released = memstat_load(&h->stats.heap_released);
  return sys > released ? sys - released : 0;
}

struct heap_config {
  struct vm *vm;
  const struct sizeclass_table *classes;
  struct heap_options opt;
  uint64_t address_space_left; /* vm_address_space_left(), or UINT64_MAX */
};

enum heap_init_status {
  HEAP_INIT_OK = 0,
  HEAP_INIT_PAGE_SIZE,     /* physical page size not a power of two <= 8 KiB */
  HEAP_INIT_ADDRESS_SPACE, /* reservations refused even in the small window */
  HEAP_INIT_METADATA,
};

/* Under an address-space limit the heap takes one region of half of what is left,
 * and no less than this: a collected heap that, with its metadata, the program's
 * libraries and stacks (8 MiB each), has less is of no use. */
#define HEAP_MIN_REGION ((uintptr_t)512 << 20)

/* Sets up *h (zeroed memory) and takes the address space for its tables (Go:
 * mallocinit, mheap.init). Chooses the window: 48 bits when address space is
 * unlimited; under a limit a small window whose tables fit in a fraction of it.
 * On failure *detail (if not NULL) gets one line of text with the facts. The
 * hooks and h->gc are the caller's to set. */
enum heap_init_status heap_init(struct heap *h, const struct heap_config *cfg,
                                char *detail, size_t detail_size);

/* --- pages and spans: mheap.c --- */

/* A span of npages for spc, zero-initialised bits, in use, spans[] filled; NULL
 * when memory is exhausted. mc (may be NULL) is the calling thread's cache, whose
 * page cache serves small requests without the heap lock. */
struct mspan *mheap_alloc(struct heap *h, size_t npages, struct spanclass spc,
                          struct mcache *mc);
/* A large object of size bytes (class 0), aligned to align (a power of two; page
 * or less: page). Adds to heap_live; counting it is the caller's. Not zeroed: see
 * span->needzero. NULL when memory is exhausted or size is absurd. */
struct mspan *mheap_alloc_large(struct heap *h, size_t size, size_t align,
                                bool noscan, struct mcache *mc);
/* A span of malloc's (tcache.h): no bits, in no set or list, heap_live untouched;
 * sizeclass 0: one object. align_pages: a power of two. NULL when memory is
 * exhausted. Given back with mheap_free, or in two steps when others may still
 * hold the struct: the pages (mheap_park_twin) and, later, the struct, which must be
 * in no list then. Any thread. */
struct mspan *mheap_alloc_plain(struct heap *h, size_t npages,
                                size_t align_pages, unsigned sizeclass);
void mheap_free_struct(struct heap *h, struct mspan *s);
/* Asks for the huge pages that lie in [base, base + n), or begin or end in a long one,
 * pages that the caller has taken and does not use yet. drop: where that was not done before, the small ones that are
 * there go back, with their contents. */
void mheap_ask_huge(struct heap *h, uintptr_t base, size_t n, bool drop);
/* The same as mheap_alloc_plain for one object, at a place with room more free
 * pages behind it where there is one, so that it can grow. */
struct mspan *mheap_alloc_plain_with_room(struct heap *h, size_t npages,
                                          size_t room);
/* Gives back a span that is in no list and whose pages have no physical memory. */
void mheap_free_released(struct heap *h, struct mspan *s);
/* Resize a plain span of one object in place: to fewer pages (released: the last
 * ones have no physical memory), or to more when those behind it are free. */
void mheap_shrink_plain(struct heap *h, struct mspan *s, size_t npages,
                        bool released);
MGC_MUST_CHECK bool mheap_extend_plain(struct heap *h, struct mspan *s,
                                       size_t npages);
/* Gives an in-use span's pages back. No objects in it may be alive. The span is
 * swept (sweep_ensure) or the caller is sweeping it; small spans only from there.
 * heap_live and the counts of frees are the caller's. */
void mheap_free(struct heap *h, struct mspan *s);
/* Tries to lengthen a large span in place to hold new_size bytes; sweeps it first.
 * The pages added are zero when the span may hold pointers. Adds to heap_live. */
bool mheap_try_extend(struct heap *h, struct mspan *s, size_t new_size);
/* The i-th arena in the order of their making, NULL: there is none. Arenas stay for
 * good. Takes the heap lock. Any thread. */
struct heap_arena *mheap_arena_at(struct heap *h, size_t i);
/* Visits every in-use span. World stopped, or caller accepts a moving picture:
 * spans seen are in use at the time they are read. */
void mheap_visit_spans(struct heap *h,
                       void (*visit)(struct mspan *s, void *arg), void *arg);
/* Fatal unless all spans, arenas, sets and page bits agree (mheap I1-In). World
 * stopped, caches flushed. */
void mheap_verify(struct heap *h);

/* --- sweeping: sweep.c (mechanism; who sweeps when is above) --- */

enum span_disposition { SPAN_FREED, SPAN_PARTIAL, SPAN_FULL };

/* Claims s for sweeping (sweepgen h-2 -> h-1); false: somebody else did. */
bool sweep_try_claim(struct heap *h, struct mspan *s);
/* Sweeps a claimed span: alloc := mark, mark := 0, needzero. Dead large spans and
 * empty small ones are freed unless keep_empty. Leaves sweepgen == h. */
enum span_disposition sweep_span(struct heap *h, struct mspan *s,
                                 bool keep_empty);
/* Sweeps and files one unswept span of any class; the number of pages swept, or
 * SIZE_MAX when there is nothing left. Any thread inside the allocator. */
size_t sweep_one(struct heap *h);
/* Sweeps everything that is left, and waits for those who sweep now. */
void sweep_all(struct heap *h);
/* Waits for those who are sweeping a span now. */
void sweep_wait(struct heap *h);
/* Makes sure s is swept in this cycle (before alloc bits are changed). A small
 * span stays in use even when it turns out to be empty. */
void sweep_ensure(struct heap *h, struct mspan *s);
/* Frees dead spans until npages have been found (Go: mheap.reclaim). */
void sweep_reclaim(struct heap *h, size_t npages);
/* Stopped world, after marking: every span becomes unswept. */
void sweep_start_cycle(struct heap *h);

/* --- the hard limit: hardlimit.c --- */

/* Whether `bytes` more fit under h->hard_limit; gives free pages back for it. False:
 * collect, or fail. Inside the allocator, no lock held. */
bool heap_admit_limited(struct heap *h, uint64_t bytes, uint64_t limit);
static inline bool heap_admit(struct heap *h, uint64_t bytes) {
  uint64_t limit = atomic_u64_load_relaxed(&h->hard_limit);
  return likely(limit == UINT64_MAX) || heap_admit_limited(h, bytes, limit);
}

/* --- scavenging: scavenger.c --- */

/* Bytes that memory limits are about: all that the library holds, without pages
 * that were given back. */
uint64_t heap_mapped_bytes(const struct heap *h);

/* Sets the goals from this cycle's figures (Go: gcPaceScavenger) and has chunk
 * densities judged anew. Once a collection, after last_heap_inuse is set. */
void scavenger_pace(struct heap *h, uint64_t heap_goal, uint64_t last_heap_goal,
                    int64_t memory_limit);
/* Chunks that were nearly full when the generation began are left alone until the
 * next: they fill up again soon. scavenger_pace begins one at each collection; an
 * idle program's thread, one now and then. */
void scavenger_next_gen(struct heap *h);
/* Returns up to nbytes of free pages to the OS now; bytes returned. Any page. */
size_t scavenge_now(struct heap *h, size_t nbytes);
/* The same for the background scavenger: leaves dense chunks alone, whose pages
 * will be wanted again soon and lie in huge pages. */
size_t scavenge_background(struct heap *h, size_t nbytes);
/* Bytes that should be given back to reach the goals. */
uint64_t scavenge_excess(struct heap *h);

#endif
