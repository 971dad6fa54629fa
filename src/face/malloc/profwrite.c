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
 * No lock is taken and nothing allocated, so that a signal handler (report.c, on
 * SIGUSR2) may write a profile whatever it has interrupted: buckets are only ever
 * added, and their sums are read without the lock. A stack that could not be
 * read is the one address 0x1.
 */
#include "face/malloc/profile.h"

#include "base/print.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void flush(struct prof_writer *w) {
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

static void put_text(struct prof_writer *w, const char *s) {
  size_t n = strlen(s);
  if (w->len + n > sizeof w->buf) flush(w);
  memcpy(w->buf + w->len, s, n);
  w->len += n;
}

static void put_sums(struct prof_writer *w, const struct prof_sums *s) {
  char line[128];
  print_format(line, sizeof line, "%llu: %llu [%llu: %llu] @",
               (unsigned long long)s->live, (unsigned long long)s->live_bytes,
               (unsigned long long)s->all, (unsigned long long)s->all_bytes);
  put_text(w, line);
}

static void put_header(struct prof_writer *w, const struct prof_sums *total) {
  char line[64] = " heapprofile\n";
  put_text(w, "heap profile: ");
  put_sums(w, total);
  if (profile->rate != 1)
    print_format(line, sizeof line, " heap_v2/%llu\n",
                 (unsigned long long)profile->rate);
  put_text(w, line);
}

static void put_bucket(struct prof_writer *w, const struct prof_bucket *b) {
  struct prof_sums s = proftable_read(b);
  char frame[32];
  put_sums(w, &s);
  for (uint32_t i = 0; i < b->nframes; i++) {
    print_format(frame, sizeof frame, " 0x%llx",
                 (unsigned long long)b->frame[i]);
    put_text(w, frame);
  }
  put_text(w, b->nframes ? "\n" : " 0x1\n");
}

static void put_buckets(struct prof_writer *w) {
  struct prof_sums total = {0};
  const struct prof_bucket *b = NULL;
  while ((b = proftable_next(&profile->table, b)) != NULL) {
    struct prof_sums s = proftable_read(b);
    total.live += s.live;
    total.live_bytes += s.live_bytes;
    total.all += s.all;
    total.all_bytes += s.all_bytes;
  }
  put_header(w, &total);
  while ((b = proftable_next(&profile->table, b)) != NULL) put_bucket(w, b);
}

static void put_maps(struct prof_writer *w) {
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

static bool write_file(struct prof_writer *w) {
  w->error = 0;
  w->len = 0;
  w->fd = open(w->name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (w->fd < 0) {
    w->error = errno;
  } else {
    put_buckets(w);
    put_maps(w);
    if (close(w->fd) != 0 && w->error == 0) w->error = errno;
  }
  if (w->error)
    print_fd(2, "mallocgc: cannot write heap profile: %s: %s\n", w->name,
             strerrordesc_np(w->error));
  return w->error == 0;
}

/* Whether the name has the process's id in it. */
static bool is_per_process(const char *path) {
  for (; *path; path++) {
    if (path[0] != '%') continue;
    if (path[1] == 'p') return true;
    if (path[1] == '%') path++;
  }
  return false;
}

static bool write_once(struct prof_writer *w) {
  int pid = getpid();
  if (pid != profile->pid && !is_per_process(profile->path)) return true;
  if (profile_file_name(profile->path, pid, w->name, sizeof w->name))
    return write_file(w);
  print_fd(2, "mallocgc: cannot write heap profile: name is too long\n");
  return false;
}

bool profile_write(void) {
  uint32_t expect = 0;
  int saved = errno;
  if (!profile) return true;
  struct prof_writer *w = &profile->writer;
  /* acquire: pairs with the release below. Whoever comes second leaves: it may
   * have interrupted the first. */
  if (!atomic_u32_cas_acquire(&w->busy, &expect, 1)) return true;
  bool ok = write_once(w);
  atomic_u32_store_release(&w->busy, 0);
  errno = saved;
  return ok;
}
