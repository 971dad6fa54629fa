#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks `mallocgc demo` from outside: its figures, its errors, its exit status.

test_demo.py MALLOCGC [--sanitized]: a sanitizer's address space cannot be limited.
"""
import json
import os
import resource
import subprocess
import sys
import tempfile

PROGRAM = sys.argv[1]
SANITIZED = "--sanitized" in sys.argv
failures = []


def demo(*arguments, address_space=None):
    def limit():
        if address_space:
            resource.setrlimit(resource.RLIMIT_AS, (address_space,) * 2)
    return subprocess.run([PROGRAM, "demo", *arguments], capture_output=True,
                          text=True, timeout=120, preexec_fn=limit, check=False)


def expect(condition, what, result):
    if not condition:
        failures.append(what)
        print(f"FAILED: {what}\nstatus {result.returncode}\n{result.stdout}"
              f"{result.stderr}")


def write(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def check_figures(good):
    r = demo("--json", "--rounds=2", good)
    expect(r.returncode == 0 and not r.stderr, "a good document: status 0", r)
    figures = json.loads(r.stdout)
    a, b = figures["with"], figures["without"]
    expect(a["documents"] == b["documents"] == 1, "one document", r)
    expect(a["damaged"] == b["damaged"] == 0, "nothing is damaged", r)
    expect(a["load_objects"] == b["load_objects"], "both do the same work", r)
    expect(b["load_slots"] == b["load_objects"],
           "without the tiny allocator each object has a slot", r)
    # 3-byte texts: five share a block.
    expect(figures["saved"]["slots"] > 0.5, "tiny objects share slots", r)
    expect(figures["saved"]["heap"] > 0.2, "the heap is smaller", r)


def check_report(good):
    r = demo("--rounds=1", "--threads=2", good)
    expect(r.returncode == 0, "the report: status 0", r)
    for text in ("heap after loading", "pause, 99th percentile",
                 "resident / live heap", "All 1 documents are intact"):
        expect(text in r.stdout, f"the report says: {text}", r)
    expect("\033" not in r.stdout, "no colours but on a terminal", r)


def check_bad(directory, good):
    bad = write(directory, "bad.json", '{"a": [1,\n  tru]}')
    absent = os.path.join(directory, "absent.json")
    r = demo("--rounds=1", bad, absent, good)
    expect(r.returncode == 1, "bad documents: status 1", r)
    expect(r.stderr.count(f"{bad}:2:3: ") == 1, "the place, once", r)
    expect(f"{absent}: No such file" in r.stderr, "the missing file", r)
    expect("All 1 documents are intact" in r.stdout, "it goes on", r)
    expect(demo(bad).returncode == 1, "only bad documents: status 1", r)
    expect(demo("--rounds=x").returncode == 2, "wrong usage: status 2", r)


def check_address_space(good):
    r = demo("--rounds=1", good, address_space=2 << 30)
    expect(r.returncode == 0, "2 GiB of address space are enough", r)
    r = demo("--rounds=1", good, address_space=512 << 20)
    expect(r.returncode == 1 and not r.stdout and r.stderr.count("\n") == 1,
           "512 MiB are not: one line and status 1", r)


def main():
    with tempfile.TemporaryDirectory() as directory:
        good = write(directory, "good.json",
                     json.dumps([str(n % 90 + 10) for n in range(20000)]))
        check_figures(good)
        check_report(good)
        check_bad(directory, good)
        if not SANITIZED:
            check_address_space(good)
    print("failed" if failures else "passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
