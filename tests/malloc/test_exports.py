#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_exports.py LIBRARY: its dynamic symbols are the malloc family, all of it
and nothing else, without versions; it needs libc alone.
"""
import re
import shutil
import subprocess
import sys

FAMILY = """malloc free calloc realloc reallocarray memalign aligned_alloc
posix_memalign valloc pvalloc malloc_usable_size malloc_trim mallopt mallinfo
mallinfo2 malloc_stats malloc_info free_sized free_aligned_sized""".split()
WRAPPED = "malloc calloc realloc memalign valloc pvalloc free".split()
# operator new, new[], delete, delete[] and what follows their names.
NEW = ["", "RKSt9nothrow_t", "St11align_val_t",
       "St11align_val_tRKSt9nothrow_t"]
DELETE = ["", "RKSt9nothrow_t", "St11align_val_t",
          "St11align_val_tRKSt9nothrow_t", "m", "mSt11align_val_t"]


def expected():
    yield from FAMILY
    yield from ("__libc_" + name for name in WRAPPED)
    for letter in "wa":
        yield from (f"_Zn{letter}m{rest}" for rest in NEW)
    for letter in "la":
        yield from (f"_Zd{letter}Pv{rest}" for rest in DELETE)


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True,
                          check=True).stdout


def main():
    library = sys.argv[1]
    if not shutil.which("nm") or not shutil.which("readelf"):
        print("skipped: no binutils")
        sys.exit(77)
    found = {line.split()[-1]
             for line in output("nm", "-D", "--defined-only",
                                library).splitlines()}
    wanted = set(expected())
    dynamic = output("readelf", "-d", "-W", library)
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    problems = [f"missing: {name}" for name in sorted(wanted - found)]
    problems += [f"not of the family: {name}"
                 for name in sorted(found - wanted)]
    problems += [f"needs {name}" for name in sorted(needed)
                 if not name.startswith(("libc.so", "ld-linux"))]
    for flag in ("NODELETE", "NOW"):
        if not re.search(rf"\bFlags:.*\b{flag}\b", dynamic):
            problems.append(f"no {flag}")
    if "TEXTREL" in dynamic:
        problems.append("TEXTREL")
    print("\n".join(problems) or f"{len(found)} symbols")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
