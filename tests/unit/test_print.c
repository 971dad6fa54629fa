// SPDX-License-Identifier: MIT
#include "base/bits.h"
#include "base/print.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

/* Formats with both and compares; the format is a literal in every use, so that
 * the compiler checks the arguments. */
#define AGREES(...)                                                            \
  do {                                                                         \
    char ours[256], theirs[256];                                               \
    size_t n = print_format(ours, sizeof(ours), __VA_ARGS__);                  \
    snprintf(theirs, sizeof(theirs), __VA_ARGS__);                             \
    cr_assert_str_eq(ours, theirs);                                            \
    cr_assert_eq(n, strlen(theirs));                                           \
  } while (0)

Test(print, text_and_percent_agree_with_snprintf) {
  AGREES("plain");
  AGREES("100%% of %s", "it");
  AGREES("[%c%c]", 'a', 'b');
  AGREES("[%8s][%2s][%5c]", "right", "long", 'x');
}

Test(print, integers_of_every_length_agree_with_snprintf) {
  AGREES("%d %i %u %x", INT_MIN, INT_MAX, UINT_MAX, 0xdeadbeefu);
  AGREES("%ld %lu %lx", LONG_MIN, ULONG_MAX, 0x123456789abcdeful);
  AGREES("%lld %llu %llx", LLONG_MIN, ULLONG_MAX, 0xfedcba9876543210ull);
  AGREES("%zu %zx %zd", (size_t)-1, (size_t)1 << 40, (ssize_t)-5);
  AGREES("%d %u %x %ld", 0, 0u, 0u, 0l);
}

Test(print, width_and_zero_flag_agree_with_snprintf) {
  AGREES("[%5d][%05d][%5d][%05d]", 42, 42, -42, -42);
  AGREES("[%16lx][%016lx][%2x]", 0xabcul, 0xabcul, 0xfffffu);
  AGREES("[%20lld][%020lld]", LLONG_MIN, LLONG_MIN);
}

Test(print, pointer_agrees_with_snprintf) {
  AGREES("%p %p", (void *)&errno, (void *)0x7f12a0004830);
}

Test(print, random_numbers_agree_with_snprintf) {
  struct rng r = rng_seed();
  for (int i = 0; i < 20000; i++) {
    uint64_t v = rng_u64(&r) >> rng_below(&r, 64);
    AGREES("%ld|%lu|%lx|%d|%24lu|%012x", (long)v, v, v, (int)v, v, (unsigned)v);
  }
}

Test(print, null_string_is_named) {
  char buf[32];
  const char *volatile none = NULL;
  print_format(buf, sizeof(buf), "%s", none);
  cr_assert_str_eq(buf, "(null)");
}

Test(print, short_buffer_cuts_and_terminates) {
  for (size_t room = 1; room <= 12; room++) {
    char buf[16];
    memset(buf, '#', sizeof(buf));
    size_t n = print_format(buf, room, "%s-%04d", "abc", 7);
    cr_assert_eq(n, room - 1 < 8 ? room - 1 : 8);
    cr_assert_eq(buf[n], 0);
    cr_assert_eq(strncmp(buf, "abc-0007", n), 0);
    for (size_t i = n + 1; i < sizeof(buf); i++)
      cr_assert_eq(buf[i], '#', "wrote beyond room %zu", room);
  }
}

Test(print, empty_buffer_is_not_touched) {
  char c = '#';
  cr_assert_eq(print_format(&c, 0, "abc"), 0);
  cr_assert_eq(c, '#');
}

Test(print, huge_width_ends_at_the_buffer) {
  char buf[40];
  cr_assert_eq(print_format(buf, sizeof(buf), "%999999999d", 5), 39);
}

Test(print, fd_writes_one_line_and_keeps_errno) {
  int fds[2];
  char buf[64] = {0};
  cr_assert_eq(pipe(fds), 0);
  errno = EBADMSG;
  print_fd(fds[1], "n=%d\n", 12);
  cr_assert_eq(errno, EBADMSG);
  cr_assert_eq(read(fds[0], buf, sizeof(buf)), 5);
  cr_assert_str_eq(buf, "n=12\n");
  close(fds[0]);
  print_fd(-1, "nobody reads this");
  cr_assert_eq(errno, EBADMSG);
}

Test(print, fd_cuts_a_long_line_at_a_thousand) {
  int fds[2];
  char buf[2000];
  cr_assert_eq(pipe(fds), 0);
  print_fd(fds[1], "%900s%900s", "a", "b");
  cr_assert_eq(read(fds[0], buf, sizeof(buf)), 1000);
}
