#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The leak report, as users see it.

test_leaks.py LIBRARY SEEDED SEEDED_LIBRARY LIVE: the preloaded library and the
programs leaks_seeded.c, leaks_lib.c, leaks_live.c.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

LIBRARY, SEEDED, SEEDED_LIBRARY, LIVE = sys.argv[1:5]
SUMMARY = re.compile(
    r"^mallocgc: leaks: (\d+) blocks?, (\d+) bytes unreachable, of (\d+) live "
    r"blocks, (\d+) bytes; pid \d+, stopped for \d+\.\d{3} ms, "
    r"scan \d+\.\d{3} ms( of a copy)?$", re.M)
GROUP = re.compile(r"^  (\d+) blocks? of (\d+) bytes(, in a ring)?$", re.M)
SEEDS = [("unloaded library's", 512), ("lost thread's", 112), ("ring", 48)]


def run(*command, leaks="1", **variables):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("MALLOCGC_")}
    env.update(LD_PRELOAD=LIBRARY, MALLOCGC_LEAKS=leaks, **variables)
    return subprocess.run(command, env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=100,
                          errors="replace", check=False)


def reports(text):
    """The figures of each report: (blocks, bytes, live, live bytes, copied)."""
    return [tuple(int(x) for x in m.groups()[:4]) + (m.group(5) is not None,)
            for m in SUMMARY.finditer(text)]


class Seeded(unittest.TestCase):
    def check_three(self, text, copied):
        (blocks, size, live, _, was_copied), = reports(text)
        self.assertEqual((blocks, size), (4, 512 + 112 + 2 * 48), text)
        self.assertGreater(live, 1000)
        self.assertEqual(was_copied, copied)
        groups = GROUP.findall(text)
        self.assertEqual(groups, [("1", "512", ""), ("1", "112", ""),
                                  ("1", "48", ", in a ring")], text)
        for name, _ in SEEDS:
            self.assertIn(name, text)
        self.assertIn("and 1 more that only it leads to: 96 bytes in all", text)

    def test_three_leaks_and_nothing_else(self):
        result = run(SEEDED, SEEDED_LIBRARY)
        self.assertEqual((result.returncode, result.stdout), (3, "done\n"))
        self.check_three(result.stderr, True)

    def test_three_leaks_in_place(self):
        self.check_three(run(SEEDED, SEEDED_LIBRARY, leaks="inplace").stderr,
                         False)

    def test_three_leaks_of_the_hardened_allocator(self):
        text = run(SEEDED, SEEDED_LIBRARY, MALLOCGC_HARDEN="1").stderr
        (blocks, _, live, _, _), = reports(text)
        self.assertEqual(blocks, 4, text)
        self.assertGreater(live, 1000)
        for name, _ in SEEDS:
            self.assertIn(name, text)

    def test_clean_program_has_none(self):
        result = run(SEEDED, SEEDED_LIBRARY, "clean")
        (blocks, _, live, _, _), = reports(result.stderr)
        self.assertEqual(blocks, 0, result.stderr)
        self.assertGreater(live, 1000)
        self.assertEqual(result.stderr.count("\n"), 1)

    def test_blocked_and_unjoined_threads_keep_what_they_have(self):
        result = run(SEEDED, SEEDED_LIBRARY, "threads")
        (blocks, _, live, _, _), = reports(result.stderr)
        self.assertEqual(blocks, 0, result.stderr)
        self.assertGreater(live, 101000)

    def test_mapped_memory_is_a_root_unless_told(self):
        for leaks, expected in (("1", 0), ("inplace", 0), ("nomaps", 1)):
            result = run(SEEDED, SEEDED_LIBRARY, "mapped", leaks=leaks)
            self.assertEqual(result.returncode, 3)
            (blocks, _, _, _, _), = reports(result.stderr)
            self.assertEqual(blocks, expected, result.stderr)

    def test_stacks_of_sampled_blocks(self):
        with tempfile.TemporaryDirectory() as folder:
            text = run(SEEDED, SEEDED_LIBRARY, MALLOCGC_PROFILE_RATE="1",
                       MALLOCGC_PROFILE=os.path.join(folder, "heap")).stderr
        self.check_three(text, True)
        self.assertEqual(text.count("    allocated at\n"), 3, text)
        program = os.path.basename(SEEDED)
        self.assertRegex(text, r"#\d+ .*" + re.escape(program) + r"\+0x")

    def test_json(self):
        result = run(SEEDED, SEEDED_LIBRARY, leaks="json")
        report = json.loads(result.stderr)
        self.assertEqual(report["leaked_blocks"], 4)
        self.assertEqual(report["direct_blocks"], 3)
        self.assertEqual([(g["text"], g["size"]) for g in report["groups"]][:2],
                         SEEDS[:2])
        self.assertEqual(report["groups"][2]["rings"], 1)

    def test_file_and_exit_status(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "report")
            for _ in range(2):
                result = run(SEEDED, SEEDED_LIBRARY, MALLOCGC_LEAKS_FILE=path,
                             MALLOCGC_LEAKS_EXIT="23")
                self.assertEqual(result.returncode, 23)
                self.assertEqual((result.stdout, result.stderr), ("done\n", ""))
            with open(path, encoding="utf-8") as f:
                self.assertEqual(len(reports(f.read())), 2)
        result = run(SEEDED, SEEDED_LIBRARY, "clean", MALLOCGC_LEAKS_EXIT="23")
        self.assertEqual(result.returncode, 3)

    def test_off_says_nothing(self):
        result = run(SEEDED, SEEDED_LIBRARY, leaks="0")
        self.assertEqual((result.returncode, result.stderr), (3, ""))

    def test_unknown_word_is_told(self):
        text = run(SEEDED, SEEDED_LIBRARY, "clean", leaks="exit,nonsense").stderr
        self.assertIn("cannot understand all of MALLOCGC_LEAKS", text)
        self.assertEqual(len(reports(text)), 1)


class Live(unittest.TestCase):
    def check(self, leaks, blocks):
        result = run(LIVE, "8", str(blocks), leaks=leaks)
        self.assertEqual((result.returncode, result.stdout), (0, "ok\n"),
                         result.stderr)
        got = reports(result.stderr)
        self.assertGreater(len(got), 0)
        for report in got:
            self.assertEqual(report[0], blocks, result.stderr)
        return result.stderr

    def test_threads_at_work_have_no_leaks(self):
        self.check("signal", 0)

    def test_threads_at_work_have_no_leaks_in_place(self):
        self.check("signal,inplace", 0)

    def test_leak_of_a_running_program(self):
        self.assertIn("live leak", self.check("signal", 1))


class Programs(unittest.TestCase):
    """Programs that free or still refer to all that they have."""

    def check_clean(self, *command, **variables):
        if not shutil.which(command[0]):
            self.skipTest(command[0] + " is not installed")
        result = run(*command, **variables)
        self.assertEqual(result.returncode, 0, result.stderr)
        got = reports(result.stderr)
        self.assertGreater(len(got), 0, result.stderr)
        for report in got:
            self.assertEqual(report[0], 0, result.stderr)

    def test_true(self):
        self.check_clean("true")

    def test_ls(self):
        self.check_clean("ls", "-l", "/")  # closes standard error at its end

    def test_git(self):
        self.check_clean("git", "--version")

    def test_python(self):
        self.check_clean(sys.executable, "-c", "print(sum(range(1000)))",
                         PYTHONMALLOC="malloc")

    def test_python_with_pools_of_its_own(self):
        self.check_clean(sys.executable, "-c", "print(sum(range(1000)))",
                         PYTHONMALLOC="pymalloc")

    def test_sqlite(self):
        self.check_clean("sqlite3", ":memory:", "create table t (a); select 1;")

    def test_perl_leaks_a_little_and_says_so(self):
        if not shutil.which("perl"):
            self.skipTest("perl is not installed")
        result = run("perl", "-e", 'print "a\\n"')
        self.assertEqual((result.returncode, result.stdout), (0, "a\n"))
        (blocks, size, live, live_bytes, _), = reports(result.stderr)
        self.assertLessEqual(blocks, live)
        self.assertLessEqual(size, live_bytes)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
