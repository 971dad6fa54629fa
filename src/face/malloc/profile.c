// SPDX-License-Identifier: MIT
/*
 * Sampled heap profiles of the malloc face: MALLOCGC_PROFILE=path and
 * MALLOCGC_PROFILE_RATE=bytes.
 *
 * Every allocation comes to profile_alloc, since in a mode none takes the fast
 * path. It counts the bytes down in the thread's sampler (heap/sample.h) and
 * nearly always goes on to the ordinary allocation. Otherwise the object is a
 * sample: its stack is taken, it is entered in the table (heap/proftable.h), and
 * it gets a slot in a span that is owned by profile_owner, which is nobody. So a
 * free of any other object runs at full speed, and a free of a sample is declined
 * by the fast path and comes to profile_free: no free looks anything up to learn
 * whether its object was sampled.
 *
 *   thread's sampler --hit--> stack_walk --> place: slot, table
 *   free ------owner is profile_owner------> profile_free: table, slot
 *
 * The spans of samples. Of each class a list of those with a free slot; a full one
 * is in no list. They are in no thread's cache and not in the page map (whose
 * misses are the slow path). A span's fields mean what they mean elsewhere: free
 * slots on local.free, never used ones from freeindex on, local.left are in use.
 * A sampled large object is a span as always, of which the owner is set.
 *
 *   I1  the slots in use of a span owned by profile_owner are in the table, and a
 *       large object whose span it owns is
 *   I2  a small span of profile_owner is in its class's list exactly when left <
 *       nelems
 *   I3  an empty span stays only when it is the first of its class's list
 *
 * Re-entry. What is allocated while a sample is taken (by the unwinder, when it
 * does at all) is not counted: the sampler is paused.
 *
 * Locks. profile.lock is the only one, and nothing that may wait or call out is
 * done under it: spans and large objects are had and given back without it, the
 * stack is taken before it. Where it is held the metadata allocator is called,
 * whose locks rank higher.
 *
 * Resizing. realloc moves a sampled object, so that its size in the table is
 * right. One that is not sampled may stay in its slot, uncounted, for the less
 * than a quarter that a slot can be larger; a large one, which may grow without
 * end and without being copied, is counted anew (profile_realloc_large).
 *
 * fork. The child goes on with the table as it is, for what it says is true of
 * the child too, and writes a file of its own if the path has a %p in it.
 */
#include "face/malloc/profile.h"

#include "base/fatal.h"
#include "base/print.h"
#include "heap/sample.h"
#include "heap/tcache_internal.h"
#include "os/clock.h"
#include "os/thread_linux.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096u

struct profile *profile;
struct tcache *profile_owner;

static _Thread_local struct sampler profile_sampler
    __attribute__((tls_model("initial-exec")));

/* --- spans of samples --- */

/* Like entry.c's: 0 for a large object. */
static unsigned class_for(const struct sizeclass_table *tab, size_t size,
                          size_t align) {
  if (size > MAX_SMALL_SIZE || align > MGC_PAGE_SIZE) return 0;
  unsigned c = size ? sizeclass_of(tab, size) : 1;
  while (!is_aligned(tab->size[c], align))
    if (++c == tab->nclasses) return 0;
  return c;
}

static struct mspan *new_span(struct theap *th, unsigned sc) {
  size_t npages = th->heap->classes->npages[sc];
  if (!theap_admit(th, npages * MGC_PAGE_SIZE)) return NULL;
  struct mspan *s = mheap_alloc_plain(th->heap, npages, 1, sc);
  if (!s) return NULL;
  theap_count_pages(th, sc, (int64_t)npages);
  s->local.free = TCACHE_NONE;
  s->local.where = TSPAN_CURRENT;
  list_init(&s->link);
  /* release: pairs with the acquire of a free that finds s */
  atomic_ptr_store_release(&s->local.owner, profile_owner);
  return s;
}

static void release_span(struct theap *th, struct mspan *s) {
  theap_count_pages(th, spanclass_size(s->spanclass), -(int64_t)s->npages);
  mheap_free(th->heap, s);
  if (th->freed) th->freed(th);
}

/* s has a free slot. Lock. */
static uintptr_t take_slot(struct mspan *s) {
  uintptr_t p;
  if (s->local.free != TCACHE_NONE) {
    p = tcache_pop(&s->local.free);
    if (unlikely(p == 0)) tcache_broken(s, s->local.free);
  } else {
    p = mspan_slot(s, s->freeindex++);
    ((uint64_t *)p)[1] = 0; /* or it may look like an entry of a free list */
  }
  if (++s->local.left == s->nelems) list_remove(&s->link);
  return p;
}

/* Returns: s when it is empty and has to be given back, which is the caller's to
 * do without the lock. Lock. */
static struct mspan *put_slot(struct mspan *s, uintptr_t p) {
  struct list *spans = &profile->spans[spanclass_size(s->spanclass)];
  if (s->local.left == s->nelems) list_push_front(spans, &s->link);
  tcache_link(p, s->local.free);
  s->local.free = p;
  if (--s->local.left > 0 || spans->next == &s->link) return NULL;
  list_remove(&s->link);
  return s;
}

/* --- placing a sample --- */

struct sample {
  size_t size, align;
  unsigned nframes;
  uintptr_t frame[STACK_DEPTH];
};

/* Enters p; false: no memory for that. Lock. */
static bool enter(uintptr_t p, const struct sample *smp) {
  struct proftable *t = &profile->table;
  if (!proftable_reserve(t)) return false;
  struct prof_bucket *b =
      proftable_bucket(t, smp->frame, smp->nframes, smp->size);
  if (!b) return false;
  proftable_add(t, p, smp->size, b);
  return true;
}

static void *place_small(struct theap *th, const struct sample *smp,
                         unsigned sc) {
  struct list *spans = &profile->spans[sc];
  struct mspan *s, *unused = NULL;
  uintptr_t p = 0;
  mutex_lock(&profile->lock);
  if (list_empty(spans)) {
    mutex_unlock(&profile->lock);
    s = new_span(th, sc);
    if (!s) return NULL;
    mutex_lock(&profile->lock);
    list_push_back(spans, &s->link); /* others may have added one, too */
  }
  s = list_entry(spans->next, struct mspan, link);
  p = take_slot(s);
  if (!enter(p, smp)) {
    unused = put_slot(s, p);
    p = 0;
  }
  mutex_unlock(&profile->lock);
  if (unused) release_span(th, unused);
  return (void *)p;
}

/* Makes the large object of s a sample. */
static bool place_large(struct mspan *s, const struct sample *smp) {
  mutex_lock(&profile->lock);
  bool entered = enter(s->base, smp);
  mutex_unlock(&profile->lock);
  if (entered) atomic_ptr_store_release(&s->local.owner, profile_owner);
  return entered;
}

static void *place(struct theap *th, const struct sample *smp, bool zero) {
  unsigned sc = class_for(th->heap->classes, smp->size, smp->align);
  if (sc) {
    void *p = place_small(th, smp, sc);
    return p && zero ? memset(p, 0, smp->size) : p;
  }
  void *p = mface_alloc_plain(smp->size, smp->align, zero);
  if (p) place_large(span_of(&th->heap->arenas, (uintptr_t)p), smp);
  return p;
}

/* --- allocating --- */

static uint64_t next_seed(void) {
  uint64_t n = atomic_u64_fetch_add_relaxed(&profile->nseeds, 1);
  return (profile->seed + n * 0x9e3779b97f4a7c15ull) | 1;
}

/* After sampler_count said true: whether this is a sample; the sampler is paused
 * then. */
static bool is_hit(struct sampler *s, size_t size) {
  uint64_t seed = s->rng.weyl ? 0 : next_seed();
  if (!sampler_hit(s, size, profile->rate, seed)) return false;
  s->left = SAMPLER_PAUSED;
  return true;
}

static void take_stack(struct sample *smp, size_t size, size_t align) {
  smp->size = size;
  smp->align = align;
  smp->nframes = stack_walk(smp->frame, STACK_DEPTH);
}

static MGC_NOINLINE void *sample_alloc(size_t size, size_t align, bool zero) {
  struct sampler *s = &profile_sampler;
  if (size > MAX_LARGE_SIZE || !is_hit(s, size))
    return mface_alloc_plain(size, align, zero);
  int saved = errno;
  struct sample smp;
  take_stack(&smp, size, align);
  void *p = place(&mface->theap, &smp, zero);
  sampler_next(s, profile->rate);
  errno = saved;
  return p ? p : mface_alloc_plain(size, align, zero);
}

void *profile_alloc(size_t size, size_t align, bool zero) {
  if (likely(!sampler_count(&profile_sampler, size)))
    return mface_alloc_plain(size, align, zero);
  return sample_alloc(size, align, zero);
}

/* The large object at p has a new size: as if it had been allocated now. */
static void count_resized(uintptr_t p, size_t size) {
  struct sampler *s = &profile_sampler;
  if (!sampler_count(s, size) || !is_hit(s, size)) return;
  struct sample smp;
  take_stack(&smp, size, 1);
  place_large(span_of(&mface->heap.arenas, p), &smp);
  sampler_next(s, profile->rate);
}

void *profile_realloc_large(struct mspan *s, size_t size) {
  struct theap *th = &mface->theap;
  int saved = errno;
  if (atomic_ptr_load_relaxed(&s->local.owner) == profile_owner) {
    mutex_lock(&profile->lock);
    proftable_remove(&profile->table, s->base);
    mutex_unlock(&profile->lock);
    atomic_ptr_store_release(&s->local.owner, &th->central);
  }
  void *p = theap_realloc_large(th, s, size);
  if (p) count_resized((uintptr_t)p, size);
  errno = saved;
  return p;
}

/* --- freeing --- */

void profile_free(struct mspan *s, uintptr_t p) {
  struct theap *th = &mface->theap;
  bool large = spanclass_size(s->spanclass) == 0;
  struct mspan *unused = NULL;
  mutex_lock(&profile->lock);
  bool known = proftable_remove(&profile->table, p);
  if (known && !large) unused = put_slot(s, p);
  mutex_unlock(&profile->lock);
  if (unlikely(!known)) tcache_double_free(s, p); /* I1 */
  if (large) theap_free_large(th, s);
  if (unused) release_span(th, unused);
}

unsigned profile_stack_of(uintptr_t p, size_t *size, uintptr_t *frames,
                          unsigned n) {
  unsigned got = 0;
  if (!profile) return 0;
  mutex_lock(&profile->lock);
  const struct prof_live *l = proftable_find(&profile->table, p);
  if (l && l->bucket) {
    got = l->bucket->nframes < n ? l->bucket->nframes : n;
    memcpy(frames, l->bucket->frame, got * sizeof frames[0]);
    *size = l->size;
  }
  mutex_unlock(&profile->lock);
  return got;
}

/* --- beginning, fork --- */

/* The program may change its directory: the path becomes absolute now. */
static const char *absolute_path(struct persistent *meta, const char *path) {
  char *buf = persistent_alloc(meta, PATH_BYTES, 1, NULL);
  if (!buf) return NULL;
  size_t n = 0;
  if (path[0] != '/' && getcwd(buf, PATH_BYTES)) {
    n = strlen(buf);
    if (n + 1 < PATH_BYTES && buf[n - 1] != '/') buf[n++] = '/';
  }
  if (strlen(path) >= PATH_BYTES - n) return path;
  memcpy(buf + n, path, strlen(path) + 1);
  return buf;
}

bool profile_start(struct mface *m) {
  struct heap *h = &m->heap;
  if (m->opt.harden) {
    print_fd(2, "mallocgc: warning: no heap profile: MALLOCGC_HARDEN is set\n");
    return true;
  }
  struct memstat *stat = &h->stats.other_meta;
  struct profile *pr = persistent_alloc(&h->meta, sizeof *pr, 64, stat);
  profile_owner =
      persistent_alloc(&h->meta, sizeof *profile_owner, CACHELINE, stat);
  if (!pr || !profile_owner ||
      !proftable_init(&pr->table, h->vm, &h->meta, stat))
    return false;
  mutex_init(&pr->lock, LOCKRANK_profile);
  for (unsigned i = 0; i < TCACHE_CLASSES; i++) list_init(&pr->spans[i]);
  pr->path = absolute_path(&h->meta, m->opt.profile);
  if (!pr->path) return false;
  pr->rate = m->opt.profile_rate;
  pr->pid = getpid();
  pr->seed = (uint64_t)clock_nanotime() ^ (uint64_t)pr->pid << 40;
  profile_owner->th = &m->theap;
  profile = pr;
  return true;
}

void profile_fork(bool before, bool child) MGC_NO_ANALYSIS {
  if (!profile) return;
  if (before) {
    mutex_lock(&profile->lock);
    return;
  }
  /* Another thread may have been writing the file. */
  if (child) atomic_u32_store_relaxed(&profile->writer.busy, 0);
  mutex_unlock(&profile->lock);
}

/* After the functions that the program registered with atexit, and its own
 * destructors. */
__attribute__((destructor)) static void profile_at_exit(void) {
  if (profile) profile_write();
}
