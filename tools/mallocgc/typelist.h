// SPDX-License-Identifier: MIT
/*
 * The type descriptors of an ELF file, read from its sections mgc_types and
 * mgc_fields (the format is in mallocgc/type.h), with every reference checked
 * and followed.
 */
#ifndef MGC_MALLOCGC_TYPELIST_H
#define MGC_MALLOCGC_TYPELIST_H

#include "elfimage.h"

#include <mallocgc/type.h>

struct listed_field {
  const char *name; /* "" when it has none */
  uint64_t offset;  /* in the struct, or in the element of the group it is in */
  uint64_t size;
  uint64_t stride; /* of a group: distance of the elements */
  uint8_t kind;
  bool pointer;
  size_t nsub; /* members of a group: the nsub fields that follow */
};

struct listed_type {
  struct mgc_type desc; /* its pointers mean nothing here */
  const char *name;     /* without the extra star */
  const uint8_t *mask;  /* NULL without pointers, and for a program */
  struct listed_field *fields;
  size_t nfields;
};

struct type_list {
  struct elfimage *image;
  struct listed_type *types; /* sorted by name, equal ones once */
  size_t ntypes;
};

/* False on failure, with the reason in error, of n bytes. A file without
 * descriptors gives an empty list. */
bool type_list_read(struct type_list *list, const char *path, char *error,
                    size_t n);
void type_list_free(struct type_list *list);

/* May word w of a value hold a pointer? */
bool listed_type_is_pointer(const struct listed_type *t, uint64_t w);

#endif
