// SPDX-License-Identifier: MIT
/* The real struct memsource: metadata chunks from a struct vm. */
#ifndef MGC_OS_VMSOURCE_H
#define MGC_OS_VMSOURCE_H

#include "base/memsource.h"
#include "os/vm.h"

struct vm_source {
  struct memsource src; /* what is handed to persistent_init */
  struct vm *vm;        /* (c) */
};

/* Threads: before s is shared. Ownership: s and vm must outlive what was
 * allocated through them. Errors: none; s->src.alloc gives NULL when vm does. */
void vm_source_init(struct vm_source *s, struct vm *vm);

#endif
