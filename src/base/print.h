// SPDX-License-Identifier: MIT
/*
 * Formatting without allocation, stdio or locale, for fatal lines and traces.
 * The format language is a subset of printf's: %s %c %% %d %i %u %x %p with the
 * lengths l, ll, z, and a field width with an optional 0 flag; %x prints no
 * prefix, %p prints 0x and hex.
 */
#ifndef MGC_BASE_PRINT_H
#define MGC_BASE_PRINT_H

#include "base/compiler.h"
#include <stdarg.h>
#include <stddef.h>

/* Formats into buf (n bytes, NUL-terminated when n > 0, cut where it does not
 * fit). Returns the length written without the NUL. Async-signal-safe. */
size_t print_format(char *buf, size_t n, const char *fmt, ...) MGC_PRINTF(3, 4);
size_t print_vformat(char *buf, size_t n, const char *fmt, va_list ap);

/* Formats and writes to descriptor fd with one write(2); lines are cut at 1,000
 * bytes. Async-signal-safe; errno is preserved. */
void print_fd(int fd, const char *fmt, ...) MGC_PRINTF(2, 3);

#endif
