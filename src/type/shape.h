// SPDX-License-Identifier: MIT
/*
 * Canonical descriptors: equality of types, and building descriptors in memory
 * that is never given back. A descriptor is one block: the descriptor and its
 * tail, mask or program, field records, names; so its offsets always reach.
 */
#ifndef MGC_TYPE_SHAPE_H
#define MGC_TYPE_SHAPE_H

#include "type/name.h"
#include "type/type.h"

/* One type: name, kind and layout agree. */
bool shape_equal(const struct mgc_type *a, const struct mgc_type *b);

/* The canonical descriptor that is equal to t, or NULL. */
const struct mgc_type *shape_find_locked(struct type_registry *r,
                                         const struct mgc_type *t)
    MGC_REQUIRES(r->lock);
/* The same, made when there is none; NULL when memory is exhausted. */
const struct mgc_type *shape_intern_locked(struct type_registry *r,
                                           const struct mgc_type *t)
    MGC_REQUIRES(r->lock);

/* What a new descriptor shall be. */
struct shape_draft {
  struct mgc_type type; /* size to equal; kind without flag; no star flag */
  struct type_name name;
  const uint64_t *mask; /* NULL: the caller fills it in; not when prog */
  bool prog;            /* the field records are the pointer program */
  size_t nfields;       /* records, filled in by the caller */
  size_t strings;       /* bytes of names, filled in by the caller */
  uint64_t (*hash)(const void *p, uint64_t seed); /* of a struct */
  struct mgc_elemtail elem;                       /* of the kinds with one */
  size_t nmethods; /* of an interface, filled in by the caller */
};

/* A block under construction. */
struct shape_block {
  struct mgc_type *type; /* NULL: no memory */
  struct mgc_field *fields;
  struct mgc_imethod *methods;
  char *strings;
  size_t size;
};

struct shape_block shape_begin_locked(struct type_registry *r,
                                      const struct shape_draft *d)
    MGC_REQUIRES(r->lock);
/* Ends construction: an equal descriptor that there is already, and then the
 * block is kept for the next one, or this one, or NULL without memory. */
const struct mgc_type *shape_end_locked(struct type_registry *r,
                                        struct shape_block *b)
    MGC_REQUIRES(r->lock);

#endif
