#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Heap profiles of the malloc face, against what the program says it allocated.

test_profile.py LIBRARY SITES: the preloaded library, the program profile_sites.c.
"""
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

LIBRARY, SITES = sys.argv[1:3]
HEADER = re.compile(r"heap profile: (\d+): (\d+) \[(\d+): (\d+)\] @ (\S+)$")
SAMPLE = re.compile(r"(\d+): (\d+) \[(\d+): (\d+)\] @((?: 0x[0-9a-f]+)+)$")
FIELDS = ("live", "live_bytes", "all", "all_bytes")


class Profile:
    """A parsed file: lines of four estimates and a stack."""

    def __init__(self, path):
        with open(path, encoding="ascii", errors="replace") as f:
            text = f.read()
        body, self.maps = text.split("\nMAPPED_LIBRARIES:\n", 1)
        lines = body.splitlines()
        match = HEADER.match(lines[0])
        assert match, lines[0]
        self.header = [int(x) for x in match.groups()[:4]]
        self.kind = match.group(5)
        rate = int(self.kind.split("/")[1]) if "/" in self.kind else 0
        self.raw = [0] * 4
        self.samples = []
        for line in lines[1:]:
            match = SAMPLE.match(line)
            assert match, line
            numbers = [int(x) for x in match.groups()[:4]]
            self.raw = [a + b for a, b in zip(self.raw, numbers)]
            estimates = (self.scaled(*numbers[:2], rate)
                         + self.scaled(*numbers[2:], rate))
            stack = [int(x, 16) for x in match.group(5).split()]
            self.samples.append((estimates, stack))

    @staticmethod
    def scaled(count, size, rate):
        if rate == 0 or count == 0 or size == 0:
            return [count, size]
        scale = 1 / -math.expm1(-size / count / rate)
        return [count * scale, size * scale]

    def by_site(self, functions):
        """The sums by the site in which the innermost frame lies."""
        starts = sorted((address, name) for name, address in functions.items())
        sums = {name: dict.fromkeys(FIELDS, 0) for name in functions}
        sums["elsewhere"] = dict.fromkeys(FIELDS, 0)
        for estimates, stack in self.samples:
            below = [(a, n) for a, n in starts if a < stack[0]]
            name = "elsewhere"
            if below and stack[0] - below[-1][0] <= 128:
                name = below[-1][1]
            for field, value in zip(FIELDS, estimates):
                sums[name][field] += value
        return sums


class Base(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def execute(self, *arguments, profile="heap", rate=None, status=0, **env):
        if os.path.sep not in profile:
            profile = self.path(profile)
        env = {**os.environ, "LD_PRELOAD": LIBRARY,
               "MALLOCGC_PROFILE": profile, **env}
        if rate is not None:
            env["MALLOCGC_PROFILE_RATE"] = str(rate)
        r = subprocess.run([SITES, *map(str, arguments)], env=env, text=True,
                           capture_output=True, timeout=100, check=False,
                           cwd=self.directory.name)
        self.assertEqual(r.returncode, status, r.stdout + r.stderr)
        return r

    def run_sites(self, *arguments, **options):
        """The profile's sums and the program's, by site."""
        r = self.execute(*arguments, **options)
        self.assertEqual(r.stderr, "")
        said, functions = self.parse_report(r.stdout)
        profile = Profile(self.path("heap"))
        return profile, profile.by_site(functions), said

    @staticmethod
    def parse_report(text):
        said, functions = {}, {}
        for line in text.splitlines():
            words = line.split()
            if len(words) != 6:
                continue
            functions[words[0]] = int(words[1], 16)
            said[words[0]] = dict(zip(FIELDS, map(int, words[2:])))
        return said, functions

    def assert_near(self, got, want, tolerance, what):
        self.assertLessEqual(abs(got - want), tolerance * want,
                             f"{what}: {got:.0f}, not {want}")


class Exact(Base):
    """At rate 1."""

    def compare(self, *arguments):
        profile, got, said = self.run_sites(*arguments, rate=1)
        self.assertEqual(profile.kind, "heapprofile")
        self.assertEqual(profile.header, profile.raw)
        for name, sums in said.items():
            self.assertEqual(got[name], sums, name)
        return got

    def test_split(self):
        self.compare("split", 2000)

    def test_large_aligned_grown_and_empty_objects(self):
        got = self.compare("all", 2000)
        for name in ("site_large", "site_aligned", "site_grown", "site_zero"):
            self.assertGreater(got[name]["live"], 0, name)
            self.assertGreater(got[name]["all"], got[name]["live"], name)

    def test_threads(self):
        self.compare("threads", 40000)

    def test_what_exit_handlers_allocate_is_there(self):
        _, got, _ = self.run_sites("atexit", rate=1)
        self.assertEqual(got["site_b"]["live_bytes"], 1000000)


class Sampled(Base):
    """Totals within 5 %; one site's, of fewer samples, within 5 standard errors.
    A run has some 25,000 samples: 5 % are 8 standard errors."""

    def compare(self, *arguments, rate=4096):
        profile, got, said = self.run_sites(*arguments, rate=rate)
        self.assertEqual(profile.kind, f"heap_v2/{rate}")
        self.assertEqual(profile.header, profile.raw)
        for field in ("live_bytes", "all_bytes"):
            self.assert_near(sum(s[field] for s in got.values()),
                             sum(s[field] for s in said.values()), 0.05, field)
            for name, sums in said.items():
                error = 5 * math.sqrt(max(sums[field], 1) / rate)
                self.assertLessEqual(abs(got[name][field] - sums[field]),
                                     error * rate * 1.2, (name, field))
        return got

    def test_split(self):
        got = self.compare("split", 100000)
        top = max(got, key=lambda name: got[name]["all_bytes"])
        self.assertEqual(top, "site_a")
        for name, share in (("site_a", 70), ("site_b", 20), ("site_c", 10)):
            self.assert_near(got[name]["all_bytes"], share * 1e6, 0.15, name)

    def test_all_kinds(self):
        self.compare("all", 20000)

    def test_threads(self):
        self.compare("threads", 200000)

    def test_a_large_block_that_grows_in_place_is_counted(self):
        self.compare("grown", 400)

    def test_default_rate(self):
        profile, _, _ = self.run_sites("split", 1000)
        self.assertEqual(profile.kind, "heap_v2/524288")
        self.assertIn(os.path.basename(SITES), profile.maps)

    def test_rate_0_samples_nothing(self):
        profile, _, _ = self.run_sites("split", 1000, rate=0)
        self.assertEqual(profile.samples, [])

    def test_two_runs_sample_differently(self):
        first, _, _ = self.run_sites("split", 2000, rate=4096)
        others = [self.run_sites("split", 2000, rate=4096)[0].raw
                  for _ in range(3)]
        self.assertTrue(any(first.raw != raw for raw in others))


class Stacks(Base):
    def test_depth_is_limited(self):
        profile, got, _ = self.run_sites("deep", 1000, rate=1)
        self.assertEqual(got["site_a"]["live"], 1)
        self.assertEqual(max(len(stack) for _, stack in profile.samples), 64)

    def test_no_frame_is_the_librarys(self):
        profile, _, _ = self.run_sites("all", 100, rate=1)
        ours = [tuple(int(x, 16) for x in line.split()[0].split("-"))
                for line in profile.maps.splitlines()
                if os.path.basename(os.path.realpath(LIBRARY)) in line]
        self.assertTrue(ours)
        for _, stack in profile.samples:
            for frame in stack:
                self.assertFalse(any(lo <= frame < hi for lo, hi in ours))


class Files(Base):
    def test_forked_child_writes_its_own_file(self):
        r = self.execute("fork", 5000, profile="heap.%p", rate=1)
        child = int(re.search(r"child (\d+)", r.stdout).group(1))
        report = r.stdout[r.stdout.index("child"):]
        said, functions = self.parse_report(report)
        names = [n for n in os.listdir(self.directory.name) if "heap." in n]
        self.assertEqual(len(names), 2, names)
        names.remove(f"heap.{child}")
        parent = Profile(self.path(names[0])).by_site(functions)
        of_child = Profile(self.path(f"heap.{child}")).by_site(functions)
        self.assertEqual(parent["site_a"], said["site_a"])
        self.assertEqual(parent["site_b"]["all"], 0)
        self.assertEqual(of_child["site_a"]["live"], 0)
        self.assertEqual(of_child["site_a"]["all"], 5000)
        self.assertEqual(of_child["site_b"]["live"], 5000)

    def test_forked_child_leaves_its_parents_file_alone(self):
        r = self.execute("fork", 1000, rate=1)
        _, functions = self.parse_report(r.stdout)
        sums = Profile(self.path("heap")).by_site(functions)
        self.assertEqual(sums["site_b"]["all"], 0)
        self.assertEqual(sums["site_a"]["live"], 1000)

    def test_signal_writes_the_profile_of_the_moment(self):
        r = self.execute("signal", 1000, rate=1)
        said, functions = self.parse_report(r.stdout)
        got = Profile(self.path("heap")).by_site(functions)
        for name, sums in said.items():
            self.assertEqual(got[name], sums)

    def test_signals_interrupt_anything(self):
        for rate in (1, 65536):
            r = self.execute("interrupted", 200, rate=rate)
            self.assertEqual(r.stderr, "")
            profile = Profile(self.path("heap"))
            self.assertEqual(profile.header, profile.raw)

    def test_relative_path_is_of_the_start(self):
        self.execute("chdir", 10, profile="./heap")
        Profile(self.path("heap"))

    def test_percent_sign(self):
        self.execute("split", 10, profile="a%%p%c%")
        self.assertTrue(os.path.exists(self.path("a%p%c%")))

    def test_file_that_cannot_be_written_is_said_and_no_more(self):
        r = self.execute("split", 10, profile=self.path("none/heap"))
        self.assertRegex(r.stderr, r"^mallocgc: cannot write heap profile: "
                         r"\S+/none/heap: No such file or directory\n$")

    def test_hardened_heap_has_no_profile(self):
        r = self.execute("split", 10, MALLOCGC_HARDEN="1")
        self.assertIn("no heap profile", r.stderr)
        self.assertFalse(os.path.exists(self.path("heap")))

    def test_double_free_of_a_sample_is_fatal(self):
        r = self.execute("doublefree", rate=1, status=-6)
        self.assertRegex(r.stderr, r"mallocgc: fatal: double free")


class Readers(Base):
    """The distribution's programs find the right function."""

    def check(self, text, total):
        rows = [line.split() for line in text.splitlines() if "site_" in line]
        self.assertEqual([row[-1] for row in rows],
                         ["site_a", "site_b", "site_c"], text)
        self.assert_near(float(re.match(r"[\d.]+", rows[0][0]).group()),
                         total, 0.05, "site_a")

    def go_top(self, index):
        r = subprocess.run(
            ["go", "tool", "pprof", "-top", f"-sample_index={index}",
             "-unit=MB", SITES, self.path("heap")], text=True, timeout=100,
            capture_output=True, check=False,
            env={**os.environ, "PPROF_TMPDIR": self.directory.name,
                 "HOME": self.directory.name})
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout

    @unittest.skipUnless(shutil.which("go"), "no go")
    def test_go_tool_pprof(self):
        for rate in (1, 4096):
            self.execute("split", 100000, rate=rate)
            self.check(self.go_top("inuse_space"), 35e6 / 2**20)
            self.check(self.go_top("alloc_space"), 70e6 / 2**20)

    @unittest.skipUnless(shutil.which("go"), "no go")
    def test_go_tool_pprof_counts_objects(self):
        self.execute("split", 1000, rate=1)
        for index, counts in (("inuse_objects", ("500", "750", "1000")),
                              ("alloc_objects", ("1000", "1000", "1000"))):
            rows = [line.split() for line in self.go_top(index).splitlines()]
            got = {row[-1]: row[0] for row in rows if row}
            for name, want in zip(("site_a", "site_b", "site_c"), counts):
                self.assertEqual(got[name].removesuffix("MB"), want, index)

    @unittest.skipUnless(shutil.which("google-pprof"), "no google-pprof")
    def test_google_pprof(self):
        for rate in (1, 4096):
            self.execute("split", 100000, rate=rate)
            for index, megabytes in (("inuse", 35e6), ("alloc", 70e6)):
                r = subprocess.run(
                    ["google-pprof", "--text", f"--{index}_space", SITES,
                     self.path("heap")], text=True, timeout=100,
                    capture_output=True, check=False)
                self.assertEqual(r.returncode, 0, r.stderr)
                self.check(r.stdout, megabytes / 2**20)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=1)
