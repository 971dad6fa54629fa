// SPDX-License-Identifier: MIT
/*
 * A heap profile as a file. Text, in the form of gperftools:
 *
 *   heap profile: <live objects>: <bytes> [<all objects>: <bytes>] @ heap_v2/<rate>
 *   <live objects>: <bytes> [<all objects>: <bytes>] @ 0x<return address> ...
 *   ...
 *   MAPPED_LIBRARIES:
 *   <what /proc/self/maps says>
 *
 * and not the compressed protocol buffer that Go writes, because this one is read
 * by every pprof (Go's and gperftools'), can be read with the eye and by a script,
 * and needs neither symbols nor a compressor here: the reading program finds the
 * functions' names in the mapped files. The numbers are those of the samples; the
 * reader scales each line by 1 / (1 - exp(-mean size / rate)). At rate 1 they are
 * exact, and the header says "heapprofile", with which nothing is scaled.
 *
 * Buckets are only ever added, at the end, so the lock is held for one at a time
 * and not while the file is written: a slow disk does not stop the program.
 */
#include "face/malloc/profile.h"

#include "base/print.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct writer {
  int fd;
  int error; /* the first errno, or 0 */
  size_t len;
  char buf[8192];
};

struct sums {
  uint64_t allocs, alloc_bytes, frees, free_bytes;
};

static void flush(struct writer *w) {
  size_t done = 0;
  while (w->error == 0 && done < w->len) {
    ssize_t n = write(w->fd, w->buf + done, w->len - done);
    if (n >= 0)
      done += (size_t)n;
    else if (errno != EINTR)
      w->error = errno;
  }
  w->len = 0;
}

static void put_text(struct writer *w, const char *s) {
  size_t n = strlen(s);
  if (w->len + n > sizeof w->buf) flush(w);
  memcpy(w->buf + w->len, s, n);
  w->len += n;
}

static void put_sums(struct writer *w, const struct sums *s) {
  char line[128];
  print_format(line, sizeof line, "%llu: %llu [%llu: %llu] @",
               (unsigned long long)(s->allocs - s->frees),
               (unsigned long long)(s->alloc_bytes - s->free_bytes),
               (unsigned long long)s->allocs,
               (unsigned long long)s->alloc_bytes);
  put_text(w, line);
}

static void add(struct sums *to, const struct prof_bucket *b) {
  to->allocs += b->allocs;
  to->alloc_bytes += b->alloc_bytes;
  to->frees += b->frees;
  to->free_bytes += b->free_bytes;
}

static void put_header(struct writer *w, const struct sums *total) {
  char line[64] = " heapprofile\n";
  put_text(w, "heap profile: ");
  put_sums(w, total);
  if (profile->rate != 1)
    print_format(line, sizeof line, " heap_v2/%llu\n",
                 (unsigned long long)profile->rate);
  put_text(w, line);
}

static void put_bucket(struct writer *w, const struct prof_bucket *b,
                       const struct sums *s) {
  char frame[32];
  put_sums(w, s);
  for (uint32_t i = 0; i < b->nframes; i++) {
    print_format(frame, sizeof frame, " 0x%llx",
                 (unsigned long long)b->frame[i]);
    put_text(w, frame);
  }
  /* A reader wants one frame at least. */
  put_text(w, b->nframes ? "\n" : " 0x1\n");
}

static void put_buckets(struct writer *w) {
  struct sums total = {0};
  mutex_lock(&profile->lock);
  const struct prof_bucket *first = profile->table.first;
  for (const struct prof_bucket *b = first; b; b = b->next) add(&total, b);
  mutex_unlock(&profile->lock);
  put_header(w, &total);
  for (const struct prof_bucket *b = first, *next; b; b = next) {
    struct sums s = {0};
    mutex_lock(&profile->lock);
    add(&s, b);
    next = b->next;
    mutex_unlock(&profile->lock);
    put_bucket(w, b, &s);
  }
}

static void put_maps(struct writer *w) {
  put_text(w, "\nMAPPED_LIBRARIES:\n");
  flush(w);
  int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  for (;;) {
    ssize_t n = read(fd, w->buf, sizeof w->buf);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    w->len = (size_t)n;
    flush(w);
  }
  close(fd);
}

bool profile_file_name(const char *path, int pid, char *buf, size_t n) {
  size_t len = 0;
  for (; *path; path++) {
    char id[16] = {*path, 0};
    if (*path == '%' && (path[1] == 'p' || path[1] == '%')) {
      if (*++path == 'p') print_format(id, sizeof id, "%d", pid);
    }
    size_t k = strlen(id);
    if (len + k >= n) return false;
    memcpy(buf + len, id, k);
    len += k;
  }
  buf[len] = 0;
  return true;
}

static bool write_file(const char *name) {
  struct writer w = {.len = 0};
  w.fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (w.fd < 0) {
    w.error = errno;
  } else {
    put_buckets(&w);
    put_maps(&w);
    if (close(w.fd) != 0 && w.error == 0) w.error = errno;
  }
  if (w.error)
    print_fd(2, "mallocgc: cannot write heap profile: %s: %s\n", name,
             strerrordesc_np(w.error));
  return w.error == 0;
}

bool profile_write(void) {
  char name[4200], started[4200];
  if (!profile) return true;
  int saved = errno, pid = getpid();
  bool ok =
      profile_file_name(profile->path, pid, name, sizeof name) &&
      profile_file_name(profile->path, profile->pid, started, sizeof started);
  if (!ok)
    print_fd(2, "mallocgc: cannot write heap profile: name is too long\n");
  else if (pid == profile->pid || strcmp(name, started) != 0)
    ok = write_file(name);
  errno = saved;
  return ok;
}
