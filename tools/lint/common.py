# SPDX-License-Identifier: MIT
"""What the checks share: the files of the tree, comments apart from code."""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
LINT = os.path.join(ROOT, "tools", "lint")
SKIP = {"build", ".git", "__pycache__", ".cache"}


def files(*endings, under=("",)):
    """Paths relative to the root, sorted, that end in one of the endings."""
    found = []
    for top in under:
        for directory, names, leaves in os.walk(os.path.join(ROOT, top)):
            names[:] = sorted(n for n in names if n not in SKIP)
            for leaf in leaves:
                if leaf.endswith(endings):
                    path = os.path.join(directory, leaf)
                    found.append(os.path.relpath(path, ROOT))
    return sorted(set(found))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as text:
        return text.read()


def exceptions(name):
    """Lines of a list in this folder, without comments: a set of strings."""
    path = os.path.join(LINT, name)
    if not os.path.exists(path):
        return set()
    lines = (line.split("#")[0].strip() for line in read(path).splitlines())
    return {line for line in lines if line}


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"'
                   r"|'(?:\\.|[^'\\\n])*'", re.S)


def blank(text):
    """As many newlines and spaces, so that positions stay."""
    return re.sub(r"[^\n]", " ", text)


def code(text):
    """C without comments and without the insides of strings."""
    def replace(match):
        token = match.group()
        if token[0] == "/":
            return blank(token)
        return token[0] + blank(token[1:-1]) + token[0]
    return TOKEN.sub(replace, text)


def comments(text):
    """(line, text) of each comment of a C file."""
    for match in TOKEN.finditer(text):
        if match.group()[0] == "/":
            yield text.count("\n", 0, match.start()) + 1, match.group()


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def report(name, problems):
    """Prints the problems; the exit status of the check."""
    for problem in problems:
        print(problem)
    print(f"{name}: {len(problems)} problems" if problems else f"{name}: ok")
    return 1 if problems else 0


def main(name, check):
    sys.exit(report(name, list(check())))
