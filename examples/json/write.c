// SPDX-License-Identifier: MIT
/*
 * Values back to text. The text goes through a small buffer to a sink: a stream,
 * or a block on the heap that doubles. What is written reads back as an equal
 * value; numbers keep their digits.
 */
#include "node.h"

struct writer {
  FILE *out;  /* NULL: into text */
  char *text; /* on the heap */
  size_t len, room;
  unsigned indent;
  unsigned depth;
  bool failed; /* errno tells */
};

static void grow(struct writer *w, size_t more) {
  size_t room = w->room ? 2 * w->room : 256;
  while (room < w->len + more) room *= 2;
  char *text = text_buffer(room);
  if (!text) {
    w->failed = true;
    return;
  }
  if (w->len > 0) memcpy(text, w->text, w->len);
  w->text = text;
  w->room = room;
}

static void put(struct writer *w, const char *s, size_t n) {
  if (w->failed) return;
  if (w->out) {
    if (fwrite(s, 1, n, w->out) != n) w->failed = true;
    return;
  }
  if (w->room - w->len < n) grow(w, n);
  if (w->failed) return;
  memcpy(w->text + w->len, s, n);
  w->len += n;
}

static void put_newline(struct writer *w) {
  static const char spaces[] = "                                ";
  if (w->indent == 0) return;
  put(w, "\n", 1);
  for (size_t n = (size_t)w->indent * w->depth; n > 0;) {
    size_t part = n < sizeof(spaces) - 1 ? n : sizeof(spaces) - 1;
    put(w, spaces, part);
    n -= part;
  }
}

/* Writes the escape for the character at p; returns its bytes. */
static size_t put_escape(struct writer *w, const char *p) {
  static const char letters[] = "btn?fr"; /* U+0008 to U+000D */
  char text[8] = {'\\', *p};
  unsigned char c = (unsigned char)*p;
  size_t len = 2, taken = 1;
  if (c == 0xc0) { /* C0 80 */
    len = (size_t)snprintf(text, sizeof(text), "\\u0000");
    taken = 2;
  } else if (c >= '\b' && c <= '\r' && c != '\v') {
    text[1] = letters[c - '\b'];
  } else if (c < 0x20) {
    len = (size_t)snprintf(text, sizeof(text), "\\u%04x", c);
  }
  put(w, text, len);
  return taken;
}

static bool is_plain(char c) {
  unsigned char u = (unsigned char)c;
  return u >= 0x20 && u != '"' && u != '\\' && u != 0xc0;
}

static void put_string(struct writer *w, const char *p) {
  put(w, "\"", 1);
  while (*p) {
    const char *from = p;
    while (is_plain(*p)) p++;
    if (p > from) put(w, from, (size_t)(p - from));
    if (*p) p += put_escape(w, p);
  }
  put(w, "\"", 1);
}

static void put_value(struct writer *w, const struct json *v);

static void put_array(struct writer *w, const struct json_array *a) {
  put(w, "[", 1);
  w->depth++;
  for (uint32_t i = 0; i < a->len; i++) {
    if (i > 0) put(w, ",", 1);
    put_newline(w);
    put_value(w, a->items[i].value);
  }
  w->depth--;
  if (a->len > 0) put_newline(w);
  put(w, "]", 1);
}

static void put_object(struct writer *w, const struct json_object *o) {
  put(w, "{", 1);
  w->depth++;
  for (uint32_t i = 0; i < o->len; i++) {
    if (i > 0) put(w, ",", 1);
    put_newline(w);
    put_string(w, o->members[i].name);
    put(w, ": ", w->indent ? 2 : 1);
    put_value(w, o->members[i].value);
  }
  w->depth--;
  if (o->len > 0) put_newline(w);
  put(w, "}", 1);
}

static void put_value(struct writer *w, const struct json *v) {
  enum json_kind kind = json_kind(v);
  bool nests = kind == JSON_ARRAY || kind == JSON_OBJECT;
  if (kind == JSON_MISSING || (nests && w->depth == JSON_DEPTH_MAX)) {
    w->failed = true;
    errno = kind == JSON_MISSING ? EINVAL : ELOOP;
  }
  if (w->failed) return;
  switch (kind) {
  case JSON_STRING:
    put_string(w, json_text(v));
    return;
  case JSON_NUMBER:
    put(w, json_number_text(v), strlen(json_number_text(v)));
    return;
  case JSON_ARRAY:
    put_array(w, as_array(v));
    return;
  case JSON_OBJECT:
    put_object(w, as_object(v));
    return;
  default: { /* true, false, null: named as they are written */
    const char *name = json_kind_name(kind);
    put(w, name, strlen(name));
    return;
  }
  }
}

char *json_write(const struct json *v, unsigned indent, size_t *len) {
  struct writer w = {.indent = indent};
  put_value(&w, v);
  put(&w, "", 1); /* the NUL */
  if (w.failed) return NULL;
  if (len) *len = w.len - 1;
  return w.text;
}

bool json_print(FILE *out, const struct json *v, unsigned indent) {
  struct writer w = {.out = out, .indent = indent};
  put_value(&w, v);
  put(&w, "\n", 1);
  return !w.failed;
}
