// SPDX-License-Identifier: MIT
/*
 * mallocgc run PROGRAM [ARGUMENT...]: the program with this heap as its malloc.
 *
 * Sets LD_PRELOAD and the MALLOCGC_* variables and becomes the program, so that
 * it has the same process id, and its exit status is the command's. Statuses of
 * the command's own are those of env(1) and timeout(1).
 */
#include "cmd.h"
#include "os/env.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RUN_FAILED = 125, RUN_NOT_EXECUTABLE = 126, RUN_NOT_FOUND = 127 };

#define LIBRARY "libmallocgc-malloc.so"

static const char doc[] =
    "Runs PROGRAM with this heap in the place of its malloc, and C++'s new.\v"
    "BYTES may end in KiB, MiB, GiB or TiB. In FILE, %p stands for the process "
    "id: programs that PROGRAM starts inherit these settings, and each writes "
    "its own report. docs/reports.md explains the figures.\n"
    "\n"
    "Exit status: PROGRAM's, or 125 when this command fails, 126 when PROGRAM "
    "cannot be executed, 127 when it is not found, 2 for wrong usage.";

enum {
  KEY_REPORT = 0x100,
  KEY_REPORT_FILE,
  KEY_LEAKS,
  KEY_PROFILE,
  KEY_PROFILE_RATE,
  KEY_LIMIT,
  KEY_HARDEN,
  KEY_LIBRARY
};

static const struct argp_option options[] = {
    {"report", KEY_REPORT, "json", OPTION_ARG_OPTIONAL,
     "Print the heap by size class at exit and on SIGUSR2, on standard error; "
     "=json: one line of JSON",
     0},
    {"report-file", KEY_REPORT_FILE, "FILE", 0, "Write the report there", 0},
    {"leaks", KEY_LEAKS, NULL, 0, "List unreachable blocks at exit", 0},
    {"profile", KEY_PROFILE, "FILE", 0,
     "Write a sampled heap profile for pprof", 0},
    {"profile-rate", KEY_PROFILE_RATE, "N", 0,
     "One sample in N bytes on average (524288)", 0},
    {"limit", KEY_LIMIT, "BYTES", 0,
     "Memory limit: give back what is free, then fail with ENOMEM", 0},
    {"harden", KEY_HARDEN, NULL, 0,
     "Detect misuse of the heap, at a cost in time and memory", 0},
    {"library", KEY_LIBRARY, "FILE", OPTION_HIDDEN, NULL, 0},
    {0}};

struct arguments {
  const char *library; /* NULL: the one that belongs to this command */
  const char *report_file;
  bool profile, profile_rate;
  char **program; /* NULL: missing */
};

/* --- the settings, as environment variables --- */

static void set(const char *name, const char *value) {
  if (setenv(name, value, 1) == 0) return;
  cmd_error("cannot set %s: %m", name);
  exit(RUN_FAILED);
}

/* The program may change its directory before it writes. */
static void set_path(const char *name, const char *path) {
  char full[2 * PATH_MAX];
  char dir[PATH_MAX];
  if (*path == '/') {
    set(name, path);
  } else if (getcwd(dir, sizeof(dir))) {
    snprintf(full, sizeof(full), "%s/%s", dir, path);
    set(name, full);
  } else {
    cmd_error("cannot tell the working directory: %m");
    exit(RUN_FAILED);
  }
}

static void set_limit(const char *arg, struct argp_state *state) {
  int64_t bytes;
  if (!parse_bytes(arg, &bytes) || bytes <= 0)
    argp_error(state, "--limit: not a number of bytes: %s", arg);
  set("MALLOCGC_MEMORY_LIMIT", arg);
}

static void set_rate(const char *arg, struct argp_state *state) {
  uint64_t n;
  if (!parse_u64(arg, &n) || n == 0)
    argp_error(state, "--profile-rate: not a positive number: %s", arg);
  set("MALLOCGC_PROFILE_RATE", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state) {
  struct arguments *args = state->input;
  switch (key) {
  case KEY_REPORT:
    if (arg && strcmp(arg, "json") != 0 && strcmp(arg, "text") != 0)
      argp_error(state, "--report: json or text, not %s", arg);
    set("MALLOCGC_REPORT", arg && strcmp(arg, "json") == 0 ? "json" : "1");
    return 0;
  case KEY_REPORT_FILE:
    args->report_file = arg;
    return 0;
  case KEY_LEAKS:
    set("MALLOCGC_LEAKS", "1");
    return 0;
  case KEY_PROFILE:
    set_path("MALLOCGC_PROFILE", arg);
    args->profile = true;
    return 0;
  case KEY_PROFILE_RATE:
    set_rate(arg, state);
    args->profile_rate = true;
    return 0;
  case KEY_LIMIT:
    set_limit(arg, state);
    return 0;
  case KEY_HARDEN:
    set("MALLOCGC_HARDEN", "1");
    return 0;
  case KEY_LIBRARY:
    args->library = arg;
    return 0;
  case ARGP_KEY_ARG:
    args->program = state->argv + state->next - 1;
    state->next = state->argc; /* the rest is the program's */
    return 0;
  case ARGP_KEY_END:
    if (!args->program) argp_error(state, "PROGRAM is missing");
    if (args->profile_rate && !args->profile)
      argp_error(state, "--profile-rate is of no use without --profile");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp argp = {.options = options,
                                 .parser = parse,
                                 .args_doc = "PROGRAM [ARGUMENT...]",
                                 .doc = doc};

/* Reports are added to the file, by every process of the program: it begins
 * empty, and a name that cannot be written is told before anything runs. */
static bool prepare_report_file(const char *path) {
  if (!getenv("MALLOCGC_REPORT")) set("MALLOCGC_REPORT", "1");
  set_path("MALLOCGC_REPORT_FILE", path);
  if (strstr(path, "%p")) return true;
  int fd =
      open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
  if (fd < 0) {
    cmd_error("cannot write %s: %m", path);
    return false;
  }
  close(fd);
  return true;
}

/* --- the library --- */

/* Where it lies, seen from the command's directory: in a build tree, and under
 * a prefix. */
static const char *const places[] = {".", "../lib", "..",
#ifdef MGC_LIBDIR
                                     "../" MGC_LIBDIR,
#endif
                                     "../lib64"};

static bool find_library(char *path, size_t n) {
  char dir[PATH_MAX], candidate[PATH_MAX + 64];
  ssize_t len = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
  if (len <= 0) return false;
  dir[len] = 0;
  char *slash = strrchr(dir, '/');
  if (!slash) return false;
  *slash = 0;
  for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
    snprintf(candidate, sizeof(candidate), "%s/%s/" LIBRARY, dir, places[i]);
    char *real = realpath(candidate, NULL);
    if (!real) continue;
    snprintf(path, n, "%s", real);
    free(real);
    return true;
  }
  cmd_error("no " LIBRARY " beside %s or in ../lib", dir);
  return false;
}

static bool preload(const char *library) {
  char value[8 * PATH_MAX];
  const char *old = getenv("LD_PRELOAD");
  if (strpbrk(library, ": \t\n")) {
    cmd_error("%s: LD_PRELOAD takes no path with a space or a colon", library);
    return false;
  }
  if (!old) old = "";
  int n =
      snprintf(value, sizeof(value), "%s%s%s", library, *old ? ":" : "", old);
  if (n < 0 || (size_t)n >= sizeof(value)) {
    cmd_error("LD_PRELOAD is too long");
    return false;
  }
  set("LD_PRELOAD", value);
  return true;
}

int cmd_run(int argc, char **argv) {
  struct arguments args = {0};
  char found[PATH_MAX];
  if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &args) != 0)
    return CMD_USAGE;
  if (args.library) {
    char *real = realpath(args.library, NULL);
    if (!real) {
      cmd_error("%s: %m", args.library);
      return RUN_FAILED;
    }
    snprintf(found, sizeof(found), "%s", real);
    free(real);
  } else if (!find_library(found, sizeof(found))) {
    return RUN_FAILED;
  }
  if (args.report_file && !prepare_report_file(args.report_file))
    return RUN_FAILED;
  run_warn(args.program[0]);
  if (!preload(found)) return RUN_FAILED;
  execvp(args.program[0], args.program);
  int error = errno;
  cmd_error("%s: %s", args.program[0], strerror(error));
  return error == ENOENT || error == ENOTDIR ? RUN_NOT_FOUND
                                             : RUN_NOT_EXECUTABLE;
}
