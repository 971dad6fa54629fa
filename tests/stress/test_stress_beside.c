// SPDX-License-Identifier: MIT
/*
 * Collections beside the program: threads that rewire shared graphs by mgc_store, as
 * fast as they can, while one cycle follows the other. An object that was lost is
 * clobbered, or used again, and does not check.
 */
#include "stress/stress.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(stress_beside, .timeout = 400);

enum { THREADS = 4, SHARED = 512, OWN = 256 };

struct table {
  struct obj *_Atomic slot[SHARED];
};

static struct table *table; /* a collected object; the variable is a root */
static _Atomic bool stop;
static _Atomic(const char *) broken;

static void link_to(struct obj *from, unsigned i, struct obj *to) {
  if (from->kind != OBJ_NOSCAN) mgc_store((void *)&from->link[i], to);
}

static struct obj *pick(struct rng *r) {
  return table->slot[rng_below(r, SHARED)];
}

static void check_walk(const struct obj *o, struct rng *r) {
  const char *bad = obj_walk(o, r, 40);
  if (bad) broken = bad;
}

/* What only one thread uses: objects on its stack, and in an object of its own. */
struct own {
  struct obj *var[OWN];
  struct table *moved;
};

static void own_begin(struct own *own) {
  *own = (struct own){.moved = mgc_alloc(sizeof *own->moved)};
  if (!own->moved) abort();
}

/* Several pointers at once. */
static void move_some(struct rng *r, struct own *own) {
  struct table *t = own->moved;
  size_t n = rng_below(r, 32), from = rng_below(r, SHARED - n);
  size_t to = rng_below(r, SHARED - n);
  mgc_copy((void *)&t->slot[to], (void *)&t->slot[from], n * sizeof(void *));
  mgc_store((void *)&t->slot[from], pick(r));
  mgc_store((void *)&table->slot[rng_below(r, SHARED)],
            t->slot[rng_below(r, SHARED)]);
  if (rng_chance(r, 20)) mgc_clear((void *)&t->slot[from], n * sizeof(void *));
}

/* One change of the graph. */
static void step(struct rng *r, struct own *own) {
  struct obj *o = pick(r);
  switch (rng_below(r, 8)) {
  case 0:
  case 1: { /* a new object takes a place, with links to old ones */
    struct obj *n = obj_new(r);
    for (unsigned i = 0; i < OBJ_LINKS; i++) link_to(n, i, pick(r));
    mgc_store((void *)&table->slot[rng_below(r, SHARED)], n);
    break;
  }
  case 2: { /* what hangs below moves up, and its old place is cut */
    if (!o || o->kind == OBJ_NOSCAN) break;
    unsigned i = (unsigned)rng_below(r, OBJ_LINKS);
    struct obj *below = o->link[i];
    link_to(o, i, NULL);
    mgc_store((void *)&table->slot[rng_below(r, SHARED)], below);
    break;
  }
  case 3: /* into a variable, out of the heap */
    if (!o || o->kind == OBJ_NOSCAN) break;
    own->var[rng_below(r, OWN)] = o->link[0];
    link_to(o, 0, NULL);
    break;
  case 4: /* and back */
    mgc_store((void *)&table->slot[rng_below(r, SHARED)],
              own->var[rng_below(r, OWN)]);
    break;
  case 5:
    move_some(r, own);
    break;
  default:
    check_walk(o, r);
    check_walk(own->var[rng_below(r, OWN)], r);
    check_walk(own->moved->slot[rng_below(r, SHARED)], r);
  }
}

static void *work(void *arg) {
  struct rng r = rng_from(77 + (uint64_t)(uintptr_t)arg);
  struct own own;
  own_begin(&own);
  while (!stop && !broken) step(&r, &own);
  return NULL;
}

/* A promise of the whole process, so each test has one of its own (Criterion). */
static void begin(void) {
  setenv("MALLOCGC_OPTIONS", "clobber_free=1,verify=1,checkmark=1", 0);
  cr_assert(mgc_use_barriers());
  table = mgc_alloc(sizeof *table);
  cr_assert_not_null(table);
}

static void run_for(double seconds, void (*meanwhile)(void)) {
  pthread_t t[THREADS];
  for (uintptr_t i = 0; i < THREADS; i++)
    cr_assert_eq(pthread_create(&t[i], NULL, work, (void *)i), 0);
  double until = stress_now() + seconds;
  while (stress_now() < until && !broken) meanwhile();
  stop = true;
  for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  cr_assert_null(broken, "%s", broken);
}

static uint32_t cycles(void) {
  struct mgc_memstats s;
  mgc_read_memstats(&s);
  return s.num_gc;
}

static void collect(void) { mgc_collect(); }

Test(stress_beside, graphs_that_change_while_they_are_marked) {
  begin();
  uint32_t before = cycles();
  run_for(stress_seconds(), collect);
  cr_assert_gt(cycles(), before + FEW_CYCLES);
}

static void sleep_a_little(void) { usleep(1000); }

Test(stress_beside, cycles_come_by_themselves) {
  begin();
  mgc_set_gc_percent(10);
  uint32_t before = cycles();
  run_for(stress_seconds(), sleep_a_little);
  cr_assert_gt(cycles(), before + FEW_CYCLES);
}

static void fork_and_check(void) {
  pid_t pid = fork();
  if (pid == 0) {
    struct rng r = rng_from(5);
    struct own own;
    own_begin(&own);
    for (int i = 0; i < 2000; i++) step(&r, &own);
    mgc_collect();
    for (int i = 0; i < 2000; i++) step(&r, &own);
    for (int i = 0; i < SHARED; i++) check_walk(table->slot[i], &r);
    _exit(broken ? 1 : 0);
  }
  int status = 0;
  cr_assert_eq(waitpid(pid, &status, 0), pid);
  cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
  mgc_collect();
}

Test(stress_beside, forks_in_the_middle_of_cycles) {
#ifdef __SANITIZE_ADDRESS__
  /* Its allocator does not survive a fork while another thread is in it, and the child
   * makes threads. */
  cr_skip_test("AddressSanitizer");
#endif
  begin();
  mgc_set_gc_percent(10);
  run_for(stress_seconds(), fork_and_check);
}
