// SPDX-License-Identifier: MIT
/*
 * A program with operator new and delete of its own, which put a header before
 * each block. It replaces only the forms that others build on, as programs do: the
 * other forms must come to these, or they free what is not theirs. FORMS 1: new(n)
 * and delete(p); 2: the aligned ones too; 3: new[] and delete[] too.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

static long balance, calls, array_calls;
static const std::size_t header = 64;
static const unsigned long magic = 0x600df00d;

static void *with_header(std::size_t n, std::size_t align) {
  calls++;
  if (n > 1ul << 40) throw std::bad_alloc();
  char *p = static_cast<char *>(std::aligned_alloc(64, n + header));
  if (!p || align > 64) throw std::bad_alloc();
  std::memcpy(p, &magic, sizeof magic);
  balance++;
  return p + header;
}

static void drop_header(void *p) {
  if (!p) return;
  char *base = static_cast<char *>(p) - header;
  if (std::memcmp(base, &magic, sizeof magic) != 0) {
    std::fprintf(stderr, "deleted what was not made by new\n");
    std::_Exit(1);
  }
  balance--;
  std::free(base);
}

void *operator new(std::size_t n) { return with_header(n, 16); }
void operator delete(void *p) noexcept { drop_header(p); }
#if FORMS >= 2
void *operator new(std::size_t n, std::align_val_t a) {
  return with_header(n, static_cast<std::size_t>(a));
}
void operator delete(void *p, std::align_val_t) noexcept { drop_header(p); }
#endif
#if FORMS >= 3
void *operator new[](std::size_t n) {
  return array_calls++, with_header(n, 16);
}
void operator delete[](void *p) noexcept { array_calls++, drop_header(p); }
#endif

int main() {
  using std::nothrow;
  const std::align_val_t al{64};
  void *p;
  long want = 0;
  p = operator new(10), operator delete(p, 10), want++;
  p = operator new(10, nothrow), operator delete(p, nothrow), want++;
  p = operator new[](10), operator delete[](p), want++;
  p = operator new[](10), operator delete[](p, 10), want++;
  p = operator new[](10, nothrow), operator delete[](p, nothrow), want++;
  if (operator new(1ul << 50, nothrow)) return 2; /* what it threw is caught */
  if (operator new[](1ul << 50, nothrow)) return 3;
  want += 2;
#if FORMS >= 2
  want += 5;
#endif
  p = operator new(10, al), operator delete(p, 10, al);
  p = operator new(10, al, nothrow), operator delete(p, al, nothrow);
  p = operator new[](10, al), operator delete[](p, al);
  p = operator new[](10, al), operator delete[](p, 10, al);
  p = operator new[](10, al, nothrow), operator delete[](p, al, nothrow);
  long want_arrays = 0;
#if FORMS >= 3
  want_arrays = 7; /* three pairs and one that fails */
#endif
  std::printf("%ld calls, %ld of arrays, balance %ld\n", calls, array_calls,
              balance);
  return calls == want && array_calls == want_arrays && balance == 0 ? 0 : 1;
}
