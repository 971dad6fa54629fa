#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Files of at most 700 lines, functions of at most 100, few conditionals.

90 % of the functions of src/ have at most 40 lines, and outside base/ and os/
there are at most 20 #if in 1000 lines. What is let off is in
size_exceptions.txt by name: "path" or "path:function".
"""

import re

from common import code, exceptions, files, line_of, main, read

MAX_FILE = 700
MAX_FUNCTION = 100
MAX_P90 = 40
MAX_IF_PER_1000 = 20
BODY = re.compile(r"^(?P<head>[A-Za-z_][^;{}#]*?)\b(?P<name>\w+)\s*"
                  r"\((?P<args>[^;{}]*)\)[^;{}]*\{.*?^\}", re.M | re.S)


def functions(text):
    for match in BODY.finditer(code(text)):
        if match.group("name") not in ("if", "while", "for", "switch"):
            first = line_of(text, match.start())
            yield match.group("name"), first, match.group().count("\n") + 1


def check():
    let_off = exceptions("size_exceptions.txt")
    lengths = []
    conditionals = lines = 0
    for path in files(".c", ".h", under=("src", "include", "tools", "examples",
                                         "bench", "tests")):
        text = read(path)
        count = text.count("\n")
        if count > MAX_FILE and path not in let_off:
            yield f"{path}: {count} lines, more than {MAX_FILE}"
        for name, line, length in functions(text):
            if path.startswith("src/"):
                lengths.append(length)
            if length > MAX_FUNCTION and f"{path}:{name}" not in let_off:
                yield f"{path}:{line}: {name} has {length} lines"
        if path.startswith("src/") and path.split("/")[1] not in ("base", "os"):
            lines += sum(1 for line in text.splitlines() if line.strip())
            conditionals += len(re.findall(r"^\s*#\s*if", text, re.M))
            if path.endswith(".h"):
                conditionals -= 1  # the guard
    if lengths:
        p90 = sorted(lengths)[len(lengths) * 9 // 10]
        if p90 > MAX_P90:
            yield f"src/: 1 in 10 functions has more than {p90 - 1} lines"
    if lines > 1000 and conditionals * 1000 / lines > MAX_IF_PER_1000:
        yield f"src/: {conditionals} #if in {lines} lines"


if __name__ == "__main__":
    main("sizes", check)
