// SPDX-License-Identifier: MIT
/* The version of the library, in one place: the build reads it from here. */
#ifndef MALLOCGC_VERSION_H
#define MALLOCGC_VERSION_H

#define MGC_VERSION_MAJOR 0
#define MGC_VERSION_MINOR 1
#define MGC_VERSION_PATCH 0
#define MGC_VERSION_STRING "0.1.0"

#endif
