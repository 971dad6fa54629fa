// SPDX-License-Identifier: MIT
/* A run's figures to JSON and back. See demo.h for overview. */
#include "demo.h"

#include <string.h>

static const struct figure {
  const char *name;
  size_t offset;
} figures[] = {
#define DEMO_DESCRIBE(name) {#name, offsetof(struct demo_result, name)},
    DEMO_FIGURES(DEMO_DESCRIBE)
#undef DEMO_DESCRIBE
};

static uint64_t *figure_of(const struct demo_result *r,
                           const struct figure *f) {
  return (uint64_t *)(uintptr_t)((const char *)r + f->offset);
}

static bool set_number(struct json *o, const char *name, uint64_t n) {
  return json_set(o, name, json_integer((int64_t)n));
}

static uint64_t get_number(const struct json *v) {
  int64_t n = 0;
  return json_int64(v, &n) ? (uint64_t)n : 0;
}

static struct json *classes_to_json(const struct demo_result *r) {
  struct json *list = json_array();
  for (size_t i = 0; i < MGC_NUM_SIZE_CLASSES; i++) {
    if (r->class_slots[i] == 0) continue;
    struct json *c = json_object();
    if (!set_number(c, "class", i) ||
        !set_number(c, "size", r->class_size[i]) ||
        !set_number(c, "slots", r->class_slots[i]) ||
        !set_number(c, "bytes", r->class_bytes[i]) || !json_append(list, c)) {
      return NULL;
    }
  }
  return list;
}

struct json *demo_result_to_json(const struct demo_result *r) {
  struct json *o = json_object();
  for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
    if (!set_number(o, figures[i].name, *figure_of(r, &figures[i])))
      return NULL;
  }
  return json_set(o, "size_classes", classes_to_json(r)) ? o : NULL;
}

bool demo_result_from_json(struct demo_result *r, const struct json *v) {
  memset(r, 0, sizeof(*r));
  for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
    const struct json *n = json_get(v, figures[i].name);
    if (json_kind(n) != JSON_NUMBER) return false;
    *figure_of(r, &figures[i]) = get_number(n);
  }
  const struct json *list = json_get(v, "size_classes");
  for (size_t i = 0; i < json_length(list); i++) {
    const struct json *c = json_at(list, i);
    uint64_t k = get_number(json_get(c, "class"));
    if (k >= MGC_NUM_SIZE_CLASSES) return false;
    r->class_size[k] = get_number(json_get(c, "size"));
    r->class_slots[k] = get_number(json_get(c, "slots"));
    r->class_bytes[k] = get_number(json_get(c, "bytes"));
  }
  return true;
}
