# SPDX-License-Identifier: MIT
"""A row of the table: a program that is run under one allocator after another."""
import os
import shlex
import signal
import subprocess
import time

from benchlib import Failed

LIMIT = 180  # seconds for one run


class Skip(Exception):
    """Something is not installed; the text says what."""


def c_library():
    with open("/proc/self/maps", encoding="utf-8") as f:
        for line in f:
            if os.path.basename(line.split()[-1]).startswith(("libc.so.",
                                                              "libc-")):
                return line.split()[-1]
    return None


class Running:
    """A program that spawn has started; its cost when it has ended."""

    def __init__(self, bench, argv, preload, env=None, repeat=1, scratch=None):
        scratch = scratch or bench.args.scratch
        self.argv = argv
        self.cost = os.path.join(scratch, "cost")
        self.out = os.path.join(scratch, "stdout")
        self.err = os.path.join(scratch, "stderr")
        if os.path.exists(self.cost):
            os.unlink(self.cost)
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [bench.program("spawn"), self.cost, preload or "-", str(repeat),
                 *argv],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env={**os.environ, **(env or {})}, start_new_session=True)

    def ended(self):
        return self.process.poll() is not None

    def kill(self):
        """All that it started: the session is its own."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def wait_for_lines(self, count):
        """Until it has printed so many, or has ended."""
        while self.text(self.out).count(b"\n") < count and not self.ended():
            time.sleep(0.01)

    def text(self, path):
        with open(path, "rb") as f:
            return f.read()

    def finish(self):
        """Wall and CPU seconds, peak bytes, output."""
        what = shlex.join(self.argv)[:120]
        try:
            self.process.wait(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{what}: still running after {LIMIT} s") from None
        said = self.text(self.err).decode(errors="replace").strip()[-300:]
        if self.process.returncode != 0 or not os.path.exists(self.cost):
            raise Failed(f"{what}: {said}")
        wall, cpu, peak, status = map(int, self.text(self.cost).split())
        if status != 0:
            raise Failed(f"{what}: exit status {status}: {said}")
        return {"wall": wall / 1e9, "cpu": cpu / 1e6, "peak": peak * 1024,
                "output": self.text(self.out)}


def run_program(bench, argv, preload, **how):
    return Running(bench, argv, preload, **how).finish()


class Row:
    """name, group (small or real), arguments and those of --quick."""
    env = {}
    own_malloc = False  # links an allocator, which is not to be measured

    def __init__(self, name, group, full, quick):
        self.name = name
        self.group = group
        self.full = full
        self.quick = quick

    def arguments(self, bench):
        return self.quick if bench.args.quick else self.full

    def command(self, bench):
        """What to run; prepares what it needs. Skip: not here."""
        raise NotImplementedError

    def before(self, bench):
        """Before each run, outside the measured time."""

    def after(self, bench):
        """Output beside what the program prints."""
        return b""

    def preload(self, path):
        """The C library itself goes before an allocator that is linked in."""
        return path or (c_library() if self.own_malloc else None)

    def run(self, bench, argv, preload):
        self.before(bench)
        result = run_program(bench, argv, preload, env=self.env)
        result["output"] += self.after(bench)
        return result


class Small(Row):
    """A program of this folder."""

    def __init__(self, name, full, quick):
        super().__init__(name, "small", full, quick)

    def command(self, bench):
        return [bench.program(self.name), *map(str, self.arguments(bench))]


SMALL = [
    # threads, blocks, rounds, operations a round
    Small("larson", (4, 5000, 150, 50000), (4, 5000, 15, 50000)),
    # pairs, batches of 120
    Small("xmalloc", (2, 60000), (2, 8000)),
    # threads, rounds, bytes, writes a round
    Small("cache_scratch", (2, 2000, 8, 50000), (2, 300, 8, 50000)),
    Small("cache_thrash", (2, 2000, 8, 50000), (2, 300, 8, 50000)),
    # rounds, longest burst
    Small("sh6", (6000, 2000), (800, 2000)),
    # threads, rounds, blocks a round
    Small("sh8", (2, 600, 20000), (2, 80, 20000)),
    # steps of the continued fraction
    Small("cfrac", (3000000,), (400000,)),
    # bodies, steps
    Small("barnes", (40000, 50), (40000, 7)),
    # threads, rounds, blocks, operations a round
    Small("rptest", (4, 20, 8000, 100000), (4, 3, 8000, 100000)),
    # threads, iterations, bursts
    Small("mstress", (8, 80, 300), (8, 12, 300)),
    # replacements, blocks
    Small("large", (800, 20), (120, 20)),
    # threads, at once
    Small("thread_churn", (20000, 2), (3000, 2)),
    # threads, blocks each, rounds, generations
    Small("thousand", (1000, 100, 10, 3), (1000, 100, 10, 1)),
    # MiB, cycles
    Small("regrow", (64, 2), (32, 1)),
]
