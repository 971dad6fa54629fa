// SPDX-License-Identifier: MIT
/*
 * What a program of the collector's benchmark says of itself, in one line at its end:
 *
 *   bench: checksum=N peak_kib=N collections=N pauses=N pause_p50_ns=N ...
 *
 * Runners read the keys (benchlib.py); one that a back end cannot know is left out.
 * bench/go/common is the same for the Go twins.
 */
#ifndef MGC_BENCH_REPORT_H
#define MGC_BENCH_REPORT_H

#include "backend.h"

/* --- counts by size, with 16 slots for each power of two: within a sixteenth --- */

enum { HISTOGRAM_SLOTS = 976 };

struct histogram {
  uint64_t count, max, slots[HISTOGRAM_SLOTS];
};

static inline unsigned histogram_slot(uint64_t v) {
  if (v < 16) return (unsigned)v;
  unsigned log = 63 - (unsigned)__builtin_clzll(v);
  return 16 * (log - 3) + ((unsigned)(v >> (log - 4)) & 15);
}

/* The largest value that belongs into the slot. */
static inline uint64_t histogram_slot_max(unsigned slot) {
  if (slot < 16) return slot;
  return ((uint64_t)(17 + slot % 16) << (slot / 16 - 1)) - 1;
}

static inline void histogram_add(struct histogram *h, uint64_t v) {
  h->slots[histogram_slot(v)]++;
  h->count++;
  if (v > h->max) h->max = v;
}

/* What `thousandths` of the values do not exceed, at most a sixteenth too high. */
static inline uint64_t histogram_quantile(const struct histogram *h,
                                          uint64_t thousandths) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++) {
    sum += h->slots[i];
    if (sum * 1000 < h->count * thousandths) continue;
    uint64_t v = histogram_slot_max(i);
    return v < h->max ? v : h->max;
  }
  return h->max;
}

/* --- how long operations take, one after another --- */

/* Short enough to show a cycle of a tenth of a second, long enough for thousands of
 * operations. */
enum { WINDOW_NS = 10000000 };

/* An operation begins where the one before it ended, so that one reading of the clock
 * is enough for each. */
struct latencies {
  struct histogram ns;
  struct histogram rate; /* operations in each window */
  uint64_t last, window_end, window_count;
};

static inline void latencies_begin(struct latencies *l) {
  memset(l, 0, sizeof *l);
  l->last = now_ns();
  l->window_end = l->last + WINDOW_NS;
}

static inline void latencies_note(struct latencies *l) {
  uint64_t now = now_ns();
  histogram_add(&l->ns, now - l->last);
  l->last = now;
  for (; now >= l->window_end; l->window_end += WINDOW_NS) {
    histogram_add(&l->rate, l->window_count);
    l->window_count = 0;
  }
  l->window_count++;
}

/* --- pauses --- */

#if defined(BENCH_LIBGC)
/* Written with the collector's lock held. */
static struct histogram bench_pauses;
static uint64_t bench_stopped_at;

static inline void bench_on_event(GC_EventType event) {
  if (event == GC_EVENT_PRE_STOP_WORLD) bench_stopped_at = now_ns();
  if (event == GC_EVENT_POST_START_WORLD)
    histogram_add(&bench_pauses, now_ns() - bench_stopped_at);
}
#endif

static inline void print_pauses(void) {
#if defined(BENCH_MALLOCGC)
  struct mgc_memstats s;
  mgc_read_memstats(&s);
  printf(" collections=%u pauses=%lu pause_p50_ns=%lu pause_p99_ns=%lu"
         " pause_max_ns=%lu",
         s.num_gc, s.num_pauses, s.pause_p50_ns, s.pause_p99_ns,
         s.pause_max_ns);
#elif defined(BENCH_LIBGC)
  printf(" collections=%lu pauses=%lu pause_p50_ns=%lu pause_p99_ns=%lu"
         " pause_max_ns=%lu",
         (unsigned long)GC_get_gc_no(), bench_pauses.count,
         histogram_quantile(&bench_pauses, 500),
         histogram_quantile(&bench_pauses, 990), bench_pauses.max);
#endif
}

/* --- the line --- */

/* A line "name: N kB" of /proc/self/status; 0 when there is none. */
static inline unsigned long status_kib(const char *name) {
  char line[256];
  unsigned long kib = 0;
  FILE *f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof line, f)) {
    if (strncmp(line, name, strlen(name)) != 0) continue;
    kib = strtoul(line + strlen(name), NULL, 10);
    break;
  }
  if (f) fclose(f);
  return kib;
}

static inline void report_begin(void) {
  INIT();
#if defined(BENCH_LIBGC)
  GC_set_on_collection_event(bench_on_event);
#endif
}

/* All implementations of a program come to one checksum. l may be NULL. */
static inline void report_end(uint64_t checksum, const struct latencies *l) {
  /* The process's own: what getrusage says includes the parent's before exec. */
  printf("bench: checksum=%lu peak_kib=%lu", checksum, status_kib("VmHWM:"));
  print_pauses();
  if (l && l->ns.count > 0)
    printf(" operations=%lu op_p50_ns=%lu op_p99_ns=%lu op_p999_ns=%lu"
           " op_max_ns=%lu",
           l->ns.count, histogram_quantile(&l->ns, 500),
           histogram_quantile(&l->ns, 990), histogram_quantile(&l->ns, 999),
           l->ns.max);
  if (l && l->rate.count > 0)
    printf(" rate_p50=%lu rate_p05=%lu",
           histogram_quantile(&l->rate, 500) * (1000000000 / WINDOW_NS),
           histogram_quantile(&l->rate, 50) * (1000000000 / WINDOW_NS));
  printf("\n");
}

#endif
