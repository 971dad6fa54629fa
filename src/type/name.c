// SPDX-License-Identifier: MIT
/* See name.h. */
#include "type/name.h"
#include "base/fatal.h"
#include <string.h>

static size_t uleb_decode(const unsigned char **p) {
  size_t n = 0;
  for (unsigned shift = 0; shift < 35; shift += 7) {
    unsigned char c = *(*p)++;
    n |= (size_t)(c & 0x7f) << shift;
    if (!(c & 0x80)) break;
  }
  return n;
}

struct type_name name_at(const int32_t *place) {
  if (*place == 0) return (struct type_name){"", 0};
  const unsigned char *p = (const unsigned char *)place + *place;
  size_t n = uleb_decode(&p);
  return (struct type_name){(const char *)p, n};
}

struct type_name type_name_of(const struct mgc_type *t) {
  struct type_name name = name_at(&t->str);
  if ((t->tflag & MGC_TFLAG_EXTRA_STAR) && name.n > 0) {
    name.s++;
    name.n--;
  }
  return name;
}

static bool is_ident(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '_' || (unsigned char)c >= 0x80;
}

/* Copies s without the spaces that mean nothing. */
static size_t squeeze(struct type_name s, char *out) {
  size_t n = 0;
  bool space = false;
  for (size_t i = 0; i < s.n; i++) {
    char c = s.s[i];
    if (c == ' ' || c == '\t' || c == '\n') {
      space = n > 0;
      continue;
    }
    if (space && is_ident(c) && is_ident(out[n - 1])) out[n++] = ' ';
    out[n++] = c;
    space = false;
  }
  return n;
}

size_t name_normalise(struct type_name s, char out[TYPE_NAME_MAX + 1]) {
  out[0] = 0;
  if (s.n > TYPE_NAME_MAX) return 0;
  size_t n = squeeze(s, out), stars = 0;
  while (stars < n && out[n - 1 - stars] == '*') stars++;
  if (stars > 0 && stars < n) {
    memmove(out + stars, out, n - stars);
    memset(out, '*', stars);
  }
  out[n] = 0;
  return n;
}

bool name_equal(struct type_name a, struct type_name b) {
  if (a.n == b.n && memcmp(a.s, b.s, a.n) == 0) return true;
  char x[TYPE_NAME_MAX + 1], y[TYPE_NAME_MAX + 1];
  size_t n = name_normalise(a, x);
  return n > 0 && n == name_normalise(b, y) && memcmp(x, y, n) == 0;
}

size_t name_record_size(size_t n) {
  size_t bytes = n + 2; /* a length byte and the NUL */
  for (; n >= 0x80; n >>= 7) bytes++;
  return bytes;
}

char *name_write(char *to, char front, struct type_name name, int32_t *place) {
  ptrdiff_t offset = to - (const char *)place;
  mgc_check(offset == (int32_t)offset, "type name is too far: offset=%lld",
            (long long)offset);
  *place = (int32_t)offset;
  size_t n = name.n + (front != 0);
  for (; n >= 0x80; n >>= 7) *to++ = (char)(n | 0x80);
  *to++ = (char)n;
  if (front) *to++ = front;
  memcpy(to, name.s, name.n);
  to += name.n;
  *to++ = 0;
  return to;
}
