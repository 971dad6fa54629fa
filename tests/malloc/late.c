// SPDX-License-Identifier: MIT
/*
 * late LIBRARY: the library loaded by dlopen into a program that runs on another
 * malloc and has threads. It must find room for its thread-local words, serve
 * every thread, stand beside the other malloc, and survive its dlclose: threads
 * that used it end later, and processes are forked.
 */
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>

static struct {
  void *(*malloc)(size_t);
  void *(*calloc)(size_t, size_t);
  void *(*realloc)(void *, size_t);
  void (*free)(void *);
} its;

static pthread_barrier_t barrier;

static void use(unsigned seed) {
  unsigned char *p[100];
  for (int round = 0; round < 20; round++) {
    for (unsigned i = 0; i < 100; i++) {
      size_t n = (i * 37 + seed * 11) % 2000 + 1;
      p[i] = i % 2 ? its.malloc(n) : its.calloc(1, n);
      CHECK(p[i], "%zu bytes", n);
      memset(p[i], (int)i, n);
      p[i] = its.realloc(p[i], n + 500);
      void *other = malloc(n); /* the program's */
      memset(other, 0xff, n);
      free(other);
    }
    for (unsigned i = 0; i < 100; i++) {
      CHECK(p[i][0] == i, "block %u", i);
      its.free(p[i]);
    }
  }
}

static void *thread(void *arg) {
  pthread_barrier_wait(&barrier); /* exists before the library is loaded */
  pthread_barrier_wait(&barrier);
  use((unsigned)(uintptr_t)arg);
  pthread_barrier_wait(&barrier); /* ends after it is closed */
  pthread_barrier_wait(&barrier);
  return NULL;
}

static void *symbol(void *lib, const char *name) {
  void *p = dlsym(lib, name);
  CHECK(p && p != dlsym(RTLD_DEFAULT, name), "%s", name);
  return p;
}

static void *load(const char *path, int flags) {
  void *lib = dlopen(path, flags);
  if (!lib) {
    dprintf(2, "%s\n", dlerror());
    exit(1);
  }
  its.malloc = (void *(*)(size_t))symbol(lib, "malloc");
  its.calloc = (void *(*)(size_t, size_t))symbol(lib, "calloc");
  its.realloc = (void *(*)(void *, size_t))symbol(lib, "realloc");
  its.free = (void (*)(void *))symbol(lib, "free");
  return lib;
}

int main(int argc, char **argv) {
  enum { THREADS = 8 };
  pthread_t t[THREADS];
  if (argc < 2) return 2;
  CHECK(!check_is_ours(), "preloaded");
  pthread_barrier_init(&barrier, NULL, THREADS + 1);
  for (uintptr_t i = 0; i < THREADS; i++)
    CHECK(pthread_create(&t[i], NULL, thread, (void *)i) == 0, "thread");
  pthread_barrier_wait(&barrier);
  void *lib = load(argv[1], RTLD_NOW | RTLD_LOCAL);
  pthread_barrier_wait(&barrier);
  use(100);
  pthread_barrier_wait(&barrier);
  dlclose(lib);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  /* fork's handlers, whether or not the library is still mapped */
  int status = -1;
  pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, &status, 0);
  CHECK(status == 0, "status %d", status);
  lib = load(argv[1], RTLD_LAZY | RTLD_GLOBAL);
  use(200);
  dlclose(lib);
  return check_end();
}
