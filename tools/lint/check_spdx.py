#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each source file says its licence in its first line (after a #! line)."""

from common import files, main, read

MARK = {".c": "// ", ".h": "// ", ".cpp": "// ", ".def": "// ", ".S": "// ",
        ".py": "# ", ".sh": "# ", ".cmake": "# ", "CMakeLists.txt": "# ",
        "Makefile": "# ", ".fish": "# ", ".bash": "# "}


def check():
    for path in files(*MARK):
        mark = next(m for end, m in MARK.items() if path.endswith(end))
        lines = read(path).splitlines()
        if lines and lines[0].startswith("#!"):
            lines = lines[1:]
        if not lines or lines[0] != mark + "SPDX-License-Identifier: MIT":
            yield f"{path}:1: no SPDX line"


if __name__ == "__main__":
    main("spdx", check)
