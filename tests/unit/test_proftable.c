// SPDX-License-Identifier: MIT
/* Buckets and live objects of a heap profile, against a plain model. */
#include "heap/proftable.h"
#include "os/vmsource.h"
#include "support/rng.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>

struct fixture {
  struct vm_source source;
  struct persistent meta;
  struct memstat stat;
  struct proftable t;
};

static void setup(struct fixture *f, struct vm *vm) {
  *f = (struct fixture){0};
  vm_source_init(&f->source, vm);
  persistent_init(&f->meta, &f->source.src);
  cr_assert(proftable_init(&f->t, vm, &f->meta, &f->stat));
}

Test(proftable, same_stack_and_size_is_the_same_bucket) {
  struct fixture f;
  setup(&f, vm_system());
  uintptr_t a[3] = {1, 2, 3}, b[3] = {1, 2, 4};
  struct prof_bucket *p = proftable_bucket(&f.t, a, 3, 100);
  cr_assert_eq(proftable_bucket(&f.t, a, 3, 100), p);
  cr_assert_eq(proftable_bucket(&f.t, a, 3, 101), p);
  cr_assert_neq(proftable_bucket(&f.t, a, 3, 200), p);
  cr_assert_neq(proftable_bucket(&f.t, a, 2, 100), p);
  cr_assert_neq(proftable_bucket(&f.t, b, 3, 100), p);
  cr_assert_neq(proftable_bucket(&f.t, a, 0, 100), p);
  cr_assert_eq(f.t.nbuckets, 5);
  cr_assert_eq(proftable_next(&f.t, NULL), p);
}

Test(proftable, many_buckets_are_all_found_again) {
  struct fixture f;
  setup(&f, vm_system());
  enum { N = 20000 };
  static struct prof_bucket *b[N];
  for (uintptr_t i = 0; i < N; i++) {
    uintptr_t frames[2] = {0x400000 + i / 7 * 4, 0x500000 + i % 7 * 4};
    b[i] = proftable_bucket(&f.t, frames, 2, 64);
  }
  for (uintptr_t i = 0; i < N; i++) {
    uintptr_t frames[2] = {0x400000 + i / 7 * 4, 0x500000 + i % 7 * 4};
    cr_assert_eq(proftable_bucket(&f.t, frames, 2, 64), b[i]);
  }
  size_t listed = 0;
  const struct prof_bucket *p = NULL;
  while ((p = proftable_next(&f.t, p)) != NULL) listed++;
  cr_assert_eq(listed, N);
  cr_assert_eq(f.t.nbuckets, N);
}

Test(proftable, live_objects_are_those_of_the_model) {
  struct fixture f;
  setup(&f, vm_system());
  struct rng r = rng_seed();
  enum { N = 5000 };
  static size_t size[N]; /* 0: not there */
  uintptr_t frame = 42;
  struct prof_bucket *b = proftable_bucket(&f.t, &frame, 1, 8);
  uint64_t live = 0, bytes = 0;
  for (int step = 0; step < 200000; step++) {
    size_t i = rng_below(&r, N);
    uintptr_t addr = 0x10000 + i * 16;
    const struct prof_live *l = proftable_find(&f.t, addr);
    cr_assert_eq(l != NULL, size[i] != 0);
    if (l) cr_assert_eq(l->size, size[i]);
    /* mostly adding, then mostly taking out, in turn */
    bool adding =
        (step / 20000) % 2 == 0 ? !rng_chance(&r, 4) : rng_chance(&r, 4);
    if (adding && size[i] == 0) {
      cr_assert(proftable_reserve(&f.t));
      size[i] = 1 + rng_below(&r, 1000);
      proftable_add(&f.t, addr, size[i], b);
      live++;
      bytes += size[i];
    } else if (!adding) {
      cr_assert_eq(proftable_remove(&f.t, addr), size[i] != 0);
      live -= size[i] != 0;
      bytes -= size[i];
      size[i] = 0;
    }
    if (step % 10000 == 0) proftable_verify(&f.t);
  }
  cr_assert_eq(f.t.nlive, live);
  cr_assert_eq(proftable_read(b).live, live);
  cr_assert_eq(proftable_read(b).live_bytes, bytes);
}

Test(proftable, object_without_bucket_is_known_and_not_counted) {
  struct fixture f;
  setup(&f, vm_system());
  cr_assert(proftable_reserve(&f.t));
  proftable_add(&f.t, 0x1000, 5, NULL);
  cr_assert_not_null(proftable_find(&f.t, 0x1000));
  proftable_verify(&f.t);
  cr_assert(proftable_remove(&f.t, 0x1000));
  cr_assert(!proftable_remove(&f.t, 0x1000));
}

static struct fixture shared;
static struct atomic_bool done;

static void *reader(void *arg) {
  uint64_t last = 0;
  while (!atomic_bool_load_acquire(&done)) {
    const struct prof_bucket *b = NULL;
    while ((b = proftable_next(&shared.t, b)) != NULL) {
      struct prof_sums s = proftable_read(b);
      cr_assert(s.live <= s.all && s.live_bytes <= s.all_bytes);
      cr_assert(s.live > 0 || s.live_bytes == 0);
      cr_assert(b->nframes == 1 && b->frame[0] > 0);
      last = s.all;
    }
  }
  (void)last;
  return arg;
}

Test(proftable, buckets_are_read_without_the_lock) {
  pthread_t t;
  setup(&shared, vm_system());
  pthread_create(&t, NULL, reader, NULL);
  for (uintptr_t i = 1; i <= 100000; i++) {
    uintptr_t frame = 1 + i % 3000;
    struct prof_bucket *b = proftable_bucket(&shared.t, &frame, 1, 8);
    cr_assert(proftable_reserve(&shared.t));
    proftable_add(&shared.t, i * 16, 8, b);
    cr_assert(proftable_remove(&shared.t, i * 16));
  }
  atomic_bool_store_release(&done, true);
  pthread_join(t, NULL);
}

Test(proftable, no_memory_is_a_result) {
  for (uint64_t n = 1; n < 8; n++) {
    struct fixture f = {0};
    struct vm_faulty faulty;
    struct vm *vm = vm_faulty_init(&faulty, vm_system(), n, true);
    vm_source_init(&f.source, vm);
    persistent_init(&f.meta, &f.source.src);
    if (!proftable_init(&f.t, vm, &f.meta, &f.stat)) continue;
    uintptr_t added = 0;
    for (uintptr_t i = 1; i <= 5000; i++) {
      struct prof_bucket *b = proftable_bucket(&f.t, &i, 1, 8);
      if (!b || !proftable_reserve(&f.t)) continue;
      proftable_add(&f.t, i * 16, 8, b);
      added++;
    }
    cr_assert_eq(f.t.nlive, added);
    proftable_verify(&f.t);
  }
}

Test(proftable, added_twice_is_fatal, .signal = SIGABRT) {
  struct fixture f;
  setup(&f, vm_system());
  cr_assert(proftable_reserve(&f.t));
  proftable_add(&f.t, 0x1000, 5, NULL);
  proftable_add(&f.t, 0x1000, 5, NULL);
}

Test(proftable, sums_that_disagree_are_fatal, .signal = SIGABRT) {
  struct fixture f;
  setup(&f, vm_system());
  uintptr_t frame = 42;
  struct prof_bucket *b = proftable_bucket(&f.t, &frame, 1, 8);
  cr_assert(proftable_reserve(&f.t));
  proftable_add(&f.t, 0x1000, 5, b);
  atomic_u64_fetch_add_relaxed(&b->frees, 1);
  proftable_verify(&f.t);
}
