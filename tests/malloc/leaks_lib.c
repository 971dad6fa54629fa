// SPDX-License-Identifier: MIT
/* A library whose only pointer to a block goes when it is unloaded. */
#include <stdlib.h>
#include <string.h>

void lib_use(void);

static char *volatile mine;

void lib_use(void) {
  mine = malloc(500);
  strcpy(mine, "unloaded library's");
}
