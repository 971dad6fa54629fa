// SPDX-License-Identifier: MIT
/* See quarantine.h. */
#include "face/malloc/quarantine.h"

#include "face/malloc/hardenrand.h"

void quarantine_init(struct quarantine *q, uint64_t *mem, uint32_t half) {
  *q = (struct quarantine){.pool = mem, .queue = mem + half, .half = half};
}

static uint64_t queue_pop(struct quarantine *q) {
  uint64_t out = q->queue[q->first];
  q->first = q->first + 1 == q->half ? 0 : q->first + 1;
  q->nqueue--;
  return out;
}

static void queue_push(struct quarantine *q, uint64_t entry) {
  uint32_t end = q->first + q->nqueue;
  q->queue[end < q->half ? end : end - q->half] = entry;
  q->nqueue++;
}

uint64_t quarantine_put(struct quarantine *q, uint64_t entry, uint32_t random) {
  if (q->half == 0) return entry;
  if (q->npool < q->half) {
    q->pool[q->npool++] = entry;
    return 0;
  }
  uint32_t i = harden_scale(random, q->half);
  uint64_t drawn = q->pool[i];
  q->pool[i] = entry;
  uint64_t out = q->nqueue == q->half ? queue_pop(q) : 0;
  queue_push(q, drawn);
  return out;
}

uint64_t quarantine_take(struct quarantine *q) {
  if (q->nqueue > 0) return queue_pop(q);
  return q->npool > 0 ? q->pool[--q->npool] : 0;
}
