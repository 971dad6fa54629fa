// SPDX-License-Identifier: MIT
/*
 * The kernel tells which pages a program has written (os/wptrack.h), so that a cycle can
 * run beside programs that know nothing of it.
 *
 * A marked object was scanned once. Whatever the program stores into it later lies on a
 * written page, and all marked objects there are scanned again: their words on that page.
 * That is done in rounds while the program runs (rounds.c), each shorter than the one
 * before, and once more when it stands (last). An object that is not marked yet is read
 * when it is; one that is allocated meanwhile is marked from the begin, and what is
 * stored into it makes its page a written one.
 *
 * A page is armed again before it is read: a store that comes after is found in the
 * next round.
 *
 * Arenas are registered when a cycle begins, or a round finds a new one or one in which
 * something was mapped, and parts with spans that have pointers armed. Other pages, and
 * those of arenas that are not registered, count as written. Parts without a marked
 * object that has pointers are not looked at: in the last pause of a program with buffers
 * (bench/gc/buffers.c) 2 MiB of 448 are.
 *
 *   I1  at the end of marking each word of a marked object was read after the last store
 *       into it
 */
#include "gc/track.h"

#include "heap/heap.h"
#include "os/clock.h"
#include "os/thread_linux.h"

/* Pages that are scanned between two looks at the clock, and then steps of 128 edges
 * that are followed: some 50 us each. */
#define TICK_PAGES 16
#define FOLLOW_STEPS 8
/* A part of the heap has many written pages when they are this share of it: 32 for each
 * message to another processor. */
#define DENSE_SHARE 16
/* So much of the heap is left out of a scan, or not, and so many spans without pointers
 * in it are looked at. */
#define MARKED_PIECE ((size_t)2 << 20)
#define MARKED_LOOKS 16
/* Longer runs of pages that a scan found in the last pause may have no contents. */
#define LISTED_PAGES 4

int track_open(struct track *t, struct heap *h, const struct wptrack_sys *sys) {
  t->h = h;
  t->lost = false;
  return wptrack_open(&t->w, sys);
}

/* A scan of the arena met memory that is not tracked: the program has mapped something
 * into an object. It is registered again before the next one. */
static void note_lost(const struct track *t, struct heap_arena *a,
                      uint64_t nlost) {
  if (unlikely(t->w.nlost != nlost)) a->tracked = false;
}

/* Where the arena's used part ends: pages behind were never touched. */
static uintptr_t used_end(const struct heap_arena *a) {
  uintptr_t used = atomic_uptr_load_acquire(&a->zeroed_base);
  if (used > HEAP_ARENA_BYTES) used = HEAP_ARENA_BYTES;
  return a->base + used;
}

/* Whether [lo, hi) of the arena may have a marked object with pointers: nothing else
 * is scanned again, so nothing else is asked for. Spans without pointers may pass. */
static bool may_have_marked(const struct heap_arena *a, uintptr_t lo,
                            uintptr_t hi) {
  unsigned looks = 0;
  const struct mspan *s =
      atomic_ptr_load_acquire(&a->spans[arena_page_index(lo)]);
  if (s && s->base < lo && !mspan_noscan(s) &&
      atomic_u8_load_relaxed(&s->has_marks))
    return true;
  for (uintptr_t p = lo; p < hi; p += 8 * MGC_PAGE_SIZE) {
    unsigned bits =
        atomic_u8_load_relaxed(&a->page_marks[arena_page_index(p) / 8]);
    for (; bits; bits &= bits - 1) {
      uintptr_t page = p + ctz64(bits) * MGC_PAGE_SIZE;
      s = atomic_ptr_load_acquire(&a->spans[arena_page_index(page)]);
      if (!s || !mspan_noscan(s) || ++looks == MARKED_LOOKS) return true;
    }
  }
  return false;
}

/* Whether [lo, hi) has a page of a span with pointers. */
static bool has_pointers(const struct heap_arena *a, uintptr_t lo,
                         uintptr_t hi) {
  uintptr_t next;
  for (uintptr_t p = lo; p < hi; p = next) {
    /* acquire: pairs with the release in arena_set_spans */
    const struct mspan *s =
        atomic_ptr_load_acquire(&a->spans[arena_page_index(p)]);
    if (s && !mspan_noscan(s)) return true;
    next = p + MGC_PAGE_SIZE;
    /* A span that is freed meanwhile has any length: a page at least. */
    uintptr_t end = s ? s->base + s->npages * MGC_PAGE_SIZE : 0;
    if (end > next) next = end;
  }
  return false;
}

/* Of [lo, end) of the arena the first pieces in a row of which `is` is true:
 * [*from, *to), or empty. */
static void first_run(const struct heap_arena *a, uintptr_t lo, uintptr_t end,
                      bool (*is)(const struct heap_arena *a, uintptr_t lo,
                                 uintptr_t hi),
                      uintptr_t *from, uintptr_t *to) {
  *from = *to = end;
  for (uintptr_t p = lo, next; p < end; p = next) {
    next = end - p < MARKED_PIECE ? end : p + MARKED_PIECE;
    if (is(a, p, next)) {
      if (*from == end) *from = p;
    } else if (*from < end) {
      *to = p;
      return;
    }
  }
}

static bool fail(struct track *t, int err) {
  t->lost = true;
  t->err = err;
  return false;
}

static bool register_arena(struct track *t, struct heap_arena *a) {
  if (a->tracked) return true;
  int err = wptrack_register(&t->w, a->base, a->base + HEAP_ARENA_BYTES);
  if (err) return fail(t, err);
  a->tracked = true;
  return true;
}

/* What has no pointers is not armed: nobody will ask. Free pages that get pointers
 * meanwhile count as written. */
static int arm_arena(struct wptrack *w, const struct heap_arena *a) {
  uintptr_t end = used_end(a), lo, hi;
  int err = 0;
  for (first_run(a, a->base, end, has_pointers, &lo, &hi); lo < hi && !err;
       first_run(a, hi, end, has_pointers, &lo, &hi))
    err = wptrack_arm(w, lo, hi);
  return err;
}

bool track_arm(struct track *t) {
  struct heap_arena *a;
  if (!wptrack_is_open(&t->w)) return false;
  t->lost = false;
  for (size_t i = 0; (a = mheap_arena_at(t->h, i)) != NULL; i++) {
    if (!register_arena(t, a)) return false;
    uint64_t nlost = t->w.nlost;
    int err = arm_arena(&t->w, a);
    if (err) return fail(t, err);
    note_lost(t, a, nlost);
  }
  return true;
}

void track_disarm(struct track *t, const struct atomic_u32 *stop) {
  struct heap_arena *a;
  for (size_t i = 0; (a = mheap_arena_at(t->h, i)) != NULL; i++) {
    if (atomic_u32_load_relaxed(stop)) return;
    /* What stays armed is slower, and nothing else. */
    if (a->tracked && wptrack_disarm(&t->w, a->base, used_end(a)) != 0) return;
  }
}

/* --- cleaning --- */

/* Others may want the markers to stand, and the program may have to be held. */
static void look_up(struct track *t) {
  struct marking *m = t->k->m;
  if (unlikely(atomic_u32_load_acquire(&m->pause))) mark_stand_by(m);
  if (t->tick) t->tick(t->tick_arg);
}

/* Follows all edges that there are, with a look up now and then. */
static void follow_edges(struct track *t) {
  struct marker *k = t->k;
  do {
    k->quota = FOLLOW_STEPS;
    mark_drain(k);
    look_up(t);
  } while (mark_has_work(k));
  k->quota = 0;
}

/* Scans [lo, hi), which was armed. */
static void follow(struct track *t, uintptr_t lo, uintptr_t hi) {
  uintptr_t piece = TICK_PAGES * t->h->vm->page_size;
  for (uintptr_t p = lo; p < hi; p += piece) {
    size_t n = mark_rescan(t->k, p, hi - p < piece ? hi : p + piece);
    t->pages += n;
    t->unfollowed += n;
    if (t->unfollowed < TICK_PAGES) continue;
    t->unfollowed = 0;
    follow_edges(t);
  }
}

static void visit_and_follow(uintptr_t lo, uintptr_t hi, void *arg) {
  follow(arg, lo, hi);
}

static void count_pages(uintptr_t lo, uintptr_t hi, void *arg) {
  *(size_t *)arg += hi - lo;
}

/* A piece of an arena that may have many written pages. */
static int clean_if_dense(struct track *t, const struct heap_arena *a,
                          uintptr_t lo, uintptr_t hi) {
  size_t bytes = 0;
  if (!may_have_marked(a, lo, hi)) return 0;
  int err = wptrack_scan(&t->w, lo, hi, WPTRACK_GET, count_pages, &bytes);
  if (err || bytes < (hi - lo) / DENSE_SHARE) return err;
  return wptrack_scan(&t->w, lo, hi, WPTRACK_REARM, visit_and_follow, t);
}

size_t track_clean_dense(struct track *t, struct marker *k) {
  struct heap_arena *a;
  t->k = k;
  t->pages = t->unfollowed = 0;
  for (size_t i = 0; !t->lost && (a = mheap_arena_at(t->h, i)) != NULL; i++) {
    if (!register_arena(t, a)) break;
    uintptr_t end = used_end(a);
    uint64_t nlost = t->w.nlost;
    for (uintptr_t lo = a->base; lo < end && !t->lost;) {
      uintptr_t next = wpkernel_piece_end(lo, end, WPKERNEL_PIECE);
      int err = clean_if_dense(t, a, lo, next);
      if (err) (void)fail(t, err);
      lo = next;
      look_up(t);
    }
    note_lost(t, a, nlost);
  }
  follow_edges(t);
  return t->pages;
}

void track_begin(struct track *t, struct marker *k) {
  t->k = k;
  t->pages = t->unfollowed = 0;
  t->arena = 0;
  t->at = 0;
  t->ngathered = 0;
}

static void note_gathered(uintptr_t lo, uintptr_t hi, void *arg) {
  struct track *t = arg;
  uint32_t n = t->ngathered;
  if (n > 0 && t->gathered[n - 1].hi == lo) {
    t->gathered[n - 1].hi = hi;
  } else if (n < TRACK_GATHERED) {
    t->gathered[n] = (struct track_region){lo, hi};
    t->ngathered = n + 1;
  } else { /* no room: its edges are kept instead */
    t->pages += mark_rescan(t->k, lo, hi);
  }
}

/* The next piece of a from t->at on. */
static bool gather_piece(struct track *t, struct heap_arena *a, bool still) {
  if (!register_arena(t, a)) return false;
  uintptr_t lo = t->at < a->base ? a->base : t->at, end = used_end(a);
  if (lo >= end) {
    t->arena++;
    t->at = 0;
    return true;
  }
  uint64_t nlost = t->w.nlost;
  t->at = wpkernel_piece_end(lo, end, WPTRACK_STILL_PIECE);
  if (!may_have_marked(a, lo, t->at)) return true;
  int err = wptrack_scan(&t->w, lo, t->at,
                         WPTRACK_REARM | (still ? WPTRACK_STILL : 0),
                         note_gathered, t);
  note_lost(t, a, nlost);
  return !err || fail(t, err);
}

bool track_gather(struct track *t, bool still, int64_t until) {
  struct heap_arena *a;
  t->ngathered = 0;
  while ((a = mheap_arena_at(t->h, t->arena)) != NULL) {
    if (!gather_piece(t, a, still)) return false;
    if (t->ngathered + WPTRACK_REGIONS > TRACK_GATHERED ||
        clock_nanotime() >= until)
      return true;
  }
  return false;
}

void track_follow(struct track *t) {
  for (uint32_t i = 0; i < t->ngathered; i++)
    follow(t, t->gathered[i].lo, t->gathered[i].hi);
  t->ngathered = 0;
  follow_edges(t);
}

/* --- the last time --- */

static void visit_only(uintptr_t lo, uintptr_t hi, void *arg) {
  struct track *t = arg;
  t->pages += mark_rescan(t->k, lo, hi);
}

static bool scan_arena(struct wptrack *w, const struct heap_arena *a,
                       unsigned flags,
                       void (*visit)(uintptr_t lo, uintptr_t hi, void *arg),
                       void *arg) {
  uintptr_t end = used_end(a), lo, hi;
  for (first_run(a, a->base, end, may_have_marked, &lo, &hi); lo < hi;
       first_run(a, hi, end, may_have_marked, &lo, &hi))
    if (wptrack_scan(w, lo, hi, flags, visit, arg) != 0) return false;
  return true;
}

/* A part of the heap in the last pause: every step-th arena from the first on. */
static void scan_part(struct track *t, struct wptrack *w, size_t first,
                      size_t step, unsigned flags,
                      void (*visit)(uintptr_t lo, uintptr_t hi, void *arg),
                      void *arg) {
  struct heap *h = t->h;
  for (size_t i = first; i < h->narenas; i += step) {
    struct heap_arena *a = h->all_arenas[i];
    /* Not tracked, or not any more: all of it may have been written. */
    if (t->lost || !a->tracked || !scan_arena(w, a, flags, visit, arg))
      visit(a->base, used_end(a), arg);
  }
}

static void note_found(uintptr_t lo, uintptr_t hi, void *arg) {
  struct track_list *l = arg;
  if (l->n == TRACK_FOUND) {
    l->failed = true;
    return;
  }
  l->found[l->n++] = (struct track_region){lo, hi};
}

/* Lists what was written in a part. It may have pages without contents. */
static void list_part(struct track *t, struct wptrack *w, size_t first,
                      size_t step, struct track_list *l) {
  l->n = 0;
  l->failed = false;
  scan_part(t, w, first, step, WPTRACK_GET | WPTRACK_EMPTY, note_found, l);
}

/* To read a page without contents would give it some: long runs are looked at again. */
static void visit_listed(struct track *t, const struct track_list *l) {
  uintptr_t most = LISTED_PAGES * t->h->vm->page_size;
  for (uint32_t i = 0; i < l->n; i++) {
    uintptr_t lo = l->found[i].lo, hi = l->found[i].hi;
    if (t->lost || hi - lo <= most ||
        wptrack_scan(&t->w, lo, hi, WPTRACK_GET, visit_only, t) != 0)
      visit_only(lo, hi, t);
  }
}

static void mate_main(void *arg) {
  struct track *t = arg;
  struct track_mate *m = &t->mate;
  uint32_t seen = atomic_u32_load_relaxed(&m->asked);
  t->add(t->add_arg);
  atomic_u32_store_release(&m->there, 1);
  futex_wake(&m->there, 1);
  for (;;) {
    /* acquire: what the pause has changed */
    uint32_t asked = atomic_u32_load_acquire(&m->asked);
    if (asked == seen) {
      futex_wait(&m->asked, seen, -1);
      continue;
    }
    seen = asked;
    list_part(t, &m->w, 1, 2, &m->list);
    /* release: what was found */
    atomic_u32_store_release(&m->done, seen);
    futex_wake(&m->done, 1);
  }
}

void track_start_mate(struct track *t, void (*add)(void *arg), void *arg) {
  struct track_mate *m = &t->mate;
  m->w = t->w; /* the same descriptors, a vector of its own */
  if (atomic_u32_load_acquire(&m->there)) return;
  t->add = add;
  t->add_arg = arg;
  if (thread_start_library("scan", mate_main, t) != 0) return;
  while (!atomic_u32_load_acquire(&m->there)) futex_wait(&m->there, 0, -1);
}

static void wait_for_mate(struct track_mate *m, uint32_t asked) {
  uint32_t done;
  while ((done = atomic_u32_load_acquire(&m->done)) != asked)
    futex_wait(&m->done, done, -1);
}

bool track_last(struct track *t, struct marker *k, size_t most) {
  struct track_mate *m = &t->mate;
  bool two = t->h->narenas > 4 && atomic_u32_load_acquire(&m->there);
  uint32_t asked = 0;
  t->k = k;
  t->pages = 0;
  m->list.n = 0;
  m->list.failed = false;
  if (two) {
    asked = atomic_u32_fetch_add_acq_rel(&m->asked, 1) + 1;
    futex_wake(&m->asked, 1);
  }
  list_part(t, &t->w, 0, two ? 2 : 1, &t->list);
  if (two) wait_for_mate(m, asked);
  if (t->list.failed || m->list.failed) {
    /* Too much for a list is too much for a pause, if that matters. */
    if (most != SIZE_MAX) return false;
    scan_part(t, &t->w, 0, 1, WPTRACK_GET, visit_only, t);
    return true;
  }
  visit_listed(t, &t->list);
  visit_listed(t, &m->list);
  return t->pages <= most;
}

void track_after_fork(struct track *t) {
  struct heap *h = t->h;
  if (!h) return;
  if (wptrack_is_open(&t->w)) wptrack_after_fork_child(&t->w);
  atomic_u32_store_relaxed(&t->mate.there, 0);
  for (size_t i = 0; i < h->narenas; i++) h->all_arenas[i]->tracked = false;
}
