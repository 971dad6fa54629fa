// SPDX-License-Identifier: MIT
/*
 * What a heap profile keeps: a bucket for each (stack, size step) with four
 * sums, and the sampled objects that are alive, by address.
 *
 *   buckets  hash table with chains; a bucket is never freed or moved, and
 *            `first` lists all of them in order of creation (Go: mprof.go)
 *   live     open addressing, linear probing, at most 3/4 full; taking one out
 *            moves the following ones back, so there are no tombstones
 *
 *   I1  every live object is found from its hash on without a gap
 *   I2  the sum of allocs - frees over buckets is the number of live objects that
 *       have a bucket; the same for bytes
 *
 * All of it is metadata (persistent, struct vm), nothing comes from malloc. The
 * caller locks; but buckets may be read without the lock, also by a signal handler
 * that has interrupted whoever holds it: proftable_read.
 *
 * Lock key: (c) const after init  (a) written under the caller's lock, read by
 * anyone; the others: the caller's lock
 */
#ifndef MGC_HEAP_PROFTABLE_H
#define MGC_HEAP_PROFTABLE_H

#include "base/compiler.h"
#include "base/persistent.h"
#include "os/vm.h"

struct prof_bucket {
  struct prof_bucket *chain;             /* of the same hash */
  struct atomic_ptr next;                /* (a) made after this one */
  uint64_t hash;                         /* (c) */
  uint32_t size_step;                    /* (c) sample_size_step */
  uint32_t nframes;                      /* (c) */
  struct atomic_u64 allocs, alloc_bytes; /* (a) */
  struct atomic_u64 frees, free_bytes;   /* (a) */
  uintptr_t frame[]; /* (c) return addresses, innermost first */
};

struct prof_live {
  uintptr_t addr;             /* 0: the slot is free */
  size_t size;                /* bytes asked for */
  struct prof_bucket *bucket; /* NULL: known, but not in the profile */
};

struct proftable {
  struct vm *vm;             /* (c) */
  struct persistent *meta;   /* (c) */
  struct memstat *stat;      /* (c) */
  struct prof_bucket **head; /* nheads chains, a power of two */
  size_t nheads, nbuckets;
  struct atomic_ptr first; /* (a) struct prof_bucket * */
  struct prof_bucket *last;
  struct prof_live *live; /* nslots, a power of two */
  size_t nslots, nlive;
};

/* Errors: false, no memory. */
MGC_MUST_CHECK bool proftable_init(struct proftable *t, struct vm *vm,
                                   struct persistent *meta,
                                   struct memstat *stat);
/* The bucket of a stack and a size, made if need be; NULL: no memory. */
struct prof_bucket *proftable_bucket(struct proftable *t,
                                     const uintptr_t *frames, unsigned nframes,
                                     size_t size);
/* Makes room for one more live object; false: no memory. */
MGC_MUST_CHECK bool proftable_reserve(struct proftable *t);
/* Adds addr (not 0, not there yet), for which room was made, and counts it in the
 * bucket, which may be NULL. */
void proftable_add(struct proftable *t, uintptr_t addr, size_t size,
                   struct prof_bucket *bucket);
/* Takes addr out and counts it as freed; false: it is not there. */
bool proftable_remove(struct proftable *t, uintptr_t addr);
/* The live object at addr, or NULL; valid until the next change. */
const struct prof_live *proftable_find(const struct proftable *t,
                                       uintptr_t addr);
/* The buckets in order of creation: the first for NULL, NULL after the last.
 * Threads: any; async-signal-safe. */
const struct prof_bucket *proftable_next(const struct proftable *t,
                                         const struct prof_bucket *b);
/* A bucket's sums: objects and bytes that are alive, and all that ever were.
 * While others change them they may be those of neighbouring moments, but live is
 * never more than all, and no objects have no bytes.
 * Threads: any; async-signal-safe. */
struct prof_sums {
  uint64_t live, live_bytes, all, all_bytes;
};
struct prof_sums proftable_read(const struct prof_bucket *b);
/* Fatal unless I1 and I2 hold. */
void proftable_verify(const struct proftable *t);

#endif
