// SPDX-License-Identifier: MIT
/*
 * Types, inside the library: the registry of modules and the descriptors that
 * are made at run time. The public half, with the formats, is mallocgc/type.h;
 * masks are in type/ptrmask.h.
 *
 * struct type_registry holds the list of modules, the index by name, and the
 * canonical descriptors: copies and run-time types in memory that is never
 * given back. Everything that must outlive a dlclose points to canonical ones:
 *
 *   a slot (mgc_typeof) uses a descriptor of its own module directly, since the
 *   slot goes when the descriptor goes; any other is interned first;
 *   a span that remembers a descriptor learns from on_unregister that the
 *   descriptors between m->types and m->etypes are going, and replaces each by
 *   type_intern of it, or by type_conservative when that fails.
 *
 * Invariants (checked by type_registry_verify):
 *   I1  a module is in the list exactly when its `registered` is 1.
 *   I2  the descriptors of a module tile [types, etypes) exactly, 8-aligned.
 *   I3  ptrdata is a multiple of 8 and at most size; gcdata is NULL exactly
 *       when it is 0; bits past ptrdata are clear and the last bit is set.
 *   I4  name, field and pointer-type offsets stay inside the module's sections.
 *   I5  the index holds every named descriptor of every module exactly once.
 *   I6  no two canonical descriptors are equal types.
 */
#ifndef MGC_TYPE_TYPE_H
#define MGC_TYPE_TYPE_H

#include "base/lock.h"
#include "base/persistent.h"
#include "mallocgc/type.h"

struct type_index {
  const struct mgc_type **slots; /* open addressing, capacity a power of two */
  size_t capacity;
  size_t count;
};

/* Lock key: (c) const after init, (m) the registry's lock. */
struct type_registry {
  struct mutex lock;              /* rank modules */
  struct mgc_moduledata *modules; /* (m) in order of registration */
  struct type_index index;        /* (m) descriptors of modules, by name */
  struct type_index canonical;    /* (m) interned descriptors, by name */
  bool stale;                     /* (m) index must be built again */
  struct persistent *memory;      /* (c) NULL: lookups walk, nothing is made */
  struct memstat *stat;           /* (c) */
  /* (c) Called with the lock not held, before the descriptors go: no lookup
   * finds them any more. May be NULL. */
  void (*on_unregister)(void *arg, const struct mgc_moduledata *m);
  void *on_unregister_arg; /* (c) */
};

/* The registry of the process: constructors of modules run before any init.
 * Statically initialised; type_registry_start gives it its memory. */
struct type_registry *type_registry_default(void);

/* A registry without modules. memory may be NULL, see above. */
void type_registry_init(struct type_registry *r, struct persistent *memory,
                        struct memstat *stat);
/* Gives a registry its memory and its hook, once. */
void type_registry_start(struct type_registry *r, struct persistent *memory,
                         struct memstat *stat,
                         void (*on_unregister)(void *arg,
                                               const struct mgc_moduledata *m),
                         void *arg);

void type_register(struct type_registry *r, struct mgc_moduledata *m);
void type_unregister(struct type_registry *r, struct mgc_moduledata *m);

/* What a lookup by name found. */
enum type_found {
  TYPE_FOUND,
  TYPE_UNKNOWN,   /* no type of that name */
  TYPE_MISMATCH,  /* the name is known with another size or alignment */
  TYPE_AMBIGUOUS, /* one name and size, several layouts */
};

/* Looks a type up by name, size and align (0: any) for use from module `from`
 * (may be NULL), and gives a descriptor that is valid as long as that module:
 * see the head. &type_conservative when *how is not TYPE_FOUND. */
const struct mgc_type *type_lookup(struct type_registry *r, const char *name,
                                   size_t size, size_t align,
                                   const struct mgc_moduledata *from,
                                   enum type_found *how);

/* The canonical descriptor of t's type; NULL when memory is exhausted. */
const struct mgc_type *type_intern(struct type_registry *r,
                                   const struct mgc_type *t);

/* Fatal (verify_fail) when an invariant is broken. Takes the lock. */
void type_registry_verify(struct type_registry *r);

/* The same objects as mgc_type_conservative and mgc_type_bytes. */
extern const struct mgc_type type_conservative
    __attribute__((visibility("hidden")));
extern const struct mgc_type type_bytes __attribute__((visibility("hidden")));

#endif
