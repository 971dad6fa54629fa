// SPDX-License-Identifier: MIT
#include "base/atomic.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>

/* Each operation on each integer type, against what it should leave. */
#define CHECK_INT(name, T)                                                     \
  Test(atomic, name##_operations_change_and_return_what_they_say) {            \
    struct name a = {5};                                                       \
    T expect = 5;                                                              \
    cr_assert_eq(name##_load_relaxed(&a), 5);                                  \
    cr_assert_eq(name##_fetch_add_relaxed(&a, 3), 5);                          \
    cr_assert_eq(name##_fetch_sub_acq_rel(&a, 2), 8);                          \
    cr_assert_eq(name##_fetch_or_release(&a, 9), 6);                           \
    cr_assert_eq(name##_fetch_and_acquire(&a, 12), 15);                        \
    cr_assert_eq(name##_load_acquire(&a), 12);                                 \
    cr_assert_eq(name##_exchange_acq_rel(&a, 1), 12);                          \
    cr_assert_not(name##_cas_acq_rel(&a, &expect, 7));                         \
    cr_assert_eq(expect, 1);                                                   \
    cr_assert_eq(name##_load_seq_cst(&a), 1);                                  \
    cr_assert(name##_cas_acq_rel(&a, &expect, 7));                             \
    cr_assert_eq(name##_load_relaxed(&a), 7);                                  \
    name##_store_release(&a, (T)-1);                                           \
    cr_assert_eq(name##_fetch_add_seq_cst(&a, 1), (T)-1);                      \
    cr_assert_eq(name##_load_relaxed(&a), 0);                                  \
    cr_assert_eq(sizeof(a), sizeof(T));                                        \
  }

CHECK_INT(atomic_u8, uint8_t)
CHECK_INT(atomic_u16, uint16_t)
CHECK_INT(atomic_u32, uint32_t)
CHECK_INT(atomic_u64, uint64_t)
CHECK_INT(atomic_i32, int32_t)
CHECK_INT(atomic_i64, int64_t)
CHECK_INT(atomic_uptr, uintptr_t)

struct mailbox {
  long letter; /* plain: ordered by full */
  struct atomic_ptr full;
};

static void *post(void *arg) {
  struct mailbox *m = arg;
  m->letter = 42;
  atomic_ptr_store_release(&m->full, &m->letter);
  return NULL;
}

Test(atomic, release_store_publishes_to_acquire_load) {
  struct mailbox m = {0};
  pthread_t thread;
  long *letter;
  pthread_create(&thread, NULL, post, &m);
  while (!(letter = atomic_ptr_load_acquire(&m.full))) sched_yield();
  cr_assert_eq(*letter, 42);
  pthread_join(thread, NULL);
}

#define ROUNDS 50000

static void *add_one_each(void *arg) {
  for (int i = 0; i < ROUNDS; i++) atomic_u64_fetch_add_relaxed(arg, 1);
  return NULL;
}

Test(atomic, additions_of_threads_are_all_kept) {
  struct atomic_u64 sum = {0};
  pthread_t threads[4];
  for (int i = 0; i < 4; i++)
    pthread_create(&threads[i], NULL, add_one_each, &sum);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  cr_assert_eq(atomic_u64_load_relaxed(&sum), 4 * ROUNDS);
}
