// SPDX-License-Identifier: MIT
/* Where the program's memory can be reached from. See leakroots.c. */
#ifndef MGC_MALLOC_LEAKROOTS_H
#define MGC_MALLOC_LEAKROOTS_H

#include "face/malloc/leakscan.h"
#include "os/segments.h"

/* Where glibc keeps what a scan must know of; all 0: not known. */
struct leak_libc {
  struct tls_layout tls;
  uintptr_t stacks;       /* address of three list heads: used, user, cache */
  size_t pd_list, pd_tid; /* offsets in a thread's descriptor */
  size_t link_map_bytes;  /* of the loader's private struct link_map */
};

struct leak_thread {
  int tid;
  struct leak_range stack; /* lo == hi: not known */
};

struct leakroots {
  struct leak_libc libc;
  struct leak_vec range; /* struct leak_range: scanned */
  struct leak_vec keep;  /* uintptr_t: blocks that are not scanned */
  struct leak_vec skip; /* struct leak_range: stacks, which are no mapped memory
                            like other */
  struct leak_vec thread; /* struct leak_thread: those that live */
  bool lost;              /* memory ran out */
};

/* Asks the C library; may allocate, so before anything is stopped. */
void leakroots_init(struct leakroots *r, struct vm *vm);
/* Data of one loaded object; for segments_visit. */
void leakroots_add_object(const struct segment_info *info, void *roots);
/* Finds all stacks; before the following.
 * Threads: all are stopped, for this and the rest. */
void leakroots_list_stacks(struct leakroots *r);
/* The stack from sp up, or, when sp is 0, all that is known of it, of the thread
 * with this id. */
void leakroots_add_stack(struct leakroots *r, int tid, uintptr_t sp);
/* Thread-local storage of all threads, and what glibc keeps of ended ones. */
void leakroots_add_threads(struct leakroots *r);
/* What the dynamic linker knows of loaded objects. */
void leakroots_add_link_maps(struct leakroots *r);
/* Has the scan go through all of the program's anonymous memory that is none of
 * skip's and none of the library's. In the copy, or when all threads are stopped;
 * after all of the above. leakmaps.c */
void leakroots_scan_mapped(struct leakroots *r, struct leakscan *ls);
void leakroots_free(struct leakroots *r);

#endif
