// SPDX-License-Identifier: MIT
/* Control groups, in trees of false files. */
#include "os/cgroup.h"
#include "os/procfs.h"
#include "support/rng.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

struct file {
  const char *path, *text;
};

struct tree {
  const struct file *files;
  unsigned reads;
};

static ptrdiff_t fake_read(void *arg, const char *path, uint64_t offset,
                           char *buf, size_t n) {
  struct tree *t = arg;
  t->reads++;
  for (const struct file *f = t->files; f->path; f++) {
    if (strcmp(f->path, path) != 0) continue;
    size_t len = strlen(f->text);
    size_t left = offset < len ? len - (size_t)offset : 0;
    size_t got = left < n - 1 ? left : n - 1;
    memcpy(buf, f->text + offset, got);
    buf[got] = 0;
    return (ptrdiff_t)got;
  }
  buf[0] = 0;
  return -1;
}

static struct cgroup_limits limits_of(const struct file *files) {
  struct tree t = {.files = files};
  struct cgroup_reader r = {fake_read, &t};
  struct cgroup_limits out;
  cgroup_read(&r, &out);
  return out;
}

static void check(const struct file *files, uint64_t max, uint64_t high,
                  uint64_t cpu) {
  struct cgroup_limits l = limits_of(files);
  cr_assert_eq(l.memory_max, max, "max %lu", l.memory_max);
  cr_assert_eq(l.memory_high, high, "high %lu", l.memory_high);
  cr_assert_eq(l.cpu_milli, cpu, "cpu %lu", l.cpu_milli);
}

#define MOUNT_V2(root, point)                                                  \
  "30 23 0:26 " root " " point " rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
#define OTHER_MOUNTS                                                           \
  "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"                             \
  "23 22 0:22 / /sys rw shared:7 master:1 - sysfs sysfs rw\n"

Test(cgroup, nothing_there_is_no_limit) {
  static const struct file none[] = {{0}};
  check(none, CGROUP_NONE, CGROUP_NONE, CGROUP_NONE);
  static const struct file no_mount[] = {{"/proc/self/cgroup", "0::/a\n"}, {0}};
  check(no_mount, CGROUP_NONE, CGROUP_NONE, CGROUP_NONE);
  static const struct file no_group[] = {
      {"/proc/self/mountinfo", MOUNT_V2("/", "/sys/fs/cgroup")},
      {"/sys/fs/cgroup/memory.max", "4096\n"},
      {0}};
  check(no_group, CGROUP_NONE, CGROUP_NONE, CGROUP_NONE);
}

Test(cgroup, v2_takes_the_least_up_to_the_root) {
  static const struct file t[] = {
      {"/proc/self/cgroup", "0::/a/b/c\n"},
      {"/proc/self/mountinfo", OTHER_MOUNTS MOUNT_V2("/", "/sys/fs/cgroup")},
      {"/sys/fs/cgroup/a/b/c/memory.max", "max\n"},
      {"/sys/fs/cgroup/a/b/c/memory.high", "314572800\n"},
      {"/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n"},
      {"/sys/fs/cgroup/a/b/memory.max", "536870912\n"},
      {"/sys/fs/cgroup/a/b/memory.high", "max\n"},
      {"/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n"},
      {"/sys/fs/cgroup/a/memory.max", "1073741824\n"},
      {"/sys/fs/cgroup/a/cpu.max", "400000 100000\n"},
      {0}};
  check(t, 512 * MIB, 300 * MIB, 1500);
}

/* A container with a namespace of its own: its group is the root. */
Test(cgroup, v2_namespace_root) {
  static const struct file t[] = {
      {"/proc/self/cgroup", "0::/\n"},
      {"/proc/self/mountinfo", MOUNT_V2("/", "/sys/fs/cgroup")},
      {"/sys/fs/cgroup/memory.max", "268435456\n"},
      {0}};
  check(t, 256 * MIB, CGROUP_NONE, CGROUP_NONE);
}

/* A container that sees the host's path, with only its own group mounted. */
Test(cgroup, v2_mounted_part) {
  static const struct file t[] = {
      {"/proc/self/cgroup", "0::/docker/abc/sub\n"},
      {"/proc/self/mountinfo", MOUNT_V2("/docker/abc", "/sys/fs/cgroup")},
      {"/sys/fs/cgroup/memory.max", "268435456\n"},
      {"/sys/fs/cgroup/sub/memory.max", "134217728\n"},
      {"/sys/fs/cgroup/docker/abc/sub/memory.max", "1\n"},
      {"/sys/fs/memory.max", "1\n"}, /* not above the mount point */
      {0}};
  check(t, 128 * MIB, CGROUP_NONE, CGROUP_NONE);
}

/* Paths that the mount does not show: the mount point is what is known. */
Test(cgroup, v2_path_outside_of_what_is_mounted) {
  static const char *const groups[] = {"0::/../../other\n", "0::/..\n",
                                       "0::/docker/abcdef\n", "0::/\n"};
  for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
    const struct file t[] = {
        {"/proc/self/cgroup", groups[i]},
        {"/proc/self/mountinfo", MOUNT_V2("/docker/abc", "/sys/fs/cgroup")},
        {"/sys/fs/cgroup/memory.max", "268435456\n"},
        {0}};
    check(t, 256 * MIB, CGROUP_NONE, CGROUP_NONE);
  }
  /* A name that begins with two dots is a name. */
  static const struct file t[] = {
      {"/proc/self/cgroup", "0::/..a\n"},
      {"/proc/self/mountinfo", MOUNT_V2("/", "/sys/fs/cgroup")},
      {"/sys/fs/cgroup/..a/memory.max", "268435456\n"},
      {0}};
  check(t, 256 * MIB, CGROUP_NONE, CGROUP_NONE);
}

Test(cgroup, mount_that_holds_the_group_is_taken) {
  static const struct file t[] = {
      {"/proc/self/cgroup", "0::/a/b\n"},
      {"/proc/self/mountinfo",
       MOUNT_V2("/other", "/mnt/one") MOUNT_V2("/a", "/mnt/two\\040words")},
      {"/mnt/one/memory.max", "1\n"},
      {"/mnt/two words/b/memory.max", "134217728\n"},
      {0}};
  check(t, 128 * MIB, CGROUP_NONE, CGROUP_NONE);
}

#define MOUNT_V1(root, name)                                                   \
  "35 31 0:32 " root " /sys/fs/cgroup/" name                                   \
  " rw,relatime - cgroup cgroup rw," name "\n"

Test(cgroup, v1_by_controller) {
  static const struct file t[] = {
      {"/proc/self/cgroup", "9:name=systemd:/x\n4:memory:/m/sub\n"
                            "3:cpu,cpuacct:/c\n0::/unused\n"},
      {"/proc/self/mountinfo",
       OTHER_MOUNTS MOUNT_V1("/", "cpuset") MOUNT_V1("/m", "memory")
           MOUNT_V1("/", "cpu,cpuacct")},
      {"/sys/fs/cgroup/memory/sub/memory.limit_in_bytes",
       "9223372036854771712\n"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "250000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
      {0}};
  check(t, 512 * MIB, CGROUP_NONE, 2500);
}

Test(cgroup, v1_without_limits) {
  static const struct file t[] = {
      {"/proc/self/cgroup", "4:memory:/\n3:cpu,cpuacct:/\n"},
      {"/proc/self/mountinfo",
       MOUNT_V1("/", "memory") MOUNT_V1("/", "cpu,cpuacct")},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854710272\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
      {0}};
  check(t, CGROUP_NONE, CGROUP_NONE, CGROUP_NONE);
}

/* Version 2 is mounted beside 1 and has no controllers. */
Test(cgroup, both_versions) {
  static const struct file t[] = {
      {"/proc/self/cgroup", "4:memory:/a\n0::/a\n"},
      {"/proc/self/mountinfo",
       MOUNT_V1("/", "memory") MOUNT_V2("/", "/sys/fs/cgroup/unified")},
      {"/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "134217728\n"},
      {"/sys/fs/cgroup/unified/a/cpu.max", "50000 100000\n"},
      {0}};
  check(t, 128 * MIB, CGROUP_NONE, 500);
}

/* Overlays have lines of any length, before the one that is wanted. */
Test(cgroup, long_lines_are_passed_over) {
  static char mounts[20000];
  size_t len = (size_t)sprintf(
      mounts, "22 1 0:50 / / rw - overlay overlay rw,lowerdir=");
  memset(mounts + len, 'x', 15000);
  strcpy(mounts + len + 15000, "\n" MOUNT_V2("/", "/sys/fs/cgroup"));
  const struct file t[] = {{"/proc/self/cgroup", "0::/a\n"},
                           {"/proc/self/mountinfo", mounts},
                           {"/sys/fs/cgroup/a/memory.max", "134217728\n"},
                           {0}};
  check(t, 128 * MIB, CGROUP_NONE, CGROUP_NONE);
}

Test(cgroup, cpu_max_is_quota_by_period) {
  static const struct {
    const char *text;
    uint64_t milli;
  } t[] = {{"max 100000\n", CGROUP_NONE},
           {"100000 100000\n", 1000},
           {"100001 100000\n", 1001},
           {"50000 100000", 500},
           {"800000 100000\n", 8000},
           {"1000 50\n", 20000},
           {"1 100000\n", 1},
           {"", CGROUP_NONE},
           {"100000", CGROUP_NONE},
           {"100000 0\n", CGROUP_NONE},
           {"0 100000\n", CGROUP_NONE},
           {"x y\n", CGROUP_NONE},
           {"1 1x\n", CGROUP_NONE},
           {"18446744073709551615 1", CGROUP_NONE},
           {"99999999999999999999 1", CGROUP_NONE}};
  for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
    cr_assert_eq(cgroup_parse_cpu_max(t[i].text), t[i].milli, "%s", t[i].text);
}

Test(cgroup, memory_limit_is_a_part_of_the_lower_one) {
  struct cgroup_limits l = {CGROUP_NONE, CGROUP_NONE, CGROUP_NONE};
  cr_assert_eq(cgroup_memory_limit(&l, 90), INT64_MAX);
  l.memory_max = 1000;
  cr_assert_eq(cgroup_memory_limit(&l, 90), 900);
  l.memory_high = 500;
  cr_assert_eq(cgroup_memory_limit(&l, 90), 450);
  l.memory_max = INT64_MAX - 1;
  l.memory_high = CGROUP_NONE;
  cr_assert_lt(cgroup_memory_limit(&l, 100), INT64_MAX);
}

/* Damaged files of any kind: an answer, and no end of reading. */
Test(cgroup, any_text_ends) {
  static const char alphabet[] = "0:/a- \\0417\n,memorycpu2g.";
  struct rng r = rng_seed();
  for (int round = 0; round < 20000; round++) {
    char group[200], mounts[400];
    for (size_t i = 0; i < sizeof group; i++)
      group[i] = alphabet[rng_below(&r, sizeof alphabet)];
    for (size_t i = 0; i < sizeof mounts; i++)
      mounts[i] = alphabet[rng_below(&r, sizeof alphabet)];
    if (rng_chance(&r, 2)) memcpy(group, "0::/a/b\n", 8);
    if (rng_chance(&r, 2)) memcpy(mounts, "1 2 3 /a /a x - cgroup2 ", 24);
    group[sizeof group - 1] = mounts[sizeof mounts - 1] = 0;
    const struct file files[] = {
        {"/proc/self/cgroup", group}, {"/proc/self/mountinfo", mounts}, {0}};
    struct tree t = {.files = files};
    struct cgroup_reader reader = {fake_read, &t};
    struct cgroup_limits out;
    cgroup_read(&reader, &out);
    cr_assert_lt(t.reads, 2000);
  }
}

Test(cgroup, this_machine_answers) {
  struct cgroup_limits l;
  errno = 12345;
  cgroup_read(&cgroup_files, &l);
  cr_assert_eq(errno, 12345);
  cr_assert_gt(l.memory_max, 0);
  cr_assert_gt(l.cpu_milli, 0);
}

Test(procfs, read_at_gives_the_rest) {
  char whole[256], rest[256];
  ptrdiff_t n = procfs_read("/proc/self/cgroup", whole, sizeof whole);
  if (n <= 3) cr_skip_test("no control groups");
  cr_assert_eq(procfs_read_at("/proc/self/cgroup", 3, rest, sizeof rest - 3),
               n - 3);
  cr_assert_eq(memcmp(rest, whole + 3, (size_t)n - 3), 0);
  cr_assert_eq(procfs_read_at("/proc/self/comm", 1000, rest, sizeof rest), 0);
  cr_assert_eq(procfs_read_at("/nowhere", 1, rest, sizeof rest), -1);
}
