// SPDX-License-Identifier: MIT
/* See msnap.h. Also compiled into the mallocgc command, which has no heap of
 * this kind: no other file of the library's may be needed here but base's and
 * os/procfs. */
#include "face/malloc/msnap.h"

#include "base/print.h"
#include "heap/tcache_internal.h"
#include "os/procfs.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define BATCH 256 /* structs mspan that one system call reads */
/* More slots than a thread's list has: lists end, whatever is read. */
#define LIST_SLOTS_MAX 4096u
/* More threads than a process can have: lists end, whatever is read. */
#define MAX_CACHES (1u << 22)

struct msnap_work {
  int pid;
  bool own;    /* pid is this process */
  bool direct; /* no system calls: asked for, or the kernel refuses */
  const struct msnap_anchor *anchor;
  uintptr_t self; /* tcache of the calling thread, or 0 */
  struct msnap *out;
  uintptr_t heap; /* address of struct heap, in the process */
  uintptr_t theap;
  uint64_t secret;
  struct heap_stats stats;
  struct sizeclass_table classes;
  struct tcache cache;
  struct mspan span;
  struct mspan batch[BATCH];
  struct iovec remote[BATCH];
  uintptr_t spans[PAGES_PER_ARENA];
  uint8_t in_use[PAGES_PER_ARENA / 8];
  char text[4096];
};

/* --- reading --- */

static long readv_raw(int pid, const struct iovec *local,
                      const struct iovec *remote, unsigned nremote) {
  return syscall(SYS_process_vm_readv, pid, local, 1ul, remote,
                 (unsigned long)nremote, 0ul);
}

bool msnap_read(int pid, uintptr_t addr, void *buf, size_t n) {
  struct iovec local = {buf, n}, remote = {(void *)addr, n};
  return readv_raw(pid, &local, &remote, 1) == (long)n;
}

/* Structures that stay mapped, while other threads change them. */
MGC_NO_SANITIZE static void copy_words(uint8_t *to, const uint8_t *from,
                                       size_t n) {
  for (; n >= 8; n -= 8, to += 8, from += 8)
    *(uint64_t *)(void *)to =
        __atomic_load_n((const uint64_t *)(const void *)from, __ATOMIC_RELAXED);
  for (; n > 0; n--) *to++ = *from++;
}

static bool kernel_refuses(void) {
  return errno == ENOSYS || errno == EPERM || errno == EACCES;
}

/* Part of a structure. */
static bool get(struct msnap_work *w, uintptr_t addr, void *buf, size_t n) {
  if (!w->direct && msnap_read(w->pid, addr, buf, n)) return true;
  if (!w->direct && !(w->own && kernel_refuses())) return false;
  w->direct = true;
  copy_words(buf, (const uint8_t *)addr, n);
  return true;
}

#define get_field(w, base, type, field, to)                                    \
  get(w, (base) + offsetof(type, field), to, sizeof(((type *)0)->field))

/* --- spans --- */

/* Slots that other threads freed: see tremote.c. */
static unsigned remote_count(const struct mspan *s) {
  return (unsigned)(atomic_u64_load_relaxed(&s->local.remote) >> 32) & 0xffff;
}

/* I1; s is a copy. */
static uint64_t span_live(const struct mspan *s) {
  if (spanclass_size(s->spanclass) == 0) return 1;
  uint64_t live = s->local.left;
  if (s->local.where == TSPAN_FULL) {
    uint64_t frees = tspan_full_frees(s);
    live = s->freeindex - (frees - (live < frees ? live : frees));
  }
  uint64_t remote = remote_count(s);
  live = live > remote ? live - remote : 0;
  return live < s->nelems ? live : s->nelems;
}

static void add_span(struct msnap_work *w, const struct mspan *s) {
  unsigned sc = spanclass_size(s->spanclass);
  if (sc >= w->out->nclasses || s->npages == 0) return;
  if (s->nelems == 0) return; /* in quarantine: hardenlarge.h */
  if (atomic_u8_load_relaxed(&s->state) == MSPAN_DEAD) return;
  struct msnap_class *c = &w->out->cls[sc];
  uint64_t live = span_live(s);
  c->spans++;
  c->span_bytes += (uint64_t)s->npages * MGC_PAGE_SIZE;
  c->objects += live;
  c->live += live * s->elemsize;
}

/* The spans at addresses w->spans[0..n). One that cannot be read ends a call of
 * the kernel's, and is skipped. */
static void read_spans(struct msnap_work *w, size_t n) {
  size_t i = 0;
  while (!w->direct && i < n) {
    unsigned k = 0;
    for (; k < BATCH && i + k < n; k++)
      w->remote[k] = (struct iovec){(void *)w->spans[i + k], sizeof w->span};
    struct iovec local = {w->batch, k * sizeof w->span};
    long got = readv_raw(w->pid, &local, w->remote, k);
    size_t done = got > 0 ? (size_t)got / sizeof w->span : 0;
    for (size_t j = 0; j < done; j++) add_span(w, &w->batch[j]);
    if (done < k) w->out->exact = false;
    i += done < k ? done + 1 : done;
  }
  for (; i < n; i++)
    if (get(w, w->spans[i], &w->span, sizeof w->span)) add_span(w, &w->span);
}

static bool read_arena(struct msnap_work *w, uintptr_t arena) {
  if (!get_field(w, arena, struct heap_arena, page_in_use, w->in_use) ||
      !get_field(w, arena, struct heap_arena, spans, w->spans))
    return false;
  size_t n = 0;
  for (size_t i = 0; i < PAGES_PER_ARENA; i++)
    if ((w->in_use[i / 8] >> (i % 8) & 1) && w->spans[i])
      w->spans[n++] = w->spans[i];
  read_spans(w, n);
  return true;
}

static bool read_arenas(struct msnap_work *w) {
  uintptr_t all, arena;
  size_t n;
  /* The count first: the table it belongs to, or a longer copy, has as many. */
  if (!get_field(w, w->heap, struct heap, narenas, &n) ||
      !get_field(w, w->heap, struct heap, all_arenas, &all))
    return false;
  for (size_t i = 0; i < n; i++)
    if (!get(w, all + i * sizeof arena, &arena, sizeof arena) ||
        !read_arena(w, arena))
      return false;
  return true;
}

/* --- thread caches --- */

/* Slots on the list that begins at p, of any of a thread's spans, I2. */
static uint64_t list_length(struct msnap_work *w, uintptr_t p,
                            uintptr_t cache) {
  uintptr_t none = (uintptr_t)w->anchor->none;
  uint64_t n = 0, word[2];
  /* Read directly, a list of another thread's may lead anywhere. */
  bool may = !w->direct || cache == w->self;
  for (; may && p != none && n < LIST_SLOTS_MAX; n++) {
    if (!get(w, p, word, sizeof word) || ((word[0] + p) ^ word[1]) != w->secret)
      break;
    p = word[0];
  }
  if (p != none) w->out->exact = false;
  return n;
}

/* Slots that w->cache has at hand are free. */
static void subtract_lists(struct msnap_work *w, uintptr_t cache) {
  for (unsigned sc = 1; sc < w->out->nclasses; sc++) {
    struct msnap_class *c = &w->out->cls[sc];
    uint64_t n = list_length(w, w->cache.list[sc].head, cache);
    n = n < c->objects ? n : c->objects;
    c->objects -= n;
    c->live -= n * c->slot;
  }
}

static bool read_caches(struct msnap_work *w) {
  uintptr_t head = w->theap + offsetof(struct theap, caches), p;
  struct list link;
  if (!get(w, head, &link, sizeof link)) return false;
  for (unsigned i = 0; i < MAX_CACHES; i++) {
    p = (uintptr_t)link.next;
    if (p == head || p == 0) break;
    uintptr_t cache = p - offsetof(struct tcache, link);
    if (!get(w, cache, &w->cache, sizeof w->cache)) return false;
    /* A cache that left the list meanwhile is in another, or in none. */
    if ((uintptr_t)w->cache.th != w->theap || !w->cache.attached) {
      w->out->exact = false;
      break;
    }
    w->out->caches++;
    w->out->cached += w->cache.empty_bytes;
    subtract_lists(w, cache);
    link = w->cache.link;
  }
  return true;
}

/* --- totals --- */

static uint64_t excess(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

static void read_totals(struct msnap_work *w) {
  struct msnap *out = w->out;
  const struct heap_stats *st = &w->stats;
  out->mapped = memstat_load(&st->heap_sys);
  out->in_use = memstat_load(&st->heap_inuse);
  out->returned = memstat_load(&st->heap_released);
  out->free = excess(out->mapped, out->in_use + out->returned);
  out->returned_total = atomic_u64_load_relaxed(&st->scavenged_total);
  out->metadata = memstat_load(&st->span_meta) + memstat_load(&st->cache_meta) +
                  memstat_load(&st->gc_meta) + memstat_load(&st->other_meta);
  out->tables = memstat_load(&st->arena_meta) + memstat_load(&st->page_meta);
}

static bool read_theap(struct msnap_work *w) {
  struct msnap *out = w->out;
  uint64_t pages[TCACHE_CLASSES], peak;
  if (!get_field(w, w->theap, struct theap, memory_limit, &out->limit) ||
      !get(w,
           w->theap + offsetof(struct theap, central) +
               offsetof(struct tcache, owned_bytes),
           &out->orphaned, sizeof out->orphaned) ||
      !get_field(w, w->theap, struct theap, peak_pages, &peak) ||
      !get_field(w, w->theap, struct theap, peak_class_pages, pages))
    return false;
  out->peak = peak * MGC_PAGE_SIZE;
  if (out->peak < out->in_use) out->peak = out->in_use;
  for (unsigned sc = 0; sc < out->nclasses; sc++)
    out->cls[sc].peak_bytes = pages[sc] * MGC_PAGE_SIZE;
  return true;
}

static bool read_heap(struct msnap_work *w) {
  struct msnap *out = w->out;
  uintptr_t table;
  if (!get_field(w, w->heap, struct heap, classes, &table) ||
      !get(w, table, &w->classes, sizeof w->classes) ||
      !get_field(w, w->heap, struct heap, stats, &w->stats))
    return false;
  out->nclasses = w->classes.nclasses;
  if (out->nclasses == 0 || out->nclasses > TCACHE_CLASSES) return false;
  for (unsigned sc = 0; sc < out->nclasses; sc++)
    out->cls[sc].slot = w->classes.size[sc];
  read_totals(w);
  return read_arenas(w) && read_caches(w) && read_theap(w);
}

static void add_up(struct msnap *out) {
  struct msnap_class *t = &out->total;
  for (unsigned sc = 0; sc < out->nclasses; sc++) {
    const struct msnap_class *c = &out->cls[sc];
    t->objects += c->objects;
    t->live += c->live;
    t->spans += c->spans;
    t->span_bytes += c->span_bytes;
    t->peak_bytes += c->peak_bytes;
  }
}

/* --- what the kernel tells --- */

/* "Name:   value" in a status file; value in its own unit, 0: no such line. */
static uint64_t status_number(const char *text, const char *name) {
  const char *p = strstr(text, name);
  uint64_t v = 0;
  if (!p) return 0;
  for (p += strlen(name); *p == ' ' || *p == '\t'; p++) continue;
  for (; *p >= '0' && *p <= '9'; p++) v = v * 10 + (uint64_t)(*p - '0');
  return v;
}

static void read_status(struct msnap_work *w) {
  struct msnap *out = w->out;
  char path[64];
  print_format(path, sizeof path, "/proc/%d/status", w->pid);
  if (procfs_read(path, w->text, sizeof w->text) > 0) {
    out->resident = status_number(w->text, "\nVmRSS:") << 10;
    out->resident_peak = status_number(w->text, "\nVmHWM:") << 10;
    out->threads = status_number(w->text, "\nThreads:");
  }
  print_format(path, sizeof path, "/proc/%d/comm", w->pid);
  if (procfs_read(path, w->text, sizeof w->text) > 0) {
    w->text[strcspn(w->text, "\n")] = 0;
    print_format(out->command, sizeof out->command, "%s", w->text);
  }
}

/* --- the whole --- */

static enum msnap_status take(struct msnap_work *w) {
  struct msnap *out = w->out;
  uintptr_t m;
  uint32_t modes;
  if (!get(w, (uintptr_t)w->anchor->mface, &m, sizeof m))
    return kernel_refuses() ? MSNAP_DENIED : MSNAP_GONE;
  if (m == 0) return MSNAP_NOT_STARTED;
  w->heap = m + offsetof(struct mface, heap);
  w->theap = m + offsetof(struct mface, theap);
  if (!get_field(w, (uintptr_t)w->anchor->globals, struct tcache_globals,
                 secret, &w->secret) ||
      !get_field(w, m, struct mface, modes, &modes) || !read_heap(w))
    return MSNAP_GONE;
  out->profile = modes & MFACE_PROFILE;
  out->harden = modes & MFACE_HARDEN;
  memcpy(out->version, w->anchor->version, sizeof out->version);
  out->version[sizeof out->version - 1] = 0;
  add_up(out);
  read_status(w);
  return MSNAP_OK;
}

enum msnap_status msnap_take(const struct msnap_from *from, struct msnap *out) {
  int saved = errno;
  struct msnap_work *w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(out, 0, sizeof *out);
  enum msnap_status status = MSNAP_NO_MEMORY;
  if (w != MAP_FAILED) {
    w->own = from->pid == 0 || from->pid == getpid();
    w->pid = out->pid = w->own ? getpid() : from->pid;
    w->direct = from->direct;
    w->anchor = from->anchor;
    w->self = (uintptr_t)from->self;
    w->out = out;
    out->exact = true;
    status = take(w);
    munmap(w, sizeof *w);
  }
  errno = saved;
  return status;
}

bool msnap_layout_agrees(const struct msnap_anchor *a) {
  static const uint32_t layout[MSNAP_FACTS] = MSNAP_LAYOUT;
  return a->magic == MSNAP_MAGIC &&
         memcmp(a->layout, layout, sizeof layout) == 0;
}
