// SPDX-License-Identifier: MIT
/* Options from the environment; the list is options.def. */
#ifndef MGC_ALLOC_OPTIONS_H
#define MGC_ALLOC_OPTIONS_H

#include "heap/heap.h"
#include "os/cgroup.h"

/* What the environment says of pacing (Go: GOGC, GOMEMLIMIT). */
struct pacing_options {
  int gc_percent;        /* MALLOCGC_GOGC: a percentage, or -1 for "off" */
  int64_t memory_limit;  /* MALLOCGC_MEMORY_LIMIT: bytes; INT64_MAX: none */
  bool has_memory_limit; /* it was given, be it "off" */
  int64_t hard_limit;    /* MALLOCGC_HARD_LIMIT: bytes; INT64_MAX: none */
};

/* Where options come from; tests give their own. getenv's shape. */
typedef const char *options_getenv(const char *name);

/**
 * Fills *opt and *pacing with the defaults, then with what `first` says (NULL, or as
 * MALLOCGC_OPTIONS: defaults of this face), and then with what the environment says: MALLOCGC_OPTIONS, MALLOCGC_TRACE (gc,scav,init,types), MALLOCGC_GOGC,
 * MALLOCGC_MEMORY_LIMIT, MALLOCGC_HARD_LIMIT.
 *
 * Units:   limits in bytes; the variables take B, KiB, MiB, GiB, TiB.
 * Returns: NULL, or the name of the first variable that could not be understood;
 *          the parts of it that could be are in force.
 * Errors:  none other.
 * Threads: at initialisation only.
 */
const char *options_load(struct heap_options *opt,
                         struct pacing_options *pacing, const char *first,
                         options_getenv *get);

/**
 * The memory limit to begin with: what the environment says, also "off"; else, with
 * the option container_limit, that part of what the process's control group has.
 *
 * Units:   bytes; INT64_MAX: none.
 * Errors:  none; a group that cannot be read has no limit.
 * Threads: at initialisation only.
 */
int64_t options_memory_limit(const struct heap_options *opt,
                             const struct pacing_options *pacing,
                             const struct cgroup_reader *groups);

#endif
