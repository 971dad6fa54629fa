// SPDX-License-Identifier: MIT
/*
 * Rounds over what the program has written while it was marked (kernel tracking).
 *
 * A round arms all pages that were written and scans what is marked on them once more.
 * It takes less time than what came before it, so the program writes less meanwhile, and
 * the next round is shorter, until little is left for the last pause. Two things are dear:
 *
 *   to arm a page while the program runs. Its processor must be told (a flush of its TLB,
 *   10 us, or 40 where processors are virtual), once for each 2 MiB that have a written
 *   page and each system call. So only parts with many written pages are armed beside
 *   the program, once, when the rounds begin. For the others it is held, some half a
 *   millisecond at a time; pages then cost a tenth to half a microsecond each
 *
 *   to scan a page. That is done beside the program, after it was let go. A program that
 *   writes faster than that is held by turns then (throttle), the more the less
 *   the rounds shrink: at each level the time is halved that it runs between two holds
 *
 * A hold takes the gc lock, for which the thread must not count as a marker at work: who
 * has the lock may be waiting for the markers to stand.
 */
#include "gc/turn.h"

#include "os/clock.h"

/* The program is held for so long at a time, and runs so long between, at first. */
#define HOLD_NS 500000
#define LONG_HOLD_NS 900000
#define RUN_NS 1600000
#define MAX_THROTTLE 8
/* Pages are armed for so long in one hold: with the stop and the last piece, below one
 * millisecond. A program that writes to more pages between two holds than are armed in one
 * is held longer. */
#define ARM_NS 500000
#define LONG_ARM_NS 1300000
/* How long a held thread may take to run again before it is held once more. */
#define RESUME_NS 300000

static void hold(struct turn *c) {
  struct gc *g = c->g;
  if (c->held) return;
  mark_end_work(&g->marking);
  gc_lock(g);
  mark_begin_work(&g->marking);
  c->held = world_stop(&g->world, GC_STOP_PATIENCE_NS);
  c->since = g->world.began;
  gc_pause_begin(&c->hold, c->since);
  gc_pause_part(&c->hold, "stop");
  if (!c->held) gc_unlock(g);
}

static void let_go(struct turn *c) {
  if (!c->held) return;
  gc_pause_part(&c->hold, "work");
  world_start(&c->g->world);
  gc_pause_part(&c->hold, "start");
  if (c->hold.now - c->hold.begin > c->longest.now - c->longest.begin)
    c->longest = c->hold;
  c->held = false;
  c->rounds.held_ns += clock_nanotime() - c->since;
  c->rounds.nholds++;
  turn_note_pause(c, c->since);
  if (c->level > 0) world_await_resumed(&c->g->world, RESUME_NS);
  c->since = clock_nanotime();
  gc_unlock(c->g);
}

/* Holds the program and lets it go, by turns: the more, the higher the level. */
static void throttle(void *arg) {
  struct turn *c = arg;
  if (c->level == 0) return;
  int64_t age = clock_nanotime() - c->since;
  if (c->held && age >= (c->level > MAX_THROTTLE / 2 ? LONG_HOLD_NS : HOLD_NS))
    let_go(c);
  else if (!c->held && age >= RUN_NS >> c->level)
    hold(c);
}

/* Arms some of what is left of the round, and scans it. False: nothing is left. */
static bool clean_some(struct turn *c) {
  struct track *t = &c->g->track;
  hold(c);
  int64_t ns = c->level > 1 ? LONG_ARM_NS : ARM_NS;
  bool more = track_gather(t, c->held, clock_nanotime() + ns);
  gc_pause_part(&c->hold, "arm");
  let_go(c);
  track_follow(t);
  let_go(c);
  return more;
}

static void note_round(struct turn *c, size_t n) {
  struct gc_rounds *r = &c->rounds;
  r->pages[r->n < GC_TRACED_ROUNDS ? r->n : GC_TRACED_ROUNDS - 1] = n;
  r->n++;
}

/* Pages to expect now that a round found n, and the one before found `before`: as many
 * in proportion as it found of those. */
static size_t left_after(size_t n, size_t before) {
  return n < before ? n * n / before : n;
}

/* One that does not shrink is followed by one at a higher level. */
static void adapt(struct turn *c, size_t n, size_t before) {
  if (before && n > before / 2) c->level += n > before / 4 * 3 ? 2 : 1;
  if (c->level > MAX_THROTTLE) c->level = MAX_THROTTLE;
}

void rounds_clean(struct turn *c) {
  struct gc *g = c->g;
  struct track *t = &g->track;
  size_t before = 0;
  t->tick = throttle;
  t->tick_arg = c;
  mark_begin_work(&g->marking);
  c->rounds.dense = track_clean_dense(t, &g->marking.marker[0]);
  while (c->rounds.n < MAX_ROUNDS && !t->lost) {
    track_begin(t, &g->marking.marker[0]);
    while (clean_some(c)) {
    }
    note_round(c, t->pages);
    if (left_after(t->pages, before) <= ROUNDS_LEFT / 2) break;
    adapt(c, t->pages, before);
    before = t->pages;
  }
  mark_end_work(&g->marking);
}
