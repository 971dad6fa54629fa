// SPDX-License-Identifier: MIT
/* Interface values, boxing, and the itab cache. */
#include "support/rng.h"
#include "support/typefix.h"
#include "type/iface.h"
#include "type/itab.h"
#include <criterion/criterion.h>
#include <mallocgc/iface.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct circle {
  double r;
};
struct square {
  double side;
};
static double circle_area(const void *self) {
  const struct circle *c = self;
  return 3 * c->r * c->r;
}
static double square_area(const void *self) {
  const struct square *s = self;
  return s->side * s->side;
}
static int square_corners(const void *self) {
  (void)self;
  return 4;
}
MGC_TYPE(struct circle, MGC_METHODS((area, circle_area)));
MGC_TYPE(struct square,
         MGC_METHODS((corners, square_corners), (area, square_area)));

typedef struct mgc_iface shape;
typedef struct mgc_iface polygon;
MGC_INTERFACE(shape, area);
MGC_INTERFACE(polygon, area, corners);

static struct typefix fix;
static struct itab_cache cache;
static size_t allocated;

static void *counting_new(void *arg, const struct mgc_type *t) {
  (void)arg;
  allocated++;
  return calloc(1, t->size);
}

static void setup(void) {
  struct type_hooks hooks = {.newobject = counting_new};
  typefix_init(&fix, 0, &hooks);
  itab_init(&cache, &fix.memory, &fix.stat);
  fix.reg.itabs = &cache;
  allocated = 0;
}

static const struct mgc_type *own(const char *name) {
  enum type_found how;
  const struct mgc_type *t =
      type_lookup(type_registry_default(), name, 0, 0, &mgc_module_local, &how);
  cr_assert_eq(how, TYPE_FOUND, "%s", name);
  return t;
}

/* ---- itabs ---- */

Test(iface, interface_descriptor) {
  const struct mgc_type *t = own("polygon");
  cr_assert_eq(t->kind, MGC_KIND_INTERFACE);
  cr_assert_eq(t->size, 16);
  cr_assert_eq(*t->gcdata, 2);
  const struct mgc_interfacetail *tail = type_interfacetail(t);
  cr_assert_eq(tail->nmethods, 2);
  cr_assert_str_eq(tail->methods[0].name, "area");
  cr_assert_str_eq(tail->methods[1].name, "corners");
}

Test(iface, itab_has_methods_in_the_interfaces_order, .init = setup) {
  enum itab_answer answer;
  const struct mgc_itab *tab =
      itab_get(&cache, own("polygon"), own("struct square"), &answer);
  cr_assert_eq(answer, ITAB_FOUND);
  cr_assert_eq(tab->nfun, 2);
  cr_assert_eq(tab->fun[0], (void (*)(void))square_area);
  cr_assert_eq(tab->fun[1], (void (*)(void))square_corners);
  cr_assert_eq(tab->type, own("struct square"));
  cr_assert_eq(itab_get(&cache, own("polygon"), own("struct square"), &answer),
               tab);
  itab_verify(&cache);
}

Test(iface, missing_method_is_a_negative_entry, .init = setup) {
  enum itab_answer answer;
  const struct mgc_type *p = own("polygon"), *c = own("struct circle");
  cr_assert_null(itab_peek(&cache, p, c, &answer));
  cr_assert_eq(answer, ITAB_NOT_CACHED);
  cr_assert_null(itab_get(&cache, p, c, &answer));
  cr_assert_eq(answer, ITAB_MISSING);
  uint64_t bytes = memstat_load(&fix.stat);
  cr_assert_null(itab_peek(&cache, p, c, &answer));
  cr_assert_eq(answer, ITAB_MISSING);
  cr_assert_null(itab_get(&cache, p, c, &answer));
  cr_assert_eq(memstat_load(&fix.stat), bytes);
}

Test(iface, what_is_no_interface_has_no_itab, .init = setup) {
  enum itab_answer answer;
  cr_assert_null(
      itab_get(&cache, own("struct circle"), own("struct circle"), &answer));
  cr_assert_eq(answer, ITAB_MISSING);
  cr_assert_null(
      itab_get(&cache, &mgc_type_eface, own("struct circle"), &answer));
  cr_assert_eq(answer, ITAB_MISSING);
}

Test(iface, itab_without_memory_is_reported, .init = setup) {
  enum itab_answer answer;
  typefix_init(&fix, 1, NULL);
  itab_init(&cache, &fix.memory, NULL);
  cr_assert_null(itab_get(&cache, own("shape"), own("struct circle"), &answer));
  cr_assert_eq(answer, ITAB_NO_MEMORY);
  itab_init(&cache, NULL, NULL);
  cr_assert_null(itab_get(&cache, own("shape"), own("struct circle"), &answer));
  cr_assert_eq(answer, ITAB_NO_MEMORY);
}

/* Interface types enough to grow the table several times. */
#define MANY 2000
static const struct mgc_type *inters[MANY];

static void make_interfaces(size_t n) {
  int error;
  for (size_t i = 0; i < n; i++) {
    char name[32];
    snprintf(name, sizeof(name), "inter%zu", i);
    const struct mgc_imethod area = {"area"}, corners = {"corners"};
    inters[i] =
        type_interface(&fix.reg, name, i % 3 ? &area : &corners, 1, &error);
    cr_assert_not_null(inters[i]);
  }
}

static bool want_itab(size_t i, bool is_square) { return i % 3 || is_square; }

Test(iface, table_grows_and_keeps_all_pairs, .init = setup) {
  const struct mgc_type *types[] = {own("struct circle"), own("struct square")};
  enum itab_answer answer;
  make_interfaces(MANY);
  for (int round = 0; round < 2; round++)
    for (size_t i = 0; i < MANY; i++)
      for (size_t k = 0; k < 2; k++) {
        const struct mgc_itab *tab =
            round == 0 ? itab_get(&cache, inters[i], types[k], &answer)
                       : itab_peek(&cache, inters[i], types[k], &answer);
        cr_assert_eq(tab != NULL, want_itab(i, k == 1));
      }
  struct itab_table *t = atomic_ptr_load_relaxed(&cache.table);
  cr_assert_eq(t->count, 2 * MANY);
  cr_assert_eq(t->capacity, 8192);
  itab_verify(&cache);
}

Test(iface, closing_a_module_forgets_its_pairs, .init = setup) {
  enum itab_answer answer;
  const struct mgc_type *s = own("shape"), *c = own("struct circle"),
                        *q = own("struct square");
  itab_get(&cache, s, c, &answer);
  itab_get(&cache, s, q, &answer);
  itab_forget(&cache, (const char *)c, (const char *)c + 1);
  cr_assert_null(itab_peek(&cache, s, c, &answer));
  cr_assert_eq(answer, ITAB_NOT_CACHED);
  cr_assert_not_null(itab_peek(&cache, s, q, &answer));
  itab_forget(&cache, (const char *)s, (const char *)s + 1);
  cr_assert_null(itab_peek(&cache, s, q, &answer));
  itab_verify(&cache);
}

struct asker {
  pthread_t thread;
  uint64_t seed;
};

static void *ask(void *arg) {
  struct rng rng = rng_from(((struct asker *)arg)->seed);
  const struct mgc_type *types[] = {own("struct circle"), own("struct square")};
  for (int round = 0; round < 20000; round++) {
    size_t i = rng_below(&rng, MANY), k = rng_below(&rng, 2);
    enum itab_answer answer;
    const struct mgc_itab *tab =
        itab_peek(&cache, inters[i], types[k], &answer);
    if (!tab && answer == ITAB_NOT_CACHED)
      tab = itab_get(&cache, inters[i], types[k], &answer);
    cr_assert_eq(tab != NULL, want_itab(i, k == 1));
    if (!tab) continue;
    cr_assert_eq(tab->inter, inters[i]);
    cr_assert_eq(tab->type, types[k]);
    cr_assert_eq(tab->nfun, 1);
    cr_assert_not_null(tab->fun[0]);
  }
  return NULL;
}

Test(iface, four_threads_agree_while_the_table_grows, .init = setup) {
  struct asker askers[4];
  struct rng rng = rng_seed();
  make_interfaces(MANY);
  for (size_t i = 0; i < 4; i++) {
    askers[i].seed = rng_u64(&rng);
    pthread_create(&askers[i].thread, NULL, ask, &askers[i]);
  }
  for (size_t i = 0; i < 4; i++) pthread_join(askers[i].thread, NULL);
  itab_verify(&cache);
}

/* ---- boxing ---- */

Test(iface, small_integers_are_not_allocated, .init = setup) {
  void *data, *again;
  for (uint32_t i = 0; i < 256; i++) {
    uint8_t b = (uint8_t)i;
    uint16_t h = (uint16_t)i;
    int64_t q = i;
    cr_assert(iface_box(&fix.reg, &mgc_type_uint8, &b, &data));
    cr_assert_eq(*(uint8_t *)data, b);
    cr_assert(iface_box(&fix.reg, &mgc_type_uint16, &h, &data));
    cr_assert_eq(*(uint16_t *)data, h);
    cr_assert(iface_box(&fix.reg, &mgc_type_int32, &i, &data));
    cr_assert_eq(*(uint32_t *)data, i);
    cr_assert(iface_box(&fix.reg, &mgc_type_int64, &q, &data));
    cr_assert_eq(*(int64_t *)data, q);
    cr_assert(iface_box(&fix.reg, &mgc_type_int64, &q, &again));
    cr_assert_eq(data, again);
  }
  cr_assert_eq(allocated, 0);
}

Test(iface, zero_values_are_not_allocated, .init = setup) {
  static const char zeros[2048];
  int error;
  void *data;
  struct mgc_string empty = {0};
  double d = 0;
  const struct mgc_type *edge =
      type_array(&fix.reg, &mgc_type_uint8, IFACE_ZERO_BYTES, &error);
  const struct mgc_type *over =
      type_array(&fix.reg, &mgc_type_uint8, IFACE_ZERO_BYTES + 1, &error);
  cr_assert(iface_box(&fix.reg, &mgc_type_string, &empty, &data));
  cr_assert(iface_box(&fix.reg, &mgc_type_float64, &d, &data));
  cr_assert(iface_box(&fix.reg, edge, zeros, &data));
  cr_assert_eq(allocated, 0);
  cr_assert(iface_box(&fix.reg, over, zeros, &data));
  cr_assert_eq(allocated, 1);
  free(data);
}

Test(iface, other_values_are_copied_to_the_heap, .init = setup) {
  int32_t i = 256, j = -1;
  void *data;
  cr_assert(iface_box(&fix.reg, &mgc_type_int32, &i, &data));
  cr_assert_eq(allocated, 1);
  cr_assert_neq(data, &i);
  cr_assert_eq(*(int32_t *)data, 256);
  free(data);
  cr_assert(iface_box(&fix.reg, &mgc_type_int32, &j, &data));
  cr_assert_eq(*(int32_t *)data, -1);
  free(data);
  fix.reg.hooks.newobject = NULL;
  cr_assert_not(iface_box(&fix.reg, &mgc_type_int32, &i, &data));
}

Test(iface, pointers_stand_in_the_word_itself, .init = setup) {
  int x;
  void *p = &x, *data;
  cr_assert(iface_box(&fix.reg, &mgc_type_unsafe_pointer, &p, &data));
  cr_assert_eq(data, p);
  cr_assert_eq(allocated, 0);
}

/* ---- through the public face, on the real heap ---- */

Test(iface, public_face_makes_calls_compares_and_hashes) {
  struct circle c = {2};
  struct square s = {3};
  shape a, b;
  cr_assert(mgc_make_iface(&a, own("shape"), own("struct circle"), &c));
  cr_assert(mgc_make_iface(&b, own("shape"), own("struct square"), &s));
  double (*area)(const void *) = (double (*)(const void *))a.tab->fun[0];
  cr_assert_eq(area(mgc_iface_self(&a)), 12);
  area = (double (*)(const void *))b.tab->fun[0];
  cr_assert_eq(area(mgc_iface_self(&b)), 9);
  cr_assert_not(mgc_make_iface(&b, own("polygon"), own("struct circle"), &c));
  cr_assert_null(b.tab);

  struct mgc_eface x, y, z;
  int64_t n = 1000, m = 1000;
  double d = 1000;
  uint64_t hx, hy;
  cr_assert(mgc_make_eface(&x, &mgc_type_int64, &n));
  cr_assert(mgc_make_eface(&y, &mgc_type_int64, &m));
  cr_assert(mgc_make_eface(&z, &mgc_type_float64, &d));
  cr_assert_neq(x.data, y.data);
  cr_assert_eq(mgc_eface_equal(&x, &y), MGC_EQUAL);
  cr_assert_eq(mgc_eface_equal(&x, &z), MGC_NOT_EQUAL);
  cr_assert(mgc_eface_hash(&x, 5, &hx));
  cr_assert(mgc_eface_hash(&y, 5, &hy));
  cr_assert_eq(hx, hy);
  cr_assert_eq(mgc_eface_equal(&(struct mgc_eface){0}, &(struct mgc_eface){0}),
               MGC_EQUAL);
  cr_assert_eq(mgc_iface_equal(&a, &a), MGC_NOT_COMPARABLE);
}

Test(iface, public_face_resolves_slots_once) {
  const struct mgc_type *first = NULL;
  for (int i = 0; i < 3; i++) {
    const struct mgc_type *t = mgc_typeof(struct circle);
    cr_assert_eq(t, own("struct circle"));
    if (first) cr_assert_eq(t, first);
    first = t;
  }
  struct unheard_of {
    void *p;
  };
  cr_assert_eq(mgc_typeof(struct unheard_of), &mgc_type_conservative);
  cr_assert_eq(mgc_typeof(int), &mgc_type_int32);
}
