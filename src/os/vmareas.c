// SPDX-License-Identifier: MIT
/* See vmareas.h. */
#include "os/vmareas.h"

#include "base/compiler.h"

/* Takes a place for an area that ends at hi. */
static bool take(struct vmareas *a, uint32_t i, uintptr_t lo, uintptr_t hi) {
  uintptr_t free = 0;
  if (!atomic_uptr_cas_acq_rel(&a->area[i].hi, &free, hi)) return false;
  atomic_uptr_store_release(&a->area[i].lo, lo);
  return true;
}

void vmareas_add(struct vmareas *a, uintptr_t lo, uintptr_t hi) {
  uint32_t used = atomic_u32_load_relaxed(&a->used);
  for (uint32_t i = 0; i < used && i < VMAREAS_MAX; i++)
    if (atomic_uptr_load_relaxed(&a->area[i].hi) == 0 && take(a, i, lo, hi))
      return;
  for (;;) {
    used = atomic_u32_load_relaxed(&a->used);
    if (used >= VMAREAS_MAX) {
      atomic_bool_store_relaxed(&a->lost, true);
      return;
    }
    /* The place is there: with the count of another it might be past the end. */
    if (atomic_u32_cas_acq_rel(&a->used, &used, used + 1) &&
        take(a, used, lo, hi))
      return;
  }
}

void vmareas_remove(struct vmareas *a, uintptr_t lo) {
  uint32_t used = atomic_u32_load_acquire(&a->used);
  for (uint32_t i = 0; i < used; i++) {
    if (atomic_uptr_load_acquire(&a->area[i].lo) != lo ||
        atomic_uptr_load_relaxed(&a->area[i].hi) == 0)
      continue;
    atomic_uptr_store_relaxed(&a->area[i].lo, 0);
    /* release: the place may be taken again */
    atomic_uptr_store_release(&a->area[i].hi, 0);
    return;
  }
}

bool vmareas_visit(const struct vmareas *a,
                   void (*visit)(uintptr_t lo, uintptr_t hi, void *arg),
                   void *arg) {
  uint32_t used = atomic_u32_load_acquire(&a->used);
  for (uint32_t i = 0; i < used; i++) {
    uintptr_t lo = atomic_uptr_load_acquire(&a->area[i].lo);
    uintptr_t hi = atomic_uptr_load_acquire(&a->area[i].hi);
    /* Of two areas that had the place one after the other: neither. */
    if (atomic_uptr_load_relaxed(&a->area[i].lo) != lo) continue;
    if (lo && lo < hi) visit(lo, hi, arg);
  }
  return !atomic_bool_load_relaxed(&a->lost);
}
