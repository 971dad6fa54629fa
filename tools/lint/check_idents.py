#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A name in backticks, in a comment or a document, is one that the tree has.

Checked: `name`, `name()`, `struct name`, `a.b`, `a->b` (each part), and paths
that begin with a folder of the project. Anything else in backticks is text.
Names from outside are in idents_allowed.txt.
"""

import os
import re

from common import ROOT, comments, exceptions, files, line_of, main, read

TICK = re.compile(r"`([^`\n]+)`")
NAME = re.compile(r"^(?:(?:struct|enum|union) )?"
                  r"([A-Za-z_]\w*(?:(?:\.|->)[A-Za-z_]\w*)*)(?:\(\))?$")
FOLDERS = ("src/", "include/", "tests/", "tools/", "docs/", "cmake/", "bench/",
           "examples/")
WORD = re.compile(r"[A-Za-z_]\w*")


def known_words():
    words = set()
    for path in files(".c", ".h", ".def", ".cpp", ".S"):
        # Names in strings count: options, metrics and sections are strings.
        text = re.sub(r"//[^\n]*|/\*.*?\*/", " ", read(path), flags=re.S)
        words.update(WORD.findall(text))
    for path in files(".py", ".sh", ".cmake", ".txt", ".json", "Makefile",
                      ".in", ".fish", ".bash"):
        words.update(WORD.findall(read(path)))
    return words


def texts():
    for path in files(".c", ".h", ".def", under=("src", "include", "tests",
                                                 "tools", "examples", "bench")):
        for line, comment in comments(read(path)):
            yield path, line, comment
    for path in files(".md"):
        # Fenced blocks are code: doc_examples.py compiles them.
        text = re.sub(r"^```.*?^```", lambda m: re.sub(r"[^\n]", " ",
                      m.group()), read(path), flags=re.M | re.S)
        yield path, 1, text


def check():
    words = known_words()
    allowed = exceptions("idents_allowed.txt")
    for path, first, text in texts():
        for match in TICK.finditer(text):
            line = first + line_of(text, match.start()) - 1
            quoted = match.group(1).strip()
            if quoted in allowed:
                continue
            if quoted.startswith(FOLDERS) and not re.search(r"[*<{ ]", quoted):
                if not os.path.exists(os.path.join(ROOT, quoted)):
                    yield f"{path}:{line}: no file {quoted}"
                continue
            name = NAME.match(quoted)
            if not name:
                continue
            for part in WORD.findall(name.group(1)):
                if part not in words and part not in allowed:
                    yield f"{path}:{line}: no {part} in the tree ({quoted})"


if __name__ == "__main__":
    main("idents", check)
