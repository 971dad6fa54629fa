// SPDX-License-Identifier: MIT
/*
 * The library's own descriptors. Written with asm statements for the same reason
 * as MGC_TYPE's (mallocgc/declare.h), in sections of their own: the program's
 * sections would take them in when it links the library statically.
 */
#include "type/name.h"
#include "type/type.h"
#include <string.h>

/* BASIC(id, name, size, align, ptrdata, mask, kind, tflag, equal) */
#define REG (MGC_TFLAG_NAMED | MGC_TFLAG_REGULAR_MEMORY)
#define PTR (REG | MGC_TFLAG_DIRECT_IFACE)
#define SHAPED (MGC_TFLAG_NAMED | MGC_TFLAG_DIRECT_IFACE)
#define BASICS(BASIC)                                                          \
  BASIC(conservative, "mgc_conservative", 8, 8, 8, 1, UNSAFE_POINTER, PTR,     \
        mgc_memequal64)                                                        \
  BASIC(bytes, "mgc_bytes", 1, 1, 0, 0, UINT8, REG, mgc_memequal8)             \
  BASIC(bool, "_Bool", 1, 1, 0, 0, BOOL, REG, mgc_memequal8)                   \
  BASIC(int, "mgc_int", 8, 8, 0, 0, INT, REG, mgc_memequal64)                  \
  BASIC(int8, "int8_t", 1, 1, 0, 0, INT8, REG, mgc_memequal8)                  \
  BASIC(int16, "int16_t", 2, 2, 0, 0, INT16, REG, mgc_memequal16)              \
  BASIC(int32, "int32_t", 4, 4, 0, 0, INT32, REG, mgc_memequal32)              \
  BASIC(int64, "int64_t", 8, 8, 0, 0, INT64, REG, mgc_memequal64)              \
  BASIC(uint, "mgc_uint", 8, 8, 0, 0, UINT, REG, mgc_memequal64)               \
  BASIC(uint8, "uint8_t", 1, 1, 0, 0, UINT8, REG, mgc_memequal8)               \
  BASIC(uint16, "uint16_t", 2, 2, 0, 0, UINT16, REG, mgc_memequal16)           \
  BASIC(uint32, "uint32_t", 4, 4, 0, 0, UINT32, REG, mgc_memequal32)           \
  BASIC(uint64, "uint64_t", 8, 8, 0, 0, UINT64, REG, mgc_memequal64)           \
  BASIC(uintptr, "uintptr_t", 8, 8, 0, 0, UINTPTR, REG, mgc_memequal64)        \
  BASIC(float32, "float", 4, 4, 0, 0, FLOAT32, MGC_TFLAG_NAMED,                \
        type_equal_f32)                                                        \
  BASIC(float64, "double", 8, 8, 0, 0, FLOAT64, MGC_TFLAG_NAMED,               \
        type_equal_f64)                                                        \
  BASIC(complex64, "float _Complex", 8, 4, 0, 0, COMPLEX64, MGC_TFLAG_NAMED,   \
        type_equal_c64)                                                        \
  BASIC(complex128, "double _Complex", 16, 8, 0, 0, COMPLEX128,                \
        MGC_TFLAG_NAMED, type_equal_c128)                                      \
  BASIC(string, "struct mgc_string", 16, 8, 8, 1, STRING, MGC_TFLAG_NAMED,     \
        type_equal_string)                                                     \
  BASIC(unsafe_pointer, "*void", 8, 8, 8, 1, UNSAFE_POINTER, PTR,              \
        mgc_memequal64)                                                        \
  BASIC(eface, "struct mgc_eface", 16, 8, 16, 2, INTERFACE, MGC_TFLAG_NAMED,   \
        0)                                                                     \
  BASIC(func, "mgc_func", 8, 8, 8, 1, FUNC, SHAPED, 0)                         \
  BASIC(map, "mgc_map", 8, 8, 8, 1, MAP, SHAPED, 0)                            \
  BASIC(chan, "mgc_chan", 8, 8, 8, 1, CHAN, PTR, mgc_memequal64)

#define DECLARE(id, ...)                                                       \
  extern const struct mgc_type type_##id __attribute__((visibility("hidde"     \
                                                                   "n")));
BASICS(DECLARE)

/* The 16 zero bytes behind are the tail of an interface type without methods. */
#define EMIT(id, text, size_, align_, ptrdata_, mask_, kind_, tflag_, equal_)  \
  __asm__ volatile(                                                            \
      ".pushsection .rodata.mgc_basic,\"a\",%%progbits\n"                      \
      "77001: .uleb128 %c[len]\n .ascii \"" text "\"\n .byte 0\n"              \
      ".balign 8\n 77003: .quad %c[mask]\n"                                    \
      ".popsection\n"                                                          \
      ".pushsection .data.rel.ro.mgc_basic,\"aw\",%%progbits\n .balign 16\n"   \
      ".globl type_" #id "\n .hidden type_" #id "\n"                           \
      ".type type_" #id ", %%object\n .size type_" #id ", 64\n"                \
      "type_" #id ": .quad %c[size], %c[ptr]\n"                                \
      ".long %c[hash]\n .byte %c[tflag], %c[align], %c[align], %c[kind]\n"     \
      ".quad " #equal_ "\n"                                                    \
      ".if %c[ptr] > 0\n .quad 77003b\n .else\n .quad 0\n .endif\n"            \
      ".long 77001b - ., 0\n .quad 0, 0\n"                                     \
      ".popsection\n" ::[len] "i"(sizeof(text) - 1),                           \
      [mask] "i"(mask_), [size] "i"(size_), [ptr] "i"(ptrdata_),               \
      [hash] "i"((int32_t)MGC_TYPE_HASH(size_, ptrdata_, align_,               \
                                        MGC_KIND_##kind_, sizeof(text) - 1)),  \
      [tflag] "i"(tflag_), [align] "i"(align_), [kind] "i"(MGC_KIND_##kind_));

static __attribute__((used, noinline, cold)) void basic_types(void) {
  BASICS(EMIT)
}

#define ADDRESS(id, ...) &type_##id,
const struct mgc_type *const mgc_basic_types[MGC_NBASIC]
    __attribute__((visibility("default"))) = {BASICS(ADDRESS)};

/*
 * Types that mgc_new(T) knows without a declaration, by normalised name. Integers
 * that could hold a pointer and are not plainly numbers (long, uintptr_t, ...)
 * are not among them: they are scanned conservatively.
 */
static const struct {
  const char *name;
  const struct mgc_type *type;
} c_names[] = {
    {"char", &type_int8},
    {"signed char", &type_int8},
    {"unsigned char", &type_uint8},
    {"short", &type_int16},
    {"short int", &type_int16},
    {"unsigned short", &type_uint16},
    {"unsigned short int", &type_uint16},
    {"int", &type_int32},
    {"unsigned", &type_uint32},
    {"unsigned int", &type_uint32},
    {"int8_t", &type_int8},
    {"uint8_t", &type_uint8},
    {"int16_t", &type_int16},
    {"uint16_t", &type_uint16},
    {"int32_t", &type_int32},
    {"uint32_t", &type_uint32},
    {"int64_t", &type_int64},
    {"uint64_t", &type_uint64},
    {"size_t", &type_uint64},
    {"ssize_t", &type_int64},
    {"ptrdiff_t", &type_int64},
    {"bool", &type_bool},
    {"_Bool", &type_bool},
    {"float", &type_float32},
    {"double", &type_float64},
    {"float _Complex", &type_complex64},
    {"double _Complex", &type_complex128},
    {"_Complex float", &type_complex64},
    {"_Complex double", &type_complex128},
    {"*void", &type_unsafe_pointer},
    {"*char", &type_unsafe_pointer},
    {"struct mgc_string", &type_string},
    {"struct mgc_eface", &type_eface},
};

const struct mgc_type *type_basic_find(const char *name, size_t n) {
  for (size_t i = 0; i < sizeof(c_names) / sizeof(c_names[0]); i++)
    if (strlen(c_names[i].name) == n && memcmp(c_names[i].name, name, n) == 0)
      return c_names[i].type;
  return NULL;
}
