// SPDX-License-Identifier: MIT
/*
 * Strings and numbers in the text. A string is read twice: once to check it and
 * to learn its length, so that its block is exactly as long as needed, and once
 * to decode it.
 */
#include "parse.h"

static int hex4(const char *p, const char *end) {
  if (end - p < 4) return -1;
  int value = 0;
  for (int i = 0; i < 4; i++) {
    char c = p[i];
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

static bool is_high(int unit) { return unit >= 0xd800 && unit < 0xdc00; }
static bool is_low(int unit) { return unit >= 0xdc00 && unit < 0xe000; }

/* The code point of the \u escape at p (or pair of them); *next is behind it.
 * -1: not four digits, -2: half of a surrogate pair. */
static int32_t unicode_escape(const char *p, const char *end,
                              const char **next) {
  int unit = hex4(p + 2, end);
  if (unit < 0) return -1;
  *next = p + 6;
  if (is_low(unit)) return -2;
  if (!is_high(unit)) return unit;
  p += 6;
  if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -2;
  int low = hex4(p + 2, end);
  if (!is_low(low)) return -2;
  *next = p + 6;
  return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

/* What a simple escape stands for, or 0. */
static char simple_escape(char c) {
  switch (c) {
  case '"':
  case '\\':
  case '/':
    return c;
  case 'b':
    return '\b';
  case 'f':
    return '\f';
  case 'n':
    return '\n';
  case 'r':
    return '\r';
  case 't':
    return '\t';
  default:
    return 0;
  }
}

/* Checks the escape at p and adds the bytes it stands for to *len. Returns what
 * follows it, or NULL after an error. */
static const char *check_escape(struct parser *ps, const char *p, size_t *len) {
  if (p + 1 < ps->end && simple_escape(p[1])) {
    *len += 1;
    return p + 2;
  }
  if (p + 1 >= ps->end || p[1] != 'u') {
    return parse_fail(ps, p, "unknown escape in a string");
  }
  const char *next;
  int32_t c = unicode_escape(p, ps->end, &next);
  if (c == -1) return parse_fail(ps, p, "\\u needs four hexadecimal digits");
  if (c == -2) return parse_fail(ps, p, "half of a surrogate pair");
  char scratch[4];
  *len += utf8_put(scratch, (uint32_t)c);
  return next;
}

/* Finds the closing quote and counts the decoded bytes. */
static const char *check_string(struct parser *ps, size_t *len) {
  const char *p = ps->p + 1;
  *len = 0;
  while (p < ps->end) {
    unsigned char c = (unsigned char)*p;
    if (c == '"') return p;
    if (c == '\\') {
      p = check_escape(ps, p, len);
      if (!p) return NULL;
      continue;
    }
    if (c < 0x20) {
      return parse_fail(ps, p, "control character U+%04X in a string", c);
    }
    unsigned n =
        utf8_length((const unsigned char *)p, (const unsigned char *)ps->end);
    if (n == 0) return parse_fail(ps, p, "invalid UTF-8 in a string");
    p += n;
    *len += n;
  }
  return parse_fail(ps, ps->p, "string without closing quote");
}

static void decode(char *out, const char *p, const char *end) {
  while (p < end) {
    if (*p != '\\') {
      *out++ = *p++;
    } else if (p[1] == 'u') {
      out += utf8_put(out, (uint32_t)unicode_escape(p, end, &p));
    } else {
      *out++ = simple_escape(p[1]);
      p += 2;
    }
  }
}

char *scan_string(struct parser *ps) {
  size_t len;
  const char *close = check_string(ps, &len);
  if (!close) return NULL;
  /* An escape is longer than its meaning: a text without any is copied, and of
   * one with escapes, the copy of its first len bytes is written over. */
  const char *raw = ps->p + 1;
  char *s = text_copy(raw, len);
  if (!s) return parse_no_memory(ps);
  if (len < (size_t)(close - raw)) decode(s, raw, close);
  ps->p = close + 1;
  return s;
}

struct json *scan_number(struct parser *ps) {
  const char *at = ps->p;
  const char *stop = number_end(ps->p, ps->end, &at);
  if (!stop) {
    bool zero = at > ps->p && at[-1] == '0';
    return parse_fail(ps, at,
                      zero ? "digit after a leading zero"
                           : "digit expected in a number");
  }
  struct json *v = number_new(ps->p, (size_t)(stop - ps->p));
  if (!v) return parse_no_memory(ps);
  ps->p = stop;
  return v;
}
