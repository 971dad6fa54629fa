// SPDX-License-Identifier: MIT
/* Types for `mallocgc types` to find; never run. */
#include <mallocgc.h>

/* The two layouts of the note that the project sets out from. */
struct six {
  uintptr_t a;
  uint8_t b;
  uint8_t *c;
  uint32_t d;
  uint64_t *e;
  uint64_t f;
};
MGC_TYPE(struct six, MGC_PLAIN(a), MGC_PLAIN(b), c, MGC_PLAIN(d), e,
         MGC_PLAIN(f));

struct text {
  const char *ptr;
  long len;
};
struct five {
  struct text s;
  int64_t *i;
  uint64_t *u;
  int64_t n;
  uint8_t b;
};
MGC_TYPE(struct five, s.ptr, i, u);

struct element {
  struct six *one;
  long weight;
};
struct nest {
  char tag[3];
  struct element elements[8];
  void *table[2000];
};
MGC_TYPE(struct nest, MGC_EACH(elements, one), table);

int main(void) { return 0; }
