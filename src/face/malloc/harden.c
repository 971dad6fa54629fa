// SPDX-License-Identifier: MIT
/* See harden.h. */
#include "face/malloc/harden.h"

#include "base/fatal.h"
#include "base/print.h"
#include "face/malloc/mface.h"
#include "os/procfs.h"
#include "os/thread_linux.h"
#include <string.h>

/* Inaccessible areas split others: each may cost two of the kernel's count, of
 * which half is left to the program. The kernel's default is 65530. */
#define MAPS_DEFAULT 65530u
#define MAPS_PER_GUARD 4u

struct tcache *harden_owner;
bool harden_on;
static struct harden *process_harden; /* constant after harden_start */

/* --- one hardened allocator --- */

static struct harden_group *group_of(struct harden *hd, unsigned sc) {
  return &hd->group[sc == 0 ? HARDEN_GROUPS : sc % HARDEN_GROUPS];
}

static uint32_t max_guards(void) {
  char buf[32];
  uint32_t maps = 0;
  if (procfs_read("/proc/sys/vm/max_map_count", buf, sizeof(buf)) > 0)
    for (const char *s = buf; *s >= '0' && *s <= '9' && maps < 1u << 24; s++)
      maps = maps * 10 + (uint32_t)(*s - '0');
  return (maps ? maps : MAPS_DEFAULT) / MAPS_PER_GUARD;
}

void harden_init(struct harden *hd, struct heap *h, struct theap *th,
                 struct pagemap *map, harden_rand_fill *fill, void *arg) {
  const struct sizeclass_table *tab = h->classes;
  hd->env.heap = h;
  hd->env.theap = th;
  hd->env.map = map;
  /* Never used as a tcache: an address that no thread's cache has. */
  hd->env.owner = (struct tcache *)(void *)hd;
  hd->env.max_guards = max_guards();
  for (unsigned i = 0; i < array_len(hd->group); i++) {
    mutex_init(&hd->group[i].lock, LOCKRANK_harden);
    harden_rand_init(&hd->group[i].rand, fill, arg);
  }
  unsigned sc = 1;
  for (; sc < tab->nclasses && tab->size[sc] <= HARDEN_MAX_SLOT; sc++)
    harden_class_init(&hd->classes[sc], &hd->env, sc);
  hd->nclasses = sc;
  harden_large_init(&hd->large, &hd->env);
}

/* 0: large. */
static unsigned class_for(const struct harden *hd, size_t size, size_t align) {
  const struct sizeclass_table *tab = hd->env.heap->classes;
  if (size > HARDEN_MAX_SLOT - HARDEN_CANARY_MIN || align > MGC_PAGE_SIZE)
    return 0;
  unsigned sc = sizeclass_of(tab, size + HARDEN_CANARY_MIN);
  while (!is_aligned(tab->size[sc], align))
    if (++sc == hd->nclasses) return 0;
  return sc;
}

static uintptr_t take_small(struct harden *hd, unsigned sc, size_t size,
                            struct harden_finding *f) {
  struct harden_group *g = group_of(hd, sc);
  mutex_lock(&g->lock);
  struct harden_slot slot = harden_slot_take(&hd->classes[sc], &hd->env, size,
                                             harden_rand_u64(&g->rand));
  mutex_unlock(&g->lock);
  if (unlikely(!slot.p)) return 0;
  *f = harden_slot_prepare(slot, size);
  return f->kind ? 0 : slot.p;
}

static uintptr_t take_large(struct harden *hd, size_t size, size_t align) {
  struct harden_group *g = group_of(hd, 0);
  mutex_lock(&g->lock);
  uintptr_t p = harden_large_take(&hd->large, &hd->env, size, align,
                                  harden_rand_u32(&g->rand));
  mutex_unlock(&g->lock);
  return p;
}

static uintptr_t try_take(struct harden *hd, size_t size, size_t align,
                          struct harden_finding *f) {
  unsigned sc = class_for(hd, size, align);
  return sc ? take_small(hd, sc, size, f) : take_large(hd, size, align);
}

/* Pages went back while locks were held: tell those who wait for them. */
static void tell_freed(struct harden *hd) {
  struct theap *th = hd->env.theap;
  if (likely(!atomic_bool_load_relaxed(&hd->env.freed))) return;
  atomic_bool_store_relaxed(&hd->env.freed, false);
  if (th && th->freed) th->freed(th);
}

/* Memory is short: everything comes out of quarantine, and what the process can
 * spare goes back. */
static MGC_COLD uintptr_t take_after_reclaim(struct harden *hd, size_t size,
                                             size_t align,
                                             struct harden_finding *f) {
  struct theap *th = hd->env.theap;
  if (size > MAX_LARGE_SIZE || align > MAX_LARGE_SIZE) return 0;
  if (!harden_flush(hd, f)) return 0;
  tell_freed(hd);
  if (th && !theap_admit(th, align_up(size + 1, MGC_PAGE_SIZE))) return 0;
  return try_take(hd, size, align, f);
}

uintptr_t harden_take(struct harden *hd, size_t size, size_t align,
                      struct harden_finding *f) {
  *f = (struct harden_finding){0};
  uintptr_t p = try_take(hd, size, align, f);
  if (likely(p != 0) || f->kind) return p;
  return take_after_reclaim(hd, size, align, f);
}

/* Whether s still is what it was when it was looked up. Under the lock. A span can
 * only go while somebody frees what is not his. */
static bool still_ours(const struct harden *hd, const struct mspan *s,
                       unsigned sc) {
  return atomic_ptr_load_acquire(&s->local.owner) == hd->env.owner &&
         atomic_u8_load_acquire(&s->state) == MSPAN_INUSE &&
         spanclass_size(s->spanclass) == sc;
}

static struct harden_finding gone(uintptr_t p) {
  return (struct harden_finding){.kind = "invalid free",
                                 .ptr = p,
                                 .size = SIZE_MAX,
                                 .state = "in pages that are free"};
}

static bool size_locked(const struct harden *hd, const struct mspan *s,
                        unsigned sc, uintptr_t p, size_t *size,
                        struct harden_finding *f) {
  const void *meta = (const void *)s->local.free;
  if (unlikely(!still_ours(hd, s, sc))) {
    *f = gone(p);
    return false;
  }
  return sc ? harden_slot_live(meta, p, size, f)
            : harden_large_live(meta, p, size, f);
}

static struct harden_finding give_locked(struct harden *hd, struct mspan *s,
                                         unsigned sc, uintptr_t p,
                                         uint32_t random) {
  void *meta = (void *)s->local.free;
  if (unlikely(!still_ours(hd, s, sc))) return gone(p);
  return sc ? harden_slot_put(&hd->classes[sc], &hd->env, meta, p, random)
            : harden_large_put(&hd->large, &hd->env, meta, p, random);
}

struct harden_finding harden_give(struct harden *hd, struct mspan *s,
                                  uintptr_t p) {
  unsigned sc = spanclass_size(s->spanclass);
  struct harden_group *g = group_of(hd, sc);
  mutex_lock(&g->lock);
  struct harden_finding f =
      give_locked(hd, s, sc, p, harden_rand_u32(&g->rand));
  mutex_unlock(&g->lock);
  tell_freed(hd);
  return f;
}

bool harden_size(struct harden *hd, const struct mspan *s, uintptr_t p,
                 size_t *size, struct harden_finding *f) {
  unsigned sc = spanclass_size(s->spanclass);
  struct harden_group *g = group_of(hd, sc);
  mutex_lock(&g->lock);
  bool ok = size_locked(hd, s, sc, p, size, f);
  mutex_unlock(&g->lock);
  return ok;
}

static bool flush_group(struct harden *hd, unsigned group,
                        struct harden_finding *f) {
  struct mutex *lock = &hd->group[group].lock;
  *f = (struct harden_finding){0};
  mutex_lock(lock);
  if (group == HARDEN_GROUPS)
    while (harden_large_flush_one(&hd->large, &hd->env)) {
    }
  for (unsigned sc = group; group < HARDEN_GROUPS && sc < hd->nclasses;
       sc += HARDEN_GROUPS) {
    struct harden_class *c = &hd->classes[sc];
    if (sc == 0) continue;
    while (!f->kind && harden_class_flush_one(c, &hd->env, f)) {
    }
  }
  mutex_unlock(lock);
  return f->kind == NULL;
}

bool harden_flush(struct harden *hd, struct harden_finding *f) {
  for (unsigned i = 0; i <= HARDEN_GROUPS; i++)
    if (!flush_group(hd, i, f)) return false;
  return true;
}

/* All are of one rank, so each is tried and none waited for; whoever else has one
 * wants no second. */
void harden_lock_all(struct harden *hd) MGC_NO_ANALYSIS {
  for (unsigned i = 0; i <= HARDEN_GROUPS; i++)
    while (!mutex_trylock(&hd->group[i].lock)) thread_yield();
}

void harden_unlock_all(struct harden *hd, bool child) MGC_NO_ANALYSIS {
  for (unsigned i = HARDEN_GROUPS + 1; i-- > 0;) {
    if (child) harden_rand_forget(&hd->group[i].rand);
    mutex_unlock(&hd->group[i].lock);
  }
}

void harden_verify(struct harden *hd) {
  for (unsigned sc = 1; sc < hd->nclasses; sc++) {
    mutex_lock(&group_of(hd, sc)->lock);
    harden_class_verify(&hd->classes[sc]);
    mutex_unlock(&group_of(hd, sc)->lock);
  }
}

/* --- the process's --- */

static MGC_COLD MGC_NORETURN void report(const struct harden_finding *f) {
  char size[32] = "unknown", at[64] = "";
  if (f->size != SIZE_MAX) print_format(size, sizeof(size), "%zu", f->size);
  if (f->at)
    print_format(at, sizeof(at), " at=%p offset=%ld", (void *)f->at,
                 (long)(f->at - f->ptr));
  fatal_user(f->kind, "ptr=%p size=%s elemsize=%zu%s (%s)", (void *)f->ptr,
             size, f->elemsize, at, f->state);
}

void *harden_alloc(size_t size, size_t align, bool zero) {
  struct harden_finding f;
  (void)zero; /* it always is */
  uintptr_t p = harden_take(process_harden, size, align, &f);
  if (unlikely(f.kind != NULL)) report(&f);
  return (void *)p;
}

void harden_free(struct mspan *s, uintptr_t p) {
  struct harden_finding f = harden_give(process_harden, s, p);
  if (unlikely(f.kind != NULL)) report(&f);
}

void harden_check_size(const void *ptr, size_t size) {
  struct harden *hd = process_harden;
  uintptr_t p = (uintptr_t)ptr;
  struct mspan *s = span_of(&hd->env.heap->arenas, p);
  struct harden_finding f;
  size_t have;
  /* What is no live object of ours, the free that follows will say. */
  if (!s || atomic_ptr_load_acquire(&s->local.owner) != hd->env.owner ||
      !harden_size(hd, s, p, &have, &f) || have == size)
    return;
  char state[64];
  print_format(state, sizeof(state), "allocated, freed with size %zu", size);
  f = (struct harden_finding){.kind = "size mismatch",
                              .ptr = p,
                              .size = have,
                              .elemsize = s->elemsize,
                              .state = state};
  report(&f);
}

size_t harden_usable(const struct mspan *s, uintptr_t p) {
  struct harden_finding f;
  size_t size;
  if (unlikely(!harden_size(process_harden, s, p, &size, &f))) {
    f.kind = "invalid pointer";
    report(&f);
  }
  return size;
}

/* The heap begins at one of some 800,000 addresses, far from where the kernel puts
 * programs and libraries, and not where it always does. */
#define PLACE_FIRST ((uintptr_t)16 << 40)
#define PLACE_RANGE ((uintptr_t)48 << 40)

static void place_heap(struct heap *h, struct harden_rand *rand) {
  uint32_t n = (uint32_t)(PLACE_RANGE / HEAP_ARENA_BYTES);
  uintptr_t at = harden_scale(harden_rand_u32(rand), n);
  mutex_lock(&h->lock);
  if (!h->one_region && h->narenas == 0)
    h->next_hint = PLACE_FIRST + at * HEAP_ARENA_BYTES;
  mutex_unlock(&h->lock);
}

bool harden_start(struct mface *m) {
  struct vm *vm = m->heap.vm;
  struct harden *hd = vm->ops->alloc(vm, align_up(sizeof(*hd), vm->page_size),
                                     "mallocgc: hardened heap");
  if (!hd) return false;
  harden_init(hd, &m->heap, &m->theap, &tcache_globals.map, NULL, NULL);
  place_heap(&m->heap, &hd->group[0].rand);
  harden_owner = hd->env.owner;
  process_harden = hd;
  harden_on = true;
  return true;
}

void harden_fork(bool before, bool child) {
  if (!process_harden) return;
  if (before)
    harden_lock_all(process_harden);
  else
    harden_unlock_all(process_harden, child);
}
