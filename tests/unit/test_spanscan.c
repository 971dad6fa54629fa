// SPDX-License-Identifier: MIT
/* Each scan kernel of this processor against a loop over words, with the page, its
 * bitmap, the request and the output directly beside pages that fault. */
#include "base/annotate.h"
#include "gc/spanscan.h"
#include "heap/sizeclass.h"
#include "os/cpu.h"
#include "support/rng.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define HOST_PAGE 4096u
#define LO ((uintptr_t)0x00c000000000)
#define EXTENT ((uintptr_t)64 << 20)

struct fixture {
  uint64_t *page;            /* a page that faults on both sides */
  struct atomic_u64 *bitmap; /* at the begin or the end of accessible memory */
  struct atomic_u64 *bitmap_at[2];
  struct spanscan_page *request; /* ends where memory does */
  uintptr_t *out;                /* so does this, after SPANSCAN_WORDS */
  uintptr_t want[SPANSCAN_WORDS];
  struct spanscan_class class;
  struct spanscan_range range;
  uint32_t features; /* asked once */
};

static struct fixture f;

/* bytes (rounded up to whole pages) between two pages that fault. */
static char *guarded(size_t bytes) {
  size_t n = (bytes + HOST_PAGE - 1) / HOST_PAGE * HOST_PAGE;
  char *p = mmap(NULL, n + 2 * HOST_PAGE + SPANSCAN_PAGE_BYTES, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  cr_assert_neq(p, MAP_FAILED);
  p = (char *)align_up((uintptr_t)p + HOST_PAGE, SPANSCAN_PAGE_BYTES);
  cr_assert_eq(mprotect(p, n, PROT_READ | PROT_WRITE), 0);
  return p;
}

static void fixture_init(void) {
  size_t bitmap_bytes = SPANSCAN_WORDS / 8;
  f.page = (uint64_t *)(void *)guarded(SPANSCAN_PAGE_BYTES);
  char *p = guarded(HOST_PAGE);
  f.bitmap_at[0] = (struct atomic_u64 *)(void *)p;
  f.bitmap_at[1] = (struct atomic_u64 *)(void *)(p + HOST_PAGE - bitmap_bytes);
  f.bitmap = f.bitmap_at[0];
  p = guarded(HOST_PAGE) + HOST_PAGE - sizeof *f.request;
  f.request = (struct spanscan_page *)(void *)p;
  p = guarded(SPANSCAN_PAGE_BYTES);
  f.out = (uintptr_t *)(void *)p;
  f.range = (struct spanscan_range){LO, EXTENT};
  f.features = cpu_features();
}

/* --- the reference --- */

static size_t reference(size_t elemsize) {
  size_t n = 0;
  for (size_t w = 0; w < SPANSCAN_WORDS; w++) {
    size_t slot = w * 8 / elemsize;
    if (slot >= SPANSCAN_PAGE_BYTES / elemsize) break;
    bool chosen = f.request->toscan[slot / 64] >> (slot % 64) & 1;
    bool pointer = f.bitmap[w / 64].v >> (w % 64) & 1;
    uintptr_t v = f.page[w];
    if (chosen && pointer && v >= f.range.lo &&
        (f.range.lo + f.range.extent < f.range.lo ||
         v < f.range.lo + f.range.extent))
      f.want[n++] = v;
  }
  return n;
}

static void check_kernel(const struct spanscan_kernel *k, size_t elemsize) {
  size_t n = reference(elemsize);
  k->prefetch(&f.class, f.request);
  size_t got = k->scan(&f.class, f.request, f.range, f.out);
  bool same = got == n && memcmp(f.out, f.want, n * sizeof *f.out) == 0;
  if (!same)
    cr_assert(same, "%s, %zu bytes: %zu words, not %zu", k->name, elemsize, got,
              n);
}

static void check_all(size_t elemsize) {
  f.request->base = (uintptr_t)f.page;
  f.request->bitmap = f.bitmap;
  for (unsigned i = 0; spanscan_kernel_at(i); i++) {
    const struct spanscan_kernel *k = spanscan_kernel_at(i);
    if (!(k->needs & ~f.features)) check_kernel(k, elemsize);
  }
}

/* --- random contents --- */

/* Bits set with probability num in 256. */
static uint64_t random_bits(struct rng *r, unsigned num) {
  uint64_t bits = 0;
  for (unsigned i = 0; i < 64; i++)
    bits |= (uint64_t)(rng_below(r, 256) < num) << i;
  return bits;
}

static unsigned random_density(struct rng *r) {
  static const unsigned some[] = {0, 1, 5, 30, 128, 226, 256};
  return some[rng_below(r, array_len(some))];
}

static uintptr_t random_value(struct rng *r) {
  const uintptr_t at[] = {0, f.range.lo, f.range.lo + f.range.extent,
                          (uintptr_t)1 << 63, UINTPTR_MAX};
  switch (rng_below(r, 4)) {
  case 0:
    return at[rng_below(r, array_len(at))] + rng_below(r, 5) - 2;
  case 1:
    return rng_u64(r);
  default:
    return f.range.lo + (f.range.extent ? rng_below(r, f.range.extent) : 0);
  }
}

static void fill_page(struct rng *r) {
  for (unsigned i = 0; i < SPANSCAN_WORDS; i++) f.page[i] = random_value(r);
}

static void fill_bitmap(struct rng *r) {
  f.bitmap = f.bitmap_at[rng_below(r, 2)];
  unsigned density = random_density(r);
  for (unsigned i = 0; i < SPANSCAN_WORDS / 64; i++)
    f.bitmap[i].v = random_bits(r, density);
}

static void set_slots(unsigned from, unsigned to, uint64_t bits) {
  for (unsigned i = from; i < to; i++) {
    uint64_t bit = 1ull << (i % 64);
    f.request->toscan[i / 64] &= ~bit;
    f.request->toscan[i / 64] |= bits & bit;
  }
}

static void fill_slots(struct rng *r) {
  unsigned density = random_density(r);
  memset(f.request->toscan, 0, sizeof f.request->toscan);
  for (unsigned i = 0; i < f.class.nelems; i += 64) {
    unsigned end = i + 64 < f.class.nelems ? i + 64 : f.class.nelems;
    set_slots(i, end, random_bits(r, density));
  }
}

/* --- tests --- */

Test(spanscan, takes_the_small_classes_of_both_tables) {
  const struct sizeclass_table *tables[] = {&sizeclasses_heap,
                                            &sizeclasses_malloc};
  for (unsigned t = 0; t < 2; t++) {
    unsigned taken = 0;
    for (unsigned c = 1; c < tables[t]->nclasses; c++) {
      size_t size = tables[t]->size[c];
      cr_assert_eq(spanscan_takes(size), size >= 16 && size <= 512, "%zu",
                   size);
      taken += spanscan_takes(size);
    }
    cr_assert_gt(taken, 15);
  }
  cr_assert_not(spanscan_takes(8));
  cr_assert_not(spanscan_takes(20));
  cr_assert_not(spanscan_takes(520));
}

/* Every multiple of 8, so all the classes of both tables. */
Test(spanscan, kernels_agree_with_a_loop_over_words, .init = fixture_init) {
  struct rng r = rng_seed();
  for (size_t size = SPANSCAN_MIN_SIZE; size <= SPANSCAN_MAX_SIZE; size += 8) {
    spanscan_class_init(&f.class, size);
    for (int round = 0; round < 60; round++) {
      if (round % 4 == 0) fill_page(&r);
      fill_bitmap(&r);
      fill_slots(&r);
      check_all(size);
    }
  }
}

Test(spanscan, no_slots_and_no_pointers_give_nothing, .init = fixture_init) {
  for (unsigned i = 0; i < SPANSCAN_WORDS; i++) f.page[i] = LO;
  spanscan_class_init(&f.class, 48);
  check_all(48);
  for (unsigned i = 0; i < 16; i++) f.bitmap[i].v = ~0ull;
  check_all(48);
  set_slots(0, f.class.nelems, ~0ull);
  for (unsigned i = 0; i < 16; i++) f.bitmap[i].v = 0;
  check_all(48);
}

/* All slots but one as well: kernels may treat a few slots apart. */
Test(spanscan, each_slot_is_expanded_to_its_words, .init = fixture_init) {
  for (unsigned i = 0; i < SPANSCAN_WORDS; i++) f.page[i] = LO + i;
  for (unsigned i = 0; i < 16; i++) f.bitmap[i].v = ~0ull;
  for (size_t size = SPANSCAN_MIN_SIZE; size <= SPANSCAN_MAX_SIZE; size += 8) {
    spanscan_class_init(&f.class, size);
    for (unsigned slot = 0; slot < f.class.nelems; slot++) {
      memset(f.request->toscan, 0, sizeof f.request->toscan);
      set_slots(slot, slot + 1, ~0ull);
      check_all(size);
      set_slots(0, f.class.nelems, ~0ull);
      set_slots(slot, slot + 1, 0);
      check_all(size);
    }
  }
}

Test(spanscan, each_bit_of_the_bitmap_is_one_word, .init = fixture_init) {
  static const size_t sizes[] = {16, 24, 48, 64, 208, 512};
  for (unsigned i = 0; i < SPANSCAN_WORDS; i++) f.page[i] = LO + i;
  for (unsigned s = 0; s < array_len(sizes); s++) {
    spanscan_class_init(&f.class, sizes[s]);
    memset(f.request->toscan, 0, sizeof f.request->toscan);
    set_slots(0, f.class.nelems, ~0ull);
    for (unsigned i = 0; i < SPANSCAN_WORDS; i++) {
      f.bitmap[i / 64].v = 1ull << (i % 64);
      check_all(sizes[s]);
      f.bitmap[i / 64].v = 0;
    }
  }
}

/* The most that there can be: the whole array is used, and nothing past it. */
Test(spanscan, a_full_page_fills_the_array, .init = fixture_init) {
  for (unsigned i = 0; i < SPANSCAN_WORDS; i++) f.page[i] = LO + i;
  for (unsigned i = 0; i < 16; i++) f.bitmap[i].v = ~0ull;
  for (size_t size = SPANSCAN_MIN_SIZE; size <= SPANSCAN_MAX_SIZE; size *= 2) {
    spanscan_class_init(&f.class, size);
    memset(f.request->toscan, 0, sizeof f.request->toscan);
    set_slots(0, f.class.nelems, ~0ull);
    cr_assert_eq(reference(size), SPANSCAN_WORDS);
    check_all(size);
  }
}

Test(spanscan, range_is_compared_without_sign, .init = fixture_init) {
  static const struct spanscan_range ranges[] = {
      {0, 1},
      {0, UINTPTR_MAX},
      {LO, 1},
      {((uintptr_t)1 << 63) - 100, 200},
      {((uintptr_t)1 << 63), UINTPTR_MAX >> 1},
      {UINTPTR_MAX - 100, 101},
      {LO, 0},
  };
  struct rng r = rng_seed();
  spanscan_class_init(&f.class, 32);
  for (unsigned i = 0; i < array_len(ranges); i++) {
    f.range = ranges[i];
    for (int round = 0; round < 40; round++) {
      fill_page(&r);
      for (unsigned b = 0; b < 16; b++) f.bitmap[b].v = ~0ull;
      fill_slots(&r);
      check_all(32);
    }
  }
}

Test(spanscan, one_object_is_what_a_set_of_one_gives, .init = fixture_init) {
  struct rng r = rng_seed();
  for (size_t size = SPANSCAN_MIN_SIZE; size <= SPANSCAN_MAX_SIZE; size += 8) {
    spanscan_class_init(&f.class, size);
    fill_page(&r);
    for (unsigned slot = 0; slot < f.class.nelems; slot++) {
      fill_bitmap(&r);
      memset(f.request->toscan, 0, sizeof f.request->toscan);
      set_slots(slot, slot + 1, ~0ull);
      f.request->base = (uintptr_t)f.page;
      f.request->bitmap = f.bitmap;
      size_t n = reference(size);
      uintptr_t *out = f.out + SPANSCAN_WORDS - size / 8;
      size_t got = spanscan_object(&f.class, f.request, slot, f.range, out);
      cr_assert(got == n && memcmp(out, f.want, n * 8) == 0);
    }
  }
}

/* Under AddressSanitizer pages hold red zones, which are not the scan's to judge. */
Test(spanscan, poisoned_words_are_scanned, .init = fixture_init) {
  for (unsigned i = 0; i < SPANSCAN_WORDS; i++) f.page[i] = LO + i;
  for (unsigned i = 0; i < 16; i++) f.bitmap[i].v = ~0ull;
  spanscan_class_init(&f.class, 32);
  set_slots(0, f.class.nelems, ~0ull);
  f.request->base = (uintptr_t)f.page;
  f.request->bitmap = f.bitmap;
  annotate_poison(f.page, SPANSCAN_PAGE_BYTES);
  for (unsigned i = 0; spanscan_kernel_at(i); i++) {
    const struct spanscan_kernel *k = spanscan_kernel_at(i);
    if (k->needs & ~f.features) continue;
    cr_assert_eq(k->scan(&f.class, f.request, f.range, f.out), SPANSCAN_WORDS);
  }
  annotate_unpoison(f.page, SPANSCAN_PAGE_BYTES);
}

/* --- a program that writes meanwhile --- */

static struct atomic_u32 writing;

/* Each word is now one that passes, now one that does not. */
static void *write_words(void *arg) {
  struct rng r = rng_from(*(uint64_t *)arg);
  while (atomic_u32_load_relaxed(&writing)) {
    uint64_t *w = &f.page[rng_below(&r, SPANSCAN_WORDS)];
    uintptr_t v = rng_chance(&r, 2) ? LO + rng_below(&r, EXTENT)
                                    : LO + EXTENT + rng_below(&r, 1000);
    __atomic_store_n(w, v, __ATOMIC_RELAXED);
  }
  return NULL;
}

Test(spanscan, what_is_written_is_what_was_compared, .init = fixture_init) {
  struct rng r = rng_seed();
  uint64_t seed = rng_u64(&r);
  pthread_t t;
  for (unsigned i = 0; i < SPANSCAN_WORDS; i++) f.page[i] = LO;
  for (unsigned i = 0; i < 16; i++) f.bitmap[i].v = ~0ull;
  spanscan_class_init(&f.class, 32);
  set_slots(0, f.class.nelems, ~0ull);
  f.request->base = (uintptr_t)f.page;
  f.request->bitmap = f.bitmap;
  atomic_u32_store_relaxed(&writing, 1);
  pthread_create(&t, NULL, write_words, &seed);
  size_t bad = 0;
  for (int round = 0; round < 20000; round++) {
    for (unsigned i = 0; spanscan_kernel_at(i); i++) {
      const struct spanscan_kernel *k = spanscan_kernel_at(i);
      if (k->needs & ~f.features) continue;
      size_t n = k->scan(&f.class, f.request, f.range, f.out);
      for (size_t w = 0; w < n; w++) bad += f.out[w] - LO >= EXTENT;
    }
  }
  atomic_u32_store_relaxed(&writing, 0);
  pthread_join(t, NULL);
  cr_assert_eq(bad, 0);
}

/* --- the choice --- */

Test(spanscan, choice_follows_the_features) {
  for (uint32_t features = 0; features < 4; features++) {
    const struct spanscan_kernel *k = spanscan_choose(features);
    cr_assert_eq(k->needs & ~features, 0);
    /* Nothing better would run. */
    for (unsigned i = 0; spanscan_kernel_at(i) != k; i++)
      cr_assert_neq(spanscan_kernel_at(i)->needs & ~features, 0);
  }
  cr_assert_str_eq(spanscan_choose(0)->name, "portable");
#if defined(__x86_64__)
  cr_assert_str_eq(spanscan_choose(CPU_AVX2)->name, "avx2");
  cr_assert_str_eq(spanscan_choose(CPU_AVX2 | CPU_AVX512_VBMI)->name, "avx512");
#endif
}
