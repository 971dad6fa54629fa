#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The library's sources pass another architecture's compiler: aarch64 is kept compiling.

cross_compile.py COMPILER GENERATED_DIR; 77: the compiler is not here."""

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile

from common import ROOT, files, report

FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-O1", "-Wall", "-Wextra",
         "-Wshadow", "-Wconversion", "-Werror", "-Isrc", "-Iinclude"]
# One header, xxhash.h, which knows all architectures.
HOST_HEADERS = ["xxhash.h", "xxh3.h"]
SKIP = ("_avx2.c", "_avx512.c")


def compile_one(command, path):
    run = subprocess.run(command + [path], cwd=ROOT, capture_output=True, text=True)
    return [] if run.returncode == 0 else [run.stderr.strip()]


def main(compiler, generated):
    if not shutil.which(compiler):
        print(f"cross_compile: {compiler} is not installed")
        return 77
    with tempfile.TemporaryDirectory() as headers:
        for name in HOST_HEADERS:
            if os.path.exists(f"/usr/include/{name}"):
                os.symlink(f"/usr/include/{name}", f"{headers}/{name}")
        command = [compiler, *FLAGS, f"-I{generated}", "-idirafter", headers]
        sources = [f for f in files(".c", under=("src",)) if not f.endswith(SKIP)]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(lambda f: compile_one(command, f), sources)
            problems = [p for one in found for p in one]
    return report(f"cross_compile ({len(sources)} files)", problems)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
