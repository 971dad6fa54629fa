#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The sources are as clang-format 14 writes them. With --fix: makes them so.

Another version formats differently, so without version 14 the check is skipped
(exit status 77).
"""

import re
import shutil
import subprocess
import sys

from common import ROOT, files, report


def clang_format():
    for name in ("clang-format-14", "clang-format"):
        path = shutil.which(name)
        if path:
            version = subprocess.run([path, "--version"], text=True,
                                     stdout=subprocess.PIPE).stdout
            if re.search(r"version 14\.", version):
                return path
    return None


def main():
    tool = clang_format()
    if not tool:
        print("format: skipped, no clang-format 14 here")
        return 77
    sources = files(".c", ".h", ".cpp", under=(
        "src", "include", "tests", "tools", "bench", "examples"))
    if not sources:
        return 0
    if "--fix" in sys.argv:
        return subprocess.run([tool, "-i", *sources], cwd=ROOT).returncode
    done = subprocess.run([tool, "--dry-run", "-Werror", *sources], cwd=ROOT,
                          text=True, stderr=subprocess.PIPE)
    bad = {}
    for path, line in re.findall(r"^(\S+?):(\d+):\d+: error:", done.stderr,
                                 re.M):
        bad.setdefault(path, line)
    return report("format", [f"{path}:{line}: not formatted (make format)"
                             for path, line in sorted(bad.items())])


if __name__ == "__main__":
    sys.exit(main())
