// SPDX-License-Identifier: MIT
/*
 * The grammar of RFC 8259, by recursive descent; strings and numbers are in
 * scan.c. Children are gathered on one stack that all open arrays and objects
 * share, so that each vector is allocated once, with exactly its length. The
 * stack is on the heap too: half-made documents are found by the collector
 * through it and through the C stack.
 */
#include "parse.h"

static struct json *parse_value(struct parser *ps);

static void skip_space(struct parser *ps) {
  const char *p = ps->p;
  while (p < ps->end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) {
    p++;
  }
  ps->p = p;
}

static bool at_char(const struct parser *ps, char c) {
  return ps->p < ps->end && *ps->p == c;
}

static bool push(struct parser *ps, const char *name, struct json *value) {
  if (ps->top == ps->room) {
    size_t room = ps->room ? 2 * ps->room : 64;
    struct json_member *stack = members_new(room);
    if (!stack) {
      parse_no_memory(ps);
      return false;
    }
    if (ps->top > 0) memcpy(stack, ps->stack, ps->top * sizeof(*stack));
    ps->stack = stack;
    ps->room = room;
  }
  ps->stack[ps->top++] = (struct json_member){name, value};
  return true;
}

/* After an element: true at a comma, which is skipped. */
static bool next_element(struct parser *ps, char close) {
  skip_space(ps);
  if (!at_char(ps, ',')) return false;
  const char *comma = ps->p++;
  skip_space(ps);
  if (!at_char(ps, close)) return true;
  ps->p = comma;
  return false;
}

static struct json *unclosed(struct parser *ps, const char *open, char close) {
  if (ps->p == ps->end) {
    return parse_fail(ps, ps->p, "the text ends, and a '%c' is not closed",
                      *open);
  }
  if (*ps->p == ',') {
    return parse_fail(ps, ps->p, "comma before the closing '%c'", close);
  }
  return parse_fail(ps, ps->p, "',' or '%c' expected", close);
}

static struct json *parse_array(struct parser *ps) {
  const char *open = ps->p++;
  size_t base = ps->top;
  skip_space(ps);
  if (!at_char(ps, ']')) {
    do {
      struct json *v = parse_value(ps);
      if (!v || !push(ps, NULL, v)) return NULL;
    } while (next_element(ps, ']'));
  }
  if (!at_char(ps, ']')) return unclosed(ps, open, ']');
  ps->p++;

  struct json_array *a = array_new(ps->top - base);
  if (!a) return parse_no_memory(ps);
  for (uint32_t i = 0; i < a->len; i++) {
    a->items[i].value = ps->stack[base + i].value;
  }
  ps->top = base;
  return (struct json *)a;
}

static bool parse_member(struct parser *ps) {
  if (!at_char(ps, '"')) {
    parse_fail(ps, ps->p,
               ps->p == ps->end ? "the text ends where a name is expected"
                                : "a name in double quotes expected");
    return false;
  }
  char *name = scan_string(ps);
  if (!name) return false;
  skip_space(ps);
  if (!at_char(ps, ':')) {
    parse_fail(ps, ps->p, "':' expected after a name");
    return false;
  }
  ps->p++;
  skip_space(ps);
  struct json *v = parse_value(ps);
  return v && push(ps, name, v);
}

static struct json *parse_object(struct parser *ps) {
  const char *open = ps->p++;
  size_t base = ps->top;
  skip_space(ps);
  if (!at_char(ps, '}')) {
    do {
      if (!parse_member(ps)) return NULL;
    } while (next_element(ps, '}'));
  }
  if (!at_char(ps, '}')) return unclosed(ps, open, '}');
  ps->p++;

  struct json_object *o = object_new(ps->top - base);
  if (!o) return parse_no_memory(ps);
  if (o->len > 0) {
    memcpy(o->members, ps->stack + base, o->len * sizeof(*o->members));
  }
  ps->top = base;
  return (struct json *)o;
}

static struct json *parse_nested(struct parser *ps) {
  if (ps->depth == ps->max_depth) {
    return parse_fail(ps, ps->p, "nested more than %u deep", ps->max_depth);
  }
  ps->depth++;
  struct json *v = *ps->p == '[' ? parse_array(ps) : parse_object(ps);
  ps->depth--;
  return v;
}

static struct json *parse_literal(struct parser *ps, const char *literal,
                                  struct json *value) {
  size_t n = strlen(literal);
  if ((size_t)(ps->end - ps->p) < n || memcmp(ps->p, literal, n) != 0) {
    return parse_fail(ps, ps->p, "a value expected; did you mean %s?", literal);
  }
  ps->p += n;
  return value;
}

static struct json *parse_value(struct parser *ps) {
  if (ps->p == ps->end) {
    return parse_fail(ps, ps->p, "the text ends where a value is expected");
  }
  switch (*ps->p) {
  case '{':
  case '[':
    return parse_nested(ps);
  case '"':
    return (struct json *)scan_string(ps);
  case 't':
    return parse_literal(ps, "true", json_bool(true));
  case 'f':
    return parse_literal(ps, "false", json_bool(false));
  case 'n':
    return parse_literal(ps, "null", json_null());
  case '-':
  case '0':
  case '1':
  case '2':
  case '3':
  case '4':
  case '5':
  case '6':
  case '7':
  case '8':
  case '9':
    return scan_number(ps);
  default:
    return parse_fail(ps, ps->p, "a value expected");
  }
}

struct json *json_parse(const char *text, size_t len,
                        const struct json_options *options,
                        struct json_error *err) {
  struct json_error unused;
  unsigned max_depth = options ? options->max_depth : 0;
  struct parser ps = {
      .text = text,
      .p = text,
      .end = text + len,
      .max_depth = max_depth == 0 || max_depth > JSON_DEPTH_MAX ? JSON_DEPTH_MAX
                                                                : max_depth,
      .err = err ? err : &unused,
  };
  if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
    return parse_fail(&ps, text, "a byte order mark is not JSON");
  }
  skip_space(&ps);
  struct json *v = parse_value(&ps);
  if (!v) return NULL;
  skip_space(&ps);
  if (ps.p < ps.end) {
    return parse_fail(&ps, ps.p, "more text after the document");
  }
  return v;
}
