// SPDX-License-Identifier: MIT
/* The generated size-class tables. See tools/mksizeclasses for the rules. */
#include "heap/sizeclass.h"
#include "heap/sizeclass_gen.h"

#define PAGE_BYTES 8192u

const struct sizeclass_table sizeclasses_heap = SIZECLASSES_HEAP_INIT;
const struct sizeclass_table sizeclasses_malloc = SIZECLASSES_MALLOC_INIT;

size_t sizeclass_roundup(const struct sizeclass_table *t, size_t size) {
  if (size == 0) return t->size[1];
  if (size <= MAX_SMALL_SIZE) return t->size[sizeclass_of(t, size)];
  if (size > SIZE_MAX - PAGE_BYTES) return SIZE_MAX;
  return align_up(size, PAGE_BYTES);
}
