// SPDX-License-Identifier: MIT
/*
 * struct vm on Linux. See vm.h for the states.
 *
 *   Reserved   PROT_NONE, MAP_NORESERVE: not counted by overcommit
 *   Prepared   read and write; pages come at the first touch
 *   Ready      the same: Linux needs no step between the two
 *
 * Running out (ENOMEM, EAGAIN) is a result. Any other refusal means that we
 * passed a range that is not ours, and is fatal. errno is preserved, so that
 * free() can keep it without a thought.
 */
#include "base/bits.h"
#include "base/fatal.h"
#include "os/procfs.h"
#include "os/vm.h"
#include "os/vmareas.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Kernel interfaces newer than the oldest headers we build with. */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef PR_SET_VMA_ANON_NAME
#define PR_SET_VMA_ANON_NAME 0
#endif

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define RESERVE_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static struct vmareas system_areas;

static bool is_exhaustion(int err) { return err == ENOMEM || err == EAGAIN; }

/* A name in /proc/self/maps ("[anon:mallocgc: heap]"); kernels without
 * CONFIG_ANON_VMA_NAME refuse, which does not matter. */
static void name_range(void *p, size_t n, const char *name) {
  if (name) prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, n, name);
}

static void *try_mmap(void *hint, size_t n, int prot, int flags) {
  void *p = mmap(hint, n, prot, flags, -1, 0);
  if (p != MAP_FAILED) return p;
  mgc_check(is_exhaustion(errno) || errno == EEXIST || errno == EPERM,
            "vm: mmap(%p, %zu, %d, 0x%x): errno=%d", hint, n, prot,
            (unsigned)flags, errno);
  return NULL;
}

static void must_munmap(void *p, size_t n) {
  if (n == 0 || munmap(p, n) == 0) return;
  mgc_check(is_exhaustion(errno), "vm: munmap(%p, %zu): errno=%d", p, n, errno);
  /* The unmapping would split an area and there are too many: the addresses
   * stay ours, unused, and the pages go back. */
  madvise(p, n, MADV_DONTNEED);
}

static void *linux_alloc(struct vm *vm, size_t n, const char *name) {
  int saved = errno;
  (void)vm;
  void *p =
      try_mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  if (p) name_range(p, n, name);
  if (p) vmareas_add(&system_areas, (uintptr_t)p, (uintptr_t)p + n);
  errno = saved;
  return p;
}

static void *reserve_at(void *hint, size_t n, size_t align) {
  if (!is_aligned((uintptr_t)hint, align)) return NULL;
  /* Without MAP_FIXED_NOREPLACE: ThreadSanitizer's mmap makes a hint outside its
   * application memory 0, and would map at 0. */
  void *p = try_mmap(hint, n, PROT_NONE, RESERVE_FLAGS);
  if (!p || p == hint) return p;
  must_munmap(p, n);
  return NULL;
}

static void *reserve_anywhere(size_t n, size_t align) {
  char *p = try_mmap(NULL, n, PROT_NONE, RESERVE_FLAGS);
  if (!p || is_aligned((uintptr_t)p, align)) return p;
  must_munmap(p, n);
  if (n > SIZE_MAX - align) return NULL;
  p = try_mmap(NULL, n + align, PROT_NONE, RESERVE_FLAGS);
  if (!p) return NULL;
  size_t head = align_up((uintptr_t)p, align) - (uintptr_t)p;
  must_munmap(p, head);
  must_munmap(p + head + n, align - head);
  return p + head;
}

static void *linux_reserve(struct vm *vm, void *hint, size_t n, size_t align,
                           const char *name) {
  int saved = errno;
  if (align < vm->page_size) align = vm->page_size;
  mgc_assert(is_pow2(align));
  void *p = hint ? reserve_at(hint, n, align) : reserve_anywhere(n, align);
  if (p) name_range(p, n, name);
  errno = saved;
  return p;
}

static bool linux_map(struct vm *vm, void *p, size_t n, const char *name) {
  int saved = errno;
  (void)vm;
  bool ok = mprotect(p, n, PROT_READ | PROT_WRITE) == 0;
  mgc_check(ok || is_exhaustion(errno), "vm: mprotect(%p, %zu): errno=%d", p, n,
            errno);
  if (ok) name_range(p, n, name);
  errno = saved;
  return ok;
}

static bool linux_used(struct vm *vm, void *p, size_t n) {
  (void)vm, (void)p, (void)n;
  return true;
}

static void linux_unused(struct vm *vm, void *p, size_t n) {
  int saved = errno;
  (void)vm;
  /* EINVAL: the pages are locked (mlockall). They cannot go back, but must
   * still read as zero: callers skip clearing what they gave back. */
  if (madvise(p, n, MADV_DONTNEED) != 0) {
    mgc_check(errno == EINVAL || is_exhaustion(errno),
              "vm: madvise(%p, %zu): errno=%d", p, n, errno);
    memset(p, 0, n);
  }
  errno = saved;
}

static void linux_fault(struct vm *vm, void *p, size_t n) {
  int saved = errno;
  (void)vm;
  /* A new mapping and not mprotect alone: that would keep the pages. When the
   * process has too many areas to split one, the range is at least emptied. */
  if (!try_mmap(p, n, PROT_NONE, RESERVE_FLAGS | MAP_FIXED)) {
    madvise(p, n, MADV_DONTNEED);
    int err = mprotect(p, n, PROT_NONE) ? errno : 0;
    mgc_check(err == 0 || is_exhaustion(err), "vm: fault(%p, %zu): errno=%d", p,
              n, err);
  }
  errno = saved;
}

static void linux_free(struct vm *vm, void *p, size_t n) {
  int saved = errno;
  (void)vm;
  vmareas_remove(&system_areas, (uintptr_t)p);
  must_munmap(p, n);
  errno = saved;
}

static void linux_hugepage(struct vm *vm, void *p, size_t n, bool enable) {
  int saved = errno;
  (void)vm;
  /* Advice: kernels without huge pages refuse. */
  madvise(p, n, enable ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  errno = saved;
}

static bool linux_resident(struct vm *vm, void *p) {
  int saved = errno;
  unsigned char there = 0;
  uintptr_t page = align_down((uintptr_t)p, vm->page_size);
  bool known = mincore((void *)page, vm->page_size, &there) == 0;
  errno = saved;
  return known && (there & 1);
}

/* One mremap moves what lies in one mapping; a block that was moved and then grew
 * in place lies in two. So a refusal is tried again by halves, down to this. */
#define MOVE_MIN_BYTES ((size_t)128 << 10)

static bool move_range(char *from, char *to, size_t n, size_t *moved) {
  if (mremap(from, n, n, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
             to) != MAP_FAILED) {
    *moved += n;
    return true;
  }
  mgc_check(is_exhaustion(errno) || errno == EFAULT || errno == EINVAL,
            "vm: mremap(%p, %zu, %p): errno=%d", from, n, to, errno);
  if (errno != EFAULT || n < 2 * MOVE_MIN_BYTES) return false;
  size_t half = align_down(n / 2, MOVE_MIN_BYTES);
  return move_range(from, to, half, moved) &&
         move_range(from + half, to + half, n - half, moved);
}

static bool linux_move(struct vm *vm, void *from, void *to, size_t n,
                       size_t *moved) {
  int saved = errno;
  (void)vm;
  *moved = 0;
  bool ok = move_range(from, to, n, moved);
  errno = saved;
  return ok;
}

static void linux_renew(struct vm *vm, void *p, size_t n, const char *name) {
  int saved = errno;
  if (try_mmap(p, n, PROT_READ | PROT_WRITE, RESERVE_FLAGS | MAP_FIXED))
    name_range(p, n, name);
  else
    linux_unused(vm, p, n);
  errno = saved;
}

static const struct vm_ops linux_ops = {
    .alloc = linux_alloc,
    .reserve = linux_reserve,
    .map = linux_map,
    .used = linux_used,
    .unused = linux_unused,
    .fault = linux_fault,
    .free = linux_free,
    .hugepage = linux_hugepage,
    .resident = linux_resident,
    .move = linux_move,
    .renew = linux_renew,
};

static struct vm system_vm = {.ops = &linux_ops};
static pthread_once_t system_vm_once = PTHREAD_ONCE_INIT;

static size_t read_hugepage_size(void) {
  char buf[32];
  size_t n = 0;
  const char *path = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";
  if (procfs_read(path, buf, sizeof(buf)) <= 0) return 0;
  for (const char *s = buf; *s >= '0' && *s <= '9'; s++)
    n = n * 10 + (size_t)(*s - '0');
  return is_pow2(n) ? n : 0;
}

static void init_system_vm(void) {
  int saved = errno;
  system_vm.page_size = (size_t)sysconf(_SC_PAGESIZE);
  system_vm.hugepage_size = read_hugepage_size();
  errno = saved;
}

struct vm *vm_system(void) {
  pthread_once(&system_vm_once, init_system_vm);
  return &system_vm;
}

bool vm_system_visit(void (*visit)(uintptr_t lo, uintptr_t hi, void *arg),
                     void *arg) {
  return vmareas_visit(&system_areas, visit, arg);
}

uint64_t vm_address_space_left(void) {
  int saved = errno;
  struct rlimit limit;
  struct procfs_statm statm;
  uint64_t left = UINT64_MAX;
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    left = limit.rlim_cur;
    if (procfs_statm(&statm)) left -= statm.size < left ? statm.size : left;
  }
  errno = saved;
  return left;
}
