// SPDX-License-Identifier: MIT
/*
 * Beginning and end: of the heap, of threads, around fork.
 *
 * The heap is made by the first allocation, which is the dynamic linker's or the
 * C library's, before main and before our own constructors; so nothing here may
 * allocate, and the environment is read from where the kernel put it. What wants
 * malloc (a background thread, the handler of fork) is set up by a constructor.
 *
 * A thread's cache is made by its first slow allocation. The destructor of a
 * thread-specific key gives it up; destructors that run later may allocate, and
 * then the thread has a cache once more, until the key's next round.
 *
 * fork. The child has one thread, and locks that others held would stay held: the
 * forking thread takes them all before. Its own cache and spans are whole. Those of
 * the other threads may be in the middle of anything; the child never looks at
 * them. Objects in them can still be freed, which goes by the spans' remote words,
 * and a span whose last object is freed gives its pages back.
 */
#include "face/malloc/mface.h"

#include "alloc/options.h"
#include "base/fatal.h"
#include "base/print.h"
#include "os/env.h"
#include "os/thread_linux.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

struct mface *mface;

static struct atomic_ptr mface_ready; /* the same, for other threads */
static struct mutex start_lock = MUTEX_INIT(init);
static bool start_failed; /* guarded by start_lock */
static pthread_key_t thread_key;

/* --- options --- */

static const char *read_environment(const char *name) {
  return secure_getenv(name);
}

static const char *string_option(const char *name) {
  const char *s = NULL;
  return env_string(name, &s) == ENV_OK ? s : NULL;
}

static bool flag_option(const char *name, const char **bad) {
  bool on = false;
  if (env_bool(name, &on) == ENV_MALFORMED) *bad = name;
  return on;
}

/* Huge pages from 8 MiB on: docs/memory.md has what they save. */
#define FACE_OPTIONS "hugepages=8"

static const char *load_options(struct mface_options *o,
                                struct heap_options *heap) {
  struct pacing_options pacing;
  const char *bad = options_load(heap, &pacing, FACE_OPTIONS, read_environment);
  const char *report = string_option("MALLOCGC_REPORT");
  const char *leaks = string_option("MALLOCGC_LEAKS");
  heap->tiny = false;
  o->report = report && strcmp(report, "0") != 0;
  o->report_json = report && strcmp(report, "json") == 0;
  o->report_path = string_option("MALLOCGC_REPORT_FILE");
  o->leaks = leaks && strcmp(leaks, "0") != 0;
  o->harden = flag_option("MALLOCGC_HARDEN", &bad);
  o->profile = string_option("MALLOCGC_PROFILE");
  o->profile_rate = 512 << 10;
  if (env_u64("MALLOCGC_PROFILE_RATE", &o->profile_rate) == ENV_MALFORMED)
    bad = "MALLOCGC_PROFILE_RATE";
  o->memory_limit = pacing.memory_limit;
  return bad;
}

/* --- the start --- */

/* A number that depends on every bit of a and b. */
static uint64_t mix(uint64_t a, uint64_t b) {
  unsigned __int128 x = (unsigned __int128)(a ^ 0xa0761d6478bd642full) *
                        (b ^ 0xe7037ed1a0b428dbull);
  return (uint64_t)x ^ (uint64_t)(x >> 64);
}

/* The kernel's 16 random bytes, of which libc uses each word as it is. n: which of
 * the numbers that can be made of them. */
static uint64_t random_number(uint64_t n) {
  const uint64_t *r = (const uint64_t *)getauxval(AT_RANDOM);
  uint64_t a = r ? r[0] : (uintptr_t)&a, b = r ? r[1] : 0;
  return mix(mix(a, b + n), b);
}

/* The heap begins at one of 262,144 addresses between 16 and 32 TiB: where it is must
 * not be known beforehand, as the kernel sees to for what it places. */
#define PLACE_FIRST ((uintptr_t)1 << 44)

static void place_heap(struct heap *h, uint64_t number) {
  if (h->one_region) return;
  h->next_hint = PLACE_FIRST +
                 number % (PLACE_FIRST / HEAP_ARENA_BYTES) * HEAP_ARENA_BYTES;
}

static void thread_ends(void *arg) {
  struct tcache *t = tcache_self;
  (void)arg;
  tcache_self = &tcache_nobody;
  if (t == &tcache_nobody) return;
  tcache_detach(t);
  janitor_poll(t->th, false);
}

static struct vm *choose_vm(const struct heap_options *opt) {
  static struct vm_faulty faulty;
  if (opt->fail_vm == 0) return vm_system();
  return vm_faulty_init(&faulty, vm_system(), opt->fail_vm,
                        opt->fail_vm_forever);
}

static bool start_modes(struct mface *m) {
  if (m->opt.memory_limit != INT64_MAX)
    atomic_u64_store_relaxed(&m->theap.memory_limit,
                             (uint64_t)m->opt.memory_limit);
  if (m->opt.harden && !harden_start(m)) return false;
  if (m->opt.profile && !profile_start(m)) return false;
  m->modes = (m->opt.harden ? MFACE_HARDEN : 0u) |
             (m->opt.profile && !m->opt.harden ? MFACE_PROFILE : 0u);
  janitor_start(m);
  return true;
}

static struct mface *make(void) {
  struct heap_config cfg = {.classes = &sizeclasses_malloc};
  struct mface_options opt = {0};
  const char *bad = load_options(&opt, &cfg.opt);
  if (bad) print_fd(2, "mallocgc: warning: cannot understand all of %s\n", bad);
  cfg.vm = choose_vm(&cfg.opt);
  cfg.address_space_left = vm_address_space_left();
  char detail[200] = "no memory for the heap's own state";
  struct mface *m = cfg.vm->ops->alloc(
      cfg.vm, align_up(sizeof *m, cfg.vm->page_size), "mallocgc: heap state");
  if (m && heap_init(&m->heap, &cfg, detail, sizeof detail) == HEAP_INIT_OK) {
    m->opt = opt;
    place_heap(&m->heap, random_number(1));
    theap_init(&m->theap, &m->heap, random_number(0));
    if (pthread_key_create(&thread_key, thread_ends) == 0) {
      mface = m;
      if (start_modes(m)) return m;
      mface = NULL;
    }
    print_format(detail, sizeof detail, "no thread key left, or no memory");
  }
  print_fd(2, "mallocgc: cannot start: %s\n", detail);
  return NULL;
}

static MGC_COLD struct mface *start_slow(void) {
  int saved = errno;
  mutex_lock(&start_lock);
  struct mface *m = atomic_ptr_load_acquire(&mface_ready);
  if (!m && !start_failed) {
    m = make();
    start_failed = m == NULL;
    /* release: pairs with the acquire in mface_get */
    atomic_ptr_store_release(&mface_ready, m);
  }
  mutex_unlock(&start_lock);
  errno = saved;
  return m;
}

struct mface *mface_get(void) {
  struct mface *m = atomic_ptr_load_acquire(&mface_ready);
  return likely(m != NULL) ? m : start_slow();
}

/* --- threads --- */

static MGC_COLD struct tcache *attach(void) {
  struct mface *m = mface_get();
  if (!m) return NULL;
  int saved = errno;
  struct tcache *t = tcache_attach(&m->theap, thread_id());
  if (t) {
    if (m->modes) tcache_slow_only(t);
    /* First: setting a key beyond the 32nd allocates. */
    tcache_self = t;
    if (pthread_setspecific(thread_key, t) != 0) {
      tcache_self = &tcache_nobody;
      tcache_detach(t);
      t = NULL;
    }
  }
  errno = saved;
  return t;
}

struct tcache *mface_thread(void) {
  struct tcache *t = tcache_self;
  return likely(t != &tcache_nobody) ? t : attach();
}

/* --- fork --- */

static void fork_prepare(void) MGC_NO_ANALYSIS {
  struct mface *m = mface_get();
  if (!m) return;
  janitor_fork(true, false);
  profile_fork(true, false);
  harden_fork(true, false);
  mutex_lock(&m->theap.lock);
  mutex_lock(&m->theap.stash.lock);
  mutex_lock(&m->heap.lock);
  mutex_lock(&m->heap.meta.lock);
}

static void fork_done(bool child) MGC_NO_ANALYSIS {
  struct mface *m = atomic_ptr_load_acquire(&mface_ready);
  if (!m) return;
  mutex_unlock(&m->heap.meta.lock);
  mutex_unlock(&m->heap.lock);
  mutex_unlock(&m->theap.stash.lock);
  if (child && tcache_self != &tcache_nobody) tcache_self->tid = thread_id();
  mutex_unlock(&m->theap.lock);
  harden_fork(false, child);
  profile_fork(false, child);
  janitor_fork(false, child);
}

static void fork_parent(void) { fork_done(false); }
static void fork_child(void) { fork_done(true); }

/* The first constructor of all: handlers registered early are called last before
 * the fork, when those of other libraries, which may allocate, are done. */
__attribute__((constructor(101))) static void start_process(void) {
  struct mface *m = mface_get();
  if (!m) return;
  if (pthread_atfork(fork_prepare, fork_parent, fork_child) != 0)
    print_fd(2, "mallocgc: warning: no handlers for fork\n");
  report_start(m);
  leaks_start(m);
}
