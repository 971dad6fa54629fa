// SPDX-License-Identifier: MIT
/* Shared by the program, its second translation unit, and the plugins. */
#ifndef MGC_TESTS_TYPE_MODULES_H
#define MGC_TESTS_TYPE_MODULES_H

#include <mallocgc.h>

/* Declared by everybody: equal types of several modules, and twice in one. */
struct shared {
  long n;
  struct shared *next;
};
MGC_TYPE(struct shared, next);

/* Made by plugins only, who declare it; read by the program. */
struct made {
  long n;
  struct made *next;
  long check;
  struct made *other;
};

/* What a plugin exports, found by dlsym as "plugin". */
struct plugin {
  const struct mgc_type *(*typeof_shared)(void);
  const struct mgc_type *(*typeof_made)(void);
  struct made *(*make_list)(long n);
  struct made *(*make_array)(long n);
};

/* In second.c. */
const struct mgc_type *second_typeof_shared(void);
const struct mgc_type *second_typeof_clash(void);
const struct mgc_type *second_typeof_sized(void);

#endif
