#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Folders of src/ are layers: a file includes its own folder and lower ones.

The order is in layers.txt. Nothing in include/ may include from src/.
"""

import re

from common import LINT, files, main, read

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def check():
    with open(f"{LINT}/layers.txt", encoding="utf-8") as text:
        order = [line.strip() for line in text
                 if line.strip() and not line.startswith("#")]
    rank = {layer: i for i, layer in enumerate(order)}
    for path in files(".c", ".h", ".def", under=("src",)):
        layer = path.split("/")[1]
        if layer not in rank:
            yield f"{path}: folder {layer} is not in layers.txt"
            continue
        text = read(path)
        for match in INCLUDE.finditer(text):
            other = match.group(1).split("/")[0]
            line = text.count("\n", 0, match.start()) + 1
            if other in ("mallocgc", "mallocgc.h"):
                continue  # public headers stand below every layer
            if other not in rank:
                yield (f"{path}:{line}: {match.group(1)}: write the path from "
                       "src/")
            elif rank[other] > rank[layer]:
                yield f"{path}:{line}: {layer} includes {other}, which is above"
    for path in files(".h", under=("include",)):
        text = read(path)
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            if not match.group(1).startswith("mallocgc"):
                yield f"{path}:{line}: a public header includes {match.group(1)}"


if __name__ == "__main__":
    main("layers", check)
