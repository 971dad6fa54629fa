// SPDX-License-Identifier: MIT
/* See typelist.h. */
#include "typelist.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a reader is in the middle of. */
struct reader {
  struct type_list *list;
  size_t capacity;
  char *error;
  size_t error_size;
};

__attribute__((format(printf, 3, 4))) static bool
damaged(struct reader *r, uint64_t addr, const char *format, ...) {
  char what[128];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof(what), format, args);
  va_end(args);
  snprintf(r->error, r->error_size, "damaged type descriptor at 0x%llx: %s",
           (unsigned long long)addr, what);
  return false;
}

/* The name at a place-relative offset: a uleb128 length, the bytes, a NUL. */
static const char *read_name(struct reader *r, uint64_t place, int32_t offset) {
  if (offset == 0) return "";
  uint64_t addr = place + (uint64_t)(int64_t)offset;
  for (;;) {
    const uint8_t *byte = elfimage_at(r->list->image, addr++, 1);
    if (!byte) return NULL;
    if (!(*byte & 0x80)) break;
  }
  return elfimage_string(r->list->image, addr);
}

static bool read_field(struct reader *r, uint64_t addr, size_t following,
                       struct listed_field *out) {
  struct mgc_field f;
  const void *bytes = elfimage_at(r->list->image, addr, sizeof(f));
  if (!bytes) return damaged(r, addr, "a field record is outside the file");
  memcpy(&f, bytes, sizeof(f));
  out->name = read_name(r, addr + offsetof(struct mgc_field, name), f.name);
  if (!out->name) return damaged(r, addr, "a field's name is outside the file");
  out->offset = f.offset;
  out->size = f.size;
  out->stride = f.flags & MGC_FIELD_EACH ? f.stride : 0;
  out->kind = f.kind & MGC_KIND_MASK;
  out->pointer = f.flags & MGC_FIELD_POINTER;
  out->nsub = f.nsub;
  if (f.nsub > following) return damaged(r, addr, "a group has no end");
  if ((f.flags & MGC_FIELD_EACH) && f.stride == 0) {
    return damaged(r, addr, "elements of size 0");
  }
  return true;
}

static bool read_fields(struct reader *r, uint64_t tail_addr,
                        struct listed_type *t) {
  struct mgc_structtail tail;
  const void *bytes = elfimage_at(r->list->image, tail_addr, sizeof(tail));
  if (!bytes) return damaged(r, tail_addr, "it is cut off");
  memcpy(&tail, bytes, sizeof(tail));
  if (tail.nfields == 0) return true;

  uint64_t first = tail_addr + offsetof(struct mgc_structtail, fields) +
                   (uint64_t)(int64_t)tail.fields;
  uint64_t size = (uint64_t)tail.nfields * sizeof(struct mgc_field);
  if (!elfimage_at(r->list->image, first, size)) {
    return damaged(r, tail_addr, "its fields are outside the file");
  }
  t->fields = calloc(tail.nfields, sizeof(*t->fields));
  if (!t->fields) return damaged(r, tail_addr, "out of memory");
  t->nfields = tail.nfields;
  for (size_t i = 0; i < t->nfields; i++) {
    if (!read_field(r, first + i * sizeof(struct mgc_field), t->nfields - i - 1,
                    &t->fields[i])) {
      return false;
    }
  }
  return true;
}

static bool read_mask(struct reader *r, uint64_t addr, struct listed_type *t) {
  uint64_t gcdata;
  memcpy(&gcdata, (const char *)&t->desc + offsetof(struct mgc_type, gcdata),
         sizeof(gcdata));
  if (t->desc.ptrdata == 0 || (t->desc.kind & MGC_KIND_GCPROG)) return true;
  if (t->desc.ptrdata > t->desc.size) {
    return damaged(r, addr, "ptrdata is more than the size");
  }
  uint64_t bytes = (t->desc.ptrdata / 8 + 7) / 8;
  t->mask = elfimage_at(r->list->image, gcdata, bytes);
  return t->mask ? true : damaged(r, addr, "gcdata is outside the file");
}

static struct listed_type *append(struct reader *r) {
  struct type_list *list = r->list;
  if (list->ntypes == r->capacity) {
    size_t capacity = r->capacity ? 2 * r->capacity : 16;
    void *types = realloc(list->types, capacity * sizeof(*list->types));
    if (!types) return NULL;
    list->types = types;
    r->capacity = capacity;
  }
  struct listed_type *t = &list->types[list->ntypes++];
  memset(t, 0, sizeof(*t));
  return t;
}

/* Reads the descriptor at addr; *next is where the following one stands. */
static bool read_type(struct reader *r, uint64_t addr, uint64_t *next) {
  const void *bytes =
      elfimage_at(r->list->image, addr, sizeof(struct mgc_type));
  if (!bytes) return damaged(r, addr, "it is cut off");
  struct listed_type *t = append(r);
  if (!t) return damaged(r, addr, "out of memory");
  memcpy(&t->desc, bytes, sizeof(t->desc));
  *next = addr + mgc_type_footprint(&t->desc);

  t->name = read_name(r, addr + offsetof(struct mgc_type, str), t->desc.str);
  if (!t->name) return damaged(r, addr, "its name is outside the file");
  if ((t->desc.tflag & MGC_TFLAG_EXTRA_STAR) && t->name[0] == '*') t->name++;
  if (!read_mask(r, addr, t)) return false;
  if (mgc_type_kind(&t->desc) != MGC_KIND_STRUCT) return true;
  return read_fields(r, addr + sizeof(struct mgc_type), t);
}

static int compare(const void *a, const void *b) {
  const struct listed_type *s = a, *t = b;
  int order = strcmp(s->name, t->name);
  if (order) return order;
  if (s->desc.size != t->desc.size) return s->desc.size < t->desc.size ? -1 : 1;
  if (s->desc.hash != t->desc.hash) return s->desc.hash < t->desc.hash ? -1 : 1;
  return 0;
}

static bool same_fields(const struct listed_type *s,
                        const struct listed_type *t) {
  if (s->nfields != t->nfields) return false;
  for (size_t i = 0; i < s->nfields; i++) {
    const struct listed_field *f = &s->fields[i], *g = &t->fields[i];
    if (strcmp(f->name, g->name) != 0 || f->offset != g->offset ||
        f->size != g->size || f->stride != g->stride || f->kind != g->kind ||
        f->pointer != g->pointer || f->nsub != g->nsub) {
      return false;
    }
  }
  return true;
}

static bool same_type(const struct listed_type *s,
                      const struct listed_type *t) {
  if (compare(s, t) != 0 || s->desc.ptrdata != t->desc.ptrdata ||
      s->desc.kind != t->desc.kind || s->desc.align != t->desc.align ||
      s->desc.tflag != t->desc.tflag || !s->mask != !t->mask) {
    return false;
  }
  size_t mask_bytes = (t->desc.ptrdata / 8 + 7) / 8;
  if (s->mask && memcmp(s->mask, t->mask, mask_bytes) != 0) return false;
  return same_fields(s, t);
}

/* A type declared in several translation units is listed once. */
static void sort_and_unify(struct type_list *list) {
  if (list->ntypes == 0) return;
  qsort(list->types, list->ntypes, sizeof(*list->types), compare);
  size_t kept = 1;
  for (size_t i = 1; i < list->ntypes; i++) {
    if (same_type(&list->types[kept - 1], &list->types[i])) {
      free(list->types[i].fields);
    } else {
      list->types[kept++] = list->types[i];
    }
  }
  list->ntypes = kept;
}

bool type_list_read(struct type_list *list, const char *path, char *error,
                    size_t n) {
  struct reader r = {.list = list, .error = error, .error_size = n};
  memset(list, 0, sizeof(*list));
  list->image = elfimage_open(path, error, n);
  if (!list->image) return false;

  uint64_t addr, size;
  if (!elfimage_section(list->image, "mgc_types", &addr, &size)) return true;
  uint64_t end = addr + size;
  while (addr < end) {
    if (!read_type(&r, addr, &addr)) {
      type_list_free(list);
      return false;
    }
  }
  sort_and_unify(list);
  return true;
}

void type_list_free(struct type_list *list) {
  for (size_t i = 0; i < list->ntypes; i++) free(list->types[i].fields);
  free(list->types);
  elfimage_close(list->image);
  memset(list, 0, sizeof(*list));
}

/* Asks the n fields from f on about the word at byte `at` of what they are
 * relative to. */
static bool fields_say_pointer(const struct listed_field *f, size_t n,
                               uint64_t at) {
  for (size_t i = 0; i < n; i += 1 + f[i].nsub) {
    if (at < f[i].offset || at - f[i].offset >= f[i].size) continue;
    if (f[i].pointer) return true;
    if (f[i].stride && fields_say_pointer(&f[i + 1], f[i].nsub,
                                          (at - f[i].offset) % f[i].stride)) {
      return true;
    }
  }
  return false;
}

bool listed_type_is_pointer(const struct listed_type *t, uint64_t w) {
  if (w >= t->desc.ptrdata / 8) return false;
  if (t->mask) return t->mask[w / 8] >> (w % 8) & 1;
  return fields_say_pointer(t->fields, t->nfields, w * 8);
}
