// SPDX-License-Identifier: MIT
/* Types made at run time, for language runtimes that know their types late. */
#include "base/bits.h"
#include "base/print.h"
#include "type/ptrmask.h"
#include "type/shape.h"
#include "type/type.h"
#include <errno.h>
#include <string.h>

/* nsub has 16 bits. */
#define MAX_RECORDS 65535

static struct type_name name_of(const char *s) {
  return (struct type_name){s ? s : "", s ? strlen(s) : 0};
}

static const struct mgc_type *fail(int *error, int code) {
  *error = code;
  return NULL;
}

static bool good_layout(struct type_name name, size_t size, size_t align) {
  return is_pow2(align) && align <= 128 && size % align == 0 &&
         size <= PTRDIFF_MAX && name.n <= TYPE_NAME_MAX;
}

static const struct mgc_type *end_or_nomem(struct type_registry *r,
                                           struct shape_block *b, int *error)
    MGC_REQUIRES(r->lock) {
  const struct mgc_type *t = shape_end_locked(r, b);
  return t ? t : fail(error, ENOMEM);
}

/* ---- from a mask ---- */

/* 1 + the last set bit of the first nwords. */
static size_t mask_length(const uint8_t *mask, size_t nwords) {
  while (nwords > 0 && !(mask[(nwords - 1) / 8] >> (nwords - 1) % 8 & 1))
    nwords--;
  return nwords;
}

const struct mgc_type *type_make(struct type_registry *r, const char *name,
                                 size_t size, size_t align, const uint8_t *mask,
                                 size_t nwords, int *error) {
  struct shape_draft d = {.name = name_of(name)};
  size_t words = mask ? mask_length(mask, nwords) : 0;
  if (!good_layout(d.name, size, align) || words > size / PTR_BYTES ||
      (words > 0 && align < PTR_BYTES))
    return fail(error, EINVAL);
  d.type = (struct mgc_type){.size = size,
                             .ptrdata = words * PTR_BYTES,
                             .align = (uint8_t)align,
                             .field_align = (uint8_t)align,
                             .kind = MGC_KIND_STRUCT};
  mutex_lock(&r->lock);
  struct shape_block b = shape_begin_locked(r, &d);
  const struct mgc_type *t = NULL;
  if (b.type) {
    uint8_t *bits = (uint8_t *)(uintptr_t)b.type->gcdata;
    if (words > 0) memcpy(bits, mask, div_round_up(words, 8));
    if (words % 8) bits[words / 8] &= (uint8_t)low_mask64(words % 8);
    t = shape_end_locked(r, &b);
  }
  mutex_unlock(&r->lock);
  return t ? t : fail(error, ENOMEM);
}

/* ---- the pointer words of a type as records ---- */

/* Appends the runs of a bit mask as POINTER records. out NULL: only counts. */
static size_t runs_of(const struct mgc_type *t, struct mgc_field *out) {
  size_t n = 0, words = t->ptrdata / PTR_BYTES;
  for (size_t i = 0; i < words;) {
    uint64_t bits = type_mask_word(t, i / 64) >> i % 64;
    if (bits == 0) {
      i = (i / 64 + 1) * 64;
      continue;
    }
    size_t begin = i + ctz64(bits), end = begin;
    while (end < words && (type_mask_word(t, end / 64) >> end % 64 & 1)) end++;
    if (out)
      out[n] = (struct mgc_field){.flags = MGC_FIELD_POINTER,
                                  .offset = begin * PTR_BYTES,
                                  .size = (end - begin) * PTR_BYTES};
    n++;
    i = end;
  }
  return n;
}

/* Records of the pointer words of one value; out NULL: only counts. */
static size_t records_of(const struct mgc_type *t, struct mgc_field *out) {
  if (!(t->kind & MGC_KIND_GCPROG)) return runs_of(t, out);
  const struct mgc_gcprog *prog = type_prog(t);
  const struct mgc_field *from = type_prog_fields(prog);
  for (size_t i = 0; out && i < prog->nfields; i++) {
    out[i] = from[i];
    out[i].name = 0;
  }
  return prog->nfields;
}

static bool is_all_pointers(const struct mgc_type *t) {
  if (t->ptrdata == 0 || t->ptrdata != t->size) return false;
  struct mgc_field run[1];
  if (records_of(t, NULL) != 1) return false;
  records_of(t, run);
  return (run[0].flags & MGC_FIELD_POINTER) && run[0].size == t->size;
}

/* Describes n values of t at offset in one record and, behind it, the records
 * of a value where they are needed. out NULL: only counts. */
static size_t describe(const struct mgc_type *t, size_t n, size_t offset,
                       struct mgc_field *out) {
  bool all = is_all_pointers(t);
  size_t sub = all ? 0 : records_of(t, out ? out + 1 : NULL);
  if (out)
    out[0] = (struct mgc_field){.flags = all   ? MGC_FIELD_POINTER
                                         : sub ? MGC_FIELD_EACH
                                               : 0,
                                .kind = n == 1 ? (uint8_t)mgc_type_kind(t)
                                               : MGC_KIND_ARRAY,
                                .nsub = (uint16_t)sub,
                                .offset = offset,
                                .size = n * t->size,
                                .stride = sub ? t->size : 0,
                                .type = t};
  return 1 + sub;
}

/* ---- arrays and pointers ---- */

static struct type_name array_name(const struct mgc_type *elem, size_t n,
                                   char buf[TYPE_NAME_MAX + 32]) {
  struct type_name name = type_name_of(elem);
  if (name.n == 0) return name;
  size_t len = print_format(buf, TYPE_NAME_MAX + 32, "%s[%zu]", name.s, n);
  return (struct type_name){buf, len > TYPE_NAME_MAX ? 0 : len};
}

const struct mgc_type *type_array(struct type_registry *r,
                                  const struct mgc_type *elem, size_t n,
                                  int *error) {
  size_t size;
  if (__builtin_mul_overflow(elem->size, n, &size) || size > PTRDIFF_MAX)
    return fail(error, ENOMEM);
  char buf[TYPE_NAME_MAX + 32];
  struct shape_draft d = {.name = array_name(elem, n, buf)};
  d.type = (struct mgc_type){
      .size = size,
      .tflag = elem->tflag & MGC_TFLAG_REGULAR_MEMORY,
      .align = elem->align,
      .field_align = elem->field_align,
      .kind = MGC_KIND_ARRAY,
  };
  d.elem = (struct mgc_elemtail){elem, n};
  uint64_t mask = 0;
  if (n > 0 && elem->ptrdata > 0) {
    d.type.ptrdata = size - elem->size + elem->ptrdata;
    d.prog = !type_is_small(&d.type);
    mask = type_tiled_mask(elem, 0) &
           low_mask64((unsigned)(d.prog ? 0 : d.type.ptrdata / PTR_BYTES));
    d.mask = &mask;
    if (d.prog) d.nfields = describe(elem, n, 0, NULL);
    if (d.nfields > MAX_RECORDS) return fail(error, EINVAL);
  }
  mutex_lock(&r->lock);
  struct shape_block b = shape_begin_locked(r, &d);
  if (b.type && d.prog) describe(elem, n, 0, b.fields);
  const struct mgc_type *t = b.type ? end_or_nomem(r, &b, error) : NULL;
  mutex_unlock(&r->lock);
  return b.type ? t : fail(error, ENOMEM);
}

const struct mgc_type *type_pointer(struct type_registry *r,
                                    const struct mgc_type *elem, int *error) {
  if (elem->ptr_to_this)
    return (const struct mgc_type *)(const void *)((const char *)&elem
                                                       ->ptr_to_this +
                                                   elem->ptr_to_this);
  char buf[TYPE_NAME_MAX + 32];
  size_t len = print_format(buf, sizeof(buf), "*%s", type_name_of(elem).s);
  uint64_t mask = 1;
  struct shape_draft d = {
      .name = {buf, len > TYPE_NAME_MAX ? 0 : len},
      .mask = &mask,
      .elem = {elem, 0},
      .type = {.size = PTR_BYTES,
               .ptrdata = PTR_BYTES,
               .align = PTR_BYTES,
               .field_align = PTR_BYTES,
               .tflag = MGC_TFLAG_REGULAR_MEMORY | MGC_TFLAG_DIRECT_IFACE,
               .kind = MGC_KIND_POINTER}};
  mutex_lock(&r->lock);
  struct shape_block b = shape_begin_locked(r, &d);
  const struct mgc_type *t = b.type ? end_or_nomem(r, &b, error) : NULL;
  mutex_unlock(&r->lock);
  return b.type ? t : fail(error, ENOMEM);
}

/* ---- structs ---- */

static bool good_field(const struct mgc_structfield *f, size_t size,
                       size_t align) {
  const struct mgc_type *t = f->type;
  return t && t->align <= align && f->offset % t->align == 0 &&
         t->size <= size && f->offset <= size - t->size &&
         (!f->name || strlen(f->name) <= TYPE_NAME_MAX);
}

/* Fields side by side in order, each regular: the whole is regular. */
static bool is_regular(const struct mgc_structfield *f, size_t n, size_t size) {
  size_t at = 0;
  for (size_t i = 0; i < n; i++) {
    if (f[i].offset != at || !(f[i].type->tflag & MGC_TFLAG_REGULAR_MEMORY))
      return false;
    at += f[i].type->size;
  }
  return at == size;
}

static bool is_direct(const struct mgc_structfield *f, size_t n, size_t size) {
  return n == 1 && size == PTR_BYTES &&
         (f[0].type->tflag & MGC_TFLAG_DIRECT_IFACE);
}

static void fill_fields(struct shape_block *b,
                        const struct mgc_structfield *fields, size_t n) {
  struct mgc_field *out = b->fields;
  for (size_t i = 0; i < n; i++) {
    size_t used = describe(fields[i].type, 1, fields[i].offset, out);
    struct type_name name = name_of(fields[i].name);
    if (name.n > 0) b->strings = name_write(b->strings, 0, name, &out->name);
    out += used;
  }
}

/* Sums up the fields in d. 0, or an error code. */
static int add_fields(struct shape_draft *d, uint64_t *mask,
                      const struct mgc_structfield *fields, size_t n) {
  struct mgc_type *t = &d->type;
  for (size_t i = 0; i < n; i++) {
    const struct mgc_type *ft = fields[i].type;
    if (!good_field(&fields[i], t->size, t->align)) return EINVAL;
    d->nfields += describe(ft, 1, 0, NULL);
    if (d->nfields > MAX_RECORDS) return EINVAL;
    d->strings += name_record_size(name_of(fields[i].name).n);
    if (ft->ptrdata > 0 && fields[i].offset + ft->ptrdata > t->ptrdata)
      t->ptrdata = fields[i].offset + ft->ptrdata;
  }
  d->prog = !type_is_small(t);
  for (size_t i = 0; i < n && !d->prog; i++)
    *mask |= type_mask_word(fields[i].type, 0)
             << (fields[i].offset / PTR_BYTES % 64);
  return 0;
}

const struct mgc_type *type_struct(struct type_registry *r, const char *name,
                                   size_t size, size_t align,
                                   const struct mgc_structfield *fields,
                                   size_t nfields, int *error) {
  uint64_t mask = 0;
  struct shape_draft d = {.name = name_of(name), .mask = &mask};
  if (!good_layout(d.name, size, align)) return fail(error, EINVAL);
  d.type = (struct mgc_type){.size = size,
                             .align = (uint8_t)align,
                             .field_align = (uint8_t)align,
                             .kind = MGC_KIND_STRUCT};
  *error = add_fields(&d, &mask, fields, nfields);
  if (*error) return NULL;
  if (is_regular(fields, nfields, size))
    d.type.tflag |= MGC_TFLAG_REGULAR_MEMORY;
  if (is_direct(fields, nfields, size)) d.type.tflag |= MGC_TFLAG_DIRECT_IFACE;
  mutex_lock(&r->lock);
  struct shape_block b = shape_begin_locked(r, &d);
  if (b.type) fill_fields(&b, fields, nfields);
  const struct mgc_type *t = b.type ? end_or_nomem(r, &b, error) : NULL;
  mutex_unlock(&r->lock);
  return b.type ? t : fail(error, ENOMEM);
}

/* ---- interfaces ---- */

const struct mgc_type *type_interface(struct type_registry *r, const char *name,
                                      const struct mgc_imethod *methods,
                                      size_t nmethods, int *error) {
  /* The first word is a type or an itab, which the heap does not hold. */
  uint64_t mask = 2;
  struct shape_draft d = {.name = name_of(name),
                          .mask = &mask,
                          .nmethods = nmethods,
                          .type = {.size = 2 * PTR_BYTES,
                                   .ptrdata = 2 * PTR_BYTES,
                                   .align = PTR_BYTES,
                                   .field_align = PTR_BYTES,
                                   .kind = MGC_KIND_INTERFACE}};
  if (d.name.n > TYPE_NAME_MAX) return fail(error, EINVAL);
  for (size_t i = 0; i < nmethods; i++)
    d.strings += strlen(methods[i].name) + 1;
  mutex_lock(&r->lock);
  struct shape_block b = shape_begin_locked(r, &d);
  for (size_t i = 0; b.type && i < nmethods; i++) {
    size_t n = strlen(methods[i].name) + 1;
    b.methods[i].name = memcpy(b.strings, methods[i].name, n);
    b.strings += n;
  }
  const struct mgc_type *t = b.type ? end_or_nomem(r, &b, error) : NULL;
  mutex_unlock(&r->lock);
  return b.type ? t : fail(error, ENOMEM);
}
