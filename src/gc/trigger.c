// SPDX-License-Identifier: MIT
/*
 * The trigger of a concurrent cycle (Go: gcControllerState.trigger). Pure.
 *
 * The program allocates while the collector marks, so a cycle has to begin before
 * the heap is at its goal: by the runway, the bytes that will be allocated
 * meanwhile. It follows from two rates that nobody knows, of one processor that
 * allocates and of one that scans; their quotient is cons/mark, and each cycle
 * tells what it was,
 *
 *   cons/mark = allocated / (1 - u)  /  (scanned / (u + idle))
 *
 * u is the collector's share of processor time: background and assists. Workers
 * on idle processors scan too, but take nothing from the program. The greatest of
 * the last cycle's and of four before counts: a cycle that begins too early costs
 * little, one that begins too late makes the program assist. In the next cycle
 * the background has its share s, and the program the rest,
 *
 *   runway  = cons/mark * (1 - s) / s * bytes to scan
 *   trigger = goal - runway, but within bounds.
 *
 * With M marked and D = goal - M:
 *
 *   at least M + D * 45/64   a runway that is too long would have one cycle after
 *                            another; better is a shorter one, and assists
 *   at most  M + D * 61/64   the estimate may be far too low, in a program that
 *            or goal - 4 MiB, if that is more   has done nothing so far
 *
 * Go takes the background's share to be what it has planned, though workers on idle
 * processors mark as well: the runway is too long then, threefold for one thread of
 * the program on two processors. Here it is what was measured: with the background's
 * share b of the processors' time and i of idle workers, a runway for b + i marking and
 * 1 - b allocating,
 *
 *   s = (b + i) / (1 + i),   or the share that was planned, when that is more
 *
 * and of the last four cycles the least counts: idle processors are nobody's promise.
 *
 *   I1  consmark.now is finite and not negative
 *   I2  marked <= trigger <= goal, when marked <= goal
 */
#include "gc/trigger.h"

#include <stddef.h>

#define LOWER_BOUND_64THS 45 /* Go: minTriggerRatioNum */
#define UPPER_BOUND_64THS 61 /* Go: maxTriggerRatioNum */
#define UPPER_BOUND_DISTANCE ((uint64_t)4 << 20)
/* A collector that took all of the time says nothing about the program's rate. */
#define SHARE_MAX 0.999
/* Bytes. Above it a double is no exact integer any more; no heap is so large. */
#define RUNWAY_MAX 0x1p53

/* False: the cycle says nothing. */
static bool measure(const struct consmark_sample *s, double *out) {
  if (s->total_ns <= 0 || s->scanned == 0 || s->gc_ns + s->idle_ns <= 0)
    return false;
  double total = (double)s->total_ns;
  double u = (double)s->gc_ns / total;
  if (u > SHARE_MAX) u = SHARE_MAX;
  double marking = u + (double)s->idle_ns / total;
  *out = (double)s->allocated * marking / ((double)s->scanned * (1 - u));
  return true;
}

void consmark_note(struct consmark *c, const struct consmark_sample *s) {
  double latest;
  if (!measure(s, &latest)) return;
  double most = latest;
  for (size_t i = 0; i < CONSMARK_HISTORY; i++)
    if (most < c->past[i]) most = c->past[i];
  for (size_t i = CONSMARK_HISTORY - 1; i > 0; i--) c->past[i] = c->past[i - 1];
  c->past[0] = latest;
  c->now = most;
}

void markrate_note(struct markrate *r, int64_t total_ns, int64_t background_ns,
                   int64_t idle_ns) {
  if (total_ns <= 0) return;
  double b = (double)background_ns / (double)total_ns;
  double i = (double)idle_ns / (double)total_ns;
  double share = (b + i) / (1 + i);
  for (size_t n = CONSMARK_HISTORY - 1; n > 0; n--) r->past[n] = r->past[n - 1];
  r->past[0] = share < SHARE_MAX ? share : SHARE_MAX;
}

double markrate_share(const struct markrate *r, double planned) {
  double least = SHARE_MAX;
  for (size_t n = 0; n < CONSMARK_HISTORY; n++)
    if (r->past[n] < least) least = r->past[n];
  return least > planned ? least : planned;
}

uint64_t trigger_runway(double consmark, double share, uint64_t scan) {
  double runway = consmark * ((1 - share) / share) * (double)scan;
  return runway < RUNWAY_MAX ? (uint64_t)runway : (uint64_t)RUNWAY_MAX;
}

uint64_t trigger_at(uint64_t marked, uint64_t goal, uint64_t runway) {
  /* Only a memory limit sets such a goal. */
  if (goal <= marked) return goal;
  /* Divided first: a product would overflow where there is no goal. */
  uint64_t step = (goal - marked) / 64;
  uint64_t least = marked + step * LOWER_BOUND_64THS;
  uint64_t most = marked + step * UPPER_BOUND_64THS;
  if (goal > UPPER_BOUND_DISTANCE && goal - UPPER_BOUND_DISTANCE > most)
    most = goal - UPPER_BOUND_DISTANCE;
  uint64_t trigger = goal > runway ? goal - runway : 0;
  if (trigger < least) return least;
  return trigger > most ? most : trigger;
}

int64_t trigger_period_left(int percent, int64_t period_ns, int64_t last_ns,
                            int64_t now_ns) {
  if (percent < 0 || period_ns == 0 || last_ns == 0) return -1;
  int64_t left = last_ns + period_ns - now_ns;
  return left > 0 ? left : 0;
}

/* Looks in the time of idle_ns, or a program that has just come to rest is not seen to. */
#define IDLE_LOOKS 4

static bool has_moved(const struct idle_watch *w, uint64_t heap_live) {
  uint64_t by = heap_live > w->seen ? heap_live - w->seen : w->seen - heap_live;
  return w->since_ns == 0 || by > IDLE_SLACK;
}

static void rest_begins(struct idle_watch *w, uint64_t heap_live, bool done,
                        int64_t now_ns) {
  w->seen = heap_live;
  w->since_ns = now_ns;
  w->asked = false;
  w->done = done;
}

int64_t trigger_idle_left(struct idle_watch *w, int percent, int64_t idle_ns,
                          uint64_t heap_live, int64_t last_ns, int64_t now_ns) {
  if (percent < 0 || idle_ns == 0) return -1;
  bool ended = last_ns > w->since_ns;
  if (w->asked && ended)
    rest_begins(w, heap_live, true, now_ns);
  else if (!w->asked && has_moved(w, heap_live))
    rest_begins(w, heap_live, false, now_ns);
  else if (ended)
    w->since_ns = last_ns;
  int64_t left = w->since_ns + idle_ns - now_ns;
  int64_t look = idle_ns / IDLE_LOOKS;
  if (left > 0) return left < look ? left : look;
  if (w->done) return look;
  w->asked = true;
  w->since_ns = now_ns;
  return 0;
}
