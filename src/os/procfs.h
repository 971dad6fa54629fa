// SPDX-License-Identifier: MIT
/*
 * What /proc tells about this process, read with raw system calls into buffers
 * on the stack: no stdio and no allocation, so that the collector may call these
 * with the world stopped. Errors are told by the result; errno is preserved.
 */
#ifndef MGC_OS_PROCFS_H
#define MGC_OS_PROCFS_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the beginning of a file.
 * Units: n is the bytes of buf; at most n - 1 are read and a NUL is added.
 * Returns: the bytes read, or -1 when the file cannot be opened or read.
 * Threads: any; async-signal-safe. */
ptrdiff_t procfs_read(const char *path, char *buf, size_t n);
/* The same from a byte offset on; 0 at the end of the file. What /proc makes up for
 * each reading may have changed since the part before. */
ptrdiff_t procfs_read_at(const char *path, uint64_t offset, char *buf,
                         size_t n);

/* Two columns of /proc/self/statm.
 * Units: bytes.
 * Errors: false, *out zero, when /proc is not there.
 * Threads: any; async-signal-safe. */
struct procfs_statm {
  uint64_t size;     /* mapped address space */
  uint64_t resident; /* in memory */
};
MGC_MUST_CHECK bool procfs_statm(struct procfs_statm *out);

/* The number of threads of the process, for the price of one stat().
 * Returns: 0 when /proc is not there.
 * Threads: any; async-signal-safe. Threads come and go meanwhile. */
unsigned procfs_thread_count(void);

/* Walks the ids of the process's threads.
 * Threads: the iterator is the caller's; a thread that starts or ends during
 * the walk may be missed. Async-signal-safe. */
#define PROCFS_TASKS_BUFFER 2048
struct procfs_tasks {
  int fd;
  unsigned pos, len; /* of buf, bytes */
  char buf[PROCFS_TASKS_BUFFER] __attribute__((aligned(8)));
};
/* Errors: false when /proc is not there; end must not be called then. */
MGC_MUST_CHECK bool procfs_tasks_begin(struct procfs_tasks *it);
/* Returns: the next thread id, or 0 at the end. */
int procfs_tasks_next(struct procfs_tasks *it);
void procfs_tasks_end(struct procfs_tasks *it);

/* A line of /proc/self/maps. */
struct procfs_mapping {
  uintptr_t start, end;
  bool read, write, exec, shared;
};
/* Finds the mapping that holds addr.
 * Errors: false when nothing is mapped there or /proc cannot be read.
 * Threads: any; async-signal-safe. The kernel may change it meanwhile. */
MGC_MUST_CHECK bool procfs_find_mapping(uintptr_t addr,
                                        struct procfs_mapping *out);

/* Visits, in the order of addresses, the private mappings of no file that may be
 * read and written: anonymous memory, brk's, the main thread's stack.
 * Errors: false when /proc cannot be read; some may have been visited.
 * Threads: any; async-signal-safe. The kernel may change it meanwhile. */
MGC_MUST_CHECK bool
procfs_visit_anonymous(void (*visit)(uintptr_t lo, uintptr_t hi, void *arg),
                       void *arg);

/* Which of npages pages from addr on, a multiple of the page size, have contents:
 * bit i of out[i / 64]. A page without was never touched, and reads as zero.
 * Errors: false when the kernel does not tell.
 * Threads: any; async-signal-safe. */
MGC_MUST_CHECK bool procfs_pages_present(uintptr_t addr, size_t npages,
                                         uint64_t *out);

/* The kernel's letter for thread tid of this process: R runs or could, D in the
 * kernel, S sleeps, Z has ended; 0: not known. Threads: any; async-signal-safe. */
char procfs_task_state(int tid);

/* The signals that thread tid has blocked; bit n - 1 is signal n.
 * Errors: false when there is no such thread in this process, or no /proc.
 * Threads: any; async-signal-safe. The thread may change it meanwhile. */
MGC_MUST_CHECK bool procfs_blocked_signals(int tid, uint64_t *mask);

#endif
