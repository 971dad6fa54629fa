// SPDX-License-Identifier: MIT
/* The exported functions on types: they serve the default registry and set
 * errno. */
#include "base/fatal.h"
#include "type/iface.h"
#include "type/itab.h"
#include "type/name.h"
#include "type/shape.h"
#include "type/type.h"
#include <errno.h>
#include <string.h>

#define API __attribute__((visibility("default")))

/* The one piece of state of this layer: the constructors of modules come before
 * any heap, and have nobody to pass them a registry. */
static struct itab_cache default_itabs = {.lock = MUTEX_INIT(itab)};
static struct type_registry default_registry = {.lock = MUTEX_INIT(modules),
                                                .itabs = &default_itabs};

struct type_registry *type_registry_default(void) {
  return &default_registry;
}

void type_registry_start(struct type_registry *r, struct persistent *memory,
                         struct memstat *stat, const struct type_hooks *hooks) {
  mutex_lock(&r->lock);
  r->memory = memory;
  r->stat = stat;
  if (hooks) r->hooks = *hooks;
  r->stale = true;
  mutex_unlock(&r->lock);
  if (r->itabs) {
    r->itabs->memory = memory;
    r->itabs->stat = stat;
  }
}

/* ---- reading descriptors ---- */

API const char *mgc_type_name(const struct mgc_type *t) {
  return type_name_of(t).s;
}

API bool mgc_type_equal(const struct mgc_type *a, const struct mgc_type *b) {
  return shape_equal(a, b);
}

API const struct mgc_type *mgc_type_elem(const struct mgc_type *t) {
  switch (mgc_type_kind(t)) {
  case MGC_KIND_POINTER:
  case MGC_KIND_ARRAY:
  case MGC_KIND_SLICE:
    return type_elemtail(t)->elem;
  default:
    return NULL;
  }
}

API const struct mgc_field *mgc_type_fields(const struct mgc_type *t,
                                            size_t *n) {
  *n = 0;
  if (mgc_type_kind(t) != MGC_KIND_STRUCT) return NULL;
  const struct mgc_structtail *tail = type_structtail(t);
  if (tail->fields == 0) return NULL;
  *n = tail->nfields;
  return (const struct mgc_field *)(const void *)((const char *)&tail->fields +
                                                  tail->fields);
}

API const char *mgc_field_name(const struct mgc_field *f) {
  return name_at(&f->name).s;
}

const struct mgc_uncommon *type_uncommon(const struct mgc_type *t) {
  if (!(t->tflag & MGC_TFLAG_UNCOMMON)) return NULL;
  return (const struct mgc_uncommon *)(const void *)((const char *)t +
                                                     mgc_type_footprint(t)) -
         1;
}

API const struct mgc_method *mgc_type_methods(const struct mgc_type *t,
                                              size_t *n) {
  const struct mgc_uncommon *u = type_uncommon(t);
  *n = u ? u->nmethods : 0;
  return u ? u->methods : NULL;
}

/* ---- the registry ---- */

API void mgc_module_register(struct mgc_moduledata *m) {
  type_register(&default_registry, m);
}

API void mgc_module_unregister(struct mgc_moduledata *m) {
  type_unregister(&default_registry, m);
}

API const struct mgc_type *mgc_type_find(const char *name) {
  return type_find(&default_registry, name);
}

API const struct mgc_type *mgc_typeslot_resolve(struct mgc_typeslot *slot) {
  struct type_registry *r = &default_registry;
  const struct mgc_type *t = __atomic_load_n(&slot->type, __ATOMIC_ACQUIRE);
  if (t) return t;
  enum type_found how;
  t = type_lookup(r, slot->name, slot->size, slot->align, slot->module, &how);
  if ((how == TYPE_MISMATCH || how == TYPE_AMBIGUOUS) && r->hooks.on_mismatch)
    r->hooks.on_mismatch(r->hooks.arg, slot->name, slot->size, how);
  /* The first to write wins, so that concurrent calls agree. release: pairs with
   * the acquire in mgc_typeslot_type */
  const struct mgc_type *expect = NULL;
  if (!__atomic_compare_exchange_n(&slot->type, &expect, t, false,
                                   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return expect;
  return t;
}

/* ---- run-time types ---- */

static const struct mgc_type *checked(const struct mgc_type *t, int error) {
  if (!t) errno = error;
  return t;
}

API const struct mgc_type *mgc_type_make(const char *name, size_t size,
                                         size_t align, const uint8_t *mask,
                                         size_t nwords) {
  int error = 0;
  return checked(
      type_make(&default_registry, name, size, align, mask, nwords, &error),
      error);
}

API const struct mgc_type *mgc_type_struct(const char *name, size_t size,
                                           size_t align,
                                           const struct mgc_structfield *fields,
                                           size_t nfields) {
  int error = 0;
  return checked(type_struct(&default_registry, name, size, align, fields,
                             nfields, &error),
                 error);
}

API const struct mgc_type *mgc_type_array(const struct mgc_type *elem,
                                          size_t n) {
  int error = 0;
  return checked(type_array(&default_registry, elem, n, &error), error);
}

API const struct mgc_type *mgc_type_pointer(const struct mgc_type *elem) {
  int error = 0;
  return checked(type_pointer(&default_registry, elem, &error), error);
}

API const struct mgc_type *mgc_type_interface(const char *name,
                                              const struct mgc_imethod *methods,
                                              size_t nmethods) {
  int error = 0;
  return checked(
      type_interface(&default_registry, name, methods, nmethods, &error),
      error);
}

/* ---- values ---- */

static bool hashable(bool ok) {
  if (!ok) errno = EINVAL;
  return ok;
}

static enum mgc_equality comparable(enum mgc_equality e) {
  if (e == MGC_NOT_COMPARABLE) errno = EINVAL;
  return e;
}

API bool mgc_type_hash(const struct mgc_type *t, const void *p, uint64_t seed,
                       uint64_t *hash) {
  return hashable(type_hash(&default_registry, t, p, seed, hash));
}

API enum mgc_equality mgc_type_equal_values(const struct mgc_type *t,
                                            const void *p, const void *q) {
  return comparable(type_equal_values(t, p, q));
}

API enum mgc_equality mgc_eface_equal(const struct mgc_eface *a,
                                      const struct mgc_eface *b) {
  return mgc_type_equal_values(&mgc_type_eface, a, b);
}

API bool mgc_eface_hash(const struct mgc_eface *e, uint64_t seed,
                        uint64_t *hash) {
  return mgc_type_hash(&mgc_type_eface, e, seed, hash);
}

static struct mgc_eface to_eface(const struct mgc_iface *i) {
  return (struct mgc_eface){i->tab ? i->tab->type : NULL, i->data};
}

API enum mgc_equality mgc_iface_equal(const struct mgc_iface *a,
                                      const struct mgc_iface *b) {
  struct mgc_eface x = to_eface(a), y = to_eface(b);
  return mgc_eface_equal(&x, &y);
}

API bool mgc_iface_hash(const struct mgc_iface *i, uint64_t seed,
                        uint64_t *hash) {
  struct mgc_eface e = to_eface(i);
  return mgc_eface_hash(&e, seed, hash);
}

/* ---- interfaces ---- */

API const struct mgc_itab *mgc_getitab(const struct mgc_type *inter,
                                       const struct mgc_type *type) {
  enum itab_answer answer;
  const struct mgc_itab *tab = itab_get(&default_itabs, inter, type, &answer);
  if (!tab) errno = answer == ITAB_NO_MEMORY ? ENOMEM : EINVAL;
  return tab;
}

API bool mgc_box(const struct mgc_type *type, const void *value, void **data) {
  bool ok = iface_box(&default_registry, type, value, data);
  if (!ok) errno = ENOMEM;
  return ok;
}

API bool mgc_make_eface(struct mgc_eface *out, const struct mgc_type *type,
                        const void *value) {
  *out = (struct mgc_eface){NULL, NULL};
  void *data;
  if (!mgc_box(type, value, &data)) return false;
  *out = (struct mgc_eface){type, data};
  return true;
}

API bool mgc_make_iface(struct mgc_iface *out, const struct mgc_type *inter,
                        const struct mgc_type *type, const void *value) {
  *out = (struct mgc_iface){NULL, NULL};
  const struct mgc_itab *tab = mgc_getitab(inter, type);
  void *data;
  if (!tab || !mgc_box(type, value, &data)) return false;
  *out = (struct mgc_iface){tab, data};
  return true;
}
