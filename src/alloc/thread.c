// SPDX-License-Identifier: MIT
/* Attaching and detaching threads. See thread.h. */
#include "alloc/thread.h"
#include "alloc/init.h"
#include "base/fatal.h"
#include "os/thread_linux.h"
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

/* What mgc_tls points to in a thread that has not allocated yet: no run matches
 * any type, so that the inlined path falls through to the slow one. */
static struct mgc_cache empty_cache = {
    .run = {
        [0 ... MGC_NUM_SPAN_CLASSES -
         1] = {.type =
                   (const struct mgc_type *)(const void *)mgc_run_raw_marker}}};

__thread struct mgc_cache *mgc_tls __attribute__((tls_model("initial-exec"))) =
    &empty_cache;
_Thread_local struct thread *thread_self
    __attribute__((tls_model("initial-exec")));

struct thread_registry thread_registry = {.lock = MUTEX_INIT(threads)};

static pthread_key_t detach_key;

static void detach_at_exit(void *arg) {
  (void)arg;
  thread_detach();
}

bool thread_registry_init(struct heap *h) {
  fixalloc_init(&thread_registry.alloc, sizeof(struct thread), NULL, NULL,
                &h->meta, &h->stats.other_meta);
  return pthread_key_create(&detach_key, detach_at_exit) == 0;
}

static void registry_link(struct thread *t) {
  struct thread_registry *r = &thread_registry;
  assert_lock_held(&r->lock);
  t->prev = NULL;
  t->next = r->head;
  if (r->head) r->head->prev = t;
  r->head = t;
  atomic_u32_fetch_add_relaxed(&r->count, 1);
}

static void registry_unlink(struct thread *t) {
  struct thread_registry *r = &thread_registry;
  assert_lock_held(&r->lock);
  if (t->prev)
    t->prev->next = t->next;
  else
    r->head = t->next;
  if (t->next) t->next->prev = t->prev;
  atomic_u32_fetch_sub_relaxed(&r->count, 1);
}

/* The lock of the registry for a thread that is on it. A stop holds that lock
 * while it waits for this thread, whose signals may be blocked or delayed: so it
 * must not sleep here without looking. */
static void registry_lock_attached(struct thread *t)
    MGC_ACQUIRE(&thread_registry.lock) MGC_NO_ANALYSIS {
  while (!mutex_trylock(&thread_registry.lock)) {
    if (atomic_u32_load_relaxed(&t->stop_pending)) thread_registry.stop_self(t);
    thread_yield();
  }
}

/* Under the registry lock, so that no stop is going on. */
static struct thread *attach_locked(struct heap *h, uintptr_t stack_lo,
                                    uintptr_t stack_hi) {
  struct thread *t = fixalloc_alloc(&thread_registry.alloc);
  if (!t) return NULL;
  struct mcache *c = mcache_new(h);
  if (!c) {
    fixalloc_free(&thread_registry.alloc, t);
    return NULL;
  }
  *t = (struct thread){.cache = c,
                       .heap = h,
                       .stack_lo = stack_lo,
                       .stack_hi = stack_hi,
                       .thread_pointer = arch_thread_pointer(),
                       .tid = thread_id(),
                       .is_main = thread_id() == getpid()};
  registry_link(t);
  if (thread_registry.on_attach) thread_registry.on_attach(t);
  thread_self = t;
  mgc_tls = &c->pub;
  return t;
}

MGC_COLD struct thread *thread_get_slow(void) {
  struct heap *h = heap_default();
  if (!h) return NULL;
  uintptr_t lo, hi;
  int saved_errno = errno;
  if (!thread_stack_bounds(&lo, &hi)) return NULL;
  mutex_lock(&thread_registry.lock);
  struct thread *t = attach_locked(h, lo, hi);
  mutex_unlock(&thread_registry.lock);
  /* The value only has to be non-NULL for the destructor to be called. */
  if (t && pthread_setspecific(detach_key, t) != 0) {
    thread_detach(); /* nobody would do it when the thread ends */
    t = NULL;
  }
  errno = saved_errno;
  return t;
}

void thread_bury(struct thread *t) {
  if (thread_registry.on_detach) thread_registry.on_detach(t);
  registry_unlink(t);
  mcache_delete(t->heap, t->cache);
  fixalloc_free(&thread_registry.alloc, t);
}

void thread_detach(void) {
  struct thread *t = thread_self;
  if (!t) return;
  registry_lock_attached(t);
  mgc_tls = &empty_cache;
  thread_self = NULL;
  thread_bury(t);
  mutex_unlock(&thread_registry.lock);
}
