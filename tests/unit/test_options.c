// SPDX-License-Identifier: MIT
/* MALLOCGC_* variables: defaults, values, and what is refused. */
#include "alloc/options.h"
#include <criterion/criterion.h>
#include <string.h>

static const char *env_options, *env_trace, *env_gogc, *env_limit;

static const char *fake_getenv(const char *name) {
  if (strcmp(name, "MALLOCGC_OPTIONS") == 0) return env_options;
  if (strcmp(name, "MALLOCGC_TRACE") == 0) return env_trace;
  if (strcmp(name, "MALLOCGC_GOGC") == 0) return env_gogc;
  if (strcmp(name, "MALLOCGC_MEMORY_LIMIT") == 0) return env_limit;
  return NULL;
}

static const char *load(struct heap_options *opt, struct pacing_options *p) {
  return options_load(opt, p, fake_getenv);
}

Test(options, nothing_set_gives_defaults) {
  struct heap_options opt;
  struct pacing_options p;
  cr_assert_null(load(&opt, &p));
  cr_assert(opt.tiny == !MGC_TSAN && opt.scavenge && opt.background_sweep);
  cr_assert(!opt.verify && !opt.checkmark && !opt.trace_gc);
  cr_assert_eq(opt.gc_every, 0);
  cr_assert_eq(p.gc_percent, 100);
  cr_assert_eq(p.memory_limit, INT64_MAX);
}

Test(options, list_sets_each_named_option) {
  struct heap_options opt;
  struct pacing_options p;
  env_options = "tiny=0,verify,gc_every=17,,fail_vm=12345678901";
  env_trace = "gc,init";
  cr_assert_null(load(&opt, &p));
  cr_assert(!opt.tiny && opt.verify);
  cr_assert_eq(opt.gc_every, 17);
  cr_assert_eq(opt.fail_vm, 12345678901ull);
  cr_assert(opt.trace_gc && opt.trace_init && !opt.trace_scavenge);
}

Test(options, bad_items_are_named_and_the_good_ones_kept) {
  static const char *const bad[] = {"no_such=1",
                                    "gc_every=x",
                                    "gc_every=",
                                    "verify=1,tiny=-1",
                                    "gc_every=1 ",
                                    "=3",
                                    "fail_vm=99999999999999999999999"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct heap_options opt;
    struct pacing_options p;
    env_options = bad[i];
    const char *name = load(&opt, &p);
    cr_assert_not_null(name, "accepted %s", bad[i]);
    cr_assert_str_eq(name, "MALLOCGC_OPTIONS");
    if (strncmp(bad[i], "verify", 6) == 0) cr_assert(opt.verify);
  }
}

Test(options, gogc_and_limit) {
  static const struct {
    const char *gogc, *limit;
    bool good;
    int percent;
    int64_t bytes;
  } cases[] = {
      {"off", "off", true, -1, INT64_MAX},
      {"200", "64MiB", true, 200, 64 << 20},
      {"0", "1GiB", true, 0, 1 << 30},
      {NULL, "12345", true, 100, 12345},
      {"-5", NULL, false, 100, INT64_MAX},
      {"10%", NULL, false, 100, INT64_MAX},
      {NULL, "64MB", false, 100, INT64_MAX},
      {NULL, "9999999999TiB", false, 100, INT64_MAX},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct heap_options opt;
    struct pacing_options p;
    env_gogc = cases[i].gogc;
    env_limit = cases[i].limit;
    cr_assert_eq(load(&opt, &p) == NULL, cases[i].good, "case %zu", i);
    cr_assert_eq(p.gc_percent, cases[i].percent, "case %zu", i);
    cr_assert_eq(p.memory_limit, cases[i].bytes, "case %zu", i);
  }
}
