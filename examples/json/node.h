// SPDX-License-Identifier: MIT
/*
 * How values are laid out; see json.h for what they mean. Included by the
 * library's own files only.
 *
 * The first byte of a value tells its kind. A string has no header at all: it
 * is its UTF-8 text, whose first byte is never 0xF8 or above, so those bytes
 * are free to mark the other kinds. Most strings and numbers of real documents
 * are shorter than 16 bytes; they hold no pointers, and the heap's tiny
 * allocator packs them together byte by byte.
 *
 *   string   text NUL                      noscan, exactly as long as needed
 *   number   TAG_NUMBER text NUL           noscan, exactly as long as needed
 *   array    struct json_array             16 bytes, typed  -> items
 *   object   struct json_object            16 bytes, typed  -> members
 *
 * A parsed vector has exactly its length; one that has grown has a power of two
 * of places.
 */
#ifndef JSON_NODE_H
#define JSON_NODE_H

#include "json.h"

#include <errno.h>
#include <mallocgc.h>
#include <string.h>

enum {
  TAG_NULL = 0xf8,
  TAG_FALSE,
  TAG_TRUE,
  TAG_NUMBER,
  TAG_ARRAY,
  TAG_OBJECT
};

struct json {
  uint8_t tag; /* below TAG_NULL: the first byte of a string */
};

struct json_item {
  struct json *value;
};

struct json_member {
  const char *name;
  struct json *value;
};

struct json_array {
  uint8_t tag;
  uint8_t cap_log2; /* 0: items has len places, else 1 << cap_log2 */
  uint32_t len;
  struct json_item *items; /* NULL when len is 0 and nothing was added */
};

struct json_object {
  uint8_t tag;
  uint8_t cap_log2;
  uint32_t len;
  struct json_member *members;
};

static inline struct json_array *as_array(const struct json *v) {
  return v && v->tag == TAG_ARRAY ? (struct json_array *)(uintptr_t)v : NULL;
}
static inline struct json_object *as_object(const struct json *v) {
  return v && v->tag == TAG_OBJECT ? (struct json_object *)(uintptr_t)v : NULL;
}

/* ---- tree.c ---- */

/* Vectors of n places, zero; NULL with errno. Unlike mgc_new_array's, they have
 * no byte to spare for a pointer past the end, which this library never holds:
 * vectors whose bytes are a power of two would take the next size class. */
struct json_item *items_new(size_t n);
struct json_member *members_new(size_t n);
/* An array or object of n elements, not filled in; NULL with errno. */
struct json_array *array_new(size_t n);
struct json_object *object_new(size_t n);

/* ---- text.c ---- */

/* A block for n bytes and a NUL, to be filled in; NULL with errno. */
char *text_buffer(size_t n);
/* A copy of the n bytes at text, none of them NUL, and a NUL; NULL with errno. */
char *text_copy(const char *text, size_t n);
/* Length of the valid UTF-8 sequence at p (1 to 4), or 0. */
unsigned utf8_length(const unsigned char *p, const unsigned char *end);
/* Writes code point c, U+0000 as C0 80; returns the bytes written, at most 4. */
unsigned utf8_put(char *out, uint32_t c);
/* End of the JSON number at p, or NULL with *at where it goes wrong. */
const char *number_end(const char *p, const char *end, const char **at);
struct json *number_new(const char *text, size_t len);
/* <0, 0, >0 as number text a is less than, equal to or greater than b. Exact. */
int number_compare(const char *a, const char *b);

#endif
