// SPDX-License-Identifier: MIT
#include "base/bits.h"
#include "base/persistent.h"
#include "support/fakesource.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

static bool all_bytes(const unsigned char *p, size_t n, unsigned char value) {
  for (size_t i = 0; i < n; i++)
    if (p[i] != value) return false;
  return true;
}

Test(persistent, random_requests_are_zeroed_aligned_and_apart) {
  struct rng r = rng_seed();
  struct fake_source src;
  struct persistent p;
  struct memstat stat = {0};
  struct {
    unsigned char *at;
    size_t n;
  } got[2000];
  uint64_t total = 0;
  fake_source_init(&src, 0);
  persistent_init(&p, &src.src);
  for (size_t i = 0; i < array_len(got); i++) {
    size_t align = (size_t)1 << rng_below(&r, 13);
    got[i].n = 1 + (size_t)rng_below(&r, rng_chance(&r, 50) ? 100000 : 2000);
    got[i].at = persistent_alloc(&p, got[i].n, align, &stat);
    cr_assert_not_null(got[i].at);
    cr_assert(is_aligned((uintptr_t)got[i].at, align));
    cr_assert(all_bytes(got[i].at, got[i].n, 0), "not zeroed");
    memset(got[i].at, (int)(i % 255 + 1), got[i].n);
    total += got[i].n;
  }
  for (size_t i = 0; i < array_len(got); i++)
    cr_assert(all_bytes(got[i].at, got[i].n, (unsigned char)(i % 255 + 1)),
              "overlap");
  cr_assert_eq(memstat_load(&stat), total);
}

Test(persistent, alignment_0_is_a_word) {
  struct fake_source src;
  struct persistent p;
  fake_source_init(&src, 0);
  persistent_init(&p, &src.src);
  persistent_alloc(&p, 3, 1, NULL);
  cr_assert(is_aligned((uintptr_t)persistent_alloc(&p, 8, 0, NULL), 8));
}

Test(persistent, small_requests_share_chunks_and_large_ones_do_not) {
  struct fake_source src;
  struct persistent p;
  fake_source_init(&src, 0);
  persistent_init(&p, &src.src);
  for (int i = 0; i < 256; i++) persistent_alloc(&p, 1024, 8, NULL);
  cr_assert_eq(src.ncalls.v, 1);
  cr_assert_eq(src.bytes.v, 256 << 10);
  persistent_alloc(&p, 64 << 10, 4096, NULL);
  cr_assert_eq(src.bytes.v, (256 + 64) << 10);
  persistent_alloc(&p, (64 << 10) + 1, 8, NULL);
  cr_assert_eq(src.bytes.v, (256 + 64 + 68) << 10);
}

Test(persistent, failing_source_gives_null_and_keeps_the_state) {
  struct fake_source src;
  struct persistent p;
  struct memstat stat = {0};
  fake_source_init(&src, 1);
  persistent_init(&p, &src.src);
  cr_assert_null(persistent_alloc(&p, 100, 8, &stat));
  cr_assert_null(persistent_alloc(&p, 100000, 8, &stat));
  cr_assert_null(persistent_alloc(&p, SIZE_MAX - 5, 8, &stat));
  cr_assert_eq(memstat_load(&stat), 0);
  src.fail_at = 0;
  cr_assert_not_null(persistent_alloc(&p, 100, 8, &stat));
  cr_assert_eq(memstat_load(&stat), 100);
}

Test(persistent, failing_refill_leaves_the_old_chunk_usable) {
  struct fake_source src;
  struct persistent p;
  fake_source_init(&src, 2);
  persistent_init(&p, &src.src);
  for (int i = 0; i < 4; i++)
    cr_assert_not_null(persistent_alloc(&p, 60000, 8, NULL));
  cr_assert_null(persistent_alloc(&p, 60000, 8, NULL));
  cr_assert_not_null(persistent_alloc(&p, 1000, 8, NULL));
}

Test(persistent, bad_alignment_is_fatal, .signal = SIGABRT) {
  struct fake_source src;
  struct persistent p;
  fake_source_init(&src, 0);
  persistent_init(&p, &src.src);
  persistent_alloc(&p, 8, 24, NULL);
}

#define THREADS 4
#define EACH 3000

static void *fill(void *arg) {
  struct persistent *p = arg;
  for (int i = 0; i < EACH; i++) {
    uint64_t *word = persistent_alloc(p, 64, 8, NULL);
    if (!word || *word != 0) return "was not ours alone";
    *word = 1; /* two owners of a word would be a race, too */
  }
  return NULL;
}

Test(persistent, threads_get_memory_of_their_own) {
  struct fake_source src;
  struct persistent p;
  pthread_t threads[THREADS];
  fake_source_init(&src, 0);
  persistent_init(&p, &src.src);
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, fill, &p);
  for (int i = 0; i < THREADS; i++) {
    void *complaint;
    pthread_join(threads[i], &complaint);
    cr_assert_null(complaint, "%s", (char *)complaint);
  }
}
