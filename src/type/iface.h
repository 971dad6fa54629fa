// SPDX-License-Identifier: MIT
/* Boxing, inside the library. The public half is mallocgc/iface.h. */
#ifndef MGC_TYPE_IFACE_H
#define MGC_TYPE_IFACE_H

#include "mallocgc/iface.h"
#include "type/type.h"

/* Zero values up to this size are boxed without allocating (Go: zeroVal). */
#define IFACE_ZERO_BYTES 1024

/* See mgc_box; false without memory, or without a hook to allocate. */
bool iface_box(struct type_registry *r, const struct mgc_type *type,
               const void *value, void **data);

#endif
