// SPDX-License-Identifier: MIT
/* One cycle beside the program, while it lasts: beside.c, and rounds.c for its rounds
 * over what the program has written. All of it is the collector's thread's. */
#ifndef MGC_GC_TURN_H
#define MGC_GC_TURN_H

#include "gc/state.h"

/* Cleaning is over when so few written pages are left for the last pause, or after so
 * many rounds in a cycle. Last pauses that may be given up. */
#define ROUNDS_LEFT 160
#define MAX_ROUNDS 40
#define MAX_TRIES 40

struct turn {
  struct gc *g;
  struct gc_times t;
  bool forced, limit, periodic;
  bool kernel; /* by tracking, not by barriers */
  bool whole;  /* marks everything in one pause: tracking is not to be had */
  bool entered, again, done;
  unsigned tries; /* of the second pause */
  /* throttle */
  unsigned level; /* 0: the program runs */
  bool held;
  int64_t since; /* ns, when that changed */
  struct gc_rounds rounds;
  struct gc_pause first, last;
  struct gc_pause hold,
      longest; /* the one that lasts, or was the last; of all */
};

/* A pause that does not end the cycle, from begin (ns) until now. */
void turn_note_pause(struct turn *c, int64_t begin);
/* Scans again what the program has written, in rounds beside it, until little is left. */
void rounds_clean(struct turn *c);

#endif
