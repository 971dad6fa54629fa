// SPDX-License-Identifier: MIT
/*
 * Mutexes over futex, with ranks. In debug builds (MGC_ASSERT_LEVEL >= 1) each
 * thread keeps the list of the locks it holds, and taking a lock whose rank is
 * not higher than all of them is fatal with both names (lock I1). See
 * lockrank.def for the order.
 */
#ifndef MGC_BASE_LOCK_H
#define MGC_BASE_LOCK_H

#include "base/atomic.h"
#include "base/compiler.h"

enum lockrank {
#define LOCKRANK(name, what) LOCKRANK_##name,
#include "base/lockrank.def"
#undef LOCKRANK
  LOCKRANK_count
};

/* Zero is not a valid mutex: use mutex_init or MUTEX_INIT. */
struct MGC_CAPABILITY("mutex") mutex {
  struct atomic_u32 state; /* 0 free, 1 held, 2 held with waiters */
  uint32_t rank;           /* const after init: enum lockrank */
};

#define MUTEX_INIT(rank_name)                                                  \
  { .state = {0}, .rank = LOCKRANK_##rank_name }

void mutex_init(struct mutex *m, enum lockrank rank);
void mutex_lock(struct mutex *m) MGC_ACQUIRE(m);
bool mutex_trylock(struct mutex *m) MGC_TRY_ACQUIRE(true, m);
void mutex_unlock(struct mutex *m) MGC_RELEASE(m);
/* Fatal in debug builds when the calling thread does not hold m. */
void assert_lock_held(const struct mutex *m);
const char *lockrank_name(enum lockrank rank);

/* Sleeps while *word == expect, until woken, for at most timeout_ns (negative:
 * for ever). Spurious returns happen. Async-signal-safe, preserves errno. */
void futex_wait(struct atomic_u32 *word, uint32_t expect, int64_t timeout_ns);
/* Wakes at most n waiters. Async-signal-safe, preserves errno. */
void futex_wake(struct atomic_u32 *word, int n);

#endif
