// SPDX-License-Identifier: MIT
/*
 * The part of Criterion that our tests use, for builds under ThreadSanitizer:
 * Criterion starts its workers from an arena at an address that ThreadSanitizer
 * does not let anybody map. Each test runs in a forked child, as there. Put this
 * directory before the system's include directories and leave -lcriterion out;
 * one test file is one executable.
 *
 * Arguments: a pattern of suite/name to run (fnmatch); options are ignored.
 */
#ifndef MGC_TESTS_SUPPORT_TSAN_CRITERION_CRITERION_H
#define MGC_TESTS_SUPPORT_TSAN_CRITERION_CRITERION_H

/* As the installed one is: no warnings from what the macros make of their
 * arguments. */
#pragma GCC system_header

#include <fnmatch.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct shim_options {
  void (*init)(void);
  void (*fini)(void);
  int signal;
  int exit_code;
  double timeout; /* seconds; ten times as many are given; 0: 300 s */
  bool disabled;
  const char *description;
};

struct shim_test {
  const char *suite, *name;
  void (*fn)(void);
  struct shim_options options;
  struct shim_test *next;
};

struct shim_suite {
  const char *name;
  struct shim_options options;
  struct shim_suite *next;
};

static struct shim_test *shim_tests;
static struct shim_suite *shim_suites;
static bool shim_expectation_failed;

enum { SHIM_FAILED = 101, SHIM_SKIPPED = 102 };

#define Test(suite_, name_, ...)                                               \
  static void suite_##_##name_##_body(void);                                   \
  static struct shim_test suite_##_##name_##_test = {                          \
      .suite = #suite_,                                                        \
      .name = #name_,                                                          \
      .fn = suite_##_##name_##_body,                                           \
      .options = {__VA_ARGS__}};                                               \
  __attribute__((constructor)) static void suite_##_##name_##_add(void) {      \
    suite_##_##name_##_test.next = shim_tests;                                 \
    shim_tests = &suite_##_##name_##_test;                                     \
  }                                                                            \
  static void suite_##_##name_##_body(void)

#define TestSuite(name_, ...)                                                  \
  static struct shim_suite name_##_suite = {.name = #name_,                    \
                                            .options = {__VA_ARGS__}};         \
  __attribute__((constructor)) static void name_##_suite_add(void) {           \
    name_##_suite.next = shim_suites;                                          \
    shim_suites = &name_##_suite;                                              \
  }                                                                            \
  _Static_assert(1, "")

__attribute__((unused, format(printf, 4, 5))) static void
shim_report(const char *file, int line, const char *expr, const char *fmt,
            ...) {
  va_list ap;
  va_start(ap, fmt);
  fprintf(stderr, "%s:%d: %s:", file, line, expr);
  vfprintf(stderr, fmt, ap);
  fputc('\n', stderr);
  va_end(ap);
}

/* The message, if there is one, begins with a string literal. */
#define shim_assert(cond, text, ...)                                           \
  do {                                                                         \
    if (!(cond)) {                                                             \
      shim_report(__FILE__, __LINE__, text, " " __VA_ARGS__);                  \
      _exit(SHIM_FAILED);                                                      \
    }                                                                          \
  } while (0)
#define shim_expect(cond, text, ...)                                           \
  do {                                                                         \
    if (!(cond)) {                                                             \
      shim_report(__FILE__, __LINE__, text, " " __VA_ARGS__);                  \
      shim_expectation_failed = true;                                          \
    }                                                                          \
  } while (0)

#define cr_assert(c, ...) shim_assert(c, #c, ##__VA_ARGS__)
#define cr_assert_not(c, ...) shim_assert(!(c), "!" #c, ##__VA_ARGS__)
#define cr_assert_eq(a, b, ...)                                                \
  shim_assert((a) == (b), #a " == " #b, ##__VA_ARGS__)
#define cr_assert_neq(a, b, ...)                                               \
  shim_assert((a) != (b), #a " != " #b, ##__VA_ARGS__)
#define cr_assert_lt(a, b, ...)                                                \
  shim_assert((a) < (b), #a " < " #b, ##__VA_ARGS__)
#define cr_assert_leq(a, b, ...)                                               \
  shim_assert((a) <= (b), #a " <= " #b, ##__VA_ARGS__)
#define cr_assert_gt(a, b, ...)                                                \
  shim_assert((a) > (b), #a " > " #b, ##__VA_ARGS__)
#define cr_assert_geq(a, b, ...)                                               \
  shim_assert((a) >= (b), #a " >= " #b, ##__VA_ARGS__)
#define cr_assert_null(p, ...)                                                 \
  shim_assert((p) == NULL, #p " == NULL", ##__VA_ARGS__)
#define cr_assert_not_null(p, ...)                                             \
  shim_assert((p) != NULL, #p " != NULL", ##__VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)                                            \
  shim_assert(strcmp(a, b) == 0, #a " is text " #b, ##__VA_ARGS__)
#define cr_assert_str_neq(a, b, ...)                                           \
  shim_assert(strcmp(a, b) != 0, #a " is not text " #b, ##__VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...)                                         \
  shim_assert(memcmp(a, b, n) == 0, #a " has bytes " #b, ##__VA_ARGS__)
#define cr_assert_arr_neq(a, b, n, ...)                                        \
  shim_assert(memcmp(a, b, n) != 0, #a " has not bytes " #b, ##__VA_ARGS__)
#define cr_assert_float_eq(a, b, e, ...)                                       \
  shim_assert(fabs((double)(a) - (double)(b)) <= (double)(e),                  \
              #a " is about " #b, ##__VA_ARGS__)
#define cr_assert_fail(...) shim_assert(false, "fail", ##__VA_ARGS__)

#define cr_expect(c, ...) shim_expect(c, #c, ##__VA_ARGS__)
#define cr_expect_not(c, ...) shim_expect(!(c), "!" #c, ##__VA_ARGS__)
#define cr_expect_eq(a, b, ...)                                                \
  shim_expect((a) == (b), #a " == " #b, ##__VA_ARGS__)
#define cr_expect_neq(a, b, ...)                                               \
  shim_expect((a) != (b), #a " != " #b, ##__VA_ARGS__)
#define cr_expect_lt(a, b, ...)                                                \
  shim_expect((a) < (b), #a " < " #b, ##__VA_ARGS__)
#define cr_expect_leq(a, b, ...)                                               \
  shim_expect((a) <= (b), #a " <= " #b, ##__VA_ARGS__)
#define cr_expect_gt(a, b, ...)                                                \
  shim_expect((a) > (b), #a " > " #b, ##__VA_ARGS__)
#define cr_expect_geq(a, b, ...)                                               \
  shim_expect((a) >= (b), #a " >= " #b, ##__VA_ARGS__)
#define cr_expect_null(p, ...)                                                 \
  shim_expect((p) == NULL, #p " == NULL", ##__VA_ARGS__)
#define cr_expect_not_null(p, ...)                                             \
  shim_expect((p) != NULL, #p " != NULL", ##__VA_ARGS__)
#define cr_expect_str_eq(a, b, ...)                                            \
  shim_expect(strcmp(a, b) == 0, #a " is text " #b, ##__VA_ARGS__)

#define cr_skip_test(...)                                                      \
  do {                                                                         \
    shim_report(__FILE__, __LINE__, "skipped", " " __VA_ARGS__);               \
    _exit(SHIM_SKIPPED);                                                       \
  } while (0)
#define cr_skip cr_skip_test
#define shim_log(...)                                                          \
  do {                                                                         \
    fprintf(stderr, __VA_ARGS__);                                              \
    fputc('\n', stderr);                                                       \
  } while (0)
#define cr_log_info shim_log
#define cr_log_warn shim_log
#define cr_log_error shim_log
#define cr_log(level, ...) shim_log(__VA_ARGS__)

static const struct shim_options *shim_suite_options(const char *suite) {
  static const struct shim_options none;
  for (struct shim_suite *s = shim_suites; s; s = s->next)
    if (strcmp(s->name, suite) == 0) return &s->options;
  return &none;
}

__attribute__((noreturn)) static void
shim_child(const struct shim_test *t, const struct shim_options *suite) {
  double seconds = t->options.timeout > 0 ? t->options.timeout : suite->timeout;
  alarm(seconds > 0 ? (unsigned)(seconds * 10) + 1 : 300);
  if (suite->init) suite->init();
  if (t->options.init) t->options.init();
  t->fn();
  if (t->options.fini) t->options.fini();
  if (suite->fini) suite->fini();
  /* exit and not _exit: ThreadSanitizer turns its reports into a status. */
  exit(shim_expectation_failed ? SHIM_FAILED : 0);
}

/* 0 passed, 1 failed, 2 skipped. */
static int shim_run(const struct shim_test *t) {
  const struct shim_options *suite = shim_suite_options(t->suite);
  if (t->options.disabled || suite->disabled) return 2;
  int status = 0;
  int wanted_signal = t->options.signal ? t->options.signal : suite->signal;
  int wanted_code =
      t->options.exit_code ? t->options.exit_code : suite->exit_code;
  pid_t pid = fork();
  if (pid == 0) shim_child(t, suite);
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return 1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == SHIM_SKIPPED) return 2;
  bool ok = wanted_signal
                ? WIFSIGNALED(status) && WTERMSIG(status) == wanted_signal
                : WIFEXITED(status) && WEXITSTATUS(status) == wanted_code;
  if (!ok)
    fprintf(stderr, "[FAIL] %s::%s: wait status 0x%x\n", t->suite, t->name,
            (unsigned)status);
  return ok ? 0 : 1;
}

int main(int argc, char **argv) {
  int counts[3] = {0};
  const char *pattern = NULL;
  char full[512];
  for (int i = 1; i < argc; i++)
    if (strchr(argv[i], '/') && argv[i][0] != '-') pattern = argv[i];
  for (struct shim_test *t = shim_tests; t; t = t->next) {
    snprintf(full, sizeof(full), "%s/%s", t->suite, t->name);
    if (pattern && fnmatch(pattern, full, 0) != 0) continue;
    counts[shim_run(t)]++;
  }
  fprintf(stderr, "passed %d, failed %d, skipped %d\n", counts[0], counts[1],
          counts[2]);
  return counts[1] != 0;
}

#endif
