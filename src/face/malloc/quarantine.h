// SPDX-License-Identifier: MIT
/*
 * Quarantine: freed things wait here before they may be used again.
 *
 *   put --> [ pool: n entries, one drawn at random ] --> [ queue: n entries ] --> out
 *
 * A new entry changes places with a random one of the pool, which goes to the end
 * of the queue; what the queue then has too much comes out at its front. The queue
 * makes every entry wait for n others at least; the pool makes the order of coming
 * out unknown, so that nobody can free an object and have it back at a time of
 * his choice. An entry waits for 2n others on average.
 *
 * Entries are numbers that are not 0; the memory is the caller's, and so is the
 * lock. `max` of them are in at once, half in the pool and half in the queue.
 */
#ifndef MGC_MALLOC_QUARANTINE_H
#define MGC_MALLOC_QUARANTINE_H

#include <stddef.h>
#include <stdint.h>

struct quarantine {
  uint64_t *pool;  /* half entries, the first npool in use */
  uint64_t *queue; /* a ring of half entries */
  uint32_t half;
  uint32_t npool;
  uint32_t first, nqueue;
};

/* mem: 2 * half numbers. half 0: nothing waits. */
void quarantine_init(struct quarantine *q, uint64_t *mem, uint32_t half);
/* entry goes in; what comes out for it, or 0. random: 32 random bits. */
uint64_t quarantine_put(struct quarantine *q, uint64_t entry, uint32_t random);
/* Takes out the entry that is due next; 0: empty. */
uint64_t quarantine_take(struct quarantine *q);

/* The entry that comes out next, or 0 while it is not certain. */
static inline uint64_t quarantine_due(const struct quarantine *q) {
  return q->nqueue > 0 ? q->queue[q->first] : 0;
}

static inline uint32_t quarantine_count(const struct quarantine *q) {
  return q->npool + q->nqueue;
}

#endif
