// SPDX-License-Identifier: MIT
/*
 * Type names: their records in mgc_names (see mallocgc/type.h) and the normal
 * form under which they are compared. Normal form: spaces only between two
 * identifier characters, stars at the end moved to the front ("struct node *"
 * is "*struct node").
 */
#ifndef MGC_TYPE_NAME_H
#define MGC_TYPE_NAME_H

#include "mallocgc/type.h"

/* Longer names are not found and not made. */
#define TYPE_NAME_MAX 1000

struct type_name {
  const char *s; /* NUL-terminated */
  size_t n;
};

/* The record at a place-relative offset; {"", 0} for 0. */
struct type_name name_at(const int32_t *place);
/* Without an extra star. */
struct type_name type_name_of(const struct mgc_type *t);

/* The normal form of s in out, NUL-terminated. Returns its length, or 0 when s is
 * empty or longer than TYPE_NAME_MAX. */
size_t name_normalise(struct type_name s, char out[TYPE_NAME_MAX + 1]);
bool name_equal(struct type_name a, struct type_name b);

/* Bytes of the record of a name of n characters. */
size_t name_record_size(size_t n);
/* Writes the record of front (one character, or 0) and the name at `to`, and its
 * offset at *place. Returns the first byte after it. */
char *name_write(char *to, char front, struct type_name name, int32_t *place);

#endif
