// SPDX-License-Identifier: MIT
/* The default registry, and the exported functions that only read descriptors.
 * Those that lock, allocate or set errno are in the face. */
#include "type/itab.h"
#include "type/name.h"
#include "type/shape.h"
#include "type/type.h"

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
  struct itab_cache *c = r->itabs;
  if (!c) return;
  mutex_lock(&c->lock);
  c->memory = memory;
  c->stat = stat;
  mutex_unlock(&c->lock);
}

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
