// SPDX-License-Identifier: MIT
/* Clocks, processors and settings. */
#include "base/compiler.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/env.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

Test(clock, nanotime_advances_with_sleep_and_thread_time_does_not) {
  int64_t begin = clock_nanotime(), cpu = clock_thread_cpu();
  usleep(30000);
  cr_assert_geq(clock_nanotime() - begin, 30000000);
  cr_assert_lt(clock_thread_cpu() - cpu, 20000000);
}

Test(clock, thread_time_advances_with_work) {
  int64_t cpu = clock_thread_cpu();
  while (clock_thread_cpu() - cpu < 5000000) continue;
  cr_assert_geq(clock_thread_cpu() - cpu, 5000000);
}

Test(clock, wall_is_the_time_of_day) {
  int64_t diff = clock_wall() / 1000000000 - (int64_t)time(NULL);
  cr_assert(diff >= -1 && diff <= 1);
}

/* A processor with everything that is asked for, and a kernel that saves it. */
static const struct cpu_id full_id = {
    .leaf1_ecx = 1u << 23 | 1u << 27 | 1u << 28,
    .leaf7_ebx = 1u << 3 | 1u << 5 | 1u << 16 | 1u << 30,
    .leaf7_ecx = 1u << 1,
    .xcr0 = 0xe6,
};

Test(cpu, features_need_all_of_their_bits) {
  cr_assert_eq(cpu_features_of(&full_id), CPU_AVX2 | CPU_AVX512_VBMI);
  for (unsigned bit = 0; bit < 32; bit++) {
    struct cpu_id id = full_id;
    id.leaf1_ecx &= ~(1u << bit);
    bool needed = full_id.leaf1_ecx >> bit & 1;
    cr_assert_eq(cpu_features_of(&id), needed ? 0 : 3, "leaf 1 bit %u", bit);
    id = full_id;
    id.leaf7_ebx &= ~(1u << bit);
    uint32_t want = bit == 3 || bit == 5     ? 0
                    : bit == 16 || bit == 30 ? CPU_AVX2
                                             : 3;
    cr_assert_eq(cpu_features_of(&id), want, "leaf 7 bit %u", bit);
  }
  struct cpu_id none = {0};
  cr_assert_eq(cpu_features_of(&none), 0);
}

Test(cpu, features_need_a_kernel_that_saves_the_registers) {
  struct cpu_id id = full_id;
  for (uint64_t xcr0 = 0; xcr0 < 256; xcr0++) {
    id.xcr0 = xcr0;
    uint32_t want = 0;
    if ((xcr0 & 0x06) == 0x06) want |= CPU_AVX2;
    if ((xcr0 & 0xe6) == 0xe6) want |= CPU_AVX512_VBMI;
    cr_assert_eq(cpu_features_of(&id), want, "xcr0 %#lx", (unsigned long)xcr0);
  }
}

#if defined(__x86_64__)
/* The compiler's library asks the processor in its own way. */
Test(cpu, features_are_those_that_the_compiler_finds) {
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
              __builtin_cpu_supports("popcnt");
  bool vbmi = avx2 && __builtin_cpu_supports("avx512f") &&
              __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512vbmi");
  cr_assert_eq((cpu_features() & CPU_AVX2) != 0, avx2);
  cr_assert_eq((cpu_features() & CPU_AVX512_VBMI) != 0, vbmi);
}
#endif

Test(cpu, count_follows_the_affinity_mask) {
  cpu_set_t all, one;
  cr_assert_eq(sched_getaffinity(0, sizeof(all), &all), 0);
  unsigned n = cpu_count();
  cr_assert(n >= 1 && n <= (unsigned)CPU_COUNT(&all));
  size_t first = 0;
  while (!CPU_ISSET(first, &all)) first++;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
  cr_assert_eq(cpu_count(), 1);
}

Test(cpu, quota_is_rounded_up) {
  cr_assert_eq(cpu_count_within(8, UINT64_MAX), 8);
  cr_assert_eq(cpu_count_within(8, 1000), 1);
  cr_assert_eq(cpu_count_within(8, 1001), 2);
  cr_assert_eq(cpu_count_within(8, 500), 1);
  cr_assert_eq(cpu_count_within(8, 0), 1);
  cr_assert_eq(cpu_count_within(8, 7999), 8);
  cr_assert_eq(cpu_count_within(8, 9000), 8);
}

Test(env, bytes_takes_whole_values_only) {
  static const struct {
    const char *text;
    bool ok;
    int64_t value;
  } cases[] = {
      {"0", true, 0},
      {"4096", true, 4096},
      {"12B", true, 12},
      {"3KiB", true, 3 << 10},
      {"512MiB", true, 512l << 20},
      {"2GiB", true, 2l << 30},
      {"1TiB", true, 1l << 40},
      {"off", true, INT64_MAX},
      {"9223372036854775807", true, INT64_MAX},
      {"9223372036854775808", false, 0},
      {"8388607TiB", true, 8388607l << 40},
      {"8388608TiB", false, 0},
      {"18446744073709551616", false, 0},
      {"-1", false, 0},
      {"+1", false, 0},
      {" 1", false, 0},
      {"1 ", false, 0},
      {"1kib", false, 0},
      {"1K", false, 0},
      {"1MB", false, 0},
      {"1.5GiB", false, 0},
      {"GiB", false, 0},
      {"OFF", false, 0},
      {"", false, 0},
  };
  for (size_t i = 0; i < array_len(cases); i++) {
    int64_t v = -7;
    cr_assert_eq(parse_bytes(cases[i].text, &v), cases[i].ok, "'%s'",
                 cases[i].text);
    cr_assert_eq(v, cases[i].ok ? cases[i].value : -7, "'%s'", cases[i].text);
  }
}

Test(env, percent_takes_numbers_and_off) {
  static const struct {
    const char *text;
    bool ok;
    int32_t value;
  } cases[] = {
      {"100", true, 100},       {"0", true, 0},
      {"off", true, -1},        {"2147483647", true, INT32_MAX},
      {"2147483648", false, 0}, {"-1", false, 0},
      {"50%", false, 0},        {"", false, 0},
      {"1e2", false, 0},
  };
  for (size_t i = 0; i < array_len(cases); i++) {
    int32_t v = -7;
    cr_assert_eq(parse_percent(cases[i].text, &v), cases[i].ok, "'%s'",
                 cases[i].text);
    cr_assert_eq(v, cases[i].ok ? cases[i].value : -7, "'%s'", cases[i].text);
  }
}

Test(env, bool_takes_the_usual_words) {
  static const char *const yes[] = {"1", "true", "yes", "on"};
  static const char *const no[] = {"0", "false", "no", "off"};
  static const char *const neither[] = {"", "2", "True", "ye", "01", "on "};
  bool v;
  for (size_t i = 0; i < array_len(yes); i++) {
    v = false;
    cr_assert(parse_bool(yes[i], &v) && v, "%s", yes[i]);
    v = true;
    cr_assert(parse_bool(no[i], &v) && !v, "%s", no[i]);
  }
  for (size_t i = 0; i < array_len(neither); i++)
    cr_assert_not(parse_bool(neither[i], &v), "'%s'", neither[i]);
}

Test(env, variables_are_unset_ok_or_malformed) {
  int64_t bytes = 5;
  int32_t percent = 5;
  uint64_t number = 5;
  bool flag = false;
  const char *text = NULL;
  unsetenv("MALLOCGC_TEST");
  cr_assert_eq(env_bytes("MALLOCGC_TEST", &bytes), ENV_UNSET);
  cr_assert_eq(env_string("MALLOCGC_TEST", &text), ENV_UNSET);
  setenv("MALLOCGC_TEST", "", 1);
  cr_assert_eq(env_percent("MALLOCGC_TEST", &percent), ENV_UNSET);
  setenv("MALLOCGC_TEST", "1x", 1);
  cr_assert_eq(env_bytes("MALLOCGC_TEST", &bytes), ENV_MALFORMED);
  cr_assert_eq(env_percent("MALLOCGC_TEST", &percent), ENV_MALFORMED);
  cr_assert_eq(env_u64("MALLOCGC_TEST", &number), ENV_MALFORMED);
  cr_assert_eq(env_bool("MALLOCGC_TEST", &flag), ENV_MALFORMED);
  cr_assert(bytes == 5 && percent == 5 && number == 5 && !flag);
  setenv("MALLOCGC_TEST", "1", 1);
  cr_assert_eq(env_bytes("MALLOCGC_TEST", &bytes), ENV_OK);
  cr_assert_eq(env_percent("MALLOCGC_TEST", &percent), ENV_OK);
  cr_assert_eq(env_u64("MALLOCGC_TEST", &number), ENV_OK);
  cr_assert_eq(env_bool("MALLOCGC_TEST", &flag), ENV_OK);
  cr_assert_eq(env_string("MALLOCGC_TEST", &text), ENV_OK);
  cr_assert(bytes == 1 && percent == 1 && number == 1 && flag);
  cr_assert_str_eq(text, "1");
}
