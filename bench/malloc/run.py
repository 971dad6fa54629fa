#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs programs under one malloc after another and writes one table.

Every row runs in turns (glibc, mallocgc, the peers, and again), so that what
disturbs the machine disturbs all of them; a figure is the median of the runs.
Each allocator's output must be glibc's. PEERS=name=path.so,... adds allocators.
"""
import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from benchlib import (Failed, Report, add_arguments, finish_arguments,
                      geometric_mean, instructions, machine, mb, medians)
from real import REAL
from rows import SMALL, Running, Skip, run_program

OURS = "mallocgc"
BASE = "mimalloc"
# What the distribution's packages install.
PEERS = {"mimalloc": ("libmimalloc.so.2", "libmimalloc2.0"),
         "jemalloc": ("libjemalloc.so.2", "libjemalloc2"),
         "tcmalloc": ("libtcmalloc_minimal.so.4", "libtcmalloc-minimal4")}
ROWS = SMALL + REAL
PAIR_SIZES = [16, 64, 256, 1024]
IDLE = {"part": "30 of {} MiB kept, {} freed in order",
        "order": "{} MiB, all freed in order",
        "threads": "{} MiB, all freed by 4 threads",
        "random": "{} MiB, 90 % freed at random"}
# What a row may cost beside the best peer's time, and mimalloc's peak.
TIME_BAR = 1.1
PEAK_BAR = 0.7


def library(soname):
    """The path of an installed library, as the dynamic linker finds it."""
    try:
        known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True,
                               text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        known = ""
    for line in known.splitlines():
        if line.split(" ")[0].strip() == soname:
            return line.split("=> ")[-1]
    return None


def ratio(a, b):
    return f"{a / b:.2f}" if a is not None and b else "-"


class Bench(Report):
    def __init__(self, args):
        super().__init__(args)
        self.allocators = {}
        self.results = {}  # row -> allocator -> medians and the runs
        self.data = {"machine": machine(), "quick": args.quick,
                     "runs": args.runs, "rows": self.results}

    def program(self, name):
        path = os.path.join(self.args.programs, name)
        if not os.access(path, os.X_OK):
            raise Failed(f"{path} is not built")
        return path

    def wants_row(self, row):
        only = self.args.only
        return not only or row.name in only or row.group in only

    # Which allocators there are.

    def candidates(self):
        yield "glibc", None, ""
        yield OURS, self.args.library, f"{self.args.library} is not built"
        for name, (soname, package) in PEERS.items():
            yield name, library(soname), f"{package} is not installed"
        for entry in filter(None, os.environ.get("PEERS", "").split(",")):
            name, _, path = entry.partition("=")
            yield name, os.path.abspath(path), f"PEERS has no file {path!r}"

    def find_allocators(self):
        wanted = self.args.allocators
        known = [name for name, _, _ in self.candidates()]
        for name in wanted or []:
            if name not in known:
                self.say(f"skipped: {name}: not one of {', '.join(known)}")
        for name, path, why in self.candidates():
            if name == "glibc":
                self.allocators[name] = None
                continue
            if wanted and name not in wanted:
                continue
            if not path or not os.path.exists(path):
                self.say(f"skipped: {name}: {why}")
                continue
            try:
                self.try_preload(path)
                self.allocators[name] = path
            except Failed as failure:
                self.fail(name, failure)

    def try_preload(self, path):
        """The dynamic linker only warns when it cannot load a library."""
        result = subprocess.run(["/bin/true"], capture_output=True, text=True,
                                env={**os.environ, "LD_PRELOAD": path},
                                check=False)
        if result.returncode != 0 or "ld.so" in result.stderr:
            raise Failed(f"{path}: {result.stderr.strip()[-200:]} "
                         f"(exit status {result.returncode})")

    def peers(self):
        return [name for name in self.allocators if name != OURS]


def measure_row(bench, row, number):
    """All runs of a row. An allocator that fails is left out of the row."""
    argv = row.command(bench)
    runs = {name: [] for name in bench.allocators}
    order = list(bench.allocators)
    for i in range(bench.args.runs):
        for name in order if i % 2 == 0 else reversed(order):
            if name not in runs:
                continue
            bench.note(f"[{number}] {row.name}: {name}, run {i + 1} of "
                       f"{bench.args.runs}")
            try:
                result = row.run(bench, argv,
                                 row.preload(bench.allocators[name]))
                check_output(row, runs, name, result.pop("output"))
                runs[name].append(result)
            except Failed as failure:
                if name == "glibc":
                    raise
                bench.fail(f"{row.name}, {name}", failure)
                del runs[name]
    bench.results[row.name] = {name: {**medians(r), "runs": r}
                               for name, r in runs.items()}


def check_output(row, runs, name, output):
    """The first run is glibc's; all others must print what it printed."""
    if not runs["glibc"] and name == "glibc":
        row.expected = output
    if output != row.expected:
        raise Failed(f"the output is not glibc's ({len(output)} bytes: "
                     f"{output[:60]!r}, {len(row.expected)}: "
                     f"{row.expected[:60]!r})")


def measure_rows(bench):
    rows = [row for row in ROWS if bench.wants_row(row)]
    for i, row in enumerate(rows):
        try:
            measure_row(bench, row, f"{i + 1}/{len(rows)}")
        except Skip as why:
            bench.say(f"skipped: {row.name}: {why}")
        except (Failed, OSError, subprocess.SubprocessError) as failure:
            bench.fail(row.name, failure)


def value(cells, name, key):
    return cells[name][key] if name in cells else None


def best(bench, cells, key):
    values = [cells[p][key] for p in bench.peers() if p in cells]
    return min(values) if values else None


def main_table(bench):
    """Ours in figures, and beside the best peer of the row and mimalloc."""
    formats = {"wall": lambda v: f"{v:.3f}", "cpu": lambda v: f"{v:.3f}",
               "peak": mb}
    rows, ratios = [], {}
    for name, cells in bench.results.items():
        row = [name]
        for key, form in formats.items():
            ours = value(cells, OURS, key)
            row.append(form(ours) if ours is not None else "-")
            for other, figure in (("best", best(bench, cells, key)),
                                  (BASE, value(cells, BASE, key))):
                row.append(ratio(ours, figure))
                if ours is not None and figure:
                    ratios.setdefault((key, other), []).append(ours / figure)
        rows.append(row)
    means = ["geometric mean"]
    for key in formats:
        means.append("")
        for other in ("best", BASE):
            known = ratios.get((key, other))
            means.append(f"{geometric_mean(known):.2f}" if known else "-")
    rows.append(means)
    bench.say(f"### {OURS} beside the best of the others in each row, and "
              f"{BASE}\n")
    bench.table(["", "time s", "/ best", f"/ {BASE}", "CPU s", "/ best",
                 f"/ {BASE}", "peak MB", "/ best", f"/ {BASE}"], rows)
    bench.say()


def per_allocator(bench):
    names = list(bench.allocators)
    for key, title, form in (("wall", "time s", lambda v: f"{v:.3f}"),
                             ("peak", "peak MB", mb)):
        bench.say(f"### Each allocator: {title}\n")
        bench.table([""] + names, [
            [row] + [form(cells[n][key]) if n in cells else "failed"
                     for n in names]
            for row, cells in bench.results.items()])
        bench.say()


def means_table(bench):
    """Only rows that every allocator has, so that all are means of the same."""
    names = list(bench.allocators)
    base = BASE if BASE in names else "glibc"
    groups = {"small programs": [r.name for r in SMALL],
              "real programs": [r.name for r in REAL],
              "all": [r.name for r in ROWS]}
    complete = {row: cells for row, cells in bench.results.items()
                if all(n in cells for n in names)}
    if not complete:
        return
    bench.say(f"### Geometric means, {base} = 1\n")
    means = bench.data["means"] = {}
    rows = []
    for name in names:
        row = [name]
        for key in ("wall", "cpu", "peak"):
            for group, members in groups.items():
                values = [cells[name][key] / max(cells[base][key], 1e-6)
                          for r, cells in complete.items() if r in members]
                mean = geometric_mean([max(v, 1e-6) for v in values]
                                      ) if values else None
                means.setdefault(name, {})[f"{key}, {group}"] = mean
                row.append(f"{mean:.3f}" if mean else "-")
        rows.append(row)
    bench.table([""] + [f"{title}: {group}" for title in ("time", "CPU", "peak")
                        for group in groups], rows)
    left_out = [r for r in bench.results if r not in complete]
    if left_out:
        bench.say(f"\nnot in the means: {', '.join(left_out)}")
    bench.say()


def behind(bench):
    """The rows to look at first."""
    lines = []
    for name, cells in bench.results.items():
        if OURS not in cells:
            continue
        ours, fastest = cells[OURS], best(bench, cells, "wall")
        if ours["wall"] > TIME_BAR * fastest:
            who = min((p for p in bench.peers() if p in cells),
                      key=lambda p: cells[p]["wall"])
            lines.append(f"- {name}: time {ours['wall'] / fastest:.2f} (CPU "
                         f"{ratio(ours['cpu'], cells[who]['cpu'])}) of {who}'s")
        if BASE in cells and ours["peak"] > PEAK_BAR * cells[BASE]["peak"]:
            lines.append(f"- {name}: peak {ours['peak'] / cells[BASE]['peak']:.2f}"
                         f" of {BASE}'s")
    if OURS in bench.allocators:
        bench.say(f"### Rows above {TIME_BAR} of the best time or {PEAK_BAR} of "
                  f"{BASE}'s peak\n")
        for line in lines or ["none"]:
            bench.say(line)
        bench.say()


def start_up(bench):
    """What a program that does nothing costs."""
    repeat = 50 if bench.args.quick else 300
    runs = {name: [] for name in bench.allocators}
    for i in range(bench.args.runs):
        for name, path in bench.allocators.items():
            bench.note(f"true: {name}, run {i + 1} of {bench.args.runs}")
            runs[name].append(run_program(bench, ["/bin/true"], path,
                                          repeat=repeat))
    costs = {name: medians(r) for name, r in runs.items()}
    bench.data["start"] = costs
    bench.say(f"### true, the mean of {repeat} times\n")
    bench.table(["", "ms", "CPU ms", "peak KiB", "over glibc KiB"], [
        [name, f"{c['wall'] / repeat * 1e3:.2f}", f"{c['cpu'] / repeat * 1e3:.2f}",
         f"{c['peak'] / 1024:.0f}",
         f"{(c['peak'] - costs['glibc']['peak']) / 1024:.0f}"]
        for name, c in costs.items()])


def idle(bench):
    """The allocators of a variant peak one after another, and sleep at once."""
    most, freed = (110, 80) if bench.args.quick else (430, 400)
    data = bench.data["idle"] = {}
    bench.say("### Idle after the peak: resident MB\n")
    rows = []
    for variant, title in IDLE.items():
        results = idle_variant(bench, variant, most, freed)
        data[variant] = results
        for name, r in results.items():
            rows.append([f"{title.format(most, freed)}: {name}",
                         *[mb(kib * 1024) for kib in r["resident_kib"]],
                         f"{r['asleep_cpu_us'] / 1e3:.1f}"])
    bench.table(["", "peak", "after the frees", "1 s later", "10 s later",
                 "CPU ms asleep"], rows)


def idle_variant(bench, variant, most, freed):
    own = {}
    for name, path in bench.allocators.items():
        bench.note(f"idle {variant}: {name}")
        scratch = os.path.join(bench.args.scratch, f"idle-{name}")
        os.makedirs(scratch, exist_ok=True)
        own[name] = Running(bench, [bench.program("idle"), variant, str(most),
                                    str(freed)], path, scratch=scratch)
        own[name].wait_for_lines(2)
    bench.note(f"idle {variant}: asleep")
    results, sums = {}, set()
    for name, running in own.items():
        try:
            lines = running.finish()["output"].split()
            sums.add(lines[4])
            if len(sums) > 1:
                raise Failed("the sum of what was freed is not glibc's")
            results[name] = {"resident_kib": [int(n) for n in lines[:4]],
                             "asleep_cpu_us": int(lines[5])}
        except Failed as failure:
            bench.fail(f"idle {variant}, {name}", failure)
    return results


def pairs(bench):
    bench.say("### Instructions of a malloc and free pair\n")
    if not shutil.which("valgrind"):
        bench.say("skipped: callgrind: valgrind is not installed")
        return
    short, long = (10000, 30000) if bench.args.quick else (50000, 150000)
    counts = bench.data["instructions"] = {}
    rows = []
    for size in PAIR_SIZES:
        row = [str(size)]
        for name, path in bench.allocators.items():
            bench.note(f"callgrind: {name}, {size} bytes")
            env = {**os.environ, **({"LD_PRELOAD": path} if path else {})}
            try:
                one, two = (instructions([bench.program("count_pair"), str(size),
                                          str(n)], bench.args.scratch, env)
                            for n in (short, long))
                each = (two - one) / (long - short)
                counts.setdefault(name, {})[size] = each
                row.append(f"{each:.1f}")
            except Failed as failure:
                bench.fail(f"callgrind, {name}, {size} bytes", failure)
                row.append("failed")
        rows.append(row)
    bench.say(f"callgrind, the difference of runs of {short} and {long} pairs: "
              f"with the loop and\nthe PLT.\n")
    bench.table(["bytes"] + list(bench.allocators), rows)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--library", default="",
                        help="libmallocgc-malloc.so")
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--allocators", type=lambda s: s.split(","),
                        help="name,name: only these (and glibc)")
    parser.add_argument("--only", action="append", metavar="ROW",
                        choices=[*(r.name for r in ROWS), "small", "real",
                                 "start", "idle", "callgrind"],
                        help="a row or a part: %(choices)s")
    args = finish_arguments(parser.parse_args(argv))
    # A program may work in a directory of its own.
    args.library = args.library and os.path.abspath(args.library)
    args.scratch = os.path.abspath(args.scratch)
    os.makedirs(args.scratch, exist_ok=True)
    return args


def main():
    extra = shlex.split(os.environ.get("BENCH_ARGS", ""))
    bench = Bench(parse(sys.argv[1:] + extra))
    bench.say("# malloc beside its peers\n")
    bench.say(machine())
    bench.say(f"medians of {bench.args.runs} runs, in turns"
              + (", small arguments" if bench.args.quick else "")
              + "; below 1 in a ratio is better\n")
    bench.find_allocators()
    bench.say(f"allocators: {', '.join(bench.allocators)}\n")

    measure_rows(bench)
    if bench.results:
        if OURS in bench.allocators:
            main_table(bench)
        means_table(bench)
        per_allocator(bench)
        behind(bench)
    bench.section("start", lambda: start_up(bench))
    bench.section("idle", lambda: idle(bench))
    bench.section("callgrind", lambda: pairs(bench))

    bench.data["failures"] = bench.failures
    if bench.args.json:
        with open(bench.args.json, "w", encoding="utf-8") as f:
            json.dump(bench.data, f, indent=1)
    for failure in bench.failures:
        bench.say(f"FAILED: {failure}")
    bench.write()
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
