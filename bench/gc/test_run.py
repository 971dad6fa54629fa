#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The runner with programs that only print: what it makes of what they say."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = ("bench: checksum=7 peak_kib=2000 collections=3 pauses=3 "
        "pause_p50_ns=1000 pause_p99_ns=2000 pause_max_ns=9000000 "
        "operations=9 op_p50_ns=10 op_p99_ns=20 op_p999_ns=30 op_max_ns=40")
THEIRS = OURS.replace("pause_max_ns=9000000", "pause_max_ns=1") \
             .replace("op_max_ns=40", "op_max_ns=39")


class Runner(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def program(self, name, *lines, status=0):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\n")
            for line in lines:
                f.write(f"echo \"{line}\"\n")
            f.write(f"exit {status}\n")
        os.chmod(path, 0o755)

    def run_it(self, *arguments):
        """Exit status, what it printed, and the figures."""
        out = os.path.join(self.folder.name, "figures.json")
        env = {k: v for k, v in os.environ.items()
               if k not in ("BENCH_ARGS", "MALLOCGC_OPTIONS")}
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, "run.py"), "--quick",
             "--programs", self.folder.name, "--json", out, "--report",
             os.path.join(self.folder.name, "report.md"), *arguments],
            capture_output=True, text=True, check=False, env=env)
        data = None
        if os.path.exists(out):
            with open(out, encoding="utf-8") as f:
                data = json.load(f)
        return done.returncode, done.stdout, data

    def test_figures_are_read_and_peers_that_are_not_here_skipped(self):
        self.program("cache.mallocgc", OURS)
        self.program("cache.go", THEIRS)
        status, text, data = self.run_it("--only", "cache")
        self.assertEqual(status, 0, text)
        self.assertIn("skipped: libgc: libgc-dev is not installed", text)
        cell = data["rows"]["cache"]["mallocgc"]
        self.assertEqual(cell["peak"], 2000 * 1024)
        self.assertEqual(cell["figures"]["pause_p99_ns"], 2000)
        self.assertIn("9.000", text)

    def test_bars_that_are_missed_are_named_and_others_are_not(self):
        self.program("cache.mallocgc", OURS)
        self.program("cache.go", THEIRS.replace("checksum=7 peak_kib=2000",
                                                "checksum=7 peak_kib=1000"))
        status, text, data = self.run_it("--only", "cache")
        self.assertEqual(status, 0, text)
        missed = "\n".join(data["missed"])
        self.assertIn("pauses, the largest: 9.000 ms (bar 2)", missed)
        self.assertNotIn("pauses, 99 %", missed)
        self.assertIn("mean peak memory 2.00 of go's (bar 1.0)", missed)
        self.assertIn("operations, the largest", missed)
        self.assertIn("operations, 99.9 %", missed)

    def test_another_checksum_fails_and_is_left_out(self):
        self.program("cache.mallocgc", OURS)
        self.program("cache.libgc", OURS.replace("checksum=7", "checksum=8"))
        self.program("cache.go", THEIRS)
        status, text, data = self.run_it("--only", "cache", "--runs", "2")
        self.assertEqual(status, 1)
        self.assertIn("FAILED: cache, libgc: the checksum is 8, and 7 with "
                      "mallocgc", text)
        self.assertEqual(sorted(data["rows"]["cache"]), ["go", "mallocgc"])

    def test_a_program_that_fails_is_named(self):
        self.program("cache.mallocgc", OURS)
        self.program("cache.go", THEIRS, status=3)
        status, text, _ = self.run_it("--only", "cache")
        self.assertEqual(status, 1)
        self.assertIn("FAILED: cache, go:", text)
        self.assertIn("exit status 3", text)

    def test_a_mode_is_in_the_environment_of_ours_alone(self):
        seen = os.path.join(self.folder.name, "seen")
        tell = f"$0 [$MALLOCGC_OPTIONS] [$BENCH_BARRIERS]\" >>{seen}; : \""
        self.program("cache.mallocgc", tell, OURS)
        self.program("cache.go", tell, THEIRS)
        status, text, _ = self.run_it("--only", "cache", "--mode",
                                      "stop,barrier")
        self.assertEqual(status, 0, text)
        with open(seen, encoding="utf-8") as f:
            lines = [line.split("/")[-1].split() for line in f]
        self.assertEqual(lines, [["cache.mallocgc", "[gcmode=stop]", "[]"],
                                 ["cache.mallocgc", "[]", "[1]"],
                                 ["cache.go", "[]", "[]"]])

    def test_the_limit_holds_below_70_percent(self):
        def step(percent, rate, peak):
            return (f"step: percent={percent} live_kib=1 rate={rate} "
                    f"peak_kib={peak} resident_kib=1 collections=1")
        self.program("cache.mallocgc", OURS)
        self.program("limit.mallocgc", step(10, 100, 60000),
                     step(20, 40, 60000), step(70, 39, 70000),
                     step(80, 1, 90000))
        _, text, data = self.run_it("--only", "limit")
        self.assertEqual(len(data["missed"]), 2, text)
        self.assertIn("at 20 % it does 0.40", data["missed"][0])
        self.assertIn("with 70 % of it alive", data["missed"][1])

    def test_what_stays_after_a_peak(self):
        def look(ms, kib):
            return f"drop: after_ms={ms} resident_kib={kib}"
        self.program("cache.mallocgc", OURS)
        self.program("drop.mallocgc", look(-1, 102400), look(100, 102400),
                     look(1000, 25600))
        _, text, data = self.run_it("--only", "drop")
        self.assertEqual(data["missed"], [], text)
        self.program("drop.mallocgc", look(-1, 102400), look(100, 102400),
                     look(1000, 26000))
        _, _, data = self.run_it("--only", "drop")
        self.assertEqual(len(data["missed"]), 1)


if __name__ == "__main__":
    unittest.main()
