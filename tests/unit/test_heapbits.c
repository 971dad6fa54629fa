// SPDX-License-Identifier: MIT
/* Pointer bitmaps against naive masks, for random types in every class. */
#include "heap/heapbits.h"
#include "os/vm.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <string.h>

#define FIRST ((uintptr_t)1 << 36)
#define NARENAS 2
#define MAX_WORDS (MAX_SMALL_SIZE / 8)
#define SPAN_WORDS (10 * 1024) /* the largest span: 10 pages */

struct bits_fixture {
  struct arena_map map;
  struct memstat stat;
  struct mspan s;
  struct mspan_bits bits[16];
  bool want[SPAN_WORDS]; /* the model: bit of each word of the span */
  size_t ptrdata[MAX_OBJS_PER_SPAN]; /* of each slot, tiled */
};

struct random_type {
  struct mgc_type t;
  uint64_t mask[MAX_WORDS / 64 + 1];
};

static struct bits_fixture f;

static void fixture_init(void) {
  struct addrwindow w = {.base = FIRST, .log2_size = 34};
  memset(&f, 0, sizeof f);
  cr_assert(arena_map_init(&f.map, vm_system(), w, &f.stat));
  for (uintptr_t i = 0; i < NARENAS; i++)
    cr_assert(arena_map_add(&f.map, vm_system(), FIRST + i * HEAP_ARENA_BYTES,
                            &f.stat, NULL));
}

static void place_span(unsigned sizeclass, uintptr_t base) {
  const struct sizeclass_table *t = &sizeclasses_heap;
  size_t npages = t->npages[sizeclass];
  size_t nelems = npages * MGC_PAGE_SIZE / t->size[sizeclass];
  memset(&f.s, 0, sizeof f.s);
  f.s.bits_class = (uint8_t)mspan_bits_class(nelems);
  f.s.bits = f.s.bits_class ? f.bits : &f.s.inline_bits;
  mspan_init(&f.s, base, npages, spanclass_make(sizeclass, false),
             t->size[sizeclass], t->divmagic[sizeclass]);
}

/* A type of at most max words with at least one pointer. */
static void random_type(struct rng *r, struct random_type *rt, size_t max) {
  size_t nwords = 1 + rng_below(r, max), last = 0;
  uint64_t density = 1 + rng_below(r, 8);
  memset(rt, 0, sizeof *rt);
  for (size_t i = 0; i < nwords; i++)
    if (rng_below(r, density) == 0) {
      rt->mask[i / 64] |= 1ull << (i % 64);
      last = i;
    }
  if (rng_chance(r, 4)) { /* pointers in front only, then a long tail */
    memset(rt->mask, 0, sizeof rt->mask);
    last = 0;
  }
  rt->mask[last / 64] |= 1ull << (last % 64);
  rt->t = (struct mgc_type){.size = nwords * 8,
                            .ptrdata = (last + 1) * 8,
                            .align = 8,
                            .kind = MGC_KIND_STRUCT,
                            .gcdata = (const uint8_t *)rt->mask};
}

static void model_slot(unsigned i, const struct random_type *rt, size_t size) {
  size_t elem = f.s.elemsize / 8, nwords = rt->t.size / 8, at = i * elem;
  f.ptrdata[i] = 0;
  for (size_t w = 0; w < elem; w++) {
    size_t k = w % nwords;
    bool bit = w < size / 8 && ((rt->mask[k / 64] >> (k % 64)) & 1);
    f.want[at + w] = bit;
    if (bit) f.ptrdata[i] = (w + 1) * 8;
  }
}

static uint64_t want_bits(uintptr_t p, uintptr_t limit) {
  uint64_t bits = 0;
  for (unsigned i = 0; i < 64 && p + i * 8 < limit; i++)
    if (f.want[(p - f.s.base) / 8 + i]) bits |= 1ull << i;
  return bits;
}

static void check_words(struct rng *r) {
  uintptr_t end = f.s.base + f.s.npages * MGC_PAGE_SIZE;
  struct heap_arena *a = arena_of(&f.map, f.s.base);
  for (uintptr_t p = f.s.base; p < end; p += 8 + 8 * rng_below(r, 64)) {
    uintptr_t limit = p + 8 * rng_below(r, 200);
    if (limit > end) limit = end;
    cr_assert_eq(heapbits_load(a, p, limit), want_bits(p, limit),
                 "class %u word %zu", spanclass_size(f.s.spanclass),
                 (size_t)((p - f.s.base) / 8));
  }
}

/* The flag may be false without need (a cut element), never true wrongly; and it
 * is exact when the tiling ends with the slot. */
static void check_no_more(unsigned i, bool exact) {
  uintptr_t slot = mspan_slot(&f.s, i);
  struct heap_arena *a = arena_of(&f.map, f.s.base);
  for (uintptr_t p = align_up(slot + 1, 512); p < slot + f.s.elemsize;
       p += 512) {
    bool none = p - slot >= f.ptrdata[i];
    bool got = heapbits_no_more(a, p);
    cr_assert(got == none || (!exact && !got), "slot %u offset %zu", i,
              (size_t)(p - slot));
  }
}

static uintptr_t random_base(struct rng *r, unsigned sizeclass) {
  size_t npages = sizeclasses_heap.npages[sizeclass];
  uintptr_t edge = FIRST + HEAP_ARENA_BYTES;
  if (npages > 1 && rng_chance(r, 3)) /* across the boundary of arenas */
    return edge - MGC_PAGE_SIZE * (1 + rng_below(r, npages - 1));
  return FIRST + MGC_PAGE_SIZE * rng_below(r, PAGES_PER_ARENA - npages);
}

Test(heapbits, whole_spans_agree_with_naive_masks, .init = fixture_init) {
  static struct random_type rt;
  struct rng r = rng_seed();
  for (unsigned c = 1; c < NUM_SIZE_CLASSES; c++) {
    for (int round = 0; round < 6; round++) {
      place_span(c, random_base(&r, c));
      random_type(&r, &rt, f.s.elemsize / 8);
      memset(f.want, 0, sizeof f.want);
      for (unsigned i = 0; i < f.s.nelems; i++)
        model_slot(i, &rt, f.s.elemsize);
      heapbits_set_span(&f.map, &f.s, &rt.t);
      check_words(&r);
      bool exact = f.s.elemsize % rt.t.size == 0;
      for (unsigned i = 0; i < f.s.nelems; i++) check_no_more(i, exact);
    }
  }
}

Test(heapbits, runs_of_random_types_leave_their_neighbours_alone,
     .init = fixture_init) {
  static struct random_type rt;
  struct rng r = rng_seed();
  for (unsigned c = 1; c < NUM_SIZE_CLASSES; c++) {
    bool exact[MAX_OBJS_PER_SPAN];
    place_span(c, random_base(&r, c));
    memset(f.want, 0, sizeof f.want);
    random_type(&r, &rt, f.s.elemsize / 8);
    heapbits_set_span(&f.map, &f.s, &rt.t);
    for (unsigned i = 0; i < f.s.nelems; i++) {
      model_slot(i, &rt, f.s.elemsize);
      exact[i] = f.s.elemsize % rt.t.size == 0;
    }
    for (int round = 0; round < 12; round++) {
      unsigned first = (unsigned)rng_below(&r, f.s.nelems);
      unsigned n = 1 + (unsigned)rng_below(&r, f.s.nelems - first);
      if (rng_chance(&r, 2)) n = 1;
      random_type(&r, &rt, f.s.elemsize / 8);
      size_t count = 1 + rng_below(&r, f.s.elemsize / rt.t.size);
      size_t size = rng_chance(&r, 2) ? f.s.elemsize : count * rt.t.size;
      heapbits_set_slots(&f.map, &f.s, first, n, &rt.t, size);
      for (unsigned i = first; i < first + n; i++) {
        model_slot(i, &rt, size);
        exact[i] = size % rt.t.size == 0;
      }
    }
    check_words(&r);
    for (unsigned i = 0; i < f.s.nelems; i++) check_no_more(i, exact[i]);
  }
}

Test(heapbits, conservative_slots_are_all_pointers, .init = fixture_init) {
  struct rng r = rng_seed();
  static struct random_type word;
  random_type(&r, &word, 1);
  place_span(11, FIRST); /* 144 bytes: the slots do not share words evenly */
  memset(f.want, 0, sizeof f.want);
  for (unsigned i = 0; i < f.s.nelems; i++) model_slot(i, &word, f.s.elemsize);
  heapbits_set_span(&f.map, &f.s, &mgc_type_conservative);
  check_words(&r);
}
