// SPDX-License-Identifier: MIT
/*
 * A small JSON library (RFC 8259) whose documents live on mallocgc's heap.
 *
 *   struct json_error err;
 *   struct json *doc = json_load("config.json", NULL, &err);
 *   if (!doc) json_error_print(stderr, "config.json", &err);
 *   double port = json_double(json_get(json_get(doc, "server"), "port"));
 *   json_set(doc, "visited", json_bool(true));
 *   json_print(stdout, doc, 2);
 *
 * There is no free function: a document, or any part of it, lives as long as
 * something points to it, and parts may be shared between documents. A value is
 * a `struct json *`:
 *
 *   string   the NUL-terminated UTF-8 text itself. U+0000 is kept as the two
 *            bytes C0 80, which valid UTF-8 never has, so strlen tells the truth
 *   number   its text, exactly as written: nothing is rounded until a getter asks
 *   array    a vector of values; object: a vector of members in document order
 *   true, false, null    constants; they take no memory
 *
 * Strings and numbers never change after they are made; arrays and objects do.
 * Names in an object may repeat: json_get finds the last one, as most languages
 * do, and json_write writes them all.
 *
 * Errors. Functions that make something return NULL, and functions that change
 * something return false, with errno ENOMEM when memory is exhausted, EINVAL for
 * a bad argument, ELOOP when values nest deeper than JSON_DEPTH_MAX (a cycle, for
 * example). Getters accept NULL and values of any kind: a missing value reads as
 * a missing one, so that calls can be chained.
 *
 * Threads. As with any plain data: documents that nobody changes may be read by
 * many threads; otherwise the caller locks.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json; /* opaque; the first byte tells what it is (node.h) */

enum json_kind {
  JSON_MISSING, /* NULL: no such member, index out of range */
  JSON_STRING,
  JSON_NULL,
  JSON_FALSE,
  JSON_TRUE,
  JSON_NUMBER,
  JSON_ARRAY,
  JSON_OBJECT
};

/* Every function here nests at most this deep, on any thread's stack. */
#define JSON_DEPTH_MAX 1000

/* ---- reading: parse.c, load.c ---- */

struct json_options {
  unsigned
      max_depth; /* arrays and objects inside one another; 0: the maximum */
};

/* Where and why a text is not JSON. */
struct json_error {
  size_t line;   /* from 1; 0: the file could not be read */
  size_t column; /* from 1, in characters */
  size_t offset; /* from 0, in bytes */
  char message[96];
  char excerpt[80]; /* the line, or the part of it around the error */
  size_t caret;     /* characters of the excerpt before the error */
};

/* The document in text[0, len), or NULL with *err (if given) filled in. The text
 * is not kept. options may be NULL. */
struct json *json_parse(const char *text, size_t len,
                        const struct json_options *options,
                        struct json_error *err);
/* The same for a file; its errors may also be the system's (err->line is 0). */
struct json *json_load(const char *path, const struct json_options *options,
                       struct json_error *err);
/* A file's bytes on the heap, NUL-terminated, or NULL with errno. */
char *json_read_file(const char *path, size_t *len);
/* Writes FILE:LINE:COLUMN: message, then the excerpt and a caret below it. */
void json_error_print(FILE *out, const char *file,
                      const struct json_error *err);

/* ---- looking: tree.c ---- */

enum json_kind json_kind(const struct json *v);
const char *json_kind_name(enum json_kind kind);
bool json_is_true(const struct json *v);
/* The text of a string; NULL for anything else. */
const char *json_text(const struct json *v);
/* The text of a number; NULL for anything else. */
const char *json_number_text(const struct json *v);
/* The nearest double of a number; NaN for anything else. */
double json_double(const struct json *v);
/* True when v is a number with exactly an integer value in range. */
bool json_int64(const struct json *v, int64_t *out);
/* Elements of an array, members of an object, else 0. */
size_t json_length(const struct json *v);
/* Element i of an array, or value of member i of an object. */
struct json *json_at(const struct json *v, size_t i);
/* Name of member i of an object. */
const char *json_name_at(const struct json *v, size_t i);
/* Value of the last member called name. Takes time linear in the length. */
struct json *json_get(const struct json *v, const char *name);

/* ---- making and changing: tree.c, edit.c ---- */

struct json *json_null(void);
struct json *json_bool(bool b);
/* text must be UTF-8 (C0 80 stands for U+0000); it is copied. */
struct json *json_string(const char *text);
struct json *json_string_n(const char *text, size_t len);
/* value must be finite. */
struct json *json_number(double value);
struct json *json_integer(int64_t value);
/* A number from its JSON text, kept digit for digit. */
struct json *json_number_from_text(const char *text);
struct json *json_array(void);
struct json *json_object(void);
/* A copy that shares no array or object with v. Texts are shared: they never
 * change. */
struct json *json_copy(const struct json *v);

bool json_append(struct json *array, struct json *v);
bool json_insert(struct json *array, size_t i, struct json *v);
/* Replaces element i of an array or the value of member i of an object. */
bool json_put(struct json *v, size_t i, struct json *value);
/* Removes element or member i. */
bool json_remove_at(struct json *v, size_t i);
/* Sets the last member called name, or adds one. */
bool json_set(struct json *object, const char *name, struct json *v);
/* Removes every member called name; false when there was none. */
bool json_remove(struct json *object, const char *name);

/* ---- comparing: equal.c ---- */

/* The same value: numbers by value (1.0 is 1e0), objects whatever the order of
 * their members. False also for trees that nest deeper than the maximum, or when
 * memory runs out (errno tells). */
bool json_equal(const struct json *a, const struct json *b);

/* ---- writing: write.c ---- */

/* The text of v on the heap, NUL-terminated; *len (if given) is its length.
 * indent 0 writes one compact line, otherwise that many spaces a level. */
char *json_write(const struct json *v, unsigned indent, size_t *len);
/* Writes v and a newline; false with errno when the stream has an error. */
bool json_print(FILE *out, const struct json *v, unsigned indent);

#endif
