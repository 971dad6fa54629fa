// SPDX-License-Identifier: MIT
/*
 * See lock.h. The mutex is the three-state one of U. Drepper, "Futexes are
 * tricky" (2011): a waiter marks the word as contended before it sleeps, and
 * only an unlock that finds the mark calls the kernel.
 *
 * I1  A thread takes a lock only when its rank is higher than that of every
 *     lock it holds. trylock is exempt, because it cannot wait and so cannot
 *     close a cycle, but its lock counts against what is taken after it.
 * I2  A mutex is unlocked by the thread that locked it.
 */
#include "base/lock.h"

#include "base/fatal.h"
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FREE = 0, HELD = 1, CONTENDED = 2 };

/* Critical sections are tens to hundreds of nanoseconds; a futex round trip is
 * about 5 us. 40 pauses are 0.5 to 2 us by processor. */
#define SPINS 40

static const char *const rank_names[] = {
#define LOCKRANK(name, what) #name,
#include "base/lockrank.def"
#undef LOCKRANK
};

const char *lockrank_name(enum lockrank rank) {
  return (unsigned)rank < array_len(rank_names) ? rank_names[rank] : "?";
}

void futex_wait(struct atomic_u32 *word, uint32_t expect, int64_t timeout_ns) {
  int saved = errno;
  struct timespec ts = {.tv_sec = (time_t)(timeout_ns / 1000000000),
                        .tv_nsec = (long)(timeout_ns % 1000000000)};
  syscall(SYS_futex, &word->v, FUTEX_WAIT_PRIVATE, expect,
          timeout_ns < 0 ? NULL : &ts, NULL, 0);
  errno = saved;
}

void futex_wake(struct atomic_u32 *word, int n) {
  int saved = errno;
  syscall(SYS_futex, &word->v, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
  errno = saved;
}

#if MGC_ASSERT_LEVEL >= 1

#define HELD_MAX 16

struct held_locks {
  unsigned n;
  const struct mutex *locks[HELD_MAX];
};

/* initial-exec: the dynamic model would call the loader's allocator, which may
 * be us. */
static __thread struct held_locks held
    __attribute__((tls_model("initial-exec")));

static void check_rank(const struct mutex *m) {
  for (unsigned i = 0; i < held.n; i++) {
    const struct mutex *other = held.locks[i];
    if (m == other)
      fatal_bug("lock I1: %s taken twice", lockrank_name(m->rank));
    if (m->rank <= other->rank)
      fatal_bug("lock I1: %s taken while holding %s", lockrank_name(m->rank),
                lockrank_name(other->rank));
  }
}

static void record_held(const struct mutex *m) {
  mgc_check(held.n < HELD_MAX, "lock: more than %d locks held", HELD_MAX);
  held.locks[held.n++] = m;
}

static unsigned find_held(const struct mutex *m) {
  unsigned i = 0;
  while (i < held.n && held.locks[i] != m) i++;
  return i;
}

static void record_released(const struct mutex *m) {
  unsigned i = find_held(m);
  mgc_check(i < held.n, "lock I2: %s is not held by this thread",
            lockrank_name(m->rank));
  for (held.n--; i < held.n; i++) held.locks[i] = held.locks[i + 1];
}

void assert_lock_held(const struct mutex *m) {
  mgc_check(find_held(m) < held.n, "lock: %s must be held",
            lockrank_name(m->rank));
}

#else

static inline void check_rank(const struct mutex *m) { (void)m; }
static inline void record_held(const struct mutex *m) { (void)m; }
static inline void record_released(const struct mutex *m) { (void)m; }
void assert_lock_held(const struct mutex *m) { (void)m; }

#endif

void mutex_init(struct mutex *m, enum lockrank rank) {
  atomic_u32_store_relaxed(&m->state, FREE);
  m->rank = (uint32_t)rank;
}

/* Acquire: pairs with the exchange in mutex_unlock, here and below. */
static bool try_take(struct mutex *m) {
  uint32_t expect = FREE;
  return atomic_u32_cas_acquire(&m->state, &expect, HELD);
}

MGC_NOINLINE static void lock_slow(struct mutex *m) {
  for (int i = 0; i < SPINS; i++) {
    cpu_relax();
    if (atomic_u32_load_relaxed(&m->state) == FREE && try_take(m)) return;
  }
  /* From here on the word is left contended even if we were the only waiter:
   * that costs the unlock one idle system call. */
  while (atomic_u32_exchange_acq_rel(&m->state, CONTENDED) != FREE)
    futex_wait(&m->state, CONTENDED, -1);
}

void mutex_lock(struct mutex *m) MGC_NO_ANALYSIS {
  check_rank(m);
  if (unlikely(!try_take(m))) lock_slow(m);
  record_held(m);
}

bool mutex_trylock(struct mutex *m) MGC_NO_ANALYSIS {
  if (!try_take(m)) return false;
  record_held(m);
  return true;
}

void mutex_unlock(struct mutex *m) MGC_NO_ANALYSIS {
  record_released(m);
  /* Release: what the section wrote, to the next try_take or lock_slow. */
  uint32_t old = atomic_u32_exchange_acq_rel(&m->state, FREE);
  mgc_check(old != FREE, "lock I2: %s unlocked but not held",
            lockrank_name(m->rank));
  if (unlikely(old == CONTENDED)) futex_wake(&m->state, 1);
}
