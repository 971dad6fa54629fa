#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks `mallocgc run`, the report, and `mallocgc stat`, from outside.

test_run.py MALLOCGC PROGRAM [STATIC-PROGRAM]
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

MALLOCGC, PROGRAM = map(os.path.abspath, sys.argv[1:3])
STATIC = sys.argv[3] if len(sys.argv) > 3 else None
failures = 0


def call(*arguments, **more):
    env = {**os.environ, "LC_ALL": "C", **more.pop("env", {})}
    return subprocess.run([MALLOCGC, *arguments], capture_output=True,
                          text=True, timeout=60, check=False, env=env,
                          stdin=subprocess.DEVNULL, **more)


def expect(condition, what, *facts):
    global failures
    if not condition:
        failures += 1
        print(f"FAILED: {what}")
        for fact in facts:
            print("   ", fact)


class Live:
    """PROGRAM WHAT, once it is ready."""

    def __init__(self, what, *options, command=None):
        command = command or [MALLOCGC, "run", *options, PROGRAM, what]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={**os.environ,
                                                    "LC_ALL": "C"})
        self.pid = self.process.pid
        assert self.process.stdout.readline() == "ready\n"

    def end(self):
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def classes(report):
    return {c["slot"]: c for c in report["classes"]}


def check_figures(report, name):
    """What run_program.c's figures() leaves, and nothing else of those sizes."""
    by_slot = classes(report)
    small, large = by_slot[112], by_slot[None]
    expect(report["exact"], f"{name}: exact", report)
    expect(small["objects"] == 600, f"{name}: 600 of 100 bytes", small)
    expect(small["live"] == 600 * 112, f"{name}: their bytes", small)
    expect(large["objects"] == 2 and large["live"] == 2 << 20,
           f"{name}: 2 large objects", large)
    held = small["span_bytes"]
    expect(1000 * 112 <= held <= 1000 * 112 * 1.3, f"{name}: spans", small)
    expect(abs(small["fragmentation"] - (1 - small["live"] / held)) < 0.002,
           f"{name}: fragmentation", small)
    expect(11 << 20 <= report["peak"] <= 12 << 20, f"{name}: peak", report)
    expect(11 << 20 <= large["peak_span_bytes"] <= report["peak"],
           f"{name}: where it was", large)
    total = sum(c["live"] for c in report["classes"])
    expect(report["live"] == total, f"{name}: live adds up", report)
    spans = sum(c["span_bytes"] for c in report["classes"])
    expect(report["span_bytes"] == spans, f"{name}: spans add up", report)
    expect(report["in_use"] + report["free"] + report["returned"] ==
           report["mapped"], f"{name}: mapped memory adds up", report)
    expect(2 << 20 < report["resident"] <= report["resident_peak"],
           f"{name}: resident", report)
    expect(report["resident_peak"] >= 11 << 20, f"{name}: resident peak",
           report)
    # The library may have a thread of its own.
    expect(report["threads"] in (1, 2) and report["caches"] == 1,
           f"{name}: threads", report)


def test_json():
    r = call("run", "--report=json", PROGRAM)
    expect(r.returncode == 7, "the program's exit status", r)
    expect(r.stdout == "", "standard output is the program's", r)
    expect(r.stderr.count("\n") == 1, "one line", r)
    report = json.loads(r.stderr)
    expect(report["when"] == "at exit" and report["limit"] is None, "json", r)
    check_figures(report, "at exit")


def test_text():
    r = call("run", "--report", PROGRAM)
    expect(r.returncode == 7 and r.stdout == "", "text: status, stdout", r)
    for pattern in (r"^mallocgc: heap of process \d+ \(run_program\) at exit$",
                    r"^  live +2\.\d MiB  in \d+ objects$",
                    r"^  peak +11\.\d MiB  in use at most$",
                    r"^ +slot +objects +live +spans +frag +at peak$",
                    r"^ +112 B +600 +65\.6 KiB +1\d\d\.\d KiB +\d+\.\d % .*#",
                    r"^ +large +2 +2\.0 MiB +2\.0 MiB +0\.0 % +1[01]\.0 MiB  #+$"
                    ):
        expect(re.search(pattern, r.stderr, re.M), f"text: {pattern}",
               r.stderr)
    expect(max(map(len, r.stderr.splitlines())) <= 100, "100 columns",
           r.stderr)
    expect(r.stderr.isascii() and "\033" not in r.stderr, "plain", r.stderr)
    r = call("run", "--report", PROGRAM, env={"LC_ALL": "C.UTF-8"})
    expect("█" in r.stderr, "bars in UTF-8", r.stderr)
    r = call("run", "--report", PROGRAM, "classes")
    lines = r.stderr.splitlines()
    expect(max(map(len, lines)) <= 100 and len(lines) < 45 and
           lines[-1].startswith("  others "), "small classes are gathered",
           r.stderr)
    r = call("run", PROGRAM)
    expect(r.returncode == 7 and r.stderr == "", "nothing unless asked", r)


def test_destinations(directory):
    path = os.path.join(directory, "report")
    r = call("run", "--report=json", "--report-file", "report", "sh", "-c",
             f"cd /; {PROGRAM}; {PROGRAM} closed", cwd=directory)
    with open(path, encoding="utf-8") as f:
        reports = [json.loads(line) for line in f]
    reports = [r for r in reports if r["command"] == "run_program"]
    expect(r.stderr == "" and len(reports) == 2, "a report for each process", r,
           reports)
    call("run", "--report-file", path, PROGRAM)
    with open(path, encoding="utf-8") as f:
        expect(f.read().count("mallocgc: heap of") == 1, "it begins empty")
    call("run", "--report-file", path + ".%p", PROGRAM)
    expect(len([n for n in os.listdir(directory)
                if re.fullmatch(r"report\.\d+", n)]) == 1, "%p")
    r = call("run", "--report", PROGRAM, "closed")
    expect("at exit" in r.stderr, "standard error was closed by the program", r)
    data = os.path.join(directory, "data")
    r = call("run", "--report", PROGRAM, "reused", data)
    with open(data, encoding="utf-8") as f:
        expect(f.read() == "data\n", "no report in a file of data")
    expect("at exit" in r.stderr, "standard error's number was reused", r)
    r = subprocess.run(["sh", "-c", f"{MALLOCGC} run --report {PROGRAM} 2>&-"],
                       capture_output=True, text=True, check=False, timeout=60)
    expect(r.returncode == 7 and r.stdout == "", "closed from the beginning", r)
    r = call("run", "--report-file", "/nonexistent/report", PROGRAM)
    expect(r.returncode == 125 and "/nonexistent/report" in r.stderr,
           "a report that cannot be written", r)
    r = call("run", "--report", PROGRAM, "fork")
    expect(r.stderr.count("at exit") == 1, "a fork's child is silent", r)
    read_end, write_end = os.pipe()
    os.close(read_end)
    r = subprocess.run([MALLOCGC, "run", "--report", PROGRAM], check=False,
                       stderr=write_end, timeout=60)
    os.close(write_end)
    expect(r.returncode == 7, "a broken pipe changes no exit status", r)


def test_signal():
    live = Live("wait", "--report=json")
    os.kill(live.pid, signal.SIGUSR2)
    line = live.process.stderr.readline()
    report = json.loads(line)
    expect(report["when"] == "while running", "SIGUSR2", line)
    check_figures(report, "SIGUSR2")
    status, _, err = live.end()
    expect(status == 7 and json.loads(err)["when"] == "at exit",
           "then at exit", status, err)
    live = Live("own", "--report=json")
    os.kill(live.pid, signal.SIGUSR2)
    line = live.process.stdout.readline()
    status, _, err = live.end()
    expect(line == "mine\n" and status == 7 and err.count("\n") == 1,
           "the program's own handler", line, err)
    live = Live("wait")
    os.kill(live.pid, signal.SIGUSR2)
    expect(live.end()[0] == -signal.SIGUSR2, "SIGUSR2 kills unless asked")


def test_storm():
    """Signals that interrupt the allocator anywhere."""
    live = Live("storm", "--report=json")
    for i in range(100):
        os.kill(live.pid, signal.SIGUSR2)
        if i % 10 == 0:
            r = call("stat", "--json", str(live.pid))
            expect(r.returncode == 0 and json.loads(r.stdout)["caches"] == 4,
                   "stat of a busy program", r)
        time.sleep(0.005)
    status, _, err = live.end()
    reports = [json.loads(line) for line in err.splitlines()]
    expect(status == 7, "it goes on", status)
    expect(len(reports) > 10, "reports of a busy program", len(reports))
    final = classes(reports[-1])
    expect(reports[-1]["exact"] and final[112]["objects"] >= 600 and
           reports[-1]["objects"] < 620, "nothing is lost", reports[-1])


def test_stat():
    live = Live("wait")
    r = call("stat", "--json", str(live.pid))
    expect(r.returncode == 0 and r.stderr == "", "stat", r)
    report = json.loads(r.stdout)
    check_figures(report, "stat")
    expect(report["pid"] == live.pid and report["command"] == "run_program",
           "whose it is", report)
    r = call("stat", str(live.pid))
    expect(f"heap of process {live.pid} (run_program) now" in r.stdout,
           "stat in words", r)
    os.kill(live.pid, signal.SIGSTOP)
    r = call("stat", str(live.pid))
    expect(r.returncode == 0, "of a stopped process", r)
    os.kill(live.pid, signal.SIGCONT)
    expect(live.end() == (7, "", ""), "the program did not notice")
    r = call("stat", str(live.pid))
    expect(r.returncode == 1 and "no such process" in r.stderr, "gone", r)

    live = Live("threads")
    report = json.loads(call("stat", "--json", str(live.pid)).stdout)
    big = classes(report)[1536]
    expect(report["exact"] and big["objects"] == 4 * 400,
           "frees by another thread are counted", big)
    live.end()


def test_stat_errors():
    other = Live("wait", command=[PROGRAM, "wait"])
    r = call("stat", str(other.pid))
    expect(r.returncode == 1 and "does not run on" in r.stderr, "not ours", r)
    other.end()
    r = call("stat", "2147483647")
    expect(r.returncode == 1 and "no such process" in r.stderr, "no process", r)
    for arguments in ([], ["x"], ["0"], ["-5"], ["1", "2"], ["1x"]):
        r = call("stat", *arguments)
        expect(r.returncode == 2 and r.stdout == "", f"usage {arguments}", r)
    if os.getuid() == 0:
        live = Live("wait")
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        try:
            r = call("stat", str(live.pid), **nobody)
            expect(r.returncode == 1 and "not permitted" in r.stderr,
                   "another user's", r)
        except PermissionError:
            print("another user may not start the command: not tested")
        live.end()


def test_run(directory):
    for arguments in ([], ["--no-such-option", "true"], ["--limit", "x", "true"],
                      ["--limit=0", "true"], ["--report=xml", "true"],
                      ["--profile-rate=0", "--profile=f", "true"],
                      ["--profile-rate=9", "true"]):
        r = call("run", *arguments)
        expect(r.returncode == 2 and r.stdout == "", f"usage {arguments}", r)
    r = call("run", "/nonexistent/program")
    expect(r.returncode == 127 and "No such file" in r.stderr, "127", r)
    r = call("run", "no-such-program-anywhere")
    expect(r.returncode == 127, "127 by PATH", r)
    plain = os.path.join(directory, "plain")
    with open(plain, "w", encoding="utf-8") as f:
        f.write("text")
    expect(call("run", plain).returncode == 126, "126")
    expect(call("run", directory).returncode == 126, "126: a directory")
    r = call("run", "--library=/nonexistent/library", "true")
    expect(r.returncode == 125, "125", r)
    r = call("run", "--", "sh", "-c", "exit 42")
    expect(r.returncode == 42, "the program's own status", r)
    r = call("run", "sh", "-c", 'echo "$1" --leaks', "sh", "--report")
    expect(r.stdout == "--report --leaks\n" and r.stderr == "",
           "options behind the program are its own", r)
    r = call("run", "--limit=32MiB", PROGRAM, "limit")
    expect(r.returncode == 5, "the limit holds", r)


def test_environment():
    r = call("run", "--leaks", "--harden", "--limit", "1GiB", "--profile", "p",
             "--profile-rate", "4096", "--report=json", "--report-file=/dev/null",
             "--library", os.path.realpath(PROGRAM), "env")
    # PROGRAM is no library: the dynamic linker says so, and env runs all the same.
    env = dict(line.split("=", 1) for line in r.stdout.splitlines()
               if "=" in line)
    for name, value in (("LEAKS", "1"), ("HARDEN", "1"), ("REPORT", "json"),
                        ("MEMORY_LIMIT", "1GiB"), ("PROFILE_RATE", "4096"),
                        ("PROFILE", os.path.join(os.getcwd(), "p")),
                        ("REPORT_FILE", "/dev/null")):
        expect(env.get("MALLOCGC_" + name) == value, name, r)
    r = call("run", "sh", "-c", "echo $LD_PRELOAD",
             env={"LD_PRELOAD": "libm.so.6"})
    expect(re.search(r"libmallocgc-malloc\.so[.\d]*:libm\.so\.6$", r.stdout),
           "what was preloaded stays so", r)


def test_warnings(directory):
    if STATIC:
        r = call("run", STATIC)
        expect(r.returncode == 7 and "is statically linked" in r.stderr,
               "a static program", r)
    script = os.path.join(directory, "script")
    with open(script, "w", encoding="utf-8") as f:
        f.write("#! /bin/sh\nexit 3\n")
    os.chmod(script, 0o4755)
    r = call("run", script)
    expect(r.returncode == 3 and r.stderr == "", "a script", r)
    if os.getuid() == 0:
        copy = os.path.join(directory, "set-user-id")
        shutil.copy(PROGRAM, copy)
        os.chown(copy, 65534, -1)
        os.chmod(copy, 0o4755)
        r = call("run", copy)
        expect("raised privileges" in r.stderr, "a set-user-ID program", r)


def main():
    with tempfile.TemporaryDirectory() as directory:
        test_json()
        test_text()
        test_destinations(directory)
        test_signal()
        test_stat()
        test_stat_errors()
        test_storm()
        test_run(directory)
        test_environment()
        test_warnings(directory)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
