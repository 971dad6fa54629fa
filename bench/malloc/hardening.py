#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hardening.py BUILD [RUNS]: what MALLOCGC_HARDEN=1 costs.

Real programs, with the library of BUILD (build/release, with the target
bench_malloc_programs) as it is and hardened, in turns; medians of RUNS (default
7). The table of docs/hardening.md.
"""
import os
import random
import statistics
import subprocess
import sys
import tempfile

PYTHON = """import json
d = {i: [str(i), {"a": i}] for i in range(60000)}
print(len(json.loads(json.dumps(d))))"""
SQL = """create table t(a,b);
with recursive c(x) as (select 1 union all select x+1 from c where x<200000)
insert into t select x, hex(x*7919%100003) from c;
create index i on t(b);
select count(*), max(b) from t group by a%100;"""
PERL = """my %h; $h{$_} = "x" x ($_ % 50) for 1..150000; my $n = 0;
$n += length $h{$_} for sort keys %h; print "$n\n";"""


def c_program(functions):
    rng = random.Random(1)
    lines = []
    for i in range(functions):
        a, b = rng.randrange(1, 99), rng.randrange(max(i, 1))
        call = f"f{b}(x - 1)" if i else "x"
        lines.append(f"int f{i}(int x) {{ int s = {a}; for (int k = 0; k < x;"
                     f" k++) s += k * {a} ^ (s >> {a % 7}); return x > 0 ? s +"
                     f" {call} : s; }}")
    return "\n".join(lines) + "\n"


def programs(work):
    source = os.path.join(work, "in.c")
    with open(source, "w", encoding="utf-8") as f:
        f.write(c_program(600))
    cc1 = subprocess.run(["gcc", "-print-prog-name=cc1"], text=True,
                         stdout=subprocess.PIPE, check=True).stdout.strip()
    yield "true", ["true"], {}
    yield "sqlite3, 200,000 rows", ["sqlite3", ":memory:", SQL], {}
    yield "cc1 -O2, 600 functions", [cc1, "-quiet", "-O2", source, "-o",
                                     "/dev/null"], {}
    yield "perl, hash of 150,000", ["perl", "-e", PERL], {}
    yield "python3, JSON", ["python3", "-c", PYTHON], {}
    yield ("python3, JSON, PYTHONMALLOC=malloc", ["python3", "-c", PYTHON],
           {"PYTHONMALLOC": "malloc"})


def run(build, command, hardened, more):
    """Microseconds of CPU, peak KiB, output."""
    env = {**os.environ, "MALLOCGC_HARDEN": "1" if hardened else "0", **more}
    library = os.path.join(build, "lib", "libmallocgc-malloc.so")
    with tempfile.NamedTemporaryFile() as cost:
        done = subprocess.run(
            [os.path.join(build, "bench", "malloc", "bin", "spawn"), cost.name,
             library, "1", *command], stdin=subprocess.DEVNULL, check=True,
            stdout=subprocess.PIPE, env=env)
        with open(cost.name, encoding="ascii") as f:
            _, cpu, peak, status = map(int, f.read().split())
    if status != 0:
        sys.exit(f"{command[0]} ended with {status}")
    return cpu, peak, done.stdout


def row(build, name, command, more, runs):
    got = {False: [], True: []}
    for _ in range(runs):
        for hardened in (False, True):
            got[hardened].append(run(build, command, hardened, more))
    if len({r[2] for side in got.values() for r in side}) != 1:
        sys.exit(f"{name}: outputs differ")
    (cpu0, peak0), (cpu1, peak1) = (
        [statistics.median(r[i] for r in got[h]) for i in range(2)]
        for h in (False, True))
    print(f"| {name} | {cpu0 / 1000:.1f} | {cpu1 / 1000:.1f} | "
          f"{cpu1 / cpu0:.2f} | {peak0 / 1024:.1f} | {peak1 / 1024:.1f} | "
          f"{peak1 / peak0:.2f} |", flush=True)


def main():
    build = os.path.abspath(sys.argv[1])
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    print("| program | CPU, ms | hardened | ratio | peak, MiB | hardened |"
          " ratio |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for name, command, more in programs(work):
            row(build, name, command, more, runs)


if __name__ == "__main__":
    main()
