// SPDX-License-Identifier: MIT
/* xxHash's XXH3, inlined and without its allocating half. */
#ifndef MGC_TYPE_XXH_H
#define MGC_TYPE_XXH_H

#define XXH_INLINE_ALL
#define XXH_NO_STDLIB
#define XXH_NO_STREAM
#include <xxhash.h>

#endif
