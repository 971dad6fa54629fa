// SPDX-License-Identifier: MIT
/*
 * The registry: modules come and go, types are found by name. See type.h.
 *
 * The index is an open-addressed table over the normal forms of names. It is
 * built at the first lookup after a module came or went, since a program
 * registers all its modules and then looks up some dozens of names. Without
 * memory for it a lookup walks all descriptors: slower, with the same result.
 */
#include "base/bits.h"
#include "base/fatal.h"
#include "type/itab.h"
#include "type/name.h"
#include "type/ptrmask.h"
#include "type/shape.h"
#include "type/type.h"
#include "type/xxh.h"
#include <string.h>

static const struct mgc_type *first_type(const struct mgc_moduledata *m) {
  return (const struct mgc_type *)(const void *)m->types;
}
static const struct mgc_type *end_type(const struct mgc_moduledata *m) {
  return (const struct mgc_type *)(const void *)m->etypes;
}
static const struct mgc_type *next_type(const struct mgc_type *t) {
  return (const struct mgc_type *)(const void *)((const char *)t +
                                                 mgc_type_footprint(t));
}
#define FOR_EACH_TYPE(t, m)                                                    \
  for (const struct mgc_type *t = first_type(m); t < end_type(m);              \
       t = next_type(t))

static bool is_in(const struct mgc_moduledata *m, const struct mgc_type *t) {
  return m && (const char *)t >= m->types && (const char *)t < m->etypes;
}

void type_registry_init(struct type_registry *r, struct persistent *memory,
                        struct memstat *stat, const struct type_hooks *hooks) {
  *r = (struct type_registry){.memory = memory, .stat = stat};
  mutex_init(&r->lock, LOCKRANK_modules);
  if (hooks) r->hooks = *hooks;
}

void type_register(struct type_registry *r, struct mgc_moduledata *m) {
  if (m->version != MGC_TYPE_VERSION) return;
  mutex_lock(&r->lock);
  if (!m->registered) {
    struct mgc_moduledata **link = &r->modules;
    while (*link) link = &(*link)->next;
    *link = m;
    m->next = NULL;
    m->registered = 1;
    r->stale = true;
  }
  mutex_unlock(&r->lock);
}

bool type_unregister(struct type_registry *r, struct mgc_moduledata *m) {
  mutex_lock(&r->lock);
  bool registered = m->registered && !m->permanent;
  if (registered) {
    struct mgc_moduledata **link = &r->modules;
    while (*link != m) link = &(*link)->next;
    *link = m->next;
    m->next = NULL;
    m->registered = 0;
    r->stale = true;
  }
  mutex_unlock(&r->lock);
  if (registered && r->itabs) itab_forget(r->itabs, m->types, m->etypes);
  return registered;
}

void type_forget(struct type_registry *r, const struct mgc_moduledata *m) {
  if (r->hooks.on_unregister) r->hooks.on_unregister(r->hooks.arg, m);
}

/* ---- the index by name ---- */

static uint64_t hash_name(const char *s, size_t n) { return XXH3_64bits(s, n); }

static void index_put(struct type_index *x, uint64_t hash,
                      const struct mgc_type *t) {
  size_t mask = x->capacity - 1, i = (size_t)hash & mask;
  while (x->slots[i]) i = (i + 1) & mask;
  x->slots[i] = t;
  x->count++;
}

static size_t count_types(const struct type_registry *r) {
  size_t n = 0;
  for (const struct mgc_moduledata *m = r->modules; m; m = m->next)
    FOR_EACH_TYPE(t, m) n++;
  return n;
}

/* False when there is no memory for it: then lookups walk. */
static bool index_build(struct type_registry *r) {
  if (!r->stale) return r->index.slots != NULL;
  if (!r->memory) return false;
  size_t n = count_types(r), capacity = 64;
  while (capacity < 2 * n) capacity *= 2;
  if (capacity > r->index.capacity) {
    const struct mgc_type **slots = persistent_alloc(
        r->memory, capacity * sizeof(struct mgc_type *), 0, r->stat);
    if (!slots) return false;
    r->index = (struct type_index){.slots = slots, .capacity = capacity};
  }
  memset(r->index.slots, 0, r->index.capacity * sizeof(*r->index.slots));
  r->index.count = 0;
  char name[TYPE_NAME_MAX + 1];
  for (const struct mgc_moduledata *m = r->modules; m; m = m->next)
    FOR_EACH_TYPE(t, m) {
      size_t len = name_normalise(type_name_of(t), name);
      if (len > 0) index_put(&r->index, hash_name(name, len), t);
    }
  r->stale = false;
  return true;
}

/* What is known of one name while its descriptors are visited. */
struct search {
  const char *name; /* normalised */
  size_t len;
  size_t size, align; /* 0: any */
  const struct mgc_moduledata *from;
  const struct mgc_type *own, *other; /* first in `from`, elsewhere */
  bool own_differs, other_differs;    /* equal descriptors do not count */
  bool mismatch;
};

static void visit(struct search *s, const struct mgc_type *t) {
  char name[TYPE_NAME_MAX + 1];
  size_t len = name_normalise(type_name_of(t), name);
  if (len != s->len || memcmp(name, s->name, len) != 0) return;
  if ((s->size && t->size != s->size) || (s->align && t->align != s->align)) {
    s->mismatch = true;
    return;
  }
  bool own = is_in(s->from, t);
  const struct mgc_type **first = own ? &s->own : &s->other;
  bool *differs = own ? &s->own_differs : &s->other_differs;
  if (!*first)
    *first = t;
  else if (!shape_equal(*first, t))
    *differs = true;
}

static void visit_all(struct type_registry *r, struct search *s) {
  if (!index_build(r)) {
    for (const struct mgc_moduledata *m = r->modules; m; m = m->next)
      FOR_EACH_TYPE(t, m) visit(s, t);
    return;
  }
  size_t mask = r->index.capacity - 1;
  size_t i = (size_t)hash_name(s->name, s->len) & mask;
  for (; r->index.slots[i]; i = (i + 1) & mask) visit(s, r->index.slots[i]);
}

static bool stays_for_ever(const struct type_registry *r,
                           const struct mgc_type *t) {
  for (const struct mgc_moduledata *m = r->modules; m; m = m->next)
    if (is_in(m, t)) return m->permanent;
  return false;
}

/* The type that the search chose: the user's own one before that of others. */
static const struct mgc_type *
choose(struct type_registry *r, const struct search *s, enum type_found *how)
    MGC_REQUIRES(r->lock) {
  *how = TYPE_FOUND;
  if (s->own && !s->own_differs) return s->own;
  if (s->own_differs || s->other_differs) {
    *how = TYPE_AMBIGUOUS;
    return NULL;
  }
  if (s->other) {
    if (stays_for_ever(r, s->other)) return s->other;
    const struct mgc_type *t = shape_intern_locked(r, s->other);
    if (!t) *how = TYPE_NO_MEMORY;
    return t;
  }
  const struct mgc_type *basic = type_basic_find(s->name, s->len);
  if (basic && (!s->size || s->size == basic->size) && !s->mismatch)
    return basic;
  *how = basic || s->mismatch ? TYPE_MISMATCH : TYPE_UNKNOWN;
  return NULL;
}

const struct mgc_type *type_lookup(struct type_registry *r, const char *name,
                                   size_t size, size_t align,
                                   const struct mgc_moduledata *from,
                                   enum type_found *how) {
  char normal[TYPE_NAME_MAX + 1];
  struct search s = {
      .name = normal, .size = size, .align = align, .from = from};
  s.len = name_normalise((struct type_name){name, strlen(name)}, normal);
  if (s.len == 0) {
    *how = TYPE_UNKNOWN;
    return &type_conservative;
  }
  mutex_lock(&r->lock);
  visit_all(r, &s);
  const struct mgc_type *t = choose(r, &s, how);
  mutex_unlock(&r->lock);
  return t ? t : &type_conservative;
}

const struct mgc_type *type_find(struct type_registry *r, const char *name) {
  char normal[TYPE_NAME_MAX + 1];
  struct search s = {.name = normal};
  s.len = name_normalise((struct type_name){name, strlen(name)}, normal);
  if (s.len == 0) return NULL;
  mutex_lock(&r->lock);
  visit_all(r, &s);
  mutex_unlock(&r->lock);
  if (s.other_differs) return NULL;
  return s.other ? s.other : type_basic_find(s.name, s.len);
}

const struct mgc_type *type_intern(struct type_registry *r,
                                   const struct mgc_type *t) {
  mutex_lock(&r->lock);
  const struct mgc_type *c = shape_intern_locked(r, t);
  mutex_unlock(&r->lock);
  return c;
}

/* ---- verifier ---- */

/* Offset at *place stays in [lo, hi), or is 0. */
static bool stays(const int32_t *place, const char *lo, const char *hi) {
  const char *to = (const char *)place + *place;
  return *place == 0 || (to >= lo && to < hi);
}

static void verify_mask(const struct mgc_type *t) {
  const char *name = type_name_of(t).s;
  if (t->ptrdata % PTR_BYTES != 0 || t->ptrdata > t->size)
    verify_fail("type I3", "type=%s ptrdata=%zu size=%zu", name, t->ptrdata,
                t->size);
  if ((t->ptrdata == 0) != (t->gcdata == NULL))
    verify_fail("type I3", "type=%s ptrdata=%zu gcdata=%p", name, t->ptrdata,
                (const void *)t->gcdata);
  if (t->ptrdata == 0) return;
  size_t words = t->ptrdata / PTR_BYTES, last = (words - 1) / 64;
  if (bit_length64(type_mask_word(t, last)) != (words - 1) % 64 + 1)
    verify_fail("type I3", "type=%s ptrdata=%zu last=%llx", name, t->ptrdata,
                (unsigned long long)type_mask_word(t, last));
}

static void verify_type(const struct mgc_moduledata *m,
                        const struct mgc_type *t) {
  if ((uintptr_t)t % 8 != 0 || (const char *)next_type(t) > m->etypes)
    verify_fail("type I2", "type=%p etypes=%p", (const void *)t,
                (const void *)m->etypes);
  if (!stays(&t->str, m->names, m->enames) ||
      !stays(&t->ptr_to_this, m->types, m->etypes))
    verify_fail("type I4", "type=%p str=%d ptr_to_this=%d", (const void *)t,
                t->str, t->ptr_to_this);
  if (mgc_type_kind(t) == MGC_KIND_STRUCT) {
    const struct mgc_structtail *tail = type_structtail(t);
    if (!stays(&tail->fields, m->fields, m->efields))
      verify_fail("type I4", "type=%p fields=%d", (const void *)t,
                  tail->fields);
  }
  verify_mask(t);
}

static void verify_index(struct type_registry *r) {
  if (r->stale || !r->index.slots) return;
  size_t named = 0;
  for (const struct mgc_moduledata *m = r->modules; m; m = m->next)
    FOR_EACH_TYPE(t, m) named += type_name_of(t).n > 0;
  if (named != r->index.count)
    verify_fail("type I5", "named=%zu indexed=%zu", named, r->index.count);
}

void type_registry_verify(struct type_registry *r) {
  mutex_lock(&r->lock);
  for (const struct mgc_moduledata *m = r->modules; m; m = m->next) {
    if (m->registered != 1)
      verify_fail("type I1", "module=%p registered=%u", (const void *)m,
                  m->registered);
    FOR_EACH_TYPE(t, m) verify_type(m, t);
  }
  verify_index(r);
  for (size_t i = 0; i < r->canonical.capacity; i++) {
    const struct mgc_type *t = r->canonical.slots[i];
    if (!t) continue;
    verify_mask(t);
    if (shape_find_locked(r, t) != t)
      verify_fail("type I6", "type=%s", type_name_of(t).s);
  }
  mutex_unlock(&r->lock);
}
