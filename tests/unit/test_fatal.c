// SPDX-License-Identifier: MIT
#include "base/fatal.h"
#include "support/child.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void die_bug(void *arg) { fatal_bug("span=%p n=%d", arg, 3); }

static void die_user(void *arg) { fatal_user("double free", "ptr=%p", arg); }

static void die_verify(void *arg) {
  verify_fail("pagealloc I3", "chunk=%zu", (size_t)arg);
}

Test(fatal, families_write_one_line_with_prefix_and_tid) {
  static const struct {
    void (*fn)(void *arg);
    const char *text;
  } cases[] = {
      {die_bug, "mallocgc: fatal: bug: span=0x7b n=3"},
      {die_user, "mallocgc: fatal: double free: ptr=0x7b"},
      {die_verify, "mallocgc: fatal: verify: pagealloc I3: chunk=123"},
  };
  for (size_t i = 0; i < array_len(cases); i++) {
    char expect[256];
    struct child c = child_run(cases[i].fn, (void *)123);
    snprintf(expect, sizeof(expect), "%s tid=%d\n", cases[i].text, c.pid);
    cr_assert_str_eq(c.err, expect);
    cr_assert(child_aborted(&c), "status 0x%x", c.status);
  }
}

static void die_long(void *arg) {
  char text[3000];
  (void)arg;
  memset(text, 'x', sizeof(text) - 1);
  text[sizeof(text) - 1] = 0;
  fatal_bug("%s", text);
}

Test(fatal, long_message_keeps_tid_and_newline) {
  char tail[64];
  struct child c = child_run(die_long, NULL);
  size_t len = strlen(c.err);
  snprintf(tail, sizeof(tail), "xxx tid=%d\n", c.pid);
  cr_assert_leq(len, 1000);
  cr_assert_str_eq(c.err + len - strlen(tail), tail);
  cr_assert(child_aborted(&c));
}

static void fail_again(int signo) {
  (void)signo;
  fatal_bug("second");
}

static void die_twice(void *arg) {
  (void)arg;
  signal(SIGABRT, fail_again);
  fatal_bug("first");
}

Test(fatal, second_error_inside_the_first_exits_with_134) {
  struct child c = child_run(die_twice, NULL);
  cr_assert(WIFEXITED(c.status), "status 0x%x", c.status);
  cr_assert_eq(WEXITSTATUS(c.status), 134);
  cr_assert_not_null(strstr(c.err, "bug: first"));
  cr_assert_null(strstr(c.err, "second"));
}

static void *die_in_thread(void *arg) {
  pthread_barrier_wait(arg);
  fatal_bug("racing");
}

static void die_together(void *arg) {
  pthread_barrier_t barrier;
  pthread_t threads[4];
  (void)arg;
  pthread_barrier_init(&barrier, NULL, array_len(threads));
  for (size_t i = 0; i < array_len(threads); i++)
    pthread_create(&threads[i], NULL, die_in_thread, &barrier);
  pthread_join(threads[0], NULL);
}

Test(fatal, several_threads_write_one_line_and_abort) {
  struct child c = child_run(die_together, NULL);
  char *newline = strchr(c.err, '\n');
  cr_assert_not_null(newline);
  cr_assert_str_eq(newline, "\n", "one line only: %s", c.err);
  cr_assert(child_aborted(&c), "status 0x%x", c.status);
}

Test(fatal, check_that_holds_does_nothing) {
  int evaluated = 0;
  mgc_check(++evaluated == 1, "evaluated %d times", evaluated);
  cr_assert_eq(evaluated, 1);
}

Test(fatal, check_that_fails_aborts, .signal = SIGABRT) {
  mgc_check(false, "expected");
}

static void assert_false(void *arg) { mgc_assert(arg == NULL); }

Test(fatal, assert_is_compiled_in_by_level) {
  struct child c = child_run(assert_false, "x");
  cr_assert_eq(child_aborted(&c), MGC_ASSERT_LEVEL >= 1);
  cr_assert_eq(strstr(c.err, "assert arg == NULL at") != NULL,
               MGC_ASSERT_LEVEL >= 1);
}
