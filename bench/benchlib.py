# SPDX-License-Identifier: MIT
"""What the runners of bench/ share: reports, one run's cost, callgrind."""
import math
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time


class Failed(Exception):
    pass


class Report:
    """Lines for the terminal and a file; sections that may fail alone."""

    def __init__(self, args):
        self.args = args
        self.lines = []
        self.failures = []

    def say(self, text=""):
        print(text, flush=True)
        self.lines.append(text)

    def note(self, text):
        print(text, file=sys.stderr, flush=True)

    def wants(self, section):
        return not self.args.only or section in self.args.only

    def fail(self, name, failure):
        self.failures.append(f"{name}: {failure}")
        self.say(f"FAILED: {name}: {failure}")

    def section(self, name, function):
        """One section's failure does not lose the others."""
        if not self.wants(name):
            return
        try:
            function()
        except Failed as failure:
            self.fail(name, failure)
        self.say()

    def table(self, header, rows):
        self.say("| " + " | ".join(header) + " |")
        self.say("|---" + "|---:" * (len(header) - 1) + "|")
        for row in rows:
            self.say("| " + " | ".join(row) + " |")

    def write(self):
        path = self.args.report
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(self.lines) + "\n")
        self.note(f"written to {path}")


FIGURES = "bench: "


def keys_of(line):
    """key=number key=number: as a dict."""
    return {key: int(value) for key, _, value
            in (word.partition("=") for word in line.split())}


def measure(argv, env=None, limit=900):
    """Wall and CPU seconds, peak bytes and output of one run; what it said of
    itself in a line "bench: key=number ..." is in figures, not in the output.
    env is added to the environment; after limit seconds it is killed."""
    with tempfile.TemporaryFile() as err:
        start = time.monotonic()
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=err,
                                   env={**os.environ, **(env or {})})
        timer = threading.Timer(limit, process.kill)
        timer.start()
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        if process.returncode != 0:
            err.seek(0)
            said = err.read().decode(errors="replace").strip()[-300:]
            late = f", after {wall:.0f} s" if wall >= limit else ""
            raise Failed(f"{shlex.join(argv)}: exit status "
                         f"{process.returncode}{late}: {said}")
    lines = output.decode().splitlines(keepends=True)
    figures = {}
    for line in lines:
        if line.startswith(FIGURES):
            figures.update(keys_of(line[len(FIGURES):]))
    # What the kernel says of the child includes this process, from which it was
    # forked: 10 MB and more.
    peak = figures.get("peak_kib") or usage.ru_maxrss
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime,
            "peak": peak * 1024, "figures": figures,
            "output": "".join(line for line in lines
                              if not line.startswith(FIGURES))}


def add_arguments(parser):
    """What the runners of single rows have in common; finish_arguments after."""
    parser.add_argument("--programs", required=True)
    parser.add_argument("--report", required=True)
    parser.add_argument("--json", help="also write every figure here")
    parser.add_argument("--runs", type=int, help="of each row (3; quick: 1)")
    parser.add_argument("--quick", action="store_true",
                        help="small arguments: does it work at all")


def finish_arguments(args):
    args.runs = args.runs or (1 if args.quick else 3)
    return args


def medians(runs):
    return {key: statistics.median(run[key] for run in runs)
            for key in ("wall", "cpu", "peak")}


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def mb(n):
    return f"{n / 1e6:.1f}"


def instructions(argv, scratch, env=None):
    """Instructions of a program by callgrind."""
    out = os.path.join(scratch, "callgrind.out")
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
               *argv]
    result = subprocess.run(command, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, check=False,
                            stdin=subprocess.DEVNULL, env=env)
    if os.path.exists(out):
        os.unlink(out)
    match = re.search(r"Collected\s*:\s*(\d+)", result.stderr)
    if result.returncode != 0 or not match:
        raise Failed(f"{shlex.join(command)}: {result.stderr.strip()[-300:]}")
    return int(match.group(1))


def version(command):
    try:
        result = subprocess.run(command, capture_output=True, text=True,
                                check=True)
        return result.stdout.strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "not installed"


def cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            return re.search(r"model name\s*: (.*)", f.read()).group(1)
    except (OSError, AttributeError):
        return platform.machine()


def machine():
    return (f"{cpu_model()}, {os.cpu_count()} processors, "
            f"Linux {platform.release()}")
