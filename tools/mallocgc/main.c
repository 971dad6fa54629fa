// SPDX-License-Identifier: MIT
/*
 * The mallocgc command: global options, then a subcommand that parses the rest.
 * Exit status: 0 done, 1 failed, 2 wrong usage (enum cmd_status).
 */
#include "cmd.h"

#include <argp.h>
#include <mallocgc/version.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *argp_program_version = "mallocgc " MGC_VERSION_STRING;

struct command {
  const char *name;
  cmd_fn *run;
};

static const struct command commands[] = {
#ifdef MGC_HAVE_DEMO
    {"demo", cmd_demo},
#endif
    {"run", cmd_run},
    {"stat", cmd_stat},
    {"types", cmd_types},
};

static const char doc[] =
    "A typed, garbage-collected heap for C, and a malloc on the same heap: "
    "demonstration and tools.\v"
    "Commands:\n"
    "  demo [FILE.json ...]   load JSON documents into the heap, edit and "
    "drop\n"
    "                         them for many rounds, and report\n"
    "  run PROGRAM [ARG ...]  run a program with this heap as its malloc; "
    "report,\n"
    "                         limit, profile, leaks\n"
    "  stat PID               the malloc heap of a live process, by size "
    "class\n"
    "  types PROGRAM          the type descriptors in a program or shared\n"
    "                         library, each with its layout drawn\n"
    "\n"
    "`mallocgc COMMAND --help' describes a command.\n"
    "\n"
    "Exit status: 0 done, 1 failed (the reason is on standard error), 2 wrong\n"
    "usage; of `run', the program's. The library reads MALLOCGC_OPTIONS, see "
    "mallocgc(1).";

struct arguments {
  int command; /* index in argv of the subcommand's name; 0: none */
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  struct arguments *args = state->input;
  switch (key) {
  case ARGP_KEY_ARG:
    (void)arg;
    args->command = state->next - 1;
    state->next = state->argc; /* the rest is the subcommand's */
    return 0;
  case ARGP_KEY_NO_ARGS:
    argp_usage(state);
    return EINVAL;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp argp = {
    .parser = parse, .args_doc = "COMMAND [ARGUMENT...]", .doc = doc};

void cmd_error(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("mallocgc: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
}

static const struct command *find(const char *name) {
  for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
    if (strcmp(commands[i].name, name) == 0) return &commands[i];
  }
  return NULL;
}

int main(int argc, char **argv) {
  struct arguments args = {0};
  argp_err_exit_status = CMD_USAGE;
  if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &args) != 0) {
    return CMD_USAGE;
  }

  const struct command *command = find(argv[args.command]);
  if (!command) {
    cmd_error("no command `%s'; `mallocgc --help' lists them",
              argv[args.command]);
    return CMD_USAGE;
  }

  char full_name[64];
  snprintf(full_name, sizeof(full_name), "mallocgc %s", command->name);
  argv[args.command] = full_name;
  int status = command->run(argc - args.command, argv + args.command);
  if (fflush(stdout) != 0 || ferror(stdout)) {
    cmd_error("cannot write the output: %m");
    return CMD_FAILED;
  }
  return status;
}
