// SPDX-License-Identifier: MIT
/* Slots, their canaries, and the spans they are in. See hardenspan.h. */
#include "face/malloc/hardenspan.h"

#include "base/fatal.h"
#include "heap/tcache.h"
#include <string.h>

/* Pages of a span: some hundred slots where they are small, so that the place of
 * one is hard to guess, and 8 or more of the largest. 1024 slots at most. */
#define SPAN_PAGES_TINY 2u
#define SPAN_PAGES 4u
#define SPAN_PAGES_BIG 8u
/* Slots of one class in quarantine: their bytes, 8 MiB in all for the 49 classes,
 * and their number. */
#define HELD_BYTES ((8u << 20) / 49u)
#define HELD_MAX 4096u

/* --- bytes --- */

static uint64_t canary_word(uint32_t key) { return (uint64_t)key << 32 | key; }

void harden_canary_write(uintptr_t p, uintptr_t end, uint32_t key) {
  uint64_t word = canary_word(key);
  for (; p < end && p % 8 != 0; p++)
    *(uint8_t *)p = (uint8_t)(key >> p % 4 * 8);
  for (; p + 8 <= end; p += 8) *(uint64_t *)p = word;
  for (; p < end; p++) *(uint8_t *)p = (uint8_t)(key >> p % 4 * 8);
}

uintptr_t harden_canary_check(uintptr_t p, uintptr_t end, uint32_t key) {
  uint64_t word = canary_word(key);
  for (; p < end; p++) {
    if (p % 8 == 0 && p + 8 <= end && *(const uint64_t *)p == word)
      p += 7;
    else if (*(const uint8_t *)p != (uint8_t)(key >> p % 4 * 8))
      return p;
  }
  return 0;
}

uintptr_t harden_nonzero(uintptr_t p, uintptr_t end) {
  for (; p + 32 <= end; p += 32) {
    const uint64_t *w = (const uint64_t *)p;
    if ((w[0] | w[1] | w[2] | w[3]) != 0) break;
  }
  for (; p < end; p++)
    if (*(const uint8_t *)p != 0) return p;
  return 0;
}

/* --- spans and their guards --- */

static bool guard_admit(struct harden_env *env) {
  if (atomic_u32_fetch_add_relaxed(&env->guards, 1) < env->max_guards)
    return true;
  atomic_u32_fetch_sub_relaxed(&env->guards, 1);
  return false;
}

/* The name that the heap's other pages have, or areas would not join. */
bool harden_unfault(struct harden_env *env, uintptr_t base, size_t npages) {
  struct vm *vm = env->heap->vm;
  if (!vm->ops->map(vm, (void *)base, npages * MGC_PAGE_SIZE, "mallocgc: heap"))
    return false;
  atomic_u32_fetch_sub_relaxed(&env->guards, 1);
  return true;
}

/* Pages that were used before are cleared: large ones by giving them back, since
 * not all of them may be touched again. */
#define CLEAR_BY_RETURN 65536u

static void clear_pages(struct heap *h, uintptr_t base, size_t n) {
  if (n >= CLEAR_BY_RETURN)
    h->vm->ops->unused(h->vm, (void *)base, n);
  else
    memset((void *)base, 0, n);
}

/* The limit, as far as it can be judged with a lock held; whoever is refused goes
 * through theap_admit without. */
static bool within_limit(const struct theap *th, size_t npages) {
  uint64_t limit = atomic_u64_load_relaxed(&th->memory_limit);
  if (likely(limit == UINT64_MAX)) return true;
  uint64_t used = theap_footprint(th);
  return used <= limit && npages * MGC_PAGE_SIZE <= limit - used;
}

void harden_count(struct harden_env *env, const struct mspan *s, bool in_use) {
  int64_t n = s->npages;
  if (env->theap)
    theap_count_pages(env->theap, spanclass_size(s->spanclass),
                      in_use ? n : -n);
}

struct mspan *harden_span_new(struct harden_env *env, size_t npages,
                              size_t align_pages, unsigned sizeclass,
                              void *meta, bool *guarded) {
  struct heap *h = env->heap;
  if (env->theap && !within_limit(env->theap, npages)) return NULL;
  *guarded = guard_admit(env);
  struct mspan *s =
      mheap_alloc_plain(h, npages + *guarded, align_pages, sizeclass);
  if (!s) {
    if (*guarded) atomic_u32_fetch_sub_relaxed(&env->guards, 1);
    return NULL;
  }
  harden_count(env, s, true);
  size_t n = npages * MGC_PAGE_SIZE;
  if (s->needzero) clear_pages(h, s->base, n);
  if (*guarded) h->vm->ops->fault(h->vm, (void *)(s->base + n), MGC_PAGE_SIZE);
  /* Whoever walks spans must not walk into the guard. */
  if (sizeclass == 0) s->elemsize = n;
  s->nelems = (uint16_t)(n / s->elemsize);
  __atomic_store_n(&s->limit, s->base + s->nelems * s->elemsize,
                   __ATOMIC_RELAXED);
  s->local.free = (uintptr_t)meta;
  /* release: pairs with the acquire of a free that finds s */
  atomic_ptr_store_release(&s->local.owner, env->owner);
  if (env->map) pagemap_set(env->map, s->base, s->npages, s);
  return s;
}

bool harden_span_free(struct harden_env *env, struct mspan *s, bool guarded) {
  uintptr_t guard = s->base + (s->npages - 1) * MGC_PAGE_SIZE;
  if (guarded && !harden_unfault(env, guard, 1)) return false;
  if (env->map) pagemap_set(env->map, s->base, s->npages, NULL);
  mheap_free(env->heap, s);
  atomic_bool_store_relaxed(&env->freed, true);
  return true;
}

/* --- classes --- */

static size_t span_words(size_t nslots) { return (nslots + 63) / 64; }

void harden_class_init(struct harden_class *c, struct harden_env *env,
                       unsigned sizeclass) {
  size_t elemsize = env->heap->classes->size[sizeclass];
  size_t npages = elemsize <= 16     ? SPAN_PAGES_TINY
                  : elemsize <= 1024 ? SPAN_PAGES
                                     : SPAN_PAGES_BIG;
  size_t nslots = npages * MGC_PAGE_SIZE / elemsize;
  *c = (struct harden_class){
      .sizeclass = sizeclass,
      .elemsize = (uint32_t)elemsize,
      .npages = (uint16_t)npages,
      .nslots = (uint16_t)nslots,
      .ripe = (uint16_t)div_round_up(nslots, 8),
      .min_free = (uint16_t)div_round_up(nslots, 4),
  };
  list_init(&c->ripe_spans);
  fixalloc_init(&c->structs,
                align_up(sizeof(struct harden_span) + 16 * span_words(nslots) +
                             6 * nslots,
                         8),
                NULL, NULL, &env->heap->meta, &env->heap->stats.span_meta);
}

static void lay_out(struct harden_span *s, const struct harden_class *c) {
  size_t words = span_words(c->nslots);
  memset(s->taken, 0, 16 * words);
  s->live = s->taken + words;
  s->canary = (uint32_t *)(s->live + words);
  s->size = (uint16_t *)(s->canary + c->nslots);
  memset(s->size, 0xff, 2 * (size_t)c->nslots);
  s->nslots = s->nfree = c->nslots;
  s->nlive = 0;
  list_init(&s->link);
}

static struct harden_span *new_span(struct harden_class *c,
                                    struct harden_env *env) {
  struct harden_span *s = fixalloc_alloc(&c->structs);
  if (!s) return NULL;
  lay_out(s, c);
  s->where = HARDEN_IS_RESTING;
  s->span = harden_span_new(env, c->npages, 1, c->sizeclass, s, &s->guarded);
  if (!s->span) {
    fixalloc_free(&c->structs, s);
    return NULL;
  }
  c->nspans++;
  return s;
}

static void open_span(struct harden_class *c, struct harden_span *s) {
  s->where = HARDEN_IS_OPEN;
  c->open[c->nopen++] = s;
  c->open_free += s->nfree;
}

/* Open number i is not taken from any more. */
static void rest_span(struct harden_class *c, unsigned i) {
  struct harden_span *s = c->open[i];
  s->where = HARDEN_IS_RESTING;
  c->open_free -= s->nfree;
  c->open[i] = c->open[--c->nopen];
}

static void rest_fullest(struct harden_class *c) {
  unsigned fullest = 0;
  for (unsigned i = 1; i < c->nopen; i++)
    if (c->open[i]->nfree < c->open[fullest]->nfree) fullest = i;
  rest_span(c, fullest);
}

static bool open_another(struct harden_class *c, struct harden_env *env) {
  struct list *l = list_pop_front(&c->ripe_spans);
  struct harden_span *s =
      l ? list_entry(l, struct harden_span, link) : new_span(c, env);
  if (!s) return false;
  if (c->nopen == HARDEN_OPEN) rest_fullest(c);
  open_span(c, s);
  return true;
}

/* Enough free slots to choose from, or at least one. */
static bool make_choice(struct harden_class *c, struct harden_env *env) {
  while (c->open_free < c->min_free)
    if (!open_another(c, env)) break;
  return c->open_free > 0;
}

/* --- taking --- */

/* The place of the nth set bit of x; there are more than n. */
static unsigned select64(uint64_t x, unsigned n) {
  unsigned at = 0;
  for (unsigned width = 32; width >= 8; width /= 2) {
    unsigned low = popcount64(x & low_mask64(width));
    if (n < low) continue;
    n -= low;
    x >>= width;
    at += width;
  }
  while (n-- > 0) x &= x - 1;
  return at + ctz64(x);
}

static unsigned nth_free(const struct harden_span *s, unsigned n) {
  for (unsigned w = 0;; w++) {
    mgc_assert(w * 64 < s->nslots);
    uint64_t freew = ~s->taken[w] & low_mask64(s->nslots - w * 64);
    unsigned count = popcount64(freew);
    if (n < count) return w * 64 + select64(freew, n);
    n -= count;
  }
}

static bool bit_get(const uint64_t *bits, unsigned i) {
  return (bits[i / 64] >> (i % 64)) & 1;
}
static void bit_flip(uint64_t *bits, unsigned i) {
  bits[i / 64] ^= 1ull << (i % 64);
}

struct harden_slot harden_slot_take(struct harden_class *c,
                                    struct harden_env *env, size_t size,
                                    uint64_t random) {
  struct harden_slot slot = {.elemsize = c->elemsize};
  if (!make_choice(c, env)) return slot;
  /* Of the low 32 bits the lowest choose the span, the highest the slot; the
   * canary has the others. */
  unsigned i = (unsigned)((random & 0xff) * c->nopen >> 8);
  struct harden_span *s = c->open[i];
  unsigned n = nth_free(s, harden_scale((uint32_t)random, s->nfree));
  bit_flip(s->taken, n);
  bit_flip(s->live, n);
  s->nfree--;
  s->span->local.left = ++s->nlive; /* for figures: msnap.h I1 */
  c->open_free--;
  s->size[n] = (uint16_t)size;
  s->canary[n] = slot.canary = harden_canary_key((uint32_t)(random >> 32));
  slot.p = mspan_slot(s->span, n);
  if (s->nfree == 0) rest_span(c, i);
  return slot;
}

struct harden_finding harden_slot_prepare(struct harden_slot slot,
                                          size_t size) {
  uintptr_t end = slot.p + slot.elemsize;
  uintptr_t bad = harden_nonzero(slot.p, end);
  if (unlikely(bad))
    return (struct harden_finding){
        .kind = "write after free",
        .ptr = slot.p,
        .size = SIZE_MAX,
        .elemsize = slot.elemsize,
        .at = bad,
        .state = "free",
    };
  harden_canary_write(slot.p + size, end, slot.canary);
  return (struct harden_finding){0};
}

/* --- freeing --- */

/* The slot that p is in; nslots: in none. */
static unsigned slot_of(const struct harden_span *s, uintptr_t p) {
  if (p - s->span->base >= (uintptr_t)s->nslots * s->span->elemsize)
    return s->nslots;
  return mspan_index(s->span, p);
}

static struct harden_finding finding(const struct harden_span *s, unsigned i,
                                     const char *kind, uintptr_t p,
                                     const char *state) {
  struct harden_finding f = {
      .kind = kind,
      .ptr = p,
      .size = SIZE_MAX,
      .elemsize = s->span->elemsize,
      .state = state,
  };
  if (i < s->nslots && s->size[i] != HARDEN_NEVER) f.size = s->size[i];
  return f;
}

/* Why p is no live object. */
static struct harden_finding why_not_live(const struct harden_span *s,
                                          uintptr_t p) {
  unsigned i = slot_of(s, p);
  if (i == s->nslots || s->size[i] == HARDEN_NEVER)
    return finding(s, i, "invalid free", p, "never allocated");
  if (p != mspan_slot(s->span, i))
    return finding(s, i, "invalid free", p, "inside an object");
  return finding(s, i, "double free", p,
                 bit_get(s->taken, i) ? "freed, in quarantine" : "freed");
}

bool harden_slot_live(const struct harden_span *s, uintptr_t p, size_t *size,
                      struct harden_finding *f) {
  unsigned i = slot_of(s, p);
  if (likely(i < s->nslots && bit_get(s->live, i) &&
             p == mspan_slot(s->span, i))) {
    *size = s->size[i];
    return true;
  }
  *f = why_not_live(s, p);
  return false;
}

bool harden_slot_find(const struct harden_span *s, uintptr_t p, uintptr_t *obj,
                      size_t *size) {
  unsigned i = slot_of(s, p);
  if (i == s->nslots || !bit_get(s->live, i)) return false;
  *obj = mspan_slot(s->span, i);
  *size = s->size[i];
  return true;
}

/* An empty span goes back, unless the open ones would have too little choice. */
static bool give_back(struct harden_class *c, struct harden_env *env,
                      struct harden_span *s) {
  if (s->where == HARDEN_IS_OPEN) {
    unsigned i = 0;
    if (c->open_free - s->nfree < c->min_free) return false;
    while (c->open[i] != s) i++;
    rest_span(c, i);
  }
  list_remove(&s->link);
  s->where = HARDEN_IS_RESTING;
  harden_count(env, s->span, false);
  if (!harden_span_free(env, s->span, s->guarded)) {
    harden_count(env, s->span, true);
    return false;
  }
  c->nspans--;
  fixalloc_free(&c->structs, s);
  return true;
}

/* A slot of s has become free. */
static void refile(struct harden_class *c, struct harden_env *env,
                   struct harden_span *s) {
  if (s->nfree == s->nslots && give_back(c, env, s)) return;
  if (s->where == HARDEN_IS_RESTING && s->nfree >= c->ripe) {
    s->where = HARDEN_IS_RIPE;
    list_push_front(&c->ripe_spans, &s->link);
  }
}

static struct harden_span *entry_span(uint64_t entry) {
  return (struct harden_span *)(uintptr_t)(entry >> 16);
}
static uintptr_t entry_slot(uint64_t entry) {
  return mspan_slot(entry_span(entry)->span, (unsigned)(entry & 0xffff));
}

/* The slot that is looked at when the next one is freed is in no cache any more. */
static void fetch_due(const struct quarantine *held) {
  uint64_t due = quarantine_due(held);
  if (due) __builtin_prefetch((void *)entry_slot(due));
}

/* Slot i of s leaves the quarantine. */
static struct harden_finding let_out(struct harden_class *c,
                                     struct harden_env *env, uint64_t entry) {
  struct harden_span *s = entry_span(entry);
  unsigned i = (unsigned)(entry & 0xffff);
  uintptr_t p = entry_slot(entry);
  uintptr_t bad = harden_nonzero(p, p + s->span->elemsize);
  if (unlikely(bad)) {
    struct harden_finding f =
        finding(s, i, "write after free", p, "freed, in quarantine");
    f.at = bad;
    return f;
  }
  bit_flip(s->taken, i);
  s->nfree++;
  if (s->where == HARDEN_IS_OPEN) c->open_free++;
  refile(c, env, s);
  return (struct harden_finding){0};
}

/* Without memory for a quarantine there is none. */
static void make_quarantine(struct harden_class *c, struct harden_env *env) {
  uint32_t half = HELD_BYTES / c->elemsize;
  half = (half < HELD_MAX ? half : HELD_MAX) / 2;
  struct memstat *stat = &env->heap->stats.span_meta;
  uint64_t *mem =
      persistent_alloc(&env->heap->meta, 2 * half * sizeof(*mem), 8, stat);
  quarantine_init(&c->held, mem, mem ? half : 0);
  c->held_ready = true;
}

struct harden_finding harden_slot_put(struct harden_class *c,
                                      struct harden_env *env,
                                      struct harden_span *s, uintptr_t p,
                                      uint32_t random) {
  struct harden_finding f = {0};
  size_t size, elemsize = s->span->elemsize;
  if (unlikely(!harden_slot_live(s, p, &size, &f))) return f;
  unsigned i = slot_of(s, p);
  uintptr_t bad = harden_canary_check(p + size, p + elemsize, s->canary[i]);
  if (unlikely(bad)) {
    f = finding(s, i, "heap overflow", p, "allocated");
    f.at = bad;
    return f;
  }
  memset((void *)p, 0, elemsize);
  bit_flip(s->live, i);
  s->span->local.left = --s->nlive;
  if (unlikely(!c->held_ready)) make_quarantine(c, env);
  uint64_t out =
      quarantine_put(&c->held, (uint64_t)(uintptr_t)s << 16 | i, random);
  if (!out) return f;
  fetch_due(&c->held);
  return let_out(c, env, out);
}

bool harden_class_flush_one(struct harden_class *c, struct harden_env *env,
                            struct harden_finding *f) {
  uint64_t out = quarantine_take(&c->held);
  if (!out) return false;
  *f = let_out(c, env, out);
  return true;
}

/* --- checking --- */

static void verify_span(const struct harden_class *c,
                        const struct harden_span *s) {
  unsigned nfree = s->nslots, nlive = 0;
  for (unsigned w = 0; w < span_words(s->nslots); w++) {
    if ((s->live[w] & ~s->taken[w]) ||
        (s->taken[w] & ~low_mask64(s->nslots - w * 64)))
      verify_fail("harden I1", "base=%p word=%u", (void *)s->span->base, w);
    nfree -= popcount64(s->taken[w]);
    nlive += popcount64(s->live[w]);
  }
  if (nfree != s->nfree || nlive != s->nlive)
    verify_fail("harden I2", "base=%p nfree=%u/%u nlive=%u/%u",
                (void *)s->span->base, s->nfree, nfree, s->nlive, nlive);
  if (s->where == HARDEN_IS_RIPE && s->nfree < c->ripe)
    verify_fail("harden I4", "base=%p nfree=%u", (void *)s->span->base,
                s->nfree);
}

void harden_class_verify(const struct harden_class *c) {
  uint32_t open_free = 0;
  for (unsigned i = 0; i < c->nopen; i++) {
    verify_span(c, c->open[i]);
    open_free += c->open[i]->nfree;
  }
  if (open_free != c->open_free)
    verify_fail("harden I3", "elemsize=%u open_free=%u sum=%u", c->elemsize,
                c->open_free, open_free);
  list_for_each(l, &c->ripe_spans) {
    const struct harden_span *s = list_entry(l, struct harden_span, link);
    verify_span(c, s);
    if (s->where != HARDEN_IS_RIPE)
      verify_fail("harden I4", "base=%p where=%u", (void *)s->span->base,
                  s->where);
  }
}
