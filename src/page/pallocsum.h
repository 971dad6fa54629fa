// SPDX-License-Identifier: MIT
/*
 * The summary of a span of pages in eight bytes: how many pages are free at its
 * start, in its longest run, and at its end (Go: pallocSum). 21 bits each; the
 * largest span, a level-0 entry, has 2^21 pages, which 21 bits cannot say, so
 * bit 63 alone means that all three are 2^21 (no smaller value of one of them
 * goes with 2^21 in another).
 *
 *   bit 63      62..42  41..21  20..0
 *   all 2^21    end     max     start
 */
#ifndef MGC_PAGE_PALLOCSUM_H
#define MGC_PAGE_PALLOCSUM_H

#include "page/page.h"

#define PALLOCSUM_LOG_MAX 21u
#define PALLOCSUM_MAX (1u << PALLOCSUM_LOG_MAX)

struct pallocsum {
  uint64_t v;
};

/* The parts of a summary, unpacked; pages. */
struct pallocruns {
  unsigned start;
  unsigned max;
  unsigned end;
};

static inline struct pallocsum pallocsum_pack(unsigned start, unsigned max,
                                              unsigned end) {
  if (max == PALLOCSUM_MAX) return (struct pallocsum){1ull << 63};
  uint64_t mask = PALLOCSUM_MAX - 1;
  return (struct pallocsum){(start & mask) |
                            ((uint64_t)(max & mask) << PALLOCSUM_LOG_MAX) |
                            ((uint64_t)(end & mask) << 2 * PALLOCSUM_LOG_MAX)};
}
static inline bool pallocsum_is_all(struct pallocsum s) {
  return s.v >> 63 != 0;
}
static inline unsigned pallocsum_start(struct pallocsum s) {
  if (pallocsum_is_all(s)) return PALLOCSUM_MAX;
  return (unsigned)s.v & (PALLOCSUM_MAX - 1);
}
static inline unsigned pallocsum_max(struct pallocsum s) {
  if (pallocsum_is_all(s)) return PALLOCSUM_MAX;
  return (unsigned)(s.v >> PALLOCSUM_LOG_MAX) & (PALLOCSUM_MAX - 1);
}
static inline unsigned pallocsum_end(struct pallocsum s) {
  if (pallocsum_is_all(s)) return PALLOCSUM_MAX;
  return (unsigned)(s.v >> 2 * PALLOCSUM_LOG_MAX) & (PALLOCSUM_MAX - 1);
}
static inline struct pallocruns pallocsum_unpack(struct pallocsum s) {
  return (struct pallocruns){pallocsum_start(s), pallocsum_max(s),
                             pallocsum_end(s)};
}

/* The summary of n neighbouring spans of 2^log_pages pages each, in address
 * order. */
struct pallocsum pallocsum_merge(const struct pallocsum *sums, unsigned n,
                                 unsigned log_pages);

#endif
