#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds the presets and runs every test, in every stress mode.

One line for each test as it ends, the output of those that fail, and at the end
one line "N passed, N failed": the cases of the Criterion executables are counted
one by one, any other test as one. The exit status is 0 when nothing failed.
"""

import argparse
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# What runs where. The whole suite runs in every build; the sanitizers, which are
# several times slower, leave out the long tests, and checks of text and of the
# installed tree run once. The stress modes are for the tests that use the library
# as programs do; tests/stress sets its modes itself.
#   (preset, name, ctest arguments, environment)
TEXT = "^(lint|consumer|doc)$"
STRESSED = ["-L", "^(face|gc|json)$", "-LE", "^(long|stress)$"]
BESIDE = ["-L", "^(face|gc|json|stress)$", "-LE", "^long$"]
STAGES = [
    ("release", "all tests", [], {"MALLOCGC_STRESS_SECONDS": "5"}),
    ("debug", "all tests", ["-LE", TEXT], {}),
    ("debug", "a collection at every 20th run", STRESSED,
     {"MALLOCGC_OPTIONS": "gc_every=20,clobber_free=1"}),
    ("debug", "checkmark and verifiers", STRESSED,
     {"MALLOCGC_OPTIONS": "checkmark=1,verify=1"}),
    ("debug", "arenas far apart, one marker", STRESSED,
     {"MALLOCGC_OPTIONS": "tiny_arenas=1,mark_workers=1,background_sweep=0,"
      "scankernel=portable"}),
    ("debug", "marked object at a time", STRESSED,
     {"MALLOCGC_OPTIONS": "markunit=object,checkmark=1,verify=1"}),
    ("debug", "beside the program, by write tracking", BESIDE,
     {"MALLOCGC_OPTIONS": "gcmode=kernel,checkmark=1,verify=1,clobber_free=1"}),
    ("asan", "AddressSanitizer", ["-LE", TEXT + "|^long$"], {}),
    ("ubsan", "UndefinedBehaviorSanitizer", ["-LE", TEXT + "|^long$"], {}),
    ("tsan", "ThreadSanitizer", ["-LE", TEXT + "|^long$"], {}),
]

# The last line of Criterion, and of its stand-in (tests/support/tsan).
# Criterion counts a crash as a failure too.
SYNTHESIS = re.compile(r"Passing: (\d+) \| Failing: (\d+)"
                       r"|^passed (\d+), failed (\d+), skipped", re.M)


def say(text):
    print(text, flush=True)


def quiet(command, log):
    """Runs command; shows its output only when it fails."""
    with open(log, "ab") as out:
        start = out.tell()
        done = subprocess.run(command, cwd=ROOT, stdout=out,
                              stderr=subprocess.STDOUT)
    if done.returncode:
        with open(log, "rb") as text:
            text.seek(start)
            sys.stdout.write(text.read().decode(errors="replace")[-20000:])
        say("FAILED: " + " ".join(command))
    return done.returncode == 0


def build(preset, jobs):
    """Configures (a package may have come since the last time) and builds."""
    directory = os.path.join("build", preset)
    os.makedirs(os.path.join(ROOT, directory), exist_ok=True)
    log = os.path.join(ROOT, directory, "build.log")
    started = time.monotonic()
    if not quiet(["cmake", "--preset", preset], log):
        return False
    if not quiet(["cmake", "--build", directory, "-j", str(jobs)], log):
        return False
    say(f"[{preset}] built in {time.monotonic() - started:.0f} s")
    return True


def count(junit):
    """(passed, failed, skipped) of a ctest report."""
    passed = failed = skipped = 0
    for case in ElementTree.parse(junit).getroot().iter("testcase"):
        status = case.get("status")
        output = case.findtext("system-out") or ""
        cases = SYNTHESIS.findall(output)
        if status in ("notrun", "disabled"):
            skipped += 1
        elif cases:
            numbers = [int(number or 0) for number in cases[-1]]
            good = numbers[0] + numbers[2]
            bad = numbers[1] + numbers[3]
            if status == "fail" and bad == 0:
                bad = 1  # ended badly after its last case
            passed += good
            failed += bad
        elif status == "fail":
            failed += 1
        else:
            passed += 1
    return passed, failed, skipped


def run(number, preset, name, arguments, settings, pattern, jobs):
    directory = os.path.join(ROOT, "build", preset)
    junit = os.path.join(directory, f"junit-{number}.xml")
    options = settings.get("MALLOCGC_OPTIONS")
    say(f"[{preset}] {name}" + (f" ({options})" if options else ""))
    command = ["ctest", "--test-dir", directory, "-j", str(jobs),
               "--output-on-failure", "--output-junit", junit,
               "--test-output-size-passed", "1000000",
               "--test-output-size-failed", "1000000", *arguments]
    if pattern:
        command += ["-R", pattern]
    process = subprocess.Popen(command, cwd=ROOT, text=True,
                               env={**os.environ, **settings},
                               stdout=subprocess.PIPE, errors="replace",
                               stderr=subprocess.STDOUT)
    for line in process.stdout:
        line = line.rstrip()
        if re.match(r"\s+Start\s+\d+:|Internal ctest|Test project", line):
            continue
        if re.match(r"Label Time|Total Test time|.*sec\*proc|\d+% tests", line):
            continue
        if line:
            say("  " + line.strip())
    process.wait()
    if not os.path.exists(junit):
        return 0, 1, 0
    result = count(junit)
    if process.returncode and result[1] == 0:
        result = (result[0], 1, result[2])
    say(f"[{preset}] {name}: {result[0]} passed, {result[1]} failed"
        + (f", {result[2]} skipped" if result[2] else ""))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--presets", default="",
                        help="only these, separated by spaces or commas")
    parser.add_argument("--tests", default="", help="only names that match")
    options = parser.parse_args()
    wanted = options.presets.replace(",", " ").split()

    started = time.monotonic()
    passed = failed = skipped = 0
    built = {}
    for number, (preset, name, arguments, settings) in enumerate(STAGES):
        if wanted and preset not in wanted:
            continue
        if preset not in built:
            built[preset] = build(preset, options.jobs)
            failed += not built[preset]
        if not built[preset]:
            continue
        result = run(number, preset, name, arguments, settings, options.tests,
                     options.jobs)
        passed += result[0]
        failed += result[1]
        skipped += result[2]
    say(f"\n{time.monotonic() - started:.0f} s"
        + (f", {skipped} skipped (see above)" if skipped else ""))
    say(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
