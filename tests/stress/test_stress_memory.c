// SPDX-License-Identifier: MIT
/* Memory comes back: the heap in use when a large structure is dropped, and
 * resident memory when the program then idles. */
#include "base/compiler.h"
#include "os/procfs.h"
#include <criterion/criterion.h>
#include <mallocgc.h>
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
  while (resident() > before + list_bytes / 10 && seconds < 60) {
    sleep(1);
    seconds++;
  }
  cr_assert_lt(seconds, 60, "resident: %lu before, %lu now",
               (unsigned long)before, (unsigned long)resident());
#endif
}
