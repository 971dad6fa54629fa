// SPDX-License-Identifier: MIT
/*
 * A program that locks its memory: mlockall fills every mapping that may be
 * touched, so the library may not have large ones that it does not use. Without
 * the right to lock there is nothing to see.
 */
#include "check.h"
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_MIB = 128, MAX_TABLES_KIB = 8 << 10 };

/* KiB of this process's page tables. */
static long page_tables(void) {
  char line[200];
  long kib = -1;
  FILE *f = fopen("/proc/self/status", "r");
  while (f && kib < 0 && fgets(line, sizeof line, f))
    (void)sscanf(line, "VmPTE: %ld", &kib);
  if (f) fclose(f);
  return kib;
}

int main(void) {
  check_begin();
  void *before = malloc(100000);
  CHECK(before, "no memory");
  alarm(60);
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
    CHECK(errno == EPERM || errno == ENOMEM, "errno=%d", errno);
    free(before);
    return check_end() ? 1 : 77;
  }
  CHECK(check_resident() < (long)MAX_MIB << 20, "resident=%ld",
        check_resident());
  CHECK(page_tables() < MAX_TABLES_KIB, "page tables=%ld KiB", page_tables());
  for (int i = 0; i < 100; i++) {
    size_t n = (size_t)1 << (i % 21);
    unsigned char *p = calloc(1, n);
    CHECK(p, "n=%zu", n);
    if (!p) break;
    for (size_t at = 0; at < n; at++)
      if (p[at]) CHECK(false, "n=%zu at=%zu", n, at);
    memset(p, 0xa5, n);
    free(p);
  }
  free(before);
  return check_end();
}
