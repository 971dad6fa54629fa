// SPDX-License-Identifier: MIT
/*
 * The itab cache: the method table of a type for an interface, made once for
 * each pair (Go: iface.go).
 *
 * An open-addressed table of pointers with triangular probing, which meets every
 * slot of a power of two. Readers take no lock: they load the table, then its
 * slots, until they find the pair or an empty slot; entries are published with
 * release and never change. Writers hold the lock. At three quarters full the
 * table is copied to one twice as large; the old one stays, for readers that are
 * in it. A pair whose type lacks a method has an entry too, with nfun 0, so that
 * a failing conversion costs a lookup and not a comparison of methods.
 *
 * Invariants (itab_verify): I1 each entry can be found by its pair; I2 no pair is
 * there twice; I3 count is the number of entries, at most 3/4 of the capacity.
 */
#ifndef MGC_TYPE_ITAB_H
#define MGC_TYPE_ITAB_H

#include "base/atomic.h"
#include "base/lock.h"
#include "base/persistent.h"
#include "mallocgc/iface.h"

#define ITAB_INITIAL 512 /* slots; Go's itabInitSize */

struct itab_table {
  size_t capacity;           /* (c) a power of two */
  size_t count;              /* (m) */
  struct atomic_ptr slots[]; /* (a) struct mgc_itab *, written under the lock */
};

/* Lock key: (c) const after init, (m) the cache's lock, (a) atomic. */
struct itab_cache {
  struct mutex lock;         /* rank itab */
  struct atomic_ptr table;   /* (a) struct itab_table *; NULL: none yet */
  struct persistent *memory; /* (m) NULL: nothing can be made */
  struct memstat *stat;      /* (m) */
};

void itab_init(struct itab_cache *c, struct persistent *memory,
               struct memstat *stat);

enum itab_answer {
  ITAB_FOUND,
  ITAB_MISSING,    /* the type lacks a method, or inter is no interface */
  ITAB_NOT_CACHED, /* itab_peek: ask itab_get */
  ITAB_NO_MEMORY,
};

/* Takes no lock. *answer says why it is NULL. */
const struct mgc_itab *itab_peek(struct itab_cache *c,
                                 const struct mgc_type *inter,
                                 const struct mgc_type *type,
                                 enum itab_answer *answer);

/* The same, and makes the entry when there is none. */
const struct mgc_itab *itab_get(struct itab_cache *c,
                                const struct mgc_type *inter,
                                const struct mgc_type *type,
                                enum itab_answer *answer);
/* Takes out the pairs with a descriptor in [lo, hi): its module is going. */
void itab_forget(struct itab_cache *c, const char *lo, const char *hi);
/* Fatal (verify_fail) when an invariant is broken. */
void itab_verify(struct itab_cache *c);

#endif
