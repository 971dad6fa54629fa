// SPDX-License-Identifier: MIT
/* For the small programs that run with the library preloaded: a failed check is a
 * line on standard error, and the program goes on. Nothing here allocates. */
#ifndef MGC_TESTS_MALLOC_CHECK_H
#define MGC_TESTS_MALLOC_CHECK_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int check_failures;

#define CHECK(cond, ...)                                                       \
  do {                                                                         \
    if (!(cond)) {                                                             \
      __atomic_fetch_add(&check_failures, 1, __ATOMIC_RELAXED);                \
      char text_[400];                                                         \
      int n_ = snprintf(text_, sizeof text_, "" __VA_ARGS__);                  \
      (void)n_;                                                                \
      dprintf(2, "%s:%d: %s: %s\n", __FILE__, __LINE__, #cond, text_);         \
    }                                                                          \
  } while (0)

/* Whether malloc is the library's: a test of something else would prove nothing. */
static inline bool check_is_ours(void) {
  Dl_info info;
  void *sym = dlsym(RTLD_DEFAULT, "malloc");
  return sym && dladdr(sym, &info) && info.dli_fname &&
         strstr(info.dli_fname, "libmallocgc-malloc");
}

/* Ends the program with 1 unless the library is preloaded. MALLOC_TEST_ANY: the
 * test itself is on trial, on another malloc. */
static inline void check_begin(void) {
  if (check_is_ours() || getenv("MALLOC_TEST_ANY")) return;
  dprintf(2, "the library is not preloaded\n");
  exit(1);
}

static inline int check_end(void) {
  if (check_failures) dprintf(2, "%d checks failed\n", check_failures);
  return check_failures != 0;
}

/* Resident bytes of this process. */
static inline long check_resident(void) {
  long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f || fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
  if (f) fclose(f);
  return pages * sysconf(_SC_PAGESIZE);
}

/* xorshift64*. */
static inline uint64_t check_random(uint64_t *state) {
  uint64_t x = *state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  *state = x;
  return x * 0x2545f4914f6cdd1dull;
}

#endif
