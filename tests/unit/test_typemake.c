// SPDX-License-Identifier: MIT
/* Types made at run time. */
#include "support/typefix.h"
#include "type/ptrmask.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct typefix fix;
static int error;

static void setup(void) {
  typefix_init(&fix, 0, NULL);
  error = 0;
}

Test(typemake, mask_gives_ptrdata_and_hash, .init = setup) {
  uint8_t mask[] = {0x15, 0xff};
  const struct mgc_type *t =
      type_make(&fix.reg, "three", 64, 8, mask, 5, &error);
  cr_assert_eq(t->size, 64);
  cr_assert_eq(t->ptrdata, 40);
  cr_assert_eq(type_small_mask(t), 0x15);
  cr_assert_str_eq(mgc_type_name(t), "three");
  cr_assert_eq(t->hash, MGC_TYPE_HASH(64, 40, 8, MGC_KIND_STRUCT, 5));
}

Test(typemake, equal_arguments_give_one_descriptor, .init = setup) {
  uint8_t mask[] = {0x15};
  const struct mgc_type *t =
      type_make(&fix.reg, "three", 64, 8, mask, 5, &error);
  uint64_t bytes = memstat_load(&fix.stat);
  for (int i = 0; i < 100; i++)
    cr_assert_eq(type_make(&fix.reg, "three", 64, 8, mask, 5, &error), t);
  /* One block waits for the next use; no more. */
  cr_assert_lt(memstat_load(&fix.stat) - bytes, 200);
  mask[0] = 0x11;
  cr_assert_neq(type_make(&fix.reg, "three", 64, 8, mask, 5, &error), t);
  mask[0] = 0x15;
  cr_assert_neq(type_make(&fix.reg, "four", 64, 8, mask, 5, &error), t);
  cr_assert_neq(type_make(&fix.reg, "three", 72, 8, mask, 5, &error), t);
  const struct mgc_type *s = &mgc_type_string;
  cr_assert_eq(type_array(&fix.reg, s, 9, &error),
               type_array(&fix.reg, s, 9, &error));
  cr_assert_neq(type_array(&fix.reg, s, 9, &error),
                type_array(&fix.reg, s, 10, &error));
  cr_assert_eq(type_pointer(&fix.reg, s, &error),
               type_pointer(&fix.reg, s, &error));
  type_registry_verify(&fix.reg);
}

Test(typemake, bad_layouts_are_refused, .init = setup) {
  uint8_t mask[] = {0xff, 0xff};
  char name[1200];
  memset(name, 'n', sizeof(name) - 1);
  name[sizeof(name) - 1] = 0;
  const struct {
    const char *name;
    size_t size, align, nwords;
  } bad[] = {
      {"x", 16, 3, 0}, /* not a power of two */
      {"x", 16, 0, 0},
      {"x", 256, 256, 0},
      {"x", 12, 8, 0}, /* no multiple of its alignment */
      {"x", 16, 8, 3}, /* mask beyond the size */
      {"x", 16, 4, 1}, /* pointers under-aligned */
      {"x", SIZE_MAX & ~(size_t)7, 8, 0},
      {name, 16, 8, 0},
  };
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    error = 0;
    cr_assert_null(type_make(&fix.reg, bad[i].name, bad[i].size, bad[i].align,
                             mask, bad[i].nwords, &error),
                   "%zu", i);
    cr_assert_eq(error, EINVAL, "%zu", i);
  }
}

Test(typemake, no_memory_is_reported, .init = setup) {
  typefix_init(&fix, 1, NULL);
  uint8_t mask = 1;
  cr_assert_null(type_make(&fix.reg, "x", 16, 8, &mask, 1, &error));
  cr_assert_eq(error, ENOMEM);
  error = 0;
  cr_assert_null(type_array(&fix.reg, &mgc_type_int32, 4, &error));
  cr_assert_eq(error, ENOMEM);
  error = 0;
  cr_assert_null(type_pointer(&fix.reg, &mgc_type_int32, &error));
  cr_assert_eq(error, ENOMEM);
  error = 0;
  cr_assert_null(type_struct(&fix.reg, "x", 8, 8, NULL, 0, &error));
  cr_assert_eq(error, ENOMEM);
}

Test(typemake, every_failing_allocation_leaves_a_good_registry) {
  for (uint64_t fail = 1; fail < 6; fail++) {
    typefix_init(&fix, fail, NULL);
    char name[700];
    for (int i = 0; i < 800; i++) {
      memset(name, 'a', sizeof(name));
      snprintf(name, sizeof(name), "%0*d", 600, i);
      uint8_t mask = 3;
      error = 0;
      const struct mgc_type *t =
          type_make(&fix.reg, name, 16, 8, &mask, 2, &error);
      cr_assert_eq(error, t ? 0 : ENOMEM);
    }
    type_registry_verify(&fix.reg);
  }
}

Test(typemake, array_overflow_is_refused, .init = setup) {
  cr_assert_null(type_array(&fix.reg, &mgc_type_string, SIZE_MAX / 8, &error));
  cr_assert_eq(error, ENOMEM);
  cr_assert_null(
      type_array(&fix.reg, &mgc_type_int8, (size_t)PTRDIFF_MAX + 1, &error));
}

Test(typemake, arrays_of_nothing_and_of_no_pointers, .init = setup) {
  const struct mgc_type *none =
      type_array(&fix.reg, &mgc_type_string, 0, &error);
  const struct mgc_type *ints =
      type_array(&fix.reg, &mgc_type_int32, 1000, &error);
  cr_assert_eq(none->size, 0);
  cr_assert_eq(none->ptrdata, 0);
  cr_assert_eq(ints->size, 4000);
  cr_assert_eq(ints->ptrdata, 0);
  cr_assert_null(ints->gcdata);
  cr_assert_eq(ints->kind, MGC_KIND_ARRAY);
  cr_assert_eq(mgc_type_elem(ints), &mgc_type_int32);
  cr_assert_str_eq(mgc_type_name(ints), "int32_t[1000]");
}

Test(typemake, pointer_type_is_the_elements_own_when_it_has_one,
     .init = setup) {
  const struct mgc_type *s = &mgc_type_string;
  const struct mgc_type *p = type_pointer(&fix.reg, s, &error);
  cr_assert_eq(p->kind, MGC_KIND_POINTER);
  cr_assert_eq(mgc_type_elem(p), s);
  cr_assert_str_eq(mgc_type_name(p), "*struct mgc_string");
  const struct mgc_type *pp = type_pointer(&fix.reg, p, &error);
  cr_assert_str_eq(mgc_type_name(pp), "**struct mgc_string");
  cr_assert_neq(p, pp);
}

Test(typemake, struct_fields_are_checked, .init = setup) {
  const struct mgc_structfield late = {"x", &mgc_type_string, 8},
                               skew = {"x", &mgc_type_int32, 2},
                               wide = {"x", &mgc_type_string, 0},
                               none = {"x", NULL, 0};
  cr_assert_null(type_struct(&fix.reg, "s", 16, 8, &late, 1, &error));
  cr_assert_eq(error, EINVAL);
  cr_assert_null(type_struct(&fix.reg, "s", 16, 8, &skew, 1, &error));
  cr_assert_null(type_struct(&fix.reg, "s", 8, 8, &wide, 1, &error));
  cr_assert_null(type_struct(&fix.reg, "s", 16, 4, &wide, 1, &error));
  cr_assert_null(type_struct(&fix.reg, "s", 16, 8, &none, 1, &error));
}

Test(typemake, struct_of_one_pointer_is_direct, .init = setup) {
  const struct mgc_structfield f = {"p", &mgc_type_unsafe_pointer, 0};
  const struct mgc_type *t = type_struct(&fix.reg, "s", 8, 8, &f, 1, &error);
  cr_assert(t->tflag & MGC_TFLAG_DIRECT_IFACE);
  size_t n;
  const struct mgc_field *fields = mgc_type_fields(t, &n);
  cr_assert_eq(n, 1);
  cr_assert_str_eq(mgc_field_name(&fields[0]), "p");
  cr_assert_eq(fields[0].type, &mgc_type_unsafe_pointer);
}

Test(typemake, interned_copy_of_a_program_scans_alike, .init = setup) {
  struct typefix other;
  typefix_init(&other, 0, NULL);
  const struct mgc_structfield f[] = {
      {"head", &mgc_type_string, 0},
      {"names", type_array(&other.reg, &mgc_type_string, 100, &error), 16},
  };
  const struct mgc_type *t =
      type_struct(&other.reg, "big", 1616, 8, f, 2, &error);
  const struct mgc_type *c = type_intern(&fix.reg, t);
  cr_assert_neq(c, t);
  cr_assert(mgc_type_equal(c, t));
  cr_assert(c->kind & MGC_KIND_GCPROG);
  for (size_t i = 0; i < 5; i++)
    cr_assert_eq(type_mask_word(c, i), type_mask_word(t, i));
  size_t n;
  const struct mgc_field *fields = mgc_type_fields(c, &n);
  cr_assert_str_eq(mgc_field_name(&fields[0]), "head");
  cr_assert_str_eq(mgc_field_name(&fields[1 + fields[0].nsub]), "names");
  cr_assert_eq(type_intern(&fix.reg, t), c);
  cr_assert_eq(type_intern(&fix.reg, c), c);
  type_registry_verify(&fix.reg);
}
