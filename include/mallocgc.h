// SPDX-License-Identifier: MIT
/*
 * mallocgc: Go's memory manager as a C library. One header:
 *
 *   struct node { struct node *left, *right; };
 *   MGC_TYPE(struct node, left, right);
 *
 *   struct node *n = mgc_new(struct node);   // zeroed; collected when unreachable
 *
 * cc prog.c $(pkg-config --cflags --libs mallocgc)
 */
#ifndef MALLOCGC_H
#define MALLOCGC_H

#include <mallocgc/alloc.h>
#include <mallocgc/declare.h>
#include <mallocgc/gc.h>
#include <mallocgc/iface.h>
#include <mallocgc/stats.h>
#include <mallocgc/store.h>
#include <mallocgc/type.h>
#include <mallocgc/version.h>

#endif
