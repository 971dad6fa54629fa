// SPDX-License-Identifier: MIT
/* See segments.h. */
#include "os/segments.h"

#include "base/bits.h"

#include <link.h>
#include <unistd.h>

struct walk {
  void (*begin)(void *arg);
  void (*visit)(const struct segment_info *info, void *arg);
  void *arg;
  uintptr_t page_size;
  struct segment_range relro; /* of the object being visited */
  struct segment_info info;
};

static void flush(struct walk *w) {
  w->visit(&w->info, w->arg);
  w->info.nranges = 0;
  w->info.continued = true;
  w->info.tls = (struct tls_module){0};
}

static void add_range(struct walk *w, uintptr_t lo, uintptr_t hi) {
  lo = align_up(lo, PTR_BYTES);
  hi = align_down(hi, PTR_BYTES);
  if (lo >= hi) return;
  if (w->info.nranges == SEGMENT_RANGES) flush(w);
  w->info.ranges[w->info.nranges++] = (struct segment_range){lo, hi};
}

/* Adds [lo, hi) without w->relro. */
static void add_writable(struct walk *w, uintptr_t lo, uintptr_t hi) {
  if (w->relro.hi <= lo || w->relro.lo >= hi) {
    add_range(w, lo, hi);
    return;
  }
  if (lo < w->relro.lo) add_range(w, lo, w->relro.lo);
  if (w->relro.hi < hi) add_range(w, w->relro.hi, hi);
}

/* The first pass over the headers: what concerns the object as a whole. */
static void read_object(struct walk *w, const struct dl_phdr_info *dl) {
  w->relro = (struct segment_range){0, 0};
  w->info = (struct segment_info){.name = dl->dlpi_name,
                                  .base = dl->dlpi_addr,
                                  .adds = dl->dlpi_adds,
                                  .subs = dl->dlpi_subs};
  for (unsigned i = 0; i < dl->dlpi_phnum; i++) {
    const ElfW(Phdr) *ph = &dl->dlpi_phdr[i];
    uintptr_t lo = dl->dlpi_addr + ph->p_vaddr;
    uintptr_t hi = lo + ph->p_memsz;
    if (ph->p_type == PT_TLS && dl->dlpi_tls_modid)
      w->info.tls = (struct tls_module){dl->dlpi_tls_modid, ph->p_memsz};
    /* The loader protects whole pages only: the last part stays writable. */
    if (ph->p_type == PT_GNU_RELRO)
      w->relro = (struct segment_range){align_down(lo, w->page_size),
                                        align_down(hi, w->page_size)};
  }
}

static int visit_object(struct dl_phdr_info *dl, size_t size, void *arg) {
  struct walk *w = arg;
  (void)size; /* glibc has had all fields that we read since 2.4 */
  if (w->begin) w->begin(w->arg);
  w->begin = NULL;
  read_object(w, dl);
  for (unsigned i = 0; i < dl->dlpi_phnum; i++) {
    const ElfW(Phdr) *ph = &dl->dlpi_phdr[i];
    if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_W)) continue;
    uintptr_t lo = dl->dlpi_addr + ph->p_vaddr;
    add_writable(w, lo, lo + ph->p_memsz);
  }
  w->visit(&w->info, w->arg);
  return 0;
}

void segments_visit(void (*begin)(void *arg),
                    void (*visit)(const struct segment_info *info, void *arg),
                    void *arg) {
  struct walk w = {.begin = begin,
                   .visit = visit,
                   .arg = arg,
                   .page_size = (uintptr_t)sysconf(_SC_PAGESIZE)};
  dl_iterate_phdr(visit_object, &w);
}
