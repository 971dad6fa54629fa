// SPDX-License-Identifier: MIT
/*
 * One run of the demo: load all documents, check each, edit and drop for many
 * rounds, check again, and measure throughout. See demo.h for overview.
 *
 * Documents are dealt out to the threads; each works on its own. In a round,
 * every document is visited: it is either dropped and parsed anew, or a copy is
 * edited, written, and kept for a while beside earlier copies, so that garbage
 * of all ages comes about. Edits must not show in the document that was copied:
 * the last check would find it.
 */
#include "demo.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEPT_COPIES 16
#define EDITS_PER_COPY 64

struct worker {
  struct demo_files *files;
  struct json *copies[KEPT_COPIES];
  size_t first, step; /* its documents: first, first + step, ... */
  bool loading;
  uint64_t rng;
  uint64_t text, edits; /* done so far */
  bool out_of_memory;
  const struct demo_options *opt;
  pthread_t thread;
};

struct pauses {
  uint64_t *ns; /* on the heap, no pointers */
  size_t n, room;
  uint32_t seen; /* collections that were looked at */
};

MGC_TYPE(struct worker, files, copies, opt);

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t random_below(struct worker *w, uint64_t n) {
  w->rng ^= w->rng << 13; /* xorshift64 */
  w->rng ^= w->rng >> 7;
  w->rng ^= w->rng << 17;
  return w->rng % n;
}

/* FNV-1a: enough to notice a document that changed. */
static uint64_t fingerprint(const char *text, size_t len) {
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < len; i++)
    h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
  return h;
}

/* ---- loading and checking ---- */

static void parse_document(struct worker *w, struct demo_document *doc) {
  struct json_error err;
  doc->value = json_parse(doc->text, doc->len, NULL, &err);
  if (doc->value) {
    w->text += doc->len;
    return;
  }
  if (errno == ENOMEM) w->out_of_memory = true;
  if (!w->opt->quiet) {
    flockfile(stderr);
    json_error_print(stderr, doc->path, &err);
    funlockfile(stderr);
  }
}

/* The document is what it was: what it is written as has the first fingerprint,
 * and reads back as an equal value. */
static bool check_document(const struct demo_document *doc) {
  size_t len = 0;
  const char *text = json_write(doc->value, 0, &len);
  return text && fingerprint(text, len) == doc->print &&
         json_equal(json_parse(text, len, NULL, NULL), doc->value);
}

static size_t count_damaged(const struct demo_files *files) {
  size_t n = 0;
  for (size_t i = 0; i < files->n; i++) {
    const struct demo_document *doc = &files->docs[i];
    if (!doc->value || check_document(doc)) continue;
    fprintf(stderr, "%s: the document was damaged\n", doc->path);
    n++;
  }
  return n;
}

static bool note_fingerprints(struct demo_files *files, struct demo_result *r) {
  for (size_t i = 0; i < files->n; i++) {
    struct demo_document *doc = &files->docs[i];
    if (!doc->value) continue;
    size_t len = 0;
    const char *text = json_write(doc->value, 0, &len);
    if (!text) return false;
    doc->print = fingerprint(text, len);
    r->documents++;
    r->text_bytes += doc->len;
  }
  r->failed = files->failed + files->n - r->documents;
  return true;
}

/* ---- editing ---- */

static struct json *random_leaf(struct worker *w) {
  char text[24];
  switch (random_below(w, 5)) {
  case 0:
    return json_bool(random_below(w, 2) == 0);
  case 1:
    return json_integer((int64_t)random_below(w, 1000));
  case 2:
    return json_number((double)random_below(w, 100000) / 64);
  default:
    snprintf(text, sizeof(text), "edited %llu",
             (unsigned long long)random_below(w, 1u << 20));
    return json_string(text);
  }
}

/* A random array or object that has elements; NULL: the walk ended elsewhere. */
static struct json *random_place(struct worker *w, struct json *v) {
  while (json_length(v) > 0) {
    struct json *child = json_at(v, random_below(w, json_length(v)));
    if (json_length(child) == 0 || random_below(w, 8) == 0) return v;
    v = child;
  }
  return NULL;
}

static bool edit(struct worker *w, struct json *copy) {
  struct json *at = random_place(w, copy);
  if (!at) return true;
  size_t i = random_below(w, json_length(at));
  w->edits++;
  switch (random_below(w, 4)) {
  case 0:
    return json_put(at, i, random_leaf(w));
  case 1:
    return json_remove_at(at, i);
  case 2: { /* a copy of a neighbour, as an editor's "duplicate" */
    struct json *same = json_copy(json_at(at, i));
    if (json_kind(at) == JSON_ARRAY) return json_insert(at, i, same);
    return json_set(at, "duplicate", same);
  }
  default:
    if (json_kind(at) == JSON_ARRAY) return json_append(at, random_leaf(w));
    return json_set(at, "edited", random_leaf(w));
  }
}

static bool edit_copy(struct worker *w, const struct demo_document *doc) {
  struct json *copy = json_copy(doc->value);
  if (!copy) return false;
  for (unsigned i = 0; i < EDITS_PER_COPY; i++) {
    if (!edit(w, copy)) return false;
  }
  if (!json_write(copy, 0, NULL)) return false;
  w->copies[random_below(w, KEPT_COPIES)] = copy;
  return true;
}

static void visit(struct worker *w, struct demo_document *doc) {
  if (w->loading) {
    parse_document(w, doc);
  } else if (doc->value && random_below(w, 2) == 0) {
    doc->value = NULL;
    parse_document(w, doc);
  } else if (doc->value && !edit_copy(w, doc)) {
    w->out_of_memory = true;
  }
}

/* ---- rounds ---- */

static void *work(void *arg) {
  struct worker *w = arg;
  for (size_t i = w->first; i < w->files->n && !w->out_of_memory;
       i += w->step) {
    visit(w, &w->files->docs[i]);
  }
  return NULL;
}

/* Every worker visits its documents once: the first on this thread. */
static bool do_round(struct worker *workers, unsigned n, bool loading) {
  unsigned started = 1;
  for (unsigned i = 0; i < n; i++) workers[i].loading = loading;
  while (started < n && pthread_create(&workers[started].thread, NULL, work,
                                       &workers[started]) == 0) {
    started++;
  }
  work(&workers[0]);
  for (unsigned i = started; i < n; i++) work(&workers[i]);
  for (unsigned i = 1; i < started; i++) pthread_join(workers[i].thread, NULL);
  for (unsigned i = 0; i < n; i++) {
    if (workers[i].out_of_memory) {
      cmd_error("out of memory");
      return false;
    }
  }
  return true;
}

static struct worker *new_workers(struct demo_files *files,
                                  const struct demo_options *opt) {
  struct worker *workers = mgc_new_array(struct worker, opt->threads);
  for (unsigned i = 0; workers && i < opt->threads; i++) {
    workers[i] = (struct worker){.files = files,
                                 .first = i,
                                 .step = opt->threads,
                                 .rng = 0x9e3779b97f4a7c15u + i,
                                 .opt = opt};
  }
  return workers;
}

/* ---- measuring ---- */

static bool note_pauses(struct pauses *p, const struct mgc_memstats *s) {
  for (; p->seen < s->num_gc; p->seen++) {
    if (s->num_gc - p->seen > MGC_PAUSE_RING) continue; /* overwritten */
    if (p->n == p->room) {
      size_t room = p->room ? 2 * p->room : 256;
      uint64_t *more = mgc_new_noscan(room * sizeof(*more));
      if (!more) return false;
      if (p->n > 0) memcpy(more, p->ns, p->n * sizeof(*more));
      p->ns = more;
      p->room = room;
    }
    p->ns[p->n++] = s->pause_ns[p->seen % MGC_PAUSE_RING];
  }
  return true;
}

static int by_value(const void *x, const void *y) {
  uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
  return (a > b) - (a < b);
}

static void summarize_pauses(struct pauses *p, struct demo_result *r) {
  if (p->n == 0) return;
  qsort(p->ns, p->n, sizeof(*p->ns), by_value);
  r->pause_median = p->ns[p->n / 2];
  r->pause_p99 = p->ns[(p->n * 99 + 99) / 100 - 1];
  r->pause_max = p->ns[p->n - 1];
}

static uint64_t slots(const struct mgc_memstats *s) {
  return s->mallocs - s->tiny_allocs;
}

static void note_classes(struct demo_result *r, const struct mgc_memstats *s) {
  uint64_t small = 0;
  for (size_t i = 0; i < MGC_NUM_SIZE_CLASSES; i++) {
    const struct mgc_size_stats *c = &s->by_size[i];
    r->class_size[i] = c->size;
    r->class_slots[i] = c->mallocs - c->frees;
    r->class_bytes[i] = r->class_slots[i] * c->size;
    if (i > 0) small += r->class_bytes[i];
  }
  r->class_bytes[0] = s->heap_alloc - small; /* large: what the others leave */
}

/* A field of /proc/self/status in bytes. */
static uint64_t process_status(const char *field) {
  char line[128];
  uint64_t kib = 0;
  FILE *f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof(line), f)) {
    size_t n = strlen(field);
    if (strncmp(line, field, n) == 0) kib = strtoull(line + n, NULL, 10);
  }
  if (f) fclose(f);
  return kib * 1024;
}

/* ---- the run ---- */

static bool load(struct demo_files *files, const struct demo_options *opt,
                 struct worker *workers, struct demo_result *r) {
  struct mgc_memstats before, after;
  mgc_read_memstats(&before);
  uint64_t start = now_ns();
  if (!do_round(workers, opt->threads, true)) return false;
  r->load_ns = now_ns() - start;
  mgc_read_memstats(&after);
  r->load_objects = after.mallocs - before.mallocs;
  r->load_slots = slots(&after) - slots(&before);
  r->load_bytes = after.total_alloc - before.total_alloc;
  mgc_collect();
  mgc_read_memstats(&after);
  r->loaded_heap = after.heap_alloc;
  r->loaded_objects = after.heap_objects;
  note_classes(r, &after);
  return note_fingerprints(files, r);
}

static bool churn(const struct demo_options *opt, struct worker *workers,
                  struct pauses *pauses, struct demo_result *r) {
  struct mgc_memstats before, after;
  mgc_read_memstats(&before);
  for (unsigned i = 0; i < opt->threads; i++) workers[i].text = 0;
  for (unsigned round = 0; round < opt->rounds; round++) {
    uint64_t start = now_ns();
    if (!do_round(workers, opt->threads, false)) return false;
    r->churn_ns += now_ns() - start;
    mgc_read_memstats(&after);
    if (after.heap_alloc > r->peak_heap) r->peak_heap = after.heap_alloc;
    if (!note_pauses(pauses, &after)) return false;
  }
  mgc_read_memstats(&after);
  r->churn_objects = after.mallocs - before.mallocs;
  for (unsigned i = 0; i < opt->threads; i++) {
    r->churn_text += workers[i].text;
    r->edits += workers[i].edits;
  }
  return true;
}

static void note_end(struct demo_result *r, struct pauses *pauses) {
  struct mgc_memstats s;
  mgc_collect();
  mgc_read_memstats(&s);
  r->resident = process_status("RssAnon:");
  r->live_heap = s.heap_alloc;
  r->live_objects = s.heap_objects;
  r->total_objects = s.mallocs;
  r->total_slots = slots(&s);
  r->total_bytes = s.total_alloc;
  r->collections = s.num_gc;
  r->heap_inuse = s.heap_inuse;
  r->heap_mapped = s.heap_sys - s.heap_released;
  note_pauses(pauses, &s);
  summarize_pauses(pauses, r);
}

bool demo_run(struct demo_files *files, const struct demo_options *opt,
              struct demo_result *r) {
  struct pauses pauses = {0};
  struct worker *workers = new_workers(files, opt);
  if (!workers) {
    cmd_error("out of memory");
    return false;
  }
  memset(r, 0, sizeof(*r));
  if (!load(files, opt, workers, r)) return false;
  r->damaged = count_damaged(files);
  if (!churn(opt, workers, &pauses, r)) return false;
  workers = NULL;
  r->damaged += count_damaged(files);
  note_end(r, &pauses);
  mgc_keep_alive(files->docs);
  return true;
}
