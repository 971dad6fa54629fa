// SPDX-License-Identifier: MIT
/*
 * The native face: the exported functions on types and interfaces. They make the
 * default heap, whose metadata memory the registry uses, keep stop signals away
 * while the registry's locks are held (thread.h I2), and set errno.
 */
#include "alloc/init.h"
#include "alloc/thread.h"
#include "type/iface.h"
#include "type/itab.h"
#include "type/type.h"
#include <errno.h>
#include <mallocgc.h>

#define API __attribute__((visibility("default")))

/* ---- modules ----
 * A constructor or destructor of the program runs these: the heap is not made for
 * them, and a thread without a record is never stopped. */

API void mgc_module_register(struct mgc_moduledata *m) {
  struct thread *t = thread_self;
  if (t) thread_enter(t);
  type_register(type_registry_default(), m);
  if (t) thread_leave(t);
}

API void mgc_module_unregister(struct mgc_moduledata *m) {
  struct thread *t = thread_self;
  if (t) thread_enter(t);
  bool gone = type_unregister(type_registry_default(), m);
  if (t) thread_leave(t);
  if (gone) type_forget(type_registry_default(), m);
}

/* ---- lookup ---- */

/* The calling thread, inside the allocator; NULL when there is no heap: lookups
 * work without it, and nothing is made. */
static struct thread *enter(void) {
  struct thread *t = thread_get();
  if (t) thread_enter(t);
  return t;
}
static void leave(struct thread *t) {
  if (t) thread_leave(t);
}

API const struct mgc_type *mgc_type_find(const char *name) {
  struct thread *t = enter();
  const struct mgc_type *type = type_find(type_registry_default(), name);
  leave(t);
  return type;
}

static void report(const struct mgc_typeslot *slot, enum type_found how) {
  struct type_registry *r = type_registry_default();
  if (how != TYPE_FOUND && how != TYPE_UNKNOWN && r->hooks.on_mismatch)
    r->hooks.on_mismatch(r->hooks.arg, slot->name, slot->size, how);
}

API const struct mgc_type *mgc_typeslot_resolve(struct mgc_typeslot *slot) {
  const struct mgc_type *type = __atomic_load_n(&slot->type, __ATOMIC_ACQUIRE);
  if (type) return type;
  struct thread *t = enter();
  enum type_found how;
  type = type_lookup(type_registry_default(), slot->name, slot->size,
                     slot->align, slot->module, &how);
  leave(t);
  report(slot, how);
  /* Memory may come back: the slot stays open. */
  if (how == TYPE_NO_MEMORY) return type;
  /* The first to write wins, so that concurrent calls agree. release: pairs with
   * the acquire in mgc_typeslot_type */
  const struct mgc_type *expect = NULL;
  if (!__atomic_compare_exchange_n(&slot->type, &expect, type, false,
                                   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return expect;
  return type;
}

/* ---- run-time types ---- */

static const struct mgc_type *done(struct thread *t,
                                   const struct mgc_type *type, int error) {
  leave(t);
  if (!type) errno = error;
  return type;
}

API const struct mgc_type *mgc_type_make(const char *name, size_t size,
                                         size_t align, const uint8_t *mask,
                                         size_t nwords) {
  struct thread *t = enter();
  int error = ENOMEM;
  const struct mgc_type *type = type_make(type_registry_default(), name, size,
                                          align, mask, nwords, &error);
  return done(t, type, error);
}

API const struct mgc_type *mgc_type_struct(const char *name, size_t size,
                                           size_t align,
                                           const struct mgc_structfield *fields,
                                           size_t nfields) {
  struct thread *t = enter();
  int error = ENOMEM;
  const struct mgc_type *type = type_struct(type_registry_default(), name, size,
                                            align, fields, nfields, &error);
  return done(t, type, error);
}

API const struct mgc_type *mgc_type_array(const struct mgc_type *elem,
                                          size_t n) {
  struct thread *t = enter();
  int error = ENOMEM;
  const struct mgc_type *type =
      type_array(type_registry_default(), elem, n, &error);
  return done(t, type, error);
}

API const struct mgc_type *mgc_type_pointer(const struct mgc_type *elem) {
  struct thread *t = enter();
  int error = ENOMEM;
  const struct mgc_type *type =
      type_pointer(type_registry_default(), elem, &error);
  return done(t, type, error);
}

API const struct mgc_type *mgc_type_interface(const char *name,
                                              const struct mgc_imethod *methods,
                                              size_t nmethods) {
  struct thread *t = enter();
  int error = ENOMEM;
  const struct mgc_type *type =
      type_interface(type_registry_default(), name, methods, nmethods, &error);
  return done(t, type, error);
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
  return hashable(type_hash(type_registry_default(), t, p, seed, hash));
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
  struct itab_cache *c = type_registry_default()->itabs;
  const struct mgc_itab *tab = itab_peek(c, inter, type, &answer);
  if (!tab && answer == ITAB_NOT_CACHED) {
    struct thread *t = enter();
    tab = itab_get(c, inter, type, &answer);
    leave(t);
  }
  if (!tab) errno = answer == ITAB_NO_MEMORY ? ENOMEM : EINVAL;
  return tab;
}

API bool mgc_box(const struct mgc_type *type, const void *value, void **data) {
  bool ok =
      thread_get() && iface_box(type_registry_default(), type, value, data);
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
