// SPDX-License-Identifier: MIT
/*
 * Pacing (Go: mgcpacer.go): how far the heap may grow, and when a cycle begins.
 * All of it is arithmetic; times are arguments. What is beside it has files of its
 * own: trigger.c (runway and trigger), assist.c (who pays for marking), limiter.c
 * (how much time it may take), markshare.c (how many threads mark).
 *
 * The percentage's goal: what was marked, and `percent` of what there was to
 * scan on top of it,
 *
 *   goal = marked + (marked + stacks + globals) * percent / 100
 *
 * and at least 4 MiB * percent / 100. A collector that stops the world for the
 * whole of marking starts when the heap has reached its goal, trigger = goal
 * (pacer_goal). One beside the program starts earlier (struct pacer).
 *
 * The memory limit's goal: what is left of the limit when everything that is not
 * heap is taken off, less a headroom of 3 % (at least 1 MiB) for what pacing
 * cannot foresee. The lower of the two goals counts. A limit that cannot be kept
 * would mean one collection after another. The limiter notices that more than half
 * of the time goes into collections; then, beside the program, assists end. With the
 * world stopped the heap may then grow over the limit, by what the program allocates in
 * as much time as the last cycle took of it (even_bytes): so each has half of the time,
 * and the heap is over by no more than that needs. Go leaves out the limit here.
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
 *
 * That rule beside the program. Runway and assists go by what the last cycle had to
 * scan. In a trough that is next to nothing, while the goal is still that of the
 * peak: with a runway for next to nothing the cycle would begin right before the
 * goal, find the whole of the next peak alive, and have the heap grow over the goal
 * or the program stand in assists. But it is known what may be alive when the heap
 * comes near such a goal: as much as a goal of this height belongs to. So a goal
 * that is held up is paced as that of the live heap which it stands for,
 *
 *   stands for   goal / (1 + percent / 100)
 *   to scan      of that, the part that has pointers, as in the last cycle
 *
 * and runway and expected work agree with each other, as they do in a steady heap.
 * The part is taken of what the last cycle found alive, without what was allocated
 * in it: that counts as marked and was not scanned. A program whose live heap goes
 * up to 100 MiB and down again, and which allocates 132 KiB where 1 MiB is scanned
 * (test_pacer_cycle.c), has a third of the cycles then and the same peak, 252 MiB;
 * with runway and work of the last cycle it was 295, and at 330 KiB 461 for 251.
 *
 * What passes on from cycle to cycle is base_goal, without the few bytes that are
 * added when a cycle has begun (I3) and without what assists put off: going over a
 * goal does not hold the next one up.
 *
 * Beside the program, once a cycle has begun: the goal is at least 64 KiB away, so
 * that assists can be paced at all, and going over it is bounded. With more to scan
 * than expected assists put the goal off (assist.c), at most to what it would be if
 * all of the heap were alive; under a memory limit only by the headroom.
 *
 * Go holds the trigger 1 MiB away from the end of the cycle before until its sweeping
 * is done. Here only the goal is: a cycle that comes sooner sweeps what is left
 * first, before the pause, at some 30 ns a span.
 *
 *   I1  goal >= settled, and both are above what is marked, but for a limit that is
 *       reached: then goal == marked beside the program, and 64 KiB more for the
 *       collector that stops the world, which would else run for every allocation
 *   I2  marked <= trigger <= goal
 *   I3  while a cycle goes on, goal >= triggered + 64 KiB, unless by_limit
 *   I4  hard_goal >= goal
 */
#include "gc/pacer.h"

#include "gc/assist.h"

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

static bool has_limit(const struct pacer_config *c) {
  return c->memory_limit != PACER_NO_LIMIT;
}

/* --- goals --- */

static uint64_t percent_goal(int signed_percent, const struct pacer_input *in) {
  if (signed_percent < 0) return PACER_NO_GOAL;
  uint64_t percent = (uint64_t)signed_percent;
  uint64_t base =
      add_sat(in->heap_marked, add_sat(in->stack_bytes, in->globals_bytes));
  uint64_t goal = add_sat(in->heap_marked, percent_of(base, percent));
  uint64_t least = percent_of(PACER_HEAP_MINIMUM, percent);
  return goal < least ? least : goal;
}

/* What the limit leaves to the heap, with the headroom. */
static uint64_t limit_room(const struct pacer_config *c,
                           const struct pacer_input *in) {
  uint64_t limit = c->memory_limit < 0 ? 0 : (uint64_t)c->memory_limit;
  uint64_t heap = add_sat(in->heap_free, in->heap_alloc);
  uint64_t other = in->mapped_ready > heap ? in->mapped_ready - heap : 0;
  uint64_t over = in->mapped_ready > limit ? in->mapped_ready - limit : 0;
  uint64_t taken = add_sat(other, over);
  return taken < limit ? limit - taken : 0;
}

static uint64_t limit_goal(const struct pacer_config *c,
                           const struct pacer_input *in, uint64_t least) {
  if (!has_limit(c)) return PACER_NO_GOAL;
  uint64_t goal = limit_room(c, in);
  if (goal == 0) return least;
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

static uint64_t held_up(const struct pacer_config *c,
                        const struct pacer_input *in, uint64_t goal) {
  if (has_limit(c) || c->percent < 0 || c->goal_halflife_ns <= 0) return goal;
  if (in->last_goal == PACER_NO_GOAL) return goal;
  uint64_t floor =
      goal_floor(in->last_goal, in->last_goal_age_ns, c->goal_halflife_ns);
  return goal < floor ? floor : goal;
}

/* least: the limit's goal is no lower. */
static struct pacer_output goals(const struct pacer_config *c,
                                 const struct pacer_input *in, uint64_t least) {
  uint64_t goal = percent_goal(c->percent, in);
  uint64_t limited = limit_goal(c, in, least);
  bool by_limit = limited < goal;
  if (by_limit) goal = limited;
  if (!by_limit && goal != PACER_NO_GOAL) {
    /* Sweeping must come to an end before the next cycle. */
    uint64_t room = add_sat(in->heap_marked, SWEEP_SLACK);
    if (goal < room) goal = room;
  }
  return (struct pacer_output){
      .goal = held_up(c, in, goal), .settled = goal, .by_limit = by_limit};
}

struct pacer_output pacer_goal(const struct pacer_config *c,
                               const struct pacer_input *in) {
  uint64_t growth = in->limiter_on ? in->even_bytes : 0;
  if (growth < LIMIT_MIN_GROWTH) growth = LIMIT_MIN_GROWTH;
  struct pacer_output out = goals(c, in, add_sat(in->heap_marked, growth));
  out.trigger = out.goal;
  return out;
}

double pacer_sweep_ratio(uint64_t pages_unswept, uint64_t heap_live,
                         uint64_t trigger) {
  uint64_t distance =
      trigger > heap_live + SWEEP_SLACK ? trigger - heap_live - SWEEP_SLACK : 0;
  if (distance < SWEEP_MIN_DISTANCE) distance = SWEEP_MIN_DISTANCE;
  return (double)pages_unswept / (double)distance;
}

/* --- beside the program --- */

/* Bytes of the heap that a cycle is expected to scan: see "That rule" above. */
static uint64_t expected_heap_scan(const struct pacer *p) {
  uint64_t marked = p->last.heap_marked;
  if (p->base_goal <= p->settled) return p->heap_scan;
  double factor = 1 + (double)p->config.percent / 100;
  double stands_for = (double)p->base_goal / factor;
  if (stands_for <= (double)marked) return p->heap_scan;
  double dense =
      p->old_marked ? (double)p->heap_scan / (double)p->old_marked : 1;
  if (dense > 1) dense = 1;
  double scan = stands_for * dense;
  return scan < (double)p->base_goal ? (uint64_t)scan : p->base_goal;
}

static uint64_t expected_scan(const struct pacer *p) {
  return add_sat(expected_heap_scan(p),
                 add_sat(p->last.stack_bytes, p->last.globals_bytes));
}

static uint64_t hard_goal(const struct pacer *p) {
  uint64_t hard = PACER_NO_GOAL;
  if (p->by_limit)
    hard = limit_room(&p->config, &p->last);
  else if (p->config.percent >= 0)
    hard = add_sat(p->goal, percent_of(p->goal, (uint64_t)p->config.percent));
  return hard < p->goal ? p->goal : hard; /* I4 */
}

/* Everything that follows from config, last, consmark and the cycle. */
static void settle(struct pacer *p) {
  struct pacer_output out = goals(&p->config, &p->last, p->last.heap_marked);
  p->base_goal = p->goal = out.goal;
  p->settled = out.settled;
  p->by_limit = out.by_limit;
  if (p->marking && !p->by_limit) {
    uint64_t least = add_sat(p->triggered, ASSIST_MIN_GROWTH); /* I3 */
    if (p->goal < least) p->goal = least;
  }
  p->hard_goal = hard_goal(p);
  double share = markrate_share(&p->markrate, p->share.share);
  p->runway = trigger_runway(p->consmark.now, share, expected_scan(p));
  p->trigger = PACER_NO_GOAL;
  if (p->goal != PACER_NO_GOAL)
    p->trigger = trigger_at(p->last.heap_marked, p->goal, p->runway);
}

void pacer_init(struct pacer *p, const struct pacer_config *c) {
  *p = (struct pacer){.config = *c, .nprocs = 1};
  p->share = markshare_plan(p->nprocs, false);
  settle(p);
}

void pacer_configure(struct pacer *p, const struct pacer_config *c) {
  p->config = *c;
  p->last.last_goal = 0; /* a goal of other settings is no floor */
  settle(p);
}

void pacer_update_memory(struct pacer *p, const struct pacer_memory *m) {
  p->last.mapped_ready = m->mapped_ready;
  p->last.heap_free = m->heap_free;
  p->last.heap_alloc = m->heap_alloc;
  if (has_limit(&p->config)) settle(p);
}

void pacer_start_cycle(struct pacer *p, const struct pacer_start *s) {
  p->marking = true;
  p->last.limiter_on = false; /* assists end instead */
  p->triggered = s->heap_live;
  p->start_ns = s->now_ns;
  p->nprocs = s->nprocs ? s->nprocs : 1;
  p->share = markshare_plan(p->nprocs, s->periodic);
  p->last.globals_bytes = s->globals_bytes;
  p->stack_max = s->stack_bytes;
  settle(p);
}

double pacer_revise(const struct pacer *p, const struct pacer_progress *now) {
  struct assist_input in = {
      .heap_live = now->heap_live,
      .triggered = p->triggered,
      .goal = p->goal,
      .hard_goal = p->hard_goal,
      .by_limit = p->by_limit,
      .work = now->work,
      .expected = expected_scan(p),
      .most =
          add_sat(now->heap_scan, add_sat(p->stack_max, p->last.globals_bytes)),
  };
  return assist_ratio(&in);
}

static void note_rates(struct pacer *p, const struct pacer_end *e) {
  struct consmark_sample s = {
      .scanned = e->heap_work + e->stack_work + e->globals_work,
      .total_ns = (e->now_ns - p->start_ns) * (int64_t)p->nprocs,
      .gc_ns = e->background_ns + e->assist_ns,
      .idle_ns = e->idle_ns,
  };
  /* Explicit frees may have brought it below where it was. */
  if (e->heap_live > p->triggered) s.allocated = e->heap_live - p->triggered;
  if (e->forced) return;
  if (s.allocated) consmark_note(&p->consmark, &s);
  markrate_note(&p->markrate, s.total_ns, e->background_ns, e->idle_ns);
}

/* Bytes that the program allocates in the time that the cycle took of it. */
static uint64_t even_bytes(const struct pacer *p, const struct pacer_end *e) {
  uint64_t before = p->last.heap_marked;
  if (e->program_ns <= 0 || e->heap_live <= before) return 0;
  double rate = (double)(e->heap_live - before) / (double)e->program_ns;
  double bytes = rate * (double)e->taken_ns;
  return bytes < (double)e->heap_marked ? (uint64_t)bytes : e->heap_marked;
}

void pacer_end_cycle(struct pacer *p, const struct pacer_end *e) {
  note_rates(p, e);
  uint64_t even = even_bytes(p, e);
  p->last = (struct pacer_input){
      .heap_marked = e->heap_marked,
      .stack_bytes = e->stack_work,
      .globals_bytes = e->globals_work,
      .last_goal = p->base_goal,
      .last_goal_age_ns = e->now_ns - p->goal_set_ns,
      .mapped_ready = e->memory.mapped_ready,
      .heap_free = e->memory.heap_free,
      .heap_alloc = e->memory.heap_alloc,
      .even_bytes = even,
  };
  p->heap_scan = e->heap_work;
  uint64_t fresh = p->marking && e->heap_live > p->triggered
                       ? e->heap_live - p->triggered
                       : 0;
  p->old_marked = e->heap_marked > fresh ? e->heap_marked - fresh : 0;
  p->goal_set_ns = e->now_ns;
  p->marking = false;
  settle(p);
}

void pacer_stop_next(struct pacer *p, bool limiter_on) {
  p->last.limiter_on = limiter_on;
  struct pacer_output out = pacer_goal(&p->config, &p->last);
  p->base_goal = p->goal = p->hard_goal = out.goal;
  p->settled = out.settled;
  p->trigger = out.trigger;
  p->by_limit = out.by_limit;
  p->runway = 0;
}

bool pacer_verify(const struct pacer *p, int *which) {
  uint64_t marked = p->last.heap_marked;
  *which = 0;
  if (p->goal < p->settled || p->goal < marked) *which = 1;
  if (p->goal == marked && !p->by_limit) *which = 1;
  if (p->trigger < marked || p->trigger > p->goal) *which = 2;
  if (p->marking && !p->by_limit &&
      p->goal < add_sat(p->triggered, ASSIST_MIN_GROWTH))
    *which = 3;
  if (p->hard_goal < p->goal) *which = 4;
  return *which == 0;
}
