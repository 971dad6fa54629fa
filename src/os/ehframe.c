// SPDX-License-Identifier: MIT
/* See ehframe.h. */
#include "os/ehframe.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* Encodings of pointers: a format and what it is relative to. */
#define ENC_OMIT 0xffu
#define ENC_FORMAT 0x0fu
#define ENC_PCREL 0x10u
#define ENC_DATAREL 0x30u
#define ENC_RELATIVE 0x70u
/* The one form of search table that linkers write. */
#define ENC_TABLE 0x3bu /* relative to the header, 4 bytes, signed */
#define ENC_COUNT 0x03u /* 4 bytes, unsigned */

/* Compilers nest DW_CFA_remember_state once or twice. */
#define REMEMBERED_MAX 4u

/* --- bytes --- */

uint64_t ehbytes_unsigned(struct ehbytes *b, unsigned nbytes) {
  uint64_t v = 0;
  if (b->bad || (size_t)(b->end - b->p) < nbytes) {
    b->bad = true;
    return 0;
  }
  memcpy(&v, b->p, nbytes);
  b->p += nbytes;
  return v;
}

int64_t ehbytes_signed(struct ehbytes *b, unsigned nbytes) {
  unsigned unused = 64 - 8 * nbytes;
  return (int64_t)(ehbytes_unsigned(b, nbytes) << unused) >> unused;
}

/* The bits of a LEB128 number, and how many they are. */
static uint64_t leb(struct ehbytes *b, unsigned *nbits, bool *negative) {
  uint64_t v = 0, byte;
  *nbits = 0;
  do {
    byte = ehbytes_unsigned(b, 1);
    if (*nbits < 64) v |= (byte & 0x7f) << *nbits;
    *nbits += 7;
  } while (byte & 0x80);
  *negative = byte & 0x40;
  return v;
}

uint64_t ehbytes_uleb(struct ehbytes *b) {
  unsigned nbits;
  bool negative;
  return leb(b, &nbits, &negative);
}

int64_t ehbytes_sleb(struct ehbytes *b) {
  unsigned nbits;
  bool negative;
  uint64_t v = leb(b, &nbits, &negative);
  if (negative && nbits < 64) v |= ~0ull << nbits;
  return (int64_t)v;
}

static struct ehbytes take_block(struct ehbytes *b, uint64_t n) {
  struct ehbytes block = {b->p, b->p, b->bad};
  if (b->bad || (uint64_t)(b->end - b->p) < n)
    b->bad = block.bad = true;
  else
    block.end = b->p += n;
  return block;
}

static uintptr_t read_format(struct ehbytes *b, unsigned format) {
  switch (format) {
  case 0x1:
    return ehbytes_uleb(b);
  case 0x2:
    return ehbytes_unsigned(b, 2);
  case 0x3:
    return ehbytes_unsigned(b, 4);
  case 0x0:
  case 0x4:
    return ehbytes_unsigned(b, 8);
  case 0x9:
    return (uintptr_t)ehbytes_sleb(b);
  case 0xa:
    return (uintptr_t)ehbytes_signed(b, 2);
  case 0xb:
    return (uintptr_t)ehbytes_signed(b, 4);
  case 0xc:
    return (uintptr_t)ehbytes_signed(b, 8);
  default:
    b->bad = true;
    return 0;
  }
}

/* An address. One that is stored elsewhere (indirect) is read and not followed:
 * only personality routines are written so. */
static uintptr_t read_pointer(struct ehbytes *b, unsigned enc) {
  uintptr_t at = (uintptr_t)b->p;
  if (enc == ENC_OMIT) return 0;
  uintptr_t v = read_format(b, enc & ENC_FORMAT);
  if ((enc & ENC_RELATIVE) == ENC_PCREL) v += at;
  return v;
}

/* --- entries: CIE and FDE --- */

struct cie {
  uint64_t code_align;
  int64_t data_align;
  unsigned fde_enc;
  bool augmented, signal;
  struct ehbytes program;
};

struct fde {
  uintptr_t start, length;
  struct ehbytes program;
};

/* The bytes of the entry at p, after its length. */
static struct ehbytes open_entry(const uint8_t *p) {
  uint32_t n;
  memcpy(&n, p, 4);
  /* 0 ends the section; all ones would be 64-bit DWARF, which nobody writes. */
  if (n == 0 || n == UINT32_MAX) return (struct ehbytes){p, p, true};
  return (struct ehbytes){p + 4, p + 4 + n, false};
}

static bool parse_augmentation(struct ehbytes *b, const char *aug,
                               struct cie *c) {
  c->fde_enc = 0;
  if (*aug == 0) return true;
  if (*aug++ != 'z') return false;
  c->augmented = true;
  struct ehbytes data = take_block(b, ehbytes_uleb(b));
  for (; *aug && !data.bad; aug++) {
    if (*aug == 'R')
      c->fde_enc = (unsigned)ehbytes_unsigned(&data, 1);
    else if (*aug == 'L')
      ehbytes_unsigned(&data, 1);
    else if (*aug == 'P')
      read_pointer(&data, (unsigned)ehbytes_unsigned(&data, 1));
    else if (*aug == 'S')
      c->signal = true;
    else
      return false;
  }
  return !data.bad;
}

static bool parse_cie(const uint8_t *p, struct cie *c) {
  struct ehbytes b = open_entry(p);
  *c = (struct cie){0};
  if (b.bad || ehbytes_unsigned(&b, 4) != 0) return false;
  uint64_t version = ehbytes_unsigned(&b, 1);
  const char *aug = (const char *)b.p;
  while (ehbytes_unsigned(&b, 1) != 0) {
  }
  c->code_align = ehbytes_uleb(&b);
  c->data_align = ehbytes_sleb(&b);
  uint64_t ra = version == 1 ? ehbytes_unsigned(&b, 1) : ehbytes_uleb(&b);
  if (b.bad || (version != 1 && version != 3) || ra != EHFRAME_RA) return false;
  if (!parse_augmentation(&b, aug, c)) return false;
  c->program = b;
  return !b.bad;
}

static bool parse_fde(const uint8_t *p, struct fde *f, struct cie *c) {
  struct ehbytes b = open_entry(p);
  const uint8_t *at = b.p;
  uint32_t back = (uint32_t)ehbytes_unsigned(&b, 4);
  if (b.bad || back == 0 || !parse_cie(at - back, c)) return false;
  f->start = read_pointer(&b, c->fde_enc);
  f->length = read_format(&b, c->fde_enc & ENC_FORMAT);
  if (c->augmented) take_block(&b, ehbytes_uleb(&b));
  f->program = b;
  return !b.bad;
}

/* --- the programs of rules --- */

struct machine {
  struct ehframe *now;
  struct ehframe initial; /* after the CIE's program */
  struct ehframe remembered[REMEMBERED_MAX];
  unsigned nremembered;
  const struct cie *cie;
  uintptr_t loc, pc;
};

static void set_rule(struct machine *m, uint64_t reg, enum ehrule_kind kind,
                     int64_t value) {
  /* Vector registers hold nothing that is needed. */
  if (reg < EHFRAME_REGS) m->now->reg[reg] = (struct ehrule){kind, value};
}

static void restore_rule(struct machine *m, uint64_t reg) {
  if (reg < EHFRAME_REGS) m->now->reg[reg] = m->initial.reg[reg];
}

static void set_cfa(struct machine *m, uint64_t reg, int64_t offset) {
  m->now->cfa_reg = reg < EHFRAME_REGS ? (unsigned)reg : EHFRAME_REGS;
  m->now->cfa_offset = offset;
  m->now->cfa_expr = NULL;
}

static const uint8_t *take_expression(struct ehbytes *b) {
  const uint8_t *at = b->p;
  take_block(b, ehbytes_uleb(b));
  return at;
}

static void set_expression(struct machine *m, struct ehbytes *b,
                           enum ehrule_kind kind) {
  uint64_t reg = ehbytes_uleb(b);
  set_rule(m, reg, kind, (int64_t)(uintptr_t)take_expression(b));
}

static bool remember(struct machine *m, bool again) {
  if (again) {
    if (m->nremembered == 0) return false;
    *m->now = m->remembered[--m->nremembered];
  } else {
    if (m->nremembered == REMEMBERED_MAX) return false;
    m->remembered[m->nremembered++] = *m->now;
  }
  return true;
}

/* Instructions about the CFA. False: op is none of them. */
static bool execute_cfa(struct machine *m, struct ehbytes *b, unsigned op) {
  int64_t align = m->cie->data_align;
  uint64_t reg = m->now->cfa_reg;
  switch (op) {
  case 0x0c: /* def_cfa */
    reg = ehbytes_uleb(b);
    set_cfa(m, reg, (int64_t)ehbytes_uleb(b));
    return true;
  case 0x0d: /* def_cfa_register */
    set_cfa(m, ehbytes_uleb(b), m->now->cfa_offset);
    return true;
  case 0x0e: /* def_cfa_offset */
    set_cfa(m, reg, (int64_t)ehbytes_uleb(b));
    return true;
  case 0x0f: /* def_cfa_expression */
    m->now->cfa_expr = take_expression(b);
    return true;
  case 0x12: /* def_cfa_sf */
    reg = ehbytes_uleb(b);
    set_cfa(m, reg, ehbytes_sleb(b) * align);
    return true;
  case 0x13: /* def_cfa_offset_sf */
    set_cfa(m, reg, ehbytes_sleb(b) * align);
    return true;
  default:
    return false;
  }
}

/* Instructions about one register. False: op is none of them. */
static bool execute_register(struct machine *m, struct ehbytes *b,
                             unsigned op) {
  int64_t align = m->cie->data_align;
  uint64_t reg;
  if (op == 0x10 || op == 0x16) { /* expression, val_expression */
    set_expression(m, b, op == 0x10 ? EHRULE_EXPR : EHRULE_VAL_EXPR);
    return true;
  }
  if ((op < 0x05 || op > 0x09) && op != 0x11 && op != 0x14 && op != 0x15)
    return false;
  reg = ehbytes_uleb(b);
  switch (op) {
  case 0x05: /* offset_extended */
    set_rule(m, reg, EHRULE_OFFSET, (int64_t)ehbytes_uleb(b) * align);
    break;
  case 0x06:
    restore_rule(m, reg);
    break;
  case 0x07:
    set_rule(m, reg, EHRULE_UNDEFINED, 0);
    break;
  case 0x08:
    set_rule(m, reg, EHRULE_SAME, 0);
    break;
  case 0x09:
    set_rule(m, reg, EHRULE_REGISTER, (int64_t)ehbytes_uleb(b));
    break;
  case 0x11: /* offset_extended_sf */
    set_rule(m, reg, EHRULE_OFFSET, ehbytes_sleb(b) * align);
    break;
  case 0x14: /* val_offset */
    set_rule(m, reg, EHRULE_VAL_OFFSET, (int64_t)ehbytes_uleb(b) * align);
    break;
  default: /* val_offset_sf */
    set_rule(m, reg, EHRULE_VAL_OFFSET, ehbytes_sleb(b) * align);
    break;
  }
  return true;
}

static bool execute_other(struct machine *m, struct ehbytes *b, unsigned op) {
  uint64_t step = m->cie->code_align;
  switch (op) {
  case 0x00:
    return true;
  case 0x01:
    m->loc = read_pointer(b, m->cie->fde_enc);
    return true;
  case 0x02:
    m->loc += ehbytes_unsigned(b, 1) * step;
    return true;
  case 0x03:
    m->loc += ehbytes_unsigned(b, 2) * step;
    return true;
  case 0x04:
    m->loc += ehbytes_unsigned(b, 4) * step;
    return true;
  case 0x0a:
    return remember(m, false);
  case 0x0b:
    return remember(m, true);
  case 0x2e:
    ehbytes_uleb(b);
    return true; /* GNU_args_size */
  default:
    return execute_cfa(m, b, op) || execute_register(m, b, op);
  }
}

static bool run(struct machine *m, struct ehbytes b) {
  while (b.p < b.end && !b.bad) {
    unsigned op = (unsigned)ehbytes_unsigned(&b, 1), low = op & 0x3f;
    bool ok = true;
    switch (op >> 6) {
    case 1:
      m->loc += low * m->cie->code_align;
      break;
    case 2:
      set_rule(m, low, EHRULE_OFFSET,
               (int64_t)ehbytes_uleb(&b) * m->cie->data_align);
      break;
    case 3:
      restore_rule(m, low);
      break;
    default:
      ok = execute_other(m, &b, op);
      break;
    }
    if (!ok) return false;
    if (m->loc > m->pc) return true;
  }
  return !b.bad;
}

/* --- finding the entry --- */

struct hdr_row { /* sorted by pc; both relative to the header */
  int32_t pc, fde;
};

/* The entry of the last function that begins at or before pc, or NULL. */
static const uint8_t *search(const uint8_t *hdr, uintptr_t pc) {
  struct ehbytes b = {hdr + 4, hdr + 16, false};
  if (hdr[0] != 1 || hdr[2] != ENC_COUNT || hdr[3] != ENC_TABLE) return NULL;
  read_pointer(&b, hdr[1]);
  uint64_t n = ehbytes_unsigned(&b, 4);
  if (b.bad) return NULL;
  const struct hdr_row *rows = (const struct hdr_row *)(const void *)b.p;
  int64_t want = (int64_t)(pc - (uintptr_t)hdr);
  uint64_t lo = 0, hi = n;
  while (lo < hi) {
    uint64_t mid = lo + (hi - lo) / 2;
    if (rows[mid].pc <= want)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo ? hdr + rows[lo - 1].fde : NULL;
}

bool ehframe_decode(const uint8_t *hdr, uintptr_t pc, struct ehframe *out) {
  struct cie cie;
  struct fde fde;
  const uint8_t *entry = search(hdr, pc);
  if (!entry || !parse_fde(entry, &fde, &cie)) return false;
  if (pc - fde.start >= fde.length) return false;
  *out = (struct ehframe){.cfa_reg = EHFRAME_REGS, .signal = cie.signal};
  struct machine m;
  m.now = out;
  m.initial = *out;
  m.nremembered = 0;
  m.cie = &cie;
  m.loc = fde.start;
  m.pc = pc;
  if (!run(&m, cie.program)) return false;
  m.initial = *out;
  return run(&m, fde.program);
}

#ifdef DLFO_STRUCT_HAS_EH_DBASE /* glibc 2.35 */
bool ehframe_find(uintptr_t pc, struct ehframe *out) {
  struct dl_find_object object;
  if (_dl_find_object((void *)pc, &object) != 0 || !object.dlfo_eh_frame)
    return false;
  return ehframe_decode(object.dlfo_eh_frame, pc, out);
}
#else
bool ehframe_find(uintptr_t pc, struct ehframe *out) {
  (void)pc, (void)out;
  return false;
}
#endif
