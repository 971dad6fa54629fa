// SPDX-License-Identifier: MIT
/* forms CASE: operator new and delete from C++; test_cxx.py compiles it. */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <malloc.h>
#include <new>
#include <string>
#include <vector>

static int failures;
static void check(bool good, const char *what, int line) {
  if (good) return;
  failures++;
  std::fprintf(stderr, "%s:%d: %s\n", __FILE__, line, what);
}
#define CHECK(cond) check(cond, #cond, __LINE__)

static const std::size_t huge = PTRDIFF_MAX - 100;
using std::align_val_t;
using std::nothrow;

static bool good(void *p, std::size_t n, std::size_t align) {
  if (!p || reinterpret_cast<std::uintptr_t>(p) % align) return false;
  if (malloc_usable_size(p) < n) return false;
  std::memset(p, 0x11, n);
  return true;
}

/* Each form once, for a size and an alignment. */
static void forms(std::size_t n, std::size_t a) {
  align_val_t al{a};
  void *p;
  p = operator new(n), CHECK(good(p, n, 16)), operator delete(p);
  p = operator new(n), CHECK(good(p, n, 16)), operator delete(p, n);
  p = operator new(n), CHECK(good(p, n, 16)), operator delete(p, nothrow);
  p = operator new(n, nothrow), CHECK(good(p, n, 16)), operator delete(p);
  p = operator new[](n), CHECK(good(p, n, 16)), operator delete[](p);
  p = operator new[](n), CHECK(good(p, n, 16)), operator delete[](p, n);
  p = operator new[](n), CHECK(good(p, n, 16)), operator delete[](p, nothrow);
  p = operator new[](n, nothrow), CHECK(good(p, n, 16)), operator delete[](p);
  p = operator new(n, al), CHECK(good(p, n, a)), operator delete(p, al);
  p = operator new(n, al), CHECK(good(p, n, a)), operator delete(p, n, al);
  p = operator new(n, al),
  CHECK(good(p, n, a)), operator delete(p, al, nothrow);
  p = operator new(n, al, nothrow),
  CHECK(good(p, n, a)), operator delete(p, al);
  p = operator new[](n, al), CHECK(good(p, n, a)), operator delete[](p, al);
  p = operator new[](n, al), CHECK(good(p, n, a)), operator delete[](p, n, al);
  p = operator new[](n, al),
  CHECK(good(p, n, a)), operator delete[](p, al, nothrow);
  p = operator new[](n, al, nothrow),
  CHECK(good(p, n, a)), operator delete[](p, al);
}

static void all_forms() {
  for (std::size_t n : {0, 1, 16, 100, 1024, 5000, 40000, 3000000})
    for (std::size_t a = 1; a <= 65536; a *= 4) forms(n, a);
  operator delete(nullptr);
  operator delete[](nullptr);
  operator delete(nullptr, 5);
  operator delete (nullptr, align_val_t{64});
  struct alignas(256) wide {
    char c[300];
  };
  std::vector<wide> v(10);
  CHECK(reinterpret_cast<std::uintptr_t>(v.data()) % 256 == 0);
  std::string s(100000, 'x');
  CHECK(s.size() == 100000);
}

template <class F> static bool throws_bad_alloc(F f) {
  try {
    f();
  } catch (const std::bad_alloc &) {
    return true;
  }
  return false;
}

static void failing() {
  CHECK(throws_bad_alloc([] { operator delete(operator new(huge)); }));
  CHECK(throws_bad_alloc([] { operator delete(operator new(SIZE_MAX)); }));
  CHECK(throws_bad_alloc([] { operator delete[](operator new[](huge)); }));
  CHECK(throws_bad_alloc([] {
    operator delete (operator new (huge, align_val_t{64}), align_val_t{64});
  }));
  CHECK(throws_bad_alloc([] {
    operator delete[](operator new[](huge, align_val_t{64}), align_val_t{64});
  }));
  volatile std::size_t three = 3; /* no power of two */
  CHECK(throws_bad_alloc([&] {
    operator delete (operator new (8, align_val_t{three}), align_val_t{three});
  }));
  CHECK(!operator new(huge, nothrow));
  CHECK(!operator new[](huge, nothrow));
  CHECK(!operator new (huge, align_val_t{64}, nothrow));
  CHECK(!operator new[](huge, align_val_t{64}, nothrow));
  CHECK(throws_bad_alloc([] { std::vector<char> v(huge); }));
}

/* --- new-handlers --- */

static int handled;

static void gives_up() {
  if (++handled == 3) std::set_new_handler(nullptr);
}
static void throws() {
  handled++;
  throw std::bad_alloc();
}
struct other {
  int n;
};
static void throws_other() {
  handled++;
  throw other{7};
}

template <class F> static int calls(void (*handler)(), F f) {
  handled = 0;
  std::set_new_handler(handler);
  f();
  std::set_new_handler(nullptr);
  return handled;
}

static void handlers() {
  CHECK(calls(gives_up, [] {
          CHECK(throws_bad_alloc([] { operator delete(operator new(huge)); }));
        }) == 3);
  CHECK(calls(gives_up, [] { CHECK(!operator new(huge, nothrow)); }) == 3);
  CHECK(calls(gives_up, [] {
          CHECK(!operator new[](huge, align_val_t{64}, nothrow));
        }) == 3);
  CHECK(calls(throws, [] {
          CHECK(throws_bad_alloc([] { operator delete(operator new(huge)); }));
        }) == 1);
  CHECK(calls(throws, [] { CHECK(!operator new(huge, nothrow)); }) == 1);
  CHECK(calls(throws, [] {
          CHECK(!operator new (huge, align_val_t{128}, nothrow));
        }) == 1);
  CHECK(calls(throws_other, [] {
          int n = 0;
          try {
            operator delete(operator new(huge));
          } catch (const other &o) {
            n = o.n;
          }
          CHECK(n == 7);
        }) == 1);
}

/* Every allocation of the process fails after the limit; a handler frees. */
static void *reserve;
static void frees_reserve() {
  handled++;
  std::free(reserve);
  reserve = nullptr;
  std::set_new_handler(nullptr);
}

static void limited() {
  reserve = std::malloc(32 << 20);
  std::memset(reserve, 1, 32 << 20);
  std::set_new_handler(frees_reserve);
  std::vector<char *> got;
  bool thrown = throws_bad_alloc([&] {
    for (int i = 0; i < 1000; i++) {
      got.push_back(new char[1 << 20]);
      std::memset(got.back(), 1, 1 << 20);
    }
  });
  CHECK(thrown);
  CHECK(handled == 1);
  CHECK(got.size() > 40 && got.size() < 100);
  for (char *p : got) delete[] p;
  delete[] new char[8 << 20];
}

int main(int argc, char **argv) {
  Dl_info info;
  void *sym = dlsym(RTLD_DEFAULT, "_ZdaPvmSt11align_val_t");
  if (!sym || !dladdr(sym, &info) ||
      (!std::strstr(info.dli_fname, "libmallocgc-malloc") &&
       !std::getenv("MALLOC_TEST_ANY"))) {
    std::fprintf(stderr, "the library is not preloaded\n");
    return 1;
  }
  const char *name = argc > 1 ? argv[1] : "";
  if (!std::strcmp(name, "forms")) all_forms();
  if (!std::strcmp(name, "failing")) failing();
  if (!std::strcmp(name, "handlers")) handlers();
  if (!std::strcmp(name, "limited")) limited();
  return failures != 0;
}
