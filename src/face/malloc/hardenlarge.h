// SPDX-License-Identifier: MIT
/*
 * Large objects of the hardened allocator: each has pages of its own and ends as
 * near to the guard page as its alignment allows.
 *
 *   | gap, its end a canary | object | canary, < alignment |  guard page  |
 *
 * A read or write past the end faults at once, or, in the few bytes before the
 * guard, changes the canary. Every span of the hardened allocator ends in a guard,
 * so what lies before the gap is a guard too, or pages that are free.
 *
 * A freed object's pages become inaccessible, all of them, and stay so while it is
 * in quarantine: reading and writing it faults, and its memory is returned at
 * once. When the process has too many inaccessible areas already (the kernel
 * limits their number), objects have no guard, a longer canary, and no quarantine.
 *
 * Lock key: (c) const after init  (l) lock of struct harden_large_set
 */
#ifndef MGC_MALLOC_HARDENLARGE_H
#define MGC_MALLOC_HARDENLARGE_H

#include "face/malloc/hardenspan.h"

struct harden_large { /* what mspan.local.free points to */
  struct mspan *span; /* (c) */
  uintptr_t p;        /* (c) */
  size_t size;        /* (c) */
  uintptr_t end;      /* (c) of the canary: the guard page */
  uint32_t canary;    /* (c) */
  bool guarded;       /* (c) */
  bool live;          /* (l) false: in quarantine */
};

#define HARDEN_LARGE_HELD 128u

struct harden_large_set {
  struct quarantine held; /* (l) addresses of struct harden_large */
  uint64_t held_mem[HARDEN_LARGE_HELD]; /* (l) */
  size_t held_bytes;                    /* (l) of address space */
  size_t max_held_bytes;                /* (c) */
  uint64_t nlive, live_bytes;           /* (l) */
  struct fixalloc structs;              /* (l) */
};

void harden_large_init(struct harden_large_set *set, struct harden_env *env);
/* size bytes aligned to align, a power of two; zero. 0: no memory. The lock. */
uintptr_t harden_large_take(struct harden_large_set *set,
                            struct harden_env *env, size_t size, size_t align,
                            uint32_t random);
/* Frees p, of which s is the span. The lock. */
struct harden_finding harden_large_put(struct harden_large_set *set,
                                       struct harden_env *env,
                                       struct harden_large *l, uintptr_t p,
                                       uint32_t random);
/* Lets one object out of the quarantine; false: it is empty. The lock. */
bool harden_large_flush_one(struct harden_large_set *set,
                            struct harden_env *env);
/* Whether p is the live object; f says what it is otherwise. The lock. */
bool harden_large_live(const struct harden_large *l, uintptr_t p, size_t *size,
                       struct harden_finding *f);

#endif
