// SPDX-License-Identifier: MIT
/* Hash and equality of every kind (Go: alg.go and its tests). */
#include "mallocgc/iface.h"
#include "support/rng.h"
#include "support/typefix.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static struct typefix fix;
static int error;

static void setup(void) { typefix_init(&fix, 0, NULL); }

static uint64_t hash_of(const struct mgc_type *t, const void *p,
                        uint64_t seed) {
  uint64_t h;
  cr_assert(type_hash(&fix.reg, t, p, seed, &h), "%s", mgc_type_name(t));
  return h;
}

static bool equal(const struct mgc_type *t, const void *p, const void *q) {
  enum mgc_equality e = type_equal_values(t, p, q);
  cr_assert_neq(e, MGC_NOT_COMPARABLE, "%s", mgc_type_name(t));
  return e == MGC_EQUAL;
}

/* Equal values: equal and hashed alike under each seed, which matters. */
static void check_equal(const struct mgc_type *t, const void *p,
                        const void *q) {
  cr_assert(equal(t, p, q), "%s", mgc_type_name(t));
  cr_assert_eq(hash_of(t, p, 1), hash_of(t, q, 1));
  cr_assert_eq(hash_of(t, p, 99), hash_of(t, q, 99));
  cr_assert_neq(hash_of(t, p, 1), hash_of(t, p, 99));
}
static void check_differ(const struct mgc_type *t, const void *p,
                         const void *q) {
  cr_assert_not(equal(t, p, q), "%s", mgc_type_name(t));
  cr_assert_neq(hash_of(t, p, 1), hash_of(t, q, 1));
}

Test(typealg, memory_kinds_compare_all_their_bytes, .init = setup) {
  struct rng rng = rng_seed();
  static const enum mgc_basic kinds[] = {
      MGC_BASIC_BOOL,   MGC_BASIC_INT,
      MGC_BASIC_INT8,   MGC_BASIC_INT16,
      MGC_BASIC_INT32,  MGC_BASIC_INT64,
      MGC_BASIC_UINT,   MGC_BASIC_UINT8,
      MGC_BASIC_UINT16, MGC_BASIC_UINT32,
      MGC_BASIC_UINT64, MGC_BASIC_UINTPTR,
      MGC_BASIC_CHAN,   MGC_BASIC_UNSAFE_POINTER,
  };
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    const struct mgc_type *t = mgc_basic_types[kinds[i]];
    char a[16], b[16];
    uint64_t v = rng_u64(&rng);
    memcpy(a, &v, 8);
    memcpy(b, &v, 8);
    a[t->size] = 1;
    b[t->size] = 2;
    check_equal(t, a, b);
    b[rng_below(&rng, t->size)] ^= 4;
    check_differ(t, a, b);
  }
}

Test(typealg, zeros_of_both_signs_are_one_value, .init = setup) {
  float fp = 0.0f, fn = -0.0f, fx = 1.5f;
  double dp = 0.0, dn = -0.0, dx = 1.5;
  float cp[2] = {0, -0.0f}, cn[2] = {-0.0f, 0}, cx[2] = {0, 1};
  double zp[2] = {0, -0.0}, zn[2] = {-0.0, 0}, zx[2] = {1, 0};
  check_equal(&mgc_type_float32, &fp, &fn);
  check_equal(&mgc_type_float64, &dp, &dn);
  check_equal(&mgc_type_complex64, cp, cn);
  check_equal(&mgc_type_complex128, zp, zn);
  check_differ(&mgc_type_float32, &fp, &fx);
  check_differ(&mgc_type_float64, &dp, &dx);
  check_differ(&mgc_type_complex64, cp, cx);
  check_differ(&mgc_type_complex128, zp, zx);
}

Test(typealg, nan_equals_nothing_and_hashes_differently_each_time,
     .init = setup) {
  float f = NAN;
  double d = NAN, z[2] = {1, NAN};
  const struct {
    const struct mgc_type *t;
    const void *p;
  } nans[] = {{&mgc_type_float32, &f},
              {&mgc_type_float64, &d},
              {&mgc_type_complex128, z}};
  for (size_t i = 0; i < 3; i++) {
    cr_assert_not(equal(nans[i].t, nans[i].p, nans[i].p));
    uint64_t h[50];
    for (size_t j = 0; j < 50; j++) {
      h[j] = hash_of(nans[i].t, nans[i].p, 7);
      for (size_t k = 0; k < j; k++) cr_assert_neq(h[j], h[k]);
    }
  }
}

Test(typealg, strings_compare_what_they_point_to, .init = setup) {
  char x[] = "hello", y[] = "hello!";
  struct mgc_string a = {x, 5}, b = {y, 5}, c = {y, 6}, empty = {x, 0},
                    null = {NULL, 0};
  check_equal(&mgc_type_string, &a, &b);
  check_differ(&mgc_type_string, &a, &c);
  check_equal(&mgc_type_string, &empty, &null);
  y[0] = 'H';
  check_differ(&mgc_type_string, &a, &b);
}

Test(typealg, interfaces_compare_by_dynamic_type_and_value, .init = setup) {
  int32_t i = 7, j = 7, k = 8;
  uint32_t u = 7;
  struct mgc_eface nil = {0}, a = {&mgc_type_int32, &i},
                   b = {&mgc_type_int32, &j}, c = {&mgc_type_int32, &k},
                   d = {&mgc_type_uint32, &u};
  const struct mgc_type *t = &mgc_type_eface;
  check_equal(t, &nil, &nil);
  check_equal(t, &a, &b);
  check_differ(t, &a, &c);
  check_differ(t, &a, &nil);
  cr_assert_not(equal(t, &a, &d));
  /* A direct value stands in the word itself. */
  struct mgc_eface p = {&mgc_type_unsafe_pointer, &i},
                   q = {&mgc_type_unsafe_pointer, &i},
                   r = {&mgc_type_unsafe_pointer, &j};
  check_equal(t, &p, &q);
  check_differ(t, &p, &r);
  /* An interface in an interface. */
  struct mgc_eface out = {&mgc_type_eface, &a}, out2 = {&mgc_type_eface, &b};
  check_equal(t, &out, &out2);
}

struct pair {
  int32_t n; /* four bytes of padding behind */
  double d;
  struct mgc_string s;
};
static const struct mgc_type *pair_type(void) {
  const struct mgc_structfield f[] = {
      {"n", &mgc_type_int32, offsetof(struct pair, n)},
      {"d", &mgc_type_float64, offsetof(struct pair, d)},
      {"s", &mgc_type_string, offsetof(struct pair, s)},
  };
  const struct mgc_type *t = type_struct(&fix.reg, "struct pair",
                                         sizeof(struct pair), 8, f, 3, &error);
  cr_assert_not_null(t);
  return t;
}

Test(typealg, structs_compare_by_field_and_not_padding, .init = setup) {
  const struct mgc_type *t = pair_type();
  char x[] = "key", y[] = "key";
  struct pair a, b;
  memset(&a, 0xAA, sizeof(a));
  memset(&b, 0x55, sizeof(b));
  a.n = b.n = 3;
  a.d = 0.0;
  b.d = -0.0;
  a.s = (struct mgc_string){x, 3};
  b.s = (struct mgc_string){y, 3};
  check_equal(t, &a, &b);
  b.d = 2;
  check_differ(t, &a, &b);
  b.d = 0;
  b.n = 4;
  check_differ(t, &a, &b);
}

Test(typealg, arrays_compare_by_element, .init = setup) {
  const struct mgc_type *t = type_array(&fix.reg, &mgc_type_float64, 4, &error);
  double a[4] = {1, 0, 3, 4}, b[4] = {1, -0.0, 3, 4}, c[4] = {1, 0, 3, 5};
  check_equal(t, a, b);
  check_differ(t, a, c);
  const struct mgc_type *r = type_array(&fix.reg, &mgc_type_int32, 4, &error);
  cr_assert(r->tflag & MGC_TFLAG_REGULAR_MEMORY);
  int32_t x[4] = {1, 2, 3, 4}, y[4] = {1, 2, 3, 4};
  check_equal(r, x, y);
  y[3]++;
  check_differ(r, x, y);
}

Test(typealg, adjoining_regular_fields_are_regular_memory, .init = setup) {
  const struct mgc_structfield whole[] = {{"a", &mgc_type_int32, 0},
                                          {"b", &mgc_type_int32, 4}};
  const struct mgc_structfield padded[] = {{"a", &mgc_type_int16, 0},
                                           {"b", &mgc_type_int32, 4}};
  cr_assert(type_struct(&fix.reg, "w", 8, 4, whole, 2, &error)->tflag &
            MGC_TFLAG_REGULAR_MEMORY);
  cr_assert_not(type_struct(&fix.reg, "p", 8, 4, padded, 2, &error)->tflag &
                MGC_TFLAG_REGULAR_MEMORY);
}

Test(typealg, unhashable_kinds_are_refused, .init = setup) {
  uint64_t word[4] = {0}, h = 5;
  uint8_t none = 0;
  const struct mgc_type *opaque =
      type_make(&fix.reg, "opaque", 16, 8, &none, 0, &error);
  const struct mgc_structfield f[] = {
      {"ok", &mgc_type_int64, 0}, {"fn", mgc_basic_types[MGC_BASIC_FUNC], 8}};
  const struct mgc_type *holder =
      type_struct(&fix.reg, "holder", 16, 8, f, 2, &error);
  const struct mgc_type *refused[] = {
      mgc_basic_types[MGC_BASIC_FUNC], mgc_basic_types[MGC_BASIC_MAP], opaque,
      holder, type_array(&fix.reg, mgc_basic_types[MGC_BASIC_MAP], 2, &error)};
  for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
    h = 5;
    cr_assert_not(type_hash(&fix.reg, refused[i], word, 1, &h), "%zu", i);
    cr_assert_eq(h, 0);
    cr_assert_eq(type_equal_values(refused[i], word, word), MGC_NOT_COMPARABLE);
  }
  /* Inside an interface too, as Go's panic says at run time. */
  struct mgc_eface e = {opaque, word};
  cr_assert_not(type_hash(&fix.reg, &mgc_type_eface, &e, 1, &h));
  cr_assert_eq(type_equal_values(&mgc_type_eface, &e, &e), MGC_NOT_COMPARABLE);
  /* A slice, whose descriptor only a program makes. */
  struct {
    struct mgc_type t;
    struct mgc_elemtail tail;
  } slice = {.t = {.size = 24, .align = 8, .kind = MGC_KIND_SLICE}};
  cr_assert_not(type_hash(&fix.reg, &slice.t, word, 1, &h));
}

/* One bit of the input changes about half of the hash's bits. */
Test(typealg, hash_spreads_single_bits, .init = setup) {
  struct rng rng = rng_seed();
  size_t flips = 0, n = 0;
  for (int round = 0; round < 50; round++) {
    uint64_t v = rng_u64(&rng);
    uint64_t h = hash_of(&mgc_type_uint64, &v, 3);
    for (int i = 0; i < 64; i++, n++) {
      uint64_t w = v ^ 1ull << i;
      flips +=
          (size_t)__builtin_popcountll(h ^ hash_of(&mgc_type_uint64, &w, 3));
    }
  }
  double mean = (double)flips / (double)n;
  cr_assert(mean > 31 && mean < 33, "mean %f", mean);
}
