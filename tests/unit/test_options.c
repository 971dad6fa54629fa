// SPDX-License-Identifier: MIT
/* MALLOCGC_* variables: defaults, values, and what is refused. */
#include "alloc/options.h"
#include <criterion/criterion.h>
#include <string.h>

static const char *env_options, *env_trace, *env_gogc, *env_limit,
    *env_hard_limit, *first;

static const char *fake_getenv(const char *name) {
  if (strcmp(name, "MALLOCGC_OPTIONS") == 0) return env_options;
  if (strcmp(name, "MALLOCGC_TRACE") == 0) return env_trace;
  if (strcmp(name, "MALLOCGC_GOGC") == 0) return env_gogc;
  if (strcmp(name, "MALLOCGC_MEMORY_LIMIT") == 0) return env_limit;
  if (strcmp(name, "MALLOCGC_HARD_LIMIT") == 0) return env_hard_limit;
  return NULL;
}

static const char *load(struct heap_options *opt, struct pacing_options *p) {
  return options_load(opt, p, first, fake_getenv);
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

Test(options, a_face_has_defaults_of_its_own) {
  struct heap_options opt;
  struct pacing_options p;
  first = "hugepages=64,verify";
  cr_assert_null(load(&opt, &p));
  cr_assert(opt.hugepages == 64 && opt.verify);
  env_options = "hugepages=0";
  cr_assert_null(load(&opt, &p));
  cr_assert(opt.hugepages == 0 && opt.verify);
}

Test(options, list_sets_each_named_option) {
  struct heap_options opt;
  struct pacing_options p;
  env_options = "tiny=0,verify,gc_every=17,,fail_vm=12345678901,gcmode=kernel,"
                "markunit=span,scankernel=avx512";
  env_trace = "gc,init";
  cr_assert_null(load(&opt, &p));
  cr_assert(!opt.tiny && opt.verify);
  cr_assert_eq(opt.gc_every, 17);
  cr_assert_eq(opt.gcmode, GCMODE_KERNEL);
  cr_assert_eq(opt.markunit, MARKUNIT_SPAN);
  cr_assert_eq(opt.scankernel, SCANKERNEL_AVX512);
  cr_assert_eq(opt.fail_vm, 12345678901ull);
  cr_assert(opt.trace_gc && opt.trace_init && !opt.trace_scavenge);
}

Test(options, bad_items_are_named_and_the_good_ones_kept) {
  static const char *const bad[] = {
      "no_such=1",       "gc_every=x", "gcmode",
      "gcmode=",         "gcmode=2",   "gcmode=kernels",
      "gcmode=portable", "markunit",   "markunit=stop",
      "scankernel=avx",  "gc_every=",  "verify=1,tiny=-1",
      "gc_every=1 ",     "=3",         "fail_vm=99999999999999999999999"};
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

Test(options, hard_limit) {
  struct heap_options opt;
  struct pacing_options p;
  cr_assert_null(load(&opt, &p));
  cr_assert_eq(p.hard_limit, INT64_MAX);
  env_hard_limit = "3GiB";
  cr_assert_null(load(&opt, &p));
  cr_assert_eq(p.hard_limit, 3ll << 30);
  env_hard_limit = "much";
  cr_assert_str_eq(load(&opt, &p), "MALLOCGC_HARD_LIMIT");
  cr_assert_eq(p.hard_limit, INT64_MAX);
}

/* A container with 1000 bytes of memory. */
static ptrdiff_t read_group(void *arg, const char *path, uint64_t offset,
                            char *buf, size_t n) {
  static const char *const files[][2] = {
      {"/proc/self/cgroup", "0::/\n"},
      {"/proc/self/mountinfo", "1 2 0:1 / /cg rw - cgroup2 cgroup2 rw\n"},
      {"/cg/memory.max", "1000\n"}};
  unsigned *reads = arg;
  ++*reads;
  for (size_t i = 0; i < array_len(files); i++) {
    size_t len = strlen(files[i][1]);
    if (strcmp(path, files[i][0]) != 0 || len >= n) continue;
    if (offset >= len) return 0;
    strcpy(buf, files[i][1] + offset);
    return (ptrdiff_t)(len - offset);
  }
  return -1;
}

Test(options, containers_limit_is_taken_when_asked_for) {
  static const struct {
    const char *options, *limit;
    int64_t want;
    bool reads;
  } t[] = {{NULL, NULL, INT64_MAX, false},
           {"container_limit=90", NULL, 900, true},
           {"container_limit=400", NULL, 1000, true},
           {"container_limit=90", "5000", 5000, false},
           {"container_limit=90", "off", INT64_MAX, false}};
  for (size_t i = 0; i < array_len(t); i++) {
    struct heap_options opt;
    struct pacing_options p;
    unsigned reads = 0;
    struct cgroup_reader groups = {read_group, &reads};
    env_options = t[i].options;
    env_limit = t[i].limit;
    cr_assert_null(load(&opt, &p));
    cr_assert_eq(options_memory_limit(&opt, &p, &groups), t[i].want, "row %zu",
                 i);
    cr_assert_eq(reads > 0, t[i].reads, "row %zu", i);
  }
}
