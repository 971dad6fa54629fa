// SPDX-License-Identifier: MIT
/* Documents from files. */
#include "node.h"

#include <sys/stat.h>

/* The size to read at once: all of a regular file, else a first guess. */
static size_t guess_size(FILE *f) {
  struct stat st;
  if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0) {
    return 4096;
  }
  /* One more byte than the file, so that its end is seen in one read. */
  return (size_t)st.st_size + 1;
}

static char *read_all(FILE *f, size_t *len) {
  size_t room = guess_size(f), n = 0;
  char *text = text_buffer(room);
  while (text) {
    n += fread(text + n, 1, room - n, f);
    if (n < room) break;
    char *more = text_buffer(2 * room);
    if (more) memcpy(more, text, n);
    text = more;
    room *= 2;
  }
  if (!text || ferror(f)) return NULL;
  text[n] = '\0';
  *len = n;
  return text;
}

char *json_read_file(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  char *text = read_all(f, len);
  int error = errno;
  fclose(f);
  errno = error;
  return text;
}

struct json *json_load(const char *path, const struct json_options *options,
                       struct json_error *err) {
  size_t len = 0;
  char *text = json_read_file(path, &len);
  if (text) return json_parse(text, len, options, err);
  if (err) {
    *err = (struct json_error){0};
    int error = errno;
    snprintf(err->message, sizeof(err->message), "%s", strerror(error));
    errno = error;
  }
  return NULL;
}
