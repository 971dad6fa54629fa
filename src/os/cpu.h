// SPDX-License-Identifier: MIT
/* The processors: how many this process may use, and what they can do. */
#ifndef MGC_OS_CPU_H
#define MGC_OS_CPU_H

#include <stdint.h>

/* Returns: the processors in the thread's affinity mask, or the quota of the
 * process's cgroup in whole processors, rounded up, when that is less; at least 1.
 * Threads: any. errno is preserved. Reads files: ask once. */
unsigned cpu_count(void);

/* The same of n processors and a quota: cgroup_limits.cpu_milli. Pure. */
unsigned cpu_count_within(unsigned n, uint64_t milli);

/* Instruction sets for code that is chosen at run time. A set counts when the
 * processor has all of it and the kernel saves its registers. */
#define CPU_AVX2 1u        /* AVX2, BMI1, POPCNT */
#define CPU_AVX512_VBMI 2u /* AVX-512 F, BW, VBMI; BMI1, POPCNT */

/* What cpuid and xgetbv answer; zeroes where there is no such leaf. */
struct cpu_id {
  uint32_t leaf1_ecx;
  uint32_t leaf7_ebx;
  uint32_t leaf7_ecx;
  uint64_t xcr0;
};

/* Returns: CPU_* bits that id grants. */
uint32_t cpu_features_of(const struct cpu_id *id);
/* Returns: CPU_* bits of this processor; 0 when it is not x86-64. Threads: any.
 * Under a hypervisor cpuid may take microseconds: ask once. */
uint32_t cpu_features(void);

#endif
