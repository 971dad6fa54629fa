// SPDX-License-Identifier: MIT
/* Draws the layout of a type, one row for each word of 8 bytes. */
#ifndef MGC_MALLOCGC_LAYOUT_H
#define MGC_MALLOCGC_LAYOUT_H

#include "typelist.h"

#include <stdio.h>

const char *kind_name(unsigned kind);

/* False when memory is exhausted. */
bool layout_draw(FILE *out, const struct listed_type *t);

#endif
