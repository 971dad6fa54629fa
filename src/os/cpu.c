// SPDX-License-Identifier: MIT
/* See cpu.h. */
#include "os/cpu.h"

#include "base/bits.h"
#include "os/cgroup.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define MILLI 1000

static unsigned affinity_count(void) {
  uint64_t mask[128]; /* 8,192 processors: the kernel's largest NR_CPUS */
  unsigned n = 0;
  /* The raw call: the C library's cpu_set_t ends at 1,024 processors. */
  long bytes = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
  for (long i = 0; i < bytes / (long)sizeof(mask[0]); i++)
    n += popcount64(mask[i]);
  return n ? n : 1;
}

unsigned cpu_count_within(unsigned n, uint64_t milli) {
  if (milli == CGROUP_NONE) return n;
  uint64_t quota = milli / MILLI + (milli % MILLI != 0);
  if (quota == 0) quota = 1;
  return quota < n ? (unsigned)quota : n;
}

unsigned cpu_count(void) {
  struct cgroup_limits limits;
  int saved = errno;
  unsigned n = affinity_count();
  cgroup_read(&cgroup_files, &limits);
  errno = saved;
  return cpu_count_within(n, limits.cpu_milli);
}

/* --- instruction sets --- */

/* Bits of cpuid and of XCR0, from the manuals of Intel and AMD. */
#define ID1_ECX_AVX2_NEEDS                                                     \
  (1u << 23 | 1u << 27 | 1u << 28)                 /* POPCNT, OSXSAVE, AVX */
#define ID7_EBX_AVX2_NEEDS (1u << 3 | 1u << 5)     /* BMI1, AVX2 */
#define ID7_EBX_AVX512_NEEDS (1u << 16 | 1u << 30) /* F, BW */
#define ID7_ECX_AVX512_NEEDS (1u << 1)             /* VBMI */
#define XCR0_AVX (1u << 1 | 1u << 2)               /* SSE and AVX state */
#define XCR0_AVX512 (XCR0_AVX | 1u << 5 | 1u << 6 | 1u << 7) /* masks, ZMM */

static bool has(uint64_t word, uint64_t bits) { return (word & bits) == bits; }

uint32_t cpu_features_of(const struct cpu_id *id) {
  if (!has(id->leaf1_ecx, ID1_ECX_AVX2_NEEDS) ||
      !has(id->leaf7_ebx, ID7_EBX_AVX2_NEEDS) || !has(id->xcr0, XCR0_AVX))
    return 0;
  uint32_t features = CPU_AVX2;
  if (has(id->leaf7_ebx, ID7_EBX_AVX512_NEEDS) &&
      has(id->leaf7_ecx, ID7_ECX_AVX512_NEEDS) && has(id->xcr0, XCR0_AVX512))
    features |= CPU_AVX512_VBMI;
  return features;
}

#if defined(__x86_64__)
static uint64_t read_xcr0(void) {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

uint32_t cpu_features(void) {
  struct cpu_id id = {0};
  uint32_t eax, ebx, ecx, edx;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) id.leaf1_ecx = ecx;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
    id.leaf7_ebx = ebx;
    id.leaf7_ecx = ecx;
  }
  /* xgetbv exists where OSXSAVE is set. */
  if (has(id.leaf1_ecx, ID1_ECX_AVX2_NEEDS)) id.xcr0 = read_xcr0();
  return cpu_features_of(&id);
}
#else
uint32_t cpu_features(void) { return 0; }
#endif
