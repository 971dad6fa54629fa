// SPDX-License-Identifier: MIT
/* The header is C; a C++ translation unit can include it and allocate. */
#include <cstdio>
#include <mallocgc.h>

struct pair {
  pair *next;
  long value;
};

int main() {
  pair *head = nullptr;
  for (long i = 0; i < 1000; i++) {
    pair *p = mgc_new(pair);
    if (!p) return 1;
    p->next = head;
    p->value = i;
    head = p;
  }
  mgc_collect();
  long sum = 0;
  for (pair *p = head; p; p = p->next) sum += p->value;
  std::printf("sum %ld\n", sum);
  return sum == 499500 ? 0 : 1;
}
