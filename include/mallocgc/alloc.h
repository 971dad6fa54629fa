// SPDX-License-Identifier: MIT
/* Allocation on the collected heap. */
#ifndef MALLOCGC_ALLOC_H
#define MALLOCGC_ALLOC_H

#include <mallocgc/run.h>
#include <mallocgc/type.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For what the C library's malloc may assume too: a fresh object that nothing
 * else points to. */
#define MGC_ALLOC_FN __attribute__((malloc, warn_unused_result))

/**
 * Makes the default heap now, instead of at the first allocation. Never needed;
 * useful to learn early that address space is short.
 *
 * Units:   none.
 * Returns: 0.
 * Errors:  -ENOMEM when the heap cannot be had; one line on standard error says
 *          why. All later allocations give NULL.
 * Threads: any.
 */
int mgc_init(void);

/**
 * The library's version, "major.minor.patch".
 *
 * Units: none.  Errors: none.  Threads: any.
 */
const char *mgc_version(void);

/* The out-of-line half of mgc_new. Programs use the macro.
 * Units: none. Errors: NULL with errno ENOMEM. Threads: any. */
void *mgc_new_slow(struct mgc_typeslot *slot) MGC_ALLOC_FN;
/* The function behind mgc_new_array.
 * Units: n elements. Errors: as mgc_new_array. Threads: any. */
void *mgc_new_array_from(struct mgc_typeslot *slot, size_t n) MGC_ALLOC_FN;

static inline void *mgc_new_from(struct mgc_typeslot *slot) {
  /* acquire: pairs with the release that set the slot up */
  const struct mgc_type *match =
      __atomic_load_n(&slot->match, __ATOMIC_ACQUIRE);
  uint32_t offset = __atomic_load_n(&slot->run_offset, __ATOMIC_RELAXED);
  uint32_t elemsize = __atomic_load_n(&slot->elemsize, __ATOMIC_RELAXED);
  struct mgc_run *run = (struct mgc_run *)(void *)((char *)mgc_tls + offset);
  uintptr_t p;
  if (__builtin_expect(__atomic_load_n(&run->type, __ATOMIC_RELAXED) == match,
                       1) &&
      mgc_run_take(run, elemsize, &p))
    return (void *)p;
  return mgc_new_slow(slot);
}

#define MGC_SLOT(T)                                                            \
  (__extension__({                                                             \
    static struct mgc_typeslot mgc_slot_ = MGC_TYPESLOT_INIT(T);               \
    &mgc_slot_;                                                                \
  }))

/**
 * A zeroed object of type T. Its pointers are found by T's descriptor when the
 * program has one (MGC_TYPE, or generated); otherwise every word of it is taken
 * for a possible pointer.
 *
 * Units:     one T.
 * Returns:   the object, aligned for T.
 * Errors:    NULL with errno ENOMEM when memory is exhausted.
 * Threads:   any; a thread attaches itself at its first allocation.
 * GC:        may collect.
 * Ownership: the heap's: it lives while a pointer to it or into it is in a root
 *            or a live object.
 * Go:        new.
 */
#define mgc_new(T) ((T *)mgc_new_from(MGC_SLOT(T)))

/**
 * A zeroed array of n objects of type T. A pointer one past its end keeps it
 * alive too.
 *
 * Units:     n counts elements.
 * Returns:   the first element; a non-NULL address when n is 0.
 * Errors:    NULL with errno ENOMEM when memory is exhausted or n * sizeof(T)
 *            overflows.
 * Threads:   any.
 * GC:        may collect.
 * Ownership: the heap's, as mgc_new.
 * Go:        make([]T, n).
 */
#define mgc_new_array(T, n) ((T *)mgc_new_array_from(MGC_SLOT(T), (n)))

/**
 * n bytes that hold no pointers to collected objects, not initialised. For text,
 * numbers, buffers. Objects under 16 bytes share blocks.
 *
 * Units:     bytes.
 * Returns:   aligned for any type of n bytes or less; non-NULL when n is 0. A
 *            pointer one past the end keeps it alive too.
 * Errors:    NULL with errno ENOMEM.
 * Threads:   any.
 * GC:        may collect.
 * Ownership: the heap's, as mgc_new.
 */
void *mgc_new_noscan(size_t n) MGC_ALLOC_FN __attribute__((alloc_size(1)));

/**
 * n zeroed bytes of unknown contents: every aligned word may be a pointer.
 *
 * Units:     bytes.
 * Returns:   aligned for any type of n bytes or less; non-NULL when n is 0. A
 *            pointer one past the end keeps it alive too.
 * Errors:    NULL with errno ENOMEM.
 * Threads:   any.
 * GC:        may collect.
 * Ownership: the heap's, as mgc_new.
 */
void *mgc_alloc(size_t n) MGC_ALLOC_FN __attribute__((alloc_size(1)));

/**
 * As mgc_alloc, aligned to align.
 *
 * Units:     bytes; align is a power of two up to 1 GiB.
 * Returns:   as mgc_alloc.
 * Errors:    NULL with errno EINVAL for a bad align, ENOMEM.
 * Threads:   any.
 * GC:        may collect.
 * Ownership: the heap's, as mgc_new.
 */
void *mgc_alloc_aligned(size_t align, size_t n) MGC_ALLOC_FN
    __attribute__((alloc_size(2)));

/**
 * A copy of a string, without pointers.
 *
 * Units:     none; strndup's n is the most bytes to copy.
 * Errors:    NULL with errno ENOMEM.
 * Threads:   any.
 * GC:        may collect.
 * Ownership: the heap's, as mgc_new.
 */
char *mgc_strdup(const char *s) MGC_ALLOC_FN;
char *mgc_strndup(const char *s, size_t n) MGC_ALLOC_FN;

/**
 * A zeroed object of a type that is known at run time.
 *
 * Units:     one value of *type.
 * Returns:   the object, aligned for the type.
 * Errors:    NULL with errno ENOMEM.
 * Threads:   any.
 * GC:        may collect.
 * Ownership: the heap's, as mgc_new. *type must stay as long as the object.
 * Go:        runtime.newobject.
 */
void *mgc_newobject(const struct mgc_type *type) MGC_ALLOC_FN;

/**
 * A zeroed array of n values of a type that is known at run time.
 *
 * Units:     n counts elements.
 * Returns:   the first element; non-NULL when n is 0. A pointer one past the end
 *            keeps it alive too.
 * Errors:    NULL with errno ENOMEM, also when n * type->size overflows.
 * Threads:   any.
 * GC:        may collect.
 * Ownership: the heap's, as mgc_newobject.
 * Go:        runtime.newarray.
 */
void *mgc_newarray(const struct mgc_type *type, size_t n) MGC_ALLOC_FN;

/**
 * The function at the centre: size bytes for values of type, NULL for no
 * pointers; nothing is added for a pointer past the end.
 *
 * Units:     bytes; size is a multiple of type->size for an array.
 * Returns:   the object; zero when needzero or when it may hold pointers.
 * Errors:    NULL with errno ENOMEM.
 * Threads:   any.
 * GC:        may collect.
 * Ownership: the heap's, as mgc_newobject.
 * Go:        runtime.mallocgc.
 */
void *mgc_mallocgc(size_t size, const struct mgc_type *type,
                   bool needzero) MGC_ALLOC_FN;

/**
 * Resizes an object, in place where that is possible. What the collector knows of
 * its words is kept; an alignment beyond the type's and the size's is not. The old object is freed when it moves: no other pointer to
 * it may be used again. p NULL: as mgc_alloc.
 *
 * Units:     bytes. size 0 frees p and gives an object of size 0.
 * Returns:   the object; what is new in it is zero when it may hold pointers.
 * Errors:    NULL with errno ENOMEM, p as before; fatal as mgc_free.
 * Threads:   any.
 * GC:        may collect.
 * Ownership: the heap's, as mgc_new.
 */
void *mgc_realloc(void *p, size_t size) __attribute__((warn_unused_result));

/**
 * Gives an object back before the collector finds it dead: an optimisation, never
 * required. NULL is ignored. Objects without pointers of 16 bytes and less stay
 * with the collector, since several may share a block.
 *
 * Units:   none.
 * Errors:  fatal ("double free", "invalid free") when p is not the first byte of
 *          a live object.
 * Threads: any.
 */
void mgc_free(void *p);

/**
 * The first byte of the object that p points into.
 *
 * Units:   none.
 * Returns: NULL when p is not in a live object of the heap.
 * Errors:  NULL only.
 * Threads: any; the caller keeps the object alive.
 */
void *mgc_base(const void *p);

/**
 * How many bytes the object that p points into may use, from its first byte on.
 *
 * Units:   bytes, at least what was asked for.
 * Returns: 0 when p is not in a live object of the heap.
 * Errors:  0 only.
 * Threads: any; the caller keeps the object alive.
 */
size_t mgc_usable_size(const void *p);

#ifdef __cplusplus
}
#endif
#endif
