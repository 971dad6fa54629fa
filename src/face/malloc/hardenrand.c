// SPDX-License-Identifier: MIT
/* See hardenrand.h. */
#include "face/malloc/hardenrand.h"

#include "base/rand.h"
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* For systems where getrandom is missing, forbidden by a filter or not ready yet
 * (in the first seconds after boot): hashes of what the kernel gave the process
 * at its start and of the clock. Hard to guess from outside, not cryptography. */
static void fill_weakly(void *buf, size_t n) {
  uint64_t word, seed[2] = {0, 0};
  struct timespec now = {0};
  const void *at_random = (const void *)getauxval(AT_RANDOM);
  if (at_random) memcpy(seed, at_random, sizeof(seed));
  clock_gettime(CLOCK_MONOTONIC, &now);
  struct rand_state a = {seed[0] ^ (uint64_t)now.tv_nsec};
  struct rand_state b = {seed[1] + (uint64_t)(uintptr_t)buf};
  for (size_t i = 0; i < n; i += sizeof(word)) {
    word = rand_u64(&a) ^ rand_u64(&b);
    memcpy((char *)buf + i, &word, n - i < sizeof(word) ? n - i : sizeof(word));
  }
}

/* The bare system call: the C library's function is a cancellation point, and a
 * thread must not end in here. */
static void fill_from_kernel(void *arg, void *buf, size_t n) {
  int saved = errno;
  size_t done = 0;
  (void)arg;
  while (done < n) {
    long got =
        syscall(SYS_getrandom, (char *)buf + done, n - done, GRND_NONBLOCK);
    if (got > 0)
      done += (size_t)got;
    else if (got == 0 || errno != EINTR)
      break;
  }
  if (done < n) fill_weakly((char *)buf + done, n - done);
  errno = saved;
}

void harden_rand_init(struct harden_rand *r, harden_rand_fill *fill,
                      void *arg) {
  r->fill = fill ? fill : fill_from_kernel;
  r->arg = arg;
  r->left = 0;
}

static void take(struct harden_rand *r, void *out, uint32_t n) {
  if (r->left < n) {
    r->fill(r->arg, r->buf, sizeof(r->buf));
    r->left = sizeof(r->buf);
  }
  uint8_t *p = r->buf + sizeof(r->buf) - r->left;
  memcpy(out, p, n);
  memset(p, 0, n);
  r->left -= n;
}

uint64_t harden_rand_u64(struct harden_rand *r) {
  uint64_t v;
  take(r, &v, sizeof(v));
  return v;
}

uint32_t harden_rand_u32(struct harden_rand *r) {
  uint32_t v;
  take(r, &v, sizeof(v));
  return v;
}

void harden_rand_forget(struct harden_rand *r) {
  memset(r->buf, 0, sizeof(r->buf));
  r->left = 0;
}
