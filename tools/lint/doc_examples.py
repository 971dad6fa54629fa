#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles and runs the examples of the documents.

doc_examples.py CC LIBRARY_DIR WORK_DIR INCLUDE_DIR...

An example is a fenced block that begins with ```c name=FILE. It is compiled as a
program of its own, with warnings as errors, and must end with status 0. A ```c
block without a name fails the test: it would be an example that nobody compiles.
"""

import os
import re
import subprocess
import sys

from common import files, line_of, read, report

FENCE = re.compile(r"^```c\b([^\n]*)\n(.*?)^```$", re.M | re.S)
FLAGS = ["-std=gnu17", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]


def build_and_run(cc, library, work, includes, name, text):
    """None, or what went wrong."""
    source = os.path.join(work, name)
    program = source[:-2]
    with open(source, "w", encoding="utf-8") as out:
        out.write(text)
    command = [cc, *FLAGS, *("-I" + i for i in includes), source, "-o", program,
               "-L" + library, "-lmallocgc", "-Wl,-rpath," + library, "-pthread"]
    for step in (command, [program]):
        done = subprocess.run(step, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60)
        if done.returncode:
            return f"status {done.returncode} of {step[0]}\n{done.stdout}"
    return None


def check(cc, library, work, *includes):
    os.makedirs(work, exist_ok=True)
    seen = set()
    for path in files(".md"):
        text = read(path)
        for match in FENCE.finditer(text):
            where = f"{path}:{line_of(text, match.start())}"
            name = re.search(r"\bname=(\w+\.c)\b", match.group(1))
            if not name:
                yield f"{where}: a C example without a name"
                continue
            if name.group(1) in seen:
                yield f"{where}: {name.group(1)} is there twice"
            seen.add(name.group(1))
            problem = build_and_run(cc, library, work, includes, name.group(1),
                                    match.group(2))
            if problem:
                yield f"{where}: {name.group(1)}: {problem}"
    if not seen:
        yield "no examples found"


if __name__ == "__main__":
    sys.exit(report("doc examples", list(check(*sys.argv[1:]))))
