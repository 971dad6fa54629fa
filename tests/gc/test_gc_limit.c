// SPDX-License-Identifier: MIT
/* The hard limit: what the library holds stays below it, what does not fit fails with
 * ENOMEM after a collection, and the program is asked first. */
#include <criterion/criterion.h>
#include <errno.h>
#include <mallocgc.h>
#include <pthread.h>
#include <string.h>

#define LIMIT ((size_t)48 << 20)
/* What threads may take at the same moment, and a step by which the heap grows, whose
 * bytes are in heap_sys a moment before they are in heap_released. */
#define SLACK ((size_t)6 << 20)
#define NTHREADS 4

struct block {
  struct block *next;
  char rest[1000];
};
MGC_TYPE(struct block, next);

static struct block *all;
static unsigned nasked;

static size_t held(void) {
  struct mgc_memstats m;
  mgc_read_memstats(&m);
  return m.heap_sys - m.heap_released;
}

static size_t take_blocks(void) {
  size_t n = 0;
  struct block *b;
  errno = 0;
  while ((b = mgc_new(struct block)) != NULL) {
    memset(b->rest, 1, sizeof b->rest);
    b->next = all;
    all = b;
    n++;
  }
  cr_assert_eq(errno, ENOMEM);
  return n;
}

Test(gc_limit, small_objects_fail_at_the_limit_and_the_program_goes_on) {
  cr_assert_eq(mgc_set_hard_limit(-1), INT64_MAX);
  cr_assert_eq(mgc_set_hard_limit(LIMIT), INT64_MAX);
  cr_assert_eq(mgc_set_hard_limit(-1), (int64_t)LIMIT);
  cr_assert_eq(mgc_set_memory_limit(-1), INT64_MAX);
  for (int round = 0; round < 3; round++) {
    size_t n = take_blocks();
    cr_assert_gt(n * sizeof(struct block), LIMIT / 8 * 6, "%zu blocks", n);
    cr_assert_lt(n * sizeof(struct block), LIMIT, "%zu blocks", n);
    all = NULL;
  }
  /* No limit: it fits. */
  cr_assert_eq(mgc_set_hard_limit(INT64_MAX), (int64_t)LIMIT);
  for (size_t i = 0; i < 2 * LIMIT / sizeof *all; i++) {
    struct block *b = mgc_new(struct block);
    cr_assert_not_null(b);
    b->next = all;
    all = b;
  }
}

Test(gc_limit, garbage_does_not_count) {
  mgc_set_hard_limit(LIMIT);
  for (size_t sum = 0; sum < 20 * LIMIT; sum += 100000)
    cr_assert_not_null(mgc_new_noscan(100000), "after %zu MiB", sum >> 20);
}

Test(gc_limit, large_objects_fail_or_grow_only_within_the_limit) {
  mgc_set_hard_limit(LIMIT);
  errno = 0;
  cr_assert_null(mgc_new_noscan(2 * LIMIT));
  cr_assert_eq(errno, ENOMEM);
  char *p = mgc_new_noscan(LIMIT / 4);
  cr_assert_not_null(p);
  p[LIMIT / 4 - 1] = 7;
  errno = 0;
  cr_assert_null(mgc_realloc(p, 2 * LIMIT));
  cr_assert_eq(errno, ENOMEM);
  cr_assert_eq(p[LIMIT / 4 - 1], 7);
  char *larger = mgc_realloc(p, LIMIT / 3);
  cr_assert_not_null(larger);
  cr_assert_eq(larger[LIMIT / 4 - 1], 7);
}

static bool drop_all(size_t size, void *arg) {
  cr_assert_eq(size, 1024);
  cr_assert_eq(arg, &nasked);
  nasked++;
  all = NULL;
  return nasked < 3;
}

Test(gc_limit, the_program_is_asked_and_tried_again) {
  mgc_set_hard_limit(LIMIT);
  mgc_set_out_of_memory(drop_all, &nasked);
  size_t n = take_blocks();
  cr_assert_eq(nasked, 3);
  cr_assert_gt(n * sizeof(struct block), 2 * LIMIT, "%zu blocks", n);
  mgc_set_out_of_memory(NULL, NULL);
  (void)take_blocks();
  cr_assert_eq(nasked, 3);
}

static bool says_yes(size_t size, void *arg) {
  (void)arg;
  nasked++;
  /* Fails at once, without asking again. */
  cr_assert_null(mgc_new_noscan(size));
  return true;
}

Test(gc_limit, who_does_not_help_is_asked_a_few_times) {
  mgc_set_hard_limit(LIMIT);
  mgc_set_out_of_memory(says_yes, NULL);
  cr_assert_null(mgc_new_noscan(2 * LIMIT));
  cr_assert_eq(nasked, 8);
}

/* Returns what was wrong; Criterion's asserts are for its own thread. */
static void *taker(void *arg) {
  struct block *mine = NULL, *b;
  for (int i = 0; i < 15000; i++) {
    if ((b = mgc_new(struct block)) == NULL) {
      if (errno != ENOMEM) return "errno";
      mine = NULL;
      continue;
    }
    b->next = mine;
    mine = b;
    if (i % 1000 == 0 && held() > LIMIT + SLACK) return "over the limit";
  }
  return arg;
}

Test(gc_limit, threads_stay_below_it_together) {
  mgc_set_hard_limit(LIMIT);
  pthread_t t[NTHREADS];
  for (size_t i = 0; i < NTHREADS; i++)
    cr_assert_eq(pthread_create(&t[i], NULL, taker, NULL), 0);
  for (size_t i = 0; i < NTHREADS; i++) {
    void *wrong;
    pthread_join(t[i], &wrong);
    cr_assert_null(wrong, "%s", (const char *)wrong);
  }
}
