// SPDX-License-Identifier: MIT
/* See env.h. */
#include "os/env.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Digits at the beginning of s; NULL when there are none or too many. */
static const char *parse_digits(const char *s, uint64_t *out) {
  uint64_t v = 0;
  const char *begin = s;
  for (; *s >= '0' && *s <= '9'; s++) {
    if (__builtin_mul_overflow(v, 10, &v)) return NULL;
    if (__builtin_add_overflow(v, (uint64_t)(*s - '0'), &v)) return NULL;
  }
  if (s == begin) return NULL;
  *out = v;
  return s;
}

bool parse_u64(const char *s, uint64_t *out) {
  uint64_t v;
  s = parse_digits(s, &v);
  if (!s || *s) return false;
  *out = v;
  return true;
}

bool parse_bytes(const char *s, int64_t *out) {
  static const struct {
    const char *suffix;
    unsigned shift;
  } units[] = {{"", 0},     {"B", 0},    {"KiB", 10},
               {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
  if (strcmp(s, "off") == 0) {
    *out = ENV_OFF_BYTES;
    return true;
  }
  uint64_t v;
  s = parse_digits(s, &v);
  for (size_t i = 0; s && i < array_len(units); i++) {
    if (strcmp(s, units[i].suffix) != 0) continue;
    if (v > (uint64_t)INT64_MAX >> units[i].shift) return false;
    *out = (int64_t)(v << units[i].shift);
    return true;
  }
  return false;
}

bool parse_percent(const char *s, int32_t *out) {
  uint64_t v;
  if (strcmp(s, "off") == 0) {
    *out = ENV_OFF_PERCENT;
    return true;
  }
  if (!parse_u64(s, &v) || v > INT32_MAX) return false;
  *out = (int32_t)v;
  return true;
}

bool parse_bool(const char *s, bool *out) {
  static const char *const words[] = {"0",  "1",   "false", "true",
                                      "no", "yes", "off",   "on"};
  for (size_t i = 0; i < array_len(words); i++) {
    if (strcmp(s, words[i]) != 0) continue;
    *out = i % 2 == 1;
    return true;
  }
  return false;
}

static const char *lookup(const char *name) {
  const char *s = secure_getenv(name);
  return s && *s ? s : NULL;
}

enum env_result env_bytes(const char *name, int64_t *out) {
  const char *s = lookup(name);
  if (!s) return ENV_UNSET;
  return parse_bytes(s, out) ? ENV_OK : ENV_MALFORMED;
}

enum env_result env_percent(const char *name, int32_t *out) {
  const char *s = lookup(name);
  if (!s) return ENV_UNSET;
  return parse_percent(s, out) ? ENV_OK : ENV_MALFORMED;
}

enum env_result env_u64(const char *name, uint64_t *out) {
  const char *s = lookup(name);
  if (!s) return ENV_UNSET;
  return parse_u64(s, out) ? ENV_OK : ENV_MALFORMED;
}

enum env_result env_bool(const char *name, bool *out) {
  const char *s = lookup(name);
  if (!s) return ENV_UNSET;
  return parse_bool(s, out) ? ENV_OK : ENV_MALFORMED;
}

enum env_result env_string(const char *name, const char **out) {
  const char *s = lookup(name);
  if (!s) return ENV_UNSET;
  *out = s;
  return ENV_OK;
}
