// SPDX-License-Identifier: MIT
/*
 * malloc at the edges of a process and of its threads: before main, in
 * constructors, in destructors of threads' objects and keys, in atexit handlers,
 * after main, and while the process exits under running threads. Each place leaves
 * blocks for later ones to check and free.
 */
#include "check.h"
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

enum place {
  PREINIT,
  CONSTRUCTOR,
  MAIN,
  TLS_DESTRUCTOR,
  KEY_DESTRUCTOR,
  KEY_LAST_ROUND,
  AT_EXIT,
  PLACES
};

static const char *const names[] = {
    "preinit",        "constructor",        "main",  "TLS destructor",
    "key destructor", "last round of keys", "atexit"};
enum { BLOCKS = 200 };
static unsigned char *left[PLACES][BLOCKS];
static int reached[PLACES];

extern int __cxa_thread_atexit_impl(void (*fn)(void *), void *arg, void *dso);
extern void *__dso_handle;

static size_t size_of(int i) { return i % 50 == 7 ? 50000 : (size_t)i * 9 + 1; }

/* Allocates, frees half of it again, leaves the rest to check_place. */
static void at_place(enum place w) {
  if (__atomic_exchange_n(&reached[w], 1, __ATOMIC_SEQ_CST)) return;
  for (int i = 0; i < BLOCKS; i++) {
    left[w][i] = i % 3 ? malloc(size_of(i)) : calloc(1, size_of(i));
    CHECK(left[w][i], "%s", names[w]);
    memset(left[w][i], i + (int)w, size_of(i));
  }
  for (int i = 0; i < BLOCKS; i += 2) {
    free(left[w][i]);
    left[w][i] = NULL;
  }
  left[w][1] = realloc(left[w][1], 3000);
}

static void check_place(enum place w) {
  CHECK(reached[w], "%s was not reached", names[w]);
  for (int i = 0; i < BLOCKS; i++) {
    unsigned char *b = left[w][i], want = (unsigned char)(i + (int)w);
    if (!b) continue;
    CHECK(b[0] == want && b[i == 1 ? 0 : size_of(i) - 1] == want, "%s %d",
          names[w], i);
    free(b);
    left[w][i] = NULL;
  }
}

static void before_all(int argc, char **argv, char **env) {
  (void)argc;
  (void)argv;
  (void)env;
  at_place(PREINIT);
}
__attribute__((section(".preinit_array"),
               used)) static void (*preinit)(int, char **,
                                             char **) = before_all;

__attribute__((constructor)) static void construct(void) {
  check_place(PREINIT);
  at_place(CONSTRUCTOR);
}

/* --- threads --- */

enum { KEYS = 40 }; /* values of the keys past 32 are allocated by libc */
static pthread_key_t keys[KEYS];
static int rounds;

static void destroy_key(void *arg) {
  free(arg);
  at_place(KEY_DESTRUCTOR);
  /* glibc goes over the keys four times: come back in all of them. */
  int round = __atomic_add_fetch(&rounds, 1, __ATOMIC_RELAXED) / KEYS;
  if (round >= 3) at_place(KEY_LAST_ROUND);
  for (int i = 0; i < KEYS; i++)
    if (!pthread_getspecific(keys[i])) pthread_setspecific(keys[i], malloc(64));
}

static void destroy_tls(void *arg) {
  free(arg);
  at_place(TLS_DESTRUCTOR);
}

static void *thread(void *arg) {
  void *b = malloc(100);
  __cxa_thread_atexit_impl(destroy_tls, malloc(200), &__dso_handle);
  for (int i = 0; i < KEYS; i++) pthread_setspecific(keys[i], malloc(48));
  free(b);
  return arg;
}

static void *forever(void *arg) {
  uint64_t seed = (uintptr_t)&seed;
  static void *blocks[64]; /* of one thread, for a moment shared at most */
  for (;;) {
    uint64_t r = check_random(&seed);
    void *b = malloc(r % 3000);
    free(__atomic_exchange_n(&blocks[r >> 32 & 63], b, __ATOMIC_ACQ_REL));
  }
  return arg;
}

static void run_thread(void) {
  pthread_t t;
  for (int i = 0; i < KEYS; i++)
    CHECK(pthread_key_create(&keys[i], destroy_key) == 0, "key %d", i);
  CHECK(pthread_create(&t, NULL, thread, NULL) == 0, "thread");
  pthread_join(t, NULL);
  check_place(TLS_DESTRUCTOR);
  check_place(KEY_DESTRUCTOR);
  check_place(KEY_LAST_ROUND);
}

/* --- the end --- */

static void leave(void) { at_place(AT_EXIT); }

__attribute__((destructor)) static void destruct(void) {
  check_place(AT_EXIT);
  free(malloc(10));
  if (check_failures) _exit(check_end());
}

int main(void) {
  check_begin();
  check_place(CONSTRUCTOR);
  at_place(MAIN);
  atexit(leave);
  run_thread();
  check_place(MAIN);
  for (int i = 0; i < 3; i++) {
    pthread_t t;
    CHECK(pthread_create(&t, NULL, forever, NULL) == 0, "thread");
  }
  usleep(20000);
  return check_failures != 0;
}
