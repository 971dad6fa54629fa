// SPDX-License-Identifier: MIT
/*
 * Assists (Go: gcAssistAlloc, gcControllerState.revise). Arithmetic and accounts;
 * marking, locks and sleeping are the caller's.
 *
 * The ratio. While a cycle goes on, each byte allocated has to be paid for with
 * scan work, so that all work is done when the heap is at its goal:
 *
 *   ratio = work left / bytes left = max(expected - work, 1000)
 *                                    / max(goal - live, 1)
 *
 * When cons/mark is right (trigger.c) the background does as much, and nobody
 * assists. It is computed again as the cycle goes on, from what was scanned:
 *
 *  - More than expected was scanned. The heap has grown, or more of it has
 *    pointers; from now on the worst is expected, that all is alive. Asking for all
 *    of it before the old goal would stop the program, and without need: so much
 *    more alive has a higher goal the next time. The goal is put off in proportion,
 *    to where expected work would have ended with this ratio, but not over the
 *    hard goal, which the next cycle would have if all were alive.
 *  - The heap is over its goal. Then the worst is expected and the goal is 10 %
 *    higher: the cycle has to end, and slowing down is better than stopping. A
 *    goal that a memory limit has set gives way by its headroom only, which Go
 *    does not do: 10 % over would be over the limit.
 *
 * Over that too, the program stops until the cycle ends. But the goal is never less
 * than 64 KiB from where the cycle began: also at a limit that cannot be kept each
 * cycle lets the program go on by so much.
 *
 * Accounts. Each thread has one, in bytes that it may allocate. In debt it owes
 * work, at least 64 KiB, so that small allocations seldom do any. What the
 * background has done and nobody has claimed is credit; it is taken first. Who
 * finds neither credit nor anything to mark waits in a queue, and is paid from what
 * the background does next, the first one first.
 *
 * While the limiter limits (limiter.c) nobody assists, and debts are forgiven: a
 * thread that was let run would otherwise have to pay for all of it at once.
 *
 * A cycle begins with empty accounts. Who is not looked at then (it sleeps, it is
 * new) finds by the cycle's number that its account is void.
 *
 *   I1  credit >= 0, and what was claimed plus what is left is what was added
 *   I2  the ratio is finite and over 0; there is one word for it, of which the
 *       opposite ratio (bytes for work) is computed, so the two always agree
 *   I3  a thread out of debt owes nothing for what it has allocated
 */
#include "gc/assist.h"

#include <string.h>

/* There is always something to do before a cycle ends (Go). */
#define WORK_LEFT_MIN 1000.0
#define BYTES_LEFT_MIN 1.0
#define MAX_OVERSHOOT 1.1 /* Go: maxOvershoot */
/* Bytes of debt or work; the sum of two is far from overflow. */
#define ACCOUNT_MAX ((int64_t)1 << 60)

static int64_t to_account(double x) {
  return x < (double)ACCOUNT_MAX ? (int64_t)x : ACCOUNT_MAX;
}

/* Rounded up: nothing is given away with each payment. */
static int64_t price_of(int64_t bytes, double ratio) {
  double price = (double)bytes * ratio;
  int64_t whole = to_account(price);
  return whole + ((double)whole < price && whole < ACCOUNT_MAX);
}

/* --- ratio --- */

static double put_off(const struct assist_input *in, double goal) {
  double start = (double)in->triggered;
  double hard = (double)in->hard_goal;
  double expected = in->expected ? (double)in->expected : 1;
  double put = start + (goal - start) / expected * (double)in->most;
  if (put > hard) put = hard;
  return put < goal ? goal : put;
}

double assist_ratio(const struct assist_input *in) {
  double goal = (double)in->goal, live = (double)in->heap_live;
  double least = (double)in->triggered + ASSIST_MIN_GROWTH;
  double expected = (double)in->expected;
  if (goal < least) goal = least;
  if (in->work > in->expected) {
    expected = (double)in->most;
    goal = put_off(in, goal);
  }
  if (live > goal) {
    expected = (double)in->most;
    goal = in->by_limit ? (double)in->hard_goal : goal * MAX_OVERSHOOT;
  }
  double work = expected - (double)in->work, bytes = goal - live;
  if (work < WORK_LEFT_MIN) work = WORK_LEFT_MIN;
  if (bytes < BYTES_LEFT_MIN) bytes = BYTES_LEFT_MIN;
  return work / bytes;
}

void assist_set_ratio(struct assist *a, double ratio) {
  uint64_t bits;
  memcpy(&bits, &ratio, sizeof bits);
  /* A number by itself: nothing else becomes visible with it. */
  atomic_u64_store_relaxed(&a->ratio_bits, bits);
}

double assist_get_ratio(const struct assist *a) {
  uint64_t bits = atomic_u64_load_relaxed(&a->ratio_bits);
  double ratio;
  memcpy(&ratio, &bits, sizeof ratio);
  return ratio;
}

/* --- accounts --- */

void assist_begin(struct assist *a, double ratio) {
  a->cycle++;
  a->small_change = 0;
  atomic_i64_store_relaxed(&a->credit, 0);
  assist_set_ratio(a, ratio);
}

void assist_add_credit(struct assist *a, int64_t work) {
  atomic_i64_fetch_add_relaxed(&a->credit, work);
}

/* Claims up to `most`. A loop of exchanges, so that two who claim at once cannot
 * bring it below zero. I1 */
static int64_t claim(struct assist *a, int64_t most) {
  int64_t credit = atomic_i64_load_relaxed(&a->credit), take;
  do {
    if (credit <= 0) return 0;
    take = credit < most ? credit : most;
  } while (!atomic_i64_cas_relaxed(&a->credit, &credit, credit - take));
  return take;
}

static void open_account(const struct assist *a, struct assist_account *acc) {
  if (acc->cycle == a->cycle) return;
  *acc = (struct assist_account){.cycle = a->cycle};
}

int64_t assist_charge(struct assist *a, struct assist_account *acc,
                      size_t bytes, bool limited) {
  open_account(a, acc);
  acc->bytes -= to_account((double)bytes);
  if (acc->bytes >= 0) return 0;
  if (limited) {
    acc->bytes = 0;
    return 0;
  }
  double ratio = assist_get_ratio(a);
  int64_t work = to_account((double)-acc->bytes * ratio);
  if (work < ASSIST_BATCH) work = ASSIST_BATCH;
  int64_t claimed = claim(a, work);
  if (claimed > 0) (void)assist_settle(a, acc, claimed);
  /* Part of a byte of debt may be left by rounding; I3 */
  if (claimed == work && acc->bytes < 0) acc->bytes = 0;
  return work - claimed;
}

bool assist_settle(const struct assist *a, struct assist_account *acc,
                   int64_t work) {
  open_account(a, acc);
  /* One byte more: rounded up, or a debt of one byte would never be paid. */
  acc->bytes += 1 + to_account((double)work / assist_get_ratio(a));
  return acc->bytes >= 0;
}

void assist_close(struct assist *a, struct assist_account *acc) {
  if (acc->cycle == a->cycle && acc->bytes > 0)
    assist_add_credit(a, to_account((double)acc->bytes * assist_get_ratio(a)));
  acc->bytes = 0;
}

/* --- queue --- */

void assist_wait(struct list *queue, struct assist_waiter *w) {
  list_push_back(queue, &w->link);
}

/* Pays what the first in the queue owes, or part of it. False: no work is left. */
static bool pay_first(struct assist *a, struct list *queue, double ratio,
                      int64_t *work, struct list *woken) {
  struct list *first = list_pop_front(queue);
  struct assist_account *acc =
      container_of(first, struct assist_waiter, link)->account;
  int64_t debt = acc->bytes < 0 ? -acc->bytes : 0;
  int64_t price = price_of(debt, ratio);
  if (price <= *work) {
    *work -= price;
    acc->bytes += debt;
    list_push_back(woken, first);
    return true;
  }
  int64_t bytes = to_account((double)*work / ratio);
  acc->bytes += bytes;
  /* Where a byte costs more than the background brings at once. */
  a->small_change = *work - price_of(bytes, ratio);
  /* Next time it is another's turn, so that a large debt does not keep the small
   * ones waiting (Go). */
  list_push_back(queue, first);
  return false;
}

void assist_pay(struct assist *a, struct list *queue, int64_t work,
                struct list *woken) {
  double ratio = assist_get_ratio(a);
  work += a->small_change;
  a->small_change = 0;
  while (!list_empty(queue))
    if (!pay_first(a, queue, ratio, &work, woken)) return;
  if (work > 0) assist_add_credit(a, work);
}
