// SPDX-License-Identifier: MIT
/*
 * Threads that allocate, reallocate and free at random, mostly what other threads
 * allocated. Each block is full of a pattern made from its address's secret: its
 * size and a random seed, kept beside the table and not in the block; it is
 * checked before every reallocation and free. MALLOCGC_STRESS_SECONDS: how long,
 * 4 by default.
 */
#include "check.h"
#include <malloc.h>
#include <pthread.h>
#include <time.h>

enum { THREADS = 4, SLOTS = 4096 };

struct slot {
  pthread_spinlock_t lock;
  unsigned char *p;
  size_t size;
  unsigned char seed;
};
static struct slot slots[SLOTS];
static int stop;
static uint64_t operations;

static unsigned char pattern(size_t i, unsigned char seed) {
  return (unsigned char)(i * 31 + seed);
}

static void fill(struct slot *s) {
  for (size_t i = 0; i < s->size; i++) s->p[i] = pattern(i, s->seed);
}

static void verify(const struct slot *s, size_t n, const char *when) {
  for (size_t i = 0; i < n; i++)
    if (s->p[i] != pattern(i, s->seed)) {
      CHECK(false, "%s: %p of %zu: byte %zu is %d", when, (void *)s->p, s->size,
            i, s->p[i]);
      exit(1);
    }
}

static size_t random_size(uint64_t r) {
  unsigned kind = r % 256;
  r >>= 8;
  if (kind == 0) return r % (1 << 20);
  if (kind < 8) return r % 65536;
  if (kind < 64) return r % 4096;
  return r % 256;
}

static void *allocate(uint64_t r, size_t n) {
  size_t align = (size_t)16 << (r % 9);
  void *p = NULL;
  switch (r >> 8 & 15) {
  case 0:
    return calloc(1, n);
  case 1:
    return memalign(align, n);
  case 2:
    return posix_memalign(&p, align, n) == 0 ? p : NULL;
  case 3:
    return aligned_alloc(align, n);
  default:
    return malloc(n);
  }
}

static void step(uint64_t *seed) {
  uint64_t r = check_random(seed);
  struct slot *s = &slots[r % SLOTS];
  r >>= 12;
  pthread_spin_lock(&s->lock);
  struct slot was = *s;
  s->p = NULL;
  pthread_spin_unlock(&s->lock);
  size_t n = random_size(check_random(seed));
  struct slot now = {.size = n, .seed = (unsigned char)r};
  if (was.p) verify(&was, was.size, "before");
  if (was.p && r % 4 == 0 && n != 0) {
    now.p = realloc(was.p, n);
    now.seed = was.seed;
    CHECK(now.p, "realloc to %zu", n);
    verify(&now, was.size < n ? was.size : n, "after realloc");
  } else {
    if (r % 4 != 1) now.p = allocate(r >> 4, n);
    CHECK(now.p || r % 4 == 1, "no memory for %zu", n);
    free(was.p);
  }
  if (!now.p) return;
  fill(&now);
  pthread_spin_lock(&s->lock);
  was = *s;
  s->p = now.p;
  s->size = now.size;
  s->seed = now.seed;
  pthread_spin_unlock(&s->lock);
  if (was.p) verify(&was, was.size, "replaced");
  free(was.p);
}

static void *run(void *arg) {
  uint64_t seed = (uintptr_t)arg * 1000003 + 12345, n = 0;
  for (; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++) step(&seed);
  __atomic_fetch_add(&operations, n, __ATOMIC_RELAXED);
  return NULL;
}

/* Threads come and go meanwhile, with what they own. */
int main(void) {
  const char *seconds = getenv("MALLOCGC_STRESS_SECONDS");
  time_t end = time(NULL) + (seconds ? atoi(seconds) : 4);
  check_begin();
  for (int i = 0; i < SLOTS; i++) pthread_spin_init(&slots[i].lock, 0);
  for (uintptr_t round = 0; time(NULL) < end && !check_failures; round++) {
    pthread_t t[THREADS];
    stop = 0;
    for (uintptr_t i = 0; i < THREADS; i++)
      if (pthread_create(&t[i], NULL, run, (void *)(round * 16 + i)) != 0)
        return 1;
    usleep(200000);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  }
  for (int i = 0; i < SLOTS; i++) {
    if (slots[i].p) verify(&slots[i], slots[i].size, "at the end");
    free(slots[i].p);
  }
  printf("%llu operations\n", (unsigned long long)operations);
  CHECK(operations > 1000, "%llu", (unsigned long long)operations);
  return check_end();
}
