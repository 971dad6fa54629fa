// SPDX-License-Identifier: MIT
/* Sorted, coalescing list of address ranges. See addrrange.h. */
#include "page/addrrange.h"
#include "base/fatal.h"
#include <string.h>

/* 16 ranges of 16 bytes: a heap has one or two; Go begins with as many. */
#define FIRST_CAP 16

void addrranges_init(struct addrranges *r, struct persistent *meta,
                     struct memstat *sys) {
  *r = (struct addrranges){.meta = meta, .sys = sys};
}

bool addrranges_reserve(struct addrranges *r, size_t extra) {
  if (r->len + extra <= r->cap) return true;
  size_t cap = r->cap ? r->cap * 2 : FIRST_CAP;
  while (cap < r->len + extra) cap *= 2;
  struct addrrange *bigger =
      persistent_alloc(r->meta, cap * sizeof(*bigger), 0, r->sys);
  if (!bigger) return false;
  if (r->len) memcpy(bigger, r->ranges, r->len * sizeof(*bigger));
  r->ranges = bigger;
  r->cap = cap;
  return true;
}

size_t addrranges_find_succ(const struct addrranges *r, uintptr_t addr) {
  size_t lo = 0, hi = r->len; /* ranges[lo - 1].base <= addr < [hi].base */
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (r->ranges[mid].base <= addr)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo;
}

bool addrranges_find_ge(const struct addrranges *r, uintptr_t addr,
                        uintptr_t *out) {
  size_t i = addrranges_find_succ(r, addr);
  if (i > 0 && addr < r->ranges[i - 1].limit) {
    *out = addr;
    return true;
  }
  if (i == r->len) return false;
  *out = r->ranges[i].base;
  return true;
}

bool addrranges_contains(const struct addrranges *r, struct addrrange a) {
  size_t i = addrranges_find_succ(r, a.base);
  return i > 0 && a.limit <= r->ranges[i - 1].limit;
}

bool addrranges_add(struct addrranges *r, struct addrrange a) {
  mgc_check(a.base < a.limit, "addrranges_add: empty range 0x%zx",
            (size_t)a.base);
  size_t i = addrranges_find_succ(r, a.base);
  mgc_check((i == 0 || r->ranges[i - 1].limit <= a.base) &&
                (i == r->len || a.limit <= r->ranges[i].base),
            "addrranges_add: overlap base=0x%zx limit=0x%zx", (size_t)a.base,
            (size_t)a.limit);
  bool joins_below = i > 0 && r->ranges[i - 1].limit == a.base;
  bool joins_above = i < r->len && r->ranges[i].base == a.limit;
  if (joins_below && joins_above) {
    r->ranges[i - 1].limit = r->ranges[i].limit;
    memmove(&r->ranges[i], &r->ranges[i + 1],
            (r->len - i - 1) * sizeof(r->ranges[0]));
    r->len--;
  } else if (joins_below) {
    r->ranges[i - 1].limit = a.limit;
  } else if (joins_above) {
    r->ranges[i].base = a.base;
  } else {
    if (!addrranges_reserve(r, 1)) return false;
    memmove(&r->ranges[i + 1], &r->ranges[i],
            (r->len - i) * sizeof(r->ranges[0]));
    r->ranges[i] = a;
    r->len++;
  }
  r->total_bytes += addrrange_size(a);
  return true;
}

void addrranges_verify(const struct addrranges *r) {
  uint64_t total = 0;
  if (r->len > r->cap)
    verify_fail("addrranges I4", "len=%zu cap=%zu", r->len, r->cap);
  for (size_t i = 0; i < r->len; i++) {
    struct addrrange a = r->ranges[i];
    if (a.base >= a.limit)
      verify_fail("addrranges I1", "i=%zu base=0x%zx limit=0x%zx", i,
                  (size_t)a.base, (size_t)a.limit);
    if (i > 0 && r->ranges[i - 1].limit >= a.base)
      verify_fail("addrranges I2", "i=%zu base=0x%zx limit_before=0x%zx", i,
                  (size_t)a.base, (size_t)r->ranges[i - 1].limit);
    total += addrrange_size(a);
  }
  if (total != r->total_bytes)
    verify_fail("addrranges I3", "total_bytes=%llu sum=%llu",
                (unsigned long long)r->total_bytes, (unsigned long long)total);
}
