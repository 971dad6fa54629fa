// SPDX-License-Identifier: MIT
/*
 * Drawing a layout. The type's field records, which may nest, become a flat
 * list of items that tile the type: fields, the first element of each array of
 * structs, the other elements as one item, and gaps. Then each word is a row of
 * eight cells; an item's name stands in its first row, and the rows in the
 * middle of a long item are left out.
 */
#include "layout.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { WORD = 8, CELL = 3, ROW = WORD * CELL - 1, MAX_NAME = 96 };

struct item {
  uint64_t offset;
  uint64_t size;
  uint8_t kind;
  bool gap;
  bool folded; /* the elements of an array after the first */
  char name[MAX_NAME];
};

struct items {
  struct item *at;
  size_t n;
  size_t capacity;
};

const char *kind_name(unsigned kind) {
  static const char *const names[MGC_NKINDS] = {
      "",          "bool",          "int",     "int8",    "int16",
      "int32",     "int64",         "uint",    "uint8",   "uint16",
      "uint32",    "uint64",        "uintptr", "float32", "float64",
      "complex64", "complex128",    "array",   "chan",    "func",
      "interface", "map",           "pointer", "slice",   "string",
      "struct",    "unsafe pointer"};
  return kind < MGC_NKINDS ? names[kind] : "?";
}

static struct item *add(struct items *items, uint64_t offset, uint64_t size) {
  if (items->n == items->capacity) {
    size_t capacity = items->capacity ? 2 * items->capacity : 32;
    void *at = realloc(items->at, capacity * sizeof(*items->at));
    if (!at) return NULL;
    items->at = at;
    items->capacity = capacity;
  }
  struct item *item = &items->at[items->n++];
  memset(item, 0, sizeof(*item));
  item->offset = offset;
  item->size = size;
  return item;
}

/* Adds the n fields from f on, `base` bytes into the type. */
static bool flatten(struct items *items, const struct listed_field *f, size_t n,
                    uint64_t base, const char *prefix) {
  for (size_t i = 0; i < n; i += 1 + f[i].nsub) {
    uint64_t offset = base + f[i].offset;
    char name[MAX_NAME];
    if (f[i].stride == 0) {
      struct item *item = add(items, offset, f[i].size);
      if (!item) return false;
      snprintf(item->name, MAX_NAME, "%.40s%.50s", prefix, f[i].name);
      item->kind = f[i].kind;
      continue;
    }
    snprintf(name, MAX_NAME, "%.40s%.40s[0].", prefix, f[i].name);
    if (!flatten(items, &f[i + 1], f[i].nsub, offset, name)) return false;
    if (f[i].size <= f[i].stride) continue;
    struct item *rest =
        add(items, offset + f[i].stride, f[i].size - f[i].stride);
    if (!rest) return false;
    snprintf(rest->name, MAX_NAME, "%.30s%.30s[1..%" PRIu64 "]", prefix,
             f[i].name, f[i].size / f[i].stride - 1);
    rest->folded = true;
  }
  return true;
}

static int by_offset(const void *a, const void *b) {
  const struct item *s = a, *t = b;
  if (s->offset != t->offset) return s->offset < t->offset ? -1 : 1;
  return s->size > t->size ? -1 : s->size < t->size;
}

/* A type that lists fields without pointers lists them all: then what is left
 * over is padding. Otherwise nobody knows. */
static const char *gap_name(const struct listed_type *t) {
  for (size_t i = 0; i < t->nfields; i++) {
    if (!t->fields[i].pointer && !t->fields[i].stride) return "padding";
  }
  return "not listed";
}

/* Sorts, drops what overlaps an item before it (a union's other members), and
 * fills the gaps. */
static bool tile(struct items *items, const struct listed_type *t) {
  size_t listed = items->n;
  if (listed) qsort(items->at, listed, sizeof(*items->at), by_offset);
  uint64_t end = 0;
  size_t kept = 0;
  for (size_t i = 0; i < listed; i++) {
    struct item item = items->at[i];
    bool outside =
        item.offset > t->desc.size || item.size > t->desc.size - item.offset;
    if (item.offset < end || item.size == 0 || outside) continue;
    end = item.offset + item.size;
    items->at[kept++] = item;
  }
  items->n = kept;

  end = 0;
  for (size_t i = 0; i <= kept; i++) {
    uint64_t start = i < kept ? items->at[i].offset : t->desc.size;
    if (start > end) {
      struct item *gap = add(items, end, start - end);
      if (!gap) return false;
      gap->gap = true;
      snprintf(gap->name, MAX_NAME, "%s", gap_name(t));
    }
    if (i < kept) end = start + items->at[i].size;
  }
  if (items->n) qsort(items->at, items->n, sizeof(*items->at), by_offset);
  return true;
}

/* '*' when all words of [first, end) may hold pointers, '+' when some may. */
static char pointer_mark(const struct listed_type *t, uint64_t first,
                         uint64_t end) {
  uint64_t pointers = 0;
  for (uint64_t w = first; w < end; w++)
    pointers += listed_type_is_pointer(t, w);
  if (pointers == 0) return ' ';
  return pointers == end - first ? '*' : '+';
}

/* Writes an item's part of a row into its cells [from, to). */
static void draw_cells(char *row, const struct item *item, unsigned from,
                       unsigned to, bool first) {
  char *cells = row + from * CELL;
  size_t width = (size_t)(to - from) * CELL - 1;
  if (item->gap) {
    for (size_t i = 0; i < width; i += CELL) cells[i] = '.';
  } else if (first) {
    size_t n = strlen(item->name);
    memcpy(cells, item->name, n < width ? n : width);
  } else {
    cells[0] = '"';
  }
  if (to < WORD) row[to * CELL - 1] = '|';
}

static void describe(FILE *out, const struct item *item) {
  uint64_t n = item->size;
  if (item->gap) {
    fprintf(out, "  %" PRIu64 " %s", n, item->name);
  } else {
    const char *kind = item->folded ? "" : kind_name(item->kind);
    fprintf(out, "  %s%s%s (%" PRIu64 ")", item->name, *kind ? ": " : "", kind,
            n);
  }
}

/* Draws the row of word w; *i is the first item that reaches into it. */
static void draw_row(FILE *out, const struct listed_type *t,
                     const struct items *items, size_t *i, uint64_t w) {
  uint64_t start = w * WORD;
  uint64_t end = start + WORD < t->desc.size ? start + WORD : t->desc.size;
  char row[ROW + 1];
  memset(row, ' ', ROW);
  row[ROW] = '\0';
  size_t first = *i;
  size_t k = first;
  for (; k < items->n && items->at[k].offset < end; k++) {
    const struct item *item = &items->at[k];
    uint64_t from = item->offset > start ? item->offset : start;
    uint64_t to = item->offset + item->size;
    if (to > end) to = end;
    draw_cells(row, item, (unsigned)(from - start), (unsigned)(to - start),
               item->offset >= start);
  }
  unsigned cells = (unsigned)(end - start);
  row[cells * CELL - 1] = '\0';
  char mark = pointer_mark(t, w, w + 1);
  fprintf(out, "  %8" PRIu64 " |%s|%*s %c", start, row,
          (int)((WORD - cells) * CELL), "", mark);
  for (size_t j = first; j < k; j++) {
    if (items->at[j].offset >= start) describe(out, &items->at[j]);
  }
  fputc('\n', out);
  *i = k;
  if (k > 0 && items->at[k - 1].offset + items->at[k - 1].size > end) {
    *i = k - 1;
  }
}

/* The words that a row "..." stands for: those in the middle of item i, when
 * more than two. */
static uint64_t folded_words(const struct item *item, uint64_t w) {
  uint64_t end = (item->offset + item->size) / WORD;
  uint64_t start = w * WORD;
  if (item->offset > start || end < w + 2) return 0;
  if (item->folded) return end - w;
  return item->offset < start && end > w + 2 ? end - w : 0;
}

static void draw_fold(FILE *out, const struct listed_type *t,
                      const struct item *item, uint64_t w, uint64_t words) {
  char text[MAX_NAME + 32];
  if (item->folded) {
    snprintf(text, sizeof(text), "... %s", item->name);
  } else {
    snprintf(text, sizeof(text), "... %" PRIu64 " more words", words);
  }
  fprintf(out, "  %8" PRIu64 " |%-*.*s| %c", w * WORD, ROW, ROW, text,
          pointer_mark(t, w, w + words));
  if (item->folded) describe(out, item);
  fputc('\n', out);
}

bool layout_draw(FILE *out, const struct listed_type *t) {
  struct items items = {0};
  if (!flatten(&items, t->fields, t->nfields, 0, "") || !tile(&items, t)) {
    free(items.at);
    return false;
  }
  fprintf(out, "    offset +0 +1 +2 +3 +4 +5 +6 +7\n");
  uint64_t words = (t->desc.size + WORD - 1) / WORD;
  size_t i = 0;
  for (uint64_t w = 0; w < words;) {
    uint64_t folded = folded_words(&items.at[i], w);
    if (folded) {
      draw_fold(out, t, &items.at[i], w, folded);
      w += folded;
      if (items.at[i].offset + items.at[i].size <= w * WORD) i++;
    } else {
      draw_row(out, t, &items, &i, w++);
    }
  }
  free(items.at);
  return true;
}
