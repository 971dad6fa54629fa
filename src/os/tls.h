// SPDX-License-Identifier: MIT
/*
 * Where a thread's thread-local variables are, of another (stopped) thread too.
 * The C library has no call for this; the structures read here are glibc's and
 * have been stable since TLS exists (debuggers read them). With another C
 * library nothing is reported.
 */
#ifndef MGC_OS_TLS_H
#define MGC_OS_TLS_H

#include <stddef.h>
#include <stdint.h>

/* A loaded object that has thread-local variables. */
struct tls_module {
  size_t modid; /* dlpi_tls_modid: 1 is the program's */
  size_t size;  /* bytes of one thread's block */
};

/* Sizes that glibc fixes when the process starts. */
struct tls_layout {
  size_t descriptor; /* bytes of struct pthread */
  size_t statics;    /* bytes of static TLS with the descriptor; 0: unknown */
};

/* Asks the C library once.
 * Threads: any. Calls dlsym, which may call malloc. */
void tls_layout_init(struct tls_layout *layout);

/* The range of the calling or of a stopped thread that holds its descriptor
 * (with the first 32 thread-specific values of pthread_setspecific) and, where
 * its size is known, the whole of static TLS. Other threads than the main one
 * have it inside their stack; the main thread's is nowhere else to be found.
 * Units: *lo and *hi are addresses, multiples of 8; lo == hi: nothing. */
void tls_thread_area(const struct tls_layout *layout, uintptr_t thread_pointer,
                     uintptr_t *lo, uintptr_t *hi);

/* Reports the block [lo, hi) of each module that the thread has one of. Blocks
 * of modules that were loaded with static TLS by dlopen may be missing: they are
 * in tls_thread_area or in the thread's stack.
 * Units: bytes, lo and hi are multiples of 8.
 * Threads: the thread of thread_pointer is the caller or stopped.
 * Async-signal-safe; takes no lock. */
void tls_blocks_visit(uintptr_t thread_pointer, const struct tls_module *mods,
                      size_t n,
                      void (*visit)(uintptr_t lo, uintptr_t hi, void *arg),
                      void *arg);

#endif
