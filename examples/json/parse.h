// SPDX-License-Identifier: MIT
/* Between parse.c, scan.c and error.c: the state of one parse. */
#ifndef JSON_PARSE_H
#define JSON_PARSE_H

#include "node.h"

struct parser {
  const char *text;
  const char *p; /* next character */
  const char *end;
  unsigned depth, max_depth;
  /* Elements of the vectors that are still open, innermost last: each vector is
   * made when its length is known. Arrays leave the names empty. */
  struct json_member *stack;
  size_t top, room;
  struct json_error *err; /* never NULL */
};

/* Notes the error at a place in the text; always NULL. */
__attribute__((format(printf, 3, 4))) void *
parse_fail(struct parser *ps, const char *at, const char *format, ...);
/* Notes that memory is exhausted; always NULL. */
void *parse_no_memory(struct parser *ps);

/* The string whose opening quote is at ps->p, decoded; NULL after an error. */
char *scan_string(struct parser *ps);
struct json *scan_number(struct parser *ps);

#endif
