#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_cxx.py LIBRARY SOURCES: operator new and delete in C++ programs, which are
compiled here. They pass on libstdc++'s own too (checked first). Exit status 77
when there is no C++ compiler.
"""
import os
import shutil
import subprocess
import sys
import tempfile

HOST = r"""
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
  void *h = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
  if (!h) return printf("%s\n", dlerror()), 2;
  int (*run)(void) = (int (*)(void))dlsym(h, "plugin_run");
  return run ? run() : 3;
}
"""


def main():
    library, sources = sys.argv[1:3]
    cxx = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    cc = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if not cxx or not cc:
        print("skipped: no C++ compiler")
        sys.exit(77)
    failed = 0
    with tempfile.TemporaryDirectory() as work:

        def build(name, source, *flags):
            path = os.path.join(work, name)
            subprocess.run([cxx, "-std=c++17", "-O1", "-g", "-fno-builtin",
                            "-w", *flags, os.path.join(sources, source),
                            "-o", path, "-ldl"], check=True)
            return path

        def run(name, command, env=None):
            nonlocal failed
            for preload in ([], [library]):
                settings = {**os.environ, **(env or {})}
                settings.pop("LD_PRELOAD", None)
                if preload:
                    settings["LD_PRELOAD"] = library
                elif env:
                    continue
                else:
                    settings["MALLOC_TEST_ANY"] = "1"
                done = subprocess.run(command, env=settings, text=True,
                                      stdout=subprocess.PIPE, timeout=60,
                                      stderr=subprocess.STDOUT, check=False)
                if done.returncode != 0:
                    failed += 1
                    print(f"{name} on {'ours' if preload else 'libstdc++'}: "
                          f"{done.returncode}\n{done.stdout}")

        forms = build("forms", "forms.cc")
        for case in ("forms", "failing", "handlers"):
            run(case, [forms, case])
        run("limited", [forms, "limited"],
            {"MALLOCGC_MEMORY_LIMIT": "100MiB"})
        for level in ("1", "2", "3"):
            for pie in ("-pie", "-no-pie"):
                fpic = "-fPIE" if pie == "-pie" else "-fno-pie"
                run(f"replaced {level} {pie}",
                    [build(f"replaced{level}{pie}", "replaced.cc",
                           f"-DFORMS={level}", pie, fpic)])
        plugin = build("plugin.so", "plugin.cc", "-shared", "-fPIC")
        host = os.path.join(work, "host")
        with open(host + ".c", "w", encoding="utf-8") as out:
            out.write(HOST)
        subprocess.run([cc, "-w", host + ".c", "-o", host, "-ldl"], check=True)
        run("plugin", [host, plugin])
    print(f"{failed} failures")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
