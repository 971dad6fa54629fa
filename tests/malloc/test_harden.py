#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_harden.py LIBRARY PROGRAM: the hardened allocator, preloaded.

Each case of harden.c must end as the table says. Real programs must say the same
as without the library.
"""
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

ABORT, FAULT = -signal.SIGABRT, -signal.SIGSEGV
OBJECT = r"ptr={ptr} size=\d+ elemsize=\d+ "

# Case: how it ends, kind of the fatal line, facts in it.
EXPECTED = {
    "overflow_by_one":
        (ABORT, "heap overflow", r"ptr={ptr} size=24 elemsize=32 .*offset=24 "),
    "overflow_of_nothing":
        (ABORT, "heap overflow", r"ptr={ptr} size=0 elemsize=16 .*offset=0 "),
    "overflow_noticed_by_realloc":
        (ABORT, "heap overflow", r"ptr={ptr} size=100 .*offset=100 "),
    "overflow_of_aligned":
        (ABORT, "heap overflow", r"ptr={ptr} size=300 elemsize=512 "),
    "overflow_of_large":
        (ABORT, "heap overflow", r"ptr={ptr} size=100001 .*offset=100001 "),
    "underflow_of_large":
        (ABORT, "heap underflow", r"ptr={ptr} size=100001 .*offset=-1 "),
    "guard_after_large": (FAULT, None, None),
    "guard_after_small": (FAULT, None, None),
    "read_after_free_of_large": (FAULT, None, None),
    "write_after_free":
        (ABORT, "write after free", r"ptr={ptr} size=40 .*offset=13 "),
    # Nobody looks again: what docs/hardening.md says of the end of a program.
    "write_after_free_then_exit": (0, None, None),
    "double_free": (ABORT, "double free", OBJECT),
    "double_free_after_1000": (ABORT, "double free", OBJECT),
    "double_free_of_large": (ABORT, "double free", OBJECT),
    "double_free_by_threads": (ABORT, "double free", OBJECT),
    "realloc_after_free": (ABORT, "invalid pointer", OBJECT),
    "usable_after_free": (ABORT, "invalid pointer", OBJECT),
    "interior_free": (ABORT, "invalid free", r"ptr=0x\w+ size=40 .*inside"),
    "interior_free_of_large": (ABORT, "invalid free", r"ptr=0x\w+ size=40000 "),
    "delete_of_other_size":
        (ABORT, "size mismatch", r"ptr={ptr} size=40 .*freed with size 48"),
    "free_of_other_size":
        (ABORT, "size mismatch", r"ptr={ptr} size=100000 .*size 100001"),
    "foreign_free": (ABORT, "invalid free", r"ptr={ptr} .*not in the heap"),
}

SQL = """create table t(a,b);
with recursive c(x) as (select 1 union all select x+1 from c where x<20000)
insert into t select x, hex(x*7919%10007) from c;
create index i on t(b);
select count(*), max(b), min(b) from t group by a%10;"""
PERL = ('my %h; $h{$_ % 5000} .= "x$_" for 1..40000;'
        'print length join ",", map {"$_=$h{$_}"} sort keys %h;')
PYTHON = """import json, re, threading
d = {i: [str(i), {"a": i}] for i in range(5000)}
print(len(json.dumps(d)), len(re.findall("1+", json.dumps(d))))
out = []
t = [threading.Thread(target=lambda: out.append(sum(len(str(i))
     for i in range(3000)))) for _ in range(5)]
[x.start() for x in t], [x.join() for x in t]
print(out)"""
C = "#include <stdio.h>\n#include <stdlib.h>\n" + "\n".join(
    f"int f{i}(int x) {{ return x > {i} ? f{i}(x / 2) + {i} : x * {i}; }}"
    for i in range(200))


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def environment(library, **more):
    env = {**os.environ, "LD_PRELOAD": library, "MALLOCGC_HARDEN": "1", **more}
    return {k: v for k, v in env.items() if v is not None}


def run(command, env, cwd=None):
    return subprocess.run(command, stdin=subprocess.DEVNULL, cwd=cwd,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=100, env=env, check=False,
                          preexec_fn=no_core)


def problem(library, program, case):
    """What is wrong, or nothing."""
    done = run([program, case], environment(library))
    said = f"\n  stdout {done.stdout!r}\n  stderr {done.stderr!r}"
    end, kind, facts = EXPECTED.get(case, (0, None, None))
    if done.returncode != end:
        return f"ended with {done.returncode}, not {end}{said}"
    if kind is None:
        return f"said something{said}" if done.stderr else None
    match = re.fullmatch(r"mallocgc: fatal: ([^:]+): (.*) tid=\d+\n",
                         done.stderr)
    if not match:
        return f"not one line of the form{said}"
    if match.group(1) != kind:
        return f"kind {match.group(1)!r}, not {kind!r}{said}"
    facts = facts.format(ptr=done.stdout.split()[0])
    if not re.match(facts, match.group(2)):
        return f"no {facts!r}{said}"
    return None


def programs(work):
    """Commands whose output is the same with every allocator."""
    with open(os.path.join(work, "in.c"), "w", encoding="utf-8") as f:
        f.write(C)
    yield ["python3", "-c", PYTHON], {"PYTHONMALLOC": "malloc"}
    yield ["sqlite3", ":memory:", SQL], {}
    yield ["perl", "-e", PERL], {}
    yield ["gcc", "-O1", "-S", "-o", "-", "in.c"], {}
    yield ["git", "-c", "init.defaultBranch=main", "init", "-q", "repo"], {}
    yield ["git", "-C", "repo", "add", "--intent-to-add", "."], {}
    yield ["git", "-C", "repo", "status", "--short"], {}
    yield ["sort", "-R", "--random-source=in.c", "in.c"], {}


def compare(library):
    failed = 0
    plain = {**os.environ}
    plain.pop("LD_PRELOAD", None)
    with tempfile.TemporaryDirectory() as work:
        for command, more in programs(work):
            if not shutil.which(command[0]):
                continue
            want = run(command, {**plain, **more}, work)
            got = run(command, environment(library, **more), work)
            if (got.returncode, got.stdout, got.stderr) != \
                    (want.returncode, want.stdout, want.stderr):
                print(f"{command[0]}: {got.returncode} {got.stderr[-500:]!r}, "
                      f"not {want.returncode} {want.stderr[-500:]!r}")
                failed += 1
    return failed


def main():
    library, program = sys.argv[1:3]
    cases = subprocess.run([program], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.split()
    failed = 0
    for case in sorted(set(cases) | set(EXPECTED)):
        wrong = problem(library, program, case)
        if wrong:
            print(f"{case}: {wrong}")
            failed += 1
    failed += compare(library)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
