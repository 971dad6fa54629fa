// SPDX-License-Identifier: MIT
/*
 * Small objects of the hardened allocator: spans whose slots are handed out in
 * random order, with everything that is known of a slot kept apart from it.
 *
 *   span   | slot | slot | slot | ... | slot | tail |  guard page  |
 *   slot   | what was asked for | canary to the end of the slot |
 *
 * A slot is
 *
 *   FREE   taken 0, live 0   all of it is zero
 *   LIVE   taken 1, live 1   the program's; from its size on the canary
 *   HELD   taken 1, live 0   freed, in quarantine; all of it is zero
 *
 * so a write after free, or an overflow into a free slot, shows when the slot
 * leaves the quarantine or is handed out. The canary is at least
 * HARDEN_CANARY_MIN bytes, different for every allocation, and never contains a
 * zero byte: the classic overflow, one byte of zero, always shows.
 *
 * A new slot is a random free one of a random open span. Spans:
 *
 *   OPEN      up to HARDEN_OPEN of a class; slots are taken from these
 *   RIPE      an eighth of the slots or more is free: next in line
 *   RESTING   neither; a freed slot may make it ripe
 *
 * A span is opened when fewer than a quarter of a span's slots are free in all
 * open ones, so that there is always a choice.
 *
 *   I1  live is a subset of taken; bits from nslots on are 0
 *   I2  nfree counts the slots with taken 0, nlive those with live 1
 *   I3  open_free is the sum of nfree over open spans
 *   I4  the ripe list has exactly the spans that are RIPE; these have nfree >= ripe
 *   I5  every HELD slot is in the class's quarantine once, and nothing else is
 *
 * Nothing here breaks off: what is found wrong is described in a struct
 * harden_finding, which the caller reports after it has let go of its lock (a
 * handler of SIGABRT may allocate).
 *
 * Lock key: (c) const after init  (l) lock of the class's group
 */
#ifndef MGC_MALLOC_HARDENSPAN_H
#define MGC_MALLOC_HARDENSPAN_H

#include "face/malloc/hardenrand.h"
#include "face/malloc/quarantine.h"
#include "heap/heap.h"
#include "heap/pagemap.h"

/* Slots up to this size are small; larger objects have pages of their own. */
#define HARDEN_MAX_SLOT 8192u
#define HARDEN_CANARY_MIN 8u
#define HARDEN_OPEN 4u
/* Size of a slot that was never handed out. */
#define HARDEN_NEVER UINT16_MAX

struct tcache;
struct theap;

/* What spans of all classes and large blocks share. */
struct harden_env {
  struct heap *heap;        /* (c) */
  struct theap *theap;      /* (c) limit and figures; NULL: none */
  struct pagemap *map;      /* (c) NULL: none */
  struct tcache *owner;     /* (c) */
  uint32_t max_guards;      /* (c) inaccessible areas at most */
  struct atomic_u32 guards; /* (a) that there are */
  struct atomic_bool
      freed; /* (a) pages went back, theap->freed is to be told */
};

struct harden_finding {
  const char *kind; /* NULL: nothing is wrong */
  uintptr_t ptr;    /* the object, or what was passed */
  size_t size;      /* asked for; SIZE_MAX: not known */
  size_t elemsize;
  uintptr_t at;      /* first byte that is wrong; 0: none */
  const char *state; /* of the object */
};

enum harden_place { HARDEN_IS_OPEN, HARDEN_IS_RIPE, HARDEN_IS_RESTING };

/* For both kinds of spans: what mspan.local.free points to. */
struct harden_span {
  struct mspan *span;    /* (c) */
  uint16_t nslots;       /* (c) */
  uint16_t nfree, nlive; /* (l) */
  uint8_t where;         /* (l) enum harden_place */
  bool guarded;          /* (c) a guard page follows */
  struct list link;      /* (l) RIPE */
  uint32_t *canary;      /* (l) of LIVE slots */
  uint16_t *size;        /* (l) asked for, or HARDEN_NEVER */
  uint64_t *live;        /* (l) */
  uint64_t taken[];      /* (l) */
};

struct harden_class {
  uint32_t sizeclass, elemsize;          /* (c) */
  uint16_t npages;                       /* (c) without the guard */
  uint16_t nslots, ripe, min_free;       /* (c) */
  uint32_t nopen, nspans;                /* (l) */
  uint32_t open_free;                    /* (l) */
  struct harden_span *open[HARDEN_OPEN]; /* (l) */
  struct list ripe_spans;                /* (l) */
  struct quarantine held;  /* (l) harden_span address << 16 | slot */
  bool held_ready;         /* (l) memory for held was asked for */
  struct fixalloc structs; /* (l) */
};

/* A slot that has just been taken: LIVE, but still zero and without a canary. */
struct harden_slot {
  uintptr_t p; /* 0: no memory */
  size_t elemsize;
  uint32_t canary;
};

void harden_class_init(struct harden_class *c, struct harden_env *env,
                       unsigned sizeclass);
/* A random free slot for an object of size bytes; size + HARDEN_CANARY_MIN fits.
 * Group lock. */
struct harden_slot harden_slot_take(struct harden_class *c,
                                    struct harden_env *env, size_t size,
                                    uint64_t random);
/* Looks whether a slot just taken is zero still, and writes the canary. No lock. */
struct harden_finding harden_slot_prepare(struct harden_slot slot, size_t size);
/* The object at p of s goes to quarantine. Group lock. */
struct harden_finding harden_slot_put(struct harden_class *c,
                                      struct harden_env *env,
                                      struct harden_span *s, uintptr_t p,
                                      uint32_t random);
/* Lets one slot out of the quarantine; false: it is empty. Group lock. */
bool harden_class_flush_one(struct harden_class *c, struct harden_env *env,
                            struct harden_finding *f);
/* Whether p is a live object, and its size; f says what it is otherwise. Group
 * lock. */
bool harden_slot_live(const struct harden_span *s, uintptr_t p, size_t *size,
                      struct harden_finding *f);
/* The live object that p points to or into. Group lock, or stopped threads. */
bool harden_slot_find(const struct harden_span *s, uintptr_t p, uintptr_t *obj,
                      size_t *size);
/* Fatal unless I1-I4 hold. Group lock. */
void harden_class_verify(const struct harden_class *c);

/* --- shared with large blocks --- */

/* The canary of [p, end) for key, as it lies there: byte i of the address space
 * has byte i % 4 of the key. */
void harden_canary_write(uintptr_t p, uintptr_t end, uint32_t key);
/* The first byte that is not right, or 0. */
uintptr_t harden_canary_check(uintptr_t p, uintptr_t end, uint32_t key);
/* The first byte that is not zero, or 0. */
uintptr_t harden_nonzero(uintptr_t p, uintptr_t end);
/* A key from random bits: no byte is zero. */
static inline uint32_t harden_canary_key(uint32_t random) {
  return random | 0x01010101u;
}

/* A span of npages for data, with a guard page after it where the budget of guards
 * allows it; published, owned, and zero. meta becomes its local.free. NULL: no
 * memory. */
struct mspan *harden_span_new(struct harden_env *env, size_t npages,
                              size_t align_pages, unsigned sizeclass,
                              void *meta, bool *guarded);
/* Counts the pages of a span in or out, for figures. */
void harden_count(struct harden_env *env, const struct mspan *s, bool in_use);
/* Gives it back, when it has been counted out; false: the system would not make
 * the guard accessible, and the span must stay as it is. */
bool harden_span_free(struct harden_env *env, struct mspan *s, bool guarded);
/* Makes npages at base, which are one area with its guard, accessible again. */
bool harden_unfault(struct harden_env *env, uintptr_t base, size_t npages);
/* Whether the next span will have a guard. */
static inline bool harden_guards_left(const struct harden_env *env) {
  return atomic_u32_load_relaxed(&env->guards) < env->max_guards;
}

#endif
