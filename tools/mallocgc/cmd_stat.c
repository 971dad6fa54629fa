// SPDX-License-Identifier: MIT
/*
 * mallocgc stat PID: the heap of a live process, now.
 *
 * The command reads the process's memory (findheap.h, msnap.h) and does not ask
 * for help. Of the ways there are this needs the least: no listening thread or
 * socket in every program, no signal, whose handler the program may have
 * replaced, and no file that somebody else could have put there first; and it
 * works for a process that hangs, is stopped, or was not started for it. What it
 * needs is the right to trace the process, which its owner has.
 */
#include "cmd.h"
#include "findheap.h"

#include <argp.h>
#include <errno.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char doc[] =
    "Prints the malloc heap of a live process that runs on "
    "libmallocgc-malloc.so: by size class, with fragmentation, memory given "
    "back, and the peak. The process is not stopped and does not notice.\v"
    "Reading a process takes the right to trace it: it must be yours. Where "
    "/proc/sys/kernel/yama/ptrace_scope is 1, start it with `mallocgc run "
    "--report'. docs/reports.md explains the figures.\n"
    "\n"
    "Exit status: 0 printed, 1 not (the reason is on standard error), 2 wrong "
    "usage.";

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "Write one line of JSON", 0}, {0}};

struct arguments {
  int pid; /* 0: missing */
  bool json;
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  struct arguments *args = state->input;
  char *end;
  long n;
  switch (key) {
  case 'j':
    args->json = true;
    return 0;
  case ARGP_KEY_ARG:
    if (args->pid) argp_error(state, "only one PID");
    errno = 0;
    n = strtol(arg, &end, 10);
    if (errno || end == arg || *end || n <= 0 || n > INT_MAX)
      argp_error(state, "not a process id: %s", arg);
    args->pid = (int)n;
    return 0;
  case ARGP_KEY_NO_ARGS:
    argp_error(state, "PID is missing");
    return EINVAL;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp argp = {
    .options = options, .parser = parse, .args_doc = "PID", .doc = doc};

static struct msnap_style detect_style(void) {
  struct winsize ws = {0};
  bool tty = ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0;
  const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
  const char *given = getenv("COLUMNS");
  unsigned columns = 100;
  if (tty && ws.ws_col > 0)
    columns = ws.ws_col;
  else if (given && atoi(given) > 0)
    columns = (unsigned)atoi(given);
  return (struct msnap_style){.utf8 =
                                  strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
                              .color = tty && !(no_color && *no_color) &&
                                       !(term && strcmp(term, "dumb") == 0),
                              .columns = columns > 120 ? 120 : columns};
}

static int say_why(int pid, const char *why) {
  cmd_error("%d: %s", pid, why);
  return CMD_FAILED;
}

static int not_found(int pid, enum findheap_status status,
                     const struct msnap_anchor *a) {
  switch (status) {
  case FINDHEAP_NO_PROCESS:
    return say_why(pid, "no such process");
  case FINDHEAP_DENIED:
    return say_why(pid, "not permitted to read this process");
  case FINDHEAP_OTHER:
    cmd_error("%d: runs on another build of the library (%.16s); use the "
              "mallocgc command that came with it",
              pid, a->version);
    return CMD_FAILED;
  default:
    return say_why(pid, "does not run on libmallocgc-malloc.so; `mallocgc run "
                        "PROGRAM' starts a program that does");
  }
}

static int print(const struct arguments *args, const struct msnap *snap) {
  static char text[MSNAP_TEXT_MAX];
  struct msnap_style style = detect_style();
  size_t n = args->json
                 ? msnap_print_json(snap, "now", text, sizeof(text))
                 : msnap_print_text(snap, &style, "now", text, sizeof(text));
  fwrite(text, 1, n, stdout);
  return CMD_OK;
}

int cmd_stat(int argc, char **argv) {
  static struct msnap snap;
  struct arguments args = {0};
  struct msnap_anchor anchor;
  setlocale(LC_CTYPE, "");
  if (argp_parse(&argp, argc, argv, 0, NULL, &args) != 0) return CMD_USAGE;
  enum findheap_status found = findheap(args.pid, &anchor);
  if (found != FINDHEAP_OK) return not_found(args.pid, found, &anchor);
  const struct msnap_from from = {.anchor = &anchor, .pid = args.pid};
  switch (msnap_take(&from, &snap)) {
  case MSNAP_OK:
    return print(&args, &snap);
  case MSNAP_NOT_STARTED:
    return say_why(args.pid, "has not allocated anything yet");
  case MSNAP_DENIED:
    return say_why(args.pid, "not permitted to read this process");
  case MSNAP_NO_MEMORY:
    return say_why(args.pid, "out of memory");
  default:
    return say_why(args.pid, "ended while it was read");
  }
}
