#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Names and calls that src/ and include/ may not have.

No typedef that ends in _t, no name of ours with a leading underscore, guards
MGC_<DIR>_<FILE>_H, public names mgc_ or MGC_; in src/ no stdio, no heap of
somebody else, no abort or assert and no fence. "path:name" in
name_exceptions.txt lets one off.
"""

import os
import re

from common import code, exceptions, files, line_of, main, read

BANNED = ("malloc calloc realloc free strdup printf fprintf sprintf snprintf "
          "vsnprintf puts fputs fopen abort assert exit atomic_thread_fence "
          "__atomic_thread_fence __builtin_trap").split()
CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
TYPEDEF = re.compile(r"\btypedef\b[^;]*?\b(\w+_t)\s*;", re.S)
UNDERSCORE = re.compile(r"(?<![\w.>#])_[a-z]\w*")
VECTOR = re.compile(r"_mm(256|512)?_")  # intrinsics of <immintrin.h>
GUARD = re.compile(r"^#ifndef (\w+)\n#define \1$", re.M)
LIBC = {"_exit", "_dl_find_object", "_start", "_end", "_etext", "_edata",
        "_r_debug"}
PROTOTYPE = re.compile(r"^(?!static|#|typedef|struct \w+ \{|enum)"
                       r"[A-Za-z_][^;{}()=#]*?\b(\w+)\([^;{}]*\)[^;{}]*;",
                       re.M)


def guards(path):
    folder, leaf = os.path.split(path)
    stem = re.sub(r"\W", "_", os.path.splitext(leaf)[0]).upper()
    last = os.path.basename(folder).upper()
    if path.startswith("src/"):
        return {f"MGC_{last}_{stem}_H"}
    if path == "include/mallocgc.h":
        return {"MALLOCGC_H"}
    return {f"MALLOCGC_{stem}_H", f"MGC_{stem}_H", f"MGC_{last}_{stem}_H"}


def check():
    let_off = exceptions("name_exceptions.txt")
    for path in files(".c", ".h", under=("src", "include")):
        text = code(read(path))
        found = [(m, f"typedef {m.group(1)} ends in _t", m.group(1))
                 for m in TYPEDEF.finditer(text)]
        found += [(m, f"{m.group()} begins with an underscore", m.group())
                  for m in UNDERSCORE.finditer(text)
                  if m.group() not in LIBC and not VECTOR.match(m.group())]
        if path.startswith("src/"):
            found += [(m, f"{m.group(1)} is not for the library", m.group(1))
                      for m in CALL.finditer(text)]
        else:
            found += [(m, f"{m.group(1)} is public and not mgc_", m.group(1))
                      for m in PROTOTYPE.finditer(text)
                      if not m.group(1).startswith(("mgc_", "MGC_", "__"))]
        for match, problem, name in found:
            if f"{path}:{name}" not in let_off:
                yield f"{path}:{line_of(text, match.start())}: {problem}"
        if path.endswith(".h"):
            guard = GUARD.search(text)
            if not guard or guard.group(1) not in guards(path):
                if f"{path}:guard" not in let_off:
                    yield f"{path}: guard is not one of {sorted(guards(path))}"


if __name__ == "__main__":
    main("names", check)
