// SPDX-License-Identifier: MIT
/*
 * Slots of a span: taking runs of them, giving them back, counting. See mspan.h
 * for the states and invariants.
 *
 * The owner takes whole runs from freeindex upwards. Other threads clear alloc
 * bits (explicit free) and set them again one at a time (reuse) while it does,
 * so every change of an alloc word is a read-modify-write, and what the owner
 * gets is what its own one changed.
 */
#include "heap/mspan.h"

#include "base/fatal.h"
#include "page/page.h"

/* What every kind of span has. */
static void init_common(struct mspan *s, uintptr_t base, size_t npages,
                        struct spanclass spc, size_t elemsize,
                        uint32_t divmul) {
  size_t nelems = npages * MGC_PAGE_SIZE / elemsize;
  __atomic_store_n(&s->base, base, __ATOMIC_RELAXED);
  __atomic_store_n(&s->limit, base + nelems * elemsize, __ATOMIC_RELAXED);
  s->elemsize = elemsize;
  s->divmul = divmul;
  s->nelems = (uint16_t)nelems;
  s->spanclass = spc;
  s->npages = (uint32_t)npages;
  s->freeindex = 0;
  s->needzero = 0;
  s->by_span = 0;
  atomic_u8_store_relaxed(&s->has_marks, 0);
  atomic_ptr_store_relaxed(&s->masktype, NULL);
}

void mspan_init(struct mspan *s, uintptr_t base, size_t npages,
                struct spanclass spc, size_t elemsize, uint32_t divmul) {
  init_common(s, base, npages, spc, elemsize, divmul);
  mgc_assert(mspan_bits_class(s->nelems) <= s->bits_class);
  s->untouched = 1;
  s->alloc_count = 0;
  s->req_size = 0;
  s->specials = NULL;
  atomic_u8_store_relaxed(&s->dirty, 0);
  atomic_u8_store_relaxed(&s->filed_full, 0);
  for (size_t w = 0; w < mspan_nwords(s); w++) {
    atomic_u64_store_relaxed(&s->bits[w].alloc, 0);
    atomic_u64_store_relaxed(&s->bits[w].mark, 0);
  }
  s->by_span = mspan_is_by_span(spc, npages, elemsize);
  atomic_u8_store_relaxed(&s->owned, 0);
  if (s->by_span) mspan_clear_scanned(s);
}

void mspan_init_plain(struct mspan *s, uintptr_t base, size_t npages,
                      struct spanclass spc, size_t elemsize, uint32_t divmul) {
  init_common(s, base, npages, spc, elemsize, divmul);
  s->local = (struct mspan_local){
      .base = base,
      .divisor = UINT64_MAX / elemsize + 1,
  };
}

/* The free slots of word w, none below bit `from`, none past nelems. */
static uint64_t free_bits(const struct mspan *s, size_t w, unsigned from) {
  unsigned in_word = s->nelems - (unsigned)w * 64;
  return ~atomic_u64_load_relaxed(&s->bits[w].alloc) & low_mask64(in_word) &
         ~low_mask64(from);
}

/* Takes the stretch of free slots of word w that begins at bit `at`, at most max
 * of them. Returns how many; 0 when another thread took the first. */
static unsigned take_stretch(struct mspan *s, size_t w, unsigned at,
                             unsigned max) {
  uint64_t freew = free_bits(s, w, at);
  unsigned n = ctz64(~(freew >> at));
  if (n > max) n = max;
  uint64_t want = low_mask64(n) << at;
  /* acquire: pairs with the release in mspan_free_slot; `dirty` is seen */
  uint64_t old = atomic_u64_fetch_or_acquire(&s->bits[w].alloc, want);
  if (likely((old & want) == 0)) return n;
  unsigned got = ctz64((old & want) >> at);
  uint64_t excess = want & ~old & ~(low_mask64(got) << at);
  if (excess) atomic_u64_fetch_and_release(&s->bits[w].alloc, ~excess);
  return got;
}

bool mspan_next_run(struct mspan *s, unsigned max_slots, unsigned *first,
                    unsigned *n) {
  size_t w = s->freeindex / 64;
  unsigned from = s->freeindex % 64;
  unsigned got = 0;
  mgc_assert(max_slots > 0);
  for (;; w++, from = 0) {
    if (w * 64 >= s->nelems) {
      s->freeindex = s->nelems;
      return false;
    }
    uint64_t freew;
    while ((freew = free_bits(s, w, from)) != 0) {
      from = ctz64(freew);
      got = take_stretch(s, w, from, max_slots);
      if (got) break;
    }
    if (got) break;
  }
  *first = (unsigned)w * 64 + from;
  /* The run goes on into the next words while they begin with free slots. */
  unsigned end = *first + got;
  while (got < max_slots && end % 64 == 0 && end < s->nelems) {
    unsigned more = 0;
    if (free_bits(s, end / 64, 0) & 1)
      more = take_stretch(s, end / 64, 0, max_slots - got);
    if (more == 0) break;
    got += more;
    end += more;
  }
  *n = got;
  s->freeindex = (uint16_t)end;
  return true;
}

void mspan_mark_slots(struct mspan *s, unsigned first, unsigned n) {
  for (unsigned i = first; i < first + n;) {
    unsigned bit = i % 64;
    unsigned count = 64 - bit < first + n - i ? 64 - bit : first + n - i;
    /* First, so that nobody sees a mark that waits for a scan. */
    if (s->by_span)
      atomic_u64_fetch_or_relaxed(&mspan_scanned(s)[i / 64], low_mask64(count)
                                                                 << bit);
    /* release: pairs with the acquire in mark_rescan */
    atomic_u64_fetch_or_acq_rel(&s->bits[i / 64].mark, low_mask64(count)
                                                           << bit);
    i += count;
  }
}

void mspan_clear_scanned(struct mspan *s) {
  struct atomic_u64 *scanned = mspan_scanned(s);
  for (size_t w = 0; w < mspan_nwords(s); w++)
    atomic_u64_store_relaxed(&scanned[w], 0);
}

void mspan_clear_marks(struct mspan *s) {
  for (size_t w = 0; w < mspan_nwords(s); w++)
    atomic_u64_store_relaxed(&s->bits[w].mark, 0);
  if (!s->by_span) return;
  mspan_clear_scanned(s);
  atomic_u8_store_relaxed(&s->owned, 0);
}

void mspan_return_slots(struct mspan *s, unsigned first, unsigned n) {
  unsigned end = first + n;
  mgc_assert(end <= s->nelems);
  for (unsigned i = first; i < end;) {
    unsigned bit = i % 64;
    unsigned count = 64 - bit < end - i ? 64 - bit : end - i;
    uint64_t mask = low_mask64(count) << bit;
    uint64_t old = atomic_u64_fetch_and_release(&s->bits[i / 64].alloc, ~mask);
    mgc_check((old & mask) == mask,
              "mspan: returned slots are free: base=%p first=%u n=%u",
              (void *)s->base, first, n);
    /* Slots of a run that was taken while marking runs. After the alloc bits, so that
     * a marker never sees an object here without a mark. */
    if (unlikely(atomic_u64_load_relaxed(&s->bits[i / 64].mark) & mask)) {
      atomic_u64_fetch_and_release(&s->bits[i / 64].mark, ~mask);
      if (s->by_span)
        atomic_u64_fetch_and_relaxed(&mspan_scanned(s)[i / 64], ~mask);
    }
    i += count;
  }
  if (s->freeindex == end) s->freeindex = (uint16_t)first;
}

bool mspan_claim_slot(struct mspan *s, unsigned i) {
  struct atomic_u64 *w = &s->bits[i / 64].alloc;
  uint64_t bit = 1ull << (i % 64);
  if (atomic_u64_load_relaxed(w) & bit) return false;
  return !(atomic_u64_fetch_or_acquire(w, bit) & bit);
}

bool mspan_free_slot(struct mspan *s, unsigned i) {
  struct atomic_u64 *w = &s->bits[i / 64].alloc;
  uint64_t bit = 1ull << (i % 64);
  /* Before the bit goes: whoever takes the slot next must see it. */
  if (!atomic_u8_load_relaxed(&s->dirty)) atomic_u8_store_relaxed(&s->dirty, 1);
  /* seq_cst: release for the slot's contents, and see mcentral.c */
  return (atomic_u64_fetch_and_seq_cst(w, ~bit) & bit) != 0;
}

bool mspan_is_full(const struct mspan *s) {
  for (size_t w = 0; w < mspan_nwords(s); w++) {
    uint64_t alloc = atomic_u64_load_seq_cst(&s->bits[w].alloc);
    if (~alloc & low_mask64(s->nelems - (unsigned)w * 64)) return false;
  }
  return true;
}

unsigned mspan_count_alloc(const struct mspan *s) {
  unsigned n = 0;
  for (size_t w = 0; w < mspan_nwords(s); w++)
    n += popcount64(atomic_u64_load_relaxed(&s->bits[w].alloc));
  return n;
}

unsigned mspan_count_mark(const struct mspan *s) {
  unsigned n = 0;
  for (size_t w = 0; w < mspan_nwords(s); w++)
    n += popcount64(atomic_u64_load_relaxed(&s->bits[w].mark));
  return n;
}

static void verify_bits(const struct mspan *s) {
  for (size_t w = 0; w < mspan_nwords(s); w++) {
    uint64_t alloc = atomic_u64_load_relaxed(&s->bits[w].alloc);
    uint64_t mark = atomic_u64_load_relaxed(&s->bits[w].mark);
    uint64_t valid = low_mask64(s->nelems - (unsigned)w * 64);
    if (mark & ~alloc)
      verify_fail("mspan I1", "base=%p word=%zu alloc=0x%llx mark=0x%llx",
                  (void *)s->base, w, (unsigned long long)alloc,
                  (unsigned long long)mark);
    if ((alloc | mark) & ~valid)
      verify_fail("mspan I3", "base=%p nelems=%u word=%zu alloc=0x%llx",
                  (void *)s->base, s->nelems, w, (unsigned long long)alloc);
  }
}

static void verify_scanned(const struct mspan *s) {
  const struct atomic_u64 *scanned = mspan_scanned((struct mspan *)s);
  for (size_t w = 0; w < mspan_nwords(s); w++)
    if (atomic_u64_load_relaxed(&scanned[w]) &
        ~atomic_u64_load_relaxed(&s->bits[w].mark))
      verify_fail("mspan I7", "base=%p word=%zu scanned=0x%llx",
                  (void *)s->base, w,
                  (unsigned long long)atomic_u64_load_relaxed(&scanned[w]));
  if (atomic_u8_load_relaxed(&s->owned))
    verify_fail("mspan I7", "base=%p owned=%u", (void *)s->base,
                atomic_u8_load_relaxed(&s->owned));
}

void mspan_verify(const struct mspan *s) {
  size_t bytes = s->npages * MGC_PAGE_SIZE;
  if (!is_aligned(s->base, MGC_PAGE_SIZE) || s->elemsize == 0 ||
      s->limit != s->base + s->nelems * s->elemsize ||
      s->limit > s->base + bytes)
    verify_fail("mspan I2", "base=%p limit=%p npages=%u elemsize=%zu nelems=%u",
                (void *)s->base, (void *)s->limit, s->npages, s->elemsize,
                s->nelems);
  verify_bits(s);
  if (s->by_span) verify_scanned(s);
  if ((s->bits == &s->inline_bits) != (s->bits_class == 0) ||
      mspan_bits_class(s->nelems) != s->bits_class)
    verify_fail("mspan I6", "base=%p nelems=%u bits_class=%u", (void *)s->base,
                s->nelems, s->bits_class);
}
