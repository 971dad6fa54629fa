# SPDX-License-Identifier: MIT
"""What the collector's benchmark runs: programs, ways to manage memory, bars."""
import os

# Names of back ends are endings of the programs' files.
OURS = "mallocgc"
PEERS = {"libgc": "libgc-dev is not installed",
         "malloc": "the program is not built",
         "go": "golang-go is not installed"}

# mallocgc's ways to mark: what is added to MALLOCGC_OPTIONS; BENCH_BARRIERS has
# the programs use the write barrier (bench/backend.h).
MODES = {"auto": "", "kernel": "gcmode=kernel", "stop": "gcmode=stop",
         "barrier": ""}


class Way:
    """One implementation of all programs: mallocgc in a mode, or a peer."""

    def __init__(self, backend, mode=None):
        self.backend = backend
        self.mode = mode
        self.name = backend if mode in (None, "auto") else f"{backend} {mode}"

    def ours(self):
        return self.backend == OURS

    def environment(self):
        env = {}
        option = MODES.get(self.mode, "")
        if option:
            given = os.environ.get("MALLOCGC_OPTIONS", "")
            env["MALLOCGC_OPTIONS"] = ",".join(filter(None, (given, option)))
        if self.mode == "barrier":
            env["BENCH_BARRIERS"] = "1"
        return env


class Row:
    """A program with arguments, and those of --quick."""

    def __init__(self, name, full, quick, title, program=None):
        self.name = name
        self.program = program or name
        self.full = full
        self.quick = quick
        self.title = title

    def arguments(self, quick):
        return [str(a) for a in (self.quick if quick else self.full)]

    def headline(self, quick):
        return self.title.format(*(self.quick if quick else self.full))


def threads_row(program, n, full, quick, title):
    return Row(f"{program}_{n}", full, quick, title, program)


def steady_row(mib, operations):
    return Row(f"steady_{mib}", (mib, operations), (mib // 64, 200000),
               "{} MiB of objects of 64 bytes alive, {} lists of 8 made and "
               "dropped", "steady")


def rows():
    found = [
        Row("binary_trees", (20, 1), (14, 1), "binary trees of depth {}"),
        threads_row("binary_trees", 2, (20, 2), (14, 2),
                    "binary trees of depth {}, {} threads"),
        Row("gcbench", (4,), (1,), "GCBench, {} times"),
        Row("cache", (4000000, 8000000), (50000, 200000),
            "a cache of {} entries of 528 bytes, {} look-ups and replacements"),
        *(steady_row(mib, operations) for mib, operations in
          ((1024, 20000000), (2048, 20000000), (4096, 30000000))),
        Row("graph", (10000000, 10000000), (200000, 400000),
            "a graph of {} nodes, {} edges replaced"),
        Row("strings", (1000000, 10000000), (20000, 500000),
            "{} strings of 16 to 512 bytes, {} replaced"),
        Row("tiny", (1000000, 50000000), (50000, 1000000),
            "objects under 16 bytes: {} boxed numbers, {} made"),
        Row("buffers", (64, 20000), (8, 300),
            "{} buffers of 64 KiB to 8 MiB, {} made"),
    ]
    for n in sorted({1, 2, os.cpu_count() or 1}):
        found.append(threads_row(
            "scale", n, (n, 5000000, 100000), (n, 200000, 10000),
            "{} threads, {} records with texts each"))
    return found


class Limit:
    """limit.c: MiB, milliseconds of a step, the last step."""
    full, quick = (512, 2000, 200), (64, 50, 150)
    watched = 70     # percent of the limit alive up to which the bars hold
    over = 1.05      # resident memory, beside the limit
    fall = 0.5       # the rate of a step, beside that of the one before


class Drop:
    """drop.c: MiB at the peak, MiB that stay, when to look (ms)."""
    full, quick = (2048, 100, 1000, 10000, 60000), (100, 10, 100, 1000)
    over = 2.5       # resident memory at last, beside what stays


# What the project asks of the geometric means of time, and of single rows.
MEAN_TIME = {"go": 0.6, "libgc": 0.5}
MEAN_PEAK = {"go": 1.0, "libgc": 1.0}
ROW_TIME = {"libgc": 1.0, "go": 1.0, "malloc": 1.5}
# Of pauses at full size, by row and mode: 99 %, the largest, ns; None: no bar. The
# cache's stores are all over its heap; without barriers it may be held a while.
PAUSES = {
    "cache": {"auto": (1e6, 2e6), "kernel": (None, 2e6),
              "barrier": (1e5, 3e5)},
    "steady_1024": {"kernel": (1e6, 2e6), "barrier": (1e5, 3e5)},
    "steady_2048": {"kernel": (1e6, 2e6), "barrier": (1e5, 3e5)},
    "steady_4096": {"kernel": (1e6, 3e6), "barrier": (1e5, 3e5)},
}
# Rows whose operations are to be no longer than Go's at 99.9 % and at most.
OPERATIONS = ["cache"]
