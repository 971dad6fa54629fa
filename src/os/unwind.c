// SPDX-License-Identifier: MIT
/* See unwind.h. */
#include "os/unwind.h"

#include "base/bits.h"
#include "base/compiler.h"
#include "os/ehframe.h"
#include <dlfcn.h>
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROBE_BYTES 4096u /* the smallest page there is */

bool unwind_can_read(uintptr_t p) {
  int saved = errno;
  if (p < PROBE_BYTES) return false; /* NULL: no set */
  /* There is no such operation; but the set is copied before that is seen. */
  long r = syscall(SYS_rt_sigprocmask, ~0ul, p, 0ul, 8ul);
  bool ok = r == 0 || errno == EINVAL;
  errno = saved;
  return ok;
}

/* Frames that the caller wants. */
struct collector {
  uintptr_t *frame;
  unsigned n, max;
  uintptr_t skip_lo, skip_hi;
};

/* False: enough. */
static bool collect(struct collector *c, uintptr_t pc) {
  if (c->n == 0 && pc >= c->skip_lo && pc < c->skip_hi) return true;
  if (c->n < c->max) c->frame[c->n++] = pc;
  return c->n < c->max;
}

#if defined(__x86_64__) && defined(DLFO_STRUCT_HAS_EH_DBASE)

struct unwinder {
  uintptr_t reg[EHFRAME_REGS];
  uintptr_t lo, hi; /* readable */
};

/* The registers of the function that this is inlined into, which are what its
 * caller's can be computed from. */
static MGC_ALWAYS_INLINE void capture(struct unwinder *u) {
  __asm__ volatile("movq %%rbx, 24(%0)\n\t"
                   "movq %%rbp, 48(%0)\n\t"
                   "movq %%rsp, 56(%0)\n\t"
                   "movq %%r12, 96(%0)\n\t"
                   "movq %%r13, 104(%0)\n\t"
                   "movq %%r14, 112(%0)\n\t"
                   "movq %%r15, 120(%0)\n\t"
                   "leaq 1f(%%rip), %%rax\n\t"
                   "1: movq %%rax, 128(%0)"
                   :
                   : "r"(u->reg)
                   : "rax", "memory");
}

/* Stacks are walked upwards, so the readable range mostly grows by a page. */
MGC_NO_SANITIZE static bool load(struct unwinder *u, uintptr_t p,
                                 uintptr_t *out) {
  if (!is_aligned(p, 8)) return false;
  if (p < u->lo || p >= u->hi) {
    uintptr_t page = align_down(p, PROBE_BYTES);
    if (!unwind_can_read(p)) return false;
    if (page != u->hi) u->lo = page;
    u->hi = page + PROBE_BYTES;
  }
  *out = *(const uintptr_t *)p;
  return true;
}

/* --- expressions --- */

#define EXPR_STACK 16u

struct expr {
  struct unwinder *u;
  uintptr_t value[EXPR_STACK];
  unsigned depth;
  bool bad;
};

static void push(struct expr *e, uintptr_t v) {
  if (e->depth == EXPR_STACK)
    e->bad = true;
  else
    e->value[e->depth++] = v;
}

static uintptr_t pop(struct expr *e) {
  if (e->depth > 0) return e->value[--e->depth];
  e->bad = true;
  return 0;
}

static uintptr_t compute(unsigned op, uintptr_t a, uintptr_t b, bool *known) {
  int64_t sa = (int64_t)a, sb = (int64_t)b;
  switch (op) {
  case 0x1a:
    return a & b;
  case 0x1c:
    return a - b;
  case 0x1e:
    return a * b;
  case 0x21:
    return a | b;
  case 0x22:
    return a + b;
  case 0x24:
    return b < 64 ? a << b : 0;
  case 0x25:
    return b < 64 ? a >> b : 0;
  case 0x27:
    return a ^ b;
  case 0x29:
    return sa == sb;
  case 0x2a:
    return sa >= sb;
  case 0x2b:
    return sa > sb;
  case 0x2c:
    return sa <= sb;
  case 0x2d:
    return sa < sb;
  case 0x2e:
    return sa != sb;
  default:
    *known = false;
    return 0;
  }
}

static void push_constant(struct expr *e, struct ehbytes *b, unsigned op) {
  unsigned nbytes = 1u << (op - 0x08) / 2; /* const1u const1s const2u ... */
  if (op == 0x10)
    push(e, ehbytes_uleb(b));
  else if (op == 0x11)
    push(e, (uintptr_t)ehbytes_sleb(b));
  else if (op % 2 == 0)
    push(e, ehbytes_unsigned(b, nbytes));
  else
    push(e, (uintptr_t)ehbytes_signed(b, nbytes));
}

static void execute(struct expr *e, struct ehbytes *b, unsigned op) {
  uintptr_t v, w;
  if (op >= 0x30 && op < 0x50) { /* lit0 .. lit31 */
    push(e, op - 0x30);
  } else if (op >= 0x70 && op < 0x70 + EHFRAME_REGS) { /* breg0 .. */
    push(e, e->u->reg[op - 0x70] + (uintptr_t)ehbytes_sleb(b));
  } else if (op >= 0x08 && op <= 0x11) {
    push_constant(e, b, op);
  } else if (op == 0x06) { /* deref */
    if (!load(e->u, pop(e), &v)) e->bad = true;
    if (!e->bad) push(e, v);
  } else if (op == 0x12) { /* dup */
    v = pop(e);
    push(e, v);
    push(e, v);
  } else if (op == 0x13) { /* drop */
    pop(e);
  } else if (op == 0x23) { /* plus_uconst */
    push(e, pop(e) + ehbytes_uleb(b));
  } else {
    bool known = true;
    w = pop(e);
    v = pop(e);
    push(e, compute(op, v, w, &known));
    if (!known) e->bad = true;
  }
}

/* at: the expression's length, then its operations. cfa: what is on the stack at
 * first, if not NULL. */
static bool evaluate(struct unwinder *u, const uint8_t *at,
                     const uintptr_t *cfa, uintptr_t *out) {
  struct ehbytes b = {at, at + 10, false};
  uint64_t n = ehbytes_uleb(&b);
  struct expr e;
  e.u = u;
  e.depth = 0;
  e.bad = false;
  b.end = b.p + n;
  if (cfa) push(&e, *cfa);
  while (b.p < b.end && !b.bad && !e.bad)
    execute(&e, &b, (unsigned)ehbytes_unsigned(&b, 1));
  *out = pop(&e);
  return !e.bad && !b.bad;
}

/* --- a step outwards --- */

static bool apply(struct unwinder *u, const struct ehrule *r, uintptr_t cfa,
                  uintptr_t *value) {
  uintptr_t at = cfa + (uintptr_t)r->value;
  const uint8_t *expr = (const uint8_t *)(uintptr_t)r->value;
  switch (r->kind) {
  case EHRULE_SAME:
    return true;
  case EHRULE_UNDEFINED:
    *value = 0;
    return true;
  case EHRULE_OFFSET:
    return load(u, at, value);
  case EHRULE_VAL_OFFSET:
    *value = at;
    return true;
  case EHRULE_REGISTER:
    if ((uint64_t)r->value >= EHFRAME_REGS) return false;
    *value = u->reg[r->value];
    return true;
  case EHRULE_EXPR:
    return evaluate(u, expr, &cfa, &at) && load(u, at, value);
  case EHRULE_VAL_EXPR:
    return evaluate(u, expr, &cfa, value);
  }
  return false;
}

static bool find_cfa(struct unwinder *u, const struct ehframe *f,
                     uintptr_t *cfa) {
  if (f->cfa_expr) return evaluate(u, f->cfa_expr, NULL, cfa);
  if (f->cfa_reg >= EHFRAME_REGS) return false;
  *cfa = u->reg[f->cfa_reg] + (uintptr_t)f->cfa_offset;
  return true;
}

/* From a frame to its caller's. False: there is none, or none that can be found.
 */
static bool step(struct unwinder *u, const struct ehframe *f) {
  uintptr_t cfa, next[EHFRAME_REGS];
  if (f->reg[EHFRAME_RA].kind == EHRULE_SAME || !find_cfa(u, f, &cfa))
    return false;
  for (unsigned i = 0; i < EHFRAME_REGS; i++) {
    next[i] = i == EHFRAME_SP ? cfa : u->reg[i];
    if (!apply(u, &f->reg[i], cfa, &next[i])) return false;
  }
  bool moved = next[EHFRAME_RA] != u->reg[EHFRAME_RA] ||
               next[EHFRAME_SP] != u->reg[EHFRAME_SP];
  for (unsigned i = 0; i < EHFRAME_REGS; i++) u->reg[i] = next[i];
  return moved && next[EHFRAME_RA] != 0;
}

MGC_NOINLINE unsigned unwind_stack(uintptr_t *frames, unsigned n,
                                   uintptr_t skip_lo, uintptr_t skip_hi) {
  struct collector c = {frames, 0, n, skip_lo, skip_hi};
  struct unwinder u = {.lo = 0};
  struct ehframe f = {.signal = true}; /* ours: the address is exact */
  capture(&u);
  /* Frames that are skipped are few, and a walk that does not end is wrong. */
  for (unsigned steps = 0; steps < 2 * n + 16; steps++) {
    uintptr_t pc = u.reg[EHFRAME_RA];
    if (!ehframe_find(f.signal ? pc : pc - 1, &f) || !step(&u, &f)) break;
    /* Of what a signal interrupted, the address itself is the function's: readers
     * take 1 from it to be inside the call. */
    if (!collect(&c, u.reg[EHFRAME_RA] + (f.signal ? 1 : 0))) break;
  }
  return c.n;
}

#else
#include <unwind.h>

struct visitor {
  struct collector c;
  bool begun;
};

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *arg) {
  struct visitor *v = arg;
  int exact = 0;
  uintptr_t pc = _Unwind_GetIPInfo(context, &exact);
  bool inside = !v->begun; /* the first frame is unwind_stack's */
  v->begun = true;
  if (pc == 0 || (!inside && !collect(&v->c, pc + (exact ? 1 : 0))))
    return _URC_END_OF_STACK;
  return _URC_NO_REASON;
}

MGC_NOINLINE unsigned unwind_stack(uintptr_t *frames, unsigned n,
                                   uintptr_t skip_lo, uintptr_t skip_hi) {
  struct visitor v = {.c = {frames, 0, n, skip_lo, skip_hi}};
  if (n > 0) _Unwind_Backtrace(visit, &v);
  return v.c.n;
}
#endif
