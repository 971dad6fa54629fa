// SPDX-License-Identifier: MIT
/*
 * Control groups, versions 1 and 2, as a container's limits are told by them. All
 * files are read by a function that is passed in, so that tests have trees of their
 * own. No allocation.
 *
 * Where the files are:
 *
 *   /proc/self/cgroup      our group's path in each hierarchy
 *                            0::/a/b              version 2
 *                            4:memory:/a/b        version 1, by controllers
 *   /proc/self/mountinfo   where a hierarchy is mounted, and which part of it
 *                            32 31 0:35 /a /sys/fs/cgroup/memory rw - cgroup
 *                              cgroup rw,memory
 *
 * The mounted part (the root, /a) is often the group of the container; our path
 * without it is the path below the mount point, here /b. Without it there, we are
 * somewhere that cannot be seen from here, outside of a namespace's root ("/..")
 * or in a host's view of a container, and the mount point itself is the best
 * that is known: it is the group that limits all that can be seen. Of several
 * mounts the first one that holds our path counts.
 *
 * Each group up to the mount point limits us, so the least limit counts. A machine
 * in transition mounts both versions; each controller is then in one of them, and
 * files of the other do not exist. So both are read, and what is there counts.
 *
 *   file                        says          no limit
 *   2  memory.max, memory.high  bytes         max
 *      cpu.max                  quota period  max period
 *   1  memory.limit_in_bytes    bytes         2^63 - page size
 *      cpu.cfs_quota_us         quota         -1
 *      cpu.cfs_period_us        period
 */
#include "os/cgroup.h"

#include "base/print.h"
#include "os/procfs.h"
#include <string.h>

#define PATH_BYTES 1024
/* A line of mountinfo that is longer is that of an overlay with many layers, of
 * which the beginning is enough. */
#define LINE_BYTES (2 * PATH_BYTES + 256)
#define MILLI 1000
/* What version 1 says for no limit, rounded down to pages of any size. */
#define V1_UNLIMITED ((uint64_t)1 << 62)

/* --- text --- */

static const char *parse_number(const char *s, uint64_t *out) {
  const char *begin = s;
  for (*out = 0; *s >= '0' && *s <= '9'; s++) {
    if (*out > (UINT64_MAX - 9) / 10) return NULL;
    *out = *out * 10 + (uint64_t)(*s - '0');
  }
  return s == begin ? NULL : s;
}

static bool ends(char c) { return c == 0 || c == '\n'; }

/* A whole number, or CGROUP_NONE. */
static uint64_t parse_whole(const char *text) {
  uint64_t value;
  const char *end = parse_number(text, &value);
  return end && ends(*end) ? value : CGROUP_NONE;
}

static uint64_t milli_of(uint64_t quota, uint64_t period) {
  if (period == 0 || quota == 0 || quota > CGROUP_NONE / MILLI)
    return CGROUP_NONE;
  return quota * MILLI / period + (quota * MILLI % period != 0);
}

uint64_t cgroup_parse_cpu_max(const char *text) {
  uint64_t quota, period;
  const char *s = parse_number(text, &quota);
  if (!s || *s != ' ') return CGROUP_NONE;
  s = parse_number(s + 1, &period);
  return s && ends(*s) ? milli_of(quota, period) : CGROUP_NONE;
}

/* Whether list, of names with commas between, has name. */
static bool list_has(const char *list, size_t len, const char *name) {
  size_t n = strlen(name);
  const char *end = list + len;
  while (list < end) {
    const char *comma = memchr(list, ',', (size_t)(end - list));
    const char *stop = comma ? comma : end;
    if ((size_t)(stop - list) == n && memcmp(list, name, n) == 0) return true;
    list = stop + 1;
  }
  return false;
}

/* --- lines of a file --- */

struct lines {
  const struct cgroup_reader *r;
  const char *path;
  uint64_t offset;
  size_t pos, len; /* of buf */
  char buf[512];
};

/* The next character; 0: the end. */
static char next_char(struct lines *l) {
  if (l->pos == l->len) {
    ptrdiff_t got =
        l->r->read(l->r->arg, l->path, l->offset, l->buf, sizeof l->buf);
    if (got <= 0) return 0;
    l->offset += (uint64_t)got;
    l->len = (size_t)got;
    l->pos = 0;
  }
  return l->buf[l->pos++];
}

/* A line without its end; what does not fit is dropped, and *whole is false.
 * Returns: false at the end of the file. */
static bool next_line(struct lines *l, char *line, size_t n, bool *whole) {
  size_t len = 0;
  char c = next_char(l);
  if (!c) return false;
  *whole = true;
  for (; c && c != '\n'; c = next_char(l)) {
    if (len + 1 < n)
      line[len++] = c;
    else
      *whole = false;
  }
  line[len] = 0;
  return true;
}

/* --- our group --- */

/* controller NULL: of version 2. */
static bool is_hierarchy(const char *line, const char *controller,
                         const char **path) {
  const char *names = strchr(line, ':');
  const char *colon = names ? strchr(names + 1, ':') : NULL;
  if (!colon) return false;
  *path = colon + 1;
  size_t len = (size_t)(colon - names) - 1;
  if (!controller) return len == 0 && names == line + 1 && line[0] == '0';
  return list_has(names + 1, len, controller);
}

static bool find_group(const struct cgroup_reader *r, const char *controller,
                       char *group) {
  struct lines l = {.r = r, .path = "/proc/self/cgroup"};
  char line[PATH_BYTES];
  const char *path;
  bool whole;
  while (next_line(&l, line, sizeof line, &whole)) {
    if (!whole || !is_hierarchy(line, controller, &path)) continue;
    memcpy(group, path, strlen(path) + 1);
    return true;
  }
  return false;
}

/* --- where it is mounted --- */

/* Fields of a line of mountinfo that are of interest. */
struct mount {
  char *root, *point, *fstype, *options;
};

/* Ends the field at s, and returns the next one. */
static char *cut_field(char *s) {
  char *space = strchr(s, ' ');
  if (!space) return s + strlen(s);
  *space = 0;
  return space + 1;
}

static void unescape(char *s) {
  char *to = s;
  for (; *s; s++, to++) {
    bool octal = s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' &&
                 s[2] <= '7' && s[3] >= '0' && s[3] <= '7';
    *to = *s;
    if (!octal) continue;
    *to = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
    s += 3;
  }
  *to = 0;
}

static bool parse_mount(char *line, struct mount *m) {
  char *s = line;
  for (int i = 0; i < 3; i++) s = cut_field(s); /* ids and device */
  m->root = s;
  m->point = s = cut_field(s);
  s = cut_field(s);
  char *dash = strncmp(s, "- ", 2) == 0 ? s : strstr(s, " - ");
  if (!dash) return false;
  m->fstype = dash + (*dash == ' ' ? 3 : 2);
  s = cut_field(m->fstype);
  m->options = cut_field(s); /* after the source */
  unescape(m->root);
  unescape(m->point);
  return *m->root == '/' && *m->point == '/';
}

static bool is_mount_of(const struct mount *m, const char *controller) {
  if (!controller) return strcmp(m->fstype, "cgroup2") == 0;
  return strcmp(m->fstype, "cgroup") == 0 &&
         list_has(m->options, strlen(m->options), controller);
}

/* Our path below root, or NULL when it is not in there. */
static const char *below(const char *group, const char *root) {
  size_t n = strlen(root);
  if (strncmp(group, "/..", 3) == 0 && (group[3] == '/' || !group[3]))
    return NULL;
  if (n == 1) return group;
  if (strncmp(group, root, n) != 0) return NULL;
  return group[n] == 0 || group[n] == '/' ? group + n : NULL;
}

/* Directory of our group, and the length of its mount point's part. */
struct place {
  char dir[2 * PATH_BYTES];
  size_t top;
};

static bool find_place(const struct cgroup_reader *r, const char *controller,
                       struct place *out) {
  struct lines l = {.r = r, .path = "/proc/self/mountinfo"};
  char group[PATH_BYTES], line[LINE_BYTES];
  bool found = false, whole;
  if (!find_group(r, controller, group)) return false;
  while (next_line(&l, line, sizeof line, &whole)) {
    struct mount m;
    if (!parse_mount(line, &m) || !is_mount_of(&m, controller)) continue;
    const char *rest = below(group, m.root);
    if ((!rest && found) || strlen(m.point) >= PATH_BYTES) continue;
    found = true;
    out->top = strlen(m.point);
    if (rest && strcmp(rest, "/") == 0) rest = "";
    print_format(out->dir, sizeof out->dir, "%s%s", m.point, rest ? rest : "");
    if (rest) break;
  }
  return found;
}

/* --- limits --- */

static bool read_file(const struct cgroup_reader *r, const char *dir,
                      const char *name, char *text, size_t n) {
  char path[2 * PATH_BYTES + 64];
  print_format(path, sizeof path, "%s/%s", dir, name);
  return r->read(r->arg, path, 0, text, n) > 0;
}

static uint64_t read_number(const struct cgroup_reader *r, const char *dir,
                            const char *name) {
  char text[32];
  if (!read_file(r, dir, name, text, sizeof text)) return CGROUP_NONE;
  return parse_whole(text);
}

static void lower(uint64_t *limit, uint64_t by) {
  if (by < *limit) *limit = by;
}

static void read_v2(const struct cgroup_reader *r, const char *dir,
                    struct cgroup_limits *out) {
  char text[64];
  lower(&out->memory_max, read_number(r, dir, "memory.max"));
  lower(&out->memory_high, read_number(r, dir, "memory.high"));
  if (read_file(r, dir, "cpu.max", text, sizeof text))
    lower(&out->cpu_milli, cgroup_parse_cpu_max(text));
}

static void read_v1_memory(const struct cgroup_reader *r, const char *dir,
                           struct cgroup_limits *out) {
  uint64_t bytes = read_number(r, dir, "memory.limit_in_bytes");
  if (bytes < V1_UNLIMITED) lower(&out->memory_max, bytes);
}

static void read_v1_cpu(const struct cgroup_reader *r, const char *dir,
                        struct cgroup_limits *out) {
  uint64_t quota = read_number(r, dir, "cpu.cfs_quota_us"); /* -1: not whole */
  uint64_t period = read_number(r, dir, "cpu.cfs_period_us");
  if (quota != CGROUP_NONE && period != CGROUP_NONE)
    lower(&out->cpu_milli, milli_of(quota, period));
}

/* From our group up to the mount point. */
static void visit(const struct cgroup_reader *r, const char *controller,
                  void (*read)(const struct cgroup_reader *r, const char *dir,
                               struct cgroup_limits *out),
                  struct cgroup_limits *out) {
  struct place p;
  if (!find_place(r, controller, &p)) return;
  for (;;) {
    read(r, p.dir, out);
    char *slash = strrchr(p.dir, '/');
    if (!slash || (size_t)(slash - p.dir) < p.top) return;
    *slash = 0;
  }
}

void cgroup_read(const struct cgroup_reader *r, struct cgroup_limits *out) {
  *out = (struct cgroup_limits){CGROUP_NONE, CGROUP_NONE, CGROUP_NONE};
  visit(r, NULL, read_v2, out);
  visit(r, "memory", read_v1_memory, out);
  visit(r, "cpu", read_v1_cpu, out);
}

int64_t cgroup_memory_limit(const struct cgroup_limits *l, unsigned percent) {
  uint64_t least = l->memory_max;
  lower(&least, l->memory_high);
  if (least >= INT64_MAX) return INT64_MAX;
  return (int64_t)(least / 100 * percent + least % 100 * percent / 100);
}

static ptrdiff_t read_machine(void *arg, const char *path, uint64_t offset,
                              char *buf, size_t n) {
  (void)arg;
  return procfs_read_at(path, offset, buf, n);
}

const struct cgroup_reader cgroup_files = {.read = read_machine};
