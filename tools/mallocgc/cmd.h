// SPDX-License-Identifier: MIT
/* The subcommands of `mallocgc`, one file cmd_<name>.c or <name>.c for each. */
#ifndef MGC_MALLOCGC_CMD_H
#define MGC_MALLOCGC_CMD_H

/* What the command and each of its subcommands end with. */
enum cmd_status {
  CMD_OK = 0,
  CMD_FAILED = 1, /* it did not work; the reason is on stderr */
  CMD_USAGE = 2   /* the command line is wrong */
};

/* A subcommand: argv[0] is "mallocgc <name>", for messages; the rest is its own
 * command line. Returns an enum cmd_status; `run` also those of env(1). */
typedef int cmd_fn(int argc, char **argv);

cmd_fn cmd_types;
cmd_fn cmd_demo;
cmd_fn cmd_run;
cmd_fn cmd_stat;

/* run_warn.c: one line on stderr when LD_PRELOAD cannot work for the program. */
void run_warn(const char *program);

/* Writes "mallocgc: <message>" and a newline to stderr. */
__attribute__((format(printf, 1, 2))) void cmd_error(const char *format, ...);

#endif
