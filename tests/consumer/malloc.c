// SPDX-License-Identifier: MIT
/* A program on libmallocgc-malloc, linked or preloaded: 100 bytes are a slot of 112
 * there. Exit status 0 when malloc is ours. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  void *p = malloc(100);
  size_t n = malloc_usable_size(p);
  free(p);
  printf("%zu\n", n);
  return n == 112 ? 0 : 1;
}
