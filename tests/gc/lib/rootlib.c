// SPDX-License-Identifier: MIT
/* A shared object with roots: data, zero data and thread-local storage. */
#define SLOTS 100
void **rootlib_data(void);
void **rootlib_bss(void);
void **rootlib_tls(void);

static void *in_data[SLOTS] = {(void *)1};
static void *in_bss[SLOTS];
static __thread void *in_tls[SLOTS];

void **rootlib_data(void) { return in_data; }
void **rootlib_bss(void) { return in_bss; }
void **rootlib_tls(void) { return in_tls; }
