// SPDX-License-Identifier: MIT
/*
 * Finds malloc's heap in another process, from outside.
 *
 * Every file that the process has mapped from its beginning is looked at in the
 * process's memory: an ELF header, program headers, notes. The library has a note
 * that leads to its struct msnap_anchor (src/face/malloc/report.c). So it is found
 * under any name, stripped, replaced on disk or linked into something else.
 */
#ifndef MGC_MALLOCGC_FINDHEAP_H
#define MGC_MALLOCGC_FINDHEAP_H

#include "face/malloc/msnap.h"

enum findheap_status {
  FINDHEAP_OK = 0,
  FINDHEAP_NO_PROCESS,
  FINDHEAP_DENIED,   /* /proc/PID/maps or the memory may not be read */
  FINDHEAP_NOT_OURS, /* no such library in it */
  FINDHEAP_OTHER,    /* another version; *out has it */
};

enum findheap_status findheap(int pid, struct msnap_anchor *out);

#endif
