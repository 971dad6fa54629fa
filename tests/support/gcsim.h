// SPDX-License-Identifier: MIT
/*
 * A program and its collector in simulated time, for the pacer. Nothing is
 * allocated or marked: both are flows, in bytes for each nanosecond of a
 * processor, and a pacer (and a limiter, if there is one) decides how the
 * processors are divided between them.
 *
 * A cycle: the program allocates until the trigger; then the collector has its
 * background share u0 of the processors, or more when assists are asked for. In
 * a step of half a millisecond the ratio is fixed. A program that pays ratio r for
 * each byte divides its time so that work and allocation are in that proportion,
 *
 *   u * scan = r * (1 - u) * alloc,  so  u = r * alloc / (r * alloc + scan)
 *
 * and the rest of u over u0 is assists. What is allocated meanwhile survives.
 */
#ifndef MGC_TESTS_SUPPORT_GCSIM_H
#define MGC_TESTS_SUPPORT_GCSIM_H

#include "gc/assist.h"
#include "gc/pacer.h"
#include <stdbool.h>
#include <stdint.h>

#define GCSIM_STEP_NS 500000.0

/* What the program does in one cycle. */
struct gcsim_program {
  double alloc, scan; /* bytes in a nanosecond of one processor */
  double dense;       /* the part of the heap that may hold pointers */
  uint64_t survivors; /* bytes that the cycle will find alive */
  uint64_t stacks, globals;
};

struct gcsim_result {
  uint64_t marked_before, trigger, goal, peak;
  double utilization; /* the collector's share of processor time, marking */
  double program_ns;  /* processor time that the program had, whole cycle */
  double total_ns;    /* of all, whole cycle */
};

struct gcsim {
  struct pacer pacer;
  struct limiter *limiter; /* or NULL */
  unsigned nprocs;
  double now_ns;
  uint64_t live;
  uint64_t other; /* bytes that are held and not heap */
};

static inline void gcsim_init(struct gcsim *s, const struct pacer_config *c,
                              unsigned nprocs) {
  *s = (struct gcsim){.nprocs = nprocs};
  pacer_init(&s->pacer, c);
}

static inline void gcsim_tell_memory(struct gcsim *s) {
  struct pacer_memory m = {.mapped_ready = s->live + s->other,
                           .heap_alloc = s->live};
  pacer_update_memory(&s->pacer, &m);
}

/* Until the trigger. Something is always allocated between cycles. */
static inline void gcsim_run_free(struct gcsim *s,
                                  const struct gcsim_program *p,
                                  struct gcsim_result *r) {
  gcsim_tell_memory(s);
  uint64_t until = s->pacer.trigger;
  r->marked_before = s->pacer.last.heap_marked;
  if (until <= s->live) return;
  double ns = (double)(until - s->live) / (p->alloc * s->nprocs);
  s->now_ns += ns;
  r->program_ns += ns * s->nprocs;
  s->live = until;
}

struct gcsim_mark {
  double left[3]; /* bytes to scan: globals, stacks, heap */
  double done[3];
  double heap_scan; /* bytes with pointers, as the pacer is told */
  double ns, assist_ns, allocated;
};

static inline double gcsim_work_left(const struct gcsim_mark *m) {
  return m->left[0] + m->left[1] + m->left[2];
}

static inline void gcsim_scan(struct gcsim_mark *m, double bytes) {
  for (int i = 0; i < 3; i++) {
    double part = m->left[i] < bytes ? m->left[i] : bytes;
    m->left[i] -= part;
    m->done[i] += part;
    bytes -= part;
  }
}

static inline void gcsim_step(struct gcsim *s, const struct gcsim_program *p,
                              struct gcsim_mark *m) {
  struct pacer_progress now = {
      .heap_live = s->live,
      .heap_scan = (uint64_t)m->heap_scan,
      .work = (uint64_t)(m->done[0] + m->done[1] + m->done[2])};
  double paid = pacer_revise(&s->pacer, &now) * p->alloc;
  double u0 = s->pacer.share.share, u = paid / (paid + p->scan);
  bool limits = s->limiter && limiter_limits(s->limiter);
  if (u < u0 || limits) u = u0;
  double ns = GCSIM_STEP_NS, n = s->nprocs;
  double left = gcsim_work_left(m), most = p->scan * n * u * ns;
  if (most > left) ns *= left / most;
  gcsim_scan(m, p->scan * n * u * ns);
  double allocated = p->alloc * n * (1 - u) * ns;
  s->live += (uint64_t)allocated;
  s->now_ns += ns;
  m->heap_scan += allocated * p->dense;
  m->allocated += (double)(uint64_t)allocated;
  m->assist_ns += ns * n * (u - u0);
  m->ns += ns;
  if (s->limiter) {
    limiter_add_assist(s->limiter, (int64_t)(ns * n * (u - u0)));
    limiter_tick(s->limiter, (int64_t)s->now_ns);
  }
  gcsim_tell_memory(s);
}

static inline void gcsim_begin(struct gcsim *s, const struct gcsim_program *p,
                               struct gcsim_mark *m) {
  struct pacer *c = &s->pacer;
  double marked = (double)c->last.heap_marked;
  *m = (struct gcsim_mark){.left = {(double)p->globals, (double)p->stacks,
                                    (double)p->survivors * p->dense},
                           .heap_scan = (double)c->heap_scan +
                                        ((double)s->live - marked) * p->dense};
  if (s->limiter) {
    limiter_begin_stop(s->limiter, true, (int64_t)s->now_ns);
    limiter_end_stop(s->limiter, (int64_t)s->now_ns);
  }
  struct pacer_start start = {.now_ns = (int64_t)s->now_ns,
                              .heap_live = s->live,
                              .stack_bytes = p->stacks,
                              .globals_bytes = p->globals,
                              .nprocs = s->nprocs};
  pacer_start_cycle(c, &start);
}

static inline void gcsim_end(struct gcsim *s, const struct gcsim_program *p,
                             const struct gcsim_mark *m) {
  double n = s->nprocs;
  struct pacer_end end = {
      .now_ns = (int64_t)s->now_ns,
      .heap_live = s->live,
      .heap_marked = p->survivors + (uint64_t)m->allocated,
      .globals_work = (uint64_t)m->done[0],
      .stack_work = (uint64_t)m->done[1],
      .heap_work = (uint64_t)m->done[2],
      .background_ns = (int64_t)(m->ns * n * s->pacer.share.share),
      .assist_ns = (int64_t)m->assist_ns,
      .memory = {.mapped_ready = s->live + s->other, .heap_alloc = s->live}};
  pacer_end_cycle(&s->pacer, &end);
  s->live = end.heap_marked;
  gcsim_tell_memory(s);
  if (s->limiter) {
    limiter_begin_stop(s->limiter, false, (int64_t)s->now_ns);
    limiter_end_stop(s->limiter, (int64_t)s->now_ns);
  }
}

/* One cycle, from the end of the last one to the end of this one. */
static inline struct gcsim_result gcsim_cycle(struct gcsim *s,
                                              const struct gcsim_program *p) {
  struct gcsim_result r = {0};
  struct gcsim_mark m;
  double began = s->now_ns, n = s->nprocs;
  gcsim_run_free(s, p, &r);
  gcsim_begin(s, p, &m);
  r.trigger = s->pacer.triggered;
  while (gcsim_work_left(&m) > 0.5) gcsim_step(s, p, &m);
  r.goal = s->pacer.goal;
  r.peak = s->live;
  double gc_ns = m.ns * n * s->pacer.share.share + m.assist_ns;
  r.utilization = gc_ns / (m.ns * n);
  r.program_ns += m.ns * n - gc_ns;
  r.total_ns = (s->now_ns - began) * n;
  gcsim_end(s, p, &m);
  return r;
}

#endif
