// SPDX-License-Identifier: MIT
/*
 * operator new and delete in all their forms, by their Itanium names, without a
 * C++ compiler and without libstdc++: a C program that has this library preloaded
 * must not get that one with it.
 *
 * A program may replace any form, and the defaults of the others build on what it
 * replaced, as the standard has it. A program with a new and a delete of its own
 * would else have its blocks freed by ours. So a form calls the next one as the
 * program has it (struct cxx_program, one jump), as libstdc++'s do:
 *
 *   new[](...)                 new(...)
 *   new(..., nothrow)          new(...), and NULL for what it throws
 *   new[](..., nothrow)        new[](...), likewise
 *   delete(p, n), (p, nothrow)      delete(p); aligned ones delete(p, align)
 *   delete[](p, n), (p, nothrow)    delete[](p); likewise
 *   delete[](...)              delete(...)
 *
 * C cannot catch. While new is ours, nothrow new allocates itself; when that fails,
 * or new is the program's, the C++ runtime's own nothrow form does it.
 *
 * When memory is exhausted: the new-handler, again and again, and when there is
 * none std::bad_alloc, both through the C++ runtime, which is looked for only then.
 * No lock of ours is held: the search and the throw allocate. The frames here have
 * unwind tables, as all code of this platform, so exceptions pass through them.
 */
#include "face/malloc/cxx.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "base/fatal.h"
#include "face/malloc/mface.h"
#include <dlfcn.h>
#include <errno.h>

/* --- the C++ runtime --- */

/* A function of it as what it is. */
union symbol {
  void *address;
  void (*(*get_new_handler)(void))(void);
  void (*throw_bad_alloc)(void);
  void *(*nothrow)(size_t n, const struct nothrow *tag);
  void *(*align_nothrow)(size_t n, size_t a, const struct nothrow *tag);
};

static void *find_in(const char *library, const char *name) {
  void *h = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
  if (!h) return NULL;
  void *p = dlsym(h, name);
  dlclose(h); /* whoever loaded it still has it */
  return p;
}

/* By its mangled name, from behind this library in the order of loading. */
static union symbol find(const char *name) {
  /* A C program that has a C++ plugin loaded it outside of the global scope. */
  static const char *const libraries[] = {"libstdc++.so.6", "libc++abi.so.1",
                                          "libc++.so.1"};
  union symbol s = {dlsym(RTLD_NEXT, name)};
  for (size_t i = 0; !s.address && i < array_len(libraries); i++)
    s.address = find_in(libraries[i], name);
  return s;
}

/* The same, remembered: of a program with a new of its own every nothrow new comes
 * here. */
static union symbol find_once(struct atomic_ptr *found, const char *name) {
  union symbol s = {atomic_ptr_load_relaxed(found)};
  if (s.address) return s;
  s = find(name);
  atomic_ptr_store_relaxed(found, s.address);
  return s;
}

/* The same for what this library does not define: the program may have it. */
static union symbol find_any(const char *name) {
  union symbol s = {dlsym(RTLD_DEFAULT, name)};
  return s.address ? s : find(name);
}

/* --- failure --- */

static void *try_align(size_t n, size_t a) {
  size_t end;
  void *p = NULL;
  if (is_pow2(a) && !__builtin_add_overflow(n, a, &end) && end <= PTRDIFF_MAX)
    p = a <= 16 ? mface_alloc(n) : mface_alloc_aligned(a, n);
  return p;
}

static MGC_NORETURN MGC_COLD void throw_bad_alloc(size_t n) {
  union symbol s = find_any("_ZSt17__throw_bad_allocv");
  errno = ENOMEM;
  if (s.address) s.throw_bad_alloc();
  fatal_user("out of memory",
             "operator new: size=%zu, no C++ runtime to throw bad_alloc", n);
}

static MGC_COLD void *new_slow(size_t n, size_t a) {
  if (!is_pow2(a)) throw_bad_alloc(n); /* no handler can help */
  union symbol s = find_any("_ZSt15get_new_handlerv");
  for (;;) {
    void (*handler)(void) = s.address ? s.get_new_handler() : NULL;
    if (!handler) throw_bad_alloc(n);
    handler();
    void *p = try_align(n, a);
    if (p) return p;
  }
}

/* name: the runtime's form of the same purpose. */
static MGC_COLD void *nothrow_slow(size_t n, const struct nothrow *tag,
                                   struct atomic_ptr *found, const char *name) {
  union symbol s = find_once(found, name);
  return s.address ? s.nothrow(n, tag) : NULL;
}

static MGC_COLD void *align_nothrow_slow(size_t n, size_t a,
                                         const struct nothrow *tag,
                                         struct atomic_ptr *found,
                                         const char *name) {
  union symbol s = find_once(found, name);
  return s.address ? s.align_nothrow(n, a, tag) : NULL;
}

/* --- new --- */

/* Ours, whatever the program has: the global names may be its. */
#define OURS(mangled) __attribute__((alias(mangled), unused))
static void *our_new(size_t n) OURS("_Znwm");
static void *our_new_align(size_t n, size_t a) OURS("_ZnwmSt11align_val_t");
static void *our_new_array(size_t n) OURS("_Znam");
static void *our_new_array_align(size_t n, size_t a)
    OURS("_ZnamSt11align_val_t");

static MGC_NOINLINE void *new_medium(size_t n) {
  void *p = mface_alloc(n);
  return likely(p != NULL) ? p : new_slow(n, 1);
}

void *op_new(size_t n) {
  void *p = mface_alloc_fast(n);
  return likely(p != NULL) ? p : new_medium(n);
}

void *op_new_align(size_t n, size_t a) {
  void *p = try_align(n, a);
  return likely(p != NULL) ? p : new_slow(n, a);
}

void *op_new_array(size_t n) { return cxx_program.new_plain(n); }

void *op_new_array_align(size_t n, size_t a) {
  return cxx_program.new_align(n, a);
}

void *op_new_nothrow(size_t n, const struct nothrow *tag) {
  if (likely(cxx_program.new_plain == our_new)) {
    void *p = mface_alloc(n);
    if (likely(p != NULL)) return p;
  }
  static struct atomic_ptr found;
  return nothrow_slow(n, tag, &found, "_ZnwmRKSt9nothrow_t");
}

void *op_new_array_nothrow(size_t n, const struct nothrow *tag) {
  if (likely(cxx_program.new_array == our_new_array &&
             cxx_program.new_plain == our_new)) {
    void *p = mface_alloc(n);
    if (likely(p != NULL)) return p;
  }
  static struct atomic_ptr found;
  return nothrow_slow(n, tag, &found, "_ZnamRKSt9nothrow_t");
}

void *op_new_align_nothrow(size_t n, size_t a, const struct nothrow *tag) {
  if (likely(cxx_program.new_align == our_new_align)) {
    void *p = try_align(n, a);
    if (likely(p != NULL)) return p;
  }
  static struct atomic_ptr found;
  return align_nothrow_slow(n, a, tag, &found,
                            "_ZnwmSt11align_val_tRKSt9nothrow_t");
}

void *op_new_array_align_nothrow(size_t n, size_t a,
                                 const struct nothrow *tag) {
  if (likely(cxx_program.new_array_align == our_new_array_align &&
             cxx_program.new_align == our_new_align)) {
    void *p = try_align(n, a);
    if (likely(p != NULL)) return p;
  }
  static struct atomic_ptr found;
  return align_nothrow_slow(n, a, tag, &found,
                            "_ZnamSt11align_val_tRKSt9nothrow_t");
}

/* --- delete: the size is not needed to find the span, and not believed; the
 * hardened allocator compares it, when what was allocated was so by our new --- */

static MGC_COLD MGC_NOINLINE void compare_size(void *p, size_t n) {
  if (cxx_program.new_plain == our_new) harden_check_size(p, n);
}

static MGC_ALWAYS_INLINE void check_size(void *p, size_t n) {
  if (unlikely(harden_on)) compare_size(p, n);
}

void op_delete(void *p) { mface_free(p); }

void op_delete_align(void *p, size_t a) {
  (void)a;
  mface_free(p);
}

void op_delete_array(void *p) { cxx_program.delete_plain(p); }

void op_delete_array_align(void *p, size_t a) {
  cxx_program.delete_align(p, a);
}

void op_delete_sized(void *p, size_t n) {
  check_size(p, n);
  cxx_program.delete_plain(p);
}

void op_delete_array_sized(void *p, size_t n) {
  check_size(p, n);
  cxx_program.delete_array(p);
}

void op_delete_sized_align(void *p, size_t n, size_t a) {
  check_size(p, n);
  cxx_program.delete_align(p, a);
}

void op_delete_array_sized_align(void *p, size_t n, size_t a) {
  check_size(p, n);
  cxx_program.delete_array_align(p, a);
}

void op_delete_nothrow(void *p, const struct nothrow *tag) {
  (void)tag;
  cxx_program.delete_plain(p);
}

void op_delete_array_nothrow(void *p, const struct nothrow *tag) {
  (void)tag;
  cxx_program.delete_array(p);
}

void op_delete_align_nothrow(void *p, size_t a, const struct nothrow *tag) {
  (void)tag;
  cxx_program.delete_align(p, a);
}

void op_delete_array_align_nothrow(void *p, size_t a,
                                   const struct nothrow *tag) {
  (void)tag;
  cxx_program.delete_array_align(p, a);
}
