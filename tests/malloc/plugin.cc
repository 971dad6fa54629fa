// SPDX-License-Identifier: MIT
/* A C++ plugin of a C program (host.c below the line of test_cxx.py): it brings
 * libstdc++ in by dlopen, out of the global scope's sight. */
#include <cstdint>
#include <new>
#include <string>

extern "C" int plugin_run() {
  const std::size_t huge = PTRDIFF_MAX - 100;
  bool caught = false;
  std::string s(1000, 'y');
  delete[] new int[100];
  try {
    operator delete(operator new(huge));
  } catch (const std::bad_alloc &) {
    caught = true;
  }
  if (operator new(huge, std::nothrow)) return 1;
  return caught && s[999] == 'y' ? 0 : 1;
}
