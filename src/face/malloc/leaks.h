// SPDX-License-Identifier: MIT
/* The leak report: what its files and the library's other parts call. leaks.c. */
#ifndef MGC_MALLOC_LEAKS_H
#define MGC_MALLOC_LEAKS_H

#include "face/malloc/leakscan.h"

/* What the environment asks for. */
struct leak_options {
  bool at_exit;
  bool on_signal;
  bool json;
  bool inplace;     /* scan in this process, not in a copy of it */
  bool nomaps;      /* memory that the program has mapped is no root */
  int signo;        /* of on_signal */
  int exit_code;    /* of a program with leaks; 0: its own */
  const char *path; /* NULL: standard error */
};

/* What is to be told of a report beside the scan's own figures. */
struct leak_times {
  int64_t stop_ns; /* the program stood still */
  bool copied;     /* the scan was of a copy, while the program ran on */
  int pid;
};

/**
 * Reads MALLOCGC_LEAKS: a list of exit (or 1), signal, json, inplace, nomaps.
 *
 * Units:   none.
 * Returns: false when a word is not one of these; the others are in force.
 * Errors:  none other.
 * Threads: any.
 */
bool leaks_parse(const char *list, struct leak_options *o);

/**
 * Finds the unreachable blocks now and writes the report where MALLOCGC_LEAKS_FILE
 * says.
 *
 * Units:   blocks.
 * Returns: the number of unreachable blocks.
 * Errors:  -1 when there was no memory or no /proc (it says so).
 * Threads: any that holds no lock of the library or the loader; one at a time,
 *          others wait. Not async-signal-safe.
 */
int64_t leaks_report(void);

/* Writes the report to fd. leakprint.c */
void leakprint_text(int fd, const struct leak_result *r,
                    const struct leak_times *t);
void leakprint_json(int fd, const struct leak_result *r,
                    const struct leak_times *t);

#endif
