// SPDX-License-Identifier: MIT
/*
 * The line of MALLOCGC_TRACE=gc, in the form of Go's gctrace, so that scripts
 * that read one read the other:
 *
 *   gc # @#s #%: a+b+c ms clock, a+0/b/0+c ms cpu, h->h->m MB, # MB goal,
 *     # MB stacks, # MB globals, # P (forced)
 *
 * a is the time until the world stood, b marking, c the rest of the pause. All of
 * it is one pause here, so cpu is clock times the processors that worked.
 */
#include "gc/state.h"

#include "base/print.h"

struct fixed {
  unsigned whole, frac;
};

/* ns as milliseconds with three decimals. */
static struct fixed ms(int64_t ns) {
  uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;
  return (struct fixed){(unsigned)(us / 1000), (unsigned)(us % 1000)};
}

static unsigned mb(uint64_t bytes) { return (unsigned)(bytes >> 20); }

void gc_trace_cycle(const struct gc *g, const struct gc_times *t) {
  int64_t since = t->end - g->start_time;
  struct fixed stop = ms(t->stopped - t->begin);
  struct fixed mark = ms(t->marked - t->stopped);
  struct fixed term = ms(t->end - t->marked);
  unsigned markers = g->nmarkers;
  struct fixed cpu = ms((t->marked - t->stopped) * (int64_t)markers);
  unsigned share = (unsigned)(g->stats.gc_cpu_fraction * 100);
  print_fd(2,
           "gc %u @%u.%03us %u%%: %u.%03u+%u.%03u+%u.%03u ms clock, "
           "%u.%03u+0/%u.%03u/0+%u.%03u ms cpu, %u->%u->%u MB, %u MB goal, "
           "%u MB stacks, %u MB globals, %u P%s\n",
           g->stats.num_gc, (unsigned)(since / 1000000000),
           (unsigned)(since / 1000000 % 1000), share, stop.whole, stop.frac,
           mark.whole, mark.frac, term.whole, term.frac, stop.whole, stop.frac,
           cpu.whole, cpu.frac, term.whole, term.frac, mb(t->live_before),
           mb(t->live_before), mb(t->live_after), mb(t->goal),
           mb(g->stats.stack_bytes), mb(g->stats.globals_bytes), markers,
           t->forced ? " (forced)" : "");
}
