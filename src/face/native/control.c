// SPDX-License-Identifier: MIT
/* The native face: the collector's public functions, statistics, and what ties
 * the default heap, the collector and the type registry together. */
#include "alloc/free.h"
#include "alloc/init.h"
#include "alloc/stats.h"
#include "base/fatal.h"
#include "base/print.h"
#include "gc/gc.h"
#include "type/type.h"
#include <errno.h>
#include <mallocgc.h>
#include <pthread.h>
#include <string.h>

#define API __attribute__((visibility("default")))

/* --- start-up --- */

static void fork_prepare(void) {
  struct heap *h = atomic_ptr_load_acquire(&heap_default_ptr);
  if (h) gc_fork_prepare(h);
}
static void fork_parent(void) {
  struct heap *h = atomic_ptr_load_acquire(&heap_default_ptr);
  if (h) gc_fork_parent(h);
}
static void fork_child(void) {
  struct heap *h = atomic_ptr_load_acquire(&heap_default_ptr);
  if (h) gc_fork_child(h);
}

/* Registered before the program can register its own: our prepare handler then
 * runs last, when nobody waits for a lock that a thread holds which we keep out
 * of the allocator; and our others run first. */
static bool atfork_registered;

__attribute__((constructor(101))) static void register_atfork(void) {
  atfork_registered =
      pthread_atfork(fork_prepare, fork_parent, fork_child) == 0;
}

/* A module's descriptors are going: no span may remember one. */
struct forget {
  const struct mgc_moduledata *module;
};

static bool in_module(const struct mgc_moduledata *m, const void *p) {
  return (const char *)p >= m->types && (const char *)p < m->etypes;
}

static void forget_in_span(struct mspan *s, void *arg) {
  const struct forget *f = arg;
  const struct mgc_type *type = atomic_ptr_load_relaxed(&s->masktype);
  if (!type || !in_module(f->module, type)) return;
  /* A small span's bitmap stays right without the descriptor. A large object
   * needs one to be scanned by. */
  if (spanclass_size(s->spanclass) != 0) {
    atomic_ptr_store_relaxed(&s->masktype, NULL);
    return;
  }
  const struct mgc_type *copy = type_intern(type_registry_default(), type);
  if (!copy) copy = &mgc_type_conservative;
  atomic_ptr_store_release(&s->masktype, (void *)(uintptr_t)copy);
}

static void forget_in_thread(struct thread *t, void *arg) {
  const struct forget *f = arg;
  for (unsigned i = 0; i < NUM_SPAN_CLASSES; i++)
    if (in_module(f->module, t->cache->pub.run[i].type)) {
      mcache_flush(t->heap, t->cache);
      return;
    }
}

static void forget_module(void *arg, const struct mgc_moduledata *m) {
  struct heap *h = arg;
  struct forget f = {m};
  gc_stop_world(h);
  gc_forall_threads(h, forget_in_thread, &f);
  mheap_visit_spans(h, forget_in_span, &f);
  gc_start_world(h);
}

/* A type is known by name, but not as the program's use of it has it: its
 * objects are scanned conservatively. */
static void report_mismatch(void *arg, const char *name, size_t size,
                            enum type_found how) {
  const struct heap *h = arg;
  const char *why = how == TYPE_MISMATCH    ? "another size or alignment"
                    : how == TYPE_AMBIGUOUS ? "several layouts"
                                            : "no memory for a copy";
  if (h->opt.trace_types)
    print_fd(2, "mallocgc: warning: type %s of size %zu: %s: conservative\n",
             name, size, why);
}

static void *new_for_box(void *arg, const struct mgc_type *type) {
  (void)arg;
  return mallocgc(type->size, type, 0, true);
}

int heap_upper_init(struct heap *h, const struct pacing_options *pacing) {
  int err = gc_init(h);
  if (err) return err;
  struct type_hooks hooks = {.arg = h,
                             .on_unregister = forget_module,
                             .on_mismatch = report_mismatch,
                             .newobject = new_for_box};
  type_registry_start(type_registry_default(), &h->meta, &h->stats.other_meta,
                      &hooks);
  (void)gc_set_percent(h, pacing->gc_percent);
  int64_t limit = options_memory_limit(&h->opt, pacing, &cgroup_files);
  if (limit != INT64_MAX) (void)gc_set_memory_limit(h, limit);
  if (pacing->hard_limit != INT64_MAX)
    (void)gc_set_hard_limit(h, pacing->hard_limit);
  return atfork_registered ? 0 : -ENOMEM;
}

/* --- collection --- */

API void mgc_collect(void) {
  struct thread *t = thread_get();
  if (t) gc_collect(t->heap);
}

API int mgc_set_gc_percent(int percent) {
  struct heap *h = heap_default();
  return h ? gc_set_percent(h, percent) : percent;
}

API int64_t mgc_set_memory_limit(int64_t bytes) {
  struct heap *h = heap_default();
  return h ? gc_set_memory_limit(h, bytes) : INT64_MAX;
}

API int64_t mgc_set_hard_limit(int64_t bytes) {
  struct heap *h = heap_default();
  return h ? gc_set_hard_limit(h, bytes) : INT64_MAX;
}

API void mgc_set_out_of_memory(mgc_out_of_memory *fn, void *arg) {
  struct thread *t = thread_get();
  if (t) alloc_set_out_of_memory(t, fn, arg);
}

API void mgc_free_os_memory(void) {
  struct thread *t = thread_get();
  if (t) gc_free_os_memory(t->heap);
}

/* --- roots --- */

API bool mgc_add_roots(void *lo, void *hi) {
  if ((uintptr_t)hi < (uintptr_t)lo) {
    errno = EINVAL;
    return false;
  }
  struct thread *t = thread_get();
  if (t && gc_add_roots(t->heap, lo, hi)) return true;
  errno = ENOMEM;
  return false;
}

API void mgc_remove_roots(void *lo, void *hi) {
  struct thread *t = thread_get();
  if (t) gc_remove_roots(t->heap, lo, hi);
}

API bool mgc_pin(void *p) {
  struct thread *t = thread_get();
  struct object_ref o;
  if (t && !object_find(t->heap, (uintptr_t)p, &o)) {
    errno = EINVAL;
    return false;
  }
  if (t && gc_pin(t->heap, (void *)o.base)) return true;
  errno = ENOMEM;
  return false;
}

API bool mgc_unpin(void *p) {
  struct thread *t = thread_get();
  struct object_ref o;
  if (t && object_find(t->heap, (uintptr_t)p, &o) &&
      gc_unpin(t->heap, (void *)o.base))
    return true;
  errno = EINVAL;
  return false;
}

/* --- threads --- */

API void mgc_blocking_begin(void) {
  struct thread *t = thread_get();
  /* A frame's address is where its caller's is saved; the return address follows. */
  if (t) gc_blocking_begin_from(t, (uintptr_t)__builtin_frame_address(0) + 16);
}

API void mgc_blocking_end(void) {
  struct thread *t = thread_self;
  if (!t || t->blocking_depth == 0)
    fatal_user("misuse", "mgc_blocking_end without mgc_blocking_begin");
  gc_blocking_end(t);
}

API bool mgc_thread_attach(void) { return thread_get() != NULL; }

API void mgc_thread_detach(void) { thread_detach(); }

/* --- stores --- */

API bool mgc_use_barriers(void) {
  struct thread *t = thread_get();
  return t && gc_use_barriers(t->heap);
}

API void mgc_barrier_record(const void *was, const void *is) {
  struct heap *h = atomic_ptr_load_acquire(&heap_default_ptr);
  if (h) gc_barrier_record(h, thread_get(), (uintptr_t)was, (uintptr_t)is);
}

/* Bytes moved between two moments in which a collection may begin. */
#define COPY_PIECE ((size_t)32 << 10)

/* With the barrier for what dst holds and for what it will hold. */
static void copy_piece(struct thread *t, void *dst, const void *src, size_t n) {
  thread_enter(t);
  if (unlikely(heap_is_marking(t->heap))) {
    gc_barrier_words(t->heap, t, dst, n);
    if (src) gc_barrier_words(t->heap, t, src, n);
  }
  if (src)
    memmove(dst, src, n);
  else
    memset(dst, 0, n);
  thread_leave(t);
}

static void copy_pieces(void *dst, const void *src, size_t n) {
  struct thread *t = thread_get();
  bool down = (uintptr_t)dst > (uintptr_t)src;
  if (unlikely(!t)) fatal_user("out of memory", "mgc_copy: no thread record");
  for (size_t done = 0, piece; done < n; done += piece) {
    piece = n - done < COPY_PIECE ? n - done : COPY_PIECE;
    /* Ranges that overlap: from the end that is not written over. */
    size_t at = down ? n - done - piece : done;
    copy_piece(t, (char *)dst + at, src ? (const char *)src + at : NULL, piece);
  }
}

API void mgc_copy(void *dst, const void *src, size_t n) {
  copy_pieces(dst, src, n);
}

API void mgc_clear(void *dst, size_t n) { copy_pieces(dst, NULL, n); }

/* --- statistics --- */

struct stats_walk {
  const struct heap *h;
  struct mgc_memstats *out;
};

static void add_thread(struct thread *t, void *arg) {
  struct stats_walk *w = arg;
  stats_add_cache(w->h, t->cache, w->out);
  w->out->threads++;
}

static void copy_gc_stats(const struct gc_stats *g, struct mgc_memstats *out) {
  out->num_pauses = g->num_pauses;
  out->pause_max_ns = g->pause_max_ns;
  out->pause_p50_ns = gc_pause_quantile(g, 0.5);
  out->pause_p99_ns = gc_pause_quantile(g, 0.99);
  out->heap_marked = g->heap_marked;
  out->next_gc = g->next_gc;
  out->last_gc = g->last_gc;
  out->num_gc = g->num_gc;
  out->num_forced_gc = g->num_forced;
  out->pause_total_ns = g->pause_total_ns;
  memcpy(out->pause_ns, g->pause_ns, sizeof out->pause_ns);
  memcpy(out->pause_end, g->pause_end, sizeof out->pause_end);
  out->gc_cpu_fraction = g->gc_cpu_fraction;
  out->enable_gc = g->percent >= 0 || g->memory_limit != INT64_MAX;
}

API void mgc_read_memstats(struct mgc_memstats *out) {
  struct thread *t = thread_get();
  memset(out, 0, sizeof *out);
  if (!t) return;
  struct heap *h = t->heap;
  struct stats_walk walk = {h, out};
  struct gc_stats g;
  gc_stop_world(h);
  stats_begin(h, out);
  gc_forall_threads(h, add_thread, &walk);
  gc_read_stats(h, &g);
  gc_start_world(h);
  stats_finish(h, out);
  copy_gc_stats(&g, out);
}
