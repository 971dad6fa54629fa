// SPDX-License-Identifier: MIT
/*
 * Prints a snapshot without allocation, stdio or locale. See msnap.h.
 *
 * For people: what the heap holds in words, then a row for each size class with a
 * bar as long as the class's spans, filled as far as they hold live objects.
 */
#include "face/malloc/msnap.h"

#include "base/print.h"

#define MAX_ROWS 24 /* of the table; smaller classes are gathered in one */
#define ROW_TEXT 62 /* columns of a row before its bar */
#define MIN_BAR 8u

struct sink {
  char *buf;
  size_t n, len;
};

static void emit(struct sink *o, const char *fmt, ...) MGC_PRINTF(2, 3);

static void emit(struct sink *o, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  o->len += print_vformat(o->buf + o->len, o->n - o->len, fmt, ap);
  va_end(ap);
}

/* --- numbers --- */

struct number {
  char text[32];
};

/* a * b / c, which needs more than 64 bits on the way. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c) {
  return c ? (uint64_t)((unsigned __int128)a * b / c) : 0;
}

static struct number bytes(uint64_t n) {
  static const char *const units[] = {"B",   "KiB", "MiB", "GiB",
                                      "TiB", "PiB", "EiB"};
  struct number out;
  unsigned u = 0;
  while (n >> (10 * u) >= 1024) u++;
  uint64_t tenths = scale(n, 10, 1ull << (10 * u));
  if (u == 0)
    print_format(out.text, sizeof out.text, "%lu B", (unsigned long)n);
  else
    print_format(out.text, sizeof out.text, "%lu.%lu %s",
                 (unsigned long)(tenths / 10), (unsigned long)(tenths % 10),
                 units[u]);
  return out;
}

/* Digits in groups of three. */
static struct number count(uint64_t n) {
  struct number out;
  char digits[24];
  size_t len = print_format(digits, sizeof digits, "%lu", (unsigned long)n);
  size_t k = 0;
  for (size_t i = 0; i < len; i++) {
    if (i > 0 && (len - i) % 3 == 0) out.text[k++] = ',';
    out.text[k++] = digits[i];
  }
  out.text[k] = 0;
  return out;
}

/* Of span bytes, the part that no live object has, in 1/1000. */
static unsigned fragmentation(const struct msnap_class *c) {
  uint64_t live = c->live < c->span_bytes ? c->live : c->span_bytes;
  return (unsigned)scale(c->span_bytes - live, 1000, c->span_bytes);
}

static struct number percent(unsigned thousandths) {
  struct number out;
  print_format(out.text, sizeof out.text, "%u.%u %%", thousandths / 10,
               thousandths % 10);
  return out;
}

/* --- for people --- */

static void line(struct sink *o, const char *name, const char *value) {
  emit(o, "  %s", name);
  for (size_t i = 0; name[i] || i < 12; i++)
    if (!name[i]) {
      for (; i < 12; i++) emit(o, " ");
      break;
    }
  emit(o, "%10s", value);
}

static void print_summary(struct sink *o, const struct msnap *s) {
  const struct msnap_class *t = &s->total;
  line(o, "live", bytes(t->live).text);
  emit(o, "  in %s objects\n", count(t->objects).text);
  line(o, "in use", bytes(s->in_use).text);
  emit(o, "  in %s spans; %s of it holds no live object\n",
       count(t->spans).text, percent(fragmentation(t)).text);
  line(o, "free", bytes(s->free).text);
  emit(o, "  kept for what comes next\n");
  line(o, "returned", bytes(s->returned).text);
  emit(o, "  given back to the system (%s so far), or not used yet\n",
       bytes(s->returned_total).text);
  line(o, "peak", bytes(s->peak).text);
  emit(o, "  in use at most\n");
  if (s->resident) {
    line(o, "resident", bytes(s->resident).text);
    emit(o, "  of the whole process; %s at most\n",
         bytes(s->resident_peak).text);
  }
  line(o, "metadata", bytes(s->metadata).text);
  emit(o, "\n");
  line(o, "threads", count(s->threads).text);
  emit(o, "  of the process; %s with a cache, %s of empty spans in them\n",
       count(s->caches).text, bytes(s->cached).text);
  if (s->orphaned) {
    line(o, "orphaned", bytes(s->orphaned).text);
    emit(o, "  in spans that ended threads left\n");
  }
  if (s->limit != UINT64_MAX) {
    line(o, "limit", bytes(s->limit).text);
    emit(o, "\n");
  }
}

static void repeat(struct sink *o, const char *text, uint64_t n) {
  while (n-- > 0) emit(o, "%s", text);
}

/* full of max, of which live is dark. Something is drawn of what is not 0. */
static void print_bar(struct sink *o, const struct msnap_style *style,
                      const struct msnap_class *c, uint64_t max) {
  unsigned width =
      style->columns > ROW_TEXT + MIN_BAR ? style->columns - ROW_TEXT : MIN_BAR;
  uint64_t full = scale(c->span_bytes, width, max);
  if (full == 0 && c->span_bytes) full = 1;
  uint64_t dark = scale(c->live, full, c->span_bytes ? c->span_bytes : 1);
  if (dark == 0 && c->live) dark = 1;
  if (dark > full) dark = full;
  if (style->color) emit(o, "\033[36m");
  repeat(o, style->utf8 ? "█" : "#", dark);
  repeat(o, style->utf8 ? "░" : ".", full - dark);
  if (style->color) emit(o, "\033[0m");
}

static void print_row(struct sink *o, const struct msnap_style *style,
                      const char *name, const struct msnap_class *c,
                      uint64_t max) {
  emit(o, "%8s %11s %10s %10s %7s %9s  ", name, count(c->objects).text,
       bytes(c->live).text, bytes(c->span_bytes).text,
       percent(fragmentation(c)).text, bytes(c->peak_bytes).text);
  print_bar(o, style, c, max);
  /* No blanks at the end of a line. */
  while (o->len > 0 && o->buf[o->len - 1] == ' ') o->len--;
  emit(o, "\n");
}

static uint64_t weight(const struct msnap_class *c) {
  return c->span_bytes > c->peak_bytes ? c->span_bytes : c->peak_bytes;
}

/* The weight below which classes are gathered. */
static uint64_t threshold(const struct msnap *s) {
  uint64_t limit = 1;
  for (;;) {
    unsigned rows = 0;
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < s->nclasses; i++) {
      uint64_t w = weight(&s->cls[i]);
      if (w < limit) continue;
      rows++;
      if (w < least) least = w;
    }
    if (rows <= MAX_ROWS) return limit;
    limit = least + 1;
  }
}

static void gather(struct msnap_class *to, const struct msnap_class *c) {
  to->objects += c->objects;
  to->live += c->live;
  to->spans += c->spans;
  to->span_bytes += c->span_bytes;
  to->peak_bytes += c->peak_bytes;
}

static void print_table(struct sink *o, const struct msnap_style *style,
                        const struct msnap *s) {
  struct msnap_class rest = {0};
  uint64_t limit = threshold(s), max = 0;
  for (unsigned i = 0; i < s->nclasses; i++) {
    if (s->cls[i].span_bytes > max) max = s->cls[i].span_bytes;
    if (weight(&s->cls[i]) < limit) gather(&rest, &s->cls[i]);
  }
  if (rest.span_bytes > max) max = rest.span_bytes;
  emit(o, "%8s %11s %10s %10s %7s %9s\n", "slot", "objects", "live", "spans",
       "frag", "at peak");
  for (unsigned k = 1; k <= s->nclasses; k++) {
    unsigned i = k % s->nclasses; /* large objects last */
    char name[16];
    if (weight(&s->cls[i]) < limit) continue;
    print_format(name, sizeof name, "%lu B", (unsigned long)s->cls[i].slot);
    print_row(o, style, i ? name : "large", &s->cls[i], max);
  }
  if (weight(&rest)) print_row(o, style, "others", &rest, max);
}

size_t msnap_print_text(const struct msnap *s, const struct msnap_style *style,
                        const char *when, char *buf, size_t n) {
  struct sink o = {buf, n, 0};
  emit(&o, "mallocgc: heap of process %d (%s) %s%s%s\n\n", s->pid, s->command,
       when, s->harden ? ", hardened" : "", s->profile ? ", profiled" : "");
  print_summary(&o, s);
  emit(&o, "\n");
  print_table(&o, style, s);
  if (!s->exact)
    emit(&o, "\nThe heap was changing, or could be read in part only: the "
             "figures are approximate.\n");
  return o.len;
}

/* --- JSON --- */

static void json_string(struct sink *o, const char *s) {
  emit(o, "\"");
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\')
      emit(o, "\\%c", c);
    else if (c < 0x20 || c >= 0x7f)
      emit(o, "\\u%04x", c);
    else
      emit(o, "%c", c);
  }
  emit(o, "\"");
}

static void json_u64(struct sink *o, const char *name, uint64_t v) {
  emit(o, ",\"%s\":%lu", name, (unsigned long)v);
}

static void json_class(struct sink *o, const struct msnap_class *c) {
  unsigned f = fragmentation(c);
  json_u64(o, "objects", c->objects);
  json_u64(o, "live", c->live);
  json_u64(o, "spans", c->spans);
  json_u64(o, "span_bytes", c->span_bytes);
  emit(o, ",\"fragmentation\":%u.%03u", f / 1000, f % 1000);
  json_u64(o, "peak_span_bytes", c->peak_bytes);
}

static void json_totals(struct sink *o, const struct msnap *s) {
  json_class(o, &s->total);
  json_u64(o, "mapped", s->mapped);
  json_u64(o, "in_use", s->in_use);
  json_u64(o, "free", s->free);
  json_u64(o, "returned", s->returned);
  json_u64(o, "returned_total", s->returned_total);
  json_u64(o, "peak", s->peak);
  json_u64(o, "metadata", s->metadata);
  json_u64(o, "tables", s->tables);
  json_u64(o, "resident", s->resident);
  json_u64(o, "resident_peak", s->resident_peak);
  json_u64(o, "threads", s->threads);
  json_u64(o, "caches", s->caches);
  json_u64(o, "cached", s->cached);
  json_u64(o, "orphaned", s->orphaned);
  if (s->limit == UINT64_MAX)
    emit(o, ",\"limit\":null");
  else
    json_u64(o, "limit", s->limit);
}

size_t msnap_print_json(const struct msnap *s, const char *when, char *buf,
                        size_t n) {
  struct sink o = {buf, n, 0};
  bool first = true;
  emit(&o, "{\"mallocgc\":");
  json_string(&o, s->version);
  emit(&o, ",\"pid\":%d,\"command\":", s->pid);
  json_string(&o, s->command);
  emit(&o, ",\"when\":");
  json_string(&o, when);
  emit(&o, ",\"exact\":%s,\"hardened\":%s,\"profiled\":%s",
       s->exact ? "true" : "false", s->harden ? "true" : "false",
       s->profile ? "true" : "false");
  json_totals(&o, s);
  emit(&o, ",\"classes\":[");
  for (unsigned k = 1; k <= s->nclasses; k++) {
    unsigned i = k % s->nclasses;
    if (weight(&s->cls[i]) == 0) continue;
    if (i == 0)
      emit(&o, "%s{\"slot\":null", first ? "" : ",");
    else
      emit(&o, "%s{\"slot\":%lu", first ? "" : ",",
           (unsigned long)s->cls[i].slot);
    json_class(&o, &s->cls[i]);
    emit(&o, "}");
    first = false;
  }
  emit(&o, "]}\n");
  return o.len;
}
