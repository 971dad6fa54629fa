// SPDX-License-Identifier: MIT
/*
 * Pacing (Go: mgcpacer.go). All functions here are pure.
 *
 * The percentage's goal: what was marked, and `percent` of what there was to
 * scan on top of it,
 *
 *   goal = marked + (marked + stacks + globals) * percent / 100
 *
 * and at least 4 MiB * percent / 100. This collector stops the world for the
 * whole of marking, nothing is allocated meanwhile, and so it starts when the
 * heap has reached its goal: trigger = goal.
 *
 * The memory limit's goal: what is left of the limit when everything that is not
 * heap is taken off, less a headroom of 3 % (at least 1 MiB) for what pacing
 * cannot foresee. The lower of the two goals counts. A limit that cannot be kept
 * would mean one collection after another; the limiter notices that more than
 * half of the time goes into collections, and then the limit is set aside.
 *
 * The goal's fall. Live heaps of programs that work in phases go up and down,
 * and a collection in a trough sets a goal that is soon passed again, with
 * collections all the way up; yet the memory for the larger heap has been
 * obtained already. So, without a memory limit, a goal falls with time: the next
 * one is at least the last one, halved for each goal_halflife_ns of its age. The
 * last goal was set by a live heap that existed, or followed from one by this
 * rule, so the peak of memory is what the highest live heap needs anyway; what
 * changes is how soon the program stops using it. Binary trees of depth 20 take
 * 2.7 s instead of 4.1 s for it, with the same peak. The scavenger goes by the
 * settled goal, without this rule, so an idle program gives memory back.
 */
#include "gc/pacer.h"

#define HEADROOM_PERCENT 3
#define HEADROOM_MIN ((uint64_t)1 << 20)
/* Bytes before the trigger by which sweeping is done (Go: sweepMinHeapDistance). */
#define SWEEP_SLACK ((uint64_t)1 << 20)
#define SWEEP_MIN_DISTANCE 8192
/* A limit that is reached already still lets this much be allocated. */
#define LIMIT_MIN_GROWTH ((uint64_t)64 << 10)

static uint64_t add_sat(uint64_t a, uint64_t b) {
  return a + b < a ? UINT64_MAX : a + b;
}

static uint64_t percent_of(uint64_t x, uint64_t percent) {
  __extension__ typedef unsigned __int128 wide;
  wide r = (wide)x * percent / 100;
  return r > UINT64_MAX ? UINT64_MAX : (uint64_t)r;
}

static uint64_t percent_goal(const struct pacer_config *c,
                             const struct pacer_input *in) {
  if (c->percent < 0) return PACER_NO_GOAL;
  uint64_t percent = (uint64_t)c->percent;
  uint64_t base =
      add_sat(in->heap_marked, add_sat(in->stack_bytes, in->globals_bytes));
  uint64_t goal = add_sat(in->heap_marked, percent_of(base, percent));
  uint64_t least = percent_of(PACER_HEAP_MINIMUM, percent);
  return goal < least ? least : goal;
}

static uint64_t limit_goal(const struct pacer_config *c,
                           const struct pacer_input *in) {
  if (c->memory_limit == INT64_MAX || in->limiter_on) return PACER_NO_GOAL;
  uint64_t limit = (uint64_t)c->memory_limit;
  uint64_t heap = add_sat(in->heap_free, in->heap_alloc);
  uint64_t other = in->mapped_ready > heap ? in->mapped_ready - heap : 0;
  uint64_t over = in->mapped_ready > limit ? in->mapped_ready - limit : 0;
  uint64_t least = add_sat(in->heap_marked, LIMIT_MIN_GROWTH);
  if (add_sat(other, over) >= limit) return least;
  uint64_t goal = limit - other - over;
  uint64_t headroom = percent_of(goal, HEADROOM_PERCENT);
  if (headroom < HEADROOM_MIN) headroom = HEADROOM_MIN;
  goal = goal > 2 * headroom ? goal - headroom : headroom;
  return goal < least ? least : goal;
}

/* last, halved for each halflife of age; a straight line in between. */
static uint64_t goal_floor(uint64_t last, int64_t age, int64_t halflife) {
  if (age < 0) age = 0;
  int64_t halves = age / halflife;
  if (halves >= 63) return 0;
  uint64_t floor = last >> halves;
  double part = (double)(age % halflife) / (double)halflife;
  return floor - (uint64_t)((double)(floor / 2) * part);
}

struct pacer_output pacer_goal(const struct pacer_config *c,
                               const struct pacer_input *in) {
  uint64_t goal = percent_goal(c, in);
  uint64_t limited = limit_goal(c, in);
  bool by_limit = limited < goal;
  if (by_limit) goal = limited;
  if (!by_limit && goal != PACER_NO_GOAL) {
    /* Sweeping must come to an end before the next cycle. */
    uint64_t least = add_sat(in->heap_marked, SWEEP_SLACK);
    if (goal < least) goal = least;
  }
  uint64_t settled = goal;
  if (c->memory_limit == INT64_MAX && c->percent >= 0 &&
      c->goal_halflife_ns > 0 && in->last_goal != PACER_NO_GOAL) {
    uint64_t floor =
        goal_floor(in->last_goal, in->last_goal_age_ns, c->goal_halflife_ns);
    if (goal < floor) goal = floor;
  }
  return (struct pacer_output){
      .goal = goal, .settled = settled, .trigger = goal, .by_limit = by_limit};
}

double pacer_sweep_ratio(uint64_t pages_unswept, uint64_t heap_live,
                         uint64_t trigger) {
  uint64_t distance =
      trigger > heap_live + SWEEP_SLACK ? trigger - heap_live - SWEEP_SLACK : 0;
  if (distance < SWEEP_MIN_DISTANCE) distance = SWEEP_MIN_DISTANCE;
  return (double)pages_unswept / (double)distance;
}

void limiter_init(struct limiter *l, unsigned nprocs) {
  l->fill = 0;
  l->capacity = (int64_t)nprocs * 1000000000;
}

bool limiter_update(struct limiter *l, int64_t gc_ns, int64_t program_ns) {
  l->fill += gc_ns - program_ns;
  if (l->fill < 0) l->fill = 0;
  if (l->fill > l->capacity) l->fill = l->capacity;
  return l->fill == l->capacity;
}
