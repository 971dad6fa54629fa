// SPDX-License-Identifier: MIT
/* A type registry with memory of its own, for tests. */
#ifndef MGC_TESTS_SUPPORT_TYPEFIX_H
#define MGC_TESTS_SUPPORT_TYPEFIX_H

#include "support/fakesource.h"
#include "type/type.h"

struct typefix {
  struct fake_source source;
  struct persistent memory;
  struct memstat stat;
  struct type_registry reg;
};

static inline void typefix_init(struct typefix *f, uint64_t fail_at,
                                const struct type_hooks *hooks) {
  fake_source_init(&f->source, fail_at);
  persistent_init(&f->memory, &f->source.src);
  f->stat = (struct memstat){{0}};
  type_registry_init(&f->reg, &f->memory, &f->stat, hooks);
}

/* A module over sections that the test made; its types in [types, etypes). */
static inline struct mgc_moduledata typefix_module(const void *types,
                                                   const void *etypes) {
  /* Names and fields may be anywhere: bounds that hold everything. */
  return (struct mgc_moduledata){
      .types = types,
      .etypes = etypes,
      .names = NULL,
      .enames = (const char *)UINTPTR_MAX,
      .fields = NULL,
      .efields = (const char *)UINTPTR_MAX,
      .version = MGC_TYPE_VERSION,
  };
}

#endif
