// SPDX-License-Identifier: MIT
/* The demo's report. See demo.h for overview. */
#include "demo.h"

#include <stdio.h>
#include <string.h>

const char *demo_bytes(uint64_t n) {
  static char buffers[4][16];
  static unsigned next;
  char *out = buffers[next++ % 4];
  if (n < 10000) {
    snprintf(out, sizeof(buffers[0]), "%llu B", (unsigned long long)n);
  } else if (n < 10000000) {
    snprintf(out, sizeof(buffers[0]), "%.1f kB", (double)n / 1e3);
  } else {
    snprintf(out, sizeof(buffers[0]), "%.1f MB", (double)n / 1e6);
  }
  return out;
}

static const char *duration(uint64_t ns) {
  static char buffers[4][16];
  static unsigned next;
  char *out = buffers[next++ % 4];
  if (ns < 1000000) {
    snprintf(out, sizeof(buffers[0]), "%.1f us", (double)ns / 1e3);
  } else if (ns < 1000000000) {
    snprintf(out, sizeof(buffers[0]), "%.2f ms", (double)ns / 1e6);
  } else {
    snprintf(out, sizeof(buffers[0]), "%.2f s", (double)ns / 1e9);
  }
  return out;
}

static const char *count(uint64_t n) {
  static char buffers[4][16];
  static unsigned next;
  char *out = buffers[next++ % 4];
  snprintf(out, sizeof(buffers[0]), "%llu", (unsigned long long)n);
  return out;
}

/* amount in ns, in millions a second. */
static const char *rate(uint64_t amount, uint64_t ns, const char *unit) {
  static char buffers[4][24];
  static unsigned next;
  char *out = buffers[next++ % 4];
  double per_second = ns ? (double)amount * 1e3 / (double)ns : 0;
  snprintf(out, sizeof(buffers[0]), "%.1f %s", per_second, unit);
  return out;
}

static void row(const char *label, const char *with, const char *without) {
  printf("  %-34s %14s %14s\n", label, with, without);
}

static void saved_row(const char *label, const char *with, const char *without,
                      uint64_t a, uint64_t b) {
  double saved = b ? 100.0 * ((double)b - (double)a) / (double)b : 0;
  printf("  %-34s %14s %14s %9.1f %%\n", label, with, without, saved);
}

static void report_tiny(const struct demo_result *a,
                        const struct demo_result *b) {
  printf("\nThe tiny allocator\n"
         "  %-34s %14s %14s %11s\n",
         "", "with", "without", "saved");
  saved_row("allocations (slots) to load", count(a->load_slots),
            count(b->load_slots), a->load_slots, b->load_slots);
  saved_row("heap after loading", demo_bytes(a->loaded_heap),
            demo_bytes(b->loaded_heap), a->loaded_heap, b->loaded_heap);
  saved_row("allocations in the whole run", count(a->total_slots),
            count(b->total_slots), a->total_slots, b->total_slots);
  saved_row("resident memory at the end", demo_bytes(a->resident),
            demo_bytes(b->resident), a->resident, b->resident);
  saved_row("collections", count(a->collections), count(b->collections),
            a->collections, b->collections);
}

static void report_run(const struct demo_result *a,
                       const struct demo_result *b) {
  printf("\nThe run\n  %-34s %14s %14s\n", "", "with tiny", "without");
  row("objects allocated", count(a->total_objects), count(b->total_objects));
  row("bytes allocated", demo_bytes(a->total_bytes),
      demo_bytes(b->total_bytes));
  row("parsing while loading", rate(a->text_bytes, a->load_ns, "MB/s"),
      rate(b->text_bytes, b->load_ns, "MB/s"));
  row("allocation while loading", rate(a->load_objects, a->load_ns, "M obj/s"),
      rate(b->load_objects, b->load_ns, "M obj/s"));
  row("allocation while editing",
      rate(a->churn_objects, a->churn_ns, "M obj/s"),
      rate(b->churn_objects, b->churn_ns, "M obj/s"));
  row("time for loading", duration(a->load_ns), duration(b->load_ns));
  row("time for editing and dropping", duration(a->churn_ns),
      duration(b->churn_ns));
  row("collections", count(a->collections), count(b->collections));
  row("pause, median", duration(a->pause_median), duration(b->pause_median));
  row("pause, 99th percentile", duration(a->pause_p99), duration(b->pause_p99));
  row("pause, longest", duration(a->pause_max), duration(b->pause_max));
  row("highest heap between rounds", demo_bytes(a->peak_heap),
      demo_bytes(b->peak_heap));
  row("live heap at the end", demo_bytes(a->live_heap),
      demo_bytes(b->live_heap));
  row("live objects at the end", count(a->live_objects),
      count(b->live_objects));
  row("resident memory at the end", demo_bytes(a->resident),
      demo_bytes(b->resident));
}

static void report_ratio(const struct demo_result *a,
                         const struct demo_result *b) {
  char with[16], without[16];
  snprintf(with, sizeof(with), "%.2f",
           a->live_heap ? (double)a->resident / (double)a->live_heap : 0);
  snprintf(without, sizeof(without), "%.2f",
           b->live_heap ? (double)b->resident / (double)b->live_heap : 0);
  row("resident / live heap", with, without);
}

void demo_report(const char *origin, const struct demo_options *opt,
                 const struct demo_result *with,
                 const struct demo_result *without) {
  printf("%llu JSON documents, %s, from %s\n",
         (unsigned long long)with->documents, demo_bytes(with->text_bytes),
         origin);
  printf("loaded into typed objects, then %u rounds of editing and dropping: "
         "%s edits, %s parsed again; %u thread%s\n",
         opt->rounds, count(with->edits), demo_bytes(with->churn_text),
         opt->threads, opt->threads == 1 ? "" : "s");
  report_tiny(with, without);
  report_run(with, without);
  report_ratio(with, without);
  printf("\nThe heap after loading, by size class (with the tiny allocator)\n");
  demo_bars(with);
  uint64_t damaged = with->damaged + without->damaged;
  if (damaged == 0) {
    printf(
        "\nAll %llu documents are intact: they serialise to the same text as "
        "at first,\nand it reads back as an equal value.\n",
        (unsigned long long)with->documents);
  } else {
    printf("\nDAMAGED: %llu documents changed.\n", (unsigned long long)damaged);
  }
  if (with->failed > 0) {
    printf("%llu file%s left out, see above.\n",
           (unsigned long long)with->failed,
           with->failed == 1 ? " was" : "s were");
  }
}
