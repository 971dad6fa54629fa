// SPDX-License-Identifier: MIT
/* Marking paid for by those who allocate: debt and credit. See assist.c. */
#ifndef MGC_GC_ASSIST_H
#define MGC_GC_ASSIST_H

#include "alloc/account.h"
#include "base/atomic.h"
#include "base/list.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An assist is for at least so many bytes of work (Go: gcOverAssistWork). */
#define ASSIST_BATCH ((int64_t)64 << 10)
/* Bytes that a cycle lets the program allocate, whatever the goal (Go: minRunway,
 * but not under a limit). */
#define ASSIST_MIN_GROWTH 65536

/* What the ratio follows from. Units: bytes. */
struct assist_input {
  uint64_t heap_live; /* now */
  uint64_t triggered; /* heap_live when the cycle began */
  uint64_t goal;
  uint64_t
      hard_goal; /* not to be passed, when there is more work than expected */
  bool by_limit; /* a memory limit set goal: nor when live is over it */
  uint64_t work; /* scanned so far */
  uint64_t expected; /* to be scanned, going by the cycle before */
  uint64_t most;     /* to be scanned at the worst: all that is there */
};

/* Bytes to scan for each byte allocated. Finite, over 0. Pure. */
double assist_ratio(const struct assist_input *in);

/* Of one heap. Lock key: (a) atomic  (q) the queue's lock  (s) written in a stopped
 * world */
struct assist {
  struct atomic_u64 ratio_bits; /* (a) a double: see assist_set_ratio */
  struct atomic_i64 credit; /* (a) work of the background not yet claimed; I1 */
  int64_t small_change;     /* (q) work that did not pay for a byte */
  uint32_t cycle;           /* (s) accounts of other cycles are void */
};

/* A cycle begins: no credit, and all accounts void. Stopped world. */
void assist_begin(struct assist *a, double ratio);

/* Threads: one at a time; readers at any time. */
void assist_set_ratio(struct assist *a, double ratio);
double assist_get_ratio(const struct assist *a);

/* Work that the background has done. Threads: any. */
void assist_add_credit(struct assist *a, int64_t work);

/* The owner has allocated bytes; `limited` is limiter_limits.
 * Returns: bytes of scan work that it has to do now, 0 mostly; assist_settle is to
 * be told what became of it. */
int64_t assist_charge(struct assist *a, struct assist_account *acc,
                      size_t bytes, bool limited);

/* Part of what assist_charge asked for, or more, has been done.
 * Returns: false when the account is still in debt: there was nothing to mark
 * just now, and the owner waits for the background in the queue. */
bool assist_settle(const struct assist *a, struct assist_account *acc,
                   int64_t work);

/* The owner ends or stops to allocate: what it has done in advance is for all. */
void assist_close(struct assist *a, struct assist_account *acc);

/* A thread in debt that waits, in order of arrival. The queue is a list that the
 * caller locks, with the accounts of those who are in it. */
struct assist_waiter {
  struct list link;
  struct assist_account *account;
};
void assist_wait(struct list *queue, struct assist_waiter *w);

/* Work that the background has done, for those who wait before it becomes credit.
 * Who is out of debt is moved to the end of `woken`, in order. */
void assist_pay(struct assist *a, struct list *queue, int64_t work,
                struct list *woken);

#endif
