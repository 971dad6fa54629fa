// SPDX-License-Identifier: MIT
/* Equality of the kinds whose memory is not regular, for descriptors. Exported
 * to the assembler only. */
#ifndef MGC_TYPE_ALG_H
#define MGC_TYPE_ALG_H

#include <stdbool.h>

bool type_equal_f32(const void *a, const void *b);
bool type_equal_f64(const void *a, const void *b);
bool type_equal_c64(const void *a, const void *b);
bool type_equal_c128(const void *a, const void *b);
bool type_equal_string(const void *a, const void *b);

#endif
