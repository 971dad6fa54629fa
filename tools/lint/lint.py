#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every check of this folder (each is also a ctest of its own)."""

import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    failed = 0
    for path in sorted(glob.glob(os.path.join(HERE, "check_*.py"))):
        failed += subprocess.run([sys.executable, path]).returncode == 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
