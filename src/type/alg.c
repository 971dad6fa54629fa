// SPDX-License-Identifier: MIT
/*
 * typeAlg: hash and equality of values by their type (Go: alg.go).
 *
 * Regular memory is hashed by XXH3 under the caller's seed and compared by
 * memcmp. What is not regular: floating point (+0 equals -0 and must hash alike;
 * a NaN equals nothing, so each hash of one is another number, or a table full
 * of NaNs would be one chain), strings (by what they point to), interfaces (by
 * the value inside, under its dynamic type), and arrays and structs that hold
 * such. Composite values chain: the hash of one part seeds the next.
 *
 * Depth: interfaces in interfaces recur; a C program makes no cycle of them,
 * since what an interface points to is not written after boxing.
 */
#include "type/alg.h"
#include "base/bits.h"
#include "mallocgc/iface.h"
#include "type/shape.h"
#include "type/type.h"
#include "type/xxh.h"
#include <string.h>

/* ---- equality ---- */

#define MEMEQUAL(bits)                                                         \
  __attribute__((visibility("default"), used)) bool mgc_memequal##bits(        \
      const void *a, const void *b) {                                          \
    return memcmp(a, b, (bits) / 8) == 0;                                      \
  }
MEMEQUAL(8)
MEMEQUAL(16)
MEMEQUAL(32)
MEMEQUAL(64)
MEMEQUAL(128)

__attribute__((used)) bool type_equal_f32(const void *a, const void *b) {
  return *(const float *)a == *(const float *)b;
}
__attribute__((used)) bool type_equal_f64(const void *a, const void *b) {
  return *(const double *)a == *(const double *)b;
}
__attribute__((used)) bool type_equal_c64(const void *a, const void *b) {
  const float *x = a, *y = b;
  return x[0] == y[0] && x[1] == y[1];
}
__attribute__((used)) bool type_equal_c128(const void *a, const void *b) {
  const double *x = a, *y = b;
  return x[0] == y[0] && x[1] == y[1];
}
__attribute__((used)) bool type_equal_string(const void *a, const void *b) {
  const struct mgc_string *x = a, *y = b;
  return x->len == y->len &&
         (x->len == 0 || memcmp(x->ptr, y->ptr, x->len) == 0);
}

static enum mgc_equality verdict(bool equal) {
  return equal ? MGC_EQUAL : MGC_NOT_EQUAL;
}

/* A value in an interface, whichever kind of interface it is. */
static struct mgc_eface load_interface(const struct mgc_type *t,
                                       const void *p) {
  if (type_interfacetail(t)->nmethods == 0) return *(const struct mgc_eface *)p;
  const struct mgc_iface *i = p;
  return (struct mgc_eface){i->tab ? i->tab->type : NULL, i->data};
}

static enum mgc_equality equal_efaces(const struct mgc_eface *a,
                                      const struct mgc_eface *b) {
  if (!a->type || !b->type) return verdict(a->type == b->type);
  if (!shape_equal(a->type, b->type)) return MGC_NOT_EQUAL;
  return type_equal_values(a->type, mgc_eface_value(a), mgc_eface_value(b));
}

static enum mgc_equality equal_array(const struct mgc_type *t, const char *p,
                                     const char *q) {
  const struct mgc_elemtail *tail = type_elemtail(t);
  if (!tail->elem) return MGC_NOT_COMPARABLE;
  size_t size = tail->elem->size;
  for (size_t i = 0; i < tail->len; i++) {
    enum mgc_equality e =
        type_equal_values(tail->elem, p + i * size, q + i * size);
    if (e != MGC_EQUAL) return e;
  }
  return MGC_EQUAL;
}

/* The next field at the outer level that has a type; NULL at the end. False at
 * *known when a field's type is not known, or there are no fields to go by. */
static const struct mgc_field *next_field(const struct mgc_type *t, size_t *i,
                                          bool *known) {
  size_t n;
  const struct mgc_field *f = mgc_type_fields(t, &n);
  *known = n > 0 || t->size == 0;
  if (*i >= n) return NULL;
  f += *i;
  *known = f->type != NULL;
  *i += 1 + (size_t)f->nsub;
  return *known ? f : NULL;
}

static enum mgc_equality equal_struct(const struct mgc_type *t, const char *p,
                                      const char *q) {
  bool known;
  size_t i = 0;
  for (const struct mgc_field *f; (f = next_field(t, &i, &known));) {
    enum mgc_equality e =
        type_equal_values(f->type, p + f->offset, q + f->offset);
    if (e != MGC_EQUAL) return e;
  }
  return known ? MGC_EQUAL : MGC_NOT_COMPARABLE;
}

enum mgc_equality type_equal_values(const struct mgc_type *t, const void *p,
                                    const void *q) {
  if (t->equal) return verdict(t->equal(p, q));
  if (t->tflag & MGC_TFLAG_REGULAR_MEMORY)
    return verdict(memcmp(p, q, t->size) == 0);
  switch (mgc_type_kind(t)) {
  case MGC_KIND_FLOAT32:
    return verdict(type_equal_f32(p, q));
  case MGC_KIND_FLOAT64:
    return verdict(type_equal_f64(p, q));
  case MGC_KIND_COMPLEX64:
    return verdict(type_equal_c64(p, q));
  case MGC_KIND_COMPLEX128:
    return verdict(type_equal_c128(p, q));
  case MGC_KIND_STRING:
    return verdict(type_equal_string(p, q));
  case MGC_KIND_INTERFACE: {
    struct mgc_eface a = load_interface(t, p), b = load_interface(t, q);
    return equal_efaces(&a, &b);
  }
  case MGC_KIND_ARRAY:
    return equal_array(t, p, q);
  case MGC_KIND_STRUCT:
    return equal_struct(t, p, q);
  default:
    return MGC_NOT_COMPARABLE;
  }
}

/* ---- hash ---- */

/* A number that never comes again: a bijection of a counter. */
static uint64_t fresh(struct type_registry *r) {
  uint64_t z = atomic_u64_fetch_add_relaxed(&r->nan_hashes, 1);
  return XXH3_64bits(&z, sizeof(z));
}

static uint64_t hash_double(struct type_registry *r, double d, uint64_t seed) {
  if (d != d) return fresh(r);
  if (d == 0) d = 0; /* -0 too */
  return XXH3_64bits_withSeed(&d, sizeof(d), seed);
}

static bool hash_interface(struct type_registry *r, const struct mgc_type *t,
                           const void *p, uint64_t seed, uint64_t *hash) {
  struct mgc_eface e = load_interface(t, p);
  *hash = XXH3_64bits_withSeed("", 0, seed);
  return !e.type || type_hash(r, e.type, mgc_eface_value(&e), seed, hash);
}

static bool hash_array(struct type_registry *r, const struct mgc_type *t,
                       const char *p, uint64_t seed, uint64_t *hash) {
  const struct mgc_elemtail *tail = type_elemtail(t);
  if (!tail->elem) return false;
  *hash = XXH3_64bits_withSeed("", 0, seed);
  for (size_t i = 0; i < tail->len; i++)
    if (!type_hash(r, tail->elem, p + i * tail->elem->size, *hash, hash))
      return false;
  return true;
}

static bool hash_struct(struct type_registry *r, const struct mgc_type *t,
                        const char *p, uint64_t seed, uint64_t *hash) {
  const struct mgc_structtail *tail = type_structtail(t);
  if (tail->hash) {
    *hash = tail->hash(p, seed);
    return true;
  }
  bool known;
  size_t i = 0;
  *hash = XXH3_64bits_withSeed("", 0, seed);
  for (const struct mgc_field *f; (f = next_field(t, &i, &known));)
    if (!type_hash(r, f->type, p + f->offset, *hash, hash)) return false;
  return known;
}

static bool hash_value(struct type_registry *r, const struct mgc_type *t,
                       const void *p, uint64_t seed, uint64_t *hash) {
  if (t->tflag & MGC_TFLAG_REGULAR_MEMORY) {
    *hash = XXH3_64bits_withSeed(p, t->size, seed);
    return true;
  }
  switch (mgc_type_kind(t)) {
  case MGC_KIND_FLOAT32:
    *hash = hash_double(r, (double)*(const float *)p, seed);
    return true;
  case MGC_KIND_FLOAT64:
    *hash = hash_double(r, *(const double *)p, seed);
    return true;
  case MGC_KIND_COMPLEX64: {
    const float *c = p;
    *hash = hash_double(r, (double)c[1], hash_double(r, (double)c[0], seed));
    return true;
  }
  case MGC_KIND_COMPLEX128: {
    const double *c = p;
    *hash = hash_double(r, c[1], hash_double(r, c[0], seed));
    return true;
  }
  case MGC_KIND_STRING: {
    const struct mgc_string *s = p;
    *hash = XXH3_64bits_withSeed(s->ptr, s->len, seed);
    return true;
  }
  case MGC_KIND_INTERFACE:
    return hash_interface(r, t, p, seed, hash);
  case MGC_KIND_ARRAY:
    return hash_array(r, t, p, seed, hash);
  case MGC_KIND_STRUCT:
    return hash_struct(r, t, p, seed, hash);
  default:
    return false;
  }
}

bool type_hash(struct type_registry *r, const struct mgc_type *t, const void *p,
               uint64_t seed, uint64_t *hash) {
  bool ok = hash_value(r, t, p, seed, hash);
  if (!ok) *hash = 0;
  return ok;
}
