// SPDX-License-Identifier: MIT
/* Reading words of the program's memory: its stacks, its data, its objects. */
#ifndef MGC_GC_SCAN_H
#define MGC_GC_SCAN_H

#include "base/compiler.h"
#include <stdint.h>

/* The one function that carries MGC_NO_SANITIZE: the word may be in a red zone,
 * or another thread (in a blocking region) may be writing it. */
MGC_NO_SANITIZE static inline uintptr_t scan_load(const uintptr_t *p) {
  return *(const volatile uintptr_t *)p;
}

#endif
