// SPDX-License-Identifier: MIT
/* See procfs.h. */
#include "os/procfs.h"

#include "base/print.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's struct linux_dirent64; glibc declares it only under a name that
 * other C libraries lack. */
struct kernel_dirent {
  uint64_t ino;
  int64_t off;
  uint16_t reclen;
  uint8_t type;
  char name[];
};

/* Raw calls: open and read of the C library are cancellation points. */
static int open_raw(const char *path, int flags) {
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

static ptrdiff_t read_raw(int fd, char *buf, size_t n) {
  ptrdiff_t got;
  do {
    got = syscall(SYS_read, fd, buf, n);
  } while (got < 0 && errno == EINTR);
  return got;
}

static void close_raw(int fd) { syscall(SYS_close, fd); }

ptrdiff_t procfs_read(const char *path, char *buf, size_t n) {
  return procfs_read_at(path, 0, buf, n);
}

ptrdiff_t procfs_read_at(const char *path, uint64_t offset, char *buf,
                         size_t n) {
  int saved = errno;
  ptrdiff_t total = -1, got = 0;
  int fd = open_raw(path, O_RDONLY);
  if (fd >= 0) {
    size_t len = 0;
    if (offset) got = lseek(fd, (off_t)offset, SEEK_SET) < 0 ? -1 : 0;
    /* /proc may give a file in pieces. */
    while (got >= 0 && len + 1 < n &&
           (got = read_raw(fd, buf + len, n - 1 - len)) > 0)
      len += (size_t)got;
    if (got >= 0) total = (ptrdiff_t)len;
    close_raw(fd);
  }
  if (n) buf[total > 0 ? total : 0] = 0;
  errno = saved;
  return total;
}

static const char *parse_decimal(const char *s, uint64_t *out) {
  while (*s == ' ') s++;
  for (*out = 0; *s >= '0' && *s <= '9'; s++)
    *out = *out * 10 + (uint64_t)(*s - '0');
  return s;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool procfs_statm(struct procfs_statm *out) {
  char buf[128];
  *out = (struct procfs_statm){0};
  if (procfs_read("/proc/self/statm", buf, sizeof(buf)) <= 0) return false;
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  const char *s = parse_decimal(buf, &out->size);
  parse_decimal(s, &out->resident);
  out->size *= page;
  out->resident *= page;
  return true;
}

unsigned procfs_thread_count(void) {
  int saved = errno;
  struct stat st;
  /* The directory's links are ".", its own entry and one for each thread. */
  unsigned n = 0;
  if (stat("/proc/self/task", &st) == 0 && st.st_nlink > 2)
    n = (unsigned)st.st_nlink - 2;
  errno = saved;
  return n;
}

bool procfs_tasks_begin(struct procfs_tasks *it) {
  int saved = errno;
  it->pos = it->len = 0;
  it->fd = open_raw("/proc/self/task", O_RDONLY | O_DIRECTORY);
  errno = saved;
  return it->fd >= 0;
}

static bool fill_tasks(struct procfs_tasks *it) {
  int saved = errno;
  long got = syscall(SYS_getdents64, it->fd, it->buf, sizeof(it->buf));
  errno = saved;
  it->pos = 0;
  it->len = got > 0 ? (unsigned)got : 0;
  return got > 0;
}

int procfs_tasks_next(struct procfs_tasks *it) {
  for (;;) {
    if (it->pos >= it->len && !fill_tasks(it)) return 0;
    const struct kernel_dirent *e =
        (const struct kernel_dirent *)(const void *)(it->buf + it->pos);
    uint64_t tid;
    it->pos += e->reclen;
    parse_decimal(e->name, &tid);
    if (tid) return (int)tid; /* "." and ".." parse as 0 */
  }
}

void procfs_tasks_end(struct procfs_tasks *it) {
  int saved = errno;
  close_raw(it->fd);
  errno = saved;
}

/* The states of reading one line "start-end perms ...". */
enum maps_field { MAPS_START, MAPS_END, MAPS_PERMS, MAPS_REST };

struct maps_parser {
  enum maps_field field;
  unsigned nperm;
  struct procfs_mapping line;
};

static void parse_perm(struct procfs_mapping *m, unsigned i, char c) {
  if (i == 0) m->read = c == 'r';
  if (i == 1) m->write = c == 'w';
  if (i == 2) m->exec = c == 'x';
  if (i == 3) m->shared = c == 's';
}

/* Takes one character; true when p->line has become whole. A parser of
 * characters, because lines with long paths do not fit any fixed buffer. */
static bool feed(struct maps_parser *p, char c) {
  if (c == '\n') {
    *p = (struct maps_parser){.field = MAPS_START};
    return false;
  }
  switch (p->field) {
  case MAPS_START:
    if (c == '-')
      p->field = MAPS_END;
    else
      p->line.start = p->line.start * 16 + (uintptr_t)hex_digit(c);
    return false;
  case MAPS_END:
    if (c == ' ')
      p->field = MAPS_PERMS;
    else
      p->line.end = p->line.end * 16 + (uintptr_t)hex_digit(c);
    return false;
  case MAPS_PERMS:
    parse_perm(&p->line, p->nperm++, c);
    if (p->nperm < 4) return false;
    p->field = MAPS_REST;
    return true;
  case MAPS_REST:
    return false;
  }
  return false;
}

bool procfs_find_mapping(uintptr_t addr, struct procfs_mapping *out) {
  char buf[1024];
  int saved = errno;
  struct maps_parser parser = {.field = MAPS_START};
  bool found = false, past = false;
  int fd = open_raw("/proc/self/maps", O_RDONLY);
  while (fd >= 0 && !found && !past) {
    ptrdiff_t got = read_raw(fd, buf, sizeof(buf));
    if (got <= 0) break;
    for (ptrdiff_t i = 0; i < got && !found && !past; i++) {
      if (!feed(&parser, buf[i])) continue;
      past = parser.line.start > addr; /* lines are in address order */
      found = !past && addr < parser.line.end;
    }
  }
  if (found) *out = parser.line;
  if (fd >= 0) close_raw(fd);
  errno = saved;
  return found;
}

/* Whether a line of /proc/self/maps, of which the beginning is given, tells of
 * memory of no file: its inode is 0, and what follows it in brackets is none of the
 * kernel's own pages. "start-end perms offset dev inode  path" */
static bool parse_anonymous(const char *line, struct maps_parser *p) {
  unsigned spaces = 0;
  *p = (struct maps_parser){.field = MAPS_START};
  while (*line && !feed(p, *line)) line++;
  for (; *line && spaces < 3; line++)
    if (*line == ' ') spaces++;
  if (line[0] != '0' || (line[1] != ' ' && line[1] != 0)) return false;
  for (line++; *line == ' ';) line++;
  /* [vvar] and [vdso]; unreadable [vsyscall] */
  if (line[0] == '[' && line[1] == 'v') return false;
  return p->line.read && p->line.write && !p->line.shared;
}

bool procfs_visit_anonymous(void (*visit)(uintptr_t lo, uintptr_t hi,
                                          void *arg),
                            void *arg) {
  char buf[4096], line[96];
  int saved = errno;
  struct maps_parser parser;
  size_t len = 0;
  ptrdiff_t got = -1;
  int fd = open_raw("/proc/self/maps", O_RDONLY);
  while (fd >= 0 && (got = read_raw(fd, buf, sizeof(buf))) > 0) {
    for (ptrdiff_t i = 0; i < got; i++) {
      if (buf[i] != '\n') {
        if (len + 1 < sizeof(line)) line[len++] = buf[i];
        continue;
      }
      line[len] = 0;
      len = 0;
      if (parse_anonymous(line, &parser))
        visit(parser.line.start, parser.line.end, arg);
    }
  }
  if (fd >= 0) close_raw(fd);
  errno = saved;
  return got == 0;
}

bool procfs_pages_present(uintptr_t addr, size_t npages, uint64_t *out) {
  uint64_t entry[256];
  int saved = errno;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  int fd = open_raw("/proc/self/pagemap", O_RDONLY);
  size_t done = 0;
  for (size_t i = 0; i < (npages + 63) / 64; i++) out[i] = 0;
  while (fd >= 0 && done < npages) {
    size_t n = npages - done < 256 ? npages - done : 256;
    off_t at = (off_t)((addr / page + done) * sizeof(entry[0]));
    long got = syscall(SYS_pread64, fd, entry, n * sizeof(entry[0]), at);
    if (got <= 0) break;
    n = (size_t)got / sizeof(entry[0]);
    /* Bit 63: in memory; bit 62: swapped out. */
    for (size_t i = 0; i < n; i++)
      if (entry[i] >> 62) out[(done + i) / 64] |= 1ull << ((done + i) % 64);
    done += n;
  }
  if (fd >= 0) close_raw(fd);
  errno = saved;
  return done == npages;
}

static const char *find_text(const char *hay, const char *needle) {
  for (; *hay; hay++) {
    size_t i = 0;
    while (needle[i] && hay[i] == needle[i]) i++;
    if (!needle[i]) return hay + i;
  }
  return NULL;
}

bool procfs_blocked_signals(int tid, uint64_t *mask) {
  char path[64];
  char buf[4096]; /* a status file is about 1.5 KiB */
  print_format(path, sizeof(path), "/proc/self/task/%d/status", tid);
  if (procfs_read(path, buf, sizeof(buf)) <= 0) return false;
  const char *s = find_text(buf, "\nSigBlk:\t");
  if (!s) return false;
  for (*mask = 0; hex_digit(*s) >= 0; s++)
    *mask = *mask << 4 | (uint64_t)hex_digit(*s);
  return true;
}

char procfs_task_state(int tid) {
  char path[48], stat[256];
  print_format(path, sizeof path, "/proc/self/task/%d/stat", tid);
  if (procfs_read(path, stat, sizeof stat) <= 0) return 0;
  const char *name_end = strrchr(stat, ')');
  return name_end ? name_end[2] : 0;
}
