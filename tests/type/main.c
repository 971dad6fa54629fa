// SPDX-License-Identifier: MIT
/*
 * Types of several modules of one process: a program of two translation units,
 * and plugins that dlopen brings and dlclose takes away while their objects live
 * on. Usage: main PLUGIN_A PLUGIN_B. Exit status 0 when all is well.
 */
#include "modules.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct clash {
  long n;
  void *p;
};
MGC_TYPE(struct clash, p);

struct sized {
  void *p;
  long n;
};
MGC_TYPE(struct sized, p);

#define CHECK(cond)                                                            \
  do {                                                                         \
    if (!(cond)) {                                                             \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);               \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

static void *load(const char *path, const struct plugin **p) {
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) fprintf(stderr, "%s\n", dlerror());
  CHECK(handle);
  *p = dlsym(handle, "plugin");
  CHECK(*p);
  return handle;
}

static void unload(const char *path, void *handle) {
  CHECK(dlclose(handle) == 0);
  CHECK(dlopen(path, RTLD_NOW | RTLD_NOLOAD) == NULL);
}

/* Roots of what plugins made. */
static struct made *list_a, *array_a, *list_b;

static void check_list(const struct made *m, bool by_next, long n) {
  for (; m; m = by_next ? m->next : m->other) {
    n--;
    CHECK(m->n == n && m->check == ~n);
  }
  CHECK(n == 0);
}

static void check_array(const struct made *a, long n) {
  for (long i = 0; i < n; i++)
    CHECK(a[i].next->n == i && a[i].next->check == ~i);
}

/* Fills the heap's free slots, so that a lost object shows. */
static void churn(void) {
  for (long i = 0; i < 50000; i++) {
    struct shared *s = mgc_new(struct shared);
    CHECK(s && s->n == 0 && !s->next);
    s->n = -1;
  }
  mgc_collect();
}

static void test_translation_units(void) {
  CHECK(mgc_typeof(struct shared)->ptrdata == 16);
  CHECK(mgc_typeof(struct shared) == second_typeof_shared());
  CHECK(mgc_typeof(struct clash) == &mgc_type_conservative);
  CHECK(second_typeof_clash() == &mgc_type_conservative);
  CHECK(mgc_typeof(struct sized)->size == 16);
  CHECK(second_typeof_sized()->size == 24);
}

static void test_coming_and_going(const char *path_a, const char *path_b) {
  const struct plugin *a, *b;
  CHECK(!mgc_type_find("struct made"));
  void *handle = load(path_a, &a);
  CHECK(mgc_type_find("struct made"));
  CHECK(a->typeof_made()->ptrdata == 16);
  const struct mgc_type *theirs = a->typeof_shared();
  CHECK(theirs != mgc_typeof(struct shared));
  CHECK(mgc_type_equal(theirs, mgc_typeof(struct shared)));
  list_a = a->make_list(20000);
  array_a = a->make_array(20000);
  CHECK(list_a && array_a);
  unload(path_a, handle);
  CHECK(!mgc_type_find("struct made"));
  churn();
  check_list(list_a, true, 20000);
  check_array(array_a, 20000);

  handle = load(path_b, &b);
  CHECK(b->typeof_made()->ptrdata == 32);
  list_b = b->make_list(20000);
  churn();
  check_list(list_a, true, 20000);
  check_list(list_b, false, 20000);
  /* Both at once: the program cannot tell, each plugin can. */
  void *again = load(path_a, &a);
  CHECK(!mgc_type_find("struct made"));
  CHECK(a->typeof_made()->ptrdata == 16);
  unload(path_a, again);
  unload(path_b, handle);
  churn();
  check_array(array_a, 20000);
  check_list(list_b, false, 20000);
}

static atomic_bool stop;

static void *allocate_meanwhile(void *arg) {
  (void)arg;
  while (!atomic_load(&stop)) {
    struct shared *list = NULL;
    for (long i = 0; i < 1000; i++) {
      struct shared *s = mgc_new(struct shared);
      CHECK(s);
      s->n = i;
      s->next = list;
      list = s;
    }
    for (long i = 999; list; list = list->next, i--) CHECK(list->n == i);
    (void)mgc_type_find("struct made");
  }
  return NULL;
}

static void test_with_threads(const char *path_a) {
  pthread_t threads[3];
  for (int i = 0; i < 3; i++)
    CHECK(pthread_create(&threads[i], NULL, allocate_meanwhile, NULL) == 0);
  for (int i = 0; i < 30; i++) {
    const struct plugin *a;
    void *handle = load(path_a, &a);
    list_a = a->make_list(500);
    CHECK(list_a);
    unload(path_a, handle);
    if (i % 5 == 0) mgc_collect();
    check_list(list_a, true, 500);
  }
  atomic_store(&stop, true);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  test_translation_units();
  test_coming_and_going(argv[1], argv[2]);
  test_with_threads(argv[1]);
  puts("ok");
  return 0;
}
