// SPDX-License-Identifier: MIT
/* Address range lists against a byte map of slots. */
#include "page/addrrange.h"
#include "support/fakesource.h"
#include "support/rng.h"
#include <criterion/criterion.h>
#include <signal.h>

#define SLOTS 256u
#define SLOT 4096u
#define ORIGIN 0x100000u

struct fix {
  struct fake_source src;
  struct persistent meta;
  struct memstat sys;
  struct addrranges r;
};

static void fix_init(struct fix *f) {
  *f = (struct fix){0};
  fake_source_init(&f->src, 0);
  persistent_init(&f->meta, &f->src.src);
  addrranges_init(&f->r, &f->meta, &f->sys);
}

static uintptr_t slot(size_t i) { return ORIGIN + i * SLOT; }

static struct addrrange slots(size_t i, size_t n) {
  return (struct addrrange){slot(i), slot(i + n)};
}

Test(addrrange, add_coalesces_below_above_and_both) {
  struct fix f;
  fix_init(&f);
  cr_assert(addrranges_add(&f.r, slots(0, 1)));
  cr_assert(addrranges_add(&f.r, slots(4, 1)));
  cr_assert_eq(f.r.len, 2u);
  cr_assert(addrranges_add(&f.r, slots(1, 1)));
  cr_assert_eq(f.r.len, 2u);
  cr_assert_eq(f.r.ranges[0].limit, slot(2));
  cr_assert(addrranges_add(&f.r, slots(3, 1)));
  cr_assert_eq(f.r.ranges[1].base, slot(3));
  cr_assert(addrranges_add(&f.r, slots(2, 1)));
  cr_assert_eq(f.r.len, 1u);
  cr_assert_eq(f.r.total_bytes, 5 * SLOT);
  addrranges_verify(&f.r);
}

Test(addrrange, add_of_an_overlap_is_fatal, .signal = SIGABRT) {
  struct fix f;
  fix_init(&f);
  cr_assert(addrranges_add(&f.r, slots(0, 4)));
  if (!addrranges_add(&f.r, slots(3, 2))) return;
}

Test(addrrange, empty_list_finds_nothing) {
  struct fix f;
  uintptr_t at = 5;
  fix_init(&f);
  cr_assert_eq(addrranges_find_succ(&f.r, 0), 0u);
  cr_assert(!addrranges_find_ge(&f.r, 0, &at));
  cr_assert_eq(at, 5u);
  cr_assert(!addrranges_contains(&f.r, slots(0, 1)));
  addrranges_verify(&f.r);
}

static void compare(const struct fix *f, const bool *used) {
  size_t runs = 0, total = 0;
  for (size_t i = 0; i < SLOTS; i++) {
    total += used[i];
    runs += used[i] && (i == 0 || !used[i - 1]);
  }
  cr_assert_eq(f->r.len, runs);
  cr_assert_eq(f->r.total_bytes, total * SLOT);
  addrranges_verify(&f->r);
  size_t next = SLOTS;
  for (size_t i = SLOTS; i-- > 0;) {
    uintptr_t at = slot(i) + 17, got = 0;
    if (used[i]) next = i;
    bool found = addrranges_find_ge(&f->r, at, &got);
    cr_assert_eq(found, next < SLOTS);
    if (found) cr_assert_eq(got, next == i ? at : slot(next));
    cr_assert_eq(addrranges_contains(&f->r, slots(i, 1)), used[i]);
    bool two = i + 1 < SLOTS && used[i] && used[i + 1];
    cr_assert_eq(addrranges_contains(&f->r, slots(i, 2)), two);
    size_t succ = addrranges_find_succ(&f->r, at);
    cr_assert(succ == f->r.len || f->r.ranges[succ].base > at);
    cr_assert(succ == 0 || f->r.ranges[succ - 1].base <= at);
  }
}

Test(addrrange, add_random_equals_byte_map) {
  struct rng r = rng_seed();
  for (int round = 0; round < 40; round++) {
    struct fix f;
    bool used[SLOTS] = {false};
    size_t biggest = 1 + rng_below(&r, 6);
    fix_init(&f);
    for (int op = 0; op < 300; op++) {
      size_t i = rng_below(&r, SLOTS), n = 0;
      size_t want = 1 + rng_below(&r, biggest);
      while (n < want && i + n < SLOTS && !used[i + n]) n++;
      if (n == 0) continue;
      cr_assert(addrranges_add(&f.r, slots(i, n)));
      for (size_t k = i; k < i + n; k++) used[k] = true;
      if (op % 20 == 0) compare(&f, used);
    }
    compare(&f, used);
  }
}

Test(addrrange, add_without_memory_changes_nothing) {
  struct fix f;
  fix_init(&f);
  f.src.fail_at = 1;
  cr_assert(!addrranges_add(&f.r, slots(0, 1)));
  cr_assert_eq(f.r.len, 0u);
  f.src.fail_at = 0;
  for (size_t i = 0; i < 16; i++)
    cr_assert(addrranges_add(&f.r, slots(2 * i, 1)));
  cr_assert_eq(f.r.cap, 16u);
  cr_assert(addrranges_reserve(&f.r, 3));
  cr_assert_eq(f.r.cap, 32u);
  for (size_t i = 16; i < 19; i++)
    cr_assert(addrranges_add(&f.r, slots(2 * i, 1)));
  addrranges_verify(&f.r);
}
