// SPDX-License-Identifier: MIT
/* Equality of values. */
#include "node.h"

#include <stdlib.h>

static bool equal(const struct json *a, const struct json *b, unsigned depth);

static bool equal_arrays(const struct json_array *a, const struct json_array *b,
                         unsigned depth) {
  if (a->len != b->len) return false;
  for (uint32_t i = 0; i < a->len; i++) {
    if (!equal(a->items[i].value, b->items[i].value, depth)) return false;
  }
  return true;
}

static bool same_names(const struct json_member *a, const struct json_member *b,
                       uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    if (strcmp(a[i].name, b[i].name) != 0) return false;
  }
  return true;
}

/* Sorting pointers keeps members of one name in their order. */
struct json_place {
  const struct json_member *member;
};
MGC_TYPE(struct json_place, member);

static int by_name(const void *x, const void *y) {
  const struct json_member *a = ((const struct json_place *)x)->member;
  const struct json_member *b = ((const struct json_place *)y)->member;
  int c = strcmp(a->name, b->name);
  return c ? c : (a > b) - (a < b);
}

static struct json_place *sorted(const struct json_object *o) {
  struct json_place *places = mgc_new_array(struct json_place, o->len);
  if (!places) return NULL;
  for (uint32_t i = 0; i < o->len; i++) places[i].member = &o->members[i];
  qsort(places, o->len, sizeof(*places), by_name);
  return places;
}

static bool equal_objects(const struct json_object *a,
                          const struct json_object *b, unsigned depth) {
  if (a->len != b->len) return false;
  if (same_names(a->members, b->members, a->len)) {
    for (uint32_t i = 0; i < a->len; i++) {
      if (!equal(a->members[i].value, b->members[i].value, depth)) return false;
    }
    return true;
  }
  struct json_place *x = sorted(a), *y = sorted(b);
  if (!x || !y) return false;
  for (uint32_t i = 0; i < a->len; i++) {
    const struct json_member *m = x[i].member, *n = y[i].member;
    if (strcmp(m->name, n->name) != 0 || !equal(m->value, n->value, depth)) {
      return false;
    }
  }
  return true;
}

static bool equal(const struct json *a, const struct json *b, unsigned depth) {
  enum json_kind kind = json_kind(a);
  if (kind != json_kind(b)) return false;
  if (kind == JSON_STRING) return strcmp(json_text(a), json_text(b)) == 0;
  if (kind == JSON_NUMBER) {
    return number_compare(json_number_text(a), json_number_text(b)) == 0;
  }
  if (kind != JSON_ARRAY && kind != JSON_OBJECT) return true;
  if (depth == JSON_DEPTH_MAX) {
    errno = ELOOP;
    return false;
  }
  return kind == JSON_ARRAY
             ? equal_arrays(as_array(a), as_array(b), depth + 1)
             : equal_objects(as_object(a), as_object(b), depth + 1);
}

bool json_equal(const struct json *a, const struct json *b) {
  return equal(a, b, 0);
}
