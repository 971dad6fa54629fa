// SPDX-License-Identifier: MIT
/* The writable data of the program and of every shared object it has loaded. */
#ifndef MGC_OS_SEGMENTS_H
#define MGC_OS_SEGMENTS_H

#include "os/tls.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_RANGES 16

/* Addresses, multiples of 8. */
struct segment_range {
  uintptr_t lo, hi;
};

struct segment_info {
  const char *name; /* the loader's; "" for the program */
  uintptr_t base;
  struct tls_module tls; /* modid 0: no thread-local variables */
  uint64_t adds, subs;   /* objects loaded and unloaded since the start */
  bool continued;        /* more ranges of the object before; tls is empty */
  unsigned nranges;
  struct segment_range ranges[SEGMENT_RANGES];
};

/* Visits each loaded object, with the loader's lock held from before begin until
 * the end: begin is where the collector stops the other threads, because none of
 * them can then be inside dlopen, dlclose or an unwinder's look-up. begin may be
 * NULL.
 * The ranges are the writable segments without what the loader has made read-only
 * after relocation (PT_GNU_RELRO).
 * Threads: any; waits for the loader's lock, so the caller must not hold what a
 * thread inside dlopen or a constructor may want. Neither begin nor visit may
 * load, unload or wait for a thread that does.
 * Ownership: info is valid during the call; the name while it is loaded. */
void segments_visit(void (*begin)(void *arg),
                    void (*visit)(const struct segment_info *info, void *arg),
                    void *arg);

#endif
