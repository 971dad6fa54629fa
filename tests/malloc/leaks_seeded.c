// SPDX-License-Identifier: MIT
/*
 * A program with three leaks: a ring, a block that only an ended thread's stack
 * refers to, a block that only an unloaded library's data referred to. And with
 * much that is none: reached from data, a thread-specific value, a thread-local
 * variable, the environment, another block's middle. One of the blocks has a page
 * that cannot be read.
 *
 * leaks_seeded LIBRARY [clean | mapped | threads]: without the leaks; with a block
 * that only memory from mmap refers to; with a thread that is blocked and one that
 * has ended and has not been joined.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct node {
  struct node *next;
  char text[40];
};

/* Volatile: so that the compiler keeps what nobody reads. */
static struct node *volatile data_root;
static char *volatile interior;
static char *volatile unreadable;
static _Thread_local char *volatile local_root;
static volatile int blocked = 1;
static pthread_key_t key;
static pthread_barrier_t barrier;

static struct node *new_node(struct node *next, const char *text) {
  struct node *volatile n = malloc(sizeof *n);
  n->next = next;
  strcpy(n->text, text);
  return n;
}

static void make_ring(void) {
  struct node *a = new_node(NULL, "ring"), *b = new_node(a, "ring");
  a->next = b;
}

static void *lose(void *arg) {
  char *volatile p = malloc(100);
  strcpy(p, "lost thread's");
  return arg;
}

/* A long list that only this stack and these registers refer to. */
static void *hold(void *arg) {
  struct node *list = NULL;
  char *mine = malloc(700);
  local_root = malloc(701);
  pthread_setspecific(key, malloc(702));
  for (int i = 0; i < 100000; i++) list = new_node(list, "held");
  pthread_barrier_wait(&barrier);
  while (blocked) pause();
  mine[0] = list->text[0];
  return mine == arg ? arg : list;
}

static void *finish(void *arg) {
  (void)arg;
  return malloc(703);
}

static void keep(void) {
  for (int i = 0; i < 1000; i++) data_root = new_node(data_root, "kept");
  interior = (char *)malloc(50000) + 49999;
  local_root = malloc(60);
  pthread_setspecific(key, malloc(61));
  unreadable = aligned_alloc(4096, 16384);
  mprotect(unreadable + 4096, 4096, PROT_NONE);
  putenv(strdup("LEAKS_SEEDED=1"));
  setvbuf(stdout, NULL, _IOFBF, 1 << 14);
}

/* In the middle of much that is never touched. */
static void map_root(void) {
  size_t size = (size_t)1 << 30;
  char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) exit(2);
  *(char **)(p + size / 2) = malloc(300);
}

static void run_thread(void *(*fn)(void *)) {
  pthread_t t;
  pthread_create(&t, NULL, fn, NULL);
  pthread_join(t, NULL);
}

static void use_library(const char *path) {
  void *h = dlopen(path, RTLD_NOW);
  void (*use)(void);
  if (!h) {
    fprintf(stderr, "%s\n", dlerror());
    exit(2);
  }
  *(void **)&use = dlsym(h, "lib_use");
  use();
  dlclose(h);
}

int main(int argc, char **argv) {
  const char *how = argc > 2 ? argv[2] : "";
  pthread_t t;
  pthread_key_create(&key, NULL);
  keep();
  if (strcmp(how, "threads") == 0) {
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&t, NULL, hold, NULL);
    pthread_barrier_wait(&barrier);
    pthread_create(&t, NULL, finish, NULL);
    usleep(50000);
  } else if (strcmp(how, "mapped") == 0) {
    map_root();
  } else if (strcmp(how, "clean") != 0) {
    make_ring();
    run_thread(lose);
    use_library(argv[1]);
  }
  printf("done\n");
  return 3;
}
