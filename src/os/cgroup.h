// SPDX-License-Identifier: MIT
/* What the process's control group allows it. See cgroup.c. */
#ifndef MGC_OS_CGROUP_H
#define MGC_OS_CGROUP_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUP_NONE UINT64_MAX

struct cgroup_limits {
  uint64_t memory_max;  /* bytes, at which the kernel kills; CGROUP_NONE */
  uint64_t memory_high; /* bytes, from which it slows down; CGROUP_NONE */
  uint64_t cpu_milli; /* thousandths of a processor, rounded up; CGROUP_NONE */
};

/* How files are read; procfs_read_at's contract. */
struct cgroup_reader {
  ptrdiff_t (*read)(void *arg, const char *path, uint64_t offset, char *buf,
                    size_t n);
  void *arg;
};

/* The files of this machine. */
extern const struct cgroup_reader cgroup_files;

/* Reads the least limits of the process's group and of all groups that it is in.
 * Errors: CGROUP_NONE for what is not limited, not there, or not understood.
 * Threads: any, with some 8 KiB of stack; errno is preserved. Reads many files:
 * ask once. */
void cgroup_read(const struct cgroup_reader *r, struct cgroup_limits *out);

/* A memory limit to be taken from it: `percent` of the lower one, so that what is
 * not the heap's has room too.
 * Units: bytes. Returns: INT64_MAX when there is none. Pure. */
int64_t cgroup_memory_limit(const struct cgroup_limits *l, unsigned percent);

/* The text of a cpu.max file, "max 100000" or "150000 100000" (quota and period in
 * microseconds), as cpu_milli. CGROUP_NONE also when it is malformed. */
uint64_t cgroup_parse_cpu_max(const char *text);

#endif
