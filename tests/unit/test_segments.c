// SPDX-License-Identifier: MIT
#include "base/bits.h"
#include "os/segments.h"
#include "os/thread_linux.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static uintptr_t static_data[4] = {1};
static uintptr_t static_bss[4];
static void *const relro_word = static_bss; /* constant after relocation */
static _Thread_local uintptr_t tls_data[4] = {7};
static _Thread_local uintptr_t tls_bss[4];

#define MAX_OBJECTS 64

/* What a walk found. */
struct found {
  unsigned nbegins, nobjects, ncontinued;
  bool begin_first;
  struct segment_info objects[MAX_OBJECTS];
};

static void on_begin(void *arg) {
  struct found *f = arg;
  f->begin_first = f->nobjects == 0;
  f->nbegins++;
}

static void on_object(const struct segment_info *info, void *arg) {
  struct found *f = arg;
  cr_assert_lt(f->nobjects, MAX_OBJECTS);
  f->ncontinued += info->continued;
  f->objects[f->nobjects++] = *info;
}

static unsigned times_inside(const struct found *f, const void *p) {
  uintptr_t at = (uintptr_t)p;
  unsigned count = 0;
  for (unsigned o = 0; o < f->nobjects; o++)
    for (unsigned i = 0; i < f->objects[o].nranges; i++)
      count +=
          at >= f->objects[o].ranges[i].lo && at < f->objects[o].ranges[i].hi;
  return count;
}

static struct found walk(void) {
  struct found f = {0};
  segments_visit(on_begin, on_object, &f);
  return f;
}

Test(segments, begin_is_called_once_before_all) {
  struct found f = walk();
  cr_assert_eq(f.nbegins, 1);
  cr_assert(f.begin_first);
  cr_assert_geq(f.nobjects, 2, "the program and the C library");
  segments_visit(NULL, on_object, &f);
}

Test(segments, static_variables_are_inside_one_range) {
  struct found f = walk();
  cr_assert_eq(times_inside(&f, static_data), 1);
  cr_assert_eq(times_inside(&f, &static_data[3]), 1);
  cr_assert_eq(times_inside(&f, static_bss), 1);
  cr_assert_eq(times_inside(&f, stdout), 1, "of a shared library");
}

Test(segments, code_constants_stack_and_relro_are_outside) {
  struct found f = walk();
  cr_assert_eq(times_inside(&f, (void *)walk), 0);
  cr_assert_eq(times_inside(&f, "constant"), 0);
  cr_assert_eq(times_inside(&f, &f), 0);
  cr_assert_eq(times_inside(&f, &relro_word), 0);
  cr_assert_eq(relro_word, static_bss);
}

MGC_NO_SANITIZE static uintptr_t sum_range(const struct segment_range *r) {
  uintptr_t sum = 0;
  for (uintptr_t at = r->lo; at < r->hi; at += PTR_BYTES)
    sum += *(volatile uintptr_t *)at;
  return sum;
}

MGC_NO_SANITIZE static void rewrite(uintptr_t at) {
  volatile uintptr_t *p = (volatile uintptr_t *)at;
  *p = *p;
}

Test(segments, ranges_are_aligned_readable_and_writable) {
  struct found f = walk();
  for (unsigned o = 0; o < f.nobjects; o++) {
    for (unsigned i = 0; i < f.objects[o].nranges; i++) {
      const struct segment_range *r = &f.objects[o].ranges[i];
      cr_assert_lt(r->lo, r->hi);
      cr_assert(is_aligned(r->lo, 8) && is_aligned(r->hi, 8));
      sum_range(r);
      rewrite(r->lo);
      rewrite(r->hi - PTR_BYTES);
    }
  }
}

Test(segments, dlopen_and_dlclose_show_in_the_counts) {
  struct found before = walk();
  void *lib = dlopen("libpthread.so.0", RTLD_NOW | RTLD_NOLOAD);
  if (lib) dlclose(lib);
  lib = dlopen("libBrokenLocale.so.1", RTLD_NOW);
  if (!lib) cr_skip_test("no library to load");
  struct found with = walk();
  cr_assert_gt(with.objects[0].adds, before.objects[0].adds);
  cr_assert_gt(with.nobjects, before.nobjects);
  dlclose(lib);
  struct found after = walk();
  cr_assert_gt(after.objects[0].subs, with.objects[0].subs);
}

/* Blocks of TLS, of one thread. */
struct blocks {
  unsigned n;
  struct segment_range ranges[MAX_OBJECTS];
};

static void on_block(uintptr_t lo, uintptr_t hi, void *arg) {
  struct blocks *b = arg;
  cr_assert_lt(b->n, MAX_OBJECTS);
  cr_assert(is_aligned(lo, 8) && is_aligned(hi, 8) && lo < hi);
  b->ranges[b->n++] = (struct segment_range){lo, hi};
}

static unsigned times_in_block(const struct blocks *b, const void *p) {
  uintptr_t at = (uintptr_t)p;
  unsigned count = 0;
  for (unsigned i = 0; i < b->n; i++)
    count += at >= b->ranges[i].lo && at < b->ranges[i].hi;
  return count;
}

static struct blocks find_blocks(uintptr_t thread_pointer) {
  struct found f = walk();
  struct blocks b = {0};
  struct tls_module mods[MAX_OBJECTS];
  size_t n = 0;
  for (unsigned o = 0; o < f.nobjects; o++)
    if (f.objects[o].tls.modid) mods[n++] = f.objects[o].tls;
  tls_blocks_visit(thread_pointer, mods, n, on_block, &b);
  return b;
}

/* A thread that waits, and where its variables are. */
struct sleeper {
  pthread_barrier_t ready, end;
  uintptr_t thread_pointer, stack_lo, stack_hi;
  void *data, *bss, *specific_holder;
};

static void *sleep_on_barrier(void *arg) {
  struct sleeper *s = arg;
  s->thread_pointer = arch_thread_pointer();
  s->data = tls_data;
  s->bss = tls_bss;
  cr_assert(thread_stack_bounds(&s->stack_lo, &s->stack_hi));
  pthread_barrier_wait(&s->ready);
  pthread_barrier_wait(&s->end);
  return NULL;
}

Test(tls, variables_of_a_waiting_thread_are_inside_its_blocks) {
  struct sleeper s;
  pthread_t thread;
  pthread_barrier_init(&s.ready, NULL, 2);
  pthread_barrier_init(&s.end, NULL, 2);
  pthread_create(&thread, NULL, sleep_on_barrier, &s);
  pthread_barrier_wait(&s.ready);
  struct blocks b = find_blocks(s.thread_pointer);
  cr_assert_neq(s.data, (void *)tls_data);
  cr_assert_eq(times_in_block(&b, s.data), 1);
  cr_assert_eq(times_in_block(&b, s.bss), 1);
  cr_assert_eq(times_in_block(&b, tls_data), 0, "not ours");
  pthread_barrier_wait(&s.end);
  pthread_join(thread, NULL);
}

Test(tls, variables_of_the_main_thread_are_inside_its_blocks) {
  struct blocks b = find_blocks(arch_thread_pointer());
  cr_assert_eq(times_in_block(&b, tls_data), 1);
  cr_assert_eq(times_in_block(&b, tls_bss), 1);
}

Test(tls, modules_that_do_not_exist_have_no_block) {
  static const struct tls_module mods[] = {{4000, 64}, {(size_t)1 << 40, 64}};
  struct blocks b = {0};
  tls_blocks_visit(arch_thread_pointer(), mods, array_len(mods), on_block, &b);
  cr_assert_eq(b.n, 0);
}

MGC_NO_SANITIZE static bool holds_word(uintptr_t lo, uintptr_t hi,
                                       uintptr_t word) {
  for (uintptr_t at = lo; at + PTR_BYTES <= hi; at += PTR_BYTES)
    if (*(volatile uintptr_t *)at == word) return true;
  return false;
}

Test(tls, thread_area_of_the_main_thread_holds_specific_values_and_tls) {
  struct tls_layout layout;
  uintptr_t lo, hi;
  pthread_key_t key;
  static char marker;
  tls_layout_init(&layout);
  cr_assert_gt(layout.descriptor, 1000);
  cr_assert_lt(layout.descriptor, 100000);
  tls_thread_area(&layout, arch_thread_pointer(), &lo, &hi);
  cr_assert(lo < hi && is_aligned(lo, 8) && is_aligned(hi, 8));
  cr_assert_not(holds_word(lo, hi, (uintptr_t)&marker));
  cr_assert_eq(pthread_key_create(&key, NULL), 0);
  cr_assert_eq(pthread_setspecific(key, &marker), 0);
  cr_assert(holds_word(lo, hi, (uintptr_t)&marker));
  if (layout.statics) {
    cr_assert((uintptr_t)tls_data >= lo && (uintptr_t)tls_data < hi);
    cr_assert((uintptr_t)tls_bss >= lo && (uintptr_t)tls_bss < hi);
  }
}

Test(tls, thread_area_of_another_thread_is_inside_its_stack) {
  struct sleeper s;
  struct tls_layout layout;
  uintptr_t lo, hi;
  pthread_t thread;
  tls_layout_init(&layout);
  pthread_barrier_init(&s.ready, NULL, 2);
  pthread_barrier_init(&s.end, NULL, 2);
  pthread_create(&thread, NULL, sleep_on_barrier, &s);
  pthread_barrier_wait(&s.ready);
  tls_thread_area(&layout, s.thread_pointer, &lo, &hi);
  cr_assert_geq(lo, s.stack_lo);
  cr_assert_leq(hi, s.stack_hi);
  pthread_barrier_wait(&s.end);
  pthread_join(thread, NULL);
}
