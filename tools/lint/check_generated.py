#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The documents that are made from the sources are up to date (gendocs.py)."""

from common import main, read
from gendocs import DOCUMENTS, go_map_problems


def check():
    yield from go_map_problems()
    for path, make in DOCUMENTS.items():
        if read(path) != make():
            yield f"{path}: out of date (python3 tools/lint/gendocs.py)"


if __name__ == "__main__":
    main("generated", check)
