// SPDX-License-Identifier: MIT
#include "base/bits.h"
#include "os/procfs.h"
#include "os/vm.h"
#include "os/vmsource.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

/* A plain access that the compiler must make. */
static void touch(char *p) { *(volatile char *)p = 1; }

/* A touch that must end the process by SIGSEGV. */
static void touch_fatally(char *p) {
  signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would exit instead */
  touch(p);
}

static char look(const char *p) { return *(const volatile char *)p; }

static size_t resident_pages(void *p, size_t n) {
  unsigned char vec[4096];
  size_t pages = n / vm_system()->page_size, count = 0;
  cr_assert_leq(pages, sizeof(vec));
  cr_assert_eq(mincore(p, n, vec), 0);
  for (size_t i = 0; i < pages; i++) count += vec[i] & 1;
  return count;
}

static char *reserve(size_t n, size_t align) {
  struct vm *vm = vm_system();
  char *p = vm->ops->reserve(vm, NULL, n, align, "mallocgc: test");
  cr_assert_not_null(p);
  return p;
}

static char *reserve_and_map(size_t n) {
  struct vm *vm = vm_system();
  char *p = reserve(n, 0);
  cr_assert(vm->ops->map(vm, p, n, "mallocgc: test"));
  cr_assert(vm->ops->used(vm, p, n));
  return p;
}

Test(vm, system_knows_the_page_sizes) {
  struct vm *vm = vm_system();
  cr_assert_eq(vm->page_size, (size_t)sysconf(_SC_PAGESIZE));
  cr_assert(vm->hugepage_size == 0 ||
            (is_pow2(vm->hugepage_size) && vm->hugepage_size > vm->page_size));
}

Test(vm, alloc_is_zeroed_writable_and_counted) {
  struct memstat stat = {0};
  char *p = vm_alloc(vm_system(), 4 * MIB, "mallocgc: test", &stat);
  cr_assert_not_null(p);
  for (size_t i = 0; i < 4 * MIB; i += 4096) cr_assert_eq(look(p + i), 0);
  touch(p + 4 * MIB - 1);
  cr_assert_eq(memstat_load(&stat), 4 * MIB);
}

Test(vm, reserve_honours_alignment) {
  static const size_t aligns[] = {0, 4096, 65536, 4 * MIB, 64 * MIB};
  for (size_t i = 0; i < array_len(aligns); i++) {
    size_t align = aligns[i] ? aligns[i] : vm_system()->page_size;
    for (int k = 0; k < 4; k++)
      cr_assert(is_aligned((uintptr_t)reserve(MIB, aligns[i]), align));
  }
}

Test(vm, reserve_with_alignment_keeps_nothing_else) {
  struct procfs_statm before, after;
  cr_assert(procfs_statm(&before));
  for (int i = 0; i < 8; i++) reserve(MIB, 64 * MIB);
  cr_assert(procfs_statm(&after));
  cr_assert_leq(after.size - before.size, 9 * MIB);
}

Test(vm, reserve_at_a_hint_gives_the_hint_or_nothing) {
  struct vm *vm = vm_system();
  char *hint = reserve(4 * MIB, 4 * MIB);
  cr_assert_null(vm->ops->reserve(vm, hint, MIB, 0, NULL), "taken");
  cr_assert_null(vm->ops->reserve(vm, hint + 2 * MIB, MIB, 4 * MIB, NULL),
                 "misaligned");
  vm->ops->free(vm, hint, 4 * MIB);
  cr_assert_eq(vm->ops->reserve(vm, hint, MIB, MIB, NULL), hint);
}

Test(vm, reserved_memory_faults, .signal = SIGSEGV) {
  touch_fatally(reserve(MIB, 0));
}

Test(vm, map_makes_reserved_memory_zero_and_writable) {
  char *p = reserve_and_map(MIB);
  cr_assert_eq(look(p), 0);
  touch(p);
  cr_assert_eq(look(p), 1);
}

Test(vm, map_of_a_part_leaves_the_rest_reserved, .signal = SIGSEGV) {
  struct vm *vm = vm_system();
  char *p = reserve(2 * MIB, 0);
  cr_assert(vm->ops->map(vm, p, MIB, "mallocgc: test"));
  touch(p);
  touch(p + MIB - 1);
  touch_fatally(p + MIB);
}

Test(vm, resident_tells_which_pages_are_there) {
  struct vm *vm = vm_system();
  char *p = reserve_and_map(MIB);
  vm->ops->hugepage(vm, p, MIB, false);
  cr_assert_not(vm->ops->resident(vm, p));
  touch(p + 5 * vm->page_size + 7);
  cr_assert(vm->ops->resident(vm, p + 5 * vm->page_size + 9));
  cr_assert_not(vm->ops->resident(vm, p + 6 * vm->page_size));
  vm->ops->unused(vm, p, MIB);
  cr_assert_not(vm->ops->resident(vm, p + 5 * vm->page_size));
}

Test(vm, unused_gives_the_pages_back_and_reads_zero) {
  struct vm *vm = vm_system();
  char *p = reserve_and_map(MIB);
  vm->ops->hugepage(vm, p, MIB, false);
  memset(p, 1, MIB);
  cr_assert_eq(resident_pages(p, MIB), MIB / vm->page_size);
  vm->ops->unused(vm, p, MIB / 2);
  cr_assert_eq(resident_pages(p, MIB), MIB / 2 / vm->page_size);
  cr_assert_eq(look(p), 0);
  cr_assert_eq(look(p + MIB / 2), 1);
  cr_assert(vm->ops->used(vm, p, MIB / 2));
  touch(p);
}

Test(vm, unused_of_locked_memory_reads_zero) {
  struct vm *vm = vm_system();
  size_t n = vm->page_size;
  char *p = reserve_and_map(n);
  memset(p, 1, n);
  if (mlock(p, n) != 0) cr_skip_test("mlock is not allowed");
  vm->ops->unused(vm, p, n);
  for (size_t i = 0; i < n; i++) cr_assert_eq(p[i], 0);
}

Test(vm, fault_makes_memory_fault, .signal = SIGSEGV) {
  struct vm *vm = vm_system();
  char *p = reserve_and_map(MIB);
  touch(p);
  vm->ops->fault(vm, p, MIB);
  touch_fatally(p);
}

Test(vm, fault_then_map_is_zero_again) {
  struct vm *vm = vm_system();
  char *p = reserve_and_map(MIB);
  touch(p);
  vm->ops->fault(vm, p, MIB);
  cr_assert(vm->ops->map(vm, p, MIB, "mallocgc: test"));
  cr_assert_eq(look(p), 0);
}

Test(vm, free_unmaps) {
  struct vm *vm = vm_system();
  struct procfs_mapping m;
  char *p = reserve_and_map(64 * MIB);
  cr_assert(procfs_find_mapping((uintptr_t)p + MIB, &m));
  vm->ops->free(vm, p, 64 * MIB);
  cr_assert_not(procfs_find_mapping((uintptr_t)p + MIB, &m));
}

/* --- moving pages --- */

static void write_tags(char *p, size_t n) {
  for (size_t i = 0; i < n; i += 512) *(size_t *)(void *)(p + i) = i + 1;
}

static bool has_tags(const char *p, size_t n) {
  for (size_t i = 0; i < n; i += 512)
    if (*(const size_t *)(const void *)(p + i) != i + 1) return false;
  return true;
}

static size_t move_or_copy(char *from, char *to, size_t n) {
  struct vm *vm = vm_system();
  size_t moved = SIZE_MAX;
  bool ok = vm->ops->move(vm, from, to, n, &moved);
  cr_assert_eq(ok, moved == n);
  memcpy(to + moved, from + moved, n - moved); /* an old kernel */
  return moved;
}

Test(vm, move_takes_the_pages_along) {
  char *p = reserve_and_map(16 * MIB);
  write_tags(p, 4 * MIB);
  touch(p + 8 * MIB);
  size_t moved = move_or_copy(p, p + 8 * MIB, 4 * MIB);
  cr_assert(has_tags(p + 8 * MIB, 4 * MIB));
  for (size_t i = 0; i < moved; i += 512) cr_assert_eq(look(p + i), 0);
  write_tags(p, 4 * MIB);
  cr_assert(has_tags(p + 8 * MIB, 4 * MIB), "the places are apart");
}

Test(vm, move_of_what_lies_in_two_mappings_moves_all) {
  char *p = reserve_and_map(64 * MIB);
  write_tags(p, 2 * MIB);
  if (move_or_copy(p, p + 16 * MIB, 2 * MIB) == 0) cr_skip("an old kernel");
  /* It has grown past the mapping that the move made. */
  write_tags(p + 16 * MIB, 5 * MIB);
  size_t moved = move_or_copy(p + 16 * MIB, p + 32 * MIB, 5 * MIB);
  cr_assert_eq(moved, 5 * MIB);
  cr_assert(has_tags(p + 32 * MIB, 5 * MIB));
}

Test(vm, renew_gives_back_and_joins_the_mappings) {
  char *p = reserve_and_map(64 * MIB);
  struct vm *vm = vm_system();
  write_tags(p, 2 * MIB);
  move_or_copy(p, p + 16 * MIB, 2 * MIB);
  vm->ops->renew(vm, p + 16 * MIB, 2 * MIB, "mallocgc: test");
  cr_assert_eq(look(p + 16 * MIB), 0);
  cr_assert_leq(resident_pages(p + 16 * MIB, 2 * MIB), 1);
  /* One mapping again: a range across all of it moves by one call. */
  write_tags(p + 15 * MIB, 4 * MIB);
  move_or_copy(p + 15 * MIB, p + 40 * MIB, 4 * MIB);
  cr_assert(has_tags(p + 40 * MIB, 4 * MIB));
}

Test(vm, operations_keep_errno) {
  struct vm *vm = vm_system();
  errno = EBADMSG;
  char *p = reserve_and_map(MIB);
  vm->ops->reserve(vm, p, MIB, 0, NULL);                /* fails: taken */
  vm->ops->reserve(vm, NULL, (size_t)1 << 60, 0, NULL); /* too much */
  vm->ops->hugepage(vm, p, MIB, true);
  vm->ops->unused(vm, p, MIB);
  vm->ops->fault(vm, p, MIB);
  vm->ops->free(vm, p, MIB);
  vm_address_space_left();
  cr_assert_eq(errno, EBADMSG);
}

Test(vm, impossible_sizes_give_null) {
  struct vm *vm = vm_system();
  cr_assert_null(vm->ops->reserve(vm, NULL, (size_t)1 << 60, 0, NULL));
  cr_assert_null(vm->ops->alloc(vm, (size_t)1 << 60, NULL));
  cr_assert_null(vm->ops->reserve(vm, NULL, SIZE_MAX - 4095, 64 * MIB, NULL));
}

Test(vm, mapping_what_is_not_ours_is_fatal, .signal = SIGABRT) {
  struct vm *vm = vm_system();
  vm->ops->map(vm, reserve(MIB, 0) + 1, MIB, NULL);
}

#if !defined(__SANITIZE_ADDRESS__) && !MGC_TSAN
/* The sanitizers' shadows do not fit under a limit. */
Test(vm, address_space_left_follows_the_limit) {
  struct vm *vm = vm_system();
  struct procfs_statm statm;
  cr_assert_eq(vm_address_space_left(), UINT64_MAX);
  cr_assert(procfs_statm(&statm));
  struct rlimit limit = {statm.size + 256 * MIB, statm.size + 256 * MIB};
  cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
  uint64_t left = vm_address_space_left();
  cr_assert_leq(left, 256 * MIB);
  cr_assert_geq(left, 250 * MIB);
  reserve(64 * MIB, 0);
  cr_assert_eq(left - vm_address_space_left(), 64 * MIB);
  cr_assert_null(vm->ops->reserve(vm, NULL, 300 * MIB, 0, NULL));
  cr_assert_null(vm->ops->alloc(vm, 300 * MIB, NULL));
}
#endif

/* Calls alloc, reserve, map, used in turn; one bit for each that failed. */
static unsigned call_four(struct vm *vm) {
  unsigned failed = 0;
  void *p = vm->ops->alloc(vm, MIB, "a");
  void *q = vm->ops->reserve(vm, NULL, MIB, 0, "b");
  char *r = reserve(MIB, 0);
  if (!p) failed |= 1;
  if (!q) failed |= 2;
  if (!vm->ops->map(vm, r, MIB, "c")) failed |= 4;
  if (!vm->ops->used(vm, r, MIB)) failed |= 8;
  return failed;
}

Test(vm, faulty_fails_the_chosen_call) {
  static const struct {
    uint64_t fail_at;
    bool forever;
    unsigned first, second; /* of two rounds of call_four */
  } cases[] = {
      {0, false, 0, 0}, {0, true, 0, 0},   {1, false, 1, 0},
      {2, false, 2, 0}, {3, false, 4, 0},  {4, false, 8, 0},
      {5, false, 0, 1}, {3, true, 12, 15}, {8, true, 0, 8},
  };
  for (size_t i = 0; i < array_len(cases); i++) {
    struct vm_faulty f;
    struct vm *vm =
        vm_faulty_init(&f, vm_system(), cases[i].fail_at, cases[i].forever);
    cr_assert_eq(vm->page_size, vm_system()->page_size);
    cr_assert_eq(call_four(vm), cases[i].first, "case %zu", i);
    cr_assert_eq(call_four(vm), cases[i].second, "case %zu", i);
    cr_assert_eq(atomic_u64_load_relaxed(&f.ncalls), 8);
  }
}

Test(vm, faulty_gives_back_without_counting) {
  struct vm_faulty f;
  struct vm *vm = vm_faulty_init(&f, vm_system(), 1, true);
  char *p = reserve_and_map(MIB);
  touch(p);
  vm->ops->hugepage(vm, p, MIB, true);
  vm->ops->unused(vm, p, MIB);
  cr_assert_eq(look(p), 0);
  vm->ops->fault(vm, p, MIB);
  vm->ops->free(vm, p, MIB);
  cr_assert_eq(atomic_u64_load_relaxed(&f.ncalls), 0);
}

Test(vm, source_gives_whole_pages_and_counts_them) {
  struct vm_source s;
  struct memstat stat = {0};
  vm_source_init(&s, vm_system());
  char *p = s.src.alloc(&s.src, 4096, &stat);
  cr_assert_not_null(p);
  touch(p);
  cr_assert_eq(memstat_load(&stat), vm_system()->page_size);
  cr_assert_null(s.src.alloc(&s.src, SIZE_MAX - 100, &stat));
  cr_assert_eq(memstat_load(&stat), vm_system()->page_size);
}

Test(vm, source_of_a_failing_vm_gives_null) {
  struct vm_faulty f;
  struct vm_source s;
  struct memstat stat = {0};
  vm_source_init(&s, vm_faulty_init(&f, vm_system(), 1, false));
  cr_assert_null(s.src.alloc(&s.src, 4096, &stat));
  cr_assert_eq(memstat_load(&stat), 0);
  cr_assert_not_null(s.src.alloc(&s.src, 4096, &stat));
}
