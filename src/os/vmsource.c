// SPDX-License-Identifier: MIT
/* See vmsource.h. */
#include "os/vmsource.h"

#include "base/bits.h"

static void *source_alloc(struct memsource *src, size_t n,
                          struct memstat *stat) {
  struct vm_source *s = container_of(src, struct vm_source, src);
  /* The unit of a source is 4 KiB; physical pages of aarch64 may be 64 KiB. */
  size_t bytes = align_up(n, s->vm->page_size);
  if (bytes < n) return NULL;
  return vm_alloc(s->vm, bytes, "mallocgc: metadata", stat);
}

void vm_source_init(struct vm_source *s, struct vm *vm) {
  *s = (struct vm_source){.src = {.alloc = source_alloc}, .vm = vm};
}
