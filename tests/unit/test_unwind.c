// SPDX-License-Identifier: MIT
/* The stack as return addresses: right where tables are, harmless elsewhere. */
#include "os/unwind.h"

#include "os/ehframe.h"
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unwind.h>

#define MAX 64

struct opinion {
  uintptr_t frame[MAX];
  unsigned n;
};

static _Unwind_Reason_Code add_frame(struct _Unwind_Context *c, void *arg) {
  struct opinion *o = arg;
  if (o->n == MAX || _Unwind_GetIP(c) == 0) return _URC_END_OF_STACK;
  o->frame[o->n++] = _Unwind_GetIP(c);
  return _URC_NO_REASON;
}

/* An independent opinion: libgcc's. It gives the address of an interrupted
 * instruction as it is, and ours the one after. */
static void compare_here(unsigned at_least, unsigned interrupted) {
  uintptr_t got[MAX];
  struct opinion want = {.n = 0};
  _Unwind_Backtrace(add_frame, &want);
  unsigned k = unwind_stack(got, MAX, 0, 0);
  /* The innermost frame is this function, at two different calls. */
  cr_assert(k >= at_least, "%u frames, not %u", k, at_least);
  cr_assert_eq(k, want.n);
  for (unsigned i = 1; i < k; i++) {
    if (interrupted > 0 && got[i] == want.frame[i] + 1)
      interrupted--;
    else
      cr_assert_eq(got[i], want.frame[i], "frame %u: %lx, not %lx", i,
                   (unsigned long)got[i], (unsigned long)want.frame[i]);
  }
  cr_assert_eq(interrupted, 0);
}

__attribute__((noinline)) static void recurse(unsigned n) {
  char buf[100];
  __asm__ volatile("" ::"r"(buf) : "memory");
  if (n > 0)
    recurse(n - 1);
  else
    compare_here(10, 0);
  __asm__ volatile("" ::"r"(buf) : "memory");
}

Test(unwind, frames_are_those_of_libgcc) { recurse(10); }
Test(unwind, depth_is_bounded) { recurse(500); }

/* Frames of which the size is known at run time only, or which are aligned. */
__attribute__((noinline)) static void odd_frames(size_t n, unsigned depth) {
  char *dynamic = __builtin_alloca(n);
  __attribute__((aligned(128))) char aligned[256];
  memset(dynamic, 1, n);
  __asm__ volatile("" ::"r"(aligned), "r"(dynamic) : "memory");
  if (depth > 0)
    odd_frames(n * 3 % 1000 + 8, depth - 1);
  else
    compare_here(8, 0);
  __asm__ volatile("" ::"r"(aligned), "r"(dynamic) : "memory");
}
Test(unwind, dynamic_and_aligned_frames) { odd_frames(40, 8); }

static int order(const void *a, const void *b) {
  compare_here(4, 0);
  return *(const int *)a - *(const int *)b;
}
Test(unwind, frames_of_the_c_library) {
  int v[3] = {3, 1, 2};
  qsort(v, 3, sizeof v[0], order);
}

static volatile sig_atomic_t handled;
static void handler(int sig) {
  (void)sig;
  compare_here(4, 1);
  handled++;
}

Test(unwind, through_a_signal_frame) {
  struct sigaction sa = {.sa_handler = handler};
  sigaction(SIGUSR1, &sa, NULL);
  raise(SIGUSR1);
  cr_assert_eq(handled, 1);
}

Test(unwind, through_a_signal_on_another_stack) {
  static char stack[65536];
  stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
  struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
  cr_assert_eq(sigaltstack(&ss, NULL), 0);
  sigaction(SIGUSR1, &sa, NULL);
  raise(SIGUSR1);
  cr_assert_eq(handled, 1);
}

static void *in_thread(void *arg) {
  recurse(10);
  return arg;
}
Test(unwind, thread_ends_at_its_start) {
  pthread_t t;
  cr_assert_eq(pthread_create(&t, NULL, in_thread, NULL), 0);
  pthread_join(t, NULL);
}

__attribute__((noinline)) static unsigned walk(uintptr_t *f, uintptr_t skip) {
  unsigned n = unwind_stack(f, MAX, skip, skip + 1);
  __asm__ volatile("" ::"r"(f) : "memory");
  return n;
}

Test(unwind, frames_to_be_skipped_are) {
  uintptr_t f[2][MAX];
  unsigned n[2];
  uintptr_t skip = 0;
  for (volatile int i = 0; i < 2; i++) { /* one call, so one return address */
    n[i] = walk(f[i], skip);
    skip = f[0][0];
  }
  cr_assert(n[0] >= 3);
  cr_assert_eq(n[1], n[0] - 1);
  cr_assert_eq(memcmp(f[1], f[0] + 1, n[1] * sizeof f[0][0]), 0);
  cr_assert_eq(unwind_stack(f[0], MAX, 0, UINTPTR_MAX), 0);
  cr_assert_eq(unwind_stack(f[0], 2, 0, 0), 2);
}

/* --- stacks that are not in order --- */

/* Where the walk is libgcc's, these end the program. */
#if defined(__x86_64__) && defined(DLFO_STRUCT_HAS_EH_DBASE) &&                \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
static ucontext_t home, away;
static unsigned away_frames;
static int away_errno;

static void on_strange_stack(void) {
  uintptr_t f[MAX];
  errno = 123;
  away_frames = unwind_stack(f, MAX, 0, 0);
  away_errno = errno;
  setcontext(&home);
}

/* Runs on_strange_stack on a stack of which the upper end is filled with word, so
 * that this is what it would return to. */
static void run_strange(uintptr_t word, bool at_end_of_mapping) {
  static volatile bool back;
  size_t bytes = 65536;
  char *stack = mmap(NULL, bytes + 4096, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(stack + bytes, 4096, PROT_NONE);
  for (size_t i = 0; i < bytes; i += 8)
    *(uintptr_t *)(void *)(stack + i) = word;
  getcontext(&away);
  away.uc_stack.ss_sp = stack;
  away.uc_stack.ss_size = bytes;
  makecontext(&away, on_strange_stack, 0);
  /* As the first call of a coroutine library without tables does it. */
  uintptr_t sp = (uintptr_t)stack + bytes - (at_end_of_mapping ? 8 : 2056);
  *(uintptr_t *)sp = word;
  away.uc_mcontext.gregs[REG_RSP] = (greg_t)sp;
  back = false;
  away_frames = 0;
  getcontext(&home);
  if (!back) {
    back = true;
    setcontext(&away);
  }
  munmap(stack, bytes + 4096);
  cr_assert(away_frames >= 1 && away_frames <= MAX);
  cr_assert_eq(away_errno, 123);
}

Test(unwind, wild_return_address_ends_the_stack) {
  static const uintptr_t words[] = {
      0,      1,       8,          0xdeadbeefdeadbeef, UINTPTR_MAX,
      0x1000, 1 << 20, 1ull << 46, 0x7ffffffff000,     0xcccccccccccccccc};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    run_strange(words[i], false);
    run_strange(words[i], true);
  }
}

/* The return address is that of a function with a table, but the stack is not that
 * of a call: everything found is garbage, up to the end of the mapping. */
Test(unwind, tables_that_do_not_fit_the_stack_end_it) {
  uintptr_t functions[] = {(uintptr_t)qsort + 20, (uintptr_t)recurse + 20,
                           (uintptr_t)odd_frames + 60, (uintptr_t)raise + 8,
                           (uintptr_t)pthread_create + 100};
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
    for (unsigned d = 0; d < 64; d++) {
      run_strange(functions[i] + d, false);
      run_strange(functions[i] + d, true);
    }
}
#endif

Test(unwind, readable_is_what_is_mapped) {
  char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(p + 4096, 4096, PROT_NONE);
  errno = 77;
  cr_assert(unwind_can_read((uintptr_t)p));
  cr_assert(unwind_can_read((uintptr_t)&p & ~(uintptr_t)7));
  cr_assert(!unwind_can_read((uintptr_t)p + 4096));
  cr_assert(!unwind_can_read(0));
  cr_assert(!unwind_can_read(UINTPTR_MAX & ~(uintptr_t)7));
  cr_assert(!unwind_can_read((uintptr_t)1 << 63));
  cr_assert_eq(errno, 77);
}

/* --- the tables' numbers --- */

Test(ehframe, leb128) {
  static const struct {
    uint8_t bytes[11];
    uint64_t u;
    int64_t s;
    unsigned length;
  } row[] = {
      {{0}, 0, 0, 1},
      {{2}, 2, 2, 1},
      {{0x7f}, 127, -1, 1},
      {{0x80, 1}, 128, 128, 2},
      {{0xff, 0x7e}, 16255, -129, 2},
      {{0x80, 0x7f}, 16256, -128, 2},
      {{0xe5, 0x8e, 0x26}, 624485, 624485, 3},
      {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
       UINT64_MAX,
       -1,
       10},
  };
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    struct ehbytes b = {row[i].bytes, row[i].bytes + row[i].length, false};
    cr_assert_eq(ehbytes_uleb(&b), row[i].u, "row %zu", i);
    cr_assert(b.p == b.end && !b.bad);
    b.p = row[i].bytes;
    cr_assert_eq(ehbytes_sleb(&b), row[i].s, "row %zu", i);
    b = (struct ehbytes){row[i].bytes, row[i].bytes + row[i].length - 1, false};
    ehbytes_uleb(&b);
    cr_assert(b.bad, "row %zu: cut short", i);
  }
}

Test(ehframe, numbers_of_every_width) {
  uint8_t bytes[8] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  for (unsigned n = 1; n <= 8; n *= 2) {
    struct ehbytes b = {bytes, bytes + 8, false};
    cr_assert_eq(ehbytes_signed(&b, n), -2, "%u bytes", n);
    b.p = bytes;
    uint64_t want = n == 8 ? UINT64_MAX - 1 : (1ull << 8 * n) - 2;
    cr_assert_eq(ehbytes_unsigned(&b, n), want, "%u bytes", n);
    b = (struct ehbytes){bytes, bytes + n - 1, false};
    cr_assert_eq(ehbytes_unsigned(&b, n), 0);
    cr_assert(b.bad);
  }
}

Test(ehframe, header_of_another_form_is_declined) {
  struct ehframe f;
  uint8_t hdr[32] = {2, 0x1b, 3, 0x3b};
  cr_assert(!ehframe_decode(hdr, (uintptr_t)hdr, &f)); /* version */
  hdr[0] = 1;
  cr_assert(!ehframe_decode(hdr, (uintptr_t)hdr, &f)); /* no rows */
  hdr[3] = 0x0b;
  hdr[8] = 1;
  cr_assert(!ehframe_decode(hdr, (uintptr_t)hdr, &f)); /* encoding */
}

Test(ehframe, address_of_no_function_has_no_rules) {
  struct ehframe f;
  static int data;
  cr_assert(!ehframe_find(0, &f));
  cr_assert(!ehframe_find((uintptr_t)&data, &f));
  cr_assert(!ehframe_find(UINTPTR_MAX, &f));
}
