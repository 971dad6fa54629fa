#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_death.py LIBRARY PROGRAM: misuse that must end the program.

Each case of death.c must die by SIGABRT and say why in one line on standard error,
which names the kind, the pointer (the last one that the case printed), the size of
the slot where there is one, and the thread.
"""
import os
import re
import resource
import signal
import subprocess
import sys

LINE = re.compile(r"mallocgc: fatal: ([^:]+): (.*\btid=\d+)\n")

DOUBLE = r"double free"
INVALID = r"invalid free"
BROKEN = r"heap corruption"
# What follows the kind; the pages of a large object are not its own any more.
NAMED = r"ptr={ptr}\b.*\belemsize=\d{{2,}}\b"
LARGE = r"ptr={ptr}\b"

# By the longest prefix of the case's name: kind, and what else the line has.
EXPECTED = {
    "double": (DOUBLE, NAMED),
    "double_large": (r"double free.*|invalid free", LARGE),
    "double_huge": (r"double free.*|invalid free", LARGE),
    "double_of_ended": (r"double free.*|invalid free", LARGE),
    "double_after_other": (r"double free.*|invalid free", LARGE),
    "invalid": (INVALID, LARGE),
    "invalid_nearby": (r"double free or invalid free|invalid free", LARGE),
    "invalid_never_used": (r"double free.*|invalid free", LARGE),
    "interior": (INVALID, r"ptr={ptr}\b.*\belemsize=\d{{2,}}\b"),
    "overflow": (BROKEN, NAMED),
    "write": (BROKEN, NAMED),
    "write_after_remote": (BROKEN, r"\belemsize=\d{{2,}}\b"),
}


def expected(case):
    prefix = max((p for p in EXPECTED if case.startswith(p)), key=len)
    return EXPECTED[prefix]


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def problem(library, program, case):
    """What is wrong, or nothing."""
    done = subprocess.run([program, case], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=20,
                          env={**os.environ, "LD_PRELOAD": library},
                          preexec_fn=no_core, check=False)
    said = f"\n  stdout {done.stdout!r}\n  stderr {done.stderr!r}"
    if done.returncode != -signal.SIGABRT:
        return f"ended with {done.returncode}, not by SIGABRT{said}"
    match = LINE.fullmatch(done.stderr)
    if not match:
        return f"not one line of the form{said}"
    kind, facts = expected(case)
    pointer = done.stdout.split()[-1]
    if not re.fullmatch(kind, match.group(1)):
        return f"kind {match.group(1)!r}, not {kind!r}{said}"
    if not re.match(facts.format(ptr=pointer), match.group(2)):
        if not re.search(facts.format(ptr=pointer), match.group(2)):
            return f"no {facts.format(ptr=pointer)!r}{said}"
    return None


def main():
    library, program = sys.argv[1:3]
    cases = subprocess.run([program], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.split()
    failed = 0
    for case in cases:
        wrong = problem(library, program, case)
        if wrong:
            failed += 1
            print(f"{case}: {wrong}")
    print(f"{len(cases) - failed} of {len(cases)} cases")
    sys.exit(1 if failed or len(cases) < 30 else 0)


if __name__ == "__main__":
    main()
