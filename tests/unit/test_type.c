// SPDX-License-Identifier: MIT
/* Descriptors that MGC_TYPE writes at compile time, read from the program's own
 * sections. */
#include "type/name.h"
#include "type/ptrmask.h"
#include "type/type.h"
#include <criterion/criterion.h>
#include <mallocgc/declare.h>
#include <mallocgc/iface.h>
#include <string.h>

/* The two structs of the design. */
struct note_struct {
  uintptr_t f1;
  uint8_t f2;
  uint8_t *f3;
  uint32_t f4;
  uint64_t *f5;
  uint64_t f6;
};
MGC_TYPE(struct note_struct, f3, f5);

struct note_a {
  struct mgc_string s;
  int64_t *p;
  uint64_t *q;
  int64_t n;
  uint8_t b;
};
MGC_TYPE(struct note_a, s.ptr, p, q);

struct cell {
  struct cell *left, *right;
  long weight;
};
struct node {
  const char *name;
  int n;
  char tag[12];
  struct {
    void *head;
    long len;
  } list;
  struct cell cells[8];
  double d;
};
static void node_print(void) {}
static void node_free(void) {}
MGC_TYPE(struct node, name, MGC_PLAIN(n), MGC_PLAIN(tag), list.head,
         MGC_EACH(cells, left, right), MGC_PLAIN(d),
         MGC_METHODS((print, node_print), (free, node_free)));

struct row {
  long id;
  struct cell cells[11];
};
struct table {
  long n;
  struct row rows[2];
  void *last;
};
MGC_TYPE(struct table, last, MGC_EACH(rows, MGC_EACH(cells, left)));

struct deep_c {
  long x;
  void *p;
};
struct deep_b {
  struct deep_c c[2];
};
struct deep_a {
  struct deep_b b[3];
  long tail;
};
struct deep {
  struct deep_a a[2];
};
MGC_TYPE(struct deep, MGC_EACH(a, MGC_EACH(b, MGC_EACH(c, p))));

struct huge {
  void *slots[(size_t)1 << 29]; /* 4 GiB: sizes have more than 32 bits */
  long n;
  struct cell cells[1000];
};
MGC_TYPE(struct huge, slots, MGC_EACH(cells, right));

struct plain {
  int a;
  char b;
};
MGC_TYPE(struct plain);
struct plain2 {
  long a;
};
MGC_TYPE_NOPTR(struct plain2);

typedef struct {
  struct {
    void *a[3];
    long n;
  } inner;
  long m;
} typedef_name;
MGC_TYPE(typedef_name, inner);

struct wide {
  void *f[64];
};
MGC_TYPE(struct wide, f);

struct many {
  void *a0, *a1, *a2, *a3, *a4, *a5, *a6, *a7, *a8, *a9, *a10, *a11, *a12, *a13,
      *a14, *a15, *a16, *a17, *a18, *a19, *a20, *a21, *a22, *a23, *a24, *a25,
      *a26, *a27, *a28, *a29, *a30, *a31, *a32, *a33, *a34, *a35, *a36, *a37,
      *a38, *a39, *a40, *a41, *a42, *a43, *a44, *a45, *a46, *skipped, *a47;
};
MGC_TYPE(struct many, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12,
         a13, a14, a15, a16, a17, a18, a19, a20, a21, a22, a23, a24, a25, a26,
         a27, a28, a29, a30, a31, a32, a33, a34, a35, a36, a37, a38, a39, a40,
         a41, a42, a43, a44, a45, a46);

struct aligned {
  void *p;
} __attribute__((aligned(64)));
MGC_TYPE(struct aligned, p);

struct regular {
  int64_t a, b;
};
MGC_TYPE_REGULAR(struct regular);

struct alg {
  int key, junk;
};
static uint64_t alg_hash(const struct alg *a, uint64_t seed) {
  return seed + (uint64_t)a->key;
}
static bool alg_equal(const struct alg *a, const struct alg *b) {
  return a->key == b->key;
}
MGC_TYPE_ALG(alg_hash, alg_equal, struct alg);

static const struct mgc_type *own(const char *name) {
  enum type_found how;
  const struct mgc_type *t =
      type_lookup(type_registry_default(), name, 0, 0, &mgc_module_local, &how);
  cr_assert_eq(how, TYPE_FOUND, "%s: %d", name, how);
  return t;
}

Test(type, descriptor_is_48_bytes) {
  cr_assert_eq(sizeof(struct mgc_type), 48);
  cr_assert_eq(offsetof(struct mgc_type, gcdata), 32);
}

Test(type, note_struct_has_ptrdata_40_gcdata_20) {
  const struct mgc_type *t = own("struct note_struct");
  cr_assert_eq(t->size, 48);
  cr_assert_eq(t->ptrdata, 40);
  cr_assert_eq(*t->gcdata, 20);
  cr_assert_eq(t->align, 8);
  cr_assert_eq(t->kind, MGC_KIND_STRUCT);
}

Test(type, note_a_has_gcdata_13) {
  const struct mgc_type *t = own("struct note_a");
  cr_assert_eq(t->size, 48);
  cr_assert_eq(t->ptrdata, 32);
  cr_assert_eq(*t->gcdata, 13);
}

Test(type, sections_hold_all_descriptors_in_bounds) {
  const struct mgc_moduledata *m = &mgc_module_local;
  size_t structs = 0, pointers = 0;
  cr_assert_eq(m->types, __start_mgc_types);
  cr_assert_eq(m->etypes, __stop_mgc_types);
  for (const char *p = m->types; p < m->etypes;) {
    const struct mgc_type *t = (const void *)p;
    structs += mgc_type_kind(t) == MGC_KIND_STRUCT;
    pointers += mgc_type_kind(t) == MGC_KIND_POINTER;
    p += mgc_type_footprint(t);
    cr_assert_leq(p, m->etypes);
  }
  cr_assert_eq(structs, 14);
  cr_assert_eq(pointers, 14);
  type_registry_verify(type_registry_default());
}

Test(type, name_and_pointer_type_share_a_record) {
  const struct mgc_type *t = own("struct node");
  cr_assert_str_eq(mgc_type_name(t), "struct node");
  cr_assert(t->tflag & MGC_TFLAG_EXTRA_STAR);
  cr_assert(t->tflag & MGC_TFLAG_NAMED);
  const struct mgc_type *p =
      (const void *)((const char *)&t->ptr_to_this + t->ptr_to_this);
  cr_assert_eq(p->kind, MGC_KIND_POINTER);
  cr_assert_eq(p->size, 8);
  cr_assert_eq(*p->gcdata, 1);
  cr_assert(p->tflag & MGC_TFLAG_DIRECT_IFACE);
  cr_assert_str_eq(mgc_type_name(p), "*struct node");
  cr_assert_eq(mgc_type_elem(p), t);
  cr_assert_eq(own("struct node *"), p);
  cr_assert_eq(own(" struct  node* "), p);
}

Test(type, each_and_dotted_paths_give_precise_masks) {
  const struct mgc_type *t = own("struct node");
  uint64_t want = 1 | 1u << offsetof(struct node, list.head) / 8;
  for (size_t i = 0; i < 8; i++)
    want |= (1ull << offsetof(struct node, cells[i].left) / 8) |
            (1ull << offsetof(struct node, cells[i].right) / 8);
  cr_assert_eq(type_small_mask(t), want);
  cr_assert_eq(t->ptrdata, offsetof(struct node, cells[7].right) + 8);
}

Test(type, nested_each_of_three_levels) {
  const struct mgc_type *t = own("struct deep");
  uint64_t want = 0;
  for (size_t i = 0; i < 2; i++)
    for (size_t j = 0; j < 3; j++)
      for (size_t k = 0; k < 2; k++)
        want |= 1ull << offsetof(struct deep, a[i].b[j].c[k].p) / 8;
  cr_assert_eq(type_small_mask(t), want);
  cr_assert_eq(t->ptrdata, offsetof(struct deep, a[1].b[2].c[1].p) + 8);
}

Test(type, large_types_have_a_program) {
  const struct mgc_type *t = own("struct table");
  cr_assert_eq(t->kind, MGC_KIND_STRUCT | MGC_KIND_GCPROG);
  cr_assert(t->tflag & MGC_TFLAG_GCMASK_ONDEMAND);
  uint64_t want[2] = {0};
#define SET(off) want[(off) / 512] |= 1ull << (off) / 8 % 64
  SET(offsetof(struct table, last));
  for (size_t i = 0; i < 2; i++)
    for (size_t j = 0; j < 11; j++)
      SET(offsetof(struct table, rows[i].cells[j].left));
  cr_assert_eq(type_mask_word(t, 0), want[0]);
  cr_assert_eq(type_mask_word(t, 1), want[1]);
  cr_assert_eq(type_mask_word(t, 2), 0);
}

Test(type, type_of_4_gib_costs_bytes) {
  const struct mgc_type *t = own("struct huge");
  size_t n = (size_t)1 << 29;
  cr_assert_eq(t->size, sizeof(struct huge));
  cr_assert_eq(t->ptrdata, offsetof(struct huge, cells[999].right) + 8);
  cr_assert_eq(type_mask_word(t, 0), ~0ull);
  cr_assert_eq(type_mask_word(t, n / 64 - 1), ~0ull);
  /* n, then the cells: right is their second word of three. */
  uint64_t want = 0;
  for (size_t w = 2; w < 64; w += 3) want |= 1ull << w;
  cr_assert_eq(type_mask_word(t, n / 64), want);
  size_t fields;
  mgc_type_fields(t, &fields);
  cr_assert_eq(fields, 3);
}

Test(type, sixty_four_words_are_a_mask_still) {
  const struct mgc_type *t = own("struct wide");
  cr_assert_eq(t->kind, MGC_KIND_STRUCT);
  cr_assert_eq(type_small_mask(t), ~0ull);
}

Test(type, forty_seven_fields_in_one_list) {
  const struct mgc_type *t = own("struct many");
  cr_assert_eq(type_small_mask(t), (1ull << 47) - 1);
}

Test(type, types_without_pointers) {
  const char *names[] = {"struct plain", "struct plain2"};
  for (size_t i = 0; i < 2; i++) {
    const struct mgc_type *t = own(names[i]);
    cr_assert_eq(t->ptrdata, 0);
    cr_assert_null(t->gcdata);
    cr_assert(mgc_type_is_noscan(t));
  }
  cr_assert_eq(own("struct plain")->align, 4);
}

Test(type, typedef_is_found_as_written_and_nested_struct_wholly) {
  const struct mgc_type *t = own("typedef_name");
  cr_assert_eq(type_small_mask(t), 15);
  cr_assert_str_eq(mgc_type_name(t), "typedef_name");
}

Test(type, alignment_is_the_compilers) {
  const struct mgc_type *t = own("struct aligned");
  cr_assert_eq(t->align, 64);
  cr_assert_eq(t->size, 64);
}

Test(type, field_table_lists_fields_in_preorder) {
  static const struct {
    const char *name;
    uint8_t kind, flags;
    uint16_t nsub;
    size_t offset, size, stride;
  } want[] = {
      {"name", MGC_KIND_UNSAFE_POINTER, 1, 0, offsetof(struct node, name), 8,
       0},
      {"n", MGC_KIND_INT32, 0, 0, offsetof(struct node, n), 4, 0},
      {"tag", MGC_KIND_ARRAY, 0, 0, offsetof(struct node, tag), 12, 0},
      {"list.head", MGC_KIND_UNSAFE_POINTER, 1, 0,
       offsetof(struct node, list.head), 8, 0},
      {"cells", MGC_KIND_ARRAY, 2, 2, offsetof(struct node, cells),
       8 * sizeof(struct cell), sizeof(struct cell)},
      {"left", MGC_KIND_UNSAFE_POINTER, 1, 0, 0, 8, 0},
      {"right", MGC_KIND_UNSAFE_POINTER, 1, 0, 8, 8, 0},
      {"d", MGC_KIND_FLOAT64, 0, 0, offsetof(struct node, d), 8, 0},
  };
  size_t n;
  const struct mgc_field *f = mgc_type_fields(own("struct node"), &n);
  cr_assert_eq(n, sizeof(want) / sizeof(want[0]));
  for (size_t i = 0; i < n; i++) {
    cr_assert_str_eq(mgc_field_name(&f[i]), want[i].name);
    cr_assert_eq(f[i].kind, want[i].kind, "%s", want[i].name);
    cr_assert_eq(f[i].flags, want[i].flags, "%s", want[i].name);
    cr_assert_eq(f[i].nsub, want[i].nsub, "%s", want[i].name);
    cr_assert_eq(f[i].offset, want[i].offset, "%s", want[i].name);
    cr_assert_eq(f[i].size, want[i].size, "%s", want[i].name);
    cr_assert_eq(f[i].stride, want[i].stride, "%s", want[i].name);
  }
}

Test(type, methods_follow_the_descriptor) {
  const struct mgc_type *t = own("struct node");
  size_t n;
  const struct mgc_method *m = mgc_type_methods(t, &n);
  cr_assert(t->tflag & MGC_TFLAG_UNCOMMON);
  cr_assert_eq(n, 2);
  cr_assert_str_eq(m[0].name, "print");
  cr_assert_eq(m[0].fn, node_print);
  cr_assert_str_eq(m[1].name, "free");
  cr_assert_eq(m[1].fn, node_free);
  cr_assert_null(mgc_type_methods(own("struct plain"), &n));
  cr_assert_eq(n, 0);
}

Test(type, hash_is_the_published_formula) {
  const struct mgc_type *t = own("struct note_struct");
  cr_assert_eq(t->hash, MGC_TYPE_HASH(48, 40, 8, MGC_KIND_STRUCT,
                                      strlen("struct note_struct")));
}

Test(type, user_equality_and_hash_are_called) {
  const struct mgc_type *t = own("struct alg");
  struct alg a = {1, 2}, b = {1, 3}, c = {2, 2};
  uint64_t h;
  cr_assert_eq(mgc_type_equal_values(t, &a, &b), MGC_EQUAL);
  cr_assert_eq(mgc_type_equal_values(t, &a, &c), MGC_NOT_EQUAL);
  cr_assert(mgc_type_hash(t, &a, 40, &h));
  cr_assert_eq(h, 41);
  cr_assert(own("struct regular")->tflag & MGC_TFLAG_REGULAR_MEMORY);
}

Test(type, basic_descriptors_have_gos_kinds) {
  static const struct {
    enum mgc_basic basic;
    enum mgc_kind kind;
    size_t size;
    const char *name;
  } want[] = {
      {MGC_BASIC_BOOL, MGC_KIND_BOOL, sizeof(bool), "_Bool"},
      {MGC_BASIC_INT8, MGC_KIND_INT8, 1, "int8_t"},
      {MGC_BASIC_INT, MGC_KIND_INT, 8, "mgc_int"},
      {MGC_BASIC_UINT64, MGC_KIND_UINT64, 8, "uint64_t"},
      {MGC_BASIC_UINTPTR, MGC_KIND_UINTPTR, 8, "uintptr_t"},
      {MGC_BASIC_FLOAT32, MGC_KIND_FLOAT32, 4, "float"},
      {MGC_BASIC_COMPLEX128, MGC_KIND_COMPLEX128, 16, "double _Complex"},
      {MGC_BASIC_STRING, MGC_KIND_STRING, 16, "struct mgc_string"},
      {MGC_BASIC_EFACE, MGC_KIND_INTERFACE, 16, "struct mgc_eface"},
      {MGC_BASIC_UNSAFE_POINTER, MGC_KIND_UNSAFE_POINTER, 8, "*void"},
      {MGC_BASIC_FUNC, MGC_KIND_FUNC, 8, "mgc_func"},
      {MGC_BASIC_MAP, MGC_KIND_MAP, 8, "mgc_map"},
      {MGC_BASIC_CHAN, MGC_KIND_CHAN, 8, "mgc_chan"},
  };
  for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
    const struct mgc_type *t = mgc_basic_types[want[i].basic];
    cr_assert_eq(t->kind, want[i].kind, "%s", want[i].name);
    cr_assert_eq(t->size, want[i].size, "%s", want[i].name);
    cr_assert_str_eq(mgc_type_name(t), want[i].name);
  }
  cr_assert_eq(MGC_NKINDS - 1, 26);
  cr_assert_eq(&mgc_type_conservative, &type_conservative);
  cr_assert_eq(&mgc_type_bytes, &type_bytes);
  cr_assert_eq(type_tiled_mask(&type_conservative, 12345), ~0ull);
  cr_assert_eq(type_tiled_mask(&type_bytes, 12345), 0);
}

Test(type, name_normal_form) {
  static const struct {
    const char *in, *out;
  } want[] = {
      {"struct node", "struct node"},
      {" struct \t node ", "struct node"},
      {"struct node *", "*struct node"},
      {"struct node**", "**struct node"},
      {"struct node * *", "**struct node"},
      {"int [ 4 ]", "int[4]"},
      {"*struct node", "*struct node"},
      {"unsigned  long long", "unsigned long long"},
      {"", ""},
      {"  ", ""},
      {"*", "*"},
  };
  char out[TYPE_NAME_MAX + 1];
  for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
    size_t n =
        name_normalise((struct type_name){want[i].in, strlen(want[i].in)}, out);
    cr_assert_str_eq(out, want[i].out, "'%s' gave '%s'", want[i].in, out);
    cr_assert_eq(n, strlen(want[i].out));
  }
}

Test(type, long_names_have_two_length_bytes) {
  char text[301];
  struct {
    int32_t place;
    char record[320];
  } r = {0};
  memset(text, 'x', 300);
  text[300] = 0;
  struct type_name in = {text, 300};
  char *end = name_write(r.record, '*', in, &r.place);
  cr_assert_eq((size_t)(end - r.record), name_record_size(301));
  struct type_name out = name_at(&r.place);
  cr_assert_eq(out.n, 301);
  cr_assert_eq(out.s[0], '*');
  cr_assert_str_eq(out.s + 1, text);
}
