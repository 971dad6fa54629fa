// SPDX-License-Identifier: MIT
/*
 * A linked ELF file as the loader would lay it out at address 0: segments, with
 * the relocations applied that need no other file. Nothing is executed.
 */
#ifndef MGC_MALLOCGC_ELFIMAGE_H
#define MGC_MALLOCGC_ELFIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elfimage;

/* NULL on failure, with the reason in error, of n bytes. */
struct elfimage *elfimage_open(const char *path, char *error, size_t n);
void elfimage_close(struct elfimage *image);

/* The bounds of a section; false when there is none of that name. */
bool elfimage_section(const struct elfimage *image, const char *name,
                      uint64_t *addr, uint64_t *size);

/* The n bytes at address addr; NULL when they are not all in one segment's
 * contents. */
const void *elfimage_at(const struct elfimage *image, uint64_t addr,
                        uint64_t n);

/* The NUL-terminated string at addr, or NULL. */
const char *elfimage_string(const struct elfimage *image, uint64_t addr);

#endif
