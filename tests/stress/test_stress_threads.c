// SPDX-License-Identifier: MIT
/* Eight threads build and drop linked structures of every size class and kind,
 * with collections at random, and check what they hold. */
#include "stress/stress.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <unistd.h>

#define THREADS 8
#define LOCALS 64
#define SHARED 256

static struct obj *_Atomic shared[SHARED]; /* data segment: roots */
static atomic_bool stop;
static atomic_uint broken;
static atomic_ulong made, collections;

static void complain(const char *what, const struct obj *o) {
  fprintf(stderr, "object %p: %s is broken\n", (const void *)o, what);
  atomic_fetch_add(&broken, 1);
}

/* Links a new object into what the thread holds. */
static void grow(struct obj **local, struct rng *r) {
  struct obj *o = obj_new(r);
  unsigned at = (unsigned)rng_below(r, LOCALS);
  if (o->kind != OBJ_NOSCAN)
    for (unsigned i = 0; i < OBJ_LINKS; i++)
      o->link[i] = local[rng_below(r, LOCALS)];
  if (local[at] && local[at]->kind != OBJ_NOSCAN && rng_chance(r, 2))
    local[at]->link[rng_below(r, OBJ_LINKS)] = o;
  else
    local[at] = o;
  atomic_fetch_add_explicit(&made, 1, memory_order_relaxed);
}

static void exchange(struct obj **local, struct rng *r) {
  unsigned at = (unsigned)rng_below(r, LOCALS);
  local[at] = atomic_exchange(&shared[rng_below(r, SHARED)], local[at]);
}

static void check(struct obj **local, struct rng *r) {
  struct obj *o = local[rng_below(r, LOCALS)];
  const char *bad = obj_walk(o, r, 50);
  if (bad) complain(bad, o);
}

static void *churn(void *arg) {
  struct rng r = rng_from((uint64_t)(uintptr_t)arg * 77);
  struct obj *local[LOCALS] = {0};
  while (!atomic_load(&stop) && !atomic_load(&broken)) {
    uint64_t op = rng_below(&r, 1000);
    if (op < 700) {
      grow(local, &r);
    } else if (op < 800) {
      check(local, &r);
    } else if (op < 850) {
      exchange(local, &r);
    } else if (op < 990) {
      local[rng_below(&r, LOCALS)] = NULL;
    } else if (op < 995) {
      mgc_blocking_begin();
      usleep((useconds_t)rng_below(&r, 100));
      mgc_blocking_end();
    } else if (op < 996) {
      memset(local, 0, sizeof local);
    } else if (op == 999 && rng_chance(&r, 10)) {
      mgc_collect();
      atomic_fetch_add(&collections, 1);
    }
  }
  for (unsigned i = 0; i < LOCALS; i++) {
    const char *bad = obj_walk(local[i], &r, 100);
    if (bad) complain(bad, local[i]);
  }
  return NULL;
}

/* With plain stores: an exchange would leave the old value in a register, and
 * registers are roots. */
__attribute__((noinline)) static void drop_shared(void) {
  for (unsigned i = 0; i < SHARED; i++)
    atomic_store_explicit(&shared[i], NULL, memory_order_release);
}

static bool is_collected(void) {
  struct mgc_memstats ms;
  mgc_read_memstats(&ms);
  return ms.num_gc > 0;
}

static void run(const char *options) {
  pthread_t t[THREADS];
  stress_options(options);
  struct rng seed = rng_seed();
  uint64_t base = rng_u64(&seed);
  for (uintptr_t i = 0; i < THREADS; i++)
    cr_assert_eq(pthread_create(&t[i], NULL, churn, (void *)(base + i)), 0);
  double end = stress_now() + stress_seconds();
  /* A slow machine takes longer to its first collection. */
  while ((stress_now() < end || (!is_collected() && stress_now() < end + 60)) &&
         !atomic_load(&broken))
    usleep(10000);
  atomic_store(&stop, true);
  for (unsigned i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  struct mgc_memstats ms;
  mgc_read_memstats(&ms);
  fprintf(stderr, "%s: %lu objects, %u collections, heap %lu KiB\n", options,
          (unsigned long)atomic_load(&made), ms.num_gc,
          (unsigned long)(ms.heap_alloc >> 10));
  cr_assert_eq(atomic_load(&broken), 0);
  cr_assert_gt(ms.num_gc, 0);
  /* Everything goes when nothing refers to it. */
  drop_shared();
  mgc_collect();
  mgc_collect();
  uint64_t before = ms.heap_alloc;
  mgc_read_memstats(&ms);
  cr_assert_lt(ms.heap_alloc, before / 4 + (1 << 20));
}

Test(stress_threads, contents_survive_collections) { run("clobber_free=1"); }

Test(stress_threads, checkmark_and_verifiers_find_nothing) {
  run("clobber_free=1,checkmark=1,verify=1,background_sweep=1");
}

Test(stress_threads, collecting_all_the_time) {
  run("clobber_free=1,gc_every=50,checkmark=1");
}

Test(stress_threads, one_marker_without_background_threads) {
  run("clobber_free=1,mark_workers=1,background_sweep=0,scavenge=0");
}
