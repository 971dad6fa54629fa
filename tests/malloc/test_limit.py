#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_limit.py LIBRARY PROGRAM: MALLOCGC_MEMORY_LIMIT, and the kernel's own.

A limit makes allocations fail with ENOMEM once memory that can be given back has
been, and the program goes on. Without a limit there is none.
"""
import os
import resource
import subprocess
import sys

MIB = 1 << 20


def run(library, program, kind, size, env=None, address_space=None):
    def limit():
        if address_space:
            resource.setrlimit(resource.RLIMIT_AS, (address_space,) * 2)

    return subprocess.run([program, kind, str(size)], text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, "LD_PRELOAD": library,
                               **(env or {})},
                          preexec_fn=limit, check=False)


def main():
    library, program = sys.argv[1:3]
    failed = 0

    def expect(name, done, good):
        nonlocal failed
        if good:
            print(f"{name}: {done.stdout.strip()}")
        else:
            failed += 1
            print(f"{name}: FAILED with {done.returncode}: {done.stdout}"
                  f"{done.stderr}")

    for kind in ("small", "large", "mixed"):
        for size, text in ((64 * MIB, "64MiB"), (200 * MIB, "209715200")):
            done = run(library, program, kind, size,
                       {"MALLOCGC_MEMORY_LIMIT": text})
            expect(f"{kind} {text}", done, done.returncode == 0)
    for kind in ("small", "large"):
        done = run(library, program, kind, 1024 * MIB,
                   address_space=2048 * MIB)
        # The kernel leaves no more than that: "were to be had" may fail, no more.
        lines = [line for line in done.stderr.splitlines()
                 if "to be had" not in line and "checks failed" not in line]
        expect(f"{kind} under ulimit -v", done,
               done.returncode in (0, 1) and not lines)
    done = run(library, program, "large", 16 * MIB)
    expect("no limit", done, "67108864 were to be had" in done.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
