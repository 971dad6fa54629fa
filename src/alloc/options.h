// SPDX-License-Identifier: MIT
/* Options from the environment; the list is options.def. */
#ifndef MGC_ALLOC_OPTIONS_H
#define MGC_ALLOC_OPTIONS_H

#include "heap/heap.h"

/* What the environment says of pacing (Go: GOGC, GOMEMLIMIT). */
struct pacing_options {
  int gc_percent;       /* MALLOCGC_GOGC: a percentage, or -1 for "off" */
  int64_t memory_limit; /* MALLOCGC_MEMORY_LIMIT: bytes; INT64_MAX: none */
};

/* Where options come from; tests give their own. getenv's shape. */
typedef const char *options_getenv(const char *name);

/**
 * Fills *opt and *pacing with the defaults and then with what the environment
 * says: MALLOCGC_OPTIONS, MALLOCGC_TRACE (gc,scav,init,types), MALLOCGC_GOGC,
 * MALLOCGC_MEMORY_LIMIT.
 *
 * Units:   memory_limit in bytes; the variable takes B, KiB, MiB, GiB, TiB.
 * Returns: NULL, or the name of the first variable that could not be understood;
 *          the parts of it that could be are in force.
 * Errors:  none other.
 * Threads: at initialisation only.
 */
const char *options_load(struct heap_options *opt,
                         struct pacing_options *pacing, options_getenv *get);

#endif
