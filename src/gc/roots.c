// SPDX-License-Identifier: MIT
/* See roots.h. */
#include "gc/roots.h"

#include "base/bits.h"
#include "base/fatal.h"
#include "gc/scan.h"
#include "os/arch.h"
#include "os/procfs.h"
#include "os/segments.h"
#include <string.h>

#define TOUCH_STEP ((uintptr_t)4096) /* no page is smaller */

void roots_init(struct roots *r, struct persistent *meta,
                struct memstat *stat) {
  r->meta = meta;
  r->stat = stat;
  mutex_init(&r->lock, LOCKRANK_roots);
  tls_layout_init(&r->layout);
}

/* A larger array with the same n elements; NULL: no memory. The old one is lost:
 * persistent memory is never given back, and doubling bounds the loss. */
static void *grow(const struct roots *r, const void *old, size_t n, size_t size,
                  size_t new_cap) {
  void *p = persistent_alloc(r->meta, new_cap * size, 64, r->stat);
  if (p && n) memcpy(p, old, n * size);
  return p;
}

/* --- what the program registers --- */

bool roots_add_range(struct roots *r, uintptr_t lo, uintptr_t hi) {
  lo = align_up(lo, PTR_BYTES);
  hi = align_down(hi, PTR_BYTES);
  if (lo >= hi) return true;
  bool ok = true;
  mutex_lock(&r->lock);
  if (r->nadded == r->added_cap) {
    size_t cap = r->added_cap ? 2 * r->added_cap : 64;
    struct root_range *p = grow(r, r->added, r->nadded, sizeof *p, cap);
    ok = p != NULL;
    if (ok) r->added = p, r->added_cap = cap;
  }
  if (ok) r->added[r->nadded++] = (struct root_range){lo, hi};
  mutex_unlock(&r->lock);
  return ok;
}

void roots_remove_ranges(struct roots *r, uintptr_t lo, uintptr_t hi) {
  size_t kept = 0;
  mutex_lock(&r->lock);
  for (size_t i = 0; i < r->nadded; i++) {
    struct root_range range = r->added[i];
    if (range.lo < lo || range.hi > hi) r->added[kept++] = range;
  }
  r->nadded = kept;
  mutex_unlock(&r->lock);
}

static size_t pin_hash(uintptr_t object, size_t cap) {
  return (size_t)((object >> 3) * 0x9e3779b97f4a7c15u >> 20) & (cap - 1);
}

/* The entry of object, or the empty one where it belongs. cap > npins. */
static struct pin *pin_find(struct pin *pins, size_t cap, uintptr_t object) {
  size_t i = pin_hash(object, cap);
  while (pins[i].object && pins[i].object != object) i = (i + 1) & (cap - 1);
  return &pins[i];
}

/* Keeps the table at most half full. */
static bool pins_reserve(struct roots *r) {
  if (2 * (r->npins + 1) <= r->pins_cap) return true;
  size_t cap = r->pins_cap ? 2 * r->pins_cap : 64;
  struct pin *pins = grow(r, NULL, 0, sizeof *pins, cap);
  if (!pins) return false;
  for (size_t i = 0; i < r->pins_cap; i++)
    if (r->pins[i].object) *pin_find(pins, cap, r->pins[i].object) = r->pins[i];
  r->pins = pins;
  r->pins_cap = cap;
  return true;
}

bool roots_pin(struct roots *r, uintptr_t object) {
  if (!object) return true;
  mutex_lock(&r->lock);
  bool ok = pins_reserve(r);
  if (ok) {
    struct pin *p = pin_find(r->pins, r->pins_cap, object);
    if (!p->object) r->npins++;
    p->object = object;
    p->count++;
  }
  mutex_unlock(&r->lock);
  return ok;
}

/* Empties an entry and moves up those that had to pass over it. */
static void pin_delete(struct roots *r, struct pin *p) {
  size_t mask = r->pins_cap - 1;
  size_t hole = (size_t)(p - r->pins);
  for (size_t i = (hole + 1) & mask; r->pins[i].object; i = (i + 1) & mask) {
    size_t home = pin_hash(r->pins[i].object, r->pins_cap);
    if (((i - home) & mask) < ((i - hole) & mask)) continue;
    r->pins[hole] = r->pins[i];
    hole = i;
  }
  r->pins[hole] = (struct pin){0, 0};
  r->npins--;
}

bool roots_unpin(struct roots *r, uintptr_t object) {
  bool found = false;
  mutex_lock(&r->lock);
  if (r->pins_cap && object) {
    struct pin *p = pin_find(r->pins, r->pins_cap, object);
    found = p->object != 0;
    if (found && --p->count == 0) pin_delete(r, p);
  }
  mutex_unlock(&r->lock);
  return found;
}

/* --- this cycle's list --- */

static void add_shard(struct roots *r, uintptr_t lo, uintptr_t hi) {
  if (r->n == r->cap) {
    size_t cap = r->cap ? 2 * r->cap : 512;
    struct root_range *p = grow(r, r->shard, r->n, sizeof *p, cap);
    if (!p) {
      mgc_check(r->nlate < ROOTS_LATE, "no memory to list the roots");
      r->late[r->nlate++] = (struct root_range){lo, hi};
      r->scan_now(r->scan_arg, lo, hi);
      return;
    }
    r->shard = p;
    r->cap = cap;
  }
  r->shard[r->n++] = (struct root_range){lo, hi};
}

static uint64_t add_root(struct roots *r, uintptr_t lo, uintptr_t hi) {
  lo = align_up(lo, PTR_BYTES);
  hi = align_down(hi, PTR_BYTES);
  if (lo >= hi) return 0;
  for (uintptr_t p = lo; p < hi; p += ROOT_SHARD_BYTES)
    add_shard(r, p, hi - p > ROOT_SHARD_BYTES ? p + ROOT_SHARD_BYTES : hi);
  return hi - lo;
}

static void add_module(struct roots *r, struct tls_module m) {
  if (r->ntls == r->tls_cap) {
    size_t cap = r->tls_cap ? 2 * r->tls_cap : 64;
    struct tls_module *p = grow(r, r->tls, r->ntls, sizeof *p, cap);
    if (!p) return; /* tls_thread_area still covers static TLS */
    r->tls = p;
    r->tls_cap = cap;
  }
  r->tls[r->ntls++] = m;
}

static void visit_segment(const struct segment_info *info, void *arg) {
  struct roots *r = arg;
  for (unsigned i = 0; i < info->nranges; i++)
    r->globals_bytes += add_root(r, info->ranges[i].lo, info->ranges[i].hi);
  if (info->tls.modid) add_module(r, info->tls);
}

static void visit_tls(uintptr_t lo, uintptr_t hi, void *arg) {
  struct roots *r = arg;
  r->globals_bytes += add_root(r, lo, hi);
}

static void add_tls(struct roots *r, uintptr_t thread_pointer) {
  uintptr_t lo, hi;
  tls_thread_area(&r->layout, thread_pointer, &lo, &hi);
  r->globals_bytes += add_root(r, lo, hi);
  tls_blocks_visit(thread_pointer, r->tls, r->ntls, visit_tls, r);
}

/* What is mapped from sp up: a foreign thread's stack, or a borrowed one. */
static void add_unknown_stack(struct roots *r, uintptr_t sp) {
  struct procfs_mapping m;
  if (procfs_find_mapping(sp, &m) && m.read)
    r->stack_bytes += add_root(r, sp, m.end);
}

static void add_stack(struct roots *r, const struct thread *t, uintptr_t sp) {
  struct procfs_mapping m;
  if (likely(sp >= t->stack_lo && sp <= t->stack_hi)) {
    r->stack_bytes += add_root(r, sp, t->stack_hi);
    return;
  }
  add_unknown_stack(r, sp);
  uintptr_t lo = t->stack_hi - PTR_BYTES;
  if (!procfs_find_mapping(lo, &m) || !m.read) return;
  lo = m.start > t->stack_lo ? m.start : t->stack_lo;
  r->stack_bytes += add_root(r, lo, t->stack_hi);
}

static void add_registers(struct roots *r, const struct thread *t,
                          uintptr_t sp) {
  if (sp == t->stack_hi) return; /* it ended without detaching */
  add_stack(r, t, sp);
  uintptr_t spilled = (uintptr_t)t->spilled;
  r->stack_bytes += add_root(r, spilled, spilled + t->nspilled * PTR_BYTES);
}

static void add_thread(struct roots *r, const struct thread *t, uintptr_t sp) {
  add_registers(r, t, sp);
  if (sp != t->stack_hi) add_tls(r, t->thread_pointer);
}

static void visit_foreign_stack(const struct foreign *f, void *arg) {
  add_unknown_stack(arg, atomic_uptr_load_relaxed(&f->sp));
}

static void visit_foreign(const struct foreign *f, void *arg) {
  struct roots *r = arg;
  visit_foreign_stack(f, r);
  add_tls(r, atomic_uptr_load_relaxed(&f->thread_pointer));
}

static void add_pins(struct roots *r) {
  uintptr_t pins = (uintptr_t)r->pins;
  if (r->npins) add_root(r, pins, pins + r->pins_cap * sizeof(struct pin));
}

static void touch_segment(const struct segment_info *info, void *arg) {
  (void)arg;
  for (unsigned i = 0; i < info->nranges; i++)
    for (uintptr_t p = info->ranges[i].lo; p < info->ranges[i].hi;
         p = align_down(p, TOUCH_STEP) + TOUCH_STEP)
      (void)scan_load((const uintptr_t *)p);
}

void roots_touch(void) { segments_visit(NULL, touch_segment, NULL); }

void roots_collect(struct roots *r, struct world *w,
                   uintptr_t self_sp) MGC_NO_ANALYSIS {
  r->n = r->ntls = r->nlate = 0;
  r->stack_bytes = r->globals_bytes = 0;
  segments_visit(NULL, visit_segment, r);
  for (struct thread *t = thread_registry.head; t; t = t->next)
    add_thread(r, t, t == w->self ? self_sp : atomic_uptr_load_relaxed(&t->sp));
  if (!w->self && self_sp) {
    add_unknown_stack(r, self_sp);
    add_tls(r, arch_thread_pointer());
  }
  world_visit_foreign(w, visit_foreign, r);
  /* In a stopped world nobody holds r->lock (thread.h I2). */
  for (size_t i = 0; i < r->nadded; i++)
    r->globals_bytes += add_root(r, r->added[i].lo, r->added[i].hi);
  add_pins(r);
}

void roots_collect_stacks(struct roots *r, struct world *w) MGC_NO_ANALYSIS {
  uint64_t counted = r->stack_bytes;
  r->n = r->nlate = 0;
  for (struct thread *t = thread_registry.head; t; t = t->next)
    add_registers(r, t, atomic_uptr_load_relaxed(&t->sp));
  world_visit_foreign(w, visit_foreign_stack, r);
  r->stack_bytes = counted;
}
