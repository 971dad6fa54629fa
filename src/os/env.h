// SPDX-License-Identifier: MIT
/*
 * Settings from the environment. Strict: a value is taken whole or not at all,
 * and the caller learns which, so that a mistyped limit is reported and not
 * guessed. A program with raised privileges (set-user-ID) sees no settings.
 */
#ifndef MGC_OS_ENV_H
#define MGC_OS_ENV_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>

enum env_result { ENV_UNSET, ENV_OK, ENV_MALFORMED };

#define ENV_OFF_BYTES INT64_MAX /* "off" as a number of bytes: no limit */
#define ENV_OFF_PERCENT (-1)    /* "off" as a percentage */

/* Reading of one variable. *out changes only with ENV_OK; a variable that is set
 * to nothing counts as unset.
 * Units: bytes; a percentage. Errors: ENV_MALFORMED.
 * Threads: any, as long as none changes the environment. */
MGC_MUST_CHECK enum env_result env_bytes(const char *name, int64_t *out);
MGC_MUST_CHECK enum env_result env_percent(const char *name, int32_t *out);
MGC_MUST_CHECK enum env_result env_u64(const char *name, uint64_t *out);
MGC_MUST_CHECK enum env_result env_bool(const char *name, bool *out);
/* Ownership: *out is the environment's. */
MGC_MUST_CHECK enum env_result env_string(const char *name, const char **out);

/* The languages of the values; false when malformed or out of range.
 *   bytes    digits, then nothing, B, KiB, MiB, GiB or TiB; or "off"
 *   percent  digits up to INT32_MAX; or "off"
 *   u64      digits
 *   bool     1 0 true false yes no on off */
MGC_MUST_CHECK bool parse_bytes(const char *s, int64_t *out);
MGC_MUST_CHECK bool parse_percent(const char *s, int32_t *out);
MGC_MUST_CHECK bool parse_u64(const char *s, uint64_t *out);
MGC_MUST_CHECK bool parse_bool(const char *s, bool *out);

#endif
