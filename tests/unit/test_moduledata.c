// SPDX-License-Identifier: MIT
/* Modules come and go; types are found by name, compared and interned. */
#include "support/rng.h"
#include "support/typefix.h"
#include "type/itab.h"
#include "type/name.h"
#include "type/ptrmask.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* A module of descriptors made at run time: each stands alone, with its name and
 * mask behind, in an array that the module's bounds enclose. */
#define MODULE_TYPES 64
struct raw {
  struct mgc_type t;
  struct mgc_structtail tail;
};
struct module {
  struct mgc_moduledata data;
  struct raw types[MODULE_TYPES];
  char names[MODULE_TYPES * 40];
  uint64_t masks[MODULE_TYPES];
  char *at;
  size_t n;
};

static void module_start(struct module *m) {
  memset(m, 0, sizeof(*m));
  m->at = m->names;
  m->data = typefix_module(m->types, m->types);
}

static struct mgc_type *module_add(struct module *m, const char *name,
                                   size_t size, uint64_t mask) {
  struct mgc_type *t = &m->types[m->n].t;
  m->masks[m->n] = mask;
  size_t words = 64 - (size_t)__builtin_clzll(mask | 1) - (mask == 0);
  *t = (struct mgc_type){.size = size,
                         .ptrdata = mask ? (words + (mask == 0)) * 8 : 0,
                         .align = 8,
                         .field_align = 8,
                         .kind = MGC_KIND_STRUCT,
                         .tflag = MGC_TFLAG_NAMED | MGC_TFLAG_EXTRA_STAR,
                         .gcdata = mask ? (void *)&m->masks[m->n] : NULL};
  m->at =
      name_write(m->at, '*', (struct type_name){name, strlen(name)}, &t->str);
  m->n++;
  m->data.etypes = (const char *)&m->types[m->n];
  return t;
}

static struct typefix fix;
static struct module a, b;

static void setup(void) {
  typefix_init(&fix, 0, NULL);
  module_start(&a);
  module_start(&b);
}

static enum type_found look(const char *name, size_t size,
                            const struct module *from,
                            const struct mgc_type **t) {
  enum type_found how;
  *t = type_lookup(&fix.reg, name, size, 0, from ? &from->data : NULL, &how);
  cr_assert((how == TYPE_FOUND) == (*t != &type_conservative));
  return how;
}

Test(moduledata, unknown_name_is_conservative, .init = setup) {
  const struct mgc_type *t;
  cr_assert_eq(look("struct nothing", 8, NULL, &t), TYPE_UNKNOWN);
  cr_assert_eq(look("", 8, NULL, &t), TYPE_UNKNOWN);
  char name[2000];
  memset(name, 'x', sizeof(name) - 1);
  name[sizeof(name) - 1] = 0;
  cr_assert_eq(look(name, 8, NULL, &t), TYPE_UNKNOWN);
  cr_assert_null(type_find(&fix.reg, "struct nothing"));
}

Test(moduledata, own_module_gives_its_descriptor, .init = setup) {
  struct mgc_type *want = module_add(&a, "struct x", 32, 5);
  const struct mgc_type *t;
  type_register(&fix.reg, &a.data);
  type_registry_verify(&fix.reg);
  cr_assert_eq(look("struct x", 32, &a, &t), TYPE_FOUND);
  cr_assert_eq(t, want);
  cr_assert_eq(type_find(&fix.reg, "struct  x"), want);
}

Test(moduledata, registering_twice_is_once, .init = setup) {
  module_add(&a, "struct x", 32, 5);
  type_register(&fix.reg, &a.data);
  type_register(&fix.reg, &a.data);
  cr_assert_null(a.data.next);
  cr_assert(type_unregister(&fix.reg, &a.data));
  cr_assert_not(type_unregister(&fix.reg, &a.data));
  cr_assert_null(fix.reg.modules);
}

Test(moduledata, another_version_is_left_out, .init = setup) {
  const struct mgc_type *t;
  module_add(&a, "struct x", 32, 5);
  a.data.version = MGC_TYPE_VERSION + 1;
  type_register(&fix.reg, &a.data);
  cr_assert_eq(look("struct x", 32, &a, &t), TYPE_UNKNOWN);
}

Test(moduledata, another_modules_type_is_copied_and_survives_it,
     .init = setup) {
  struct mgc_type *original = module_add(&a, "struct x", 32, 5);
  const struct mgc_type *t, *again;
  type_register(&fix.reg, &a.data);
  cr_assert_eq(look("struct x", 32, &b, &t), TYPE_FOUND);
  cr_assert_neq(t, original);
  cr_assert(mgc_type_equal(t, original));
  cr_assert(type_unregister(&fix.reg, &a.data));
  memset(&a, 0xEE, sizeof(a)); /* as dlclose leaves it */
  cr_assert_str_eq(mgc_type_name(t), "struct x");
  cr_assert_eq(type_small_mask(t), 5);
  cr_assert_eq(look("struct x", 32, &b, &again), TYPE_UNKNOWN);
  type_registry_verify(&fix.reg);
}

Test(moduledata, a_permanent_modules_type_is_used_as_it_is, .init = setup) {
  struct mgc_type *original = module_add(&a, "struct x", 32, 5);
  const struct mgc_type *t;
  a.data.permanent = 1;
  type_register(&fix.reg, &a.data);
  cr_assert_eq(look("struct x", 32, &b, &t), TYPE_FOUND);
  cr_assert_eq(t, original);
  cr_assert_not(type_unregister(&fix.reg, &a.data));
}

Test(moduledata, equal_types_of_two_modules_are_one, .init = setup) {
  struct mgc_type *x = module_add(&a, "struct x", 32, 5);
  struct mgc_type *y = module_add(&b, "struct x", 32, 5);
  const struct mgc_type *t;
  type_register(&fix.reg, &a.data);
  type_register(&fix.reg, &b.data);
  cr_assert(mgc_type_equal(x, y));
  cr_assert_eq(look("struct x", 32, NULL, &t), TYPE_FOUND);
  cr_assert_eq(type_intern(&fix.reg, x), type_intern(&fix.reg, y));
  cr_assert_eq(look("struct x", 32, &b, &t), TYPE_FOUND);
  cr_assert_eq(t, y);
}

Test(moduledata, duplicates_in_one_module_are_harmless, .init = setup) {
  const struct mgc_type *t;
  struct mgc_type *first = module_add(&a, "struct x", 32, 5);
  module_add(&a, "struct x", 32, 5);
  module_add(&a, "struct x", 32, 5);
  type_register(&fix.reg, &a.data);
  cr_assert_eq(look("struct x", 32, &a, &t), TYPE_FOUND);
  cr_assert_eq(t, first);
  type_registry_verify(&fix.reg);
}

Test(moduledata, one_name_of_two_layouts_is_told_apart, .init = setup) {
  struct mgc_type *small = module_add(&a, "struct x", 16, 1);
  struct mgc_type *large = module_add(&a, "struct x", 32, 1);
  const struct mgc_type *t;
  type_register(&fix.reg, &a.data);
  cr_assert_eq(look("struct x", 16, &a, &t), TYPE_FOUND);
  cr_assert_eq(t, small);
  cr_assert_eq(look("struct x", 32, &a, &t), TYPE_FOUND);
  cr_assert_eq(t, large);
  cr_assert_eq(look("struct x", 64, &a, &t), TYPE_MISMATCH);
  module_add(&b, "struct x", 32, 2);
  type_register(&fix.reg, &b.data);
  cr_assert_eq(look("struct x", 32, NULL, &t), TYPE_AMBIGUOUS);
  cr_assert_eq(look("struct x", 32, &a, &t), TYPE_FOUND);
  cr_assert_eq(t, large);
  cr_assert_null(type_find(&fix.reg, "struct x"));
}

Test(moduledata, c_types_are_known_without_declaration, .init = setup) {
  const struct mgc_type *t;
  cr_assert_eq(look("int", 4, NULL, &t), TYPE_FOUND);
  cr_assert_eq(t, &mgc_type_int32);
  cr_assert_eq(look("unsigned  char", 1, NULL, &t), TYPE_FOUND);
  cr_assert_eq(look("void *", 8, NULL, &t), TYPE_FOUND);
  cr_assert_eq(t, &mgc_type_unsafe_pointer);
  /* They may hold pointers. */
  cr_assert_eq(look("uintptr_t", 8, NULL, &t), TYPE_UNKNOWN);
  cr_assert_eq(look("long", 8, NULL, &t), TYPE_UNKNOWN);
  /* A program's own type of the name comes first. */
  struct mgc_type *mine = module_add(&a, "size_t", 8, 1);
  type_register(&fix.reg, &a.data);
  cr_assert_eq(look("size_t", 8, &a, &t), TYPE_FOUND);
  cr_assert_eq(t, mine);
}

Test(moduledata, works_without_memory, .init = setup) {
  const struct mgc_type *t;
  typefix_init(&fix, 1, NULL);
  struct mgc_type *want = module_add(&a, "struct x", 32, 5);
  type_register(&fix.reg, &a.data);
  cr_assert_eq(look("struct x", 32, &a, &t), TYPE_FOUND);
  cr_assert_eq(t, want);
  cr_assert_eq(look("struct x", 32, &b, &t), TYPE_NO_MEMORY);
  cr_assert_null(type_intern(&fix.reg, want));
  type_registry_init(&fix.reg, NULL, NULL, NULL);
  type_register(&fix.reg, &a.data);
}

static const struct mgc_moduledata *told;
static void on_unregister(void *arg, const struct mgc_moduledata *m) {
  cr_assert_eq(arg, &told);
  told = m;
}

Test(moduledata, layers_above_are_told, .init = setup) {
  struct type_hooks hooks = {.arg = &told, .on_unregister = on_unregister};
  typefix_init(&fix, 0, &hooks);
  module_add(&a, "struct x", 32, 5);
  type_register(&fix.reg, &a.data);
  cr_assert(type_unregister(&fix.reg, &a.data));
  cr_assert_null(told);
  type_forget(&fix.reg, &a.data);
  cr_assert_eq(told, &a.data);
}

Test(moduledata, many_names_are_all_found, .init = setup) {
  char names[MODULE_TYPES][16];
  const struct mgc_type *t;
  for (size_t i = 0; i < MODULE_TYPES; i++) {
    snprintf(names[i], sizeof(names[i]), "struct t%zu", i);
    module_add(i % 2 ? &a : &b, names[i], 8 * (i + 1), 1);
  }
  type_register(&fix.reg, &a.data);
  type_register(&fix.reg, &b.data);
  for (size_t i = 0; i < MODULE_TYPES; i++) {
    cr_assert_eq(look(names[i], 0, i % 2 ? &a : &b, &t), TYPE_FOUND);
    cr_assert_eq(t->size, 8 * (i + 1));
  }
  type_registry_verify(&fix.reg);
  type_unregister(&fix.reg, &a.data);
  for (size_t i = 0; i < MODULE_TYPES; i++)
    cr_assert_eq(look(names[i], 0, &b, &t), i % 2 ? TYPE_UNKNOWN : TYPE_FOUND);
  type_registry_verify(&fix.reg);
}

/* ---- the verifier finds what is broken ---- */

Test(moduledata, verifier_finds_a_wrong_mask, .init = setup,
     .signal = SIGABRT) {
  struct mgc_type *t = module_add(&a, "struct x", 32, 5);
  t->ptrdata = 32; /* the mask's last bit is word 2 */
  type_register(&fix.reg, &a.data);
  type_registry_verify(&fix.reg);
}

Test(moduledata, verifier_finds_a_wrong_offset, .init = setup,
     .signal = SIGABRT) {
  module_add(&a, "struct x", 32, 5);
  a.data.names = a.data.enames = a.names;
  type_register(&fix.reg, &a.data);
  type_registry_verify(&fix.reg);
}

/* ---- lookups race with modules that come and go ---- */

struct racer {
  pthread_t thread;
  struct atomic_bool *stop;
  size_t found;
};

static void *race_lookups(void *arg) {
  struct racer *r = arg;
  while (!atomic_bool_load_relaxed(r->stop)) {
    enum type_found how;
    const struct mgc_type *t =
        type_lookup(&fix.reg, "struct x", 32, 0, NULL, &how);
    if (how != TYPE_FOUND) continue;
    r->found++;
    cr_assert_eq(type_small_mask(t), 5);
    cr_assert_str_eq(mgc_type_name(t), "struct x");
  }
  return NULL;
}

Test(moduledata, lookups_race_with_unregistering, .init = setup) {
  struct atomic_bool stop = {false};
  struct racer r[3];
  module_add(&a, "struct x", 32, 5);
  module_add(&a, "struct y", 32, 5);
  for (size_t i = 0; i < 3; i++) {
    r[i] = (struct racer){.stop = &stop};
    pthread_create(&r[i].thread, NULL, race_lookups, &r[i]);
  }
  for (int i = 0; i < 3000; i++) {
    type_register(&fix.reg, &a.data);
    cr_assert(type_unregister(&fix.reg, &a.data));
  }
  type_register(&fix.reg, &a.data);
  atomic_bool_store_relaxed(&stop, true);
  for (size_t i = 0; i < 3; i++) pthread_join(r[i].thread, NULL);
  type_registry_verify(&fix.reg);
  cr_assert_leq(fix.reg.canonical.count, 1);
}
