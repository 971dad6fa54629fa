// SPDX-License-Identifier: MIT
/* Masks and programs against a slow reference: one byte a word. */
#include "support/rng.h"
#include "support/typefix.h"
#include "type/ptrmask.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORDS 4096

/* A type and, for each of its words, whether it may hold a pointer. */
struct model {
  const struct mgc_type *type;
  size_t nwords;
  char words[MAX_WORDS];
};

static struct typefix fix;
static int error;

static void setup(void) { typefix_init(&fix, 0, NULL); }

static void check_ptrdata(const struct model *m) {
  size_t last = m->nwords;
  while (last > 0 && !m->words[last - 1]) last--;
  cr_assert_eq(m->type->ptrdata, last * 8);
  cr_assert_eq(m->type->size, m->nwords * 8);
}

static bool bit(const struct model *m, size_t w) {
  return w < m->nwords && m->words[w];
}

/* Every way to read the mask says what the model says. */
static void check_type(const struct model *m, struct rng *rng) {
  const struct mgc_type *t = m->type;
  check_ptrdata(m);
  for (size_t i = 0; i <= m->nwords / 64 + 1; i++) {
    uint64_t want = 0;
    for (size_t b = 0; b < 64; b++) want |= (uint64_t)bit(m, 64 * i + b) << b;
    cr_assert_eq(type_mask_word(t, i), want, "word %zu of %zu", i, m->nwords);
  }
  for (int round = 0; round < 20; round++) {
    size_t w = rng_below(rng, 5 * m->nwords + 1);
    uint64_t want = 0;
    for (size_t b = 0; b < 64; b++)
      want |= (uint64_t)bit(m, (w + b) % m->nwords) << b;
    cr_assert_eq(type_tiled_mask(t, w), want, "tile at %zu of %zu", w,
                 m->nwords);
  }
  for (int round = 0; round < 10; round++) {
    size_t lo = rng_below(rng, 4 * m->nwords + 1);
    size_t hi = lo + rng_below(rng, 2 * m->nwords + 100);
    struct typepointers it;
    typepointers_init(&it, t, lo * 8, hi * 8);
    for (size_t w = lo; w < hi; w++)
      if (bit(m, w % m->nwords))
        cr_assert_eq(typepointers_next(&it), w * 8, "[%zu,%zu) of %zu", lo, hi,
                     m->nwords);
    cr_assert_eq(typepointers_next(&it), TYPEPOINTERS_END);
  }
}

static void make_random_mask(struct model *m, struct rng *rng, size_t nwords,
                             unsigned density) {
  uint8_t mask[MAX_WORDS / 8 + 1] = {0};
  m->nwords = nwords;
  for (size_t w = 0; w < nwords; w++) {
    m->words[w] = rng_below(rng, 100) < density;
    mask[w / 8] |= (uint8_t)(m->words[w] << w % 8);
  }
  m->type = type_make(&fix.reg, "", nwords * 8, 8, mask, nwords, &error);
  cr_assert_not_null(m->type);
}

static void make_array(struct model *m, const struct model *elem, size_t n) {
  m->nwords = n * elem->nwords;
  for (size_t i = 0; i < n; i++)
    memcpy(m->words + i * elem->nwords, elem->words, elem->nwords);
  m->type = type_array(&fix.reg, elem->type, n, &error);
  cr_assert_not_null(m->type);
}

static void make_struct(struct model *m, const struct model *fields[], size_t n,
                        struct rng *rng) {
  struct mgc_structfield f[8];
  size_t at = 0;
  memset(m->words, 0, sizeof(m->words));
  for (size_t i = 0; i < n; i++) {
    at += rng_below(rng, 3);
    f[i] = (struct mgc_structfield){"f", fields[i]->type, at * 8};
    memcpy(m->words + at, fields[i]->words, fields[i]->nwords);
    at += fields[i]->nwords;
  }
  m->nwords = at + rng_below(rng, 3) + (at == 0);
  m->type = type_struct(&fix.reg, "", m->nwords * 8, 8, f, n, &error);
  cr_assert_not_null(m->type);
}

/* A random tree: masks at the leaves, arrays and structs above. */
static void make_random(struct model *m, struct rng *rng, int depth,
                        size_t budget) {
  unsigned choice = (unsigned)rng_below(rng, 4);
  if (depth == 0 || budget < 4 || choice == 0) {
    static const unsigned densities[] = {0, 5, 50, 100};
    make_random_mask(m, rng, 1 + rng_below(rng, budget < 150 ? budget : 150),
                     densities[rng_below(rng, 4)]);
    return;
  }
  size_t n = 1 + rng_below(rng, 4);
  struct model *sub[8];
  for (size_t i = 0; i < n; i++) {
    sub[i] = malloc(sizeof(struct model));
    make_random(sub[i], rng, depth - 1, budget / (n + 1));
  }
  if (choice == 1) {
    size_t most = budget / (sub[0]->nwords + 1) + 1;
    make_array(m, sub[0], 1 + rng_below(rng, most));
  } else {
    make_struct(m, (const struct model **)sub, n, rng);
  }
  for (size_t i = 0; i < n; i++) free(sub[i]);
}

Test(mask, random_type_trees_agree_with_the_reference, .init = setup) {
  struct rng rng = rng_seed();
  struct model *m = malloc(sizeof(*m));
  size_t programs = 0;
  for (int i = 0; i < 600; i++) {
    make_random(m, &rng, 4, MAX_WORDS / 2);
    programs += (m->type->kind & MGC_KIND_GCPROG) != 0;
    check_type(m, &rng);
  }
  cr_assert_gt(programs, 50, "only %zu programs", programs);
  type_registry_verify(&fix.reg);
  free(m);
}

Test(mask, every_small_size_and_phase_tiles, .init = setup) {
  struct rng rng = rng_seed();
  struct model *m = malloc(sizeof(*m));
  for (size_t nwords = 1; nwords <= 130; nwords++) {
    make_random_mask(m, &rng, nwords, 40);
    check_type(m, &rng);
  }
  free(m);
}

static void *counted_alloc(void *arg, size_t n) {
  ++*(int *)arg;
  return calloc(1, n);
}
static void *no_alloc(void *arg, size_t n) {
  (void)arg;
  (void)n;
  return NULL;
}

Test(mask, built_on_demand_once_and_equal, .init = setup) {
  struct rng rng = rng_seed();
  struct model elem, *m = malloc(sizeof(*m));
  make_random_mask(&elem, &rng, 37, 50);
  make_array(m, &elem, 50);
  cr_assert(m->type->tflag & MGC_TFLAG_GCMASK_ONDEMAND);
  cr_assert_null(type_mask_build(m->type, no_alloc, NULL));
  int calls = 0;
  const uint64_t *mask = type_mask_build(m->type, counted_alloc, &calls);
  cr_assert_not_null(mask);
  cr_assert_eq(type_mask_build(m->type, counted_alloc, &calls), mask);
  cr_assert_eq(calls, 1);
  cr_assert_eq(type_prog(m->type)->mask, mask);
  for (size_t w = 0; w < m->nwords; w++)
    if (w < m->type->ptrdata / 8)
      cr_assert_eq(mask[w / 64] >> w % 64 & 1, (uint64_t)bit(m, w));
  check_type(m, &rng);
  free(type_prog(m->type)->mask);
  free(m);
}

Test(mask, too_large_a_mask_is_not_built, .init = setup) {
  const struct mgc_type *big =
      type_array(&fix.reg, &mgc_type_string, TYPE_MASK_MAX_WORDS, &error);
  int calls = 0;
  cr_assert_null(type_mask_build(big, counted_alloc, &calls));
  cr_assert_null(type_mask_build(&type_bytes, counted_alloc, &calls));
  cr_assert_eq(calls, 0);
}

Test(mask, array_type_of_1_gib_costs_bytes_and_answers_anywhere,
     .init = setup) {
  struct rng rng = rng_seed();
  uint8_t bits = 0x16; /* words 1, 2, 4 of 5 */
  const struct mgc_type *elem =
      type_make(&fix.reg, "five", 40, 8, &bits, 5, &error);
  size_t n = ((size_t)1 << 30) / 40;
  uint64_t before = memstat_load(&fix.stat);
  const struct mgc_type *t = type_array(&fix.reg, elem, n, &error);
  cr_assert_lt(memstat_load(&fix.stat) - before, 500);
  cr_assert_eq(t->size, n * 40);
  cr_assert_eq(t->ptrdata, n * 40);
  for (int round = 0; round < 2000; round++) {
    size_t i = rng_below(&rng, n * 5 / 64);
    uint64_t want = 0;
    for (size_t b = 0; b < 64; b++)
      want |= (uint64_t)(bits >> (i * 64 + b) % 5 & 1) << b;
    cr_assert_eq(type_mask_word(t, i), want);
  }
  /* The last element alone, by a sub-range. */
  struct typepointers it;
  typepointers_init(&it, t, (n - 1) * 40, n * 40);
  cr_assert_eq(typepointers_next(&it), (n - 1) * 40 + 8);
  cr_assert_eq(typepointers_next(&it), (n - 1) * 40 + 16);
  cr_assert_eq(typepointers_next(&it), (n - 1) * 40 + 32);
  cr_assert_eq(typepointers_next(&it), TYPEPOINTERS_END);
}

Test(mask, long_tail_without_pointers_is_passed_over, .init = setup) {
  uint8_t bits = 1;
  size_t size = (size_t)1 << 30;
  const struct mgc_type *t =
      type_make(&fix.reg, "tail", size, 8, &bits, 1, &error);
  struct typepointers it;
  typepointers_init(&it, t, 0, 4 * size);
  for (size_t i = 0; i < 4; i++) cr_assert_eq(typepointers_next(&it), i * size);
  cr_assert_eq(typepointers_next(&it), TYPEPOINTERS_END);
}

Test(mask, conservative_and_bytes_tile_over_any_size) {
  struct typepointers it;
  typepointers_init(&it, &type_conservative, 16, 16 + 8 * 200);
  for (size_t i = 0; i < 200; i++)
    cr_assert_eq(typepointers_next(&it), 16 + 8 * i);
  cr_assert_eq(typepointers_next(&it), TYPEPOINTERS_END);
  typepointers_init(&it, &type_bytes, 0, 8000);
  cr_assert_eq(typepointers_next(&it), TYPEPOINTERS_END);
}
