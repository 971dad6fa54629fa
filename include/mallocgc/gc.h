// SPDX-License-Identifier: MIT
/* The collector: running it, its limits, its roots, and the threads it stops. */
#ifndef MALLOCGC_GC_H
#define MALLOCGC_GC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Runs a complete collection that starts after the call: on return everything
 * that was unreachable then is swept.
 *
 * Units:   none.
 * Errors:  none.
 * Threads: any; concurrent callers each get a collection that began after their
 *          call, perhaps one between them.
 * Go:      runtime.GC.
 */
void mgc_collect(void);

/**
 * Sets how much the heap may grow over what was alive before the next collection.
 *
 * Units:   percent; negative: no collections but those a memory limit, or
 *          mgc_collect, asks for.
 * Returns: the value before; 100 at the start, or MALLOCGC_GOGC.
 * Errors:  none.
 * Threads: any.
 * Go:      debug.SetGCPercent.
 */
int mgc_set_gc_percent(int percent);

/**
 * Sets the soft limit of the memory the library holds: collections come earlier
 * near it, and memory goes back to the OS. It is never a reason to fail.
 *
 * Units:   bytes; negative: only ask. INT64_MAX: no limit, the default.
 * Returns: the value before.
 * Errors:  none.
 * Threads: any.
 * Go:      debug.SetMemoryLimit.
 */
int64_t mgc_set_memory_limit(int64_t bytes);

/**
 * Sets the most memory that the library holds. Near it collections come earlier, and
 * memory goes back to the OS; what would take the library over it fails, after a
 * collection and the program's own function (mgc_set_out_of_memory) have not helped.
 *
 * Units:   bytes; negative: only ask. INT64_MAX: no limit, the default.
 * Returns: the value before.
 * Errors:  none. With less than what is held already, allocations fail until enough is
 *          garbage.
 * Threads: any. Several threads that allocate at the same time may be over it by what
 *          they are taking.
 */
int64_t mgc_set_hard_limit(int64_t bytes);

/**
 * What the program does when there is no memory for an object of `size` bytes, and a
 * collection has not helped. It may drop references, mgc_free, write to a log; it returns,
 * or ends the process. True: collect and try again; false: the allocation fails (NULL,
 * ENOMEM). It is asked at most 8 times for one object. What it allocates itself fails
 * without asking.
 */
typedef bool mgc_out_of_memory(size_t size, void *arg);

/**
 * Has fn called, with arg, on the thread that is out of memory; NULL: nobody, the
 * default.
 *
 * Units:     none.
 * Errors:    none.
 * Threads:   any. fn may be called by several threads at the same time.
 * Ownership: arg is a root only if it lies in one.
 */
void mgc_set_out_of_memory(mgc_out_of_memory *fn, void *arg);

/**
 * Collects, then gives every free page back to the OS.
 *
 * Units:   none.
 * Errors:  none.
 * Threads: any.
 * Go:      debug.FreeOSMemory.
 */
void mgc_free_os_memory(void);

/**
 * Makes the words in [lo, hi) roots, scanned conservatively. Data segments,
 * thread-local storage and stacks are roots already; memory from malloc or mmap
 * is not, unless it is added here.
 *
 * Units:     addresses; unaligned ends are trimmed to whole words.
 * Returns:   true.
 * Errors:    false with errno EINVAL when hi < lo; false with errno ENOMEM.
 * Threads:   any.
 * Ownership: the memory stays mapped until it is removed.
 */
bool mgc_add_roots(void *lo, void *hi);

/**
 * Takes back every range that mgc_add_roots gave and that lies inside [lo, hi).
 *
 * Units:   addresses.
 * Errors:  none; nothing happens when there is no such range.
 * Threads: any.
 */
void mgc_remove_roots(void *lo, void *hi);

/**
 * Keeps the object that p points into alive until as many mgc_unpin: a root
 * without a location.
 *
 * Units:   none.
 * Returns: true; false when p is not in a live object (nothing to do).
 * Errors:  false with errno EINVAL or ENOMEM.
 * Threads: any.
 * Go:      runtime.Pinner.
 */
bool mgc_pin(void *p);

/**
 * Undoes one mgc_pin of the same object.
 *
 * Units:   none.
 * Returns: false when the object is not pinned.
 * Errors:  false with errno EINVAL.
 * Threads: any.
 */
bool mgc_unpin(void *p);

/**
 * Declares that the calling thread is about to wait (a system call, a lock) and
 * will not touch the collected heap before mgc_blocking_end: collections do not
 * signal it. Pairs nest. Costs a few nanoseconds; never required.
 *
 * Units:   none.
 * Errors:  none; an end without a begin is fatal.
 * Threads: for the calling thread. Pointers that only its registers and stack
 *          hold at the begin stay roots.
 */
void mgc_blocking_begin(void);
void mgc_blocking_end(void);

/**
 * Attaches the calling thread now instead of at its first allocation.
 *
 * Units:   none.
 * Returns: true; false when memory is exhausted.
 * Errors:  false only.
 * Threads: for the calling thread.
 */
bool mgc_thread_attach(void);

/**
 * Gives the calling thread's cache back before the thread ends. It attaches
 * itself again at its next allocation.
 *
 * Units:   none.
 * Errors:  none.
 * Threads: for the calling thread.
 */
void mgc_thread_detach(void);

/**
 * Keeps the object alive at least up to this point of the program.
 *
 * Units: none.  Errors: none.  Threads: any.
 * Go:    runtime.KeepAlive.
 */
static inline void mgc_keep_alive(const void *p) {
  __asm__ volatile("" : : "g"(p) : "memory");
}

#ifdef __cplusplus
}
#endif
#endif
