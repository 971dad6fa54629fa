// SPDX-License-Identifier: MIT
/* The signals by which the collector stops and restarts threads. */
#ifndef MGC_OS_SIGNALS_H
#define MGC_OS_SIGNALS_H

#include "base/compiler.h"
#include <signal.h>
#include <stdbool.h>

/* Where the search begins when nothing is configured. The first real-time
 * numbers are popular with programs; glibc itself hides two. */
#define SIGNAL_DEFAULT_STOP (SIGRTMIN + 6)
#define SIGNAL_DEFAULT_RESTART (SIGRTMIN + 7)

typedef void signal_handler(int signo, siginfo_t *info, void *ucontext);

/* Installs handler on the first signal from wanted up to SIGRTMAX that nobody
 * has a handler for. System calls that it interrupts are restarted. It runs on
 * the stack of the interrupted thread, with all signals but faults blocked: the
 * kernel saves the interrupted registers there, above the handler's own frame.
 * Returns: the signal's number. A result other than wanted is worth reporting.
 * Errors: -EBUSY when all are taken, -EINVAL for a number that is no signal or
 * cannot be caught.
 * Threads: one at a time. */
MGC_MUST_CHECK int signal_claim(int wanted, signal_handler *handler);

/* Gives a claimed signal back to its default. Nothing when somebody has put
 * another handler there since. Threads: one at a time; none may still send it. */
void signal_release(int signo, signal_handler *handler);

/* Whether handler is still what the kernel will call: a program may have taken
 * the signal over. Threads: any. */
bool signal_is_ours(int signo, signal_handler *handler);

/* Makes the calling thread take the signal.
 * Returns: whether it was blocked before. Async-signal-safe. */
bool signal_unblock(int signo);

#endif
