#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the same programs on this collector and its peers, and writes one report.

Every row runs in turns (mallocgc, libgc, malloc, Go, and again), so that what
disturbs the machine disturbs all of them; a figure is the median of the runs, a
largest one the largest of all. The checksums of a row must agree. Bars that are
missed are listed at the end; only a program that fails makes the run fail.
"""
import argparse
import json
import os
import shlex
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from benchlib import (Failed, Report, add_arguments, finish_arguments,
                      geometric_mean, keys_of, machine, mb, measure, medians,
                      version)
from rows import (Drop, Limit, MEAN_PEAK, MEAN_TIME, MODES, OPERATIONS, OURS,
                  PAUSES, PEERS, ROW_TIME, Way, rows)

ROWS = rows()


class Bench(Report):
    def __init__(self, args):
        super().__init__(args)
        self.ways = []
        self.results = {}  # row -> way's name -> medians, figures, runs
        self.missed = []
        self.data = {"machine": machine(), "quick": args.quick,
                     "runs": args.runs, "rows": self.results,
                     "missed": self.missed, "failures": self.failures}

    def path(self, program, way):
        return os.path.join(self.args.programs, f"{program}.{way.backend}")

    def has(self, program, way):
        return os.access(self.path(program, way), os.X_OK)

    def find_ways(self):
        self.ways = [Way(OURS, mode) for mode in self.args.mode]
        if not self.has("cache", self.ways[0]):
            raise Failed(f"{self.path('cache', self.ways[0])} is not built")
        for peer, why in PEERS.items():
            if self.args.peers is not None and peer not in self.args.peers:
                continue
            if self.has("cache", Way(peer)):
                self.ways.append(Way(peer))
            else:
                self.say(f"skipped: {peer}: {why}")

    def wants_row(self, row):
        only = self.args.only
        return not only or row.name in only or row.program in only

    def ours(self):
        return [way for way in self.ways if way.ours()]

    def backends(self):
        return {way.backend for way in self.ways}

    def miss(self, text):
        self.missed.append(text)


# --- the programs ---

def measure_row(bench, row, number):
    """All runs of a row. What fails is left out of it."""
    ways = [way for way in bench.ways if bench.has(row.program, way)]
    runs = {way.name: [] for way in ways}
    expected = {}  # the first run's checksum, and whose it is
    for i in range(bench.args.runs):
        for way in ways if i % 2 == 0 else reversed(ways):
            if way.name not in runs:
                continue
            bench.note(f"[{number}] {row.name}: {way.name}, run {i + 1} of "
                       f"{bench.args.runs}")
            try:
                runs[way.name].append(one_run(bench, row, way, expected))
            except Failed as failure:
                bench.fail(f"{row.name}, {way.name}", failure)
                del runs[way.name]
    bench.results[row.name] = {name: summary(r) for name, r in runs.items()}


def one_run(bench, row, way, expected):
    run = measure([bench.path(row.program, way),
                   *row.arguments(bench.args.quick)], way.environment())
    del run["output"]
    if "checksum" not in run["figures"]:
        raise Failed("no checksum")
    checksum = run["figures"]["checksum"]
    if not expected:
        expected.update(checksum=checksum, of=way.name)
    if checksum != expected["checksum"]:
        raise Failed(f"the checksum is {checksum}, and {expected['checksum']} "
                     f"with {expected['of']}")
    return run


def summary(runs):
    figures = {}
    for key in runs[0]["figures"]:
        known = [run["figures"][key] for run in runs if key in run["figures"]]
        pick = max if key.endswith("_max_ns") else statistics.median
        figures[key] = pick(known)
    return {**medians(runs), "figures": figures, "runs": runs}


def form(figures, key, unit, digits):
    return f"{figures[key] / unit:.{digits}f}" if key in figures else "-"


COLUMNS = [("collections", "collections", 1, 0),
           ("pauses: 50 % ms", "pause_p50_ns", 1e6, 3),
           ("99 %", "pause_p99_ns", 1e6, 3),
           ("largest", "pause_max_ns", 1e6, 3),
           ("operations: 50 % us", "op_p50_ns", 1e3, 2),
           ("99 %", "op_p99_ns", 1e3, 2),
           ("99.9 %", "op_p999_ns", 1e3, 1),
           ("largest ms", "op_max_ns", 1e6, 2),
           ("1000 a second", "rate_p50", 1e3, 0),
           ("at worst", "rate_p05", 1e3, 0)]


def row_table(bench, row):
    cells = bench.results[row.name]
    if not cells:
        return
    columns = [c for c in COLUMNS
               if any(c[1] in cell["figures"] for cell in cells.values())]
    bench.say(f"### {row.name}: {row.headline(bench.args.quick)}\n")
    bench.table(["", "time s", "CPU s", "peak MB"] + [c[0] for c in columns], [
        [name, f"{c['wall']:.3f}", f"{c['cpu']:.3f}", mb(c["peak"])]
        + [form(c["figures"], key, unit, digits)
           for _, key, unit, digits in columns]
        for name, c in cells.items()])
    bench.say()


def measure_rows(bench):
    wanted = [row for row in ROWS if bench.wants_row(row)]
    for i, row in enumerate(wanted):
        try:
            measure_row(bench, row, f"{i + 1}/{len(wanted)}")
            row_table(bench, row)
        except OSError as failure:
            bench.fail(row.name, failure)


# --- mallocgc beside its peers ---

def ratios(bench, way, peer, key):
    """row -> how much of the peer's; rows that both have."""
    return {name: cells[way.name][key] / cells[peer][key]
            for name, cells in bench.results.items()
            if way.name in cells and peer in cells}


def peers_of(bench):
    return [way.name for way in bench.ways if not way.ours()]


def comparison(bench, way):
    peers = peers_of(bench)
    known = {(key, peer): ratios(bench, way, peer, key)
             for key in ("wall", "peak") for peer in peers}
    table = []
    for name, cells in bench.results.items():
        if way.name not in cells:
            continue
        line = [name]
        for key, text in (("wall", f"{cells[way.name]['wall']:.3f}"),
                          ("peak", mb(cells[way.name]["peak"]))):
            line.append(text)
            for peer in peers:
                ratio = known[key, peer].get(name)
                line.append(f"{ratio:.2f}" if ratio is not None else "-")
        table.append(line)
    last = ["geometric mean"]
    means = bench.data.setdefault("means", {}).setdefault(way.name, {})
    for key in ("wall", "peak"):
        last.append("")
        for peer in peers:
            values = list(known[key, peer].values())
            mean = geometric_mean(values) if values else None
            means[f"{key} / {peer}"] = mean
            last.append(f"{mean:.2f}" if mean else "-")
    bench.say(f"### {way.name} beside its peers: below 1 is better\n")
    bench.table(["", "time s", *(f"/ {p}" for p in peers), "peak MB",
                 *(f"/ {p}" for p in peers)], table + [last])
    bench.say()


def scaling(bench):
    """Threads that each do the same work: how much more is done in a second."""
    cells = {row.full[0]: bench.results[row.name] for row in ROWS
             if row.program == "scale" and bench.results.get(row.name)}
    if len(cells) < 2 or 1 not in cells:
        return
    bench.say("### Records a second, beside one thread's\n")
    names = [w.name for w in bench.ways if all(w.name in c
                                               for c in cells.values())]
    bench.table(["threads", *names], [
        [str(n), *(f"{n * cells[1][name]['wall'] / c[name]['wall']:.2f}"
                   for name in names)] for n, c in cells.items()])
    bench.say()


# --- bars ---

def over(ratio, bar):
    """As it is printed: what cannot be told from the bar is not over it."""
    return round(ratio, 2) > bar


def check_means(bench, way):
    means = bench.data["means"][way.name]
    for key, what, bars in (("wall", "time", MEAN_TIME),
                            ("peak", "peak memory", MEAN_PEAK)):
        for peer, bar in bars.items():
            mean = means.get(f"{key} / {peer}")
            if mean is not None and over(mean, bar):
                bench.miss(f"{way.name}: mean {what} {mean:.2f} of {peer}'s "
                           f"(bar {bar})")


def check_rows(bench, way):
    for peer, bar in ROW_TIME.items():
        for name, ratio in ratios(bench, way, peer, "wall").items():
            if over(ratio, bar):
                bench.miss(f"{way.name}, {name}: time {ratio:.2f} of {peer}'s "
                           f"(bar {bar})")


def check_pauses(bench, way):
    for row, modes in PAUSES.items():
        cells = bench.results.get(row, {})
        if way.name not in cells or way.mode not in modes:
            continue
        ours = cells[way.name]["figures"]
        for key, what, bar in zip(("pause_p99_ns", "pause_max_ns"),
                                  ("99 %", "the largest"), modes[way.mode]):
            if bar is not None and ours[key] > bar:
                bench.miss(f"{way.name}, {row}: pauses, {what}: "
                           f"{ours[key] / 1e6:.3f} ms (bar {bar / 1e6:g})")


def check_operations(bench, way):
    """How long an operation may take beside Go."""
    for row in OPERATIONS:
        cells = bench.results.get(row, {})
        if way.name not in cells or "go" not in cells:
            continue
        if way.mode not in PAUSES[row]:
            continue
        ours, theirs = cells[way.name]["figures"], cells["go"]["figures"]
        for key, what in (("op_p999_ns", "99.9 %"),
                          ("op_max_ns", "the largest")):
            if ours[key] >= theirs[key]:
                bench.miss(f"{way.name}, {row}: operations, {what}: "
                           f"{ours[key] / 1e3:.0f} us, not below Go's "
                           f"{theirs[key] / 1e3:.0f}")


def bars(bench):
    bench.say("### Bars that are missed"
              + (" (small arguments: for show)"
                 if bench.args.quick else "") + "\n")
    for text in bench.missed or ["none"]:
        bench.say(f"- {text}")
    bench.say()


# --- the memory limit ---

def lines_of(output, name):
    return [keys_of(line[len(name):]) for line in output.splitlines()
            if line.startswith(name)]


def limit(bench):
    mib, ms, last = Limit.quick if bench.args.quick else Limit.full
    bench.say(f"### A memory limit of {mib} MiB: what a live heap that grows "
              f"towards it costs\n")
    results = bench.data["limit"] = {}
    for way in bench.ways:
        if not bench.has("limit", way):
            continue
        steps = {}
        for kind, text in (("limited", f"{mib}MiB"), ("free", "off")):
            bench.note(f"limit: {way.name}, {kind}")
            env = {**way.environment(), "MALLOCGC_MEMORY_LIMIT": text,
                   "GOMEMLIMIT": text}
            output = measure([bench.path("limit", way), str(mib), str(ms),
                              str(last)], env)["output"]
            steps[kind] = lines_of(output, "step: ")
        if not steps["limited"]:
            raise Failed(f"limit, {way.name}: no steps")
        results[way.name] = steps
        limit_table(bench, way, steps)
        if way.ours():
            check_limit(bench, way, steps["limited"], mib)


def limit_table(bench, way, steps):
    bench.table([f"{way.name}: alive, % of the limit", "alive MB",
                 "1000 replaced a second", "without limit", "peak MB",
                 "without limit", "collections", "without limit"], [
        [str(s["percent"]), mb(s["live_kib"] * 1024), f"{s['rate'] / 1e3:.0f}",
         f"{f['rate'] / 1e3:.0f}", mb(s["peak_kib"] * 1024),
         mb(f["peak_kib"] * 1024), str(s["collections"]), str(f["collections"])]
        for s, f in zip(steps["limited"], steps["free"])])
    bench.say()


def check_limit(bench, way, steps, mib):
    before = None
    for s in steps:
        if s["percent"] > Limit.watched:
            break
        peak = s["peak_kib"] / 1024 / mib
        if peak > Limit.over:
            bench.miss(f"{way.name}, limit: {peak:.2f} of the limit resident "
                       f"with {s['percent']} % of it alive (bar {Limit.over})")
        if before and s["rate"] < Limit.fall * before["rate"]:
            bench.miss(f"{way.name}, limit: at {s['percent']} % it does "
                       f"{s['rate'] / before['rate']:.2f} of what it did a step "
                       f"before (bar {Limit.fall})")
        before = s


# --- after a peak ---

def drop(bench):
    arguments = Drop.quick if bench.args.quick else Drop.full
    peak, kept, *times = arguments
    bench.say(f"### {peak} MiB dropped to {kept}, and then nothing: resident "
              f"MB\n")
    results = bench.data["drop"] = {}
    for way in bench.ways:
        if not bench.has("drop", way):
            continue
        bench.note(f"drop: {way.name}")
        output = measure([bench.path("drop", way), *map(str, arguments)],
                         way.environment())["output"]
        found = [s["resident_kib"] for s in lines_of(output, "drop: ")]
        if len(found) != 1 + len(times):
            raise Failed(f"drop, {way.name}: {len(found)} lines")
        results[way.name] = found
        last = found[-1] / 1024 / kept
        if way.ours() and last > Drop.over:
            bench.miss(f"{way.name}, drop: {last:.1f} times what is alive is "
                       f"resident after {times[-1] / 1e3:g} s (bar {Drop.over})")
    bench.table(["", "peak", *(f"after {t / 1e3:g} s" for t in times)], [
        [name, *(mb(kib * 1024) for kib in found)]
        for name, found in results.items()])


# --- the whole ---

def names(known):
    """A parser of lists "name,name" of these."""
    def parse(text):
        found = text.split(",")
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(
                    f"{name!r} is not one of {', '.join(known)}")
        return found
    return parse


def parse_arguments(argv):
    parts = [*dict.fromkeys([r.name for r in ROWS] + [r.program for r in ROWS]),
             "limit", "drop"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--mode", type=names(MODES), default=["auto"],
                        help="how mallocgc marks, one or more of "
                             + ", ".join(MODES))
    parser.add_argument("--peers", type=names(PEERS),
                        help="only beside these of " + ", ".join(PEERS))
    parser.add_argument("--only", action="append", metavar="ROW", choices=parts,
                        help="a row or a part: %(choices)s")
    return finish_arguments(parser.parse_args(argv))


def head(bench):
    bench.say("# The collector beside its peers\n")
    bench.say(machine())
    bench.say(f"libgc {version(['pkg-config', '--modversion', 'bdw-gc'])}, "
              f"{version(['go', 'version'])}")
    bench.say(f"medians of {bench.args.runs} runs, in turns"
              + (", small arguments" if bench.args.quick else "") + "\n")


def main():
    extra = shlex.split(os.environ.get("BENCH_ARGS", ""))
    bench = Bench(parse_arguments(sys.argv[1:] + extra))
    head(bench)
    try:
        bench.find_ways()
    except Failed as failure:
        bench.fail("mallocgc", failure)
        return 1
    bench.say(f"beside one another: {', '.join(w.name for w in bench.ways)}\n")
    measure_rows(bench)
    for way in bench.ours() if bench.results else []:
        comparison(bench, way)
        check_means(bench, way)
        check_rows(bench, way)
        check_pauses(bench, way)
        check_operations(bench, way)
    scaling(bench)
    bench.section("limit", lambda: limit(bench))
    bench.section("drop", lambda: drop(bench))
    bars(bench)
    for failure in bench.failures:
        bench.say(f"FAILED: {failure}")
    if bench.args.json:
        with open(bench.args.json, "w", encoding="utf-8") as f:
            json.dump(bench.data, f, indent=1)
    bench.write()
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
