// SPDX-License-Identifier: MIT
/* See clock.h. */
#include "os/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id) {
  struct timespec ts = {0};
  /* These clocks exist in every kernel, so there is no error to report. */
  clock_gettime(id, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_nanotime(void) { return read_clock(CLOCK_MONOTONIC); }

int64_t clock_wall(void) { return read_clock(CLOCK_REALTIME); }

int64_t clock_thread_cpu(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

int64_t clock_process_cpu(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }
