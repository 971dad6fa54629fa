// SPDX-License-Identifier: MIT
/*
 * The line of MALLOCGC_TRACE=gc, in the form of Go's gctrace, so that scripts
 * that read one read the other:
 *
 *   gc # @#s #%: a+b+c ms clock, a+assist/own/idle+c ms cpu, h->h->m MB, # MB goal,
 *     # MB stacks, # MB globals, # P (forced)
 *
 * a is the time until the world stood (beside the program: the first pause), b marking, c
 * the rest of the pause (the last one). Their processor time is clock times all processors;
 * that of marking is what was measured: of threads of the program that helped, the
 * collector's own, and of those on processors that had nothing else to do.
 */
#include "gc/state.h"

#include "base/print.h"
#include "os/clock.h"

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
  const struct pace *p = &g->pace;
  int64_t all = g->nprocs;
  struct fixed stop_cpu = ms((t->stopped - t->begin) * all);
  struct fixed term_cpu = ms((t->end - t->marked) * all);
  struct fixed assist = ms(atomic_i64_load_relaxed(&p->assist_ns));
  struct fixed own = ms(atomic_i64_load_relaxed(&p->background_ns));
  struct fixed idle = ms(atomic_i64_load_relaxed(&p->idle_ns));
  unsigned share = (unsigned)(g->stats.gc_cpu_fraction * 100);
  print_fd(2,
           "gc %u @%u.%03us %u%%: %u.%03u+%u.%03u+%u.%03u ms clock, "
           "%u.%03u+%u.%03u/%u.%03u/%u.%03u+%u.%03u ms cpu, %u->%u->%u MB, %u "
           "MB goal, %u MB stacks, %u MB globals, %u P%s\n",
           g->stats.num_gc, (unsigned)(since / 1000000000),
           (unsigned)(since / 1000000 % 1000), share, stop.whole, stop.frac,
           mark.whole, mark.frac, term.whole, term.frac, stop_cpu.whole,
           stop_cpu.frac, assist.whole, assist.frac, own.whole, own.frac,
           idle.whole, idle.frac, term_cpu.whole, term_cpu.frac,
           mb(t->live_before), mb(t->live_at_end), mb(t->live_after),
           mb(t->goal), mb(g->stats.stack_bytes), mb(g->stats.globals_bytes),
           g->nprocs, t->forced ? " (forced)" : "");
}

void gc_trace_rounds(const struct gc *g, const struct gc_rounds *r) {
  struct fixed arm = ms(r->arm_ns), held = ms(r->held_ns);
  if (r->err) {
    const char *why = wptrack_reason(&g->track.w);
    print_fd(2, "wp %u: marked in a stop: %s (%d)\n", g->stats.num_gc,
             why ? why : "pages of the heap cannot be tracked", r->err);
    return;
  }
  print_fd(2,
           "wp %u: %u.%03u ms to arm, %zu dense, %u rounds:", g->stats.num_gc,
           arm.whole, arm.frac, r->dense, r->n);
  for (unsigned i = 0; i < r->n && i < GC_TRACED_ROUNDS; i++)
    print_fd(2, " %zu", r->pages[i]);
  print_fd(2,
           " pages, %zu at the stop, %u tries, held %u times, %u.%03u ms, at "
           "level %u\n",
           r->last, r->tries, r->nholds, held.whole, held.frac, r->level);
}

void gc_pause_begin(struct gc_pause *p, int64_t now) {
  p->begin = p->now = now;
  p->n = 0;
}

void gc_pause_part(struct gc_pause *p, const char *name) {
  int64_t now = clock_nanotime();
  if (p->n < GC_PAUSE_PARTS) {
    p->part[p->n].name = name;
    p->part[p->n++].ns = now - p->now;
  }
  p->now = now;
}

static void trace_pause(const char *which, const struct gc_pause *p) {
  struct fixed all = ms(p->now - p->begin);
  print_fd(2, " %s %u.%03u:", which, all.whole, all.frac);
  for (unsigned i = 0; i < p->n; i++)
    print_fd(2, " %s %u", p->part[i].name, (unsigned)(p->part[i].ns / 1000));
}

void gc_trace_pauses(const struct gc *g, const struct gc_pause *first,
                     const struct gc_pause *last,
                     const struct gc_pause *other) {
  print_fd(2, "pauses %u:", g->stats.num_gc);
  trace_pause("first", first);
  trace_pause("last", last);
  if (other->n > 0) trace_pause("hold", other);
  print_fd(2, " us\n");
}
