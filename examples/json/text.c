// SPDX-License-Identifier: MIT
/* The leaves of a document: UTF-8 text and number text. */
#include "node.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

char *text_buffer(size_t n) {
  char *s = mgc_new_noscan(n + 1);
  if (s) s[n] = '\0';
  return s;
}

/* mgc_strndup makes blocks of exactly this length and aligns them for
 * characters only, so that the tiny allocator loses nothing between them. */
char *text_copy(const char *text, size_t n) { return mgc_strndup(text, n); }

/* ---- UTF-8 ---- */

static bool continues(const unsigned char *p, unsigned n) {
  for (unsigned i = 1; i < n; i++) {
    if ((p[i] & 0xc0) != 0x80) return false;
  }
  return true;
}

/* RFC 3629, table in section 4: no overlong forms, no surrogates, at most
 * U+10FFFF. */
unsigned utf8_length(const unsigned char *p, const unsigned char *end) {
  unsigned char c = p[0];
  if (c < 0x80) return 1;
  unsigned n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
  if (c < 0xc2 || c > 0xf4 || end - p < (ptrdiff_t)n || !continues(p, n)) {
    return 0;
  }
  if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) ||
      (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f)) {
    return 0;
  }
  return n;
}

unsigned utf8_put(char *out, uint32_t c) {
  if (c != 0 && c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  if (c < 0x800) {
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
  }
  if (c < 0x10000) {
    out[0] = (char)(0xe0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3f));
    out[2] = (char)(0x80 | (c & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | c >> 18);
  out[1] = (char)(0x80 | (c >> 12 & 0x3f));
  out[2] = (char)(0x80 | (c >> 6 & 0x3f));
  out[3] = (char)(0x80 | (c & 0x3f));
  return 4;
}

static bool is_kept_nul(const unsigned char *p, const unsigned char *end) {
  return end - p >= 2 && p[0] == 0xc0 && p[1] == 0x80;
}

struct json *json_string_n(const char *text, size_t len) {
  const unsigned char *p = (const unsigned char *)text, *end = p + len;
  size_t nuls = 0;
  while (p < end) {
    unsigned n = is_kept_nul(p, end) ? 2 : utf8_length(p, end);
    if (n == 0) {
      errno = EINVAL;
      return NULL;
    }
    nuls += *p == '\0';
    p += n;
  }
  if (nuls == 0) return (struct json *)text_copy(text, len);
  char *copy = text_buffer(len + nuls);
  if (!copy) return NULL;
  char *out = copy;
  for (size_t i = 0; i < len; i++) {
    if (text[i] == '\0') {
      out += utf8_put(out, 0);
    } else {
      *out++ = text[i];
    }
  }
  return (struct json *)copy;
}

struct json *json_string(const char *text) {
  return json_string_n(text, strlen(text));
}

/* ---- numbers ---- */

static const char *digits(const char *p, const char *end) {
  while (p < end && isdigit((unsigned char)*p)) p++;
  return p;
}

const char *number_end(const char *p, const char *end, const char **at) {
  if (p < end && *p == '-') p++;
  const char *q = digits(p, end);
  if (p < end && *p == '0' && q > p + 1) {
    *at = p + 1;
    return NULL; /* a leading zero */
  }
  if (q < end && q > p && *q == '.') {
    p = q + 1;
    q = digits(p, end);
  }
  if (q < end && q > p && (*q == 'e' || *q == 'E')) {
    p = q + 1;
    if (p < end && (*p == '+' || *p == '-')) p++;
    q = digits(p, end);
  }
  if (q > p) return q;
  *at = p;
  return NULL;
}

struct json *number_new(const char *text, size_t len) {
  char small[64]; /* numbers are rarely longer */
  char *tagged = len < sizeof(small) ? small : text_buffer(len + 1);
  if (!tagged) return NULL;
  tagged[0] = (char)TAG_NUMBER;
  memcpy(tagged + 1, text, len);
  if (tagged != small) return (struct json *)tagged;
  return (struct json *)text_copy(small, len + 1);
}

struct json *json_number_from_text(const char *text) {
  size_t len = strlen(text);
  const char *at;
  if (number_end(text, text + len, &at) != text + len) {
    errno = EINVAL;
    return NULL;
  }
  return number_new(text, len);
}

struct json *json_integer(int64_t value) {
  char text[24];
  int n = snprintf(text, sizeof(text), "%lld", (long long)value);
  return number_new(text, (size_t)n);
}

struct json *json_number(double value) {
  if (!isfinite(value)) {
    errno = EINVAL;
    return NULL;
  }
  char text[32];
  int n = 0;
  /* The shortest of the three lengths that reads back as the same double; 17
   * digits always do. */
  for (int precision = 15; precision <= 17; precision++) {
    n = snprintf(text, sizeof(text), "%.*g", precision, value);
    if (strtod(text, NULL) == value) break;
  }
  return number_new(text, (size_t)n);
}

const char *json_number_text(const struct json *v) {
  return v && v->tag == TAG_NUMBER ? (const char *)v + 1 : NULL;
}

double json_double(const struct json *v) {
  const char *text = json_number_text(v);
  return text ? strtod(text, NULL) : (double)NAN;
}

/* A number taken apart: 0.d1d2d3... * 10^exponent, d1 not zero. */
struct decimal {
  bool negative;
  bool dotted;        /* digits has a '.' somewhere inside to be skipped */
  const char *digits; /* first digit that is not zero */
  size_t ndigits;     /* to the last one that is not zero; 0: the value is 0 */
  long long exponent;
};

/* Exponents beyond this are all one size: no text has as many digits. */
#define EXPONENT_LIMIT (1ll << 60)

static long long read_exponent(const char *p) {
  bool negative = *p == '-';
  if (*p == '-' || *p == '+') p++;
  long long e = 0;
  for (; *p; p++) {
    if (e < EXPONENT_LIMIT / 16) e = e * 10 + (*p - '0');
  }
  return negative ? -e : e;
}

static struct decimal take_apart(const char *text) {
  struct decimal d = {.negative = *text == '-'};
  if (d.negative) text++;
  const char *last = NULL; /* last digit that is not zero */
  bool fraction = false;
  for (; *text && *text != 'e' && *text != 'E'; text++) {
    if (*text == '.') {
      fraction = true;
      continue;
    }
    if (*text != '0') {
      if (!d.digits) d.digits = text;
      last = text;
    }
    if (!fraction && d.digits) d.exponent++;
    if (fraction && !d.digits) d.exponent--;
  }
  if (!d.digits) return (struct decimal){0};
  const char *dot = memchr(d.digits, '.', (size_t)(last - d.digits));
  d.dotted = dot != NULL;
  d.ndigits = (size_t)(last - d.digits) + (dot ? 0 : 1);
  if (*text) d.exponent += read_exponent(text + 1);
  return d;
}

static int compare_digits(const struct decimal *a, const struct decimal *b) {
  const char *p = a->digits, *q = b->digits;
  size_t n = a->ndigits < b->ndigits ? a->ndigits : b->ndigits;
  for (size_t i = 0; i < n; i++, p++, q++) {
    if (*p == '.') p++;
    if (*q == '.') q++;
    if (*p != *q) return *p < *q ? -1 : 1;
  }
  return a->ndigits == b->ndigits ? 0 : a->ndigits < b->ndigits ? -1 : 1;
}

int number_compare(const char *a, const char *b) {
  struct decimal x = take_apart(a), y = take_apart(b);
  if (x.ndigits == 0 || y.ndigits == 0) {
    int sx = x.ndigits == 0 ? 0 : x.negative ? -1 : 1;
    int sy = y.ndigits == 0 ? 0 : y.negative ? -1 : 1;
    return (sx > sy) - (sx < sy);
  }
  if (x.negative != y.negative) return x.negative ? -1 : 1;
  int c = (x.exponent > y.exponent) - (x.exponent < y.exponent);
  if (c == 0) c = compare_digits(&x, &y);
  return x.negative ? -c : c;
}

bool json_int64(const struct json *v, int64_t *out) {
  const char *text = json_number_text(v);
  if (!text) return false;
  struct decimal d = take_apart(text);
  if (d.ndigits == 0) {
    *out = 0;
    return true;
  }
  if (d.exponent > 19 || d.exponent < (long long)d.ndigits) return false;
  uint64_t value = 0;
  const char *p = d.digits;
  for (long long i = 0; i < d.exponent; i++) {
    if (*p == '.') p++;
    unsigned digit = i < (long long)d.ndigits ? (unsigned)(*p++ - '0') : 0;
    if (__builtin_mul_overflow(value, 10u, &value) ||
        __builtin_add_overflow(value, digit, &value)) {
      return false;
    }
  }
  if (value > (uint64_t)INT64_MAX + d.negative) return false;
  *out = d.negative ? (int64_t)(0 - value) : (int64_t)value;
  return true;
}
