// SPDX-License-Identifier: MIT
/*
 * Marking bandwidth: GB of live heap that one marker goes through in a second,
 * beside what the machine reads at all.
 *
 *   markband [MIB COLLECTIONS [OPTIONS...]]
 *
 * Two heaps of MIB (500), each in a process of its own for every string of
 * MALLOCGC_OPTIONS that is given (without any: the ways to mark there are), which
 * collect in turns:
 *
 *   trees  binary trees of 16-byte nodes, a million in each. An edge to a node is the
 *          only one, and mostly leads nearby: the nodes were allocated depth first
 *   graph  objects of 64 bytes with 4 pointers, in an order that has nothing to do
 *          with their addresses: two make a tree of all, and two lead anywhere
 *
 * A figure is the median of COLLECTIONS (15) forced ones: bytes found alive by the
 * length of the pause, which is marking but for some microseconds.
 */
#include "../input.h"

#include <mallocgc.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  TREE_DEPTH = 19,
  MOST_COLLECTIONS = 101,
  MOST_OPTIONS = 8,
  READ_RUNS = 5
};

/* --- the heaps --- */

struct tree {
  struct tree *left, *right;
};
MGC_TYPE(struct tree, left, right);

struct node {
  struct node *below[2], *other[2];
  uint64_t data[4];
};
MGC_TYPE(struct node, below, other);

struct root {
  void *p;
};
MGC_TYPE(struct root, p);

static struct root *roots;

static _Noreturn void fail(const char *what) {
  perror(what);
  exit(1);
}

static void *must(void *p) {
  if (!p) fail("markband: out of memory");
  return p;
}

static struct random random_numbers = {1};

/* A number below n, which may be larger than random_below takes. */
static size_t any_below(size_t n) {
  return (size_t)(((unsigned __int128)random_next(&random_numbers) * n) >> 64);
}

static struct tree *build_tree(int depth) {
  struct tree *t = must(mgc_new(struct tree));
  if (depth == 0) return t;
  t->left = build_tree(depth - 1);
  t->right = build_tree(depth - 1);
  return t;
}

static void build_trees(size_t bytes) {
  size_t n = bytes / (sizeof(struct tree) << (TREE_DEPTH + 1));
  if (n == 0) n = 1;
  roots = must(mgc_new_array(struct root, n));
  for (size_t i = 0; i < n; i++) roots[i].p = build_tree(TREE_DEPTH);
}

static void build_graph(size_t bytes) {
  size_t n = bytes / sizeof(struct node);
  /* No root: the graph is to be found through its first node alone. */
  struct node **place = must(malloc(n * sizeof *place));
  roots = must(mgc_new_array(struct root, 1));
  mgc_set_gc_percent(-1); /* nobody collects what only `place` knows */
  for (size_t i = 0; i < n; i++) place[i] = must(mgc_new(struct node));
  for (size_t i = n - 1; i > 0; i--) {
    size_t j = any_below(i + 1);
    struct node *other = place[j];
    place[j] = place[i];
    place[i] = other;
  }
  for (size_t i = 0; i < n; i++) {
    for (size_t k = 0; k < 2; k++) {
      size_t below = 2 * i + 1 + k;
      if (below < n) place[i]->below[k] = place[below];
      place[i]->other[k] = place[any_below(n)];
    }
  }
  roots[0].p = place[0];
  free(place);
}

/* --- a process with a heap --- */

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *v, int n) {
  qsort(v, (size_t)n, sizeof *v, compare_doubles);
  return v[n / 2];
}

/* GB/s of the last collection. */
static double last_rate(void) {
  static struct mgc_memstats s;
  mgc_read_memstats(&s);
  uint32_t slot = (s.num_gc + MGC_PAUSE_RING - 1) % MGC_PAUSE_RING;
  return (double)s.heap_marked / (double)s.pause_ns[slot];
}

/* Collects once for each byte that comes, and answers with the rate. */
static int serve(const char *heap, size_t bytes) {
  char order;
  mgc_set_gc_percent(-1);
  if (strcmp(heap, "trees") == 0)
    build_trees(bytes);
  else
    build_graph(bytes);
  mgc_collect();
  mgc_collect(); /* to warm up */
  while (read(0, &order, 1) == 1) {
    mgc_collect();
    double rate = last_rate();
    if (write(1, &rate, sizeof rate) != sizeof rate) return 1;
  }
  return 0;
}

/* --- one process for each way to mark --- */

struct server {
  const char *options;
  pid_t pid;
  int to, from;
  double rate[MOST_COLLECTIONS];
};

static void start(struct server *s, const char *heap, const char *mib) {
  char all[512];
  int to[2], from[2];
  snprintf(all, sizeof all, "mark_workers=1,gcmode=stop%s%s",
           *s->options ? "," : "", s->options);
  if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) fail("pipe");
  s->pid = fork();
  if (s->pid < 0) fail("fork");
  if (s->pid == 0) {
    setenv("MALLOCGC_OPTIONS", all, 1);
    dup2(to[0], 0);
    dup2(from[1], 1);
    execl("/proc/self/exe", "markband", "--serve", heap, mib, (char *)NULL);
    _exit(127);
  }
  close(to[0]);
  close(from[1]);
  s->to = to[1];
  s->from = from[0];
}

static void collect_once(struct server *s, int i) {
  if (write(s->to, "", 1) != 1 ||
      read(s->from, &s->rate[i], sizeof s->rate[i]) != sizeof s->rate[i])
    fail(s->options);
}

static void stop(struct server *s) {
  int status;
  close(s->to);
  close(s->from);
  if (waitpid(s->pid, &status, 0) != s->pid || status != 0) fail(s->options);
}

/* In turns, so that what disturbs the machine disturbs all of them. The first
 * answers come when all heaps are built. */
static void measure(struct server *s, size_t n, const char *heap,
                    const char *mib, int collections) {
  for (size_t k = 0; k < n; k++) start(&s[k], heap, mib);
  for (size_t k = 0; k < n; k++) collect_once(&s[k], 0);
  for (int i = 0; i < collections; i++)
    for (size_t k = 0; k < n; k++) collect_once(&s[k], i);
  for (size_t k = 0; k < n; k++) stop(&s[k]);
}

/* --- the machine --- */

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static volatile uint64_t sink;

static void read_in_order(const uint64_t *w, size_t bytes) {
  uint64_t sum[8] = {0};
  for (size_t i = 0; i < bytes / 8; i += 8)
    for (size_t k = 0; k < 8; k++) sum[k] += w[i + k];
  for (size_t k = 0; k < 8; k++) sink += sum[k];
}

/* Lines of 64 bytes in random order, asked for 16 ahead as marking does. */
static void read_at_random(const uint64_t *w, size_t bytes) {
  enum { AHEAD = 16 };
  size_t lines = bytes / 64, at[AHEAD];
  uint64_t sum = 0;
  for (size_t i = 0; i < AHEAD; i++) at[i] = 0;
  for (size_t i = 0; i < lines; i++) {
    size_t *slot = &at[i % AHEAD];
    const uint64_t *line = w + *slot * 8;
    for (size_t k = 0; k < 8; k++) sum += line[k];
    *slot = any_below(lines);
    __builtin_prefetch(w + *slot * 8);
  }
  sink += sum;
}

static double reading_rate(void (*reader)(const uint64_t *w, size_t bytes),
                           size_t bytes) {
  double rate[READ_RUNS];
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) fail("mmap");
  memset(p, 1, bytes);
  for (int i = 0; i < READ_RUNS; i++) {
    double begin = seconds();
    reader(p, bytes);
    rate[i] = (double)bytes / (seconds() - begin) / 1e9;
  }
  munmap(p, bytes);
  return median(rate, READ_RUNS);
}

int main(int argc, char **argv) {
  static char *known[] = {
      "markunit=object", "markunit=span,scankernel=portable",
      "markunit=span,scankernel=avx2", "markunit=span,scankernel=avx512"};
  static const char *const heaps[] = {"trees", "graph"};
  static struct server server[2][MOST_OPTIONS];
  bool serves = argc == 4 && strcmp(argv[1], "--serve") == 0;
  const char *mib = serves ? argv[3] : argc > 1 ? argv[1] : "500";
  size_t bytes = strtoul(mib, NULL, 10) << 20;
  int collections = argc > 2 && !serves ? atoi(argv[2]) : 15;
  char **options = argc > 3 ? argv + 3 : known;
  size_t n = argc > 3 ? (size_t)argc - 3 : sizeof known / sizeof *known;
  if (bytes == 0 || collections < 1 || collections > MOST_COLLECTIONS ||
      n > MOST_OPTIONS) {
    fprintf(stderr, "usage: %s [MIB COLLECTIONS [OPTIONS...]]\n", argv[0]);
    return 2;
  }
  if (serves) return serve(argv[2], bytes);
  printf("reading, GB/s: in order %.2f, lines at random %.2f\n\n",
         reading_rate(read_in_order, bytes),
         reading_rate(read_at_random, bytes));
  printf("%-34s %8s %8s\n", "marking, GB/s", heaps[0], heaps[1]);
  fflush(stdout);
  for (size_t h = 0; h < 2; h++) {
    for (size_t k = 0; k < n; k++) server[h][k].options = options[k];
    measure(server[h], n, heaps[h], mib, collections);
  }
  for (size_t k = 0; k < n; k++)
    printf("%-34s %8.2f %8.2f\n", options[k],
           median(server[0][k].rate, collections),
           median(server[1][k].rate, collections));
  return 0;
}
