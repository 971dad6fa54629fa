// SPDX-License-Identifier: MIT
/* All that differs between processors outside base/: x86-64 and aarch64. */
#ifndef MGC_OS_ARCH_H
#define MGC_OS_ARCH_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes below the stack pointer that a leaf function may use. */
#if defined(__x86_64__)
#define ARCH_RED_ZONE 128
/* glibc: the thread pointer is the address of struct pthread, static TLS lies
 * below it, and the dtv is the second word. */
#define ARCH_TLS_BELOW_TP true
#define ARCH_DTV_OFFSET 8
#elif defined(__aarch64__)
#define ARCH_RED_ZONE 0
/* glibc: struct pthread lies below the thread pointer, static TLS above, and
 * the dtv is the first word. */
#define ARCH_TLS_BELOW_TP false
#define ARCH_DTV_OFFSET 0
#else
#error "unsupported processor"
#endif

/* What the processor's thread register says: %fs:0, or tpidr_el0. */
static inline uintptr_t arch_thread_pointer(void) {
  uintptr_t tp;
#if defined(__x86_64__)
  __asm__("mov %%fs:0, %0" : "=r"(tp));
#else
  __asm__("mrs %0, tpidr_el0" : "=r"(tp));
#endif
  return tp;
}

static MGC_ALWAYS_INLINE uintptr_t arch_stack_pointer(void) {
  uintptr_t sp;
#if defined(__x86_64__)
  __asm__ volatile("mov %%rsp, %0" : "=r"(sp));
#else
  __asm__ volatile("mov %0, sp" : "=r"(sp));
#endif
  return sp;
}

#endif
