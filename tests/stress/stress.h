// SPDX-License-Identifier: MIT
/*
 * What the stress tests share: self-checking objects of every size and kind,
 * and how long a test runs (MALLOCGC_STRESS_SECONDS, default 2).
 *
 * An object knows its own address and size: one that was freed too early and
 * used again, or clobbered, does not check.
 */
#ifndef MGC_TESTS_STRESS_STRESS_H
#define MGC_TESTS_STRESS_STRESS_H

#include "support/rng.h"
#include <mallocgc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OBJ_LINKS 3

enum obj_kind { OBJ_TYPED, OBJ_CONSERVATIVE, OBJ_NOSCAN, OBJ_KINDS };

struct obj {
  uint64_t check; /* of address, words and kind */
  uint32_t words; /* in tail */
  uint32_t kind;
  /* NULL in noscan objects. Atomic: threads share graphs. */
  struct obj *_Atomic link[OBJ_LINKS];
  uint64_t tail[]; /* a pattern */
};

static inline double stress_seconds(void) {
  const char *s = getenv("MALLOCGC_STRESS_SECONDS");
  return s ? strtod(s, NULL) : 2.0;
}

/* Under ThreadSanitizer a collection with verifiers takes half a second. */
#ifdef __SANITIZE_THREAD__
#define FEW_CYCLES 0u
#else
#define FEW_CYCLES 2u
#endif

/* These options, and those of the environment (a stress mode's) after them. */
static inline void stress_options(const char *options) {
  static char all[256];
  const char *mode = getenv("MALLOCGC_OPTIONS");
  snprintf(all, sizeof all, "%s,%s", options, mode ? mode : "");
  setenv("MALLOCGC_OPTIONS", all, 1);
}

static inline double stress_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline uint64_t obj_pattern(const struct obj *o, uint32_t i) {
  uint64_t x = (uint64_t)(uintptr_t)o * 0x9e3779b97f4a7c15u + i;
  return x ^ (x >> 29);
}

static inline uint64_t obj_check(const struct obj *o) {
  return obj_pattern(o, o->words) ^ ((uint64_t)o->kind << 56);
}

/* The type of a typed object with a tail of `words`: links only. */
static inline const struct mgc_type *obj_type(uint32_t words) {
  static const uint8_t mask[1] = {7u << 2};
  return mgc_type_make("struct obj", sizeof(struct obj) + 8 * words, 8, mask,
                       5);
}

/* Sizes of every class, small ones more often; some are large objects. */
static inline uint32_t obj_random_words(struct rng *r) {
  switch (rng_below(r, 16)) {
  default:
    return (uint32_t)rng_below(r, 24);
  case 0:
  case 1:
  case 2:
    return (uint32_t)rng_below(r, 256);
  case 3:
    return (uint32_t)rng_below(r, 4096);
  case 4:
    return rng_chance(r, 8) ? (uint32_t)rng_below(r, 40000) : 30;
  }
}

/* At most a few tail words are written and checked: the rest may stay zero. */
static inline uint32_t obj_step(uint32_t words) {
  return words < 64 ? 1 : words / 16;
}

static inline struct obj *obj_new(struct rng *r) {
  uint32_t words = obj_random_words(r);
  enum obj_kind kind = (enum obj_kind)rng_below(r, OBJ_KINDS);
  size_t size = sizeof(struct obj) + 8 * (size_t)words;
  struct obj *o;
  if (kind == OBJ_TYPED && words > 64)
    words &= ~63u, size = sizeof *o + 8 * words;
  if (kind == OBJ_TYPED)
    o = mgc_newobject(obj_type(words));
  else if (kind == OBJ_CONSERVATIVE)
    o = mgc_alloc(size);
  else
    o = mgc_new_noscan(size);
  if (!o) abort();
  if (kind == OBJ_NOSCAN) memset(o, 0, sizeof *o);
  o->words = words;
  o->kind = kind;
  o->check = obj_check(o);
  for (uint32_t i = 0; i < words; i += obj_step(words))
    o->tail[i] = obj_pattern(o, i) & 0xffffffffu; /* never a heap address */
  return o;
}

/* NULL, or what is wrong with o. */
static inline const char *obj_broken(const struct obj *o) {
  if (o->check != obj_check(o)) return "header";
  for (uint32_t i = 0; i < o->words; i += obj_step(o->words))
    if (o->tail[i] != (obj_pattern(o, i) & 0xffffffffu)) return "tail";
  return NULL;
}

/* Walks at most `budget` objects from o along random links. */
static inline const char *obj_walk(const struct obj *o, struct rng *r,
                                   unsigned budget) {
  while (o && budget-- > 0) {
    const char *bad = obj_broken(o);
    if (bad) return bad;
    o = o->link[rng_below(r, OBJ_LINKS)];
  }
  return NULL;
}

#endif
