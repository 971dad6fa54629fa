// SPDX-License-Identifier: MIT
/*
 * Memory from the operating system, in Go's four states (mem.go):
 *
 *   None      not ours: nothing is mapped
 *   Reserved  address space is ours; touching it faults (PROT_NONE)
 *   Prepared  may be touched soon; not yet promised to be there
 *   Ready     may be touched
 *
 *   None -reserve-> Reserved -map-> Prepared -used-> Ready
 *   Ready -unused-> Prepared;  any -fault-> Reserved;  any -free-> None
 *   None -alloc-> Ready
 *
 * Every caller goes through a struct vm, so that tests give a fake one that
 * fails the nth call (D: fail the nth mmap) or counts. All sizes are bytes and
 * multiples of the physical page; all functions are thread-safe.
 */
#ifndef MGC_OS_VM_H
#define MGC_OS_VM_H

#include "base/compiler.h"
#include "base/memstat.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm; /* the operations below, and what they need */

struct vm_ops {
  /* Zeroed, Ready memory, or NULL when there is none. */
  void *(*alloc)(struct vm *vm, size_t n, const char *name);
  /* Reserves n bytes at hint (0: anywhere; not honoured: NULL unless hint was
   * 0), aligned to align (0: page). NULL when there is none. */
  void *(*reserve)(struct vm *vm, void *hint, size_t n, size_t align,
                   const char *name);
  /* Reserved -> Prepared. False when the OS refuses (ENOMEM). */
  bool (*map)(struct vm *vm, void *p, size_t n, const char *name);
  /* Prepared -> Ready. False when the OS refuses. */
  bool (*used)(struct vm *vm, void *p, size_t n);
  /* Ready -> Prepared: physical pages go back, contents read as zero. */
  void (*unused)(struct vm *vm, void *p, size_t n);
  /* -> Reserved: any access faults. */
  void (*fault)(struct vm *vm, void *p, size_t n);
  /* -> None. */
  void (*free)(struct vm *vm, void *p, size_t n);
  void (*hugepage)(struct vm *vm, void *p, size_t n, bool enable);
  /* Whether the physical page at p, of Ready memory, is there. */
  bool (*resident)(struct vm *vm, void *p);
  /* The physical pages of Ready [from, from + n) move to Ready [to, to + n), which
   * lies apart and loses its own; from then reads as zero. Costs a part of what
   * copying does, and each place that was moved to keeps mappings of its own until
   * renew. False when the OS refuses: part may have moved (what did reads as zero
   * in from), so *moved tells how many bytes did, from the beginning. */
  bool (*move)(struct vm *vm, void *from, void *to, size_t n, size_t *moved);
  /* The same as unused, with the mapping made anew where that can be had. */
  void (*renew)(struct vm *vm, void *p, size_t n, const char *name);
};

struct vm {
  const struct vm_ops *ops;
  size_t page_size;     /* physical page; const after init */
  size_t hugepage_size; /* 0: none; const after init */
};

/* The real one: Linux mmap, named areas (prctl PR_SET_VMA) where the kernel has
 * them. */
struct vm *vm_system(void);
/* Visits what the system's vm has given out by alloc and not taken back: memory
 * that is the library's and not the program's. False: some of it is not known
 * (vmareas.h). */
bool vm_system_visit(void (*visit)(uintptr_t lo, uintptr_t hi, void *arg),
                     void *arg);

static inline void *vm_alloc(struct vm *vm, size_t n, const char *name,
                             struct memstat *stat) {
  void *p = vm->ops->alloc(vm, n, name);
  if (p) memstat_add(stat, (int64_t)n);
  return p;
}

/* Wraps another vm and fails chosen calls: the fault-injection mode of the
 * product (option fail_vm=N) and of the tests. Calls counted: alloc,
 * reserve, map, used, move. fail_at 0: never; forever: every call from fail_at on
 * fails. */
struct vm_faulty {
  struct vm vm;
  struct vm *under;
  struct atomic_u64 ncalls;
  uint64_t fail_at; /* const after init */
  bool forever;
};
struct vm *vm_faulty_init(struct vm_faulty *f, struct vm *under,
                          uint64_t fail_at, bool forever);

/* Bytes of address space the process may still map (RLIMIT_AS minus what is
 * mapped), or UINT64_MAX when there is no limit. */
uint64_t vm_address_space_left(void);

#endif
