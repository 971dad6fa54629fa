// SPDX-License-Identifier: MIT
/*
 * A program that knows what it allocates where. `profile_sites SCENARIO [N]` prints, for
 * each allocation site, "name address live_objects live_bytes all_objects
 * all_bytes"; test_profile.py compares this with the profile.
 *
 * Before it begins it prints nothing and so makes no buffer of stdio's: a report
 * is written with dprintf, which allocates nothing that lasts.
 */
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct site {
  const char *name;
  void *address;
  long live, live_bytes, all, all_bytes;
};

enum { A, B, C, LARGE, ALIGNED, GROWN, ZERO, NSITES };
static struct site sites[NSITES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void count(int site, size_t size, int sign) {
  pthread_mutex_lock(&lock);
  sites[site].live += sign;
  sites[site].live_bytes += sign * (long)size;
  if (sign > 0) {
    sites[site].all++;
    sites[site].all_bytes += (long)size;
  }
  pthread_mutex_unlock(&lock);
}

/* The call of malloc is not the last thing that a site does, so that its frame is
 * on the stack meanwhile. */
#define SITE(name, expression)                                                 \
  __attribute__((noinline)) static void *name(void *old, size_t size) {        \
    void *p = expression;                                                      \
    (void)old;                                                                 \
    __asm__ volatile("" ::"r"(p) : "memory");                                  \
    if (!p) abort();                                                           \
    return p;                                                                  \
  }
SITE(site_a, malloc(size))
SITE(site_b, malloc(size))
SITE(site_c, calloc(1, size))
SITE(site_large, malloc(size))
SITE(site_aligned, aligned_alloc(256, size))
SITE(site_grown, realloc(old, size))
SITE(site_zero, malloc(size))

typedef void *(*site_function)(void *, size_t);
/* Volatile: or the compiler makes special copies of them, without their names. */
static volatile const site_function functions[NSITES] = {
    site_a, site_b, site_c, site_large, site_aligned, site_grown, site_zero};

/* Not "allocate": pprof leaves out functions of that name and what they call. */
static void *obtain(int site, size_t size) {
  count(site, size, 1);
  return functions[site](NULL, size);
}

static void release(int site, void *p, size_t size) {
  count(site, size, -1);
  free(p);
}

/* 70 % of the bytes from site_a, 20 % from site_b, 10 % from site_c; of them half,
 * a quarter and nothing is freed. */
static void split(long n) {
  for (long i = 0; i < n; i++) {
    void *a = obtain(A, 700), *b = obtain(B, 200);
    obtain(C, 100);
    if (i % 2) release(A, a, 700);
    if (i % 4 == 0) release(B, b, 200);
  }
}

static void large(long n) {
  for (long i = 0; i < n; i++) {
    size_t size = 40000 + (size_t)(i * 7919 % 200000);
    void *p = obtain(LARGE, size);
    memset(p, 1, 100);
    if (i % 16) release(LARGE, p, size);
  }
}

static void aligned(long n) {
  for (long i = 0; i < n; i++) {
    size_t size = 256 * (size_t)(1 + i % 20);
    void *p = obtain(ALIGNED, size);
    if ((size_t)p % 256) abort();
    if (i % 2) release(ALIGNED, p, size);
  }
}

/* Blocks that grow, by small steps and by large ones, each counted as a free and an
 * allocation. */
static void grown(long n) {
  for (long i = 0; i < n; i++) {
    size_t size = 24, step = i % 2 ? 40 : 24000;
    char *p = obtain(GROWN, size);
    for (int k = 0; k < 50; k++) {
      p[size - 1] = (char)k;
      count(GROWN, size, -1);
      size_t next = size + step;
      char *q = functions[GROWN](p, next);
      count(GROWN, next, 1);
      if (q[size - 1] != (char)k) abort();
      p = q;
      size = next;
    }
    if (i % 4) release(GROWN, p, size);
  }
}

static void zero(long n) {
  for (long i = 0; i < n; i++) {
    void *p = obtain(ZERO, 0);
    if (i % 2) release(ZERO, p, 0);
  }
}

/* --- threads: half of what each allocates is freed by the next one --- */

enum { THREADS = 4 };
struct lane {
  pthread_mutex_t lock;
  void *queue[1024];
  unsigned n;
};
static struct lane lanes[THREADS];
static long per_thread;

static void hand_over(struct lane *l, void *p) {
  void *out = p;
  pthread_mutex_lock(&l->lock);
  if (l->n < 1024) {
    l->queue[l->n++] = p;
    out = NULL;
  } else {
    out = l->queue[0];
    l->queue[0] = p;
  }
  pthread_mutex_unlock(&l->lock);
  if (out) release(A, out, 700);
}

static void *thread(void *arg) {
  long self = (long)arg;
  for (long i = 0; i < per_thread; i++) {
    hand_over(&lanes[(self + 1) % THREADS], obtain(A, 700));
    release(B, obtain(B, 300), 300);
    if (i % 2) obtain(C, 400);
  }
  return NULL;
}

static void threads(long n) {
  pthread_t id[THREADS];
  per_thread = n / THREADS;
  for (long i = 0; i < THREADS; i++) {
    pthread_mutex_init(&lanes[i].lock, NULL);
    if (pthread_create(&id[i], NULL, thread, (void *)i)) abort();
  }
  for (int i = 0; i < THREADS; i++) pthread_join(id[i], NULL);
}

/* The child frees what the parent allocated, and allocates more. */
static void forked(long n, int out) {
  void **p = obtain(LARGE, (size_t)n * sizeof *p);
  for (long i = 0; i < n; i++) p[i] = obtain(A, 700);
  pid_t pid = fork();
  if (pid < 0) abort();
  if (pid == 0) {
    for (long i = 0; i < n; i++) release(A, p[i], 700);
    for (long i = 0; i < n; i++) obtain(B, 200);
    return;
  }
  int status;
  waitpid(pid, &status, 0);
  if (status != 0) abort();
  dprintf(out, "child %d\n", (int)pid);
}

/* A profile on request, in the middle of allocating and of freeing. */
static void *busy(void *arg) {
  for (long i = 0; i < 20000; i++) {
    release(A, obtain(A, 700), 700);
    release(LARGE, obtain(LARGE, 50000), 50000);
  }
  return arg;
}

static void interrupted(long n) {
  pthread_t id[2];
  for (int i = 0; i < 2; i++)
    if (pthread_create(&id[i], NULL, busy, NULL)) abort();
  for (long i = 0; i < n; i++) {
    pthread_kill(id[i % 2], SIGUSR2);
    usleep(500);
  }
  for (int i = 0; i < 2; i++) pthread_join(id[i], NULL);
}

/* Allocates on the way out, too. */
static void *at_end;
static void at_exit(void) { at_end = functions[B](NULL, 1000000); }

static void report(int out) {
  static const char *names[NSITES] = {
      "site_a",       "site_b",     "site_c",   "site_large",
      "site_aligned", "site_grown", "site_zero"};
  for (int i = 0; i < NSITES; i++) {
    const struct site *s = &sites[i];
    dprintf(out, "%s %p %ld %ld %ld %ld\n", names[i],
            *(void *const volatile *)&functions[i], s->live, s->live_bytes,
            s->all, s->all_bytes);
  }
}

static void deep(long n) {
  if (n > 0)
    deep(n - 1);
  else
    obtain(A, 1 << 20);
  __asm__ volatile("" ::: "memory");
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "split";
  long n = argc > 2 ? atol(argv[2]) : 1000;
  if (strcmp(what, "split") == 0) split(n);
  if (strcmp(what, "all") == 0) {
    split(n);
    large(n / 4);
    aligned(n);
    grown(n / 16);
    zero(n);
  }
  if (strcmp(what, "threads") == 0) threads(n);
  if (strcmp(what, "fork") == 0) forked(n, 1);
  if (strcmp(what, "deep") == 0) deep(n);
  if (strcmp(what, "grown") == 0) grown(n);
  if (strcmp(what, "chdir") == 0) {
    split(n);
    if (chdir("/") != 0) abort();
  }
  if (strcmp(what, "interrupted") == 0) interrupted(n);
  if (strcmp(what, "signal") == 0) {
    split(n);
    raise(SIGUSR2);
    report(1);
    _exit(0);
  }
  if (strcmp(what, "atexit") == 0) atexit(at_exit);
  if (strcmp(what, "doublefree") == 0) {
    void *p = functions[A](NULL, 700);
    free(p);
    void *volatile again = p;
    free(again);
  }
  report(1);
  return 0;
}
