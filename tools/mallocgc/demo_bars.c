// SPDX-License-Identifier: MIT
/* The heap by size class, as bars. See demo.h for overview. */
#include "demo.h"

#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MAX_ROWS 20

struct style {
  bool utf8, color;
  unsigned width; /* of the bars, in characters */
};

/* Columns of a row beside its bar. */
#define ROW_TEXT 46

static struct style detect_style(void) {
  struct style s = {0};
  bool tty = isatty(STDOUT_FILENO);
  struct winsize ws = {0};
  unsigned columns = 80;
  const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
  const char *given = getenv("COLUMNS");
  if (tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0) {
    columns = ws.ws_col;
  } else if (given && atoi(given) > 0) {
    columns = (unsigned)atoi(given);
  }
  if (columns > 120) columns = 120;
  s.width = columns > ROW_TEXT + 10 ? columns - ROW_TEXT : 10;
  s.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
  s.color = tty && !(no_color && *no_color) && !(term && !strcmp(term, "dumb"));
  return s;
}

/* A bar of eighths of characters (U+2588 to U+258F), or of '#'. */
static void draw_bar(const struct style *s, uint64_t value, uint64_t max) {
  static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  uint64_t steps = max ? value * s->width * 8 / max : 0;
  if (value > 0 && steps == 0) steps = 1;
  if (s->color) fputs("\033[36m", stdout);
  if (s->utf8) {
    for (uint64_t i = 0; i < steps / 8; i++) fputs("█", stdout);
    fputs(eighths[steps % 8], stdout);
  } else {
    for (uint64_t i = 0; i < (steps + 7) / 8; i++) fputc('#', stdout);
  }
  if (s->color) fputs("\033[0m", stdout);
  fputc('\n', stdout);
}

static void draw_row(const struct style *s, const char *name, uint64_t bytes,
                     uint64_t slots, uint64_t total, uint64_t max) {
  printf("  %9s  %9s  %9llu  %5.1f %%  ", name, demo_bytes(bytes),
         (unsigned long long)slots,
         total ? 100.0 * (double)bytes / (double)total : 0);
  draw_bar(s, bytes, max);
}

/* The number of bytes below which classes are gathered in one row. */
static uint64_t threshold(const struct demo_result *r) {
  uint64_t limit = 0;
  for (;;) {
    size_t rows = 0;
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < MGC_NUM_SIZE_CLASSES; i++) {
      uint64_t b = r->class_bytes[i];
      if (b == 0 || b < limit) continue;
      rows++;
      if (b < least) least = b;
    }
    if (rows <= MAX_ROWS) return limit;
    limit = least + 1;
  }
}

void demo_bars(const struct demo_result *r) {
  struct style s = detect_style();
  uint64_t limit = threshold(r), total = 0, max = 0;
  uint64_t rest_bytes = 0, rest_slots = 0;
  for (size_t i = 0; i < MGC_NUM_SIZE_CLASSES; i++) {
    total += r->class_bytes[i];
    if (r->class_bytes[i] > max) max = r->class_bytes[i];
  }
  printf("  %9s  %9s  %9s  %7s\n", "slot", "live", "slots", "of heap");
  for (size_t k = 1; k <= MGC_NUM_SIZE_CLASSES; k++) {
    size_t i = k % MGC_NUM_SIZE_CLASSES; /* large objects last */
    if (r->class_bytes[i] == 0) continue;
    if (r->class_bytes[i] < limit) {
      rest_bytes += r->class_bytes[i];
      rest_slots += r->class_slots[i];
      continue;
    }
    char name[16];
    snprintf(name, sizeof(name), "%llu B",
             (unsigned long long)r->class_size[i]);
    draw_row(&s, i == 0 ? "large" : name, r->class_bytes[i], r->class_slots[i],
             total, max);
  }
  if (rest_bytes > 0)
    draw_row(&s, "others", rest_bytes, rest_slots, total, max);
}
