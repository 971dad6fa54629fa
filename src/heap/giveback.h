// SPDX-License-Identifier: MIT
/*
 * When a malloc heap gives free pages back, and how many: arithmetic only. There
 * is no collection to take the measure from, as scavpace.h has, so this one
 * watches what the program does. The janitor thread gives it the time and the
 * heap's figures; tests give it simulated ones.
 *
 * Room. Free pages that the program used a moment ago will be used again: room is
 * kept for the highest use of the last HOLD, less what is in use now. What is
 * free beyond that goes, a share at each step, so that neither a large heap nor
 * a small one sees a burst of page faults.
 *
 *               hold      share of the excess, each 125 ms
 *   busy        1 s       1/16
 *   quiet       250 ms    1/2
 *
 * Quiet is a program that took and gave no pages since the last step. A second
 * after it freed a heap, a thirtieth of that is left.
 *
 * Regret. When pages given back in the last seconds are wanted again, the hold
 * was too short: it doubles (quiet: four times), up to 4 s, and comes down one
 * level in each 10 s without regret. So a program that swings every few seconds
 * pays once or twice, and an idle one is small ten seconds later whatever it did
 * before.
 *
 *   I1  GIVEBACK_SLOTS slots of GIVEBACK_TICK_NS remember the longest hold
 *   I2  level <= GIVEBACK_LEVELS
 *   I3  no more is asked for than is free
 */
#ifndef MGC_HEAP_GIVEBACK_H
#define MGC_HEAP_GIVEBACK_H

#include <stdbool.h>
#include <stdint.h>

#define GIVEBACK_TICK_NS 125000000ll
#define GIVEBACK_HOLD_MAX_NS 4000000000ll
#define GIVEBACK_SLOTS 32u
#define GIVEBACK_LEVELS 2u
/* Bytes: the smallest step, and what may stay for ever. */
#define GIVEBACK_STEP ((uint64_t)1 << 20)
#define GIVEBACK_FLOOR ((uint64_t)256 << 10)
/* Fewer free bytes than this are not worth a thread's waking up. */
#define GIVEBACK_WAKE ((uint64_t)8 << 20)

/* What the heap says, all in bytes. */
struct giveback_figures {
  uint64_t inuse; /* in spans now */
  uint64_t peak;  /* the highest inuse since the last step; >= inuse */
  uint64_t free;  /* free, with physical memory */
  uint64_t taken; /* ever taken into use without physical memory; only grows */
};

struct giveback_step {
  uint64_t bytes;   /* to give back now */
  bool all;         /* from dense chunks too */
  int64_t sleep_ns; /* then; negative: until GIVEBACK_WAKE bytes are free */
};

/* All fields: (o) the janitor. */
struct giveback {
  uint64_t peak[GIVEBACK_SLOTS]; /* by time: slot number modulo their count */
  int64_t slot;                  /* number of the current one: ns / TICK */
  int64_t quiet_since;           /* ns */
  int64_t level_since;           /* ns */
  unsigned level;                /* of regret */
  uint64_t inuse, taken;         /* of the last step */
  uint64_t given;                /* not long ago, and not taken again */
  uint64_t stuck;                /* said to be free, but could not be had */
  bool begun;
};

/**
 * One step.
 *
 * Units:   nanoseconds of a monotonic clock; bytes.
 * Returns: what to do.
 * Errors:  none; a clock that jumps only shortens or lengthens a hold.
 * Threads: the owner of g (zeroed at first); pure otherwise.
 */
struct giveback_step giveback_next(struct giveback *g, int64_t now_ns,
                                   const struct giveback_figures *f);

/**
 * Tells what became of a step: got bytes of step.bytes went back, and free bytes
 * are left.
 *
 * Units:   bytes.
 * Returns: how long to sleep, as giveback_step.sleep_ns.
 * Errors:  none.
 * Threads: the owner.
 */
int64_t giveback_done(struct giveback *g, const struct giveback_step *step,
                      uint64_t got, uint64_t free);

/* Whether the janitor should be woken: free bytes are many, also beside inuse. */
static inline bool giveback_worth_waking(uint64_t inuse, uint64_t free) {
  return free >= GIVEBACK_WAKE && free >= inuse / 16;
}

#endif
