// SPDX-License-Identifier: MIT
/*
 * Unwind tables (.eh_frame_hdr, .eh_frame): where the caller's registers are when
 * the program is at a given address. DWARF 5, section 6.4, and the Linux Standard
 * Base's chapter on .eh_frame.
 *
 * Decoding alone: memory of the stack is not touched here. The tables of loaded
 * objects are trusted to be well formed; every read is inside the entry's length
 * all the same, and what is not understood ends the decoding.
 */
#ifndef MGC_OS_EHFRAME_H
#define MGC_OS_EHFRAME_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>

/* x86-64's numbers: 0-15 the general registers (3 rbx, 6 rbp, 7 rsp), 16 the
 * return address. */
#define EHFRAME_REGS 17u
#define EHFRAME_SP 7u
#define EHFRAME_RA 16u

enum ehrule_kind {
  EHRULE_SAME,
  EHRULE_UNDEFINED,  /* of EHFRAME_RA: the outermost frame */
  EHRULE_OFFSET,     /* at CFA + value */
  EHRULE_VAL_OFFSET, /* is CFA + value */
  EHRULE_REGISTER,   /* in register `value` */
  EHRULE_EXPR,       /* at the expression's value */
  EHRULE_VAL_EXPR,   /* is the expression's value */
};

/* An expression is kept as the address of its length (ULEB128). */
struct ehrule {
  enum ehrule_kind kind;
  int64_t value;
};

struct ehframe {
  struct ehrule reg[EHFRAME_REGS];
  unsigned cfa_reg; /* CFA is this register + cfa_offset ... */
  int64_t cfa_offset;
  const uint8_t *cfa_expr; /* ... or, if not NULL, this */
  bool signal; /* the frame was interrupted: its address is no call's */
};

/* The rules at address pc.
 * Errors: false, no table covers it, or one that is not understood.
 * Threads: any; async-signal-safe, lock-free (glibc's _dl_find_object). */
MGC_MUST_CHECK bool ehframe_find(uintptr_t pc, struct ehframe *out);

/* The same in one object's .eh_frame_hdr. */
MGC_MUST_CHECK bool ehframe_decode(const uint8_t *hdr, uintptr_t pc,
                                   struct ehframe *out);

/* --- reading bytes: also for whoever computes expressions --- */

struct ehbytes {
  const uint8_t *p, *end;
  bool bad; /* an attempt to read past the end: all reads give 0 from then on */
};
uint64_t ehbytes_unsigned(struct ehbytes *b, unsigned nbytes);
int64_t ehbytes_signed(struct ehbytes *b, unsigned nbytes);
uint64_t ehbytes_uleb(struct ehbytes *b);
int64_t ehbytes_sleb(struct ehbytes *b);

#endif
