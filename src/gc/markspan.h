// SPDX-License-Identifier: MIT
/* Marking small objects a span at a time. See markspan.c. */
#ifndef MGC_GC_MARKSPAN_H
#define MGC_GC_MARKSPAN_H

#include "gc/work.h"

/* One marker's. */
struct marker_spans {
  struct spanq q;
  size_t nout; /* words in out that are edges to follow */
  uint32_t
      inside; /* edges that stayed in their span since a step was counted */
  uintptr_t ahead, ahead_end; /* of the next page, still to be asked for */
  /* A page's words; a kernel stores whole lines. */
  uintptr_t out[SPANSCAN_WORDS + 8];
  /* Bytes of a page's slots, 0 between uses, and one for what is in no slot. */
  uint8_t seen[SPANSCAN_SETS * 64 + 1];
};

void markspan_init(struct marking *m);
/* Before a cycle, in a stopped world: chooses the kernel and makes its tables. */
void markspan_prepare(struct marking *m);
/* Makes k ready for this cycle. Without memory it marks object at a time. */
void markspan_reset_marker(struct marker *k);
/* How objects of the class are scanned by the span; NULL: they are not. */
const struct spanscan_class *markspan_class(const struct marking *m,
                                            struct spanclass sc);
/* mark_drain for a marker with spans. */
void markspan_drain(struct marker *k);
/* Scans what was dropped for want of memory. One marker, no helpers. */
void markspan_adopt(struct marker *k);

static inline bool markspan_has_work(const struct marker *k) {
  return (k->spans && !spanq_empty(&k->spans->q)) ||
         spanq_available(&k->m->spans);
}
/* Gets k some spans from the shared list. False: there are none. */
static inline bool markspan_refill(struct marker *k) {
  return k->spans && (!spanq_empty(&k->spans->q) || spanq_refill(&k->spans->q));
}
/* Gives some spans to the others, if there are enough. True: it has. */
static inline bool markspan_share(struct marker *k) {
  return k->spans && spanq_share(&k->spans->q);
}
/* Gives all spans that k has to the others; without memory they are dropped. */
void markspan_release(struct marker *k);
/* In a process that has only this thread left: forgets all spans. */
void markspan_reset(struct marking *m);

#endif
