// SPDX-License-Identifier: MIT
/* Shared objects that come and go: their data is a root while they are there. */
#include "gctest.h"
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdatomic.h>

TestSuite(gc_dlopen, .init = test_options);

typedef void **area_fn(void);

static area_fn *area(void *lib, const char *name) {
  area_fn *fn;
  *(void **)&fn = dlsym(lib, name);
  cr_assert_not_null(fn);
  return fn;
}

static void check_area(void **slots) {
  struct hidden h;
  fill(slots, &h);
  collect();
  assert_all_alive(&h);
  memset(slots, 0, BATCH * sizeof *slots);
  collect();
  assert_dead(&h);
}

Test(gc_dlopen, data_and_thread_local_storage_are_roots) {
  mgc_collect(); /* roots were listed before the library came */
  void *lib = dlopen(ROOTLIB, RTLD_NOW);
  cr_assert_not_null(lib, "%s", dlerror());
  check_area(area(lib, "rootlib_data")());
  check_area(area(lib, "rootlib_bss")());
  check_area(area(lib, "rootlib_tls")());
  dlclose(lib);
  collect();
}

Test(gc_dlopen, unloaded_data_keeps_nothing) {
  struct hidden h;
  void *lib = dlopen(ROOTLIB, RTLD_NOW);
  fill(area(lib, "rootlib_bss")(), &h);
  collect();
  assert_all_alive(&h);
  dlclose(lib);
  collect();
  assert_dead(&h);
}

/* ThreadSanitizer does not see the loader's locks. */
#ifdef __SANITIZE_THREAD__
#define LOADERS 1
#else
#define LOADERS 2
#endif

static _Atomic bool stop;
static _Atomic unsigned loads;

static void *load_and_unload(void *arg) {
  area_fn *fn;
  (void)arg;
  while (!stop) {
    void *lib = dlopen(ROOTLIB, RTLD_NOW);
    if (!lib) abort();
    *(void **)&fn = dlsym(lib, "rootlib_tls");
    fn()[0] = NULL; /* the thread's block is made */
    if (dlclose(lib) != 0) abort();
    loads++;
  }
  return NULL;
}

Test(gc_dlopen, collecting_while_objects_come_and_go) {
  pthread_t t[LOADERS];
  struct hidden h;
  static void *slots[BATCH];
  fill(slots, &h);
  for (int i = 0; i < LOADERS; i++)
    pthread_create(&t[i], NULL, load_and_unload, NULL);
  /* 300 short collections may pass before a loader has come far. */
  for (int i = 0; i < 300 || (loads <= 10 && i < 100000); i++) {
    mgc_collect();
    if (i % 50 == 0) assert_all_alive(&h);
  }
  stop = true;
  for (int i = 0; i < LOADERS; i++) pthread_join(t[i], NULL);
  cr_assert_gt(loads, 10);
}
