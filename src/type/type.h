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
 *   slot goes when the descriptor goes, and one of a program, which is never
 *   closed; any other is interned first. A slot is resolved once: one that found
 *   no type stays conservative when a module brings the type later;
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

#include "base/atomic.h"
#include "base/lock.h"
#include "base/persistent.h"
#include "mallocgc/type.h"

struct itab_cache;
struct mgc_typeslot;

struct type_index {
  const struct mgc_type **slots; /* open addressing, capacity a power of two */
  size_t capacity;
  size_t count;
};

/* What a lookup by name found. */
enum type_found {
  TYPE_FOUND,
  TYPE_UNKNOWN,   /* no type of that name */
  TYPE_MISMATCH,  /* the name is known with another size or alignment */
  TYPE_AMBIGUOUS, /* one name and size, several layouts */
  TYPE_NO_MEMORY, /* found, but there was no memory to keep a copy */
};

/* What the layers above do for this one. All may be NULL; all are called with
 * no lock held. */
struct type_hooks {
  void *arg;
  /* Before the descriptors between m->types and m->etypes go: no lookup finds
   * them any more. */
  void (*on_unregister)(void *arg, const struct mgc_moduledata *m);
  /* A slot's lookup failed although its name is known. */
  void (*on_mismatch)(void *arg, const char *name, size_t size,
                      enum type_found how);
  /* Boxes a value: zeroed, or NULL. */
  void *(*newobject)(void *arg, const struct mgc_type *t);
};

/* Lock key: (c) const after init, (m) the registry's lock, (a) atomic. */
struct type_registry {
  struct mutex lock;              /* rank modules */
  struct mgc_moduledata *modules; /* (m) in order of registration */
  struct type_index index;        /* (m) descriptors of modules, by name */
  struct type_index canonical;    /* (m) interned descriptors, by shape */
  bool stale;                     /* (m) index must be built again */
  char *spare;                    /* (m) block left by a duplicate, zeroed */
  size_t spare_size;              /* (m) */
  struct persistent *memory;      /* (c) NULL: lookups walk, nothing is made */
  struct memstat *stat;           /* (c) */
  struct type_hooks hooks;        /* (c) */
  struct itab_cache *itabs;       /* (c) forgets a module's types; or NULL */
  struct atomic_u64 nan_hashes;   /* (a) a statistic: no two NaNs hash alike */
};

/* The registry of the process: constructors of modules run before any init, so
 * it is statically initialised; type_registry_start gives it its memory. */
struct type_registry *type_registry_default(void);

/* A registry without modules, with its memory (see above) and hooks (NULL:
 * none). */
void type_registry_init(struct type_registry *r, struct persistent *memory,
                        struct memstat *stat, const struct type_hooks *hooks);
/* The same for the default registry, which may have modules already: once,
 * while the process has one thread that allocates. */
void type_registry_start(struct type_registry *r, struct persistent *memory,
                         struct memstat *stat, const struct type_hooks *hooks);

void type_register(struct type_registry *r, struct mgc_moduledata *m);
/* Lookups and itabs of the module end here. True when it was registered and can
 * be closed: then type_forget, with no lock held and outside the allocator. */
bool type_unregister(struct type_registry *r, struct mgc_moduledata *m);
/* Tells the layers above (on_unregister). */
void type_forget(struct type_registry *r, const struct mgc_moduledata *m);

/* Looks a type up by name, size and align (0: any) for use from module `from`
 * (may be NULL), and gives a descriptor that is valid as long as that module:
 * see the head. &type_conservative when *how is not TYPE_FOUND. */
const struct mgc_type *type_lookup(struct type_registry *r, const char *name,
                                   size_t size, size_t align,
                                   const struct mgc_moduledata *from,
                                   enum type_found *how);
/* The first descriptor of that name; NULL when modules disagree. Not kept. */
const struct mgc_type *type_find(struct type_registry *r, const char *name);

/* The canonical descriptor of t's type; NULL when memory is exhausted. */
const struct mgc_type *type_intern(struct type_registry *r,
                                   const struct mgc_type *t);

/* Types made at run time; see the public functions of the same names. NULL with
 * *error EINVAL or ENOMEM. */
const struct mgc_type *type_make(struct type_registry *r, const char *name,
                                 size_t size, size_t align, const uint8_t *mask,
                                 size_t nwords, int *error);
const struct mgc_type *type_struct(struct type_registry *r, const char *name,
                                   size_t size, size_t align,
                                   const struct mgc_structfield *fields,
                                   size_t nfields, int *error);
const struct mgc_type *type_array(struct type_registry *r,
                                  const struct mgc_type *elem, size_t n,
                                  int *error);
const struct mgc_type *type_pointer(struct type_registry *r,
                                    const struct mgc_type *elem, int *error);
const struct mgc_type *type_interface(struct type_registry *r, const char *name,
                                      const struct mgc_imethod *methods,
                                      size_t nmethods, int *error);

/* Hash and equality; false: the type has none. */
bool type_hash(struct type_registry *r, const struct mgc_type *t, const void *p,
               uint64_t seed, uint64_t *hash);
enum mgc_equality type_equal_values(const struct mgc_type *t, const void *p,
                                    const void *q);

/* Fatal (verify_fail) when an invariant is broken. Takes the lock. */
void type_registry_verify(struct type_registry *r);

/* The tails of a descriptor; the kind must be right. */
static inline const struct mgc_structtail *
type_structtail(const struct mgc_type *t) {
  return (const struct mgc_structtail *)(const void *)(t + 1);
}
static inline const struct mgc_elemtail *
type_elemtail(const struct mgc_type *t) {
  return (const struct mgc_elemtail *)(const void *)(t + 1);
}
static inline const struct mgc_interfacetail *
type_interfacetail(const struct mgc_type *t) {
  return (const struct mgc_interfacetail *)(const void *)(t + 1);
}
/* NULL without MGC_TFLAG_UNCOMMON. */
const struct mgc_uncommon *type_uncommon(const struct mgc_type *t);

/* The same objects as mgc_type_conservative and mgc_type_bytes. */
extern const struct mgc_type type_conservative
    __attribute__((visibility("hidden")));
extern const struct mgc_type type_bytes __attribute__((visibility("hidden")));

/* The library's own type of that normalised name, or NULL (basic.c). */
const struct mgc_type *type_basic_find(const char *name, size_t n);

#endif
