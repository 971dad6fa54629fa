// SPDX-License-Identifier: MIT
/*
 * limit KIND BYTES: a program that asks for more than BYTES, however it is limited.
 * It gets NULL and ENOMEM, loses nothing, frees, and goes on. KIND: small, large,
 * mixed. Prints how much it got.
 */
#include "check.h"
#include <errno.h>
#include <malloc.h>
#include <pthread.h>

struct block {
  struct block *next;
  size_t size;
};
static struct block *all;

static size_t size_of(const char *kind, unsigned i) {
  if (strcmp(kind, "small") == 0) return 32 + i % 500;
  if (strcmp(kind, "large") == 0) return 1 << 20;
  return i % 100 == 0 ? 300000 : 100 + i % 5000;
}

/* Takes blocks until there are no more, at most `most` bytes. */
static size_t take_all(const char *kind, size_t most) {
  size_t sum = 0;
  for (unsigned i = 0; sum < most; i++) {
    size_t n = size_of(kind, i);
    errno = 0;
    struct block *b = malloc(n);
    if (!b) {
      CHECK(errno == ENOMEM, "errno %d", errno);
      return sum;
    }
    memset(b, 0x5a, n);
    b->next = all;
    b->size = n;
    all = b;
    sum += n;
  }
  return sum;
}

static void free_all(void) {
  for (struct block *b = all, *next; b; b = next) {
    unsigned char *last = (unsigned char *)b + b->size - 1;
    next = b->next;
    CHECK(*last == 0x5a, "a block of %zu", b->size);
    errno = 0;
    free(b);
    CHECK(errno == 0, "free: errno %d", errno);
  }
  all = NULL;
}

/* With no memory left: what can fail must fail well, and what need not must not. */
static void check_full(size_t bytes) {
  void *p = (void *)1;
  errno = 0;
  CHECK(!calloc(1, bytes) && errno == ENOMEM, "calloc: %d", errno);
  errno = 0;
  CHECK(posix_memalign(&p, 64, bytes) == ENOMEM && errno == 0 && p == (void *)1,
        "posix_memalign: %d", errno);
  CHECK(!memalign(4096, bytes) && errno == ENOMEM, "memalign: %d", errno);
  errno = 0;
  size_t was = all->size;
  CHECK(!realloc(all, bytes) && errno == ENOMEM, "realloc: %d", errno);
  CHECK(all->size == was, "the block that could not grow");
  /* glibc never fails to make a block smaller, and programs rely on it. */
  for (struct block *b = all, **link = &all; b; link = &b->next, b = *link)
    if (b->size > 64) {
      struct block *q = realloc(b, 64);
      CHECK(q, "realloc from %zu to 64", b->size);
      if (!q) break;
      q->size = 64;
      ((unsigned char *)q)[63] = 0x5a;
      *link = b = q;
    }
}

static void *in_thread(void *arg) {
  void *p = malloc(100);
  free(p);
  return arg;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  check_begin();
  size_t bytes = strtoull(argv[2], NULL, 10);
  size_t first = take_all(argv[1], 4 * bytes);
  CHECK(first < bytes, "%zu were to be had", first);
  CHECK(first > bytes / 2, "only %zu were to be had", first);
  if (check_failures) return check_end(); /* there is no limit to test */
  check_full(bytes);
  pthread_t t;
  if (pthread_create(&t, NULL, in_thread, NULL) == 0) pthread_join(t, NULL);
  free_all();
  size_t second = take_all(argv[1], 4 * bytes);
  CHECK(second > first / 4 * 3, "%zu, and after all was freed %zu", first,
        second);
  free_all();
  /* What small blocks held can be had for a large one. */
  void *one = malloc(bytes / 2);
  CHECK(one, "%zu bytes", bytes / 2);
  free(one);
  printf("%zu %zu\n", first, second);
  return check_end();
}
