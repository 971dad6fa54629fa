// SPDX-License-Identifier: MIT
/* The demo's documents. See demo.h for overview. */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct demo_path {
  const char *name;
};

MGC_TYPE(struct demo_path, name);
MGC_TYPE(struct demo_document, path, value);

/* Debian and Ubuntu packages with JSON in them. iso-codes is lists of records
 * with words in them, caniuse-db is mostly tables of flags. */
static const struct source {
  const char *package, *pattern;
} sources[] = {
    {"iso-codes", "/usr/share/iso-codes/json/*.json"},
    {"node-caniuse-db", "/usr/share/nodejs/caniuse-db/data.json"},
    {"node-caniuse-db", "/usr/share/nodejs/caniuse-db/features-json/*.json"},
};

static const char **default_paths(const char **origin) {
  glob_t found = {0};
  const char *first = NULL, *last = NULL;
  for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
    int flags = i == 0 ? 0 : GLOB_APPEND;
    if (glob(sources[i].pattern, flags, NULL, &found) != 0) continue;
    if (!first) first = sources[i].package;
    last = sources[i].package;
  }
  if (!first) {
    cmd_error("no documents: name some, or install the package iso-codes");
    return NULL;
  }
  const char **paths =
      (const char **)mgc_new_array(struct demo_path, found.gl_pathc + 1);
  for (size_t i = 0; paths && i < found.gl_pathc; i++) {
    paths[i] = mgc_strdup(found.gl_pathv[i]);
    if (!paths[i]) paths = NULL;
  }
  globfree(&found);
  if (!paths) cmd_error("out of memory");
  *origin = strcmp(first, last) == 0 ? first : "iso-codes, node-caniuse-db";
  return paths;
}

const char **demo_paths(char **given, const char **origin) {
  if (!*given) return default_paths(origin);
  *origin = "the files named";
  return (const char **)(void *)given;
}

static bool map_file(struct demo_document *doc) {
  int fd = open(doc->path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0) return false;
  bool ok = fstat(fd, &st) == 0;
  if (ok && S_ISDIR(st.st_mode)) {
    errno = EISDIR;
    ok = false;
  }
  if (ok && st.st_size > 0) {
    doc->len = (size_t)st.st_size;
    /* Read now, so that the first run does not pay for the disk. */
    doc->text =
        mmap(NULL, doc->len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    ok = doc->text != MAP_FAILED;
  } else {
    doc->text = ""; /* an empty file, or a pipe: no document either way */
  }
  int error = errno;
  close(fd);
  errno = error;
  return ok;
}

bool demo_map(struct demo_files *files, const char *const *paths, bool quiet) {
  size_t n = 0;
  while (paths[n]) n++;
  files->docs = mgc_new_array(struct demo_document, n);
  if (!files->docs) {
    cmd_error("out of memory");
    return false;
  }
  for (size_t i = 0; i < n; i++) {
    struct demo_document *doc = &files->docs[files->n];
    *doc = (struct demo_document){.path = paths[i]};
    if (map_file(doc)) {
      files->n++;
      continue;
    }
    files->failed++;
    if (!quiet) fprintf(stderr, "%s: %s\n", doc->path, strerror(errno));
  }
  return true;
}
