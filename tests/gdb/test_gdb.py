#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Drives gdb in batch mode over tests/gdb/program.c and checks what it says.

Exit status 77 (skipped) when there is no gdb, or it has no Python, or it may not
trace a program here.
"""
import re
import shutil
import subprocess
import sys

SKIPPED = 77


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def gdb(program, script, commands, trusted=None):
    """What gdb says with the script, or with what it loads from `trusted`."""
    argv = ["gdb", "-nx", "-batch", "-iex", "set pagination off",
            "-iex", "set breakpoint pending on"]
    if trusted:
        argv += ["-iex", f"add-auto-load-safe-path {trusted}"]
    else:
        argv += ["-iex", "set auto-load no", "-ex", f"source {script}"]
    for command in commands:
        argv += ["-ex", command]
    result = subprocess.run(argv + [program], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=120,
                            check=False)
    return result.stdout


def check_environment(program):
    if not shutil.which("gdb"):
        skip("gdb is not installed")
    out = subprocess.run(
        ["gdb", "-nx", "-batch", "-ex", "python print('has ' + 'python')",
         "-ex", "break main", "-ex", "run", "-ex", "p 40 + 2", program],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=120, check=False).stdout
    if "has python" not in out:
        skip("this gdb has no Python")
    if "$1 = 42" not in out or "ptrace" in out:
        skip("gdb cannot run a program here: " + out.strip()[-200:])


# What must be in the output: after `break mgc_newobject`, and at stop_here.
TYPE = [
    r"struct node \(struct, 40 bytes\)",
    r"size = 40",
    r"ptrdata = 40",
    r"kind = struct",
    r"tflag = .*NAMED",
    r"\balign = 8\b",
    r'str = "struct node"',
    r"gcdata = 0x[0-9a-f]+ \[\.\*\*\.\*\]",
    r"word 0 +\+0 +-",
    r"word 1 +\+8 +pointer +left",
    r"word 2 +\+16 +pointer +right",
    r"word 3 +\+24 +-",
    r"word 4 +\+32 +pointer +name",
]
OBJECT = [
    r"object  0x[0-9a-f]+: slot \d+ of \d+, 48 bytes, allocated",
    r"type    struct node \(the span's mask; 40 bytes, ptrdata 40\)",
    r"word 1 +\+8 +pointer +left",
    r"span    0x[0-9a-f]+: \[0x[0-9a-f]+, 0x[0-9a-f]+\), \d+ pages, in use",
    r"size class \d+, scan, \d+ slots of 48 bytes, \d+ taken",
]
INTERIOR = [r"object  0x[0-9a-f]+ \(\+8 into it\): slot \d+ of \d+, 48 bytes"]
NOSCAN = [r"slot \d+ of \d+, 112 bytes, allocated", r"type    no pointers",
          r"size class \d+, noscan"]
LARGE = [r"slot 0 of 1, 106496 bytes, allocated", r"large, noscan"]
SPAN = [r"span    0x[0-9a-f]+", r"slots   # taken", r"^ +0  [#*.]+$"]
HEAP = [r"heap    0x[0-9a-f]+: 1 arena of 64 MiB, 1 collection ",
        r"^ +\d+ +48 scan +\d+ +\d+ +\d+ +\d+ +\d+$",
        r"^ +0 +large noscan +1 +1 +1 +\d+ +\d+$",
        r"^ total +"]
OUTSIDE = [r"is not in the heap"]


def check(name, output, patterns):
    failures = 0
    for pattern in patterns:
        if not re.search(pattern, output, re.MULTILINE):
            print(f"FAILED: {name}: no match of {pattern}")
            failures += 1
    if failures:
        print(f"---- {name}: gdb said\n{output}----")
    return failures


def main():
    program, script, library_dir = sys.argv[1:4]
    check_environment(program)
    failures = check("p *type", gdb(program, script, [
        "break mgc_newobject", "run", "p *type"]), TYPE)
    at_stop = ["break stop_here", "run"]
    for name, command, patterns in [
            ("mgc-object root", "mgc-object root", OBJECT),
            ("mgc-object &root->left", "mgc-object &root->left", INTERIOR),
            ("mgc-object text", "mgc-object text", NOSCAN),
            ("mgc-object large", "mgc-object large", LARGE),
            ("mgc-span root", "mgc-span root", SPAN),
            ("mgc-heap", "mgc-heap", HEAP),
            ("mgc-object &root", "mgc-object &root", OUTSIDE)]:
        failures += check(name, gdb(program, script, at_stop + [command]),
                          patterns)
    failures += check("loaded with the library", gdb(
        program, None, at_stop + ["mgc-heap"], library_dir), HEAP)
    print("failed" if failures else "passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
