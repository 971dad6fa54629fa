// SPDX-License-Identifier: MIT
/* The program's second translation unit. */
#include "modules.h"

/* One name and size, another layout than in main.c: nobody can tell which is
 * meant. */
struct clash {
  void *p;
  long n;
};
MGC_TYPE(struct clash, p);

/* Another size than in main.c: told apart. */
struct sized {
  void *p[3];
};
MGC_TYPE(struct sized, p);

const struct mgc_type *second_typeof_shared(void) {
  return mgc_typeof(struct shared);
}
const struct mgc_type *second_typeof_clash(void) {
  return mgc_typeof(struct clash);
}
const struct mgc_type *second_typeof_sized(void) {
  return mgc_typeof(struct sized);
}
