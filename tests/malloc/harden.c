// SPDX-License-Identifier: MIT
/* One case a run, by name: what the hardened allocator must notice, or must get
 * right. Without a name, the names. test_harden.py has what each must end in. */
#include "check.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>

static void *volatile sink;

/* An object whose address is on standard output. */
static volatile char *object(size_t size) {
  char *p = malloc(size);
  sink = p;
  dprintf(1, "%p\n", (void *)p);
  return p;
}

static void drop(volatile char *p) { free((void *)p); }

static void churn(size_t size, int n) {
  for (int i = 0; i < n; i++) {
    sink = malloc(size);
    free(sink);
  }
}

/* --- what must end the program --- */

static void overflow_by_one(void) {
  volatile char *p = object(24);
  p[24] = 0;
  drop(p);
}

static void overflow_of_nothing(void) {
  volatile char *p = object(0);
  p[0] = 0;
  drop(p);
}

static void overflow_noticed_by_realloc(void) {
  volatile char *p = object(100);
  p[100] = 'x';
  sink = realloc((void *)p, 200);
}

static void overflow_of_aligned(void) {
  char *p = aligned_alloc(256, 300);
  sink = p;
  dprintf(1, "%p\n", (void *)p);
  ((volatile char *)p)[300] = 0;
  free(p);
}

static void overflow_of_large(void) {
  volatile char *p = object(100001);
  p[100001] = 0;
  drop(p);
}

static void underflow_of_large(void) {
  volatile char *p = object(100001);
  p[-1] = 0;
  drop(p);
}

static void guard_after_large(void) {
  volatile char *p = object(1 << 20);
  for (size_t i = 0;; i++) p[i] = 1;
}

static void guard_after_small(void) {
  volatile char *p = object(40);
  for (size_t i = 0; i < 1 << 16; i++) p[i] = 1;
}

static void read_after_free_of_large(void) {
  volatile char *p = object(1 << 20);
  drop(p);
  (void)p[5];
}

static void write_after_free(void) {
  volatile char *p = object(40);
  drop(p);
  p[13] = 1;
  churn(40, 100000);
}

static void write_after_free_then_exit(void) {
  volatile char *p = object(40);
  drop(p);
  p[13] = 1;
}

static void double_free(void) {
  volatile char *p = object(40);
  drop(p);
  drop(p);
}

static void double_free_after_1000(void) {
  volatile char *p = object(40);
  drop(p);
  churn(40, 1000);
  drop(p);
}

static void double_free_of_large(void) {
  volatile char *p = object(40000);
  drop(p);
  churn(40000, 40);
  drop(p);
}

static void *free_it(void *p) {
  free(p);
  return NULL;
}

static void double_free_by_threads(void) {
  volatile char *p = object(500);
  pthread_t t;
  pthread_create(&t, NULL, free_it, (void *)p);
  pthread_join(t, NULL);
  drop(p);
}

static void realloc_after_free(void) {
  volatile char *p = object(40);
  drop(p);
  sink = realloc((void *)p, 80);
}

static void usable_after_free(void) {
  volatile char *p = object(40);
  drop(p);
  sink = (void *)malloc_usable_size((void *)p);
}

static void interior_free(void) { drop(object(40) + 16); }
static void interior_free_of_large(void) { drop(object(40000) + 16); }

/* operator delete(void *, size_t), of what operator new(size_t) gave. */
static void delete_with_size(size_t size, size_t believed) {
  union {
    void *address;
    void *(*new)(size_t size);
    void (*delete)(void *p, size_t size);
  } new = {dlsym(RTLD_DEFAULT, "_Znwm")},
    delete = {dlsym(RTLD_DEFAULT, "_ZdlPvm")};
  void *p = new.new(size);
  dprintf(1, "%p\n", p);
  delete.delete(p, believed);
}

static void delete_of_other_size(void) { delete_with_size(40, 48); }

static void free_of_other_size(void) {
  union {
    void *address;
    void (*free_sized)(void *p, size_t size);
  } f = {dlsym(RTLD_DEFAULT, "free_sized")};
  f.free_sized((void *)object(100000), 100001);
}

static void foreign_free(void) {
  static char mine[64];
  dprintf(1, "%p\n", (void *)mine);
  sink = mine;
  free(sink);
}

/* --- what must not --- */

static void fresh(const volatile char *p, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (p[i]) {
      CHECK(false, "byte %zu of %zu is 0x%x", i, size, (unsigned)p[i] & 0xff);
      return;
    }
}

/* What was there before is gone, even where nobody asked for zero. */
static void memory_is_fresh(void) {
  static volatile char *p[3000];
  for (int round = 0; round < 10; round++) {
    for (size_t i = 0; i < 3000; i++) {
      size_t size = i * 17 % (i % 50 ? 900 : 60000);
      p[i] = malloc(size);
      fresh(p[i], size);
      memset((void *)p[i], 0xee, size);
    }
    for (size_t i = 0; i < 3000; i++) drop(p[i]);
  }
}

static void sizes_are_exact(void) {
  for (size_t n = 0; n < 70000; n = n * 9 / 8 + 1) {
    char *p = malloc(n);
    CHECK(malloc_usable_size(p) == n, "%zu", malloc_usable_size(p));
    CHECK((uintptr_t)p % 16 == 0, "%p", (void *)p);
    memset(p, 7, n);
    char *q = realloc(p, n + 1);
    CHECK(q != p, "moved");
    for (size_t i = 0; i < n; i++)
      if (q[i] != 7) CHECK(false, "byte %zu of %zu", i, n);
    q = realloc(q, n / 2 + 1);
    CHECK(malloc_usable_size(q) == n / 2 + 1, "%zu", n);
    free(q);
    for (size_t align = 16; align <= 1 << 16; align *= 4) {
      p = aligned_alloc(align, n);
      CHECK((uintptr_t)p % align == 0, "%zu %zu", align, n);
      memset(p, 7, n);
      free(p);
    }
  }
}

static void limits_are_errors(void) {
  errno = 0;
  volatile size_t huge = (size_t)-100;
  sink = malloc(huge);
  CHECK(!sink && errno == ENOMEM, "%p", sink);
  errno = 0;
  sink = malloc((size_t)1 << 46);
  CHECK(!sink && errno == ENOMEM, "%p", sink);
  sink = malloc(10);
  free(sink);
}

static void *work(void *arg) {
  (void)arg;
  static void *volatile slot[256];
  uint64_t seed = (uintptr_t)&seed;
  for (int i = 0; i < 20000; i++) {
    size_t size = check_random(&seed) % (i % 100 ? 500 : 20000);
    char *p = malloc(size + 1);
    p[size] = 1;
    p = __atomic_exchange_n(&slot[check_random(&seed) % 256], p,
                            __ATOMIC_ACQ_REL);
    free(p);
  }
  return NULL;
}

static void threads_and_forks(void) {
  pthread_t t[4];
  for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, work, NULL);
  for (int i = 0; i < 50; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      churn(100, 100);
      churn(20000, 3);
      _exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK(status == 0, "child: 0x%x", (unsigned)status);
  }
  for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
}

static void delete_of_its_size(void) {
  for (size_t n = 0; n < 20000; n = n * 3 / 2 + 1) delete_with_size(n, n);
}

/* Where objects lie, in two runs or in parent and child: not the same. */
static void placement_differs(void) {
  uintptr_t mine[8], theirs[8];
  int fd[2];
  if (pipe(fd) != 0) exit(3);
  pid_t pid = fork();
  for (int i = 0; i < 8; i++) mine[i] = (uintptr_t)malloc(64);
  if (pid == 0) {
    _exit(write(fd[1], mine, sizeof mine) != (ssize_t)sizeof mine);
  }
  waitpid(pid, NULL, 0);
  CHECK(read(fd[0], theirs, sizeof theirs) == (ssize_t)sizeof theirs, "read");
  int same = 0;
  for (int i = 0; i < 8; i++) same += mine[i] == theirs[i];
  CHECK(same < 4, "%d of 8 at the same place in parent and child", same);
}

#define CASE(name)                                                             \
  { #name, name }
static const struct {
  const char *name;
  void (*run)(void);
} cases[] = {
    CASE(overflow_by_one),
    CASE(overflow_of_nothing),
    CASE(overflow_noticed_by_realloc),
    CASE(overflow_of_aligned),
    CASE(overflow_of_large),
    CASE(underflow_of_large),
    CASE(guard_after_large),
    CASE(guard_after_small),
    CASE(read_after_free_of_large),
    CASE(write_after_free),
    CASE(write_after_free_then_exit),
    CASE(double_free),
    CASE(double_free_after_1000),
    CASE(double_free_of_large),
    CASE(double_free_by_threads),
    CASE(realloc_after_free),
    CASE(usable_after_free),
    CASE(interior_free),
    CASE(interior_free_of_large),
    CASE(foreign_free),
    CASE(delete_of_other_size),
    CASE(free_of_other_size),
    CASE(memory_is_fresh),
    CASE(sizes_are_exact),
    CASE(limits_are_errors),
    CASE(delete_of_its_size),
    CASE(threads_and_forks),
    CASE(placement_differs),
};

int main(int argc, char **argv) {
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    if (argc < 2) puts(cases[i].name);
    if (argc < 2 || strcmp(argv[1], cases[i].name) != 0) continue;
    check_begin();
    cases[i].run();
    return check_end();
  }
  return argc < 2 ? 0 : 2;
}
