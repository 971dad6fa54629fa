// SPDX-License-Identifier: MIT
/* The program's own roots: ranges and pins, against slow references. */
#include "gc/roots.h"
#include "support/fakesource.h"
#include "support/rng.h"
#include <criterion/criterion.h>

struct fix {
  struct fake_source src;
  struct persistent meta;
  struct roots r;
};

static struct fix *fix_new(uint64_t fail_at) {
  static struct fix f;
  fake_source_init(&f.src, fail_at);
  persistent_init(&f.meta, &f.src.src);
  roots_init(&f.r, &f.meta, NULL);
  return &f;
}

#define OBJECTS 300

Test(roots, pins_are_a_multiset) {
  struct fix *f = fix_new(0);
  struct rng r = rng_seed();
  unsigned count[OBJECTS] = {0};
  size_t distinct = 0;
  for (int i = 0; i < 200000; i++) {
    unsigned k = (unsigned)rng_below(&r, OBJECTS);
    uintptr_t object = 0x1ac000000000u + k * 48;
    /* Phases of growth and of shrinking. */
    if (rng_below(&r, 100) < (i / 20000 % 2 ? 35u : 65u)) {
      cr_assert(roots_pin(&f->r, object));
      distinct += count[k]++ == 0;
    } else {
      bool was = count[k] > 0;
      cr_assert_eq(roots_unpin(&f->r, object), was);
      if (was) distinct -= --count[k] == 0;
    }
    cr_assert_eq(f->r.npins, distinct);
  }
  size_t in_table = 0;
  for (size_t i = 0; i < f->r.pins_cap; i++) {
    if (!f->r.pins[i].object) continue;
    size_t k = (f->r.pins[i].object - 0x1ac000000000u) / 48;
    cr_assert_eq(f->r.pins[i].count, count[k]);
    in_table++;
  }
  cr_assert_eq(in_table, distinct);
}

Test(roots, pins_without_memory_fail_and_keep_what_there_is) {
  struct fix *f = fix_new(1);
  cr_assert_not(roots_pin(&f->r, 0x1000));
  cr_assert_not(roots_unpin(&f->r, 0x1000));
  f->src.fail_at = 0;
  cr_assert(roots_pin(&f->r, 0x1000));
  f->src.fail_at = 1;
  size_t n = 1;
  while (n < 1000000 && roots_pin(&f->r, 0x1000 + n * 8)) n++;
  cr_assert_lt(n, 1000000);
  for (size_t i = 0; i < n; i++)
    cr_assert(roots_unpin(&f->r, 0x1000 + i * 8), "%zu of %zu", i, n);
}

Test(roots, ranges_inside_the_removed_one_go) {
  struct fix *f = fix_new(0);
  cr_assert(roots_add_range(&f->r, 0x1000, 0x2000));
  cr_assert(roots_add_range(&f->r, 0x1000, 0x2000)); /* twice */
  cr_assert(roots_add_range(&f->r, 0x1800, 0x2800));
  cr_assert(roots_add_range(&f->r, 0x3001, 0x3017)); /* trimmed to words */
  cr_assert_eq(f->r.nadded, 4);
  cr_assert_eq(f->r.added[3].lo, 0x3008);
  cr_assert_eq(f->r.added[3].hi, 0x3010);
  cr_assert(roots_add_range(&f->r, 0x3001, 0x3007)); /* no word in it */
  cr_assert_eq(f->r.nadded, 4);
  roots_remove_ranges(&f->r, 0x1000, 0x27ff);
  cr_assert_eq(f->r.nadded, 2);
  cr_assert_eq(f->r.added[0].lo, 0x1800);
  roots_remove_ranges(&f->r, 0, 0x100000);
  cr_assert_eq(f->r.nadded, 0);
  for (uintptr_t i = 0; i < 1000; i++)
    cr_assert(roots_add_range(&f->r, i * 64, i * 64 + 8));
  cr_assert_eq(f->r.nadded, 1000);
}
