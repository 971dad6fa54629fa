// SPDX-License-Identifier: MIT
/* See stack.h. */
#include "face/malloc/stack.h"

#include "base/compiler.h"
#include <stdbool.h>
#include <unwind.h>

/* Where this library lies, from the linker. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

struct walk {
  uintptr_t *frame;
  unsigned n, max;
  uintptr_t last_cfa, last_ip;
};

static bool is_ours(uintptr_t ip) {
  return ip - (uintptr_t)__ehdr_start <
         (uintptr_t)_end - (uintptr_t)__ehdr_start;
}

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *arg) {
  struct walk *w = arg;
  int exact = 0;
  uintptr_t ip = _Unwind_GetIPInfo(context, &exact);
  uintptr_t cfa = _Unwind_GetCFA(context);
  /* A frame that leads to itself: tables that are wrong. */
  if (ip == 0 || w->n == w->max || (cfa == w->last_cfa && ip == w->last_ip))
    return _URC_END_OF_STACK;
  w->last_cfa = cfa;
  w->last_ip = ip;
  if (w->n == 0 && is_ours(ip)) return _URC_NO_REASON;
  /* Readers take 1 from a return address, to be inside the call. What a signal
   * interrupted is the address itself. */
  w->frame[w->n++] = ip + (exact ? 1 : 0);
  return _URC_NO_REASON;
}

MGC_NOINLINE unsigned stack_walk(uintptr_t *frames, unsigned n) {
  struct walk w = {.frame = frames, .max = n};
  _Unwind_Backtrace(visit, &w);
  return w.n;
}
