// SPDX-License-Identifier: MIT
/* What a thread may allocate while the collector marks beside it: gc/assist.c. */
#ifndef MGC_ALLOC_ACCOUNT_H
#define MGC_ALLOC_ACCOUNT_H

#include <stdint.h>

/* Of one thread. Its owner's, but while it waits: then the queue's. */
struct assist_account {
  int64_t bytes;  /* that may be allocated without work; debt below zero */
  uint32_t cycle; /* of struct assist */
};

#endif
