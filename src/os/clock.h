// SPDX-License-Identifier: MIT
/* Clocks. Only entry points read them; algorithms are given now_ns. */
#ifndef MGC_OS_CLOCK_H
#define MGC_OS_CLOCK_H

#include <stdint.h>

/* Units: nanoseconds. Threads: any; async-signal-safe; no system call where the
 * kernel has a vDSO (not for processor time). errno is preserved. */
int64_t clock_nanotime(void);   /* monotonic, from an arbitrary beginning */
int64_t clock_wall(void);       /* since 1970; may jump */
int64_t clock_thread_cpu(void); /* used by the calling thread */
/* Used by all threads of the process, in a time that grows with their number. */
int64_t clock_process_cpu(void);

#endif
