// SPDX-License-Identifier: MIT
/* A module that comes and goes. PLUGIN_FIELD tells the two plugins apart: they
 * declare one name with different pointers. */
#include "modules.h"

MGC_TYPE(struct made, PLUGIN_FIELD);

static const struct mgc_type *typeof_shared(void) {
  return mgc_typeof(struct shared);
}
static const struct mgc_type *typeof_made(void) {
  return mgc_typeof(struct made);
}

static struct made *make_list(long n) {
  struct made *list = NULL;
  for (long i = 0; i < n; i++) {
    struct made *m = mgc_new(struct made);
    if (!m) return NULL;
    m->n = i;
    m->check = ~i;
    m->PLUGIN_FIELD = list;
    list = m;
  }
  return list;
}

/* One large object, whose elements point to small ones. */
static struct made *make_array(long n) {
  struct made *a = mgc_new_array(struct made, (size_t)n);
  for (long i = 0; a && i < n; i++) {
    a[i].PLUGIN_FIELD = mgc_new(struct made);
    if (!a[i].PLUGIN_FIELD) return NULL;
    a[i].PLUGIN_FIELD->n = i;
    a[i].PLUGIN_FIELD->check = ~i;
  }
  return a;
}

__attribute__((visibility("default"))) const struct plugin plugin = {
    typeof_shared, typeof_made, make_list, make_array};
