// SPDX-License-Identifier: MIT
/*
 * See tls.h. glibc's dynamic thread vector (dtv): slot -1 holds the number of
 * slots that exist, slot 0 the generation, slot i the block of module i. A
 * module that was loaded after the vector was last grown has no slot, and
 * therefore the thread has never touched its variables.
 */
#include "os/tls.h"

#include "base/bits.h"
#include "base/compiler.h"
#include "os/arch.h"
#include "os/procfs.h"

#include <dlfcn.h>

#ifdef __GLIBC__

/* sizeof(struct pthread) was 2,304 from glibc 2.4 to 2.34 on x86-64, and later
 * versions, where it grew, export the symbol. */
#define DESCRIPTOR_FALLBACK 2304

/* More slots than a process can have modules: the vector is being replaced. */
#define MAX_SLOTS ((size_t)1 << 20)

struct dtv_slot {
  uintptr_t value; /* or the number of slots, or the generation */
  uintptr_t to_free;
};

#define UNALLOCATED UINTPTR_MAX
#define STATIC_DISTANCE 65536

void tls_layout_init(struct tls_layout *layout) {
  const uint32_t *descriptor = dlsym(RTLD_DEFAULT, "_thread_db_sizeof_pthread");
  void (*info)(size_t * size, size_t * align) = NULL;
  size_t align;
  *layout = (struct tls_layout){.descriptor = DESCRIPTOR_FALLBACK};
  if (descriptor) layout->descriptor = *descriptor;
  *(void **)&info = dlsym(RTLD_DEFAULT, "_dl_get_tls_static_info");
  if (info) info(&layout->statics, &align);
}

void tls_thread_area(const struct tls_layout *layout, uintptr_t thread_pointer,
                     uintptr_t *lo, uintptr_t *hi) {
  size_t statics = layout->statics;
  /* The reported size has the descriptor in it where TLS is below. */
  if (ARCH_TLS_BELOW_TP) {
    statics -= statics < layout->descriptor ? statics : layout->descriptor;
    *lo = thread_pointer - align_down(statics, PTR_BYTES);
    *hi = thread_pointer + align_down(layout->descriptor, PTR_BYTES);
  } else {
    *lo = thread_pointer - align_down(layout->descriptor, PTR_BYTES);
    *hi = thread_pointer + align_down(statics, PTR_BYTES);
  }
}

/* A dynamic block may be one of a module that was closed, whose number a larger
 * module has now (the thread's dtv learns of that at its next access): nothing
 * past the block's mapping is read. Static blocks are close to the thread pointer
 * and are what they say. */
static uintptr_t clip_dynamic(uintptr_t thread_pointer, uintptr_t lo,
                              uintptr_t hi) {
  struct procfs_mapping m;
  uintptr_t distance =
      lo < thread_pointer ? thread_pointer - lo : lo - thread_pointer;
  if (distance < STATIC_DISTANCE) return hi;
  if (!procfs_find_mapping(lo, &m) || !m.read) return lo;
  return hi < m.end ? hi : m.end;
}

MGC_NO_SANITIZE
void tls_blocks_visit(uintptr_t thread_pointer, const struct tls_module *mods,
                      size_t n,
                      void (*visit)(uintptr_t lo, uintptr_t hi, void *arg),
                      void *arg) {
  const struct dtv_slot *dtv =
      *(struct dtv_slot **)(thread_pointer + ARCH_DTV_OFFSET);
  if (!dtv) return;
  size_t nslots = dtv[-1].value;
  if (nslots > MAX_SLOTS) return;
  for (size_t i = 0; i < n; i++) {
    if (mods[i].modid > nslots) continue;
    uintptr_t block = dtv[mods[i].modid].value;
    if (block == UNALLOCATED || block == 0) continue;
    uintptr_t lo = align_up(block, PTR_BYTES);
    uintptr_t hi = align_down(block + mods[i].size, PTR_BYTES);
    hi = clip_dynamic(thread_pointer, lo, hi);
    if (lo < hi) visit(lo, hi, arg);
  }
}

#else

void tls_layout_init(struct tls_layout *layout) {
  *layout = (struct tls_layout){0};
}

void tls_thread_area(const struct tls_layout *layout, uintptr_t thread_pointer,
                     uintptr_t *lo, uintptr_t *hi) {
  (void)layout;
  *lo = *hi = thread_pointer;
}

void tls_blocks_visit(uintptr_t thread_pointer, const struct tls_module *mods,
                      size_t n,
                      void (*visit)(uintptr_t lo, uintptr_t hi, void *arg),
                      void *arg) {
  (void)thread_pointer, (void)mods, (void)n, (void)visit, (void)arg;
}

#endif
