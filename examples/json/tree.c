// SPDX-License-Identifier: MIT
/* Making values, looking at them, copying them. See node.h for the layout. */
#include "node.h"

/* What the collector must know: which words of each struct are pointers. */
MGC_TYPE(struct json_item, value);
MGC_TYPE(struct json_member, name, value);
MGC_TYPE(struct json_array, items);
MGC_TYPE(struct json_object, members);

static struct json null_value = {TAG_NULL};
static struct json false_value = {TAG_FALSE};
static struct json true_value = {TAG_TRUE};

struct json *json_null(void) {
  return &null_value;
}
struct json *json_bool(bool b) {
  return b ? &true_value : &false_value;
}

enum json_kind json_kind(const struct json *v) {
  if (!v) return JSON_MISSING;
  switch (v->tag) {
  case TAG_NULL:
    return JSON_NULL;
  case TAG_FALSE:
    return JSON_FALSE;
  case TAG_TRUE:
    return JSON_TRUE;
  case TAG_NUMBER:
    return JSON_NUMBER;
  case TAG_ARRAY:
    return JSON_ARRAY;
  case TAG_OBJECT:
    return JSON_OBJECT;
  default:
    return JSON_STRING;
  }
}

const char *json_kind_name(enum json_kind kind) {
  static const char *const names[] = {
      [JSON_MISSING] = "nothing", [JSON_STRING] = "string",
      [JSON_NULL] = "null",       [JSON_FALSE] = "false",
      [JSON_TRUE] = "true",       [JSON_NUMBER] = "number",
      [JSON_ARRAY] = "array",     [JSON_OBJECT] = "object",
  };
  return names[kind];
}

bool json_is_true(const struct json *v) { return v && v->tag == TAG_TRUE; }

const char *json_text(const struct json *v) {
  return v && v->tag < TAG_NULL ? (const char *)v : NULL;
}

/* ---- arrays and objects ---- */

static bool length_fits(size_t n) {
  if (n <= UINT32_MAX) return true;
  errno = ENOMEM;
  return false;
}

struct json_item *items_new(size_t n) {
  return mgc_mallocgc(n * sizeof(struct json_item),
                      mgc_typeof(struct json_item), true);
}

struct json_member *members_new(size_t n) {
  return mgc_mallocgc(n * sizeof(struct json_member),
                      mgc_typeof(struct json_member), true);
}

struct json_array *array_new(size_t n) {
  if (!length_fits(n)) return NULL;
  struct json_array *a = mgc_new(struct json_array);
  if (!a) return NULL;
  a->tag = TAG_ARRAY;
  a->len = (uint32_t)n;
  if (n == 0) return a;
  a->items = items_new(n);
  return a->items ? a : NULL;
}

struct json_object *object_new(size_t n) {
  if (!length_fits(n)) return NULL;
  struct json_object *o = mgc_new(struct json_object);
  if (!o) return NULL;
  o->tag = TAG_OBJECT;
  o->len = (uint32_t)n;
  if (n == 0) return o;
  o->members = members_new(n);
  return o->members ? o : NULL;
}

struct json *json_array(void) {
  return (struct json *)array_new(0);
}
struct json *json_object(void) {
  return (struct json *)object_new(0);
}

size_t json_length(const struct json *v) {
  const struct json_array *a = as_array(v);
  if (a) return a->len;
  const struct json_object *o = as_object(v);
  return o ? o->len : 0;
}

struct json *json_at(const struct json *v, size_t i) {
  const struct json_array *a = as_array(v);
  if (a) return i < a->len ? a->items[i].value : NULL;
  const struct json_object *o = as_object(v);
  return o && i < o->len ? o->members[i].value : NULL;
}

const char *json_name_at(const struct json *v, size_t i) {
  const struct json_object *o = as_object(v);
  return o && i < o->len ? o->members[i].name : NULL;
}

struct json *json_get(const struct json *v, const char *name) {
  const struct json_object *o = as_object(v);
  if (!o) return NULL;
  for (size_t i = o->len; i-- > 0;) {
    if (strcmp(o->members[i].name, name) == 0) return o->members[i].value;
  }
  return NULL;
}

/* ---- copying ---- */

static struct json *copy(const struct json *v, unsigned depth);

static struct json *copy_array(const struct json_array *from, unsigned depth) {
  struct json_array *to = array_new(from->len);
  if (!to) return NULL;
  for (uint32_t i = 0; i < from->len; i++) {
    to->items[i].value = copy(from->items[i].value, depth);
    if (!to->items[i].value) return NULL;
  }
  return (struct json *)to;
}

static struct json *copy_object(const struct json_object *from,
                                unsigned depth) {
  struct json_object *to = object_new(from->len);
  if (!to) return NULL;
  for (uint32_t i = 0; i < from->len; i++) {
    to->members[i].name = from->members[i].name;
    to->members[i].value = copy(from->members[i].value, depth);
    if (!to->members[i].value) return NULL;
  }
  return (struct json *)to;
}

static struct json *copy(const struct json *v, unsigned depth) {
  if (v->tag != TAG_ARRAY && v->tag != TAG_OBJECT) {
    return (struct json *)(uintptr_t)v;
  }
  if (depth == JSON_DEPTH_MAX) {
    errno = ELOOP;
    return NULL;
  }
  return v->tag == TAG_ARRAY ? copy_array(as_array(v), depth + 1)
                             : copy_object(as_object(v), depth + 1);
}

struct json *json_copy(const struct json *v) {
  if (!v) {
    errno = EINVAL;
    return NULL;
  }
  return copy(v, 0);
}
