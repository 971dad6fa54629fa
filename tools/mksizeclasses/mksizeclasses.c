// SPDX-License-Identifier: MIT
/*
 * mksizeclasses: derives the size-class tables and writes them as C.
 *
 *   mksizeclasses [--out-header FILE] [--out-public FILE]
 *
 * --out-header: initialisers of struct sizeclass_table (heap/sizeclass_gen.h)
 * --out-public: the class of a constant size, for inlined allocation
 *               (mallocgc/sizeclass_inline.h)
 *
 * With neither, or with both, it prints the table with each class's waste.
 *
 * The rules, for a first alignment of A bytes:
 *
 *   - candidate sizes grow by `align`, which starts at A and, each time a
 *     candidate is a power of two, becomes 16 from 32 on, size/8 from 128 on,
 *     and 256 from 2048 on: rounding up never costs more than 1/8;
 *   - a span takes pages until the tail that no object fits in is at most 1/8
 *     of it;
 *   - a candidate that gives the same pages and the same number of objects as
 *     the class before replaces it: the smaller one would only waste;
 *   - at the end each size grows to use up its span, in steps of 128.
 *
 * The heap set starts at A = 8, the malloc set at A = 16: malloc's results must
 * suit max_align_t whatever the size.
 *
 * Every division by multiplication is proved here by trying every offset.
 */
#include "heap/sizeclass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 8192u
#define ENLARGE_STEP 128u

static void die(const char *what) {
  fprintf(stderr, "mksizeclasses: %s\n", what);
  exit(1);
}

static unsigned next_align(unsigned size, unsigned align) {
  if (!is_pow2(size)) return align;
  if (size >= 2048) return 256;
  if (size >= 128) return size / 8;
  if (size >= 32) return 16;
  return align;
}

static unsigned span_pages(unsigned size) {
  unsigned bytes = PAGE;
  while (bytes % size > bytes / 8) bytes += PAGE;
  return bytes / PAGE;
}

static void derive_classes(struct sizeclass_table *t, unsigned first_align) {
  unsigned n = 1;
  unsigned align = first_align;
  for (unsigned size = align; size <= MAX_SMALL_SIZE; size += align) {
    align = next_align(size, align);
    unsigned npages = span_pages(size);
    unsigned nobjs = npages * PAGE / size;
    if (n > 1 && npages == t->npages[n - 1] &&
        nobjs == npages * PAGE / t->size[n - 1])
      n--;
    if (n >= NUM_SIZE_CLASSES) die("too many classes");
    t->size[n] = (uint16_t)size;
    t->npages[n] = (uint8_t)npages;
    n++;
  }
  t->nclasses = n;
  for (unsigned c = 1; c < n; c++) {
    unsigned bytes = t->npages[c] * PAGE;
    unsigned grown = bytes / (bytes / t->size[c]) & ~(ENLARGE_STEP - 1);
    if (grown > t->size[c]) t->size[c] = (uint16_t)grown;
  }
}

static void derive_divmagic(struct sizeclass_table *t) {
  for (unsigned c = 1; c < t->nclasses; c++) {
    t->divmagic[c] = UINT32_MAX / t->size[c] + 1;
    for (uint32_t off = 0; off <= t->npages[c] * PAGE; off++)
      if (((uint64_t)off * t->divmagic[c]) >> 32 != off / t->size[c])
        die("division by multiplication is wrong");
    if (t->npages[c] * PAGE / t->size[c] > MAX_OBJS_PER_SPAN)
      die("too many objects in a span");
  }
}

static unsigned smallest_class(const struct sizeclass_table *t, unsigned size) {
  unsigned c = 1;
  while (t->size[c] < size) c++;
  return c;
}

static void derive_lookup(struct sizeclass_table *t) {
  for (unsigned i = 1; i < array_len(t->of_size8); i++)
    t->of_size8[i] = (uint8_t)smallest_class(t, i * SMALL_SIZE_DIV);
  for (unsigned i = 0; i < array_len(t->of_size128); i++)
    t->of_size128[i] =
        (uint8_t)smallest_class(t, SMALL_SIZE_MAX + i * LARGE_SIZE_DIV);
  for (unsigned size = 1; size <= MAX_SMALL_SIZE; size++)
    if (sizeclass_of(t, size) != smallest_class(t, size))
      die("a lookup table is wrong");
}

static struct sizeclass_table derive(unsigned first_align) {
  struct sizeclass_table t = {.nclasses = 0};
  derive_classes(&t, first_align);
  derive_divmagic(&t);
  derive_lookup(&t);
  for (unsigned c = 1; c < t.nclasses; c++)
    if (t.size[c] % first_align != 0) die("a class breaks the alignment");
  return t;
}

/* --- output --- */

static void print_waste(FILE *f, const char *name,
                        const struct sizeclass_table *t) {
  fprintf(f, "// %s: %u classes\n", name, t->nclasses - 1);
  fprintf(f, "// class  bytes/obj  bytes/span  objects  tail waste"
             "  max waste  min align\n");
  for (unsigned c = 1; c < t->nclasses; c++) {
    unsigned size = t->size[c], bytes = t->npages[c] * PAGE;
    unsigned nobjs = bytes / size, tail = bytes % size;
    unsigned smallest = c > 1 ? t->size[c - 1] + 1u : 1u;
    unsigned lost = (size - smallest) * nobjs + tail;
    fprintf(f, "// %5u %10u %11u %8u %11u %9.2f%% %10u\n", c, size, bytes,
            nobjs, tail, 100.0 * lost / bytes, 1u << ctz64(size | PAGE));
  }
}

#define PRINT_ARRAY(f, t, field, n)                                            \
  do {                                                                         \
    fprintf(f, "    ." #field " = {");                                         \
    for (unsigned print_i = 0; print_i < (n); print_i++)                       \
      fprintf(f, "%s%uu,", print_i % 12 == 0 ? " \\\n      " : " ",            \
              (unsigned)(t)->field[print_i]);                                  \
    fprintf(f, " }, \\\n");                                                    \
  } while (0)

static void print_table(FILE *f, const char *macro,
                        const struct sizeclass_table *t) {
  fprintf(f, "#define %s { \\\n", macro);
  PRINT_ARRAY(f, t, size, t->nclasses);
  PRINT_ARRAY(f, t, npages, t->nclasses);
  PRINT_ARRAY(f, t, divmagic, t->nclasses);
  PRINT_ARRAY(f, t, of_size8, array_len(t->of_size8));
  PRINT_ARRAY(f, t, of_size128, array_len(t->of_size128));
  fprintf(f, "    .nclasses = %uu }\n\n", t->nclasses);
}

static void write_header(FILE *f, const struct sizeclass_table *heap,
                         const struct sizeclass_table *malloc_set) {
  fprintf(f, "// SPDX-License-Identifier: MIT\n"
             "/* Generated by tools/mksizeclasses; do not edit. */\n"
             "#ifndef MGC_HEAP_SIZECLASS_GEN_H\n"
             "#define MGC_HEAP_SIZECLASS_GEN_H\n\n");
  print_waste(f, "heap set", heap);
  fputs("\n", f);
  print_table(f, "SIZECLASSES_HEAP_INIT", heap);
  print_waste(f, "malloc set", malloc_set);
  fputs("\n", f);
  print_table(f, "SIZECLASSES_MALLOC_INIT", malloc_set);
  fputs("#endif\n", f);
}

static void write_public(FILE *f, const struct sizeclass_table *t) {
  fprintf(f,
          "// SPDX-License-Identifier: MIT\n"
          "/* Generated by tools/mksizeclasses; do not edit. Programs include\n"
          " * <mallocgc.h>; nothing here is called by name. */\n"
          "#ifndef MALLOCGC_SIZECLASS_INLINE_H\n"
          "#define MALLOCGC_SIZECLASS_INLINE_H\n\n"
          "#include <stddef.h>\n\n"
          "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n"
          "/* The size class of n bytes, 0 when n is 0 or over %u. Folds to a\n"
          " * constant when n is one. */\n"
          "static inline unsigned mgc_sizeclass_const(size_t n) {\n"
          "  if (n == 0) return 0;\n",
          SMALL_SIZE_MAX);
  unsigned c;
  for (c = 1; c < t->nclasses && t->size[c] <= SMALL_SIZE_MAX; c++)
    fprintf(f, "  if (n <= %u) return %u;\n", t->size[c], c);
  fprintf(f, "  return 0;\n}\n\n"
             "/* The slot size of a class that mgc_sizeclass_const gave. */\n"
             "static inline unsigned mgc_sizeclass_elemsize(unsigned c) {\n"
             "  switch (c) {\n");
  for (c = 1; c < t->nclasses && t->size[c] <= SMALL_SIZE_MAX; c++)
    fprintf(f, "  case %u: return %u;\n", c, t->size[c]);
  fprintf(f, "  default: return 0;\n  }\n}\n\n"
             "#ifdef __cplusplus\n}\n#endif\n#endif\n");
}

static FILE *open_out(const char *path) {
  FILE *f = fopen(path, "w");
  if (!f) {
    perror(path);
    exit(1);
  }
  return f;
}

static void close_out(FILE *f, const char *path) {
  if (ferror(f) || fclose(f) != 0) {
    perror(path);
    exit(1);
  }
}

int main(int argc, char **argv) {
  struct sizeclass_table heap = derive(8), malloc_set = derive(16);
  for (int i = 1; i < argc; i += 2) {
    bool header = strcmp(argv[i], "--out-header") == 0;
    bool public = strcmp(argv[i], "--out-public") == 0;
    if ((!header && !public) || i + 1 == argc)
      die("usage: mksizeclasses [--out-header FILE] [--out-public FILE]");
    FILE *f = open_out(argv[i + 1]);
    if (header)
      write_header(f, &heap, &malloc_set);
    else
      write_public(f, &heap);
    close_out(f, argv[i + 1]);
  }
  print_waste(stdout, "heap set (8-byte classes)", &heap);
  print_waste(stdout, "malloc set (16-byte alignment)", &malloc_set);
  return 0;
}
