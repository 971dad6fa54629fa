// SPDX-License-Identifier: MIT
/* operator new and delete under names that C can write: see cxx.c. */
#ifndef MGC_MALLOC_CXX_H
#define MGC_MALLOC_CXX_H

#include <stddef.h>

#define CXX_FORM(mangled)                                                      \
  __asm__(mangled) __attribute__((visibility("default")))

struct nothrow; /* std::nothrow_t */

void *op_new(size_t n) CXX_FORM("_Znwm");
void *op_new_align(size_t n, size_t a) CXX_FORM("_ZnwmSt11align_val_t");
void *op_new_array(size_t n) CXX_FORM("_Znam");
void *op_new_array_align(size_t n, size_t a) CXX_FORM("_ZnamSt11align_val_t");
void *op_new_nothrow(size_t n, const struct nothrow *tag)
    CXX_FORM("_ZnwmRKSt9nothrow_t");
void *op_new_array_nothrow(size_t n, const struct nothrow *tag)
    CXX_FORM("_ZnamRKSt9nothrow_t");
void *op_new_align_nothrow(size_t n, size_t a, const struct nothrow *tag)
    CXX_FORM("_ZnwmSt11align_val_tRKSt9nothrow_t");
void *op_new_array_align_nothrow(size_t n, size_t a, const struct nothrow *tag)
    CXX_FORM("_ZnamSt11align_val_tRKSt9nothrow_t");

void op_delete(void *p) CXX_FORM("_ZdlPv");
void op_delete_align(void *p, size_t a) CXX_FORM("_ZdlPvSt11align_val_t");
void op_delete_array(void *p) CXX_FORM("_ZdaPv");
void op_delete_array_align(void *p, size_t a) CXX_FORM("_ZdaPvSt11align_val_t");
void op_delete_sized(void *p, size_t n) CXX_FORM("_ZdlPvm");
void op_delete_array_sized(void *p, size_t n) CXX_FORM("_ZdaPvm");
void op_delete_sized_align(void *p, size_t n, size_t a)
    CXX_FORM("_ZdlPvmSt11align_val_t");
void op_delete_array_sized_align(void *p, size_t n, size_t a)
    CXX_FORM("_ZdaPvmSt11align_val_t");
void op_delete_nothrow(void *p, const struct nothrow *tag)
    CXX_FORM("_ZdlPvRKSt9nothrow_t");
void op_delete_array_nothrow(void *p, const struct nothrow *tag)
    CXX_FORM("_ZdaPvRKSt9nothrow_t");
void op_delete_align_nothrow(void *p, size_t a, const struct nothrow *tag)
    CXX_FORM("_ZdlPvSt11align_val_tRKSt9nothrow_t");
void op_delete_array_align_nothrow(void *p, size_t a, const struct nothrow *tag)
    CXX_FORM("_ZdaPvSt11align_val_tRKSt9nothrow_t");

/* The forms that others build on, as the program has them: its own where it
 * replaced them, else ours. */
struct cxx_program {
  void *(*new_plain)(size_t n);
  void *(*new_align)(size_t n, size_t a);
  void *(*new_array)(size_t n);
  void *(*new_array_align)(size_t n, size_t a);
  void (*delete_plain)(void *p);
  void (*delete_align)(void *p, size_t a);
  void (*delete_array)(void *p);
  void (*delete_array_align)(void *p, size_t a);
};
extern const struct cxx_program cxx_program
    __attribute__((visibility("hidden")));

#endif
