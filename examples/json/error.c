// SPDX-License-Identifier: MIT
/* Where an error is and how it is shown. */
#include "parse.h"

#include <stdarg.h>

/* Characters of a long line that are shown before the error. */
#define CONTEXT_BEFORE 30

static bool starts_character(char c) {
  return ((unsigned char)c & 0xc0) != 0x80;
}

static bool ends_line(const char *p, const char *end) {
  return *p == '\n' || (*p == '\r' && (p + 1 == end || p[1] != '\n'));
}

static size_t count_characters(const char *p, const char *end) {
  size_t n = 0;
  for (; p < end; p++) n += starts_character(*p);
  return n;
}

/* Copies what can be shown of the line from `from` on: at most what fits, whole
 * characters, and everything that would disturb a terminal as '?'. */
static void copy_excerpt(char *out, size_t room, const char *from,
                         const char *end) {
  size_t n = 0;
  while (from < end && *from != '\n' && *from != '\r') {
    unsigned len =
        utf8_length((const unsigned char *)from, (const unsigned char *)end);
    if (n + (len ? len : 1) >= room) break;
    unsigned char c = (unsigned char)*from;
    if (len == 0 || (c < 0x20 && c != '\t') || c == 0x7f) {
      out[n++] = '?';
      from++;
      continue;
    }
    memcpy(out + n, from, len);
    n += len;
    from += len;
  }
  out[n] = '\0';
}

static void locate(struct json_error *err, const char *text, const char *end,
                   const char *at) {
  const char *line = text;
  err->line = 1;
  for (const char *p = text; p < at; p++) {
    if (ends_line(p, end)) {
      err->line++;
      line = p + 1;
    }
  }
  err->offset = (size_t)(at - text);
  err->column = count_characters(line, at) + 1;
  const char *from = at;
  for (unsigned n = 0; from > line && n < CONTEXT_BEFORE;) {
    n += starts_character(*--from);
  }
  copy_excerpt(err->excerpt, sizeof(err->excerpt), from, end);
  err->caret = count_characters(from, at);
}

void *parse_fail(struct parser *ps, const char *at, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(ps->err->message, sizeof(ps->err->message), format, args);
  va_end(args);
  locate(ps->err, ps->text, ps->end, at);
  errno = EINVAL;
  return NULL;
}

void *parse_no_memory(struct parser *ps) {
  parse_fail(ps, ps->p, "out of memory");
  errno = ENOMEM;
  return NULL;
}

void json_error_print(FILE *out, const char *file,
                      const struct json_error *err) {
  if (err->line == 0) {
    fprintf(out, "%s: %s\n", file, err->message);
    return;
  }
  fprintf(out, "%s:%zu:%zu: %s\n", file, err->line, err->column, err->message);
  fprintf(out, "    %s\n    ", err->excerpt);
  const char *p = err->excerpt;
  for (size_t n = err->caret; n > 0 && *p; p++) {
    if (!starts_character(*p)) continue;
    fputc(*p == '\t' ? '\t' : ' ', out);
    n--;
  }
  fputs("^\n", out);
}
