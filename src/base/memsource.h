// SPDX-License-Identifier: MIT
/* Where metadata allocators get whole chunks of zeroed memory from. The OS layer
 * gives the real one (vm_source); tests give one that counts or fails. */
#ifndef MGC_BASE_MEMSOURCE_H
#define MGC_BASE_MEMSOURCE_H

#include "base/memstat.h"
#include <stddef.h>

struct memsource {
  /* n bytes (a multiple of 4 KiB) of zeroed memory, never given back, or NULL.
   * Thread-safe. Adds n to stat when it is not NULL. */
  void *(*alloc)(struct memsource *src, size_t n, struct memstat *stat);
};

#endif
