// SPDX-License-Identifier: MIT
/*
 * The malloc face inside: what its files share. The exported functions are in
 * family.c (C) and cxx.c (C++); they check arguments and set errno. What is here
 * returns NULL for "no memory" and leaves errno alone.
 *
 *   entry.c     malloc and free, the fast paths; their slow halves; modes
 *   family.c    the rest of the malloc family
 *   cxx.c       operator new and delete
 *   info.c      mallinfo, malloc_stats, malloc_info, mallopt, malloc_trim
 *   mstart.c    initialisation, threads' beginning and end, fork
 *   janitor.c   the background thread: gives memory back, tidies after threads
 *   msnap.c     a snapshot of the heap in figures; report.c prints it
 *   profile.c   sampled heap profile
 *   leaks.c     the leak report
 *   harden.c    the hardened allocator (MALLOCGC_HARDEN)
 *
 * Modes. With none of them malloc's fast path is all there is. In any mode every
 * allocation takes the slow path (tcache.headoff points to the empty list), and
 * entry.c asks mface.modes there. A free needs no mode: objects of a mode lie in
 * spans with an owner of their own, so the fast path declines them.
 */
#ifndef MGC_MALLOC_MFACE_H
#define MGC_MALLOC_MFACE_H

#include "heap/tcache.h"

enum mface_mode {
  MFACE_PROFILE = 1, /* sample allocations */
  MFACE_HARDEN = 2,  /* every object comes from harden.c */
};

struct mface_options {
  bool report;             /* MALLOCGC_REPORT set: print at exit */
  bool report_json;        /* MALLOCGC_REPORT=json */
  const char *report_path; /* MALLOCGC_REPORT_FILE; NULL: standard error */
  bool leaks;              /* MALLOCGC_LEAKS=1: report at exit */
  bool harden;             /* MALLOCGC_HARDEN=1 */
  const char *profile;     /* MALLOCGC_PROFILE=path; NULL: none */
  uint64_t profile_rate;   /* MALLOCGC_PROFILE_RATE bytes; Go's: 524288 */
  int64_t memory_limit;    /* MALLOCGC_MEMORY_LIMIT; INT64_MAX: none */
};

struct mface {
  struct heap heap;
  struct theap theap;
  struct mface_options opt;
  uint32_t modes; /* enum mface_mode, constant after the start */
};

/* The one instance; all of it lies outside .data and .bss. NULL before the start.
 */
extern struct mface *mface;

/* Makes it on first use. NULL: no memory (said on standard error once). Any
 * thread; not from inside the allocator. */
struct mface *mface_get(void);
/* The calling thread's tcache, attached if need be; NULL: no memory. */
struct tcache *mface_thread(void);

/* --- entry.c: the core that family.c, cxx.c and the modes build on --- */

/* size bytes, aligned to 16. NULL: no memory or size over PTRDIFF_MAX. */
void *mface_alloc(size_t size);
void *mface_alloc_zeroed(size_t size);
/* align: a power of two. */
void *mface_alloc_aligned(size_t align, size_t size);
/* p: NULL, or what one of the above returned; otherwise fatal. */
void mface_free(void *p);
/* p not NULL, size not 0. NULL: no memory, and p is as it was. */
void *mface_realloc(void *p, size_t size);
/* Bytes that may be used at p (not NULL). */
size_t mface_usable(const void *p);
/* mface_alloc's fast path, for whoever must be as fast: NULL when it takes more
 * than popping a list, so that mface_alloc is to be asked. */
static MGC_ALWAYS_INLINE void *mface_alloc_fast(size_t size) {
  if (unlikely(size > TCACHE_DIRECT_MAX)) return NULL;
  struct tcache *t = tcache_self;
  return (void *)tcache_take(t, t->headoff[size]);
}

/* Before any mode looked at it: the ordinary allocation, for the modes' own use and
 * for what they decline. */
void *mface_alloc_plain(size_t size, size_t align, bool zero);

/* --- modes --- */

/* profile.c. An allocation in profile mode: counts it, and samples it now and then
 * into a span owned by profile_owner. */
void *profile_alloc(size_t size, size_t align, bool zero);
/* A free of a slot in such a span. */
void profile_free(struct mspan *s, uintptr_t p);
/* theap_realloc_large in profile mode: counts it as a free and an allocation. */
void *profile_realloc_large(struct mspan *s, size_t size);
extern struct tcache *profile_owner;

/* harden.c */
void *harden_alloc(size_t size, size_t align, bool zero);
void harden_free(struct mspan *s, uintptr_t p);
size_t harden_usable(const struct mspan *s, uintptr_t p);
/* Before p (or NULL) is freed by a caller that says its size: fatal when it is an
 * object of another size. Only when harden_on. */
void harden_check_size(const void *p, size_t size);
extern bool harden_on; /* constant after the start */
extern struct tcache *harden_owner;

/* --- the background thread: janitor.c --- */

enum { JANITOR_WANTED = 1, JANITOR_WANTED_BY_THREADS };
extern struct atomic_u32 janitor_wanted;
/* Starts the thread if this is a place to. Calls malloc. */
void janitor_begin(struct theap *th, bool in_free);
/* To be called when a slow path is left, where nothing of ours is under way. */
static MGC_ALWAYS_INLINE void janitor_poll(struct theap *th, bool in_free) {
  if (unlikely(atomic_u32_load_relaxed(&janitor_wanted)))
    janitor_begin(th, in_free);
}

/* --- what starts, and fork (mstart.c calls these) --- */
/* At the end of initialisation; false: cannot run (said why). No thread is made
 * here and nothing is allocated with malloc. */
bool profile_start(struct mface *m);
bool harden_start(struct mface *m);
void janitor_start(
    struct mface *m); /* fills in theap.reclaim and theap.freed */
void report_start(
    struct mface *m); /* SIGUSR2 handler, exit hook, if asked for */
void leaks_start(struct mface *m);
/* Around fork: before takes the module's locks, after lets go of them. */
void profile_fork(bool before, bool child);
void harden_fork(bool before, bool child);
void janitor_fork(bool before, bool child);

#endif
