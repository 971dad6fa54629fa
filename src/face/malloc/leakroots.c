// SPDX-License-Identifier: MIT
/*
 * The roots of a program that uses malloc:
 *
 *   data      writable segments of all loaded objects but this library
 *   stacks    of all threads, from the stack pointer up, with the registers that
 *             the stop has put there
 *   TLS       each thread's descriptor (pthread_setspecific's values are in it),
 *             its static TLS, and its dtv, from which the rest hangs
 *   loader    struct link_map of each object. The first ones lie in memory that the
 *             dynamic linker took before there was a malloc.
 *   mapped    anonymous memory that the program has from the system itself: pools,
 *             coroutines' stacks, other heaps (leakmaps.c)
 *
 * No root: malloc's own heap; files and shared memory; stacks of threads that have
 * ended. glibc keeps such stacks for later threads, and in each the
 * descriptor of the ended thread, whose dtv and TLS blocks come from malloc and are
 * used again. They are kept, unscanned: neither leaks themselves, nor is what the
 * ended thread had put there.
 *
 * glibc's lists of stacks are found by the symbols that it exports for debuggers
 * (libthread_db). Without them, or with another C library, dtvs of ended threads
 * are reported as leaks, and nothing else changes.
 *
 * A thread that has ended and was not joined has a result, and that is a root: all
 * of its descriptor is, since the result's place in it is not known.
 */
#include "face/malloc/leakroots.h"

#include "base/bits.h"
#include "os/arch.h"
#include "os/procfs.h"
#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>
#include <unistd.h>

/* glibc 2.36's is 1,168 bytes on x86-64, followed by the object's name. */
#define LINK_MAP_FALLBACK 1536
#define LINK_MAPS_MAX 100000
#define STACKS_MAX 1000000
#define DTV_MAX ((size_t)1 << 20)
/* What tells a stack's bounds from other words: pages, and PTHREAD_STACK_MIN; the
 * descriptor, with static TLS behind it on some processors, is near its end. */
#define STACK_ALIGN 4096u
#define STACK_MIN 16384u
#define STACK_TOP_MAX ((uintptr_t)1 << 20)

/* glibc's description of a field for debuggers: bits, number, offset. */
struct db_field {
  uint32_t bits, count, offset;
};

struct list_node {
  struct list_node *next, *prev;
};

struct dtv_slot {
  uintptr_t value; /* or the number of slots, or the generation */
  uintptr_t to_free;
};

/* --- beginning and end --- */

static size_t field_offset(const char *symbol) {
  const struct db_field *f = dlsym(RTLD_DEFAULT, symbol);
  return f ? f->offset : 0;
}

void leakroots_init(struct leakroots *r, struct vm *vm) {
  *r = (struct leakroots){0};
  leak_vec_init(&r->range, vm, sizeof(struct leak_range));
  leak_vec_init(&r->keep, vm, sizeof(uintptr_t));
  leak_vec_init(&r->skip, vm, sizeof(struct leak_range));
  leak_vec_init(&r->thread, vm, sizeof(struct leak_thread));
  struct leak_libc *c = &r->libc;
  tls_layout_init(&c->tls);
  char *rtld = dlsym(RTLD_DEFAULT, "_rtld_global");
  size_t user = field_offset("_thread_db_rtld_global__dl_stack_user");
  c->pd_list = field_offset("_thread_db_pthread_list");
  c->pd_tid = field_offset("_thread_db_pthread_tid");
  if (rtld && user && c->pd_list && c->pd_tid)
    c->stacks = (uintptr_t)rtld + user - sizeof(struct list_node);
  size_t modid = field_offset("_thread_db_link_map_l_tls_modid");
  c->link_map_bytes = modid ? modid + 512 : LINK_MAP_FALLBACK;
}

void leakroots_free(struct leakroots *r) {
  leak_vec_free(&r->range);
  leak_vec_free(&r->keep);
  leak_vec_free(&r->skip);
  leak_vec_free(&r->thread);
}

static void add_to(struct leakroots *r, struct leak_vec *v, uintptr_t lo,
                   uintptr_t hi) {
  lo = align_up(lo, PTR_BYTES);
  hi = align_down(hi, PTR_BYTES);
  if (lo >= hi) return;
  struct leak_range *e = leak_vec_push(v);
  if (e)
    *e = (struct leak_range){lo, hi};
  else
    r->lost = true;
}

static void add(struct leakroots *r, uintptr_t lo, uintptr_t hi) {
  add_to(r, &r->range, lo, hi);
}

static void keep(struct leakroots *r, uintptr_t p) {
  uintptr_t *e = leak_vec_push(&r->keep);
  if (e)
    *e = p;
  else
    r->lost = true;
}

/* --- data --- */

void leakroots_add_object(const struct segment_info *info, void *roots) {
  static char ours; /* lies in the data of this library */
  struct leakroots *r = roots;
  uintptr_t me = (uintptr_t)&ours;
  for (unsigned i = 0; i < info->nranges; i++)
    if (me < info->ranges[i].lo || me >= info->ranges[i].hi)
      add(r, info->ranges[i].lo, info->ranges[i].hi);
}

/* --- glibc's lists of stacks --- */

MGC_NO_SANITIZE static uintptr_t load(uintptr_t at) {
  return *(const volatile uintptr_t *)at;
}

/* Whether the list at `head` looks like one: its neighbours lead back to it. */
static bool looks_like_list(uintptr_t head) {
  uintptr_t next = load(head), prev = load(head + PTR_BYTES);
  return next && prev && is_aligned(next | prev, PTR_BYTES) &&
         load(next + PTR_BYTES) == head && load(prev) == head;
}

enum stack_list { STACKS_USED, STACKS_USER, STACKS_CACHED };

/* Visits the descriptors in one list. */
static void visit_descriptors(struct leakroots *r, enum stack_list which,
                              void (*visit)(struct leakroots *r, uintptr_t pd,
                                            void *arg),
                              void *arg) {
  uintptr_t head = r->libc.stacks + which * sizeof(struct list_node);
  if (!r->libc.stacks || !looks_like_list(head)) return;
  uintptr_t node = load(head);
  for (unsigned n = 0; node != head && n < STACKS_MAX; n++) {
    visit(r, node - r->libc.pd_list, arg);
    node = load(node);
  }
}

static uintptr_t thread_pointer(const struct leakroots *r, uintptr_t pd) {
  return ARCH_TLS_BELOW_TP ? pd : pd + r->libc.tls.descriptor;
}

MGC_NO_SANITIZE static int tid_of(const struct leakroots *r, uintptr_t pd) {
  return *(const volatile int *)(pd + r->libc.pd_tid);
}

/* --- stacks --- */

/* The bounds of the thread's own stack, as its descriptor has them: three words
 * somewhere in it, the lowest address, the size and the guard's size. */
static struct leak_range stack_of(const struct leakroots *r, uintptr_t pd) {
  for (size_t at = 0; at + 3 * PTR_BYTES <= r->libc.tls.descriptor;
       at += PTR_BYTES) {
    uintptr_t lo = load(pd + at), size = load(pd + at + PTR_BYTES);
    uintptr_t guard = load(pd + at + 2 * PTR_BYTES);
    if (lo == 0 || !is_aligned(lo | size | guard, STACK_ALIGN)) continue;
    if (lo > pd || size < STACK_MIN || guard > size || pd - lo >= size)
      continue;
    if (size - (pd - lo) > STACK_TOP_MAX) continue;
    return (struct leak_range){lo + guard, lo + size};
  }
  return (struct leak_range){0, 0};
}

/* Stacks are scanned from their stack pointers, or not at all. */
static void list_stack(struct leakroots *r, uintptr_t pd, void *living) {
  struct leak_range s = stack_of(r, pd);
  add_to(r, &r->skip, s.lo, s.hi);
  if (!living) return;
  struct leak_thread *t = leak_vec_push(&r->thread);
  if (t)
    *t = (struct leak_thread){tid_of(r, pd), s};
  else
    r->lost = true;
}

void leakroots_list_stacks(struct leakroots *r) {
  struct procfs_mapping m;
  visit_descriptors(r, STACKS_USED, list_stack, r);
  visit_descriptors(r, STACKS_USER, list_stack, r);
  visit_descriptors(r, STACKS_CACHED, list_stack, NULL);
  /* The main thread's is the kernel's to tell; its random bytes lie there. */
  if (!procfs_find_mapping(getauxval(AT_RANDOM), &m)) return;
  add_to(r, &r->skip, m.start, m.end);
  struct leak_thread *t = leak_vec_push(&r->thread);
  if (t)
    *t = (struct leak_thread){getpid(), {m.start, m.end}};
  else
    r->lost = true;
}

/* The last entry counts: the main thread has a descriptor, too. */
static struct leak_range own_stack(const struct leakroots *r, int tid) {
  const struct leak_thread *t = r->thread.data;
  for (size_t i = r->thread.n; i-- > 0;)
    if (t[i].tid == tid) return t[i].stack;
  return (struct leak_range){0, 0};
}

void leakroots_add_stack(struct leakroots *r, int tid, uintptr_t sp) {
  struct leak_range own = own_stack(r, tid);
  struct procfs_mapping m;
  if (sp >= own.lo && sp < own.hi) {
    add(r, sp, own.hi);
    return;
  }
  /* It was running and could not be stopped, or is on another stack (a signal's,
   * a coroutine's): all that there is of its own, and that. */
  add(r, own.lo, own.hi);
  if (sp && procfs_find_mapping(sp, &m) && m.read) add(r, sp, m.end);
}

/* --- thread-local storage --- */

/* The dtv of a thread; *n: its slots. NULL: none. */
MGC_NO_SANITIZE static const struct dtv_slot *dtv_of(uintptr_t tp, size_t *n) {
  const struct dtv_slot *dtv =
      *(const struct dtv_slot *const volatile *)(tp + ARCH_DTV_OFFSET);
  *n = dtv ? dtv[-1].value : 0;
  return *n > 0 && *n < DTV_MAX ? dtv : NULL;
}

/* A thread that has ended. */
static void keep_thread(struct leakroots *r, uintptr_t pd, void *arg) {
  size_t n;
  const struct dtv_slot *dtv = dtv_of(thread_pointer(r, pd), &n);
  (void)arg;
  if (!dtv) return;
  keep(r, (uintptr_t)&dtv[-1]);
  for (size_t i = 1; i <= n; i++) {
    keep(r, load((uintptr_t)&dtv[i].value));
    keep(r, load((uintptr_t)&dtv[i].to_free));
  }
}

/* A living thread, or one that has not been joined. */
static void add_thread(struct leakroots *r, uintptr_t pd, void *arg) {
  uintptr_t lo, hi, tp = thread_pointer(r, pd);
  size_t n;
  if (tid_of(r, pd) == 0) { /* the kernel's doing, when it ends */
    keep_thread(r, pd, arg);
    /* From behind the pointer to its dtv. */
    add(r, pd + ARCH_DTV_OFFSET + PTR_BYTES, pd + r->libc.tls.descriptor);
    return;
  }
  tls_thread_area(&r->libc.tls, tp, &lo, &hi);
  add(r, lo, hi);
  const struct dtv_slot *dtv = dtv_of(tp, &n);
  if (dtv) add(r, (uintptr_t)&dtv[-1], (uintptr_t)&dtv[n + 1]);
}

void leakroots_add_threads(struct leakroots *r) {
  visit_descriptors(r, STACKS_USED, add_thread, NULL);
  visit_descriptors(r, STACKS_USER, add_thread, NULL);
  visit_descriptors(r, STACKS_CACHED, keep_thread, NULL);
  /* In case that there are no such lists. */
  uintptr_t lo, hi, tp = arch_thread_pointer();
  tls_thread_area(&r->libc.tls, tp, &lo, &hi);
  add(r, lo, hi);
}

/* --- the loader --- */

void leakroots_add_link_maps(struct leakroots *r) {
  const struct link_map *l = _r_debug.r_map;
  struct procfs_mapping m = {0};
  for (unsigned n = 0; l && n < LINK_MAPS_MAX; n++, l = l->l_next) {
    uintptr_t lo = (uintptr_t)l, hi = lo + r->libc.link_map_bytes;
    if ((lo < m.start || lo >= m.end) && !procfs_find_mapping(lo, &m)) continue;
    add(r, lo, hi < m.end ? hi : m.end);
  }
}
