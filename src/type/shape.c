// SPDX-License-Identifier: MIT
/* See shape.h. */
#include "type/shape.h"
#include "base/bits.h"
#include "base/fatal.h"
#include "type/ptrmask.h"
#include "type/xxh.h"
#include <string.h>

/* ---- equality ---- */

static bool records_equal(const struct mgc_type *a, const struct mgc_type *b) {
  const struct mgc_gcprog *p = type_prog(a), *q = type_prog(b);
  if (p->nfields != q->nfields) return false;
  const struct mgc_field *x = type_prog_fields(p), *y = type_prog_fields(q);
  for (size_t i = 0; i < p->nfields; i++)
    if (x[i].flags != y[i].flags || x[i].nsub != y[i].nsub ||
        x[i].offset != y[i].offset || x[i].size != y[i].size ||
        x[i].stride != y[i].stride)
      return false;
  return true;
}

/* Of types with the same ptrdata. Programs that say the same in other words are
 * told apart when the mask is large: then two types are taken for different,
 * which costs precision and nothing else. */
static bool masks_equal(const struct mgc_type *a, const struct mgc_type *b) {
  size_t n = type_mask_words(a);
  if ((a->kind & b->kind & MGC_KIND_GCPROG) && records_equal(a, b)) return true;
  if (n * 64 > TYPE_MASK_MAX_WORDS) return false;
  for (size_t i = 0; i < n; i++)
    if (type_mask_word(a, i) != type_mask_word(b, i)) return false;
  return true;
}

static bool methods_equal(const struct mgc_type *a, const struct mgc_type *b) {
  const struct mgc_interfacetail *x = type_interfacetail(a),
                                 *y = type_interfacetail(b);
  if (x->nmethods != y->nmethods) return false;
  for (size_t i = 0; i < x->nmethods; i++)
    if (strcmp(x->methods[i].name, y->methods[i].name) != 0) return false;
  return true;
}

bool shape_equal(const struct mgc_type *a, const struct mgc_type *b) {
  if (a == b) return true;
  if (a->size != b->size || a->ptrdata != b->ptrdata || a->align != b->align ||
      mgc_type_kind(a) != mgc_type_kind(b) ||
      !name_equal(type_name_of(a), type_name_of(b)))
    return false;
  switch (mgc_type_kind(a)) {
  case MGC_KIND_POINTER:
  case MGC_KIND_ARRAY:
  case MGC_KIND_SLICE: {
    const struct mgc_elemtail *x = type_elemtail(a), *y = type_elemtail(b);
    if (x->len != y->len) return false;
    return !x->elem || !y->elem || shape_equal(x->elem, y->elem);
  }
  case MGC_KIND_INTERFACE:
    return methods_equal(a, b);
  default:
    return masks_equal(a, b);
  }
}

/* ---- the table of canonical descriptors ---- */

/* Equal types have equal keys; descriptors of two makers may differ in hash. */
static uint64_t key_of(const struct mgc_type *t) {
  char name[TYPE_NAME_MAX + 1];
  size_t n = name_normalise(type_name_of(t), name);
  return XXH3_64bits_withSeed(
      name, n,
      MGC_TYPE_HASH(t->size, t->ptrdata, t->align, mgc_type_kind(t), 0));
}

const struct mgc_type *shape_find_locked(struct type_registry *r,
                                         const struct mgc_type *t) {
  const struct type_index *x = &r->canonical;
  if (x->capacity == 0) return NULL;
  size_t mask = x->capacity - 1, i = (size_t)key_of(t) & mask;
  for (; x->slots[i]; i = (i + 1) & mask)
    if (shape_equal(x->slots[i], t)) return x->slots[i];
  return NULL;
}

static void put(struct type_index *x, const struct mgc_type *t) {
  size_t mask = x->capacity - 1, i = (size_t)key_of(t) & mask;
  while (x->slots[i]) i = (i + 1) & mask;
  x->slots[i] = t;
  x->count++;
}

static bool insert(struct type_registry *r, const struct mgc_type *t) {
  struct type_index *x = &r->canonical;
  if (x->count * 2 >= x->capacity) {
    struct type_index grown = {.capacity = x->capacity ? 2 * x->capacity : 64};
    grown.slots = persistent_alloc(
        r->memory, grown.capacity * sizeof(struct mgc_type *), 0, r->stat);
    if (!grown.slots) return false;
    for (size_t i = 0; i < x->capacity; i++)
      if (x->slots[i]) put(&grown, x->slots[i]);
    *x = grown;
  }
  put(x, t);
  return true;
}

/* ---- building ---- */

static size_t tail_size(const struct mgc_type *t) {
  struct mgc_type bare = *t;
  bare.tflag &= (uint8_t)~MGC_TFLAG_UNCOMMON;
  return mgc_type_footprint(&bare) - sizeof(struct mgc_type);
}

static char *take_block(struct type_registry *r, size_t size) {
  if (!r->memory) return NULL;
  if (r->spare && r->spare_size >= size) {
    char *block = r->spare;
    r->spare = NULL;
    return block;
  }
  return persistent_alloc(r->memory, size, 16, r->stat);
}

static void fill_tail(struct shape_block *b, const struct shape_draft *d) {
  void *tail = b->type + 1;
  switch (d->type.kind & MGC_KIND_MASK) {
  case MGC_KIND_STRUCT: {
    struct mgc_structtail *s = tail;
    s->nfields = (uint32_t)d->nfields;
    if (d->nfields > 0)
      s->fields = (int32_t)((char *)b->fields - (char *)&s->fields);
    s->hash = d->hash;
    break;
  }
  case MGC_KIND_POINTER:
  case MGC_KIND_ARRAY:
  case MGC_KIND_SLICE:
    *(struct mgc_elemtail *)tail = d->elem;
    break;
  case MGC_KIND_INTERFACE:
    *(struct mgc_interfacetail *)tail =
        (struct mgc_interfacetail){b->methods, d->nmethods};
    break;
  default:
    break;
  }
}

static void fill_gcdata(struct shape_block *b, const struct shape_draft *d,
                        char *gcdata) {
  struct mgc_type *t = b->type;
  if (t->ptrdata == 0) return;
  t->gcdata = (const uint8_t *)gcdata;
  if (!d->prog) {
    if (d->mask) memcpy(gcdata, d->mask, type_mask_words(t) * sizeof(uint64_t));
    return;
  }
  t->kind |= MGC_KIND_GCPROG;
  t->tflag |= MGC_TFLAG_GCMASK_ONDEMAND;
  struct mgc_gcprog *prog = (struct mgc_gcprog *)(void *)gcdata;
  prog->nfields = (uint32_t)d->nfields;
  prog->fields = (int32_t)((char *)b->fields - (char *)&prog->fields);
}

struct shape_block shape_begin_locked(struct type_registry *r,
                                      const struct shape_draft *d) {
  const struct mgc_type *t = &d->type;
  bool pointer = t->kind == MGC_KIND_POINTER;
  size_t gcdata = sizeof(struct mgc_type) + tail_size(t);
  size_t fields = gcdata + (t->ptrdata == 0 ? 0
                            : d->prog       ? sizeof(struct mgc_gcprog)
                                      : type_mask_words(t) * sizeof(uint64_t));
  size_t methods = fields + d->nfields * sizeof(struct mgc_field);
  size_t names = methods + d->nmethods * sizeof(struct mgc_imethod);
  size_t size = names + name_record_size(d->name.n + 1) + d->strings;
  struct shape_block b = {.size = size};
  /* Offsets have 31 bits. */
  char *block = size > INT32_MAX ? NULL : take_block(r, size);
  if (!block) return b;
  b.type = (struct mgc_type *)(void *)block;
  b.fields = (struct mgc_field *)(void *)(block + fields);
  b.methods = (struct mgc_imethod *)(void *)(block + methods);
  b.strings = block + names;
  *b.type = *t;
  b.type->str = b.type->ptr_to_this = 0;
  b.type->tflag &= (uint8_t) ~(MGC_TFLAG_UNCOMMON | MGC_TFLAG_EXTRA_STAR);
  fill_gcdata(&b, d, block + gcdata);
  fill_tail(&b, d);
  if (d->name.n > 0) {
    if (!pointer) b.type->tflag |= MGC_TFLAG_NAMED | MGC_TFLAG_EXTRA_STAR;
    b.strings = name_write(b.strings, pointer ? 0 : '*', d->name, &b.type->str);
  }
  b.type->hash = MGC_TYPE_HASH(t->size, t->ptrdata, t->align,
                               mgc_type_kind(b.type), d->name.n);
  return b;
}

const struct mgc_type *shape_end_locked(struct type_registry *r,
                                        struct shape_block *b) {
  const struct mgc_type *t = shape_find_locked(r, b->type);
  if (!t && insert(r, b->type)) return b->type;
  /* A block that another kept out serves the next call. */
  memset(b->type, 0, b->size);
  if (!r->spare || r->spare_size < b->size) {
    r->spare = (char *)b->type;
    r->spare_size = b->size;
  }
  return t;
}

/* ---- copying ---- */

/* The element is made canonical too: its own module may go. */
static bool copy_elem(struct type_registry *r, const struct mgc_type *t,
                      struct shape_draft *d) MGC_REQUIRES(r->lock) {
  const struct mgc_type *elem = mgc_type_elem(t);
  if (!elem) return true;
  d->elem = *type_elemtail(t);
  d->elem.elem = shape_intern_locked(r, elem);
  return d->elem.elem != NULL;
}

/* The records to copy: a struct's fields, or the program of another kind. */
static const struct mgc_field *records_of(const struct mgc_type *t, size_t *n) {
  if (mgc_type_kind(t) == MGC_KIND_STRUCT) return mgc_type_fields(t, n);
  *n = 0;
  if (!(t->kind & MGC_KIND_GCPROG)) return NULL;
  *n = type_prog(t)->nfields;
  return type_prog_fields(type_prog(t));
}

static void copy_records(struct shape_block *b, const struct mgc_field *from,
                         size_t n) {
  for (size_t i = 0; i < n; i++) {
    struct type_name name = name_at(&from[i].name);
    b->fields[i] = from[i];
    b->fields[i].name = 0;
    if (name.n > 0)
      b->strings = name_write(b->strings, 0, name, &b->fields[i].name);
  }
}

static void copy_methods(struct shape_block *b,
                         const struct mgc_interfacetail *from) {
  for (size_t i = 0; i < from->nmethods; i++) {
    size_t n = strlen(from->methods[i].name) + 1;
    b->methods[i].name = memcpy(b->strings, from->methods[i].name, n);
    b->strings += n;
  }
}

/* Methods are code of their module, and so are hash and equal functions: a copy
 * has none of them, so that it cannot call what is unmapped. */
const struct mgc_type *shape_intern_locked(struct type_registry *r,
                                           const struct mgc_type *t) {
  const struct mgc_type *have = shape_find_locked(r, t);
  if (have) return have;
  struct shape_draft d = {.type = *t,
                          .name = type_name_of(t),
                          .prog = t->kind & MGC_KIND_GCPROG,
                          .mask = (const uint64_t *)(const void *)t->gcdata};
  d.type.kind &= MGC_KIND_MASK;
  d.type.equal = NULL;
  d.type.gcdata = NULL;
  if (!copy_elem(r, t, &d)) return NULL;
  const struct mgc_field *fields = records_of(t, &d.nfields);
  for (size_t i = 0; i < d.nfields; i++)
    d.strings += name_record_size(name_at(&fields[i].name).n);
  const struct mgc_interfacetail *inter = NULL;
  if (mgc_type_kind(t) == MGC_KIND_INTERFACE) {
    inter = type_interfacetail(t);
    d.nmethods = inter->nmethods;
    for (size_t i = 0; i < inter->nmethods; i++)
      d.strings += strlen(inter->methods[i].name) + 1;
  }
  struct shape_block b = shape_begin_locked(r, &d);
  if (!b.type) return NULL;
  copy_records(&b, fields, d.nfields);
  if (inter) copy_methods(&b, inter);
  return shape_end_locked(r, &b);
}
