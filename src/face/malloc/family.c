// SPDX-License-Identifier: MIT
/*
 * The C half of the malloc family but malloc and free, which are in entry.c: the
 * argument checks and the errno of glibc 2.36, on the functions of mface.h.
 *
 * What glibc does where the standards leave it open, and so what this does:
 *
 *   size 0            a unique pointer that can be freed
 *   realloc(p, 0)     frees p and returns NULL; errno is as it was
 *   over PTRDIFF_MAX  ENOMEM, whatever memory there is
 *   memalign          any alignment: up to 16 is malloc, others are rounded up to a
 *                     power of two, over half the address space is EINVAL.
 *                     aligned_alloc is the same function
 *   pvalloc           rounds the size up to whole pages, and 0 to 0
 *
 * One difference: posix_memalign leaves errno alone also when memory is exhausted,
 * as POSIX lets programs expect.
 *
 * The __libc_ names are those that glibc exports for allocators that wrap its own.
 * A program that takes memory by one of them gives it to free() later, so they
 * must lead here too (gperftools and mimalloc export them for that reason). cfree,
 * which glibc keeps for old binaries only, is not among them.
 */
#include "base/bits.h"
#include "face/malloc/mface.h"
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

API void free_sized(void *p, size_t size);
API void free_aligned_sized(void *p, size_t align, size_t size);
API void *__libc_malloc(size_t size);
API void *__libc_calloc(size_t n, size_t size);
API void *__libc_realloc(void *p, size_t size);
API void *__libc_memalign(size_t align, size_t size);
API void *__libc_valloc(size_t size);
API void *__libc_pvalloc(size_t size);
API void __libc_free(void *p);

static MGC_COLD void *no_memory(void) {
  errno = ENOMEM;
  return NULL;
}

static MGC_ALWAYS_INLINE void *checked(void *p) {
  return likely(p != NULL) ? p : no_memory();
}

static MGC_ALWAYS_INLINE void *zeroed(size_t n, size_t size) {
  size_t bytes;
  if (unlikely(__builtin_mul_overflow(n, size, &bytes))) return no_memory();
  return checked(mface_alloc_zeroed(bytes));
}

static MGC_ALWAYS_INLINE void *resized(void *p, size_t size) {
  if (unlikely(!p)) return checked(mface_alloc(size));
  if (likely(size != 0)) return checked(mface_realloc(p, size));
  mface_free(p);
  return NULL;
}

/* align: a power of two. */
static void *aligned(size_t align, size_t size) {
  size_t end;
  if (align <= 16) return mface_alloc(size);
  if (__builtin_add_overflow(align, size, &end) || end > PTRDIFF_MAX)
    return NULL;
  return mface_alloc_aligned(align, size);
}

static void *any_align(size_t align, size_t size) {
  if (align > SIZE_MAX / 2 + 1) {
    errno = EINVAL;
    return NULL;
  }
  if (align > 16 && !is_pow2(align))
    align = (size_t)1 << (64 - __builtin_clzll(align));
  return checked(aligned(align, size));
}

static void *whole_pages(size_t size) {
  size_t page = (size_t)getpagesize(), rounded;
  if (__builtin_add_overflow(size, page - 1, &rounded)) return no_memory();
  return checked(aligned(page, rounded & ~(page - 1)));
}

/* --- the family --- */

API void *calloc(size_t n, size_t size) { return zeroed(n, size); }

API void *realloc(void *p, size_t size) { return resized(p, size); }

API void *reallocarray(void *p, size_t n, size_t size) {
  size_t bytes;
  if (unlikely(__builtin_mul_overflow(n, size, &bytes))) return no_memory();
  return resized(p, bytes);
}

API void *memalign(size_t align, size_t size) { return any_align(align, size); }

API void *aligned_alloc(size_t align, size_t size) {
  return any_align(align, size);
}

API int posix_memalign(void **out, size_t align, size_t size) {
  if (!is_pow2(align) || align < sizeof(void *)) return EINVAL;
  int saved = errno;
  void *p = aligned(align, size);
  errno = saved;
  if (unlikely(!p)) return ENOMEM;
  *out = p;
  return 0;
}

API void *valloc(size_t size) {
  return checked(aligned((size_t)getpagesize(), size));
}

API void *pvalloc(size_t size) { return whole_pages(size); }

API size_t malloc_usable_size(void *p) { return p ? mface_usable(p) : 0; }

/* C23. The size is not needed to find the span, and not believed. */
API void free_sized(void *p, size_t size) {
  if (unlikely(harden_on)) harden_check_size(p, size);
  mface_free(p);
}

API void free_aligned_sized(void *p, size_t align, size_t size) {
  (void)align;
  if (unlikely(harden_on)) harden_check_size(p, size);
  mface_free(p);
}

/* --- glibc's names for wrappers --- */

API void *__libc_malloc(size_t size) { return checked(mface_alloc(size)); }
API void *__libc_calloc(size_t n, size_t size) { return zeroed(n, size); }
API void *__libc_realloc(void *p, size_t size) { return resized(p, size); }
API void *__libc_memalign(size_t align, size_t size) {
  return any_align(align, size);
}
API void *__libc_valloc(size_t size) {
  return checked(aligned((size_t)getpagesize(), size));
}
API void *__libc_pvalloc(size_t size) { return whole_pages(size); }
API void __libc_free(void *p) { mface_free(p); }
