// SPDX-License-Identifier: MIT
#include "base/compiler.h"
#include "os/vm.h"
#include "os/vmareas.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static struct vmareas areas;

struct sum {
  uint64_t n, lo, hi;
};

static void add_up(uintptr_t lo, uintptr_t hi, void *arg) {
  struct sum *s = arg;
  s->n++;
  s->lo += lo;
  s->hi += hi;
}

static struct sum sum_of_all(bool complete) {
  struct sum s = {0};
  cr_assert_eq(vmareas_visit(&areas, add_up, &s), complete);
  return s;
}

Test(vmareas, random_changes_agree_with_a_list) {
  struct rng r = rng_seed();
  uintptr_t have[100] = {0};
  for (int i = 0; i < 20000; i++) {
    size_t at = (size_t)rng_below(&r, array_len(have));
    if (have[at]) {
      vmareas_remove(&areas, have[at]);
      have[at] = 0;
    } else {
      have[at] = (at + 1) << 20 | rng_below(&r, 1000) << 8;
      vmareas_add(&areas, have[at], have[at] + 0x100);
    }
    if (i % 100) continue;
    struct sum want = {0}, got = sum_of_all(true);
    for (size_t j = 0; j < array_len(have); j++)
      if (have[j]) add_up(have[j], have[j] + 0x100, &want);
    cr_assert_eq(memcmp(&want, &got, sizeof want), 0);
  }
  cr_assert_leq(atomic_u32_load_relaxed(&areas.used), array_len(have));
}

Test(vmareas, removing_what_is_not_there_changes_nothing) {
  vmareas_add(&areas, 0x1000, 0x2000);
  vmareas_remove(&areas, 0x1800);
  vmareas_remove(&areas, 0);
  cr_assert_eq(sum_of_all(true).n, 1);
}

Test(vmareas, full_table_says_that_it_is_not_complete) {
  for (uintptr_t i = 1; i <= VMAREAS_MAX; i++)
    vmareas_add(&areas, i << 12, (i << 12) + 1);
  cr_assert_eq(sum_of_all(true).n, VMAREAS_MAX);
  vmareas_add(&areas, 1, 2);
  cr_assert_eq(sum_of_all(false).n, VMAREAS_MAX);
}

static void *add_and_remove(void *arg) {
  uintptr_t base = ((uintptr_t)arg + 1) << 32;
  for (uintptr_t i = 0; i < 20000; i++) {
    vmareas_add(&areas, base + i * 16, base + i * 16 + 8);
    if (i >= 10) vmareas_remove(&areas, base + (i - 10) * 16);
  }
  return NULL;
}

Test(vmareas, threads_lose_nothing) {
  pthread_t t[4];
  for (uintptr_t i = 0; i < array_len(t); i++)
    pthread_create(&t[i], NULL, add_and_remove, (void *)i);
  for (size_t i = 0; i < array_len(t); i++) pthread_join(t[i], NULL);
  struct sum s = sum_of_all(true);
  cr_assert_eq(s.n, 10 * array_len(t));
  cr_assert_eq(s.hi - s.lo, 8 * s.n);
}

struct place {
  uintptr_t at;
  bool found;
};

static void find(uintptr_t lo, uintptr_t hi, void *arg) {
  struct place *p = arg;
  if (p->at >= lo && p->at < hi) p->found = true;
}

static bool system_knows(const void *p) {
  struct place place = {.at = (uintptr_t)p};
  cr_assert(vm_system_visit(find, &place));
  return place.found;
}

Test(vmareas, system_vm_notes_what_it_gives_out) {
  struct vm *vm = vm_system();
  char *p = vm->ops->alloc(vm, 1 << 20, "mallocgc: test");
  int local;
  cr_assert_not_null(p);
  cr_assert(system_knows(p + 4096));
  cr_assert_not(system_knows(&local));
  vm->ops->free(vm, p, 1 << 20);
  cr_assert_not(system_knows(p + 4096));
}
