// SPDX-License-Identifier: MIT
/*
 * Changing arrays and objects. A vector that must grow moves to twice the room;
 * the old one is the collector's.
 */
#include "node.h"

static bool bad_argument(void) {
  errno = EINVAL;
  return false;
}

static uint32_t capacity(uint32_t len, uint8_t cap_log2) {
  return cap_log2 == 0 ? len : 1u << cap_log2;
}

/* The next log2 of a capacity after len elements; at least 4 places, since what
 * grows once usually grows again. 0 when there is none. */
static uint8_t grown_log2(uint32_t len) {
  uint8_t log2 = 2;
  while (log2 < 32 && (1ull << log2) <= len) log2++;
  if (log2 < 32) return log2;
  errno = ENOMEM;
  return 0;
}

static bool array_make_room(struct json_array *a) {
  if (a->len < capacity(a->len, a->cap_log2)) return true;
  uint8_t log2 = grown_log2(a->len);
  if (log2 == 0) return false;
  struct json_item *items = items_new((size_t)1 << log2);
  if (!items) return false;
  if (a->len > 0) memcpy(items, a->items, a->len * sizeof(*items));
  a->items = items;
  a->cap_log2 = log2;
  return true;
}

static bool object_make_room(struct json_object *o) {
  if (o->len < capacity(o->len, o->cap_log2)) return true;
  uint8_t log2 = grown_log2(o->len);
  if (log2 == 0) return false;
  struct json_member *members = members_new((size_t)1 << log2);
  if (!members) return false;
  if (o->len > 0) memcpy(members, o->members, o->len * sizeof(*members));
  o->members = members;
  o->cap_log2 = log2;
  return true;
}

bool json_insert(struct json *array, size_t i, struct json *v) {
  struct json_array *a = as_array(array);
  if (!a || !v || i > a->len) return bad_argument();
  if (!array_make_room(a)) return false;
  memmove(a->items + i + 1, a->items + i, (a->len - i) * sizeof(*a->items));
  a->items[i].value = v;
  a->len++;
  return true;
}

bool json_append(struct json *array, struct json *v) {
  return json_insert(array, json_length(array), v);
}

bool json_put(struct json *v, size_t i, struct json *value) {
  if (!value || i >= json_length(v)) return bad_argument();
  struct json_array *a = as_array(v);
  if (a) {
    a->items[i].value = value;
  } else {
    as_object(v)->members[i].value = value;
  }
  return true;
}

/* The place behind the last element is cleared, so that it keeps nothing
 * alive. */
static void array_remove(struct json_array *a, size_t i) {
  a->len--;
  memmove(a->items + i, a->items + i + 1, (a->len - i) * sizeof(*a->items));
  a->items[a->len].value = NULL;
}

static void object_remove(struct json_object *o, size_t i) {
  o->len--;
  memmove(o->members + i, o->members + i + 1,
          (o->len - i) * sizeof(*o->members));
  o->members[o->len] = (struct json_member){0};
}

bool json_remove_at(struct json *v, size_t i) {
  if (i >= json_length(v)) return bad_argument();
  struct json_array *a = as_array(v);
  if (a) {
    array_remove(a, i);
  } else {
    object_remove(as_object(v), i);
  }
  return true;
}

bool json_set(struct json *object, const char *name, struct json *v) {
  struct json_object *o = as_object(object);
  if (!o || !v) return bad_argument();
  for (size_t i = o->len; i-- > 0;) {
    if (strcmp(o->members[i].name, name) == 0) {
      o->members[i].value = v;
      return true;
    }
  }
  const char *copy = json_text(json_string(name));
  if (!copy || !object_make_room(o)) return false;
  o->members[o->len] = (struct json_member){copy, v};
  o->len++;
  return true;
}

bool json_remove(struct json *object, const char *name) {
  struct json_object *o = as_object(object);
  if (!o) return bad_argument();
  uint32_t kept = 0;
  for (uint32_t i = 0; i < o->len; i++) {
    if (strcmp(o->members[i].name, name) == 0) continue;
    o->members[kept++] = o->members[i];
  }
  bool found = kept < o->len;
  for (uint32_t i = kept; i < o->len; i++) {
    o->members[i] = (struct json_member){0};
  }
  o->len = kept;
  return found;
}
