// SPDX-License-Identifier: MIT
/*
 * mallocgc demo: real JSON documents on the typed heap.
 *
 *   demo.c          the command line; runs both variants as child processes
 *   demo_files.c    the documents: what to load, mapped into memory
 *   demo_work.c     one run: load, edit and drop, check, measure
 *   demo_result.c   what a run measured, as JSON, which is how it comes back
 *   demo_report.c   the report
 *   demo_bars.c     the heap by size class, drawn
 *
 * The two variants (with and without the tiny allocator) are two processes of
 * this same program that differ in MALLOCGC_OPTIONS only, so that neither sees
 * the other's heap and the figures can be compared.
 */
#ifndef MGC_MALLOCGC_DEMO_H
#define MGC_MALLOCGC_DEMO_H

#include "cmd.h"
#include "json/json.h"

#include <mallocgc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct demo_options {
  unsigned rounds;
  unsigned threads;
  bool quiet; /* say nothing about documents that are no JSON */
};

/* A text and the document that was made of it. */
struct demo_document {
  const char *path;
  const char *text; /* the file, mapped: not on the heap */
  size_t len;
  struct json *value; /* NULL: not JSON, or dropped */
  uint64_t print;     /* fingerprint of its compact form when first loaded */
};

struct demo_files {
  size_t n, failed;
  const char *origin;         /* where they come from, for the report */
  struct demo_document *docs; /* on the heap */
};

/* ---- demo_files.c ---- */

/* The paths to load: those given, or those of the packages that have JSON. A
 * NULL-terminated array on the heap, or NULL after a message. */
const char **demo_paths(char **given, const char **origin);
/* Maps the files; unreadable ones are reported and counted in failed. */
bool demo_map(struct demo_files *files, const char *const *paths, bool quiet);

/* ---- demo_result.c ---- */

/* Every figure of a run. Times are in ns, sizes in bytes. A slot is what the
 * heap hands out: tiny objects that share a block share its slot. */
#define DEMO_FIGURES(F)                                                        \
  F(documents)    /* loaded */                                                 \
  F(failed)       /* files that could not be read or are no JSON */            \
  F(text_bytes)   /* of the documents that were loaded */                      \
  F(load_ns)      /* parsing all of them once */                               \
  F(load_objects) /* allocated meanwhile */                                    \
  F(load_slots)                                                                \
  F(load_bytes)                                                                \
  F(loaded_heap)    /* heap_alloc after loading and a collection */            \
  F(loaded_objects) /* alive then */                                           \
  F(churn_ns)       /* editing and dropping */                                 \
  F(churn_text)     /* bytes of JSON parsed meanwhile */                       \
  F(churn_objects)                                                             \
  F(edits)                                                                     \
  F(total_objects) /* of the whole run */                                      \
  F(total_slots)                                                               \
  F(total_bytes)                                                               \
  F(live_heap) /* heap_alloc at the end, after a collection */                 \
  F(live_objects)                                                              \
  F(collections)                                                               \
  F(pause_median)                                                              \
  F(pause_p99)                                                                 \
  F(pause_max)                                                                 \
  F(heap_inuse)                                                                \
  F(heap_mapped) /* heap_sys - heap_released */                                \
  F(resident)    /* anonymous memory of the process, RssAnon */                \
  F(peak_heap)   /* highest heap_alloc seen between rounds */                  \
  F(damaged)     /* documents that are not what they were: must be 0 */

struct demo_result {
#define DEMO_DECLARE(name) uint64_t name;
  DEMO_FIGURES(DEMO_DECLARE)
#undef DEMO_DECLARE
  /* The heap after loading: slots in use by size class, [0] large objects. */
  uint64_t class_size[MGC_NUM_SIZE_CLASSES];
  uint64_t class_bytes[MGC_NUM_SIZE_CLASSES];
  uint64_t class_slots[MGC_NUM_SIZE_CLASSES];
};

struct json *demo_result_to_json(const struct demo_result *r);
bool demo_result_from_json(struct demo_result *r, const struct json *v);

/* ---- demo_work.c ---- */

/* Does the whole run; false after a message when memory ran out. */
bool demo_run(struct demo_files *files, const struct demo_options *opt,
              struct demo_result *r);

/* ---- demo_report.c, demo_bars.c ---- */

void demo_report(const char *origin, const struct demo_options *opt,
                 const struct demo_result *with,
                 const struct demo_result *without);
void demo_bars(const struct demo_result *r);
/* "12.3 MB"; the text is in one of a few static buffers. */
const char *demo_bytes(uint64_t n);

#endif
