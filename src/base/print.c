// SPDX-License-Identifier: MIT
/* See print.h. Digits are made in a buffer on the stack, from the right. */
#include "base/print.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#define PRINT_LINE 1000

struct sink {
  char *buf;
  size_t room; /* characters that fit before the NUL */
  size_t len;
};

/* One conversion between '%' and its letter. */
struct spec {
  size_t width;
  bool zero_pad;
  unsigned nlong; /* how many l; z counts as one: size_t is long */
};

static void put(struct sink *s, char c) {
  if (s->len < s->room) s->buf[s->len++] = c;
}

static void put_repeat(struct sink *s, char c, size_t n) {
  while (n-- > 0 && s->len < s->room) put(s, c);
}

static void put_string(struct sink *s, const char *str, size_t width) {
  size_t n = 0;
  if (!str) str = "(null)";
  while (str[n]) n++;
  if (width > n) put_repeat(s, ' ', width - n);
  for (size_t i = 0; i < n; i++) put(s, str[i]);
}

static void put_number(struct sink *s, uint64_t v, unsigned base,
                       const char *sign, const struct spec *spec) {
  char digits[20]; /* 2^64 has 20 decimal digits */
  size_t n = 0, nsign = 0;
  do {
    digits[n++] = "0123456789abcdef"[v % base];
    v /= base;
  } while (v);
  while (sign[nsign]) nsign++;
  size_t total = n + nsign;
  size_t pad = spec->width > total ? spec->width - total : 0;
  if (!spec->zero_pad) put_repeat(s, ' ', pad);
  for (size_t i = 0; i < nsign; i++) put(s, sign[i]);
  if (spec->zero_pad) put_repeat(s, '0', pad);
  while (n > 0) put(s, digits[--n]);
}

static const char *parse_spec(const char *f, struct spec *spec) {
  *spec = (struct spec){0};
  if (*f == '0') {
    spec->zero_pad = true;
    f++;
  }
  for (; *f >= '0' && *f <= '9'; f++)
    if (spec->width < PRINT_LINE)
      spec->width = spec->width * 10 + (size_t)(*f - '0');
  for (; *f == 'l' || *f == 'z'; f++) spec->nlong++;
  return f;
}

static void put_signed(struct sink *s, int64_t v, const struct spec *spec) {
  uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
  put_number(s, u, 10, v < 0 ? "-" : "", spec);
}

size_t print_vformat(char *buf, size_t n, const char *fmt, va_list ap) {
  struct sink s = {.buf = buf, .room = n ? n - 1 : 0};
  struct spec spec;
  for (const char *f = fmt; *f; f++) {
    if (*f != '%') {
      put(&s, *f);
      continue;
    }
    f = parse_spec(f + 1, &spec);
    if (!*f) break;
    switch (*f) {
    case 's':
      put_string(&s, va_arg(ap, const char *), spec.width);
      break;
    case 'c': {
      char c[2] = {(char)va_arg(ap, int), 0};
      put_repeat(&s, ' ', spec.width > 1 ? spec.width - 1 : 0);
      put(&s, c[0]);
      break;
    }
    case 'd':
    case 'i':
      put_signed(&s, spec.nlong ? va_arg(ap, long) : va_arg(ap, int), &spec);
      break;
    case 'u':
    case 'x':
      put_number(
          &s, spec.nlong ? va_arg(ap, unsigned long) : va_arg(ap, unsigned int),
          *f == 'u' ? 10 : 16, "", &spec);
      break;
    case 'p':
      put_number(&s, (uintptr_t)va_arg(ap, void *), 16, "0x", &spec);
      break;
    default: /* '%%', and a letter we do not know stands for itself */
      put(&s, *f);
      break;
    }
  }
  if (n) buf[s.len] = 0;
  return s.len;
}

size_t print_format(char *buf, size_t n, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  size_t len = print_vformat(buf, n, fmt, ap);
  va_end(ap);
  return len;
}

void print_fd(int fd, const char *fmt, ...) {
  char line[PRINT_LINE + 1];
  int saved = errno;
  va_list ap;
  va_start(ap, fmt);
  size_t len = print_vformat(line, sizeof(line), fmt, ap);
  va_end(ap);
  /* A failed write has nobody to be told to. */
  ssize_t written = write(fd, line, len);
  (void)written;
  errno = saved;
}
