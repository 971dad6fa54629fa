// SPDX-License-Identifier: MIT
/* See cpu.h. */
#include "os/cpu.h"

#include "base/bits.h"
#include "base/print.h"
#include "os/procfs.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define PATH_BYTES 1024

static unsigned affinity_count(void) {
  uint64_t mask[128]; /* 8,192 processors: the kernel's largest NR_CPUS */
  unsigned n = 0;
  /* The raw call: the C library's cpu_set_t ends at 1,024 processors. */
  long bytes = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
  for (long i = 0; i < bytes / (long)sizeof(mask[0]); i++)
    n += popcount64(mask[i]);
  return n ? n : 1;
}

static const char *parse_number(const char *s, uint64_t *out) {
  const char *begin = s;
  for (*out = 0; *s >= '0' && *s <= '9' && *out < UINT64_MAX / 16; s++)
    *out = *out * 10 + (uint64_t)(*s - '0');
  return s == begin ? NULL : s;
}

unsigned cpu_parse_quota(const char *text) {
  uint64_t quota, period;
  const char *s = parse_number(text, &quota);
  if (!s || *s != ' ') return 0;
  if (!parse_number(s + 1, &period) || period == 0 || quota == 0) return 0;
  uint64_t n = quota / period + (quota % period != 0);
  return n < UINT_MAX ? (unsigned)n : 0;
}

/* The path of our group, from the line "0::/path" that version 2 writes. */
static bool find_cgroup(char *path, size_t n) {
  char text[PATH_BYTES];
  if (procfs_read("/proc/self/cgroup", text, sizeof(text)) <= 0) return false;
  const char *line = text;
  while (strncmp(line, "0::/", 4) != 0) {
    line = strchr(line, '\n');
    if (!line) return false;
    line++;
  }
  size_t len = strcspn(line + 3, "\n");
  if (len >= n) return false;
  memcpy(path, line + 3, len);
  path[len] = 0;
  return true;
}

/* The smallest quota from our group up to the root: each one binds. */
static unsigned cgroup_count(void) {
  char group[PATH_BYTES], file[PATH_BYTES + 64], text[64];
  unsigned least = 0;
  if (!find_cgroup(group, sizeof(group))) return 0;
  for (;;) {
    print_format(file, sizeof(file), "%s%s/cpu.max", CGROUP_ROOT, group);
    unsigned n =
        procfs_read(file, text, sizeof(text)) > 0 ? cpu_parse_quota(text) : 0;
    if (n && (!least || n < least)) least = n;
    char *slash = strrchr(group, '/');
    if (!slash) return least;
    *slash = 0;
  }
}

unsigned cpu_count(void) {
  int saved = errno;
  unsigned n = affinity_count();
  unsigned quota = cgroup_count();
  errno = saved;
  return quota && quota < n ? quota : n;
}
