// SPDX-License-Identifier: MIT
/* A list of ten million nodes lives through collections and dies when dropped:
 * marking needs no stack, and the memory comes back. */
#include <criterion/criterion.h>
#include <mallocgc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define NODES 1000000
#define SHADOW true /* a sanitizer's shadow of the heap stays resident */
#else
#define NODES 10000000
#define SHADOW false
#endif

struct node {
  struct node *next;
  uint64_t number;
};
MGC_TYPE(struct node, next);

static struct node *volatile root;

static struct mgc_memstats stats(void) {
  struct mgc_memstats ms;
  mgc_read_memstats(&ms);
  return ms;
}

__attribute__((noinline)) static void build(void) {
  struct node *n = NULL;
  for (uint64_t i = 0; i < NODES; i++) {
    struct node *more = mgc_new(struct node);
    more->next = n;
    more->number = i;
    n = more;
  }
  root = n;
}

__attribute__((noinline)) static void check(void) {
  uint64_t n = NODES;
  for (struct node *p = root; p; p = p->next) cr_assert_eq(p->number, --n);
  cr_assert_eq(n, 0);
}

static uint64_t resident(void) {
  unsigned long size = 0, pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f || fscanf(f, "%lu %lu", &size, &pages) != 2) abort();
  fclose(f);
  return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* On a stack of its own: one stale word on the stack that asks whether the memory
 * came back would keep the list. */
static void *live(void *arg) {
  uint64_t gc_start = *(uint64_t *)arg;
  build();
  for (int i = 0; i < 2; i++) {
    mgc_collect();
    check();
  }
  struct mgc_memstats ms = stats();
  cr_assert_geq(ms.heap_alloc, (uint64_t)NODES * 16);
  /* A list needs one edge of mark work, not one for each node. */
  cr_assert_lt(ms.gc_sys - gc_start, (uint64_t)NODES * sizeof(void *) / 2);
  root = NULL;
  return NULL;
}

Test(stress_list, ten_million_nodes_live_and_die) {
  pthread_t t;
  mgc_collect();
  uint64_t start = stats().heap_inuse, gc_start = stats().gc_sys;
  uint64_t resident_start = resident();
  cr_assert_eq(pthread_create(&t, NULL, live, &gc_start), 0);
  pthread_join(t, NULL);
  mgc_collect();
  struct mgc_memstats ms = stats();
  fprintf(stderr, "heap in use: %lu KiB at the start, %lu KiB at the end\n",
          (unsigned long)(start >> 10), (unsigned long)(ms.heap_inuse >> 10));
  cr_assert_leq(ms.heap_inuse, start + start / 20 + (1 << 20));
  mgc_free_os_memory();
  if (!SHADOW)
    cr_assert_lt(resident(), resident_start + (uint64_t)NODES * 16 / 4);
}
