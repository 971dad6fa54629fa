// SPDX-License-Identifier: MIT
/* How many processors this process may use. */
#ifndef MGC_OS_CPU_H
#define MGC_OS_CPU_H

/* Returns: the processors in the thread's affinity mask, or the quota of the
 * process's cgroup (version 2) in whole processors, rounded up, when that is
 * less; at least 1.
 * Threads: any. errno is preserved. Reads files: ask once. */
unsigned cpu_count(void);

/* The processors that the text of a cpu.max file grants ("max 100000" or
 * "150000 100000": quota and period in microseconds), rounded up.
 * Returns: 0 when there is no limit or the text is malformed. */
unsigned cpu_parse_quota(const char *text);

#endif
