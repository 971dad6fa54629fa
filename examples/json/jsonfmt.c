// SPDX-License-Identifier: MIT
/*
 * jsonfmt [-c] FILE...: checks JSON files and writes them in a tidy form, or in
 * compact form with -c. A start for programs of your own; it builds with
 *
 *   cc -o jsonfmt *.c $(pkg-config --cflags --libs mallocgc) -lm
 */
#include "json.h"

#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  unsigned indent = 2;
  int option;
  while ((option = getopt(argc, argv, "c")) != -1) {
    if (option != 'c') return 2;
    indent = 0;
  }
  if (optind == argc) {
    fprintf(stderr, "usage: %s [-c] FILE...\n", argv[0]);
    return 2;
  }

  int status = EXIT_SUCCESS;
  for (int i = optind; i < argc; i++) {
    struct json_error err;
    struct json *doc = json_load(argv[i], NULL, &err);
    if (!doc) {
      json_error_print(stderr, argv[i], &err);
      status = EXIT_FAILURE;
    } else if (!json_print(stdout, doc, indent)) {
      perror(argv[i]);
      return EXIT_FAILURE;
    }
  }
  return status;
}
