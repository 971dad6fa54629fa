// SPDX-License-Identifier: MIT
/* Memory comes back: the heap in use when a large structure is dropped, and
 * resident memory when the program then idles. */
#include "base/compiler.h"
#include "os/procfs.h"
#include <criterion/criterion.h>
#include <mallocgc.h>
#include <stdlib.h>
#include <unistd.h>

#define NODES 4000000

struct link {
  struct link *next;
  long value;
};
MGC_TYPE(struct link, next);

static struct link *list;

__attribute__((noinline)) static void build(void) {
  for (long i = 0; i < NODES; i++) {
    struct link *l = mgc_new(struct link);
    l->next = list;
    l->value = i;
    list = l;
  }
}

__attribute__((noinline)) static long length(void) {
  long n = 0;
  for (const struct link *l = list; l; l = l->next) n++;
  return n;
}

static uint64_t heap_inuse(void) {
  struct mgc_memstats m;
  mgc_read_memstats(&m);
  return m.heap_inuse;
}

static uint64_t resident(void) {
  struct procfs_statm s;
  cr_assert(procfs_statm(&s));
  return s.resident;
}

Test(stress_memory, a_dropped_list_comes_back_in_an_idle_program) {
  mgc_collect();
  uint64_t inuse_before = heap_inuse();
  MGC_UNUSED uint64_t before = resident(); /* not read under a sanitizer */
  build();
  mgc_collect();
  cr_assert_eq(length(), NODES);
  uint64_t list_bytes = heap_inuse() - inuse_before;
  cr_assert_geq(list_bytes, NODES * sizeof(struct link));
  list = NULL;
  mgc_collect();
  cr_assert_lt(heap_inuse(), inuse_before + list_bytes / 20);
#if !defined(__SANITIZE_ADDRESS__) && !MGC_TSAN
  /* A sanitizer's shadow of the heap stays. */
  int seconds = 0;
  /* Tables of the collector's that it had no use for before: up to 4 MiB. */
  uint64_t most = before + list_bytes / 10 + (4u << 20);
  while (resident() > most && seconds < 60) {
    sleep(1);
    seconds++;
  }
  cr_assert_lt(seconds, 60, "resident: %lu before, %lu now",
               (unsigned long)before, (unsigned long)resident());
#endif
}

static uint32_t num_gc(void) {
  struct mgc_memstats m;
  mgc_read_memstats(&m);
  return m.num_gc;
}

Test(stress_memory, an_idle_program_is_collected_without_a_call, .init = NULL) {
  setenv("MALLOCGC_OPTIONS", "gc_idle_ms=200", 1);
  build();
  mgc_collect();
  uint64_t full = heap_inuse();
  list = NULL;
  uint32_t before = num_gc();
  for (int i = 0; i < 300 && num_gc() == before; i++) usleep(100000);
  cr_assert_eq(num_gc(), before + 1);
  for (int i = 0; i < 300 && heap_inuse() > full / 2; i++) usleep(100000);
  cr_assert_lt(heap_inuse(), full / 2);
  /* Once. */
  usleep(1500000);
  cr_assert_eq(num_gc(), before + 1);
}

Test(stress_memory, a_period_brings_collections_by_itself, .init = NULL) {
  setenv("MALLOCGC_OPTIONS", "gc_period_ms=300,gc_idle_ms=0", 1);
  mgc_collect();
  uint32_t before = num_gc();
  for (int i = 0; i < 300 && num_gc() < before + 3; i++) usleep(100000);
  cr_assert_geq(num_gc(), before + 3);
}
