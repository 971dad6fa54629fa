// SPDX-License-Identifier: MIT
/*
 * limit [LIMIT_MIB STEP_MS LAST]: how a program fares as its live heap comes near the
 * memory limit (MALLOCGC_MEMORY_LIMIT), which it is told. What is alive grows in steps of
 * 10 % of LIMIT_MIB to 100 %, and then at once to LAST % (200: a heap that would take four
 * times the limit at GOGC 100). In each step the program replaces records at random for
 * STEP_MS, and says how many a second, and how much memory was resident at most. It takes
 * ten times STEP_MS at most to grow.
 *
 *   step: percent=N live_kib=N rate=N peak_kib=N resident_kib=N collections=N
 */
#include "program.h"

#include <fcntl.h>
#include <unistd.h>

enum { SHORTEST = 64, LONGEST = 960, BETWEEN_CLOCKS = 64 };

struct record {
  unsigned char *text;
  uint64_t length, number, uses[5];
};
POINTERS(struct record, text);

struct place {
  struct record *record;
};
POINTERS(struct place, record);

static struct place *places;
static uint64_t room, count, live;
static struct random seed = {1};

/* Lets the kernel count the resident maximum anew. */
static void forget_peak(void) {
  int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  /* Where that cannot be done, the peak is that of all steps so far. */
  if (fd < 0 || write(fd, "5", 1) != 1) fprintf(stderr, "no clear_refs\n");
  if (fd >= 0) close(fd);
}

static uint64_t collections(void) {
#if defined(BENCH_MALLOCGC)
  struct mgc_memstats s;
  mgc_read_memstats(&s);
  return s.num_gc;
#else
  return 0;
#endif
}

static void replace(struct place *p) {
  size_t n = SHORTEST + random_below(&seed, LONGEST - SHORTEST + 1);
  struct record *r = must(NEW(struct record)), *old = p->record;
  memset(r, 0, sizeof *r);
  r->length = n;
  r->number = count;
  r->text = must(NEW_NOSCAN(n));
  pattern_fill(r->text, n, n);
  STORE(&p->record, r);
  live += sizeof *r + n;
  if (!old) return;
  live -= sizeof *old + old->length;
  FREE(old->text);
  FREE(old);
}

static void grow(uint64_t target, uint64_t deadline) {
  while (live < target && count < room) {
    replace(&places[count++]);
    if (count % BETWEEN_CLOCKS == 0 && now_ns() > deadline) return;
  }
}

/* Replacements a second. */
static double churn(uint64_t ns) {
  uint64_t begin = now_ns(), now = begin, done = 0;
  for (; now - begin < ns; now = now_ns(), done += BETWEEN_CLOCKS)
    for (int i = 0; i < BETWEEN_CLOCKS; i++)
      replace(&places[random_below(&seed, count)]);
  return (double)done * 1e9 / (double)(now - begin);
}

static void step(uint64_t percent, uint64_t limit, uint64_t ns) {
  forget_peak();
  grow(limit / 100 * percent, now_ns() + 10 * ns);
  double rate = churn(ns);
  printf("step: percent=%lu live_kib=%lu rate=%.0f peak_kib=%lu "
         "resident_kib=%lu collections=%lu\n",
         percent, live / 1024, rate, status_kib("VmHWM:"), status_kib("VmRSS:"),
         collections());
}

int main(int argc, char **argv) {
  uint64_t limit = argument_u64(argc, argv, 1, 512) << 20;
  uint64_t ns = argument_u64(argc, argv, 2, 2000) * 1000000;
  uint64_t last = argument_u64(argc, argv, 3, 200);
  report_begin();
  pattern_init();
  /* A record and its text have 576 bytes on average. */
  room = limit / 100 * (last > 100 ? last : 100) / 512;
  places = must(NEW_ARRAY(struct place, room));
  live = room * sizeof *places;
  for (uint64_t percent = 10; percent <= 100; percent += 10)
    step(percent, limit, ns);
  if (last > 100) step(last, limit, ns);
  return 0;
}
