// SPDX-License-Identifier: MIT
/* Fault injection: see struct vm_faulty in vm.h. The operations that give
 * memory back never fail and are not counted. */
#include "os/vm.h"

static struct vm_faulty *faulty(struct vm *vm) {
  return container_of(vm, struct vm_faulty, vm);
}

/* Counts a call; true when it is one that must fail. */
static bool must_fail(struct vm_faulty *f) {
  uint64_t call = atomic_u64_fetch_add_relaxed(&f->ncalls, 1) + 1;
  if (f->fail_at == 0) return false;
  return f->forever ? call >= f->fail_at : call == f->fail_at;
}

static void *faulty_alloc(struct vm *vm, size_t n, const char *name) {
  struct vm_faulty *f = faulty(vm);
  if (must_fail(f)) return NULL;
  return f->under->ops->alloc(f->under, n, name);
}

static void *faulty_reserve(struct vm *vm, void *hint, size_t n, size_t align,
                            const char *name) {
  struct vm_faulty *f = faulty(vm);
  if (must_fail(f)) return NULL;
  return f->under->ops->reserve(f->under, hint, n, align, name);
}

static bool faulty_map(struct vm *vm, void *p, size_t n, const char *name) {
  struct vm_faulty *f = faulty(vm);
  if (must_fail(f)) return false;
  return f->under->ops->map(f->under, p, n, name);
}

static bool faulty_used(struct vm *vm, void *p, size_t n) {
  struct vm_faulty *f = faulty(vm);
  if (must_fail(f)) return false;
  return f->under->ops->used(f->under, p, n);
}

static void faulty_unused(struct vm *vm, void *p, size_t n) {
  struct vm *under = faulty(vm)->under;
  under->ops->unused(under, p, n);
}

static void faulty_fault(struct vm *vm, void *p, size_t n) {
  struct vm *under = faulty(vm)->under;
  under->ops->fault(under, p, n);
}

static void faulty_free(struct vm *vm, void *p, size_t n) {
  struct vm *under = faulty(vm)->under;
  under->ops->free(under, p, n);
}

static void faulty_hugepage(struct vm *vm, void *p, size_t n, bool enable) {
  struct vm *under = faulty(vm)->under;
  under->ops->hugepage(under, p, n, enable);
}

static bool faulty_resident(struct vm *vm, void *p) {
  struct vm *under = faulty(vm)->under;
  return under->ops->resident(under, p);
}

static bool faulty_move(struct vm *vm, void *from, void *to, size_t n,
                        size_t *moved) {
  struct vm_faulty *f = faulty(vm);
  *moved = 0;
  if (must_fail(f)) return false;
  return f->under->ops->move(f->under, from, to, n, moved);
}

static void faulty_renew(struct vm *vm, void *p, size_t n, const char *name) {
  struct vm *under = faulty(vm)->under;
  under->ops->renew(under, p, n, name);
}

static const struct vm_ops faulty_ops = {
    .alloc = faulty_alloc,
    .reserve = faulty_reserve,
    .map = faulty_map,
    .used = faulty_used,
    .unused = faulty_unused,
    .fault = faulty_fault,
    .free = faulty_free,
    .hugepage = faulty_hugepage,
    .resident = faulty_resident,
    .move = faulty_move,
    .renew = faulty_renew,
};

struct vm *vm_faulty_init(struct vm_faulty *f, struct vm *under,
                          uint64_t fail_at, bool forever) {
  *f = (struct vm_faulty){
      .vm = {.ops = &faulty_ops,
             .page_size = under->page_size,
             .hugepage_size = under->hugepage_size},
      .under = under,
      .fail_at = fail_at,
      .forever = forever,
  };
  return &f->vm;
}
