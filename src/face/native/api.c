// SPDX-License-Identifier: MIT
/*
 * The native face: the public allocation functions. They check arguments, set
 * errno, and call alloc/. The collector's functions are in control.c.
 */
#include "alloc/free.h"
#include "alloc/init.h"
#include "alloc/malloc.h"
#include <errno.h>
#include <mallocgc.h>
#include <string.h>

#define API __attribute__((visibility("default")))

#define MAX_ALIGN ((size_t)1 << 30)

static void *checked(void *p) {
  if (unlikely(!p)) errno = ENOMEM;
  return p;
}

/* One byte more than asked, so that a pointer one past the end, which C allows
 * and compilers make, still points into the object. */
static bool with_end(size_t n, size_t *padded) {
  return !__builtin_add_overflow(n, 1, padded) && n <= PTRDIFF_MAX;
}

API int mgc_init(void) { return heap_default() ? 0 : -ENOMEM; }

API const char *mgc_version(void) { return MGC_VERSION_STRING; }

API void *mgc_new_slow(struct mgc_typeslot *slot) {
  return checked(alloc_from_slot(slot));
}

/* An array of n values of type at the given alignment. */
static void *new_array(const struct mgc_type *type, size_t size, size_t align,
                       size_t n) {
  size_t bytes, padded;
  if (unlikely(__builtin_mul_overflow(size, n, &bytes) ||
               !with_end(bytes, &padded))) {
    errno = ENOMEM;
    return NULL;
  }
  if (bytes == 0) padded = 0;
  return checked(mallocgc(padded, type, align, true));
}

API void *mgc_new_array_from(struct mgc_typeslot *slot, size_t n) {
  return new_array(mgc_typeslot_type(slot), slot->size, slot->align, n);
}

API void *mgc_newarray(const struct mgc_type *type, size_t n) {
  return new_array(type, type->size, type->align, n);
}

API void *mgc_newobject(const struct mgc_type *type) {
  return checked(mallocgc(type->size, type, 0, true));
}

API void *mgc_mallocgc(size_t size, const struct mgc_type *type,
                       bool needzero) {
  if (unlikely(size > PTRDIFF_MAX)) return checked(NULL);
  return checked(mallocgc(size, type, 0, needzero));
}

API void *mgc_new_noscan(size_t n) {
  size_t padded;
  if (unlikely(!with_end(n, &padded))) return checked(NULL);
  size_t align = alloc_natural_align(n);
  return checked(mallocgc(n == 0 ? 0 : padded, NULL, align, false));
}

API void *mgc_alloc(size_t n) {
  size_t padded;
  if (unlikely(!with_end(n, &padded))) return checked(NULL);
  size_t align = alloc_natural_align(n);
  /* The collector reads whole words: an object under 8 bytes gets 8. */
  if (align < 8) align = 8;
  return checked(
      mallocgc(n == 0 ? 0 : padded, &mgc_type_conservative, align, true));
}

API void *mgc_alloc_aligned(size_t align, size_t n) {
  size_t padded;
  if (!is_pow2(align) || align > MAX_ALIGN) {
    errno = EINVAL;
    return NULL;
  }
  if (unlikely(!with_end(n, &padded))) return checked(NULL);
  return checked(
      mallocgc(padded, &mgc_type_conservative, align < 8 ? 8 : align, true));
}

API char *mgc_strndup(const char *s, size_t n) {
  size_t len = strnlen(s, n);
  char *p = checked(mallocgc(len + 1, NULL, 1, false));
  if (!p) return NULL;
  memcpy(p, s, len);
  p[len] = '\0';
  return p;
}

API char *mgc_strdup(const char *s) { return mgc_strndup(s, SIZE_MAX - 1); }

API void *mgc_realloc(void *p, size_t size) {
  if (!p) return mgc_alloc(size);
  struct thread *t = thread_get();
  if (unlikely(!t || size >= PTRDIFF_MAX)) return checked(NULL);
  if (size != 0) return checked(object_realloc(t, p, size));
  object_free(t, p);
  return zerobase;
}

API void mgc_free(void *p) {
  if (!p) return;
  struct thread *t = thread_get();
  if (t) object_free(t, p);
}

API void *mgc_base(const void *p) {
  struct heap *h = atomic_ptr_load_acquire(&heap_default_ptr);
  struct object_ref o;
  if (!h || !object_find(h, (uintptr_t)p, &o)) return NULL;
  return (void *)o.base;
}

API size_t mgc_usable_size(const void *p) {
  struct heap *h = atomic_ptr_load_acquire(&heap_default_ptr);
  struct object_ref o;
  if (!h || !object_find(h, (uintptr_t)p, &o)) return 0;
  return o.span->elemsize;
}
