// SPDX-License-Identifier: MIT
/*
 * Sampled heap profiles, for the rest of the malloc face. profile.c has the
 * design; mface.h the functions that entry.c and mstart.c call.
 */
#ifndef MGC_MALLOC_PROFILE_H
#define MGC_MALLOC_PROFILE_H

#include "face/malloc/mface.h"
#include "face/malloc/stack.h"
#include "heap/proftable.h"

/* The file that is being written. */
struct prof_writer {
  struct atomic_u32 busy; /* one at a time has the rest */
  int fd;
  int error; /* the first errno, or 0 */
  size_t len;
  char buf[8192];
  char name[4200];
};

struct profile {
  struct mutex lock;      /* rank profile */
  struct proftable table; /* (lock) */
  /* Spans of sampled small objects, by class: those with a free slot (lock). */
  struct list spans[TCACHE_CLASSES];
  uint64_t rate;    /* (c) bytes */
  int pid;          /* (c) of the process that started it */
  const char *path; /* (c) absolute, with %p */
  struct prof_writer writer;
  struct atomic_u64 nseeds; /* threads that have begun to count */
  uint64_t seed;            /* (c) */
};

/* NULL: no profile is being taken. Constant after the start. */
extern struct profile *profile;

/* Writes the profile to its file, anew. Nothing happens when none is taken, in a
 * child of fork whose file would be the parent's, or when it is being written.
 * Errors: false, and a line on standard error. Threads: any, while others
 * allocate; async-signal-safe; errno is preserved. profwrite.c */
bool profile_write(void);

/* The stack with which p, the first byte of a live object, was allocated.
 * Returns: the number of frames put into frames; 0 when p is not sampled. *size
 * is then what was asked for. Threads: any. */
unsigned profile_stack_of(uintptr_t p, size_t *size, uintptr_t *frames,
                          unsigned n);

/* --- profwrite.c, for tests --- */

/* Replaces %p by the process's id and %% by %; false: it does not fit. */
bool profile_file_name(const char *path, int pid, char *buf, size_t n);

#endif
