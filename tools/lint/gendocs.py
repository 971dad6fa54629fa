#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the documents that are made from the sources.

  docs/locks.md     from src/base/lockrank.def
  docs/go-map.md    from go_parts.txt, each symbol looked up in its file
  docs/tunables.md  the table between its markers, from src/alloc/options.def

check_generated.py, a test, finds out whether they are up to date.
"""

import os
import re
import sys

from common import ROOT, code, read

MADE = "<!-- Made by tools/lint/gendocs.py from {}: do not edit. -->\n"


def def_rows(path, macro, arguments):
    """The argument lists of MACRO(...) lines of a .def file."""
    text = re.sub(r"/\*.*?\*/", "", read(path), flags=re.S)
    pattern = macro + r"\(" + r"\s*,\s*".join(
        [r"(\w+)"] * (arguments - 1) + [r'((?:"[^"]*"\s*)+)']) + r"\)"
    for match in re.finditer(pattern, text):
        row = list(match.groups())
        row[-1] = "".join(re.findall(r'"([^"]*)"', row[-1]))
        yield row


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |",
             "|" + "|".join("---" for _ in head) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def locks():
    source = "src/base/lockrank.def"
    rows = [[str(i), f"`{name}`", what] for i, (name, what)
            in enumerate(def_rows(source, "LOCKRANK", 2))]
    return (MADE.format(source) + """
# Locks

A thread may take a lock only when its rank is higher than that of every lock it
holds: downwards in this table, never upwards, and never two of one rank. Builds
with `MGC_ASSERT_LEVEL` 1 and more check every acquisition (`mutex_lock`) and end
with both names when it is broken. So no two threads can wait for each other.

""" + table(["rank", "name", "what it protects"], rows))


def tunables_table():
    source = "src/alloc/options.def"
    names = {"BOOL": "0 or 1", "U32": "number", "U64": "number",
             "MODE": "name", "UNIT": "name", "KERNEL": "name"}
    rows = [[f"`{name}`", names[kind], initial, what] for
            name, kind, initial, what in def_rows(source, "OPTION", 4)]
    return table(["name", "value", "default", "what it does"], rows)


def tunables():
    path = "docs/tunables.md"
    begin, end = "<!-- options begin -->\n", "<!-- options end -->"
    text = read(path)
    head, rest = text.split(begin)
    return head + begin + "\n" + tunables_table() + "\n" + end + \
        rest.split(end)[1]


def go_parts():
    """(heading, rows) of go_parts.txt; a row is [go, symbol, file, test]."""
    sections = []
    for number, line in enumerate(read("tools/lint/go_parts.txt").splitlines(),
                                  1):
        if line.startswith("# ") or not line.strip():
            continue
        if line.startswith("== "):
            sections.append((line[3:].strip(), []))
            continue
        row = [cell.strip() for cell in line.split("|")]
        if len(row) != 4:
            raise ValueError(f"go_parts.txt:{number}: not four columns")
        sections[-1][1].append(row)
    return sections


def text_of(path):
    return code(read(path)) if path.endswith((".c", ".h")) else read(path)


def go_map_problems():
    """Symbols that are not in their files, and tests that are not there."""
    for _, rows in go_parts():
        for go, symbol, path, test in rows:
            if not os.path.exists(os.path.join(ROOT, path)):
                yield f"go_parts.txt: {go}: no file {path}"
            elif not re.search(r"\b" + re.escape(symbol) + r"\b",
                               text_of(path)):
                yield f"go_parts.txt: {go}: no {symbol} in {path}"
            if test != "-" and not os.path.exists(os.path.join(ROOT, test)):
                yield f"go_parts.txt: {go}: no test {test}"


def go_map():
    result = MADE.format("tools/lint/go_parts.txt") + """
# Go's memory manager, part by part

Left what it is called in Go's runtime (1.20), then its name and file here, and the
test that covers it. A test fails when a name is not in its file.
"""
    for heading, rows in go_parts():
        cells = [[go, f"`{symbol}`", f"[{path}](../{path})",
                  f"[{os.path.basename(test)}](../{test})" if test != "-"
                  else ""]
                 for go, symbol, path, test in rows]
        result += f"\n## {heading}\n\n" + table(
            ["Go", "here", "file", "test"], cells)
    return result


DOCUMENTS = {"docs/locks.md": locks, "docs/go-map.md": go_map,
             "docs/tunables.md": tunables}


def main():
    for path, make in DOCUMENTS.items():
        text = make()
        with open(os.path.join(ROOT, path), "w", encoding="utf-8") as out:
            out.write(text)
    for problem in go_map_problems():
        print(problem)
    return 0


if __name__ == "__main__":
    sys.exit(main())
