// SPDX-License-Identifier: MIT
/*
 * Atomic words as types of their own. A word that two threads share is one of
 * these structs, so that a plain access does not compile, and every access
 * names its order. There is no default order and no fence (ThreadSanitizer does
 * not model fences): a release store names its acquire partner in a comment
 * where it is used.
 */
#ifndef MGC_BASE_ATOMIC_H
#define MGC_BASE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#define MGC_DEFINE_ATOMIC(name, T)                                             \
  struct name {                                                                \
    T v;                                                                       \
  };                                                                           \
  static inline T name##_load_relaxed(const struct name *a) {                  \
    return __atomic_load_n(&a->v, __ATOMIC_RELAXED);                           \
  }                                                                            \
  static inline T name##_load_acquire(const struct name *a) {                  \
    return __atomic_load_n(&a->v, __ATOMIC_ACQUIRE);                           \
  }                                                                            \
  static inline T name##_load_seq_cst(const struct name *a) {                  \
    return __atomic_load_n(&a->v, __ATOMIC_SEQ_CST);                           \
  }                                                                            \
  static inline void name##_store_relaxed(struct name *a, T v) {               \
    __atomic_store_n(&a->v, v, __ATOMIC_RELAXED);                              \
  }                                                                            \
  static inline void name##_store_release(struct name *a, T v) {               \
    __atomic_store_n(&a->v, v, __ATOMIC_RELEASE);                              \
  }                                                                            \
  static inline void name##_store_seq_cst(struct name *a, T v) {               \
    __atomic_store_n(&a->v, v, __ATOMIC_SEQ_CST);                              \
  }                                                                            \
  static inline T name##_exchange_acq_rel(struct name *a, T v) {               \
    return __atomic_exchange_n(&a->v, v, __ATOMIC_ACQ_REL);                    \
  }                                                                            \
  static inline T name##_exchange_seq_cst(struct name *a, T v) {               \
    return __atomic_exchange_n(&a->v, v, __ATOMIC_SEQ_CST);                    \
  }                                                                            \
  static inline bool name##_cas_relaxed(struct name *a, T *expect, T v) {      \
    return __atomic_compare_exchange_n(&a->v, expect, v, false,                \
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED);    \
  }                                                                            \
  static inline bool name##_cas_acquire(struct name *a, T *expect, T v) {      \
    return __atomic_compare_exchange_n(&a->v, expect, v, false,                \
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);    \
  }                                                                            \
  static inline bool name##_cas_release(struct name *a, T *expect, T v) {      \
    return __atomic_compare_exchange_n(&a->v, expect, v, false,                \
                                       __ATOMIC_RELEASE, __ATOMIC_RELAXED);    \
  }                                                                            \
  static inline bool name##_cas_acq_rel(struct name *a, T *expect, T v) {      \
    return __atomic_compare_exchange_n(&a->v, expect, v, false,                \
                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);    \
  }                                                                            \
  static inline bool name##_cas_seq_cst(struct name *a, T *expect, T v) {      \
    return __atomic_compare_exchange_n(&a->v, expect, v, false,                \
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);    \
  }

/* The fetch forms return the value before; they exist for integers only. */
#define MGC_DEFINE_ATOMIC_INT(name, T)                                         \
  MGC_DEFINE_ATOMIC(name, T)                                                   \
  static inline T name##_fetch_add_relaxed(struct name *a, T v) {              \
    return __atomic_fetch_add(&a->v, v, __ATOMIC_RELAXED);                     \
  }                                                                            \
  static inline T name##_fetch_add_acq_rel(struct name *a, T v) {              \
    return __atomic_fetch_add(&a->v, v, __ATOMIC_ACQ_REL);                     \
  }                                                                            \
  static inline T name##_fetch_add_seq_cst(struct name *a, T v) {              \
    return __atomic_fetch_add(&a->v, v, __ATOMIC_SEQ_CST);                     \
  }                                                                            \
  static inline T name##_fetch_add_release(struct name *a, T v) {              \
    return __atomic_fetch_add(&a->v, v, __ATOMIC_RELEASE);                     \
  }                                                                            \
  static inline T name##_fetch_add_acquire(struct name *a, T v) {              \
    return __atomic_fetch_add(&a->v, v, __ATOMIC_ACQUIRE);                     \
  }                                                                            \
  static inline T name##_fetch_sub_relaxed(struct name *a, T v) {              \
    return __atomic_fetch_sub(&a->v, v, __ATOMIC_RELAXED);                     \
  }                                                                            \
  static inline T name##_fetch_sub_acq_rel(struct name *a, T v) {              \
    return __atomic_fetch_sub(&a->v, v, __ATOMIC_ACQ_REL);                     \
  }                                                                            \
  static inline T name##_fetch_sub_seq_cst(struct name *a, T v) {              \
    return __atomic_fetch_sub(&a->v, v, __ATOMIC_SEQ_CST);                     \
  }                                                                            \
  static inline T name##_fetch_sub_release(struct name *a, T v) {              \
    return __atomic_fetch_sub(&a->v, v, __ATOMIC_RELEASE);                     \
  }                                                                            \
  static inline T name##_fetch_sub_acquire(struct name *a, T v) {              \
    return __atomic_fetch_sub(&a->v, v, __ATOMIC_ACQUIRE);                     \
  }                                                                            \
  static inline T name##_fetch_or_relaxed(struct name *a, T v) {               \
    return __atomic_fetch_or(&a->v, v, __ATOMIC_RELAXED);                      \
  }                                                                            \
  static inline T name##_fetch_or_acq_rel(struct name *a, T v) {               \
    return __atomic_fetch_or(&a->v, v, __ATOMIC_ACQ_REL);                      \
  }                                                                            \
  static inline T name##_fetch_or_seq_cst(struct name *a, T v) {               \
    return __atomic_fetch_or(&a->v, v, __ATOMIC_SEQ_CST);                      \
  }                                                                            \
  static inline T name##_fetch_or_release(struct name *a, T v) {               \
    return __atomic_fetch_or(&a->v, v, __ATOMIC_RELEASE);                      \
  }                                                                            \
  static inline T name##_fetch_or_acquire(struct name *a, T v) {               \
    return __atomic_fetch_or(&a->v, v, __ATOMIC_ACQUIRE);                      \
  }                                                                            \
  static inline T name##_fetch_and_relaxed(struct name *a, T v) {              \
    return __atomic_fetch_and(&a->v, v, __ATOMIC_RELAXED);                     \
  }                                                                            \
  static inline T name##_fetch_and_acq_rel(struct name *a, T v) {              \
    return __atomic_fetch_and(&a->v, v, __ATOMIC_ACQ_REL);                     \
  }                                                                            \
  static inline T name##_fetch_and_seq_cst(struct name *a, T v) {              \
    return __atomic_fetch_and(&a->v, v, __ATOMIC_SEQ_CST);                     \
  }                                                                            \
  static inline T name##_fetch_and_release(struct name *a, T v) {              \
    return __atomic_fetch_and(&a->v, v, __ATOMIC_RELEASE);                     \
  }                                                                            \
  static inline T name##_fetch_and_acquire(struct name *a, T v) {              \
    return __atomic_fetch_and(&a->v, v, __ATOMIC_ACQUIRE);                     \
  }

MGC_DEFINE_ATOMIC_INT(atomic_u8, uint8_t)
MGC_DEFINE_ATOMIC_INT(atomic_u16, uint16_t)
MGC_DEFINE_ATOMIC_INT(atomic_u32, uint32_t)
MGC_DEFINE_ATOMIC_INT(atomic_u64, uint64_t)
MGC_DEFINE_ATOMIC_INT(atomic_i64, int64_t)
MGC_DEFINE_ATOMIC_INT(atomic_uptr, uintptr_t)
MGC_DEFINE_ATOMIC_INT(atomic_i32, int32_t)
MGC_DEFINE_ATOMIC(atomic_ptr, void *)
MGC_DEFINE_ATOMIC(atomic_bool, bool)

/* A hint to the processor inside a spin loop. */
static inline void cpu_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}

/* --- comparisons with relaxed loads, for the fastest paths ---
 *
 * As one instruction with a memory operand, which compilers do not make of an atomic
 * load and a comparison: two instructions of the 27 of a free. */

static inline bool atomic_uptr_is_above(const struct atomic_uptr *a,
                                        uintptr_t v) {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  bool above;
  __asm__("cmpq %2, %1" : "=@ccb"(above) : "r"(v), "m"(a->v));
  return above;
#else
  return v < atomic_uptr_load_relaxed(a);
#endif
}

static inline bool atomic_ptr_is(const struct atomic_ptr *a, const void *p) {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  bool is;
  __asm__("cmpq %2, %1" : "=@cce"(is) : "r"(p), "m"(a->v));
  return is;
#else
  return p == atomic_ptr_load_relaxed(a);
#endif
}

#endif
