// SPDX-License-Identifier: MIT
/*
 * A snapshot of malloc's heap in figures, of this process or of another one.
 *
 *   msnap.c        takes it
 *   msnap_print.c  prints it, for people and as JSON
 *   report.c       when: at exit, on SIGUSR2
 *   tools/mallocgc/cmd_stat.c   of another process
 *
 * Reading. The heap's structures are read with process_vm_readv(2), our own too,
 * and no lock is taken. So
 *
 *   - a signal handler may take a snapshot, whatever the interrupted thread holds
 *   - a page that goes away while it is read is an error and not a fault
 *   - another process is read by the same code, and need not help nor notice
 *
 * Directly, without system calls but one mapping, our own structures can be read
 * too, since they are never unmapped; slots only of the calling thread's cache.
 * mallinfo does so, which programs call in sandboxes that kill for an unusual
 * system call; and so does every snapshot for which the kernel refuses to copy.
 *
 * The figures are exact while no thread is in the allocator. Otherwise they are
 * of a moving picture: each span as it was when it was read.
 *
 *   I1  live slots of a span = slots handed out or on a list (freeindex), less
 *       those on its own list, less those on its remote list; the lengths of
 *       both are in `left`, `where` and `remote`. Hardened and sampled spans have
 *       the number of live slots in `left`
 *   I2  of the slots so counted, those on the list in a thread's cache are free;
 *       that list is followed
 *
 * Who reads must know the layout: struct msnap_anchor, which report.c puts where
 * an ELF note of the library points, has the sizes and offsets of all that is
 * read here.
 */
#ifndef MGC_MALLOC_MSNAP_H
#define MGC_MALLOC_MSNAP_H

#include "face/malloc/mface.h"

/* --- where to read --- */

#define MSNAP_MAGIC 0x706e736d6c6c616dull /* "mallmsnp" */
#define MSNAP_NOTE_NAME "mallocgc"        /* owner of the note, with its NUL */
#define MSNAP_NOTE_TYPE 1u /* 8 bytes: the anchor's address less theirs */

/* Sizes and offsets of what is read. The first is to be raised when a meaning
 * changes and no offset does. */
#define MSNAP_LAYOUT                                                           \
  {                                                                            \
    1, sizeof(struct mface), offsetof(struct mface, theap),                    \
        offsetof(struct mface, modes), sizeof(struct theap),                   \
        offsetof(struct theap, central), offsetof(struct theap, caches),       \
        offsetof(struct theap, memory_limit),                                  \
        offsetof(struct theap, peak_pages),                                    \
        offsetof(struct theap, peak_class_pages), sizeof(struct tcache),       \
        offsetof(struct tcache, bin), offsetof(struct tcache, th),             \
        offsetof(struct tcache, link), offsetof(struct tcache, owned_bytes),   \
        offsetof(struct tcache, empty_bytes),                                  \
        offsetof(struct tcache, attached), sizeof(struct tcache_bin),          \
        offsetof(struct tcache_globals, secret), sizeof(struct heap),          \
        offsetof(struct heap, classes), offsetof(struct heap, all_arenas),     \
        offsetof(struct heap, narenas), offsetof(struct heap, stats),          \
        sizeof(struct heap_stats), offsetof(struct heap_stats, heap_inuse),    \
        offsetof(struct heap_stats, scavenged_total),                          \
        sizeof(struct heap_arena), offsetof(struct heap_arena, spans),         \
        offsetof(struct heap_arena, page_in_use), sizeof(struct mspan),        \
        offsetof(struct mspan, freeindex), offsetof(struct mspan, npages),     \
        offsetof(struct mspan, local), offsetof(struct mspan_local, remote),   \
        offsetof(struct mspan_local, left),                                    \
        offsetof(struct mspan_local, where), sizeof(struct sizeclass_table),   \
        offsetof(struct sizeclass_table, nclasses)                             \
  }
#define MSNAP_FACTS 40

struct msnap_anchor { /* (c), in the library's relocated read-only data */
  uint64_t magic;
  struct mface **mface; /* &mface */
  const struct tcache_globals *globals;
  const uint64_t *none; /* tcache_none */
  char version[16];
  uint32_t layout[MSNAP_FACTS]; /* MSNAP_LAYOUT, and 0 */
};

extern const struct msnap_anchor msnap_anchor; /* the library's: report.c */

/* Whether the structures are those of this build. */
bool msnap_layout_agrees(const struct msnap_anchor *a);

/* --- the figures --- */

struct msnap_class {
  uint64_t slot;       /* bytes of one; 0: large objects */
  uint64_t objects;    /* live */
  uint64_t live;       /* their bytes, of slots */
  uint64_t spans;      /* number */
  uint64_t span_bytes; /* of spans */
  uint64_t peak_bytes; /* of spans, at the peak */
};

struct msnap {
  int pid;
  char command[16];
  char version[16];
  bool exact;   /* every list was read to its end */
  bool profile; /* modes */
  bool harden;
  unsigned nclasses;
  struct msnap_class cls[TCACHE_CLASSES]; /* [0]: large */
  struct msnap_class total;
  uint64_t mapped;         /* heap bytes got from the OS */
  uint64_t in_use;         /* in spans */
  uint64_t free;           /* not in spans, kept */
  uint64_t returned;       /* not in spans, given back */
  uint64_t returned_total; /* given back, ever */
  uint64_t metadata;       /* spans, caches; without untouched tables */
  uint64_t tables;         /* address space of page and arena tables */
  uint64_t resident, resident_peak; /* of the whole process; 0: unknown */
  uint64_t threads;                 /* of the process; 0: unknown */
  uint64_t caches;                  /* threads' caches in use */
  uint64_t cached;                  /* bytes of empty spans kept in them */
  uint64_t orphaned;                /* bytes of spans that ended threads left */
  uint64_t peak;                    /* in_use at most */
  uint64_t limit;                   /* memory limit; UINT64_MAX: none */
};

enum msnap_status {
  MSNAP_OK = 0,
  MSNAP_NOT_STARTED, /* nothing was allocated yet */
  MSNAP_NO_MEMORY,   /* for the working space */
  MSNAP_DENIED,      /* the process may not be read */
  MSNAP_GONE,        /* it ended, or what was read makes no sense */
};

struct msnap_from {
  const struct msnap_anchor *anchor;
  int pid;     /* 0: the calling process */
  bool direct; /* only of the calling process */
  /* The calling thread's cache, in its own process; or NULL. */
  const struct tcache *self;
};

/**
 * Takes a snapshot of a heap.
 *
 * Units:   bytes, unless a field says otherwise.
 * Errors:  see enum msnap_status; *out is then unfinished.
 * Threads: any; async-signal-safe; takes no lock; errno is preserved.
 */
MGC_MUST_CHECK enum msnap_status msnap_take(const struct msnap_from *from,
                                            struct msnap *out);
/* report.c: of this process, directly. All zero when there is none. */
void msnap_take_own(struct msnap *out);

/* Reads n bytes at addr of process pid. False: not all of them could be read;
 * errno tells why. Async-signal-safe. */
MGC_MUST_CHECK bool msnap_read(int pid, uintptr_t addr, void *buf, size_t n);

/* --- printing: msnap_print.c --- */

struct msnap_style {
  bool utf8, color;
  unsigned columns; /* of a line, 60 to 160 */
};

/* More than any report takes. */
#define MSNAP_TEXT_MAX 65536u

/* Writes the report into buf (n bytes, cut where it does not fit); when: a word or
 * two, "at exit". Returns: its length. Threads: any; async-signal-safe. */
size_t msnap_print_text(const struct msnap *s, const struct msnap_style *style,
                        const char *when, char *buf, size_t n);
/* One line of JSON with a newline. */
size_t msnap_print_json(const struct msnap *s, const char *when, char *buf,
                        size_t n);

#endif
