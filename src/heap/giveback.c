// SPDX-License-Identifier: MIT
/* See giveback.h. */
#include "heap/giveback.h"

#define MS 1000000ll
#define HOLD_BUSY_NS (1000 * MS)
#define HOLD_QUIET_NS (250 * MS)
/* Quiet for so long: even nearly full chunks give their free pages. */
#define QUIET_ALL_NS (500 * MS)
#define LEVEL_NS (10000 * MS)
/* What is taken again over several steps is one mistake. */
#define EPISODE_NS (1500 * MS)
/* Pages taken again by less than this are no regret. */
#define REGRET_MIN ((uint64_t)1 << 20)
/* given falls by a 64th each tick: to a half in 5.5 s. */
#define GIVEN_DECAY 64

static uint64_t min64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Moves on to the slot of now; what was not looked at had the use of before. */
static void advance(struct giveback *g, int64_t now_ns) {
  int64_t slot = now_ns / GIVEBACK_TICK_NS;
  int64_t steps = slot - g->slot;
  if (steps < 0 || steps > (int64_t)GIVEBACK_SLOTS)
    steps = (int64_t)GIVEBACK_SLOTS;
  for (int64_t i = 0; i < steps; i++) {
    g->peak[(uint64_t)(slot - i) % GIVEBACK_SLOTS] = g->inuse;
    g->given -= g->given / GIVEN_DECAY;
  }
  g->slot = slot;
}

static uint64_t held_peak(const struct giveback *g, int64_t hold_ns) {
  uint64_t n = (uint64_t)(hold_ns / GIVEBACK_TICK_NS), peak = 0;
  if (n > GIVEBACK_SLOTS) n = GIVEBACK_SLOTS;
  for (uint64_t i = 0; i < n; i++)
    peak = max64(peak, g->peak[((uint64_t)g->slot - i) % GIVEBACK_SLOTS]);
  return peak;
}

static void weigh_regret(struct giveback *g, int64_t now_ns, uint64_t taken) {
  uint64_t again = min64(taken - g->taken, g->given);
  g->given -= again;
  if (again >= REGRET_MIN) {
    bool other = g->level == 0 || now_ns - g->level_since >= EPISODE_NS;
    if (!other) return;
    if (g->level < GIVEBACK_LEVELS) g->level++;
    g->level_since = now_ns;
  } else if (g->level > 0 && now_ns - g->level_since >= LEVEL_NS) {
    g->level--;
    g->level_since = now_ns;
  }
}

static void begin(struct giveback *g, int64_t now_ns,
                  const struct giveback_figures *f) {
  *g = (struct giveback){.slot = now_ns / GIVEBACK_TICK_NS,
                         .quiet_since = now_ns,
                         .inuse = f->inuse,
                         .taken = f->taken,
                         .begun = true};
  for (unsigned i = 0; i < GIVEBACK_SLOTS; i++) g->peak[i] = f->inuse;
}

struct giveback_step giveback_next(struct giveback *g, int64_t now_ns,
                                   const struct giveback_figures *f) {
  if (!g->begun) begin(g, now_ns, f);
  bool same =
      f->peak <= f->inuse && f->inuse == g->inuse && f->taken == g->taken;
  if (!same) {
    g->quiet_since = now_ns;
    g->stuck = 0;
  }
  advance(g, now_ns);
  weigh_regret(g, now_ns, f->taken);
  uint64_t *slot = &g->peak[(uint64_t)g->slot % GIVEBACK_SLOTS];
  *slot = max64(*slot, max64(f->peak, f->inuse));
  g->inuse = f->inuse;
  g->taken = f->taken;

  int64_t quiet_ns = now_ns - g->quiet_since;
  int64_t hold =
      quiet_ns > 0 ? HOLD_QUIET_NS << (2 * g->level) : HOLD_BUSY_NS << g->level;
  uint64_t room = held_peak(g, hold) - f->inuse;
  uint64_t free = f->free - min64(f->free, g->stuck);
  uint64_t excess = free - min64(free, room);
  struct giveback_step step = {.all = quiet_ns >= QUIET_ALL_NS,
                               .sleep_ns = GIVEBACK_TICK_NS};
  if (excess > GIVEBACK_FLOOR)
    step.bytes =
        min64(excess, max64(excess / (quiet_ns > 0 ? 2 : 16), GIVEBACK_STEP));
  else if (free <= GIVEBACK_FLOOR ||
           (quiet_ns == 0 && !giveback_worth_waking(f->inuse, free)))
    step.sleep_ns = -1;
  return step;
}

int64_t giveback_done(struct giveback *g, const struct giveback_step *step,
                      uint64_t got, uint64_t free) {
  g->given += got;
  if (step->bytes == 0 || got >= step->bytes || !step->all)
    return step->sleep_ns;
  /* All that can be had is gone. */
  g->stuck = free;
  return -1;
}
