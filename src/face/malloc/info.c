// SPDX-License-Identifier: MIT
/*
 * What a program may ask malloc about itself, and tell it: glibc's functions, with
 * this heap's figures under glibc's names. All of it comes from one snapshot
 * (msnap.h), taken without locks; only then is anything printed, since printing
 * may allocate.
 *
 *   glibc                         here
 *   arena, "system bytes"         spans of small objects, and free pages not returned
 *   hblks, hblkhd, "mmap"         large objects, and their spans
 *   uordblks, "in use bytes"      small objects handed out, in whole slots
 *   fordblks                      arena - uordblks
 *   ordblks                       free slots
 *   keepcost                      free pages not returned: what malloc_trim gives back
 *   smblks, fsmblks, fast, heaps  0, 0, 0, one
 *
 * mallopt's parameters tell glibc how to do what this heap does by itself. They are
 * accepted as glibc accepts them, and change nothing.
 */
#include "base/print.h"
#include "face/malloc/mface.h"
#include "face/malloc/msnap.h"
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

/* glibc's limit of M_MXFAST. */
#define MXFAST_MAX 160

/* All zero when nothing was allocated yet, or memory for it is lacking. */
static struct msnap snapshot(void) {
  struct msnap s;
  msnap_take_own(&s);
  return s;
}

static uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

static struct mallinfo2 figures(const struct msnap *s) {
  const struct msnap_class *large = &s->cls[0];
  struct mallinfo2 i = {0};
  i.hblks = large->objects;
  i.hblkhd = large->span_bytes;
  i.arena = less(s->in_use, i.hblkhd) + s->free;
  i.uordblks = less(s->total.live, large->live);
  if (i.uordblks > i.arena) i.uordblks = i.arena;
  i.fordblks = i.arena - i.uordblks;
  i.keepcost = s->free;
  for (unsigned c = 1; c < s->nclasses; c++)
    if (s->cls[c].slot)
      i.ordblks += less(s->cls[c].span_bytes, s->cls[c].live) / s->cls[c].slot;
  return i;
}

static int clip(size_t n) { return n > INT_MAX ? INT_MAX : (int)n; }

API struct mallinfo2 mallinfo2(void) {
  int saved = errno;
  struct msnap s = snapshot();
  errno = saved;
  return figures(&s);
}

/* glibc lets these wrap around; the largest number says more. */
API struct mallinfo mallinfo(void) {
  struct mallinfo2 i = mallinfo2();
  return (struct mallinfo){.arena = clip(i.arena),
                           .ordblks = clip(i.ordblks),
                           .hblks = clip(i.hblks),
                           .hblkhd = clip(i.hblkhd),
                           .uordblks = clip(i.uordblks),
                           .fordblks = clip(i.fordblks),
                           .keepcost = clip(i.keepcost)};
}

API int mallopt(int param, int value) {
  return param != M_MXFAST || (value >= 0 && value <= MXFAST_MAX);
}

/* Free pages that have memory. */
static size_t retained(const struct heap *h) {
  uint64_t used = memstat_load(&h->stats.heap_inuse) +
                  memstat_load(&h->stats.heap_released);
  return less(memstat_load(&h->stats.heap_sys), used);
}

API int malloc_trim(size_t pad) {
  int saved = errno;
  struct mface *m = mface_get();
  struct tcache *t = mface_thread();
  if (!m || !t) return 0;
  tcache_trim(t);
  theap_trim_orphans(&m->theap);
  size_t have = retained(&m->heap);
  size_t gone = have > pad ? scavenge_now(&m->heap, have - pad) : 0;
  errno = saved;
  return gone > 0;
}

API void malloc_stats(void) {
  struct msnap s = snapshot();
  struct mallinfo2 i = figures(&s);
  char text[600];
  print_format(text, sizeof text,
               "Arena 0:\n"
               "system bytes     = %10zu\n"
               "in use bytes     = %10zu\n"
               "Total (incl. mmap):\n"
               "system bytes     = %10zu\n"
               "in use bytes     = %10zu\n"
               "max mmap regions = %10zu\n"
               "max mmap bytes   = %10zu\n",
               i.arena, i.uordblks, i.arena + i.hblkhd, i.uordblks + i.hblkhd,
               i.hblks, i.hblkhd);
  print_fd(STDERR_FILENO, "%s", text);
}

/* --- malloc_info --- */

/* Free slots by size. */
static void print_sizes(FILE *out, const struct msnap *s) {
  size_t below = 0;
  fprintf(out, "<sizes>\n");
  for (unsigned c = 1; c < s->nclasses; c++) {
    const struct msnap_class *k = &s->cls[c];
    if (k->slot == 0) continue;
    size_t free = less(k->span_bytes, k->live) / k->slot;
    if (free)
      fprintf(out,
              "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n",
              below + 1, (size_t)k->slot, free * (size_t)k->slot, free);
    below = k->slot;
  }
  fprintf(out, "</sizes>\n");
}

static void print_totals(FILE *out, const struct mallinfo2 *i, size_t now,
                         size_t most) {
  fprintf(out,
          "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
          "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n",
          i->ordblks, i->fordblks);
  if (now != i->arena)
    fprintf(out, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n",
            i->hblks, i->hblkhd);
  fprintf(out,
          "<system type=\"current\" size=\"%zu\"/>\n"
          "<system type=\"max\" size=\"%zu\"/>\n"
          "<aspace type=\"total\" size=\"%zu\"/>\n"
          "<aspace type=\"mprotect\" size=\"%zu\"/>\n",
          now, most > now ? most : now, now, now);
}

API int malloc_info(int options, FILE *out) {
  if (options != 0) return EINVAL;
  struct msnap s = snapshot();
  struct mallinfo2 i = figures(&s);
  fprintf(out, "<malloc version=\"1\">\n<heap nr=\"0\">\n");
  print_sizes(out, &s);
  print_totals(out, &i, i.arena, i.arena);
  fprintf(out, "</heap>\n");
  print_totals(out, &i, i.arena + i.hblkhd, s.peak);
  fprintf(out, "</malloc>\n");
  return 0;
}
