// SPDX-License-Identifier: MIT
/* Boxing: the data word of interface values (Go: convT and its companions in
 * iface.go). Values that many programs box often are not allocated. */
#include "type/iface.h"
#include "base/bits.h"
#include <string.h>

/* Little-endian words: the number is at the address at every width. */
#define FOUR(n) (n), (n) + 1, (n) + 2, (n) + 3
#define SIXTEEN(n) FOUR(n), FOUR((n) + 4), FOUR((n) + 8), FOUR((n) + 12)
#define SIXTYFOUR(n)                                                           \
  SIXTEEN(n), SIXTEEN((n) + 16), SIXTEEN((n) + 32), SIXTEEN((n) + 48)
static const uint64_t small_numbers[256] = {SIXTYFOUR(0), SIXTYFOUR(64),
                                            SIXTYFOUR(128), SIXTYFOUR(192)};
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "small_numbers are read at every width");

static const _Alignas(128) char zeros[IFACE_ZERO_BYTES];

/* The address of a static copy of the value, or NULL. */
static const void *static_copy(const struct mgc_type *t, const void *value) {
  if (t->size <= IFACE_ZERO_BYTES && memcmp(value, zeros, t->size) == 0)
    return zeros;
  if (t->ptrdata != 0 || !is_pow2(t->size) || t->size > sizeof(uint64_t))
    return NULL;
  uint64_t n = 0;
  memcpy(&n, value, t->size);
  return n < array_len(small_numbers) ? &small_numbers[n] : NULL;
}

bool iface_box(struct type_registry *r, const struct mgc_type *type,
               const void *value, void **data) {
  if (type->tflag & MGC_TFLAG_DIRECT_IFACE) {
    memcpy(data, value, sizeof(*data));
    return true;
  }
  const void *copy = static_copy(type, value);
  if (copy) {
    /* Never written: the const comes back with the first store. */
    *data = (void *)(uintptr_t)copy;
    return true;
  }
  if (!r->hooks.newobject) return false;
  void *p = r->hooks.newobject(r->hooks.arg, type);
  if (!p) return false;
  memcpy(p, value, type->size);
  *data = p;
  return true;
}
