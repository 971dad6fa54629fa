// SPDX-License-Identifier: MIT
/* When a cycle beside the program begins. See trigger.c. */
#ifndef MGC_GC_TRIGGER_H
#define MGC_GC_TRIGGER_H

#include <stdbool.h>
#include <stdint.h>

/* Cycles whose cons/mark counts beside the last one's (Go). */
#define CONSMARK_HISTORY 4

/* What one cycle showed. Times are nanoseconds of processor time. */
struct consmark_sample {
  uint64_t allocated; /* bytes, while it marked */
  uint64_t scanned;   /* bytes: heap, stacks and globals */
  int64_t total_ns;   /* its duration, times the processors */
  int64_t gc_ns;      /* background workers and assists */
  int64_t idle_ns;    /* workers on idle processors */
};

/* The estimate: bytes allocated by one processor in the time in which one scans a
 * byte. All zero at first. */
struct consmark {
  double now;                    /* what counts */
  double past[CONSMARK_HISTORY]; /* of cycles before the last one */
};

/* Takes a cycle's figures into account; one without time or work is ignored.
 * Errors: none. Pure. */
void consmark_note(struct consmark *c, const struct consmark_sample *s);

/* What share of all processors has marked in a cycle, and what the program had left,
 * in cycles that ended. All zero at first. */
struct markrate {
  double past[CONSMARK_HISTORY]; /* see markrate_share; 0: no such cycle yet */
};

/* Takes a cycle into account. Times are as in consmark_sample. Pure. */
void markrate_note(struct markrate *r, int64_t total_ns, int64_t background_ns,
                   int64_t idle_ns);
/* The share that trigger_runway is to be given, where `planned` is the background's.
 * Pure. */
double markrate_share(const struct markrate *r, double planned);

/* Bytes that are allocated while `scan` bytes are scanned by `share` of all
 * processors (0 < share < 1), the others allocating. Pure; saturates. */
uint64_t trigger_runway(double consmark, double share, uint64_t scan);

/* heap_live at which to begin, so that the heap is at its goal when marking ends.
 * Units: bytes. Returns: a value in [marked, goal], or goal when that is less
 * than marked. Pure. */
uint64_t trigger_at(uint64_t marked, uint64_t goal, uint64_t runway);

/* ns until a cycle is due because none has ended for period_ns (Go: forcegcperiod;
 * finalizers run, and idle memory goes back); 0: now, negative: never. last_ns is the
 * end of the last one, 0 when there was none. A program that has switched the
 * percentage off (negative) wants none, nor does period_ns 0. Pure. */
int64_t trigger_period_left(int percent, int64_t period_ns, int64_t last_ns,
                            int64_t now_ns);

/* A program that takes no memory: one cycle then finds what it has dropped before, which
 * no allocation would tell of, so that the memory goes back. All zero at first. */
struct idle_watch {
  uint64_t seen;    /* heap_live when it last changed */
  int64_t since_ns; /* since then, or the last cycle's end; 0: not looked yet */
  bool asked; /* for a cycle, that has not ended; what changes is its doing */
  bool done;  /* nothing has changed since that cycle */
};

/* heap_live changes by more in the time of a look, or the program is idle. */
#define IDLE_SLACK ((uint64_t)1 << 20)

/* 0: a cycle is due now, because heap_live has not changed for idle_ns since the last
 * cycle ended at last_ns, and none is again in the same rest. Else ns until the next look,
 * or negative: none, with idle_ns 0 or the percentage off. Pure. */
int64_t trigger_idle_left(struct idle_watch *w, int percent, int64_t idle_ns,
                          uint64_t heap_live, int64_t last_ns, int64_t now_ns);

#endif
