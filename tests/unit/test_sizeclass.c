// SPDX-License-Identifier: MIT
/* The generated size classes: Go's table exactly, and the rules for both sets. */
#include "heap/sizeclass.h"
#include "mallocgc/sizeclass_inline.h"
#include "page/page.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct class_row {
  unsigned size, npages;
};

/* Go's internal/runtime/gc/sizeclasses.go, classes 1 to 67. */
static const struct class_row go_table[] = {
    {8, 1},     {16, 1},    {24, 1},    {32, 1},    {48, 1},     {64, 1},
    {80, 1},    {96, 1},    {112, 1},   {128, 1},   {144, 1},    {160, 1},
    {176, 1},   {192, 1},   {208, 1},   {224, 1},   {240, 1},    {256, 1},
    {288, 1},   {320, 1},   {352, 1},   {384, 1},   {416, 1},    {448, 1},
    {480, 1},   {512, 1},   {576, 1},   {640, 1},   {704, 1},    {768, 1},
    {896, 1},   {1024, 1},  {1152, 1},  {1280, 1},  {1408, 2},   {1536, 1},
    {1792, 2},  {2048, 1},  {2304, 2},  {2688, 1},  {3072, 3},   {3200, 2},
    {3456, 3},  {4096, 1},  {4864, 3},  {5376, 2},  {6144, 3},   {6528, 4},
    {6784, 5},  {6912, 6},  {8192, 1},  {9472, 7},  {9728, 6},   {10240, 5},
    {10880, 4}, {12288, 3}, {13568, 5}, {14336, 7}, {16384, 2},  {18432, 9},
    {19072, 7}, {20480, 5}, {21760, 8}, {24576, 3}, {27264, 10}, {28672, 7},
    {32768, 4},
};

struct set_case {
  const char *what;
  const struct sizeclass_table *t;
  unsigned align;
};

static const struct set_case sets[] = {
    {"heap", &sizeclasses_heap, 8},
    {"malloc", &sizeclasses_malloc, 16},
};

Test(sizeclass, heap_set_is_gos_table) {
  const struct sizeclass_table *t = &sizeclasses_heap;
  cr_assert_eq(t->nclasses, NUM_SIZE_CLASSES);
  cr_assert_eq(array_len(go_table), NUM_SIZE_CLASSES - 1);
  for (unsigned c = 1; c < t->nclasses; c++) {
    cr_expect_eq(t->size[c], go_table[c - 1].size, "class %u", c);
    cr_expect_eq(t->npages[c], go_table[c - 1].npages, "class %u", c);
  }
  cr_assert_eq(t->size[spanclass_size(TINY_SPAN_CLASS)], MAX_TINY_SIZE);
  cr_assert(spanclass_noscan(TINY_SPAN_CLASS));
}

Test(sizeclass, every_size_gets_the_smallest_class_that_holds_it) {
  for (size_t k = 0; k < array_len(sets); k++) {
    const struct sizeclass_table *t = sets[k].t;
    unsigned c = 1;
    for (unsigned size = 1; size <= MAX_SMALL_SIZE; size++) {
      while (t->size[c] < size) c++;
      cr_assert_eq(sizeclass_of(t, size), c, "%s: size %u", sets[k].what, size);
      cr_assert_eq(sizeclass_roundup(t, size), t->size[c]);
    }
  }
}

Test(sizeclass, classes_keep_alignment_and_bound_waste) {
  for (size_t k = 0; k < array_len(sets); k++) {
    const struct sizeclass_table *t = sets[k].t;
    for (unsigned c = 1; c < t->nclasses; c++) {
      unsigned bytes = t->npages[c] * (unsigned)MGC_PAGE_SIZE;
      cr_expect_eq(t->size[c] % sets[k].align, 0, "%s %u", sets[k].what, c);
      cr_expect_leq(bytes % t->size[c], bytes / 8, "%s %u", sets[k].what, c);
      cr_expect_leq(bytes / t->size[c], MAX_OBJS_PER_SPAN);
      cr_expect(c == 1 || t->size[c] > t->size[c - 1]);
    }
    cr_expect_eq(t->size[t->nclasses - 1], MAX_SMALL_SIZE);
  }
}

Test(sizeclass, divmagic_divides_every_offset_of_a_span) {
  for (size_t k = 0; k < array_len(sets); k++) {
    const struct sizeclass_table *t = sets[k].t;
    for (unsigned c = 1; c < t->nclasses; c++)
      for (uint32_t off = 0; off < t->npages[c] * MGC_PAGE_SIZE; off++)
        cr_assert_eq(((uint64_t)off * t->divmagic[c]) >> 32, off / t->size[c]);
    cr_assert_eq(t->divmagic[0], 0, "large spans have one slot");
  }
}

Test(sizeclass, roundup_beyond_small_sizes_goes_to_pages) {
  const struct sizeclass_table *t = &sizeclasses_heap;
  cr_assert_eq(sizeclass_roundup(t, 0), 8);
  cr_assert_eq(sizeclass_roundup(t, MAX_SMALL_SIZE + 1), 40960);
  cr_assert_eq(sizeclass_roundup(t, 40960), 40960);
  cr_assert_eq(sizeclass_roundup(t, SIZE_MAX - 8192), SIZE_MAX - 8191);
  cr_assert_eq(sizeclass_roundup(t, SIZE_MAX - 8190), SIZE_MAX);
  cr_assert_eq(sizeclass_roundup(t, SIZE_MAX), SIZE_MAX);
}

Test(sizeclass, inline_class_agrees_with_the_table) {
  for (size_t n = 1; n <= SMALL_SIZE_MAX; n++) {
    unsigned c = mgc_sizeclass_const(n);
    cr_assert_eq(c, sizeclass_of(&sizeclasses_heap, n));
    cr_assert_eq(mgc_sizeclass_elemsize(c), sizeclasses_heap.size[c]);
  }
  cr_assert_eq(mgc_sizeclass_const(0), 0);
  cr_assert_eq(mgc_sizeclass_const(SMALL_SIZE_MAX + 1), 0);
  cr_assert_eq(mgc_sizeclass_elemsize(0), 0);
}
