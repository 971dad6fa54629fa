// SPDX-License-Identifier: MIT
/*
 * Interface values: a value together with its type, as Go has them.
 *
 *   struct circle { double r; };
 *   static double circle_area(const void *self) { ... }
 *   MGC_TYPE(struct circle, MGC_METHODS((area, circle_area)));
 *
 *   typedef struct mgc_iface shape;
 *   MGC_INTERFACE(shape, area, name);
 *
 *   shape s;
 *   if (mgc_make_iface(&s, mgc_typeof(shape), mgc_typeof(struct circle), &c))
 *     area = ((double (*)(const void *))s.tab->fun[0])(mgc_iface_self(&s));
 *
 * The data word points to a copy of the value, which nobody changes: a copy of
 * an interface value shares it. Values that are one pointer (tflag DirectIface)
 * stand in the data word themselves.
 *
 * MGC_INTERFACE(T, method...) declares T, a type of the size of struct mgc_iface,
 * as the interface with these methods; itab->fun has them in this order. A
 * method's function takes the address of the value first (for a direct value:
 * the value). A type has methods only through descriptors of the module that
 * declares it: code of a module that was closed is never called.
 */
#ifndef MALLOCGC_IFACE_H
#define MALLOCGC_IFACE_H

#include <mallocgc/declare.h>
#include <mallocgc/type.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Go's interface{}: any value. type NULL is the nil interface. */
struct mgc_eface {
  const struct mgc_type *type;
  void *data;
};

/** The methods of one type for one interface. */
struct mgc_itab {
  const struct mgc_type *inter;
  const struct mgc_type *type;
  uint32_t hash; /* type->hash, for type switches */
  uint32_t nfun; /* 0: the type lacks a method (never handed out) */
  __extension__ void (*fun[])(void);
};

/** An interface with methods. tab NULL is the nil interface. */
struct mgc_iface {
  const struct mgc_itab *tab;
  void *data;
};

/**
 * Makes the data word of an interface value. Integers from 0 to 255 of one
 * machine word or less, and zero values of up to 1,024 bytes, are not allocated.
 *
 * Units:     none.
 * Returns:   true, and the word at *data.
 * Errors:    false with errno ENOMEM.
 * Threads:   any; the value must not change meanwhile.
 * GC:        may collect.
 * Ownership: what *data points to must not be written.
 */
bool mgc_box(const struct mgc_type *type, const void *value, void **data);

/**
 * Makes an interface value of a copy of the value.
 *
 * Units:   none.
 * Returns: true, and the value at *out.
 * Errors:  false with errno ENOMEM; *out is nil then.
 * Threads: any.
 * GC:      may collect.
 */
bool mgc_make_eface(struct mgc_eface *out, const struct mgc_type *type,
                    const void *value);

/**
 * The same for an interface with methods.
 *
 * Units:   none.
 * Returns: true, and the value at *out.
 * Errors:  false with errno EINVAL when the type lacks a method of inter, or
 *          inter is no interface type; ENOMEM. *out is nil then.
 * Threads: any.
 * GC:      may collect.
 */
bool mgc_make_iface(struct mgc_iface *out, const struct mgc_type *inter,
                    const struct mgc_type *type, const void *value);

/**
 * The method table of a type for an interface (Go: getitab). Found without a
 * lock after the first time, also when the answer is no.
 *
 * Units:   none.
 * Returns: the table, which stays until either's module is closed.
 * Errors:  NULL with errno EINVAL when the type lacks a method, or inter is no
 *          interface type; ENOMEM.
 * Threads: any.
 */
const struct mgc_itab *mgc_getitab(const struct mgc_type *inter,
                                   const struct mgc_type *type);

/**
 * Makes an interface type at run time. mgc_type_eface is the one without
 * methods.
 *
 * Units:     nmethods counts methods.
 * Returns:   the descriptor. Equal arguments give one descriptor.
 * Errors:    NULL with errno EINVAL for a name over 1,000 bytes, ENOMEM.
 * Threads:   any.
 * Ownership: the library's, for ever. The names are copied.
 */
const struct mgc_type *mgc_type_interface(const char *name,
                                          const struct mgc_imethod *methods,
                                          size_t nmethods);

/**
 * Compares by dynamic type: equal when both are nil, or of one type with equal
 * values.
 *
 * Units:   none.
 * Returns: as mgc_type_equal_values.
 * Errors:  MGC_NOT_COMPARABLE with errno EINVAL.
 * Threads: any.
 */
enum mgc_equality mgc_eface_equal(const struct mgc_eface *a,
                                  const struct mgc_eface *b);
/**
 * The same for interfaces with methods, of the same or of two interface types.
 *
 * Units:   none.
 * Returns: as mgc_type_equal_values.
 * Errors:  MGC_NOT_COMPARABLE with errno EINVAL.
 * Threads: any.
 */
enum mgc_equality mgc_iface_equal(const struct mgc_iface *a,
                                  const struct mgc_iface *b);
/**
 * The hash of the dynamic value.
 *
 * Units:   none.
 * Returns: true and *hash, as mgc_type_hash.
 * Errors:  false with errno EINVAL when the value's type is not hashable.
 * Threads: any.
 */
bool mgc_eface_hash(const struct mgc_eface *e, uint64_t seed, uint64_t *hash);
/**
 * The hash of the dynamic value: that of the same value in a struct mgc_eface.
 *
 * Units:   none.
 * Returns: true and *hash, as mgc_type_hash.
 * Errors:  false with errno EINVAL when the value's type is not hashable.
 * Threads: any.
 */
bool mgc_iface_hash(const struct mgc_iface *i, uint64_t seed, uint64_t *hash);

/**
 * The address of the value in an interface; a direct value's own data word.
 *
 * Units: none.  Errors: none.  Threads: any.
 */
static inline const void *mgc_eface_value(const struct mgc_eface *e) {
  if (!e->type) return 0;
  return e->type->tflag & MGC_TFLAG_DIRECT_IFACE ? (const void *)&e->data
                                                 : e->data;
}

/**
 * What a method gets as its first argument.
 *
 * Units: none.  Errors: none.  Threads: any.
 */
static inline void *mgc_iface_self(const struct mgc_iface *i) {
  return i->data;
}

/* clang-format off */

/* The interface type in the module's sections; see mallocgc/declare.h. 56 bytes
 * of data words: size 16, ptrdata 16, the second word. 20 is
 * MGC_KIND_INTERFACE, 6 NAMED and EXTRA_STAR. */
#define MGC_INTERFACE(...)                                                     \
  MGC_INTERFACE_(MGC_ID_, __VA_ARGS__, (NONE, ~))
#define MGC_INTERFACE_(id, ...) MGC_INTERFACE_1_(id, __VA_ARGS__)
#define MGC_INTERFACE_1_(id, T, ...)                                           \
  struct mgc_moduledata mgc_module_local                                       \
      __attribute__((weak, visibility("hidden")));                             \
  static __attribute__((used, noinline, cold)) void id(void) {                 \
    static const struct mgc_imethod mgc_methods[] = {                          \
        MGC_FEA(MGC_IMETHOD_, ~, __VA_ARGS__){0}};                             \
    MGC_MODULE_ENTRY_;                                                         \
    __asm__ volatile(                                                          \
        MGC_NAME_(#T, "1", "*")                                                \
        ".pushsection mgc_gcdata,\"awR\",%%progbits\n .balign 8\n"             \
        "77003: .quad 2\n"                                                     \
        ".popsection\n"                                                        \
        ".pushsection mgc_types,\"awR\",%%progbits\n .balign 8\n"              \
        ".quad 16, 16\n .long %c[hash_]\n .byte 6, 8, 8, 20\n"                 \
        ".quad 0, 77003b\n .long 77001b - ., 0\n"                              \
        ".quad %c[methods_], %c[nmethods_]\n"                                  \
        ".popsection\n"                                                        \
        ::[len_] "i"(sizeof(#T) - 1), [methods_] "i"(mgc_methods),             \
          [nmethods_] "i"(sizeof(mgc_methods) / sizeof(mgc_methods[0]) - 1),   \
          [hash_] "i"((int32_t)MGC_TYPE_HASH(16, 16, 8, MGC_KIND_INTERFACE,    \
                                             sizeof(#T) - 1)));                \
  }                                                                            \
  MGC_STATIC_ASSERT(sizeof(T) == sizeof(struct mgc_iface),                     \
                    "MGC_INTERFACE: not a struct mgc_iface")
#define MGC_IMETHOD_(c, n, x) MGC_PP_CAT(MGC_IMETHOD_, MGC_PP_IS_TUPLE(x))(x)
#define MGC_IMETHOD_0(x) {#x},
#define MGC_IMETHOD_1(x)

/* clang-format on */

#ifdef __cplusplus
}
#endif

#endif
