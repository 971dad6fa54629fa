// SPDX-License-Identifier: MIT
/* Marking malloc's heap from given roots, and what was not reached. leakscan.c. */
#ifndef MGC_MALLOC_LEAKSCAN_H
#define MGC_MALLOC_LEAKSCAN_H

#include "heap/tcache.h"

#define LEAK_FRAMES 32
#define LEAK_GROUPS 512
#define LEAK_WORDS 4

/* Addresses, multiples of 8. */
struct leak_range {
  uintptr_t lo, hi;
};

/* An array that grows; its memory is the vm's, since the heap is what is being
 * looked at. */
struct leak_vec {
  struct vm *vm;
  void *data;
  size_t n, cap; /* elements */
  size_t size;   /* bytes of one */
};

/* Unreachable blocks that nothing unreachable refers to ("direct"), alike in size
 * and, when it is known, in where they were allocated. */
struct leak_group {
  size_t size;                    /* of a block's slot, bytes */
  uint64_t blocks;                /* direct ones */
  uint64_t all_blocks, all_bytes; /* with what only they lead to */
  uint64_t rings;                 /* blocks that lead back to themselves */
  uintptr_t addr;                 /* one of them */
  uintptr_t word[LEAK_WORDS];     /* its first words */
  uint32_t nwords;
  uint32_t nframes; /* 0: not known */
  uintptr_t frame[LEAK_FRAMES];
};

struct leak_result {
  struct atomic_u32 done; /* 1: the rest is complete */
  uint32_t ngroups;
  uint64_t live_blocks, live_bytes;
  uint64_t leaked_blocks, leaked_bytes;
  uint64_t direct_blocks;
  uint64_t root_bytes;
  /* Direct blocks that found no room in group[], with all they lead to. */
  uint64_t other_blocks, other_bytes;
  int64_t mark_ns;
  struct leak_group group[LEAK_GROUPS];
};

/* Where block p was allocated: up to max return addresses into frame, innermost
 * first; 0: not known. No locks: threads may be stopped anywhere. */
typedef unsigned leak_stack_of(uintptr_t p, uintptr_t *frame, unsigned max);
/* Whether slot p of s, a span of a mode with its own records, is a block, and its
 * bytes. The same. */
typedef bool leak_special_find(const struct mspan *s, uintptr_t p,
                               struct leak_range *bytes);

struct leak_rep;

struct leakscan {
  const struct heap *heap;
  struct vm *vm;
  struct leak_arena *arena; /* count of them, by arena number - first */
  uintptr_t first, count;
  uintptr_t lo, hi; /* of all arenas */
  struct leak_vec todo;
  struct leak_ahead *ahead; /* ring of LEAK_AHEAD */
  unsigned nahead;
  struct leak_vec reps; /* struct leak_rep, by address */
  struct leak_rep *rep; /* who claims; NULL: marking goes on */
  uint64_t root_bytes;
  bool lost; /* memory ran out: what is known is not complete */
  /* The caller's to set after leakscan_begin. */
  leak_stack_of *stack_of;   /* NULL: nothing is known */
  const void *special_owner; /* whose spans special_find knows of; NULL: none */
  leak_special_find *special_find;
};

/* An empty array of elements of the given size. */
void leak_vec_init(struct leak_vec *v, struct vm *vm, size_t size);
/* Room for one more element, zeroed and counted; NULL: no memory. The address
 * is good until the next call. */
void *leak_vec_push(struct leak_vec *v);
void leak_vec_free(struct leak_vec *v);

/**
 * Begins a scan of h. The heap lock is held, so that no arena is being made.
 *
 * Units:   none.
 * Errors:  false without memory; leakscan_end is to be called all the same.
 * Threads: all that use the heap are stopped, or the memory is a copy (fork) of
 *          the moment when they were. That holds for all calls.
 */
MGC_MUST_CHECK bool leakscan_begin(struct leakscan *ls, const struct heap *h,
                                   struct vm *vm);
/* Everything that the words of [lo, hi) lead to is reachable. */
void leakscan_range(struct leakscan *ls, uintptr_t lo, uintptr_t hi);
/* The block that holds p is reachable; what its words lead to is not for that
 * reason. */
void leakscan_keep(struct leakscan *ls, uintptr_t p);
/**
 * Finds the blocks that were not reached, sorts them into groups, the largest
 * first, and fills in *out but for `done` and the time.
 *
 * Units:   bytes are those of slots, which are what a block takes.
 * Errors:  false when memory ran out at any time.
 * Threads: as leakscan_begin.
 */
MGC_MUST_CHECK bool leakscan_finish(struct leakscan *ls,
                                    struct leak_result *out);
void leakscan_end(struct leakscan *ls);

#endif
