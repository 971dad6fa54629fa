// SPDX-License-Identifier: MIT
/*
 * Type descriptors: what the collector knows about a C type.
 *
 * A descriptor (struct mgc_type, 48 bytes, constant) says how big a type is and
 * which of its words may hold pointers. Descriptors come from three places: the
 * macro MGC_TYPE (mallocgc/declare.h), an object file made from the program's
 * debug information, and mgc_type_make and its companions at run time. The
 * field names, kind numbers and flag numbers are Go's (internal/abi/type.go).
 *
 * Where descriptors live. Each module (the program, a shared library) has four
 * ELF sections, which the linker gathers from its object files:
 *
 *   mgc_types    descriptors, each 8-aligned and followed by its tail (below)
 *   mgc_names    names: uleb128 length, the bytes, a NUL
 *   mgc_gcdata   pointer masks and programs
 *   mgc_fields   struct mgc_field records, 40 bytes each
 *
 * and registers their bounds as its struct mgc_moduledata from a constructor.
 *
 * Offsets. A 32-bit offset in a descriptor or record is relative to the place
 * of the offset itself: a name's record is at (char *)&t->str + t->str. The
 * linker resolves it, it needs no relocation at run time, and a reader of the
 * file needs none either. 0 means absent.
 *
 * Tails. What follows the 48 bytes depends on the kind: struct mgc_structtail
 * for MGC_KIND_STRUCT, mgc_elemtail for POINTER, ARRAY and SLICE,
 * mgc_interfacetail for INTERFACE, nothing for the others; then, with
 * MGC_TFLAG_UNCOMMON, struct mgc_uncommon. mgc_type_footprint gives the sum, so
 * that a section can be walked.
 *
 * Pointer data. `ptrdata` is the length of the prefix that holds all pointers.
 * Up to MGC_MASK_WORDS words of it, and for every type made at run time from a
 * mask, `gcdata` is a bit mask: bit i (least significant first) is word i; the
 * mask is 8-aligned and padded with zero bits to whole 64-bit words. For more
 * words the kind carries MGC_KIND_GCPROG and gcdata points to a struct
 * mgc_gcprog: the field records, with repeat counts, are the program.
 */
#ifndef MALLOCGC_TYPE_H
#define MALLOCGC_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define MGC_STATIC_ASSERT static_assert
#else
#define MGC_STATIC_ASSERT _Static_assert
#endif

/** Go's kinds with Go's numbers. C's struct and union are MGC_KIND_STRUCT. */
enum mgc_kind {
  MGC_KIND_INVALID = 0,
  MGC_KIND_BOOL = 1,
  MGC_KIND_INT = 2,
  MGC_KIND_INT8 = 3,
  MGC_KIND_INT16 = 4,
  MGC_KIND_INT32 = 5,
  MGC_KIND_INT64 = 6,
  MGC_KIND_UINT = 7,
  MGC_KIND_UINT8 = 8,
  MGC_KIND_UINT16 = 9,
  MGC_KIND_UINT32 = 10,
  MGC_KIND_UINT64 = 11,
  MGC_KIND_UINTPTR = 12,
  MGC_KIND_FLOAT32 = 13,
  MGC_KIND_FLOAT64 = 14,
  MGC_KIND_COMPLEX64 = 15,
  MGC_KIND_COMPLEX128 = 16,
  MGC_KIND_ARRAY = 17,
  MGC_KIND_CHAN = 18,
  MGC_KIND_FUNC = 19,
  MGC_KIND_INTERFACE = 20,
  MGC_KIND_MAP = 21,
  MGC_KIND_POINTER = 22,
  MGC_KIND_SLICE = 23,
  MGC_KIND_STRING = 24,
  MGC_KIND_STRUCT = 25,
  MGC_KIND_UNSAFE_POINTER = 26,
  MGC_NKINDS = 27,
  /* Flag in the kind byte: gcdata is a struct mgc_gcprog. */
  MGC_KIND_GCPROG = 1 << 6,
  MGC_KIND_MASK = (1 << 5) - 1
};

enum mgc_tflag {
  /* A struct mgc_uncommon (methods) follows the descriptor and its tail. */
  MGC_TFLAG_UNCOMMON = 1 << 0,
  /* The name record carries a '*' in front that is not part of the name: the
   * pointer type shares the record. */
  MGC_TFLAG_EXTRA_STAR = 1 << 1,
  MGC_TFLAG_NAMED = 1 << 2,
  /* Equality is memcmp and the hash is the memory hash over size bytes. */
  MGC_TFLAG_REGULAR_MEMORY = 1 << 3,
  /* The bit mask may be built from the program on demand and is kept. */
  MGC_TFLAG_GCMASK_ONDEMAND = 1 << 4,
  /* The value itself, one pointer word, stands in an interface's data word. */
  MGC_TFLAG_DIRECT_IFACE = 1 << 5
};

/* Types with at most this many pointer-bearing words have a bit mask. */
#define MGC_MASK_WORDS 64

/** A type descriptor. Constant after its module is registered. */
struct mgc_type {
  size_t size;    /* sizeof: bytes from one array element to the next */
  size_t ptrdata; /* bytes of the prefix that holds all pointers; 0: none */
  uint32_t hash;  /* equal for equal types, see MGC_TYPE_HASH */
  uint8_t tflag;  /* enum mgc_tflag */
  uint8_t align;  /* of a variable, at most 128 */
  uint8_t field_align;
  uint8_t kind; /* enum mgc_kind, perhaps with MGC_KIND_GCPROG */
  /* Equality of two values; NULL: see MGC_TFLAG_REGULAR_MEMORY, the fields of
   * the tail, or not comparable. */
  bool (*equal)(const void *a, const void *b);
  const uint8_t *gcdata;
  int32_t str;         /* nameOff: place-relative, to the name record */
  int32_t ptr_to_this; /* typeOff: place-relative, to the pointer type, or 0 */
};
MGC_STATIC_ASSERT(sizeof(struct mgc_type) == 48, "Go's abi.Type is 48 bytes");

/* MGC_FIELD_POINTER: the words of the field may hold pointers.
 * MGC_FIELD_EACH: the nsub records that follow describe one element of an array
 * at `offset` with `stride`; their offsets are relative to the element. */
enum mgc_fieldflag { MGC_FIELD_POINTER = 1, MGC_FIELD_EACH = 2 };

/** A listed field; section mgc_fields. Records stand in preorder: a group and
 * then its members. The POINTER and EACH records of a type are its pointer
 * program. */
struct mgc_field {
  int32_t name;    /* place-relative, to the name record; 0: none */
  uint8_t kind;    /* enum mgc_kind, 0 when not known */
  uint8_t flags;   /* enum mgc_fieldflag */
  uint16_t nsub;   /* records that follow and belong to this one */
  uint64_t offset; /* bytes from the start of the struct or element */
  uint64_t size;   /* bytes of the whole field */
  uint64_t stride; /* bytes from element to element when EACH, else 0 */
  const struct mgc_type *type; /* NULL when not known */
};
MGC_STATIC_ASSERT(sizeof(struct mgc_field) == 40, "format of mgc_fields");

/** Pointer program of a type with more than MGC_MASK_WORDS pointer words. */
struct mgc_gcprog {
  uint64_t *mask; /* atomic: NULL until the mask was built on demand */
  int32_t fields; /* place-relative, to the first record */
  uint32_t nfields;
};
MGC_STATIC_ASSERT(sizeof(struct mgc_gcprog) == 16, "format of mgc_gcdata");

struct mgc_structtail {
  int32_t fields; /* place-relative, to the first record; 0: none */
  uint32_t nfields;
  /* Hash of a value; NULL: regular memory, by fields, or not hashable. */
  uint64_t (*hash)(const void *p, uint64_t seed);
};

struct mgc_elemtail {
  const struct mgc_type *elem;
  size_t len; /* elements of an array; 0 for the other kinds */
};

/** A method that an interface asks for. */
struct mgc_imethod {
  const char *name;
};

struct mgc_interfacetail {
  const struct mgc_imethod *methods; /* in the order of itab->fun */
  size_t nmethods;
};

/** A method that a type has. */
struct mgc_method {
  const char *name;
  void (*fn)(void); /* cast to its real type by the caller */
};

struct mgc_uncommon {
  const struct mgc_method *methods;
  uint32_t nmethods;
  uint32_t reserved;
};

/** The bounds of one module's sections. Filled in by the module's constructor,
 * see mallocgc/declare.h; owned by the registry while registered. */
struct mgc_moduledata {
  const char *types, *etypes;
  const char *names, *enames;
  const char *gcdata, *egcdata;
  const char *fields, *efields;
  struct mgc_moduledata *next; /* registry lock */
  uint32_t registered;         /* registry lock */
  uint16_t version;            /* MGC_TYPE_VERSION of the module */
  uint16_t permanent;          /* a program: it is never closed */
};
#define MGC_TYPE_VERSION 1

/** The run of the hash that every producer of descriptors must give. kind is
 * without flags, namelen is of the name without an extra star. */
#define MGC_TYPE_HASH(size, ptrdata, align, kind, namelen)                     \
  ((uint32_t)((uint32_t)(size)*0x9E3779B1u ^ (uint32_t)(ptrdata)*0x85EBCA77u ^ \
              ((uint32_t)(align) << 8 | (uint32_t)(kind)) * 0xC2B2AE3Du ^      \
              (uint32_t)(namelen)*0x27D4EB2Fu))

/* The module's own moduledata; NULL address where it declares no type. */
extern struct mgc_moduledata mgc_module_local
    __attribute__((weak, visibility("hidden")));

/** One use of a type by name: the cache of its lookup, and of what allocation
 * needs to know about it. Programs do not look inside. */
struct mgc_typeslot {
  /* The first 16 bytes are for the inlined allocation, see mallocgc/alloc.h:
   * written by the allocator, match last, with release. */
  const struct mgc_type *match; /* NULL: take the slow path */
  uint32_t run_offset;
  uint32_t elemsize;
  const struct mgc_type *type; /* NULL until resolved; written with release */
  const char *name;            /* const from here on: as written */
  size_t size;
  uint32_t align;
  uint32_t flags;                /* 0 */
  struct mgc_moduledata *module; /* of the use; NULL: it declares no types */
};

#define MGC_TYPESLOT_INIT(T)                                                   \
  { 0, 0, 0, 0, #T, sizeof(T), (uint32_t) __alignof__(T), 0, &mgc_module_local }

/**
 * Resolves a slot by name. A type of the slot's own module is used as it is, a
 * type of another module is copied first, so that dlclose cannot take it away.
 *
 * Units:   none.
 * Returns: the type; &mgc_type_conservative where none of that name and size is
 *          known. Never NULL.
 * Errors:  none.
 * Threads: any; concurrent calls for one slot agree.
 */
const struct mgc_type *mgc_typeslot_resolve(struct mgc_typeslot *slot);

static inline const struct mgc_type *mgc_typeslot_type(struct mgc_typeslot *s) {
  /* acquire: pairs with the release in mgc_typeslot_resolve */
  const struct mgc_type *t = __atomic_load_n(&s->type, __ATOMIC_ACQUIRE);
  return __builtin_expect(t != 0, 1) ? t : mgc_typeslot_resolve(s);
}

/** The descriptor of T, looked up by name once for each place of use. */
#define mgc_typeof(T)                                                          \
  (__extension__({                                                             \
    static struct mgc_typeslot mgc_slot_ = MGC_TYPESLOT_INIT(T);               \
    mgc_typeslot_type(&mgc_slot_);                                             \
  }))

/** Go's string header, the value of MGC_KIND_STRING. */
struct mgc_string {
  const char *ptr;
  size_t len;
};

/* Descriptors that the library has. They are reached through a table of
 * pointers, because a linker may copy an exported object into the program, and
 * a copy's place-relative offsets would be wrong. */
enum mgc_basic {
  MGC_BASIC_CONSERVATIVE,
  MGC_BASIC_BYTES,
  MGC_BASIC_BOOL,
  MGC_BASIC_INT,
  MGC_BASIC_INT8,
  MGC_BASIC_INT16,
  MGC_BASIC_INT32,
  MGC_BASIC_INT64,
  MGC_BASIC_UINT,
  MGC_BASIC_UINT8,
  MGC_BASIC_UINT16,
  MGC_BASIC_UINT32,
  MGC_BASIC_UINT64,
  MGC_BASIC_UINTPTR,
  MGC_BASIC_FLOAT32,
  MGC_BASIC_FLOAT64,
  MGC_BASIC_COMPLEX64,
  MGC_BASIC_COMPLEX128,
  MGC_BASIC_STRING,
  MGC_BASIC_UNSAFE_POINTER,
  MGC_BASIC_EFACE,
  MGC_BASIC_FUNC,
  MGC_BASIC_MAP,
  MGC_BASIC_CHAN,
  MGC_NBASIC
};
extern const struct mgc_type *const mgc_basic_types[MGC_NBASIC];

/* Every word may be a pointer; objects of any size. */
#define mgc_type_conservative (*mgc_basic_types[MGC_BASIC_CONSERVATIVE])
/* No word is a pointer; objects of any size. */
#define mgc_type_bytes (*mgc_basic_types[MGC_BASIC_BYTES])
#define mgc_type_bool (*mgc_basic_types[MGC_BASIC_BOOL])
#define mgc_type_int (*mgc_basic_types[MGC_BASIC_INT])
#define mgc_type_int8 (*mgc_basic_types[MGC_BASIC_INT8])
#define mgc_type_int16 (*mgc_basic_types[MGC_BASIC_INT16])
#define mgc_type_int32 (*mgc_basic_types[MGC_BASIC_INT32])
#define mgc_type_int64 (*mgc_basic_types[MGC_BASIC_INT64])
#define mgc_type_uint (*mgc_basic_types[MGC_BASIC_UINT])
#define mgc_type_uint8 (*mgc_basic_types[MGC_BASIC_UINT8])
#define mgc_type_uint16 (*mgc_basic_types[MGC_BASIC_UINT16])
#define mgc_type_uint32 (*mgc_basic_types[MGC_BASIC_UINT32])
#define mgc_type_uint64 (*mgc_basic_types[MGC_BASIC_UINT64])
#define mgc_type_uintptr (*mgc_basic_types[MGC_BASIC_UINTPTR])
#define mgc_type_float32 (*mgc_basic_types[MGC_BASIC_FLOAT32])
#define mgc_type_float64 (*mgc_basic_types[MGC_BASIC_FLOAT64])
#define mgc_type_complex64 (*mgc_basic_types[MGC_BASIC_COMPLEX64])
#define mgc_type_complex128 (*mgc_basic_types[MGC_BASIC_COMPLEX128])
#define mgc_type_string (*mgc_basic_types[MGC_BASIC_STRING])
#define mgc_type_unsafe_pointer (*mgc_basic_types[MGC_BASIC_UNSAFE_POINTER])
#define mgc_type_eface (*mgc_basic_types[MGC_BASIC_EFACE])

/**
 * The kind of a type without its flag bits.
 *
 * Units: none.  Errors: none.  Threads: any.
 */
static inline enum mgc_kind mgc_type_kind(const struct mgc_type *t) {
  return (enum mgc_kind)(t->kind & MGC_KIND_MASK);
}

/**
 * True when values of the type hold no pointers.
 *
 * Units: none.  Errors: none.  Threads: any.
 */
static inline bool mgc_type_is_noscan(const struct mgc_type *t) {
  return t->ptrdata == 0;
}

/**
 * Bytes that the descriptor takes in section mgc_types with its tails.
 *
 * Units: bytes, a multiple of 8.  Errors: none.  Threads: any.
 */
static inline size_t mgc_type_footprint(const struct mgc_type *t) {
  size_t n = sizeof(struct mgc_type);
  switch (t->kind & MGC_KIND_MASK) {
  case MGC_KIND_STRUCT:
    n += sizeof(struct mgc_structtail);
    break;
  case MGC_KIND_POINTER:
  case MGC_KIND_ARRAY:
  case MGC_KIND_SLICE:
    n += sizeof(struct mgc_elemtail);
    break;
  case MGC_KIND_INTERFACE:
    n += sizeof(struct mgc_interfacetail);
    break;
  default:
    break;
  }
  if (t->tflag & MGC_TFLAG_UNCOMMON) n += sizeof(struct mgc_uncommon);
  return n;
}

/**
 * The type's name as the program writes it ("struct node"); a pointer type's
 * has its stars in front ("*struct node"), as in Go.
 *
 * Units:   none.
 * Returns: a NUL-terminated string that lives as long as the descriptor; "" for
 *          a type without a name.
 * Errors:  none.
 * Threads: any.
 */
const char *mgc_type_name(const struct mgc_type *t);

/**
 * A descriptor of that name in any registered module.
 * Spaces are free ("struct node*" is "struct node *").
 *
 * Units:   none.
 * Returns: the descriptor, or NULL when there is none, or when modules disagree
 *          about its layout. It is valid until its module is closed.
 * Errors:  NULL only.
 * Threads: any.
 */
const struct mgc_type *mgc_type_find(const char *name);

/**
 * True when the two descriptors are of one type: the same name, kind and
 * layout, whatever modules they are in.
 *
 * Units: none.  Errors: none.  Threads: any.
 */
bool mgc_type_equal(const struct mgc_type *a, const struct mgc_type *b);

/**
 * The element type of a pointer, array or slice type; NULL for other kinds and
 * where it is not known.
 *
 * Units: none.  Errors: none.  Threads: any.
 */
const struct mgc_type *mgc_type_elem(const struct mgc_type *t);

/**
 * The listed fields of a struct type.
 *
 * Units:   *n is a count of records, groups' members included.
 * Returns: the first record, NULL when there is none.
 * Errors:  none.
 * Threads: any.
 */
const struct mgc_field *mgc_type_fields(const struct mgc_type *t, size_t *n);

/**
 * The name of a listed field, "" when it has none.
 *
 * Units: none.  Errors: none.  Threads: any.
 */
const char *mgc_field_name(const struct mgc_field *f);

/**
 * The methods of a type.
 *
 * Units:   *n is a count.
 * Returns: the first, NULL when the type has none.
 * Errors:  none.
 * Threads: any.
 */
const struct mgc_method *mgc_type_methods(const struct mgc_type *t, size_t *n);

/**
 * Makes a descriptor at run time from a pointer mask.
 *
 * Units:     size and align in bytes; mask has a bit for each of nwords words,
 *            least significant first; words past nwords hold no pointers.
 * Returns:   the descriptor. Equal arguments give one descriptor.
 * Errors:    NULL with errno EINVAL when align is not a power of two up to 128,
 *            size is no multiple of align, the mask does not fit in size, or
 *            align is under 8 with pointers; ENOMEM.
 * Threads:   any.
 * Ownership: the library's, for ever. name and mask are copied.
 */
const struct mgc_type *mgc_type_make(const char *name, size_t size,
                                     size_t align, const uint8_t *mask,
                                     size_t nwords);

/** A field for mgc_type_struct. */
struct mgc_structfield {
  const char *name;
  const struct mgc_type *type;
  size_t offset; /* bytes */
};

/**
 * Makes a struct type at run time from typed fields. Its values are hashed and
 * compared field by field.
 *
 * Units:     bytes.
 * Returns:   the descriptor. Equal arguments give one descriptor.
 * Errors:    NULL with errno EINVAL when a field does not fit or is not aligned
 *            to its type, or there are more than 65,535 fields; ENOMEM.
 * Threads:   any.
 * Ownership: the library's, for ever. Names are copied; the fields' types must
 *            stay.
 */
const struct mgc_type *mgc_type_struct(const char *name, size_t size,
                                       size_t align,
                                       const struct mgc_structfield *fields,
                                       size_t nfields);

/**
 * The type of an array of n elements.
 *
 * Units:     n counts elements.
 * Returns:   the descriptor. Equal arguments give one descriptor.
 * Errors:    NULL with errno ENOMEM, also when the size overflows.
 * Threads:   any.
 * Ownership: the library's, for ever; elem must stay.
 */
const struct mgc_type *mgc_type_array(const struct mgc_type *elem, size_t n);

/**
 * The type of a pointer to elem: its ptr_to_this, or one made now.
 *
 * Units: none.
 * Errors:    NULL with errno ENOMEM.
 * Threads:   any.
 * Ownership: the library's, for ever; elem must stay.
 */
const struct mgc_type *mgc_type_pointer(const struct mgc_type *elem);

/**
 * The hash of the value at p (Go: typehash). Equal values hash equal under one
 * seed: +0 and -0 too; each NaN gets another hash every time.
 *
 * Units:   none.
 * Returns: true and *hash; false when the type is not hashable (func, map,
 *          slice, a struct of unknown fields, or an interface that holds such a
 *          value): errno EINVAL, *hash is 0.
 * Errors:  as said.
 * Threads: any; the value must not change meanwhile.
 */
bool mgc_type_hash(const struct mgc_type *t, const void *p, uint64_t seed,
                   uint64_t *hash);

enum mgc_equality { MGC_NOT_EQUAL, MGC_EQUAL, MGC_NOT_COMPARABLE };

/**
 * Compares the values at p and q by their type, as Go's == does.
 *
 * Units:   none.
 * Returns: MGC_EQUAL or MGC_NOT_EQUAL; MGC_NOT_COMPARABLE with errno EINVAL for
 *          the types that mgc_type_hash refuses.
 * Errors:  as said.
 * Threads: any; the values must not change meanwhile.
 */
enum mgc_equality mgc_type_equal_values(const struct mgc_type *t, const void *p,
                                        const void *q);

/* Regular memory of the common sizes, for `equal` (Go: memequal64 and so on).
 * Units: none.  Errors: none.  Threads: any. */
bool mgc_memequal8(const void *a, const void *b);
bool mgc_memequal16(const void *a, const void *b);
bool mgc_memequal32(const void *a, const void *b);
bool mgc_memequal64(const void *a, const void *b);
bool mgc_memequal128(const void *a, const void *b);

/**
 * Adds a module's types to those that are found by name. Called by the module's
 * constructor; a second call for one module does nothing.
 *
 * Units:     none.
 * Errors:    none; a module of another MGC_TYPE_VERSION is left out.
 * Threads:   any.
 * Ownership: m and its sections must stay until mgc_module_unregister.
 */
void mgc_module_register(struct mgc_moduledata *m);

/**
 * Takes a module back, before dlclose unmaps it. Objects that were allocated by
 * its descriptors live on: the heap forgets the descriptors in this call.
 *
 * Units: none.  Errors: none.  Threads: any.
 */
void mgc_module_unregister(struct mgc_moduledata *m);

#ifdef __cplusplus
}
#endif

#endif
