// SPDX-License-Identifier: MIT
/* Pace and goals of scavenging. See scavpace.h. */
#include "page/scavpace.h"
#include "base/bits.h"

/* Not NaN and not infinite. */
static bool is_finite(double x) { return __builtin_isfinite(x); }

static double picontrol_fail(struct picontrol *c, bool *ok) {
  c->err_integral = 0;
  *ok = false;
  return c->min;
}

double picontrol_next(struct picontrol *c, double input, double setpoint,
                      double period, bool *ok) {
  double err = setpoint - input;
  double raw = c->kp * err + c->err_integral;
  if (!is_finite(raw)) return picontrol_fail(c, ok);
  double out = raw < c->min ? c->min : raw > c->max ? c->max : raw;
  if (c->ti > 0 && c->tt > 0) {
    /* The second term unwinds what the bounds cut off. */
    c->err_integral +=
        c->kp * period / c->ti * err + period / c->tt * (out - raw);
    if (!is_finite(c->err_integral)) return picontrol_fail(c, ok);
  }
  *ok = true;
  return out;
}

void scavpace_init(struct scavpace *s, const struct scavpace_ops *ops,
                   void *arg, size_t phys_page) {
  *s = (struct scavpace){
      .ops = ops,
      .arg = arg,
      .phys_page = phys_page,
      .sleep_ratio = SCAVPACE_RATIO_START,
      /* Go's gains, found by Ziegler-Nichols' method on this very loop:
       * kp = 0.45 of the gain at which it oscillates, ti from the period. */
      .control = {.kp = 0.3375,
                  .ti = 3.2e6,
                  .tt = 1e9,
                  .min = SCAVPACE_RATIO_MIN,
                  .max = SCAVPACE_RATIO_MAX},
  };
}

size_t scavpace_work(struct scavpace *s, double *worked_ns) {
  size_t released = 0;
  *worked_ns = 0;
  while (*worked_ns < SCAVPACE_MIN_WORK_NS) {
    if (s->ops->should_stop(s->arg)) break;
    int64_t ns = 0;
    size_t n = s->ops->scavenge(s->arg, SCAVPACE_QUANTUM, &ns);
    released += n;
    if (ns > 0)
      *worked_ns += (double)ns;
    else
      *worked_ns += SCAVPACE_PAGE_NS * (double)(n / s->phys_page);
    if (n < SCAVPACE_QUANTUM) break;
  }
  return released;
}

void scavpace_sleep(struct scavpace *s, double worked_ns) {
  /* The ratio is at least 0.001, but a clock that jumped may have made the work
   * last for ever: never ask for more than a cooldown. */
  double want = worked_ns / s->sleep_ratio;
  int64_t ask = SCAVPACE_COOLDOWN_NS;
  if (want < (double)SCAVPACE_COOLDOWN_NS) ask = want > 0 ? (int64_t)want : 0;
  int64_t slept = s->ops->sleep(s->arg, ask);
  double round = (double)slept + worked_ns;

  if (s->cooldown_ns > 0) {
    if (round >= (double)s->cooldown_ns)
      s->cooldown_ns = 0;
    else
      s->cooldown_ns -= (int64_t)round;
    return;
  }
  bool ok;
  double fraction = worked_ns / (round * s->ops->nprocs(s->arg));
  s->sleep_ratio =
      picontrol_next(&s->control, fraction, SCAVPACE_CPU_FRACTION, round, &ok);
  if (ok) return;
  s->sleep_ratio = SCAVPACE_RATIO_START;
  s->cooldown_ns = SCAVPACE_COOLDOWN_NS;
  s->ncontroller_failures++;
}

uint64_t scavenge_gc_goal(uint64_t last_heap_in_use, uint64_t heap_goal,
                          uint64_t last_heap_goal, uint64_t heap_retained,
                          size_t phys_page) {
  if (last_heap_goal == 0) return SCAVENGE_NO_GOAL;
  double need = (double)last_heap_in_use * (double)heap_goal /
                (double)last_heap_goal *
                (1 + SCAVENGE_RETAIN_EXTRA_PERCENT / 100.0);
  if (need >= (double)(UINT64_MAX / 2)) return SCAVENGE_NO_GOAL;
  uint64_t goal = align_up((uintptr_t)need, phys_page);
  if (heap_retained <= goal || heap_retained - goal < phys_page)
    return SCAVENGE_NO_GOAL;
  return goal;
}

uint64_t scavenge_limit_goal(int64_t limit, uint64_t mapped_ready) {
  if (limit < 0 || limit == INT64_MAX) return SCAVENGE_NO_GOAL;
  double keep = 1 - SCAVENGE_REDUCE_EXTRA_PERCENT / 100.0;
  uint64_t goal = (uint64_t)((double)limit * keep);
  return mapped_ready <= goal ? SCAVENGE_NO_GOAL : goal;
}
