// SPDX-License-Identifier: MIT
/* See hardenlarge.h. */
#include "face/malloc/hardenlarge.h"

/* Bytes before an object that are canary: an index of -1 to -8 words shows. */
#define UNDER_BYTES 64u
/* Address space in quarantine at most; an eighth of a small window. */
#define MAX_HELD_BYTES ((size_t)256 << 20)

void harden_large_init(struct harden_large_set *set, struct harden_env *env) {
  struct heap *h = env->heap;
  *set = (struct harden_large_set){.max_held_bytes = MAX_HELD_BYTES};
  if (h->one_region && (h->cur_arena_end - h->cur_arena) / 8 < MAX_HELD_BYTES)
    set->max_held_bytes = (h->cur_arena_end - h->cur_arena) / 8;
  quarantine_init(&set->held, set->held_mem, HARDEN_LARGE_HELD / 2);
  fixalloc_init(&set->structs, sizeof(struct harden_large), NULL, NULL,
                &h->meta, &h->stats.span_meta);
}

static uintptr_t under(const struct harden_large *l) {
  uintptr_t base = l->span->base;
  return l->p - base > UNDER_BYTES ? l->p - UNDER_BYTES : base;
}

static bool place(struct harden_large *l, struct harden_env *env, size_t size,
                  size_t align) {
  /* Where there can be no guard, a canary makes up for it. */
  size_t room = harden_guards_left(env) ? 0 : HARDEN_CANARY_MIN;
  size_t npages = pages_for(size + room ? size + room : 1);
  size_t align_pages = align > MGC_PAGE_SIZE ? align >> MGC_PAGE_SHIFT : 1;
  l->span = harden_span_new(env, npages, align_pages, 0, l, &l->guarded);
  if (!l->span) return false;
  l->end = l->span->base + npages * MGC_PAGE_SIZE;
  if (align < 16) align = 16;
  l->p = align_down(l->end - size - room, align);
  return true;
}

uintptr_t harden_large_take(struct harden_large_set *set,
                            struct harden_env *env, size_t size, size_t align,
                            uint32_t random) {
  if (size > MAX_LARGE_SIZE || align > MAX_LARGE_SIZE) return 0;
  struct harden_large *l = fixalloc_alloc(&set->structs);
  if (!l) return 0;
  if (!place(l, env, size, align)) {
    fixalloc_free(&set->structs, l);
    return 0;
  }
  l->size = size;
  l->live = true;
  l->span->local.left = 1; /* for figures: msnap.h I1 */
  l->canary = harden_canary_key(random);
  harden_canary_write(under(l), l->p, l->canary);
  harden_canary_write(l->p + size, l->end, l->canary);
  set->nlive++;
  set->live_bytes += size;
  return l->p;
}

static struct harden_finding finding(const struct harden_large *l,
                                     const char *kind, uintptr_t p,
                                     uintptr_t at, const char *state) {
  return (struct harden_finding){
      .kind = kind,
      .ptr = p,
      .size = l->size,
      .elemsize = l->end - l->span->base,
      .at = at,
      .state = state,
  };
}

bool harden_large_live(const struct harden_large *l, uintptr_t p, size_t *size,
                       struct harden_finding *f) {
  *size = l->size;
  if (likely(l->live && p == l->p)) return true;
  if (p != l->p)
    *f = finding(l, "invalid free", p, 0, "not the start of the object");
  else
    *f = finding(l, "double free", p, 0, "freed, in quarantine");
  return false;
}

/* The pages become accessible again and go back. When the system will not do that,
 * they stay as they are and are lost; it has too many areas then. */
static void let_out(struct harden_large_set *set, struct harden_env *env,
                    struct harden_large *l, bool faulted) {
  struct mspan *s = l->span;
  if (faulted && !harden_unfault(env, s->base, s->npages)) return;
  if (!harden_span_free(env, s, l->guarded && !faulted)) return;
  fixalloc_free(&set->structs, l);
}

bool harden_large_flush_one(struct harden_large_set *set,
                            struct harden_env *env) {
  uint64_t out = quarantine_take(&set->held);
  if (!out) return false;
  struct harden_large *l = (struct harden_large *)(uintptr_t)out;
  set->held_bytes -= l->span->npages * MGC_PAGE_SIZE;
  let_out(set, env, l, true);
  return true;
}

/* Makes the pages inaccessible. What was a guard is part of that area. */
static void hold(struct harden_large_set *set, struct harden_env *env,
                 struct harden_large *l, uint32_t random) {
  struct heap *h = env->heap;
  struct mspan *s = l->span;
  size_t n = s->npages * MGC_PAGE_SIZE;
  h->vm->ops->fault(h->vm, (void *)s->base, n);
  /* Whoever walks spans sees one without objects. */
  s->nelems = 0;
  __atomic_store_n(&s->limit, s->base, __ATOMIC_RELAXED);
  set->held_bytes += n;
  uint64_t out = quarantine_put(&set->held, (uintptr_t)l, random);
  if (out) {
    struct harden_large *due = (struct harden_large *)(uintptr_t)out;
    set->held_bytes -= due->span->npages * MGC_PAGE_SIZE;
    let_out(set, env, due, true);
  }
}

struct harden_finding harden_large_put(struct harden_large_set *set,
                                       struct harden_env *env,
                                       struct harden_large *l, uintptr_t p,
                                       uint32_t random) {
  struct harden_finding f = {0};
  size_t size;
  if (unlikely(!harden_large_live(l, p, &size, &f))) return f;
  uintptr_t bad = harden_canary_check(p + size, l->end, l->canary);
  if (unlikely(bad)) return finding(l, "heap overflow", p, bad, "allocated");
  bad = harden_canary_check(under(l), p, l->canary);
  if (unlikely(bad)) return finding(l, "heap underflow", p, bad, "allocated");
  l->live = false;
  l->span->local.left = 0;
  harden_count(env, l->span, false); /* what is held takes no memory */
  set->nlive--;
  set->live_bytes -= size;
  size_t n = l->span->npages * MGC_PAGE_SIZE;
  if (!l->guarded || n > set->max_held_bytes) {
    let_out(set, env, l, false);
    return f;
  }
  while (set->held_bytes + n > set->max_held_bytes &&
         harden_large_flush_one(set, env)) {
  }
  hold(set, env, l, random);
  return f;
}
