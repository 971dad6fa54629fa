// SPDX-License-Identifier: MIT
/*
 * Declaring types by hand, at compile time. At file scope, for instance:
 *
 *   struct cell { struct node *left, *right; long weight; };
 *   struct node {
 *     const char *name;
 *     int n;
 *     struct { void *head; long len; } list;
 *     struct cell cells[8];
 *   };
 *   MGC_TYPE(struct node, name, list.head, MGC_EACH(cells, left, right));
 *
 * The list names what holds pointers:
 *   field                  all words of the field: a pointer, an array of them,
 *                          or a whole nested struct or union
 *   outer.inner            one field of a nested struct
 *   MGC_EACH(array, ...)   the listed fields of each element; may be nested,
 *                          three deep
 *   MGC_PLAIN(field)       no pointers: only for the layout that `mallocgc types`
 *                          draws
 *   MGC_METHODS(...)       methods, (name, function) each; see mallocgc/iface.h
 * with at most 47 entries, and 24 in a nested MGC_EACH. A field that is not listed
 * is never scanned. A bit-field cannot be listed. MGC_TYPE(T) alone declares a
 * type without pointers.
 *
 * How it works. The macro defines a function that is never called; its asm
 * statements put the descriptor, its name, fields and mask into the sections
 * that mallocgc/type.h describes. Asm, because the place-relative offsets cannot
 * be written as C initialisers, and in a function, because only there asm takes
 * compile-time constants (sizeof, offsetof) as operands. One type may be
 * declared in many translation units of a module; each declaration adds a
 * descriptor, and equal ones count as one.
 */
#ifndef MALLOCGC_DECLARE_H
#define MALLOCGC_DECLARE_H

#include <mallocgc/pp.h>
#include <mallocgc/type.h>

/* clang-format off */

#define MGC_TYPE(...) MGC_TYPE_(MGC_ID_, 0, 0, 0, __VA_ARGS__, (NONE, ~))
#define MGC_TYPE_NOPTR(T) MGC_TYPE(T)

/* Values are equal when their bytes are: no padding, no floating point. */
#define MGC_TYPE_REGULAR(...)                                                  \
  MGC_TYPE_(MGC_ID_, MGC_TFLAG_REGULAR_MEMORY, 0, 0, __VA_ARGS__, (NONE, ~))

/* MGC_TYPE_ALG(hash_fn, equal_fn, T, ...), with
 * uint64_t hash_fn(const T *, uint64_t seed) and
 * bool equal_fn(const T *, const T *). */
#define MGC_TYPE_ALG(hash_fn, equal_fn, ...)                                   \
  MGC_TYPE_ALG_(MGC_ID_, hash_fn, equal_fn, __VA_ARGS__, (NONE, ~))

#define MGC_EACH(...) (EACH, __VA_ARGS__)
#define MGC_PLAIN(field) (PLAIN, field)
#define MGC_METHODS(...) (METHODS, __VA_ARGS__)

/* (NONE, ~) ends every list, so that none is empty: ISO C has no empty variable
 * arguments. */
#define MGC_ID_ MGC_PP_CAT(mgc_declare_, __COUNTER__)

/* ---- registration of the module ---- */

/* Bounds of the sections: the linker defines them. */
extern const char __start_mgc_types[] __attribute__((weak, visibility("hidden")));
extern const char __stop_mgc_types[] __attribute__((weak, visibility("hidden")));
extern const char __start_mgc_names[] __attribute__((weak, visibility("hidden")));
extern const char __stop_mgc_names[] __attribute__((weak, visibility("hidden")));
extern const char __start_mgc_gcdata[] __attribute__((weak, visibility("hidden")));
extern const char __stop_mgc_gcdata[] __attribute__((weak, visibility("hidden")));
extern const char __start_mgc_fields[] __attribute__((weak, visibility("hidden")));
extern const char __stop_mgc_fields[] __attribute__((weak, visibility("hidden")));

/* Only code for a shared library can be closed. A program's types stay while its
 * exit handlers run. */
#if defined(__PIC__) && !defined(__PIE__)
#define MGC_MODULE_PERMANENT_ 0
#define MGC_MODULE_FINI_                                                       \
  ".pushsection .fini_array.00101,\"aw\",%%fini_array\n"                       \
  ".balign 8\n .quad %c[leave]\n .popsection\n"
#else
#define MGC_MODULE_PERMANENT_ 1
#define MGC_MODULE_FINI_
#endif

/* Runs once for each translation unit that declares types; all but the first of
 * a module find it done. */
static inline void mgc_module_enter(void) {
  struct mgc_moduledata *m = &mgc_module_local;
  if (m->types) return;
  m->types = __start_mgc_types;
  m->etypes = __stop_mgc_types;
  m->names = __start_mgc_names;
  m->enames = __stop_mgc_names;
  m->gcdata = __start_mgc_gcdata;
  m->egcdata = __stop_mgc_gcdata;
  m->fields = __start_mgc_fields;
  m->efields = __stop_mgc_fields;
  m->version = MGC_TYPE_VERSION;
  m->permanent = MGC_MODULE_PERMANENT_;
  mgc_module_register(m);
}
static inline void mgc_module_leave(void) {
  mgc_module_unregister(&mgc_module_local);
}

/* Entries of the arrays that the dynamic linker calls, once for each translation
 * unit; before other constructors, which may allocate (100 and below are the
 * implementation's). */
#define MGC_MODULE_ENTRY_                                                      \
  __asm__ volatile(".ifndef mgc_module_entered\n"                              \
                   ".set mgc_module_entered, 1\n"                              \
                   ".pushsection .init_array.00101,\"aw\",%%init_array\n"      \
                   ".balign 8\n .quad %c[enter]\n .popsection\n"               \
                   MGC_MODULE_FINI_                                            \
                   ".endif\n"                                                  \
                   ::[enter] "i"(mgc_module_enter),                            \
                     [leave] "i"(mgc_module_leave))

/* ---- what is listed: dispatch on plain entries and tuples ----
 * MGC_DA(c, n, x) with c = (OP, T) gives MGC_LEAF_OP, MGC_EACH_OP, MGC_PLAIN_OP
 * or MGC_METHODS_OP; DB to DD do so one to three levels down, because a macro
 * does not expand inside itself. */
#define MGC_ELEM_(T, f) __typeof__(((T *)0)->f[0])

#define MGC_DA(c, n, x)                                                        \
  MGC_CALLA(MGC_PP_CAT(MGC_DA_, MGC_PP_IS_TUPLE(x)), MGC_PP_STRIP c, n, x)
#define MGC_CALLA(f, ...) f(__VA_ARGS__)
#define MGC_DA_0(op, T, n, x) MGC_LEAF_##op(T, n, x)
#define MGC_DA_1(op, T, n, x) MGC_TAGA(op, T, n, MGC_PP_STRIP x)
#define MGC_TAGA(op, T, n, ...) MGC_TAGA_(op, T, n, __VA_ARGS__)
#define MGC_TAGA_(op, T, n, tag, ...) MGC_DA_##tag(op, T, n, __VA_ARGS__)
#define MGC_DA_PLAIN(op, T, n, f) MGC_PLAIN_##op(T, n, f)
#define MGC_DA_NONE(op, T, n, none)
#define MGC_DA_METHODS(op, T, n, ...) MGC_METHODS_##op(__VA_ARGS__)
#define MGC_DA_EACH(op, T, n, f, ...)                                          \
  MGC_EACH_##op(T, n, f,                                                       \
                MGC_FEB(MGC_DB, (op, MGC_ELEM_(T, f)), __VA_ARGS__),         \
                MGC_FEB(MGC_DB, (COUNT, MGC_ELEM_(T, f)), __VA_ARGS__))

#define MGC_DB(c, n, x)                                                        \
  MGC_CALLB(MGC_PP_CAT(MGC_DB_, MGC_PP_IS_TUPLE(x)), MGC_PP_STRIP c, n, x)
#define MGC_CALLB(f, ...) f(__VA_ARGS__)
#define MGC_DB_0(op, T, n, x) MGC_LEAF_##op(T, n, x)
#define MGC_DB_1(op, T, n, x) MGC_TAGB(op, T, n, MGC_PP_STRIP x)
#define MGC_TAGB(op, T, n, ...) MGC_TAGB_(op, T, n, __VA_ARGS__)
#define MGC_TAGB_(op, T, n, tag, ...) MGC_DB_##tag(op, T, n, __VA_ARGS__)
#define MGC_DB_PLAIN(op, T, n, f) MGC_PLAIN_##op(T, n, f)
#define MGC_DB_EACH(op, T, n, f, ...)                                          \
  MGC_EACH_##op(T, n, f,                                                       \
                MGC_FEC(MGC_DC, (op, MGC_ELEM_(T, f)), __VA_ARGS__),         \
                MGC_FEC(MGC_DC, (COUNT, MGC_ELEM_(T, f)), __VA_ARGS__))

#define MGC_DC(c, n, x)                                                        \
  MGC_CALLC(MGC_PP_CAT(MGC_DC_, MGC_PP_IS_TUPLE(x)), MGC_PP_STRIP c, n, x)
#define MGC_CALLC(f, ...) f(__VA_ARGS__)
#define MGC_DC_0(op, T, n, x) MGC_LEAF_##op(T, n, x)
#define MGC_DC_1(op, T, n, x) MGC_TAGC(op, T, n, MGC_PP_STRIP x)
#define MGC_TAGC(op, T, n, ...) MGC_TAGC_(op, T, n, __VA_ARGS__)
#define MGC_TAGC_(op, T, n, tag, ...) MGC_DC_##tag(op, T, n, __VA_ARGS__)
#define MGC_DC_PLAIN(op, T, n, f) MGC_PLAIN_##op(T, n, f)
#define MGC_DC_EACH(op, T, n, f, ...)                                          \
  MGC_EACH_##op(T, n, f,                                                       \
                MGC_FED(MGC_DD, (op, MGC_ELEM_(T, f)), __VA_ARGS__),           \
                MGC_FED(MGC_DD, (COUNT, MGC_ELEM_(T, f)), __VA_ARGS__))

#define MGC_DD(c, n, x)                                                        \
  MGC_CALLD(MGC_PP_CAT(MGC_DD_, MGC_PP_IS_TUPLE(x)), MGC_PP_STRIP c, n, x)
#define MGC_CALLD(f, ...) f(__VA_ARGS__)
#define MGC_DD_0(op, T, n, x) MGC_LEAF_##op(T, n, x)
#define MGC_DD_1(op, T, n, x) MGC_TAGD(op, T, n, MGC_PP_STRIP x)
#define MGC_TAGD(op, T, n, ...) MGC_TAGD_(op, T, n, __VA_ARGS__)
#define MGC_TAGD_(op, T, n, tag, ...) MGC_DD_##tag(op, T, n, __VA_ARGS__)
#define MGC_DD_PLAIN(op, T, n, f) MGC_PLAIN_##op(T, n, f)

#define MGC_OFF_(T, f) __builtin_offsetof(T, f)
#define MGC_SIZEOF_(T, f) sizeof(((T *)0)->f)
#define MGC_STRIDE_(T, f) sizeof(((T *)0)->f[0])
#define MGC_LEN_(T, f) (MGC_SIZEOF_(T, f) / MGC_STRIDE_(T, f))

/* COUNT: the number of field records. */
#define MGC_LEAF_COUNT(T, n, f) +1u
#define MGC_PLAIN_COUNT(T, n, f) +1u
#define MGC_METHODS_COUNT(...)
#define MGC_EACH_COUNT(T, n, f, inner, count) +1u count

/* CHECK: pointer fields are aligned words. */
#define MGC_LEAF_CHECK(T, n, f)                                                \
  MGC_STATIC_ASSERT(MGC_OFF_(T, f) % 8 == 0 && MGC_SIZEOF_(T, f) % 8 == 0,     \
                    "MGC_TYPE: field " #f " is not made of pointer words");
#define MGC_PLAIN_CHECK(T, n, f)
#define MGC_METHODS_CHECK(...)
#define MGC_EACH_CHECK(T, n, f, inner, count)                                  \
  MGC_STATIC_ASSERT(MGC_OFF_(T, f) % 8 == 0 && MGC_STRIDE_(T, f) % 8 == 0,     \
                    "MGC_TYPE: elements of " #f " are not pointer-aligned");   \
  inner

/* END: members of a union whose size is the greatest end of a pointer. */
#define MGC_LEAF_END(T, n, f)                                                  \
  char mgc_end_##n[MGC_OFF_(T, f) + MGC_SIZEOF_(T, f)];
#define MGC_PLAIN_END(T, n, f)
#define MGC_METHODS_END(...)
#define MGC_END_OF_(inner) (sizeof(union { char mgc_end_0; inner }) & ~(size_t)7)
#define MGC_EACH_END(T, n, f, inner, count)                                    \
  char mgc_end_##n[MGC_END_OF_(inner) == 0                                     \
                       ? 1                                                     \
                       : MGC_OFF_(T, f) + MGC_SIZEOF_(T, f) -                  \
                             MGC_STRIDE_(T, f) + MGC_END_OF_(inner)];

/* MASK: terms of the bit mask, right when all pointers are in 64 words; any
 * value otherwise. n copies at a distance of s words are the quotient
 * (2^(n s) - 1) / (2^s - 1). */
#define MGC_ONES_(n) ((n) >= 64 ? ~0ull : (1ull << ((n) & 63)) - 1)
#define MGC_COPIES_(n, s)                                                      \
  ((n) == 1 ? 1ull : MGC_ONES_((n) * (s)) / MGC_ONES_((s) + ((s) == 0)))
#define MGC_LEAF_MASK(T, n, f)                                                 \
  | MGC_ONES_(MGC_SIZEOF_(T, f) / 8) << (MGC_OFF_(T, f) / 8 & 63)
#define MGC_PLAIN_MASK(T, n, f)
#define MGC_METHODS_MASK(...)
#define MGC_EACH_MASK(T, n, f, inner, count)                                   \
  | ((0ull inner) << (MGC_OFF_(T, f) / 8 & 63)) *                              \
        MGC_COPIES_(MGC_LEN_(T, f), MGC_STRIDE_(T, f) / 8)

/* EMIT: one asm statement for each field record, in preorder. */
#define MGC_LEAF_EMIT(T, n, f)                                                 \
  MGC_RECORD_(#f, MGC_FIELD_KIND_(((T *)0)->f), MGC_FIELD_POINTER, 0,          \
              MGC_OFF_(T, f), MGC_SIZEOF_(T, f), 0);
#define MGC_PLAIN_EMIT(T, n, f)                                                \
  MGC_RECORD_(#f, MGC_FIELD_KIND_(((T *)0)->f), 0, 0, MGC_OFF_(T, f),          \
              MGC_SIZEOF_(T, f), 0);
#define MGC_METHODS_EMIT(...)
#define MGC_EACH_EMIT(T, n, f, inner, count)                                   \
  MGC_RECORD_(#f, MGC_KIND_ARRAY, MGC_FIELD_EACH, 0u count, MGC_OFF_(T, f),    \
              MGC_SIZEOF_(T, f), MGC_STRIDE_(T, f));                           \
  inner

#define MGC_RECORD_(name, k, fl, sub, off, sz, str)                            \
  __asm__ volatile(MGC_NAME_(name, "0", "")                                    \
                   ".pushsection mgc_fields,\"aR\",%%progbits\n"               \
                   ".long 77001b - .\n"                                        \
                   ".byte %c[kind_], %c[flags_]\n"                             \
                   ".short %c[nsub_]\n"                                        \
                   MGC_QUAD_("offq") MGC_QUAD_("sizeq") MGC_QUAD_("strideq")      \
                   ".quad 0\n"                                                 \
                   ".popsection\n"                                             \
                   ::[len_] "i"(sizeof(name) - 1), [kind_] "i"(k),             \
                     [flags_] "i"(fl), [nsub_] "i"(sub),                       \
                     MGC_QUAD_OPERANDS_(offq, off),                             \
                     MGC_QUAD_OPERANDS_(sizeq, sz),                             \
                     MGC_QUAD_OPERANDS_(strideq, str))

/* A name record, labelled 77001; extra is the number of bytes in front. */
#define MGC_NAME_(name, extra, front)                                          \
  ".pushsection mgc_names,\"aR\",%%progbits\n"                                 \
  "77001: .uleb128 %c[len_] + " extra "\n"                                     \
  ".ascii \"" front name "\"\n .byte 0\n"                                      \
  ".popsection\n"

/* The kind of a field as far as the compiler tells. (void)0, x turns an array
 * into a pointer, which gives it away. */
#define MGC_FIELD_KIND_(x)                                                     \
  _Generic((x), _Bool: MGC_KIND_BOOL, char: MGC_KIND_INT8,                     \
    signed char: MGC_KIND_INT8, unsigned char: MGC_KIND_UINT8,                 \
    short: MGC_KIND_INT16, unsigned short: MGC_KIND_UINT16,                    \
    int: MGC_KIND_INT32, unsigned: MGC_KIND_UINT32, long: MGC_KIND_INT64,      \
    unsigned long: MGC_KIND_UINT64, long long: MGC_KIND_INT64,                 \
    unsigned long long: MGC_KIND_UINT64, float: MGC_KIND_FLOAT32,              \
    double: MGC_KIND_FLOAT64,                                                  \
    default: !__builtin_types_compatible_p(__typeof__(x),                      \
                                           __typeof__(((void)0, (x))))         \
                 ? MGC_KIND_ARRAY                                              \
                 : (__builtin_classify_type(x) == 5 ? MGC_KIND_UNSAFE_POINTER  \
                                                    : MGC_KIND_STRUCT))

/* METHOD: initialisers of the method table. */
#define MGC_LEAF_METHOD(T, n, f)
#define MGC_PLAIN_METHOD(T, n, f)
#define MGC_EACH_METHOD(T, n, f, inner, count)
#define MGC_METHODS_METHOD(...) MGC_FEB(MGC_METHOD_, ~, __VA_ARGS__)
#define MGC_METHOD_(c, n, pair) MGC_METHOD_PAIR_ pair
#define MGC_METHOD_PAIR_(name, fn) {#name, (void (*)(void))(fn)},

/* ---- the descriptor ---- */

#define MGC_TYPE_ALG_(id, hash_fn, equal_fn, T, ...)                           \
  MGC_TYPE_ALG_1_(id, hash_fn, equal_fn, T, __VA_ARGS__)
#define MGC_TYPE_ALG_1_(id, hash_fn, equal_fn, T, ...)                         \
  static uint64_t id##_hash(const void *p, uint64_t seed) {                    \
    return hash_fn((const T *)p, seed);                                        \
  }                                                                            \
  static bool id##_equal(const void *a, const void *b) {                       \
    return equal_fn((const T *)a, (const T *)b);                               \
  }                                                                            \
  MGC_TYPE_1_(id, 0, id##_hash, id##_equal, T, __VA_ARGS__)

/* The weak definition of mgc_module_local is one object in a module. */
#define MGC_TYPE_(id, flags, hash_fn, equal_fn, ...)                           \
  MGC_TYPE_1_(id, flags, hash_fn, equal_fn, __VA_ARGS__)
#define MGC_TYPE_1_(id, flags, hash_fn, equal_fn, T, ...)                      \
  struct mgc_moduledata mgc_module_local                                       \
      __attribute__((weak, visibility("hidden")));                             \
  static __attribute__((used, noinline, cold)) void id(void) {                 \
    static const struct mgc_method mgc_methods[] = {                           \
        MGC_FEA(MGC_DA, (METHOD, T), __VA_ARGS__){0, 0}};                      \
    MGC_FEA(MGC_DA, (CHECK, T), __VA_ARGS__)                                   \
    union mgc_end {                                                            \
      char mgc_end_0;                                                          \
      MGC_FEA(MGC_DA, (END, T), __VA_ARGS__)                                   \
    };                                                                         \
    MGC_STATIC_ASSERT(_Alignof(T) <= 128, "MGC_TYPE: alignment over 128");     \
    MGC_MODULE_ENTRY_;                                                         \
    MGC_FIELDS_BEGIN_;                                                         \
    MGC_FEA(MGC_DA, (EMIT, T), __VA_ARGS__)                                    \
    MGC_DESCRIPTOR_(T, #T, flags, hash_fn, equal_fn,                           \
                    sizeof(union mgc_end) & ~(size_t)7,                        \
                    0ull MGC_FEA(MGC_DA, (MASK, T), __VA_ARGS__),              \
                    0u MGC_FEA(MGC_DA, (COUNT, T), __VA_ARGS__),               \
                    sizeof(mgc_methods) / sizeof(mgc_methods[0]) - 1,          \
                    mgc_methods);                                              \
  }                                                                            \
  MGC_STATIC_ASSERT(sizeof(T) > 0, "MGC_TYPE: type of size 0")

/* A 64-bit number as two operands: gcc prints no constant of more than 31 bits
 * with %c. */
#define MGC_QUAD_(x) ".long %c[" x "_lo], %c[" x "_hi]\n"
#define MGC_QUAD_OPERANDS_(name, x)                                            \
  [name##_lo] "i"((int32_t)(uint32_t)((uint64_t)(x) & 0xffffffff)),            \
  [name##_hi] "i"((int32_t)(uint32_t)((uint64_t)(x) >> 32))

/* Label 77002: the first field record. */
#define MGC_FIELDS_BEGIN_                                                      \
  __asm__ volatile(".pushsection mgc_fields,\"aR\",%progbits\n"                \
                   ".balign 8\n 77002:\n .popsection\n")

#define MGC_IS_PROG_(ptrdata) ((ptrdata) > 8 * MGC_MASK_WORDS)
#define MGC_TYPE_TFLAG_(flags, nmethods, ptrdata)                              \
  (MGC_TFLAG_NAMED | MGC_TFLAG_EXTRA_STAR | (flags) |                          \
   ((nmethods) ? MGC_TFLAG_UNCOMMON : 0) |                                     \
   (MGC_IS_PROG_(ptrdata) ? MGC_TFLAG_GCMASK_ONDEMAND : 0))

/* 77003: pointer data, 77004: the descriptor, 77005: the pointer type, 77006:
 * its mask. 22 is MGC_KIND_POINTER, 44 its flags NAMED, REGULAR_MEMORY and
 * DIRECT_IFACE. */
#define MGC_DESCRIPTOR_(T, name, flags, hash_fn, equal_fn, ptrdata, mask,      \
                        nfields, nmethods, methods)                            \
  __asm__ volatile(                                                            \
      MGC_NAME_(name, "1", "*")                                                \
      ".pushsection mgc_gcdata,\"awR\",%%progbits\n .balign 8\n"               \
      "77003:\n"                                                               \
      ".if %c[masks] == 2\n"                                                   \
      ".quad 0\n .long 77002b - ., %c[nfields_]\n"                             \
      ".elseif %c[masks] == 1\n" MGC_QUAD_("maskq")                             \
      ".endif\n"                                                               \
      "77006: .quad 1\n"                                                       \
      ".popsection\n"                                                          \
      ".pushsection mgc_types,\"awR\",%%progbits\n .balign 8\n"                \
      "77004:\n" MGC_QUAD_("sizeq") MGC_QUAD_("ptrq")                            \
      ".long %c[hash_]\n"                                                      \
      ".byte %c[tflag_], %c[align_], %c[align_], %c[kind_]\n"                  \
      ".quad %c[equal_]\n"                                                     \
      ".if %c[masks] > 0\n .quad 77003b\n .else\n .quad 0\n .endif\n"          \
      ".long 77001b - .\n"                                                     \
      ".long 77005f - .\n"                                                     \
      ".if %c[nfields_] > 0\n .long 77002b - .\n .else\n .long 0\n .endif\n"   \
      ".long %c[nfields_]\n .quad %c[hashfn_]\n"                               \
      ".if %c[nmethods_] > 0\n"                                                \
      ".quad %c[methods_]\n .long %c[nmethods_], 0\n"                          \
      ".endif\n"                                                               \
      "77005: .quad 8, 8\n .long %c[ptrhash_]\n .byte 44, 8, 8, 22\n"          \
      ".quad mgc_memequal64, 77006b\n .long 77001b - ., 0\n"                   \
      ".quad 77004b, 0\n"                                                      \
      ".popsection\n"                                                          \
      ::[len_] "i"(sizeof(name) - 1), MGC_QUAD_OPERANDS_(sizeq, sizeof(T)),     \
        MGC_QUAD_OPERANDS_(ptrq, ptrdata), MGC_QUAD_OPERANDS_(maskq, mask),      \
        [masks] "i"(((ptrdata) > 0) + MGC_IS_PROG_(ptrdata)),                  \
        [nfields_] "i"(nfields), [align_] "i"(_Alignof(T)),                    \
        [kind_] "i"(MGC_KIND_STRUCT |                                          \
                    (MGC_IS_PROG_(ptrdata) ? MGC_KIND_GCPROG : 0)),            \
        [tflag_] "i"(MGC_TYPE_TFLAG_(flags, nmethods, ptrdata)),               \
        [hash_] "i"((int32_t)MGC_TYPE_HASH(sizeof(T), ptrdata, _Alignof(T),    \
                                           MGC_KIND_STRUCT,                    \
                                           sizeof(name) - 1)),                 \
        [ptrhash_] "i"((int32_t)MGC_TYPE_HASH(8, 8, 8, MGC_KIND_POINTER,       \
                                              sizeof(name))),                  \
        [equal_] "i"(equal_fn), [hashfn_] "i"(hash_fn),                        \
        [nmethods_] "i"(nmethods), [methods_] "i"(methods))

/* clang-format on */

#endif
