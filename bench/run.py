#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the benchmarks beside one another and writes one report.

Whole programs are run in turns (mallocgc, libgc, malloc, Go, and again), so that
what disturbs the machine disturbs all of them; a figure is the median of the
runs. Peak memory is the kernel's maximum resident size of the process.
"""
import argparse
import os
import platform
import shlex
import shutil
import statistics
import sys

from benchlib import (Failed, Report, instructions, machine, mb, measure,
                      medians, version)

BACKENDS = ["mallocgc", "libgc", "malloc", "go"]

# name: (full arguments, quick arguments, what it is)
PROGRAMS = {
    "binary_trees": (["20"], ["16"], "binary trees, depth {}"),
    "gcbench": (["4"], ["1"], "GCBench, {} times"),
    "deep_list": (["10000000"], ["1000000"], "a list of {} nodes"),
}
COUNT_SIZES = [16, 64, 256]


class Bench(Report):
    def path(self, program, backend):
        return os.path.join(self.args.programs, f"{program}.{backend}")

    def backends(self, program):
        return [b for b in BACKENDS if os.access(self.path(program, b), os.X_OK)]


def whole_program(bench, program):
    full, quick, title = PROGRAMS[program]
    arguments = quick if bench.args.quick else full
    backends = bench.backends(program)
    runs = {b: [] for b in backends}
    for i in range(bench.args.runs):
        bench.note(f"{program}: run {i + 1} of {bench.args.runs}")
        for b in backends:
            runs[b].append(measure([bench.path(program, b)] + arguments))
    outputs = {b: runs[b][0]["output"] for b in backends}
    if program == "binary_trees" and len(set(outputs.values())) > 1:
        raise Failed("the back ends disagree about the result")

    bench.say(f"### {title.format(arguments[0])}\n")
    base = medians(runs["mallocgc"])
    rows = []
    for b in backends:
        m = medians(runs[b])
        rows.append([b, f"{m['wall']:.3f}", f"{m['cpu']:.3f}", mb(m["peak"]),
                     f"{m['wall'] / base['wall']:.2f}",
                     f"{m['cpu'] / base['cpu']:.2f}",
                     f"{m['peak'] / base['peak']:.2f}"])
    bench.table(["", "wall s", "CPU s", "peak MB", "wall / mallocgc",
                 "CPU / mallocgc", "peak / mallocgc"], rows)
    if program == "deep_list":
        deep_list_details(bench, backends, outputs)


def deep_list_details(bench, backends, outputs):
    bench.say()
    rows = []
    for b in backends:
        build, collect, drop, before, held, after = map(int, outputs[b].split())
        rows.append([b, str(build), str(collect), str(drop), mb(before),
                     mb(held), mb(after)])
    bench.table(["first run", "build ms", "collect ms", "drop and collect ms",
                 "live before MB", "live with MB", "live after MB"], rows)


def fake_integers(bench):
    bench.say("### Integers that look like heap addresses\n")
    bench.say("Bytes of blocks that nothing points to, and that are alive after "
              "a collection\nbecause an integer field of a live record has their "
              "address's value.\n")
    rows = []
    for b in bench.backends("fake_ints"):
        if b == "malloc":
            continue
        made, kept = map(int, measure([bench.path("fake_ints", b)])
                         ["output"].split())
        rows.append([b, mb(made), mb(kept), f"{100 * kept / made:.1f} %"])
    bench.table(["", "made MB", "kept MB", "kept"], rows)


def allocation_loop(bench):
    backends = bench.backends("alloc_loop")
    argument = "16" if bench.args.quick else "128"
    samples = {}
    for i in range(min(bench.args.runs, 3)):
        bench.note(f"alloc_loop: run {i + 1}")
        for b in backends:
            output = measure([bench.path("alloc_loop", b), argument])["output"]
            for line in output.splitlines():
                size, typed, noscan = line.split()
                samples.setdefault((int(size), b), []).append(
                    (float(typed), float(noscan)))
    bench.say("### One allocation, ns, 8 B to 1 MiB\n")
    bench.say("Collections included; malloc's are freed one by one. mallocgc's "
              "and libgc's typed\nobjects are zeroed.\n")
    rows = []
    for size in sorted({size for size, _ in samples}):
        row = [str(size)]
        for kind in (0, 1):
            for b in backends:
                values = [s[kind] for s in samples[(size, b)]]
                row.append(f"{statistics.median(values):.1f}")
        rows.append(row)
    bench.table(["bytes"] + [f"typed {b}" for b in backends]
                + [f"noscan {b}" for b in backends], rows)


def instruction_counts(bench):
    bench.say("### Instructions of one allocation, collections apart\n")
    if not shutil.which("valgrind"):
        bench.say("valgrind is not installed.")
        return
    n = 20000 if bench.args.quick else 100000
    backends = bench.backends("count_alloc")
    rows = []
    for size in COUNT_SIZES:
        row = [str(size)]
        for b in backends:
            bench.note(f"callgrind: {b}, {size} bytes")
            program = bench.path("count_alloc", b)
            one, two = (instructions([program, str(size), str(count)],
                                     bench.args.scratch)
                        for count in (n, 2 * n))
            row.append(f"{(two - one) / n:.1f}")
        rows.append(row)
    bench.say(f"callgrind; typed objects in a tight loop, the collector off, the "
              f"difference of\nruns of {n} and {2 * n} objects. malloc's are "
              f"neither zeroed nor freed.\n")
    bench.table(["bytes"] + backends, rows)


def head(bench):
    bench.say("# Benchmarks\n")
    bench.say(machine())
    bench.say(f"libgc {version(['pkg-config', '--modversion', 'bdw-gc'])}, "
              f"{version(['go', 'version'])}, {' '.join(platform.libc_ver())}")
    bench.say(f"medians of {bench.args.runs} runs, in turns; below 1 in a ratio "
              f"is better than mallocgc\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", required=True)
    parser.add_argument("--report", required=True)
    parser.add_argument("--scratch", default=".")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true",
                        help="small arguments: does it work at all")
    parser.add_argument("--only", action="append",
                        help="a section: " + ", ".join(
                            [*PROGRAMS, "alloc_loop", "fake_ints",
                             "callgrind"]))
    extra = shlex.split(os.environ.get("BENCH_ARGS", ""))
    bench = Bench(parser.parse_args(sys.argv[1:] + extra))

    head(bench)
    for program in PROGRAMS:
        bench.section(program, lambda p=program: whole_program(bench, p))
    bench.section("fake_ints", lambda: fake_integers(bench))
    bench.section("callgrind", lambda: instruction_counts(bench))
    bench.section("alloc_loop", lambda: allocation_loop(bench))

    bench.write()
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
