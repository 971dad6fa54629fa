// SPDX-License-Identifier: MIT
/* See stack.h. */
#include "face/malloc/stack.h"

#include "os/unwind.h"

/* Where this library lies, from the linker. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

unsigned stack_walk(uintptr_t *frames, unsigned n) {
  return unwind_stack(frames, n, (uintptr_t)__ehdr_start, (uintptr_t)_end);
}
