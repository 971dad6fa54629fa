// SPDX-License-Identifier: MIT
/*
 * tcache: a thread's own spans and the free lists in front of them. What mcache is
 * to the collected heap, for a heap whose objects are freed one by one.
 *
 *   malloc   pops the class's list in the thread's tcache
 *   free     finds the span (pagemap); if this thread owns it, pushes the slot on
 *            that list, or on the span's own
 *
 * A span belongs to one tcache, its owner, which alone takes slots from it. What
 * was freed last is taken first, while it is in the processor's cache. A thread that
 * frees more than it takes soon has enough on the list, a few KiB (`room` counts);
 * from then on slots go to their spans, which so become empty and go back. A list
 * that is used up takes over the whole free list of one span, the bin's
 * current span, or what other threads freed of it, or slots that were never used,
 * or another span's (refill, tcache.c). So memory fills densely.
 *
 * A free list. The first two words of a free slot are {next, (next + its address) ^
 * secret}; the last one's next is TCACHE_NONE, the address of two words that match
 * nothing. A pop compares: an overflow or a write after free that changed either
 * word is fatal, and to forge the pair one must know the secret. The second word is
 * cleared when the slot is handed out, so an object whose two words match when it
 * is freed is on a list already: a double free. The address is among them because a
 * program may come by the words of another slot: an object that was never written
 * holds what was there before, and may be copied.
 *
 * Sums of two addresses have 48 bits, and the secret's top byte is TCACHE_TAG, so the
 * last byte of those 16 is that of every free slot. A free looks at this byte alone,
 * and at both words when it has that value: one instruction in place of five, and no
 * wait for what the program wrote there a moment ago in smaller pieces.
 *
 * `left` counts what is not on the span's own list, so 0 means that the span is
 * empty. For a span that was full it counts down a few frees: enough of them to make
 * it worth going back to.
 *
 * Frees by other threads go to span->remote (tremote.c), without locks.
 *
 *   I1  a span's owner is a tcache, or tcache_central's: never NULL
 *   I2  the slots on a list are of its class, in spans that its thread owns
 *   I3  carved <= nelems, and slots from carved on were never handed out since the
 *       span was made
 *   I4  CURRENT, PARTIAL: left == carved - slots on the span's own list; those are
 *       in use by the program, on a thread's list, or remote
 *   I5  a span is in exactly the list that `where` names: none for CURRENT
 *   I6  FULL, or PARTIAL with slots in use: the remote word has REMOTE_ARMED, or
 *       pending, or a notice is on its way
 *
 * Lock key: (c) const after init  (o) owning thread  (a) atomic
 */
#ifndef MGC_HEAP_TCACHE_H
#define MGC_HEAP_TCACHE_H

#include "heap/heap.h"
#include "heap/pagemap.h"
#include "heap/spanstash.h"

/* Requests up to this find their class by one load from the tcache. */
#define TCACHE_DIRECT_MAX 1024u
#define TCACHE_CLASSES NUM_SIZE_CLASSES

/* Caches of ended threads that wait, with their spans, for the next threads. */
#define THEAP_WARM_MAX 4u

enum tspan_place { TSPAN_CURRENT, TSPAN_PARTIAL, TSPAN_FULL };

_Static_assert(MAX_SMALL_SIZE % 128 == 0, "headoff128");

struct tcache_bin {
  struct mspan *span;   /* (o) the current one, or NULL */
  struct list partial;  /* (o) spans with free slots, most recent first */
  struct list full;     /* (o) spans without, as far as is known */
  uint32_t npages;      /* (o) of all of them */
  uint32_t carve_bytes; /* (o) of the current span, the next time: tcache.c */
};

/* Free slots of one class, most recent first. */
struct tcache_list {
  uintptr_t head; /* (o) a slot, or TCACHE_NONE */
  int32_t room;   /* (o) for so many frees more than allocations */
  int32_t limit;  /* (c) room of an empty list */
};

struct tcache {
  /* The lists, by size class; [0] is always empty. What fast paths touch comes
   * first. */
  MGC_CACHE_ALIGNED struct tcache_list list[TCACHE_CLASSES];
  /* (c) Offset of list[class] for each size up to the maximum, or all 0, which is
   * list[0]'s: tcache_slow_only. */
  uint16_t headoff[TCACHE_DIRECT_MAX + 1];
  /* (c) The same for larger ones, by (size + 127) / 128. */
  uint16_t headoff128[MAX_SMALL_SIZE / 128 + 1];
  struct tcache_bin bin[TCACHE_CLASSES];
  struct atomic_ptr inbox; /* (a) spans that others freed slots of */
  struct theap *th;        /* (c) */
  struct list link;     /* all of the theap's, or its free ones (theap lock) */
  uint64_t owned_bytes; /* (o) in spans */
  uint64_t empty_bytes; /* (o) in empty spans that are kept */
  int32_t tid;          /* (o), or lock of the theap */
  bool attached;        /* lock of the theap */
};

/* tdense.c: what large blocks are like. */
struct tdense {
  struct atomic_u64 watched;     /* (a) one of them, 0: none */
  struct atomic_u32 looks;       /* (a) at it so far */
  struct atomic_u32 score;       /* (a) dense ones in a row */
  struct atomic_u32 units;       /* (a) length of the longest of them */
  struct atomic_u32 fresh, used; /* (a) blocks so far */
};

/* What all threads of a malloc heap share. */
struct theap {
  struct heap *heap;
  struct mutex lock;        /* rank tcache */
  struct tcache central;    /* owns what ended threads left (lock) */
  struct list caches;       /* attached ones (lock) */
  uint64_t ncaches;         /* in that list (lock) */
  struct list spare_caches; /* without spans: their threads ended (lock) */
  struct tcache *warm[THEAP_WARM_MAX]; /* in no list (lock) */
  struct atomic_u32 nwarm;             /* written under the lock */
  struct fixalloc alloc;               /* (lock) struct tcache */
  struct spanstash stash;
  struct tdense dense;
  struct atomic_u32 orphans[TCACHE_CLASSES]; /* (a) hint: partial of central */
  /* In-use pages by class, [0]: large objects; their sum, and what they were when
   * the sum was highest (within 1/32). */
  struct atomic_u64 class_pages[TCACHE_CLASSES], pages;
  struct atomic_u64 peak_class_pages[TCACHE_CLASSES], peak_pages;
  struct atomic_u64 high_pages; /* highest sum since it was last set (hint) */
  struct atomic_u32 nmoved;     /* large objects with a mapping of their own */
  struct atomic_u64 memory_limit; /* bytes; UINT64_MAX: none */
  /* The limit is reached or memory cannot be had: give back, then true to try
   * again. No lock held. NULL: none. */
  bool (*reclaim)(struct theap *th, size_t bytes);
  /* Pages have become free, called at any place: it must be cheap, may take no
   * lock and call nothing that allocates. NULL: none. */
  void (*freed)(struct theap *th);
  /* The same when grown_at pages are in use; whoever sets grown_at decides when
   * again. NULL: none. */
  void (*grown)(struct theap *th);
  struct atomic_u64 grown_at;
};

/* --- the two globals that fast paths read; constant after initialisation, but for the
 * page map's length --- */

struct tcache_globals {
  MGC_CACHE_ALIGNED struct pagemap map;
  uint64_t secret; /* of the pairs; its top byte is TCACHE_TAG */
};
/* A line of its own: nothing near it is written, but for
 * the length, once for 64 MiB. Hidden for its users, too:
 * read without a load of its address. */
extern struct tcache_globals tcache_globals
    __attribute__((visibility("hidden")));
/* In no UTF-8 text, no address, no number that is near 0. */
#define TCACHE_TAG 0xf5u
/* The end of every free list: two words whose pair never matches. */
extern const uint64_t tcache_none[2];
#define TCACHE_NONE ((uintptr_t)tcache_none)

/* The calling thread's; tcache_nobody before the first slow allocation and after
 * the thread's end: its lists are empty and it owns nothing. */
extern struct tcache tcache_nobody;
extern _Thread_local struct tcache *tcache_self
    __attribute__((tls_model("initial-exec")));

/* --- fast paths --- */

/* The slot that will be handed out next is on its way to this processor's cache, to
 * be written, while the program works with this one: slots that another thread freed
 * are in another's cache. (sh8 of bench/malloc: 20 % less time.) */
static MGC_ALWAYS_INLINE void tcache_prefetch(uintptr_t p) {
#if defined(__x86_64__)
  __asm__("prefetchw %0" : : "m"(*(const char *)p));
#else
  __builtin_prefetch((const void *)p, 1);
#endif
}

/* The list at the offset *off of t. Each use of a list is to ask again: as base and
 * index of an instruction t and the offset cost nothing, and a pointer that is kept
 * costs an addition. */
static MGC_ALWAYS_INLINE struct tcache_list *tcache_list_at(struct tcache *t,
                                                            size_t *off) {
  __asm__("" : "+r"(*off)); /* for all the compiler knows it is another one */
  return (struct tcache_list *)(void *)((char *)t + *off);
}
static inline size_t tcache_list_off(unsigned sc) {
  return offsetof(struct tcache, list) + sc * sizeof(struct tcache_list);
}

/* The slot after p, the first of a list, in *next; false: the list is empty or
 * broken (the slow path tells which). */
static MGC_ALWAYS_INLINE bool tcache_follow(uintptr_t p, uintptr_t *next) {
  const uint64_t *w = (const uint64_t *)p;
  *next = w[0];
  tcache_prefetch(*next);
  return likely(((*next + p) ^ w[1]) == tcache_globals.secret);
}

/* Pops t's list at the offset off, or the one at *head; 0: empty or broken. */
static MGC_ALWAYS_INLINE uintptr_t tcache_take(struct tcache *t, size_t off) {
  uintptr_t p = tcache_list_at(t, &off)->head, next;
#if defined(__x86_64__)
  __asm__("" : "+a"(p)); /* where it will be returned */
#endif
  if (!tcache_follow(p, &next)) return 0;
  tcache_list_at(t, &off)->head = next;
  ((uint64_t *)p)[1] = 0;
  tcache_list_at(t, &off)->room++;
  if (p == 0) __builtin_unreachable();
  return p;
}
static inline uintptr_t tcache_pop(uintptr_t *head) {
  uintptr_t p = *head, next;
  if (!tcache_follow(p, &next)) return 0;
  *head = next;
  ((uint64_t *)p)[1] = 0;
  return p;
}

/* Makes p, a free slot, the first of the list that begins at next. */
static MGC_ALWAYS_INLINE void tcache_link(uintptr_t p, uintptr_t next) {
  uint64_t *w = (uint64_t *)p;
  w[0] = next;
  w[1] = (next + p) ^ tcache_globals.secret;
}

/* False: p is not on a list. */
static MGC_ALWAYS_INLINE bool tcache_may_be_free(uintptr_t p) {
  return ((const uint8_t *)p)[2 * sizeof(uint64_t) - 1] == TCACHE_TAG;
}
static MGC_ALWAYS_INLINE bool tcache_looks_free(uintptr_t p) {
  const uint64_t *w = (const uint64_t *)p;
  return ((w[0] + p) ^ w[1]) == tcache_globals.secret;
}

/* Counts down and says whether that made 0 (for *room: less), as one instruction.
 * *left is never torn for others who read it. */
static MGC_ALWAYS_INLINE bool tcache_count_down(uint32_t *left) {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  bool zero;
  __asm__("decl %0" : "+m"(*left), "=@ccz"(zero));
  return zero;
#else
  uint32_t n = __atomic_load_n(left, __ATOMIC_RELAXED) - 1;
  __atomic_store_n(left, n, __ATOMIC_RELAXED);
  return n == 0;
#endif
}
static MGC_ALWAYS_INLINE bool tcache_use_room(int32_t *room) {
#if defined(__x86_64__)
  bool less;
  __asm__("decl %0" : "+m"(*room), "=@ccs"(less));
  return !less;
#else
  return --*room >= 0;
#endif
}

/* A free by the owner, t: the slot p of s goes on the thread's list, or, when that has
 * enough, on the span's. False: tcache_free_event is to be called. */
static MGC_ALWAYS_INLINE bool tcache_put(struct tcache *t, struct mspan *s,
                                         uintptr_t p) {
  size_t off = s->local.binoff;
  if (likely(tcache_use_room(&tcache_list_at(t, &off)->room))) {
    tcache_link(p, tcache_list_at(t, &off)->head);
    tcache_list_at(t, &off)->head = p;
    return true;
  }
  tcache_list_at(t, &off)->room = 0;
  tcache_link(p, s->local.free);
  s->local.free = p;
  return !tcache_count_down(&s->local.left);
}

/* --- slow paths: tcache.c, tremote.c --- */

struct tcache_result {
  void *p;   /* NULL: memory is exhausted */
  bool zero; /* all of the slot but its first 16 bytes reads as zero */
};

/* Whether bytes more may be taken under the memory limit; gives memory back first
 * if that helps. No lock held. tlimit.c */
bool theap_admit(struct theap *th, size_t bytes);
/* What the memory limit is about: bytes in use, free with physical memory, and of
 * metadata. Any thread. tlimit.c */
uint64_t theap_footprint(const struct theap *th);
/* The usual theap.reclaim: trims the caller's cache and what ended threads left,
 * and gives bytes and more back. tlimit.c */
bool theap_reclaim(struct theap *th, size_t bytes);

/* Sets up *th (zeroed) on h, and the globals above. secret: random.
 * Errors: none that matter (the page map may have no room). */
void theap_init(struct theap *th, struct heap *h, uint64_t secret);
/* A tcache for a thread: a warm, a spare or a new one; NULL: no memory. */
struct tcache *tcache_attach(struct theap *th, int32_t tid);
/* Sends every allocation of t's thread to the slow path (modes). */
void tcache_slow_only(struct tcache *t);
/* Its thread ends: the next one takes it, or what it owns goes to central and empty
 * spans to the heap. */
void tcache_detach(struct tcache *t);

/* A slot of class sc (1..nclasses-1) when the list is empty; breaks off with a fatal
 * line when it is not empty but broken. The owner of t. */
struct tcache_result tcache_refill(struct tcache *t, unsigned sc);
/* left of s has come to 0 by the owner's own free. */
void tcache_free_event(struct tcache *t, struct mspan *s);
/* A free that the fast path would not do: by another thread, into a span with a
 * special owner, of a large object, or of something that cannot be freed (fatal).
 * t: the caller's tcache or tcache_nobody. */
void tcache_free_slow(struct theap *th, struct tcache *t, uintptr_t p);
/* Frees slot p of s, which is not the caller's. */
void tcache_free_remote(struct theap *th, struct mspan *s, uintptr_t p);
/* The span that p is a slot of, by the arena map: any p. Fatal, with the reason,
 * when p cannot be freed: no such span, the middle of a slot, a slot that is free.
 */
struct mspan *tcache_find(struct theap *th, uintptr_t p);
/* Looks through the inbox: spans are filed as partial or given back. */
void tcache_drain(struct tcache *t);
/* Gives back every empty span of t, remote frees counted. The owner. */
void tcache_trim(struct tcache *t);
/* The same for what ended threads left, warm caches among it. Any thread. */
void theap_trim_orphans(struct theap *th);

/* A span of npages for one large object; NULL: no memory. */
struct mspan *theap_alloc_large(struct theap *th, size_t size, size_t align,
                                bool *zero);
void theap_free_large(struct theap *th, struct mspan *s);
/* Makes the object of s size bytes long (more than MAX_SMALL_SIZE), in place or
 * elsewhere; NULL: no memory, and s is as it was. */
void *theap_realloc_large(struct theap *th, struct mspan *s, size_t size);
/* A span of npages for class sc (0: one object): one of the stash, or new; not
 * counted, without an owner and not in the page map. NULL: memory is exhausted. And back. */
struct mspan *theap_take_span(struct theap *th, size_t npages, unsigned sc);
void theap_give_span(struct theap *th, struct mspan *s);
/* The pages alone go back; the struct stays the caller's, dead. */
void theap_give_pages(struct theap *th, struct mspan *s);
/* Counts npages more (or fewer) for class sc, 0: large. No lock of rank tcache or
 * higher when npages is positive. */
void theap_count_pages(struct theap *th, unsigned sc, int64_t npages);

/* Fatal unless I1-I6 hold for t. The owner, or everything stopped. */
void tcache_verify(const struct tcache *t);

#endif
