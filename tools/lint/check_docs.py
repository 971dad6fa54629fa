#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each public prototype has a comment directly above it that says its units,
errors and threads.

Prototypes with no blank line between them share the comment above the first.
What programs do not call by name is in docs_exceptions.txt.
"""

import re

from common import blank, code, exceptions, files, line_of, main, read

LABELS = ("Units:", "Errors:", "Threads:")
DECLARATION_END = re.compile(r"[;{]")
NAME = re.compile(r"\b(mgc_\w+)\s*\(")
COMMENT_ABOVE = re.compile(r"/\*(?:(?!\*/).)*\*/[ \t]*\n\s*\Z", re.S)


def top_level(text):
    """The file without bodies of functions and types and without directives."""
    flat = code(text)
    flat = re.sub(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', lambda m: blank(m.group()),
                  flat, flags=re.M)
    flat = re.sub(r'extern\s+"\s*"\s*\{', lambda m: blank(m.group()), flat)
    depth = 0
    result = []
    for char in flat:
        if char == "}":
            depth -= 1
        result.append(char if depth <= 0 or char == "\n" else " ")
        if char == "{":
            depth += 1
    return "".join(result)


def prototypes(text):
    """(name, position) of each function that the header declares or defines."""
    flat = top_level(text)
    begin = 0
    for end in DECLARATION_END.finditer(flat):
        declaration = flat[begin:end.end()]
        start = begin + len(declaration) - len(declaration.lstrip())
        begin = end.end()
        head = declaration.strip()
        name = NAME.search(re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head))
        if (not name or head.startswith(("typedef", "MGC_STATIC_ASSERT"))
                or re.match(r"(extern\s+)?[\w\s*]*\(\s*\*", head)):
            continue
        yield name.group(1), start


def documentation(text, start):
    """The comment directly above, or None; "" stands for "the same group"."""
    above = text[:start].rstrip(" \t")
    if above.endswith("\n\n"):
        return None
    match = COMMENT_ABOVE.search(above)
    if match and not re.search(r"\n[ \t]*\n\s*\Z", match.group()):
        return text[text.rfind("/*", 0, match.end()):match.end()]
    if re.search(r"[;}]\s*\n[ \t]*\Z", above):
        return ""
    return None


def check():
    let_off = exceptions("docs_exceptions.txt")
    for path in files(".h", under=("include",)):
        if path in let_off:
            continue
        text = read(path)
        last = None
        for name, start in prototypes(text):
            if f"{path}:{name}" in let_off:
                continue
            comment = documentation(text, start)
            if comment == "":
                comment = last
            last = comment
            if comment is None:
                yield (f"{path}:{line_of(text, start)}: {name} has no comment "
                       "directly above")
                continue
            missing = [label for label in LABELS if label not in comment]
            if missing:
                yield (f"{path}:{line_of(text, start)}: {name}: the comment "
                       f"does not say {', '.join(missing)}")


if __name__ == "__main__":
    main("docs", check)
