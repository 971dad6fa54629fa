// SPDX-License-Identifier: MIT
/* mallocgc types PROGRAM: the type descriptors in an ELF file, for people or as
 * JSON. */
#include "cmd.h"
#include "layout.h"
#include "typelist.h"

#include <argp.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char doc[] =
    "Lists the type descriptors in a program or shared library (those that "
    "MGC_TYPE declares), each with its layout drawn: one row for a word of 8 "
    "bytes, `*' for a word that may hold a pointer, dots for bytes of no "
    "listed "
    "field."
    "\vExit status: 0 when PROGRAM has descriptors (with --json: when it could "
    "be read), 1 when it has none or cannot be read, 2 for wrong usage.";

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "Write one JSON document", 0},
    {"all", 'a', NULL, 0, "Also the pointer types that belong to the types", 0},
    {"type", 't', "NAME", 0, "Only the type of this name (\"struct node\")", 0},
    {0}};

struct arguments {
  const char *path;
  const char *type;
  bool json;
  bool all;
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  struct arguments *args = state->input;
  switch (key) {
  case 'j':
    args->json = true;
    return 0;
  case 'a':
    args->all = true;
    return 0;
  case 't':
    args->type = arg;
    return 0;
  case ARGP_KEY_ARG:
    if (args->path) argp_error(state, "only one PROGRAM");
    args->path = arg;
    return 0;
  case ARGP_KEY_NO_ARGS:
    argp_error(state, "PROGRAM is missing");
    return EINVAL;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp argp = {
    .options = options, .parser = parse, .args_doc = "PROGRAM", .doc = doc};

static const struct {
  unsigned bit;
  const char *name;
} tflags[] = {{MGC_TFLAG_UNCOMMON, "uncommon"},
              {MGC_TFLAG_EXTRA_STAR, "extra-star"},
              {MGC_TFLAG_NAMED, "named"},
              {MGC_TFLAG_REGULAR_MEMORY, "regular-memory"},
              {MGC_TFLAG_GCMASK_ONDEMAND, "mask-on-demand"},
              {MGC_TFLAG_DIRECT_IFACE, "direct-iface"}};

static void write_tflags(FILE *out, unsigned flags, const char *quote) {
  const char *separator = "";
  for (size_t i = 0; i < sizeof(tflags) / sizeof(tflags[0]); i++) {
    if (!(flags & tflags[i].bit)) continue;
    fprintf(out, "%s%s%s%s", separator, quote, tflags[i].name, quote);
    separator = ", ";
  }
}

/* ---- for people ---- */

/* The mask as Go's debuggers print it: each byte as a number, and its bits, word
 * 0 first. */
static void print_gcdata(const struct listed_type *t) {
  if (t->desc.ptrdata == 0) {
    printf("none");
    return;
  }
  if (!t->mask) {
    printf("program of %zu fields", t->nfields);
    return;
  }
  uint64_t words = t->desc.ptrdata / 8;
  for (uint64_t i = 0; i < (words + 7) / 8; i++) {
    printf("%s%u", i ? "," : "", t->mask[i]);
  }
  printf(" (");
  for (uint64_t w = 0; w < words; w++)
    putchar('0' + listed_type_is_pointer(t, w));
  printf(", word 0 first)");
}

static bool print_type(const struct listed_type *t) {
  const struct mgc_type *d = &t->desc;
  printf("%s\n", *t->name ? t->name : "(no name)");
  printf("    size %zu  ptrdata %zu  align %u  field_align %u  kind %s  "
         "hash 0x%08" PRIx32 "\n",
         d->size, d->ptrdata, d->align, d->field_align,
         kind_name(d->kind & MGC_KIND_MASK), d->hash);
  printf("    gcdata ");
  print_gcdata(t);
  printf("\n    flags ");
  write_tflags(stdout, d->tflag, "");
  printf("%s\n", d->tflag ? "" : "none");
  bool ok = true;
  if (mgc_type_kind(d) == MGC_KIND_STRUCT) ok = layout_draw(stdout, t);
  putchar('\n');
  return ok;
}

/* ---- JSON ---- */

static void json_string(const char *s) {
  putchar('"');
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\') {
      printf("\\%c", c);
    } else if (c < 0x20 || c >= 0x7f) {
      printf("\\u%04x", c);
    } else {
      putchar(c);
    }
  }
  putchar('"');
}

static void json_fields(const struct listed_field *f, size_t n) {
  printf("[");
  for (size_t i = 0; i < n; i += 1 + f[i].nsub) {
    printf("%s{\"name\": ", i ? ", " : "");
    json_string(f[i].name);
    printf(", \"offset\": %" PRIu64 ", \"size\": %" PRIu64
           ", \"kind\": \"%s\", \"pointer\": %s",
           f[i].offset, f[i].size, kind_name(f[i].kind),
           f[i].pointer ? "true" : "false");
    if (f[i].stride) {
      printf(", \"stride\": %" PRIu64 ", \"each\": ", f[i].stride);
      json_fields(&f[i + 1], f[i].nsub);
    }
    printf("}");
  }
  printf("]");
}

static void json_type(const struct listed_type *t) {
  const struct mgc_type *d = &t->desc;
  printf("  {\"name\": ");
  json_string(t->name);
  printf(", \"size\": %zu, \"ptrdata\": %zu, \"align\": %u, "
         "\"field_align\": %u, \"kind\": \"%s\", \"hash\": %" PRIu32
         ", \"tflag\": [",
         d->size, d->ptrdata, d->align, d->field_align,
         kind_name(d->kind & MGC_KIND_MASK), d->hash);
  write_tflags(stdout, d->tflag, "\"");
  printf("], \"gcdata\": ");
  if (t->mask) {
    printf("[");
    for (uint64_t i = 0; i < (d->ptrdata / 8 + 7) / 8; i++) {
      printf("%s%u", i ? ", " : "", t->mask[i]);
    }
    printf("]");
  } else {
    printf("%s", d->ptrdata ? "\"program\"" : "[]");
  }
  printf(", \"fields\": ");
  json_fields(t->fields, t->nfields);
  printf("}");
}

/* ---- the command ---- */

static bool wanted(const struct arguments *args, const struct listed_type *t) {
  if (args->type) return strcmp(args->type, t->name) == 0;
  return args->all || mgc_type_kind(&t->desc) != MGC_KIND_POINTER;
}

static bool write_list(const struct arguments *args,
                       const struct type_list *list, size_t *written) {
  *written = 0;
  if (args->json) printf("{\"types\": [");
  for (size_t i = 0; i < list->ntypes; i++) {
    const struct listed_type *t = &list->types[i];
    if (!wanted(args, t)) continue;
    if (args->json) {
      printf("%s\n", *written ? "," : "");
      json_type(t);
    } else if (!print_type(t)) {
      cmd_error("out of memory");
      return false;
    }
    ++*written;
  }
  if (args->json) printf("%s]}\n", *written ? "\n" : "");
  return true;
}

int cmd_types(int argc, char **argv) {
  struct arguments args = {0};
  if (argp_parse(&argp, argc, argv, 0, NULL, &args) != 0) return CMD_USAGE;

  char error[256];
  struct type_list list;
  if (!type_list_read(&list, args.path, error, sizeof(error))) {
    cmd_error("%s: %s", args.path, error);
    return CMD_FAILED;
  }
  size_t written;
  int status = write_list(&args, &list, &written) ? CMD_OK : CMD_FAILED;
  if (status == CMD_OK && written == 0 && !args.json) {
    if (args.type) {
      cmd_error("%s: no type named %s", args.path, args.type);
    } else {
      cmd_error("%s: no type descriptors (MGC_TYPE declares them)", args.path);
    }
    status = CMD_FAILED;
  }
  type_list_free(&list);
  return status;
}
