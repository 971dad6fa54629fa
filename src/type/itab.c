// SPDX-License-Identifier: MIT
/* See itab.h. */
#include "type/itab.h"
#include "base/fatal.h"
#include "type/type.h"
#include <string.h>

void itab_init(struct itab_cache *c, struct persistent *memory,
               struct memstat *stat) {
  *c = (struct itab_cache){.memory = memory, .stat = stat};
  mutex_init(&c->lock, LOCKRANK_itab);
}

static size_t hash_pair(const struct mgc_type *inter,
                        const struct mgc_type *type) {
  return inter->hash ^ type->hash;
}

/* The slot of the pair with its entry, or the empty slot where its probing ends
 * with NULL. A reader must not load the slot again: an empty one may since have
 * been taken by another pair. */
static struct atomic_ptr *find_slot(struct itab_table *t,
                                    const struct mgc_type *inter,
                                    const struct mgc_type *type,
                                    const struct mgc_itab **entry) {
  size_t mask = t->capacity - 1, i = hash_pair(inter, type) & mask;
  for (size_t step = 1;; step++) {
    /* acquire: pairs with the release in add */
    const struct mgc_itab *e = atomic_ptr_load_acquire(&t->slots[i]);
    *entry = e;
    if (!e || (e->inter == inter && e->type == type)) return &t->slots[i];
    i = (i + step) & mask;
  }
}

static struct itab_table *current(const struct itab_cache *c) {
  /* acquire: pairs with the release in new_table's callers */
  return atomic_ptr_load_acquire(&c->table);
}

static struct itab_table *new_table(struct itab_cache *c, size_t capacity) {
  struct itab_table *t = persistent_alloc(
      c->memory, sizeof(*t) + capacity * sizeof(struct atomic_ptr), 0, c->stat);
  if (t) t->capacity = capacity;
  return t;
}

static void add(struct itab_table *t, struct mgc_itab *e) {
  const struct mgc_itab *none;
  atomic_ptr_store_release(find_slot(t, e->inter, e->type, &none), e);
  t->count++;
}

static bool is_in(const char *lo, const char *hi, const void *p) {
  return (const char *)p >= lo && (const char *)p < hi;
}

/* A copy of the table without the pairs in [lo, hi). */
static struct itab_table *copy_table(struct itab_cache *c, size_t capacity,
                                     const char *lo, const char *hi) {
  struct itab_table *from = current(c), *to = new_table(c, capacity);
  if (!to || !from) return to;
  for (size_t i = 0; i < from->capacity; i++) {
    struct mgc_itab *e = atomic_ptr_load_relaxed(&from->slots[i]);
    if (e && !is_in(lo, hi, e->inter) && !is_in(lo, hi, e->type)) add(to, e);
  }
  return to;
}

static void (*find_method(const struct mgc_type *type,
                          const char *name))(void) {
  size_t n;
  const struct mgc_method *m = mgc_type_methods(type, &n);
  for (size_t i = 0; i < n; i++)
    if (strcmp(m[i].name, name) == 0) return m[i].fn;
  return NULL;
}

/* Fills in fun; leaves nfun 0 when a method is missing. */
static void fill_methods(struct mgc_itab *e,
                         const struct mgc_interfacetail *wanted) {
  for (size_t i = 0; i < wanted->nmethods; i++) {
    e->fun[i] = find_method(e->type, wanted->methods[i].name);
    if (!e->fun[i]) return;
  }
  e->nfun = (uint32_t)wanted->nmethods;
}

/* NULL: no memory. */
static struct mgc_itab *make_locked(struct itab_cache *c,
                                    const struct mgc_type *inter,
                                    const struct mgc_type *type) {
  const struct mgc_interfacetail *wanted = type_interfacetail(inter);
  struct itab_table *t = current(c);
  if (!t || t->count * 4 >= t->capacity * 3) {
    t = copy_table(c, t ? 2 * t->capacity : ITAB_INITIAL, NULL, NULL);
    if (!t) return NULL;
    atomic_ptr_store_release(&c->table, t);
  }
  struct mgc_itab *e = persistent_alloc(
      c->memory, sizeof(*e) + wanted->nmethods * sizeof(e->fun[0]), 0, c->stat);
  if (!e) return NULL;
  e->inter = inter;
  e->type = type;
  e->hash = type->hash;
  fill_methods(e, wanted);
  add(t, e);
  return e;
}

static const struct mgc_itab *answer_of(const struct mgc_itab *e,
                                        enum itab_answer *answer) {
  *answer = e->nfun > 0 ? ITAB_FOUND : ITAB_MISSING;
  return e->nfun > 0 ? e : NULL;
}

const struct mgc_itab *itab_peek(struct itab_cache *c,
                                 const struct mgc_type *inter,
                                 const struct mgc_type *type,
                                 enum itab_answer *answer) {
  *answer = ITAB_MISSING;
  if (mgc_type_kind(inter) != MGC_KIND_INTERFACE ||
      type_interfacetail(inter)->nmethods == 0)
    return NULL;
  struct itab_table *t = current(c);
  const struct mgc_itab *e = NULL;
  if (t) find_slot(t, inter, type, &e);
  if (e) return answer_of(e, answer);
  *answer = ITAB_NOT_CACHED;
  return NULL;
}

const struct mgc_itab *itab_get(struct itab_cache *c,
                                const struct mgc_type *inter,
                                const struct mgc_type *type,
                                enum itab_answer *answer) {
  mutex_lock(&c->lock);
  const struct mgc_itab *e = itab_peek(c, inter, type, answer);
  if (!e && *answer == ITAB_NOT_CACHED) {
    struct mgc_itab *made = c->memory ? make_locked(c, inter, type) : NULL;
    if (made)
      e = answer_of(made, answer);
    else
      *answer = ITAB_NO_MEMORY;
  }
  mutex_unlock(&c->lock);
  return e;
}

void itab_forget(struct itab_cache *c, const char *lo, const char *hi) {
  mutex_lock(&c->lock);
  struct itab_table *t = current(c);
  bool any = false;
  for (size_t i = 0; t && i < t->capacity && !any; i++) {
    const struct mgc_itab *e = atomic_ptr_load_relaxed(&t->slots[i]);
    any = e && (is_in(lo, hi, e->inter) || is_in(lo, hi, e->type));
  }
  /* Without memory for a copy the cache starts anew. */
  if (any)
    atomic_ptr_store_release(&c->table, copy_table(c, t->capacity, lo, hi));
  mutex_unlock(&c->lock);
}

void itab_verify(struct itab_cache *c) {
  mutex_lock(&c->lock);
  struct itab_table *t = current(c);
  size_t n = 0;
  for (size_t i = 0; t && i < t->capacity; i++) {
    const struct mgc_itab *e = atomic_ptr_load_acquire(&t->slots[i]);
    if (!e) continue;
    n++;
    /* I1 and I2: a second entry of the pair would be found in place of one. */
    const struct mgc_itab *same;
    if (find_slot(t, e->inter, e->type, &same) != &t->slots[i])
      verify_fail("itab I1", "inter=%p type=%p", (const void *)e->inter,
                  (const void *)e->type);
  }
  if (t && (n != t->count || n * 4 > t->capacity * 3 + 3))
    verify_fail("itab I3", "entries=%zu count=%zu capacity=%zu", n, t->count,
                t->capacity);
  mutex_unlock(&c->lock);
}
