// SPDX-License-Identifier: MIT
/* See options.h. Works before malloc does: no allocation, no stdio. */
#include "alloc/options.h"
#include "base/compiler.h"
#include "os/env.h"
#include <string.h>

enum option_kind {
  KIND_BOOL,
  KIND_U32,
  KIND_U64,
  KIND_MODE, /* this and later: one of the names below */
  KIND_UNIT,
  KIND_KERNEL,
};

/* In the order of the enumerations in heap.h. */
static const char *const names[][4] = {
    {"stop", "auto", "kernel"},
    {"auto", "object", "span"},
    {"auto", "portable", "avx2", "avx512"},
};

struct option {
  const char *name;
  enum option_kind kind;
  size_t offset;
  uint64_t initial;
};

static const struct option options[] = {
#define OPTION(name, kind, initial, what)                                      \
  {#name, KIND_##kind, offsetof(struct heap_options, name), initial},
#include "alloc/options.def"
#undef OPTION
};

static void option_set(struct heap_options *opt, const struct option *o,
                       uint64_t value) {
  char *field = (char *)opt + o->offset;
  switch (o->kind) {
  case KIND_BOOL:
    *(bool *)(void *)field = value != 0;
    break;
  case KIND_U32:
  case KIND_MODE:
  case KIND_UNIT:
  case KIND_KERNEL:
    *(uint32_t *)(void *)field =
        value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
    break;
  case KIND_U64:
    *(uint64_t *)(void *)field = value;
    break;
  }
}

static bool token_is(const char *s, size_t n, const char *name) {
  return strlen(name) == n && memcmp(s, name, n) == 0;
}

static bool parse_name(enum option_kind kind, const char *s, size_t n,
                       uint64_t *out) {
  const char *const *name = names[kind - KIND_MODE];
  for (size_t i = 0; i < array_len(names[0]) && name[i]; i++) {
    *out = i;
    if (token_is(s, n, name[i])) return true;
  }
  return false;
}

/* The n characters after the equals sign. */
static bool parse_value(enum option_kind kind, const char *s, size_t n,
                        uint64_t *out) {
  char digits[24] = {0};
  if (kind >= KIND_MODE) return parse_name(kind, s, n, out);
  if (n == 0 || n >= sizeof digits) return false;
  memcpy(digits, s, n);
  return parse_u64(digits, out);
}

/* One name=value, or a bare name. */
static bool parse_item(struct heap_options *opt, const char *s, size_t n) {
  const char *eq = memchr(s, '=', n);
  size_t name_len = eq ? (size_t)(eq - s) : n;
  for (size_t i = 0; i < array_len(options); i++) {
    const struct option *o = &options[i];
    uint64_t value = 1;
    if (!token_is(s, name_len, o->name)) continue;
    if (eq && !parse_value(o->kind, eq + 1, n - name_len - 1, &value))
      return false;
    if (!eq && o->kind >= KIND_MODE) return false;
    option_set(opt, o, value);
    return true;
  }
  return false;
}

static bool trace_item(struct heap_options *opt, const char *s, size_t n) {
  if (token_is(s, n, "gc"))
    opt->trace_gc = true;
  else if (token_is(s, n, "scav"))
    opt->trace_scavenge = true;
  else if (token_is(s, n, "init"))
    opt->trace_init = true;
  else if (token_is(s, n, "types"))
    opt->trace_types = true;
  else
    return false;
  return true;
}

/* Calls item for each comma-separated part; false when any was refused. */
static bool parse_list(struct heap_options *opt, const char *list,
                       bool (*item)(struct heap_options *, const char *,
                                    size_t)) {
  bool good = true;
  while (list && *list) {
    size_t n = strcspn(list, ",");
    if (n > 0 && !item(opt, list, n)) good = false;
    list += n;
    if (*list == ',') list++;
  }
  return good;
}

const char *options_load(struct heap_options *opt,
                         struct pacing_options *pacing, const char *first,
                         options_getenv *get) {
  const char *bad = NULL;
  memset(opt, 0, sizeof *opt);
  for (size_t i = 0; i < array_len(options); i++)
    option_set(opt, &options[i], options[i].initial);
  /* Objects that share a block would share their races. */
  if (MGC_TSAN) opt->tiny = false;
  if (!parse_list(opt, first, parse_item)) bad = "first";
  pacing->gc_percent = 100;
  pacing->memory_limit = INT64_MAX;
  pacing->has_memory_limit = false;
  pacing->hard_limit = INT64_MAX;

  if (!parse_list(opt, get("MALLOCGC_OPTIONS"), parse_item))
    bad = "MALLOCGC_OPTIONS";
  if (!parse_list(opt, get("MALLOCGC_TRACE"), trace_item) && !bad)
    bad = "MALLOCGC_TRACE";
  int32_t percent;
  const char *s = get("MALLOCGC_GOGC");
  if (s && parse_percent(s, &percent))
    pacing->gc_percent = percent;
  else if (s && !bad)
    bad = "MALLOCGC_GOGC";
  s = get("MALLOCGC_MEMORY_LIMIT");
  if (s && parse_bytes(s, &pacing->memory_limit))
    pacing->has_memory_limit = true;
  else if (s && !bad)
    bad = "MALLOCGC_MEMORY_LIMIT";
  s = get("MALLOCGC_HARD_LIMIT");
  if (s && !parse_bytes(s, &pacing->hard_limit) && !bad)
    bad = "MALLOCGC_HARD_LIMIT";
  return bad;
}

int64_t options_memory_limit(const struct heap_options *opt,
                             const struct pacing_options *pacing,
                             const struct cgroup_reader *groups) {
  struct cgroup_limits l;
  if (pacing->has_memory_limit || opt->container_limit == 0)
    return pacing->memory_limit;
  cgroup_read(groups, &l);
  uint32_t percent = opt->container_limit < 100 ? opt->container_limit : 100;
  return cgroup_memory_limit(&l, percent);
}
