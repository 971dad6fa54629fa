# SPDX-License-Identifier: MIT
"""Rows that are real programs, with inputs that they are given."""
import os
import shutil
import socket
import subprocess
import sys
import time

import sources
from benchlib import Failed
from rows import Row, Running, Skip

HERE = os.path.dirname(os.path.abspath(__file__))


def need(*names):
    """The path of the first of these programs that is installed."""
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    raise Skip(f"{' or '.join(names)} is not installed")


def compiler_pass(driver, name):
    """cc1 or cc1plus itself: the driver would be a second process."""
    need(driver)
    path = subprocess.run([driver, f"-print-prog-name={name}"], check=True,
                          capture_output=True, text=True).stdout.strip()
    if not os.access(path, os.X_OK):
        raise Skip(f"{name} is not installed")
    return path


def given(name):
    return os.path.join(HERE, "inputs", name)


def written(bench, name, text):
    path = os.path.join(bench.args.scratch, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


class Script(Row):
    """An interpreter on a script of inputs/."""

    def __init__(self, name, programs, script, full, quick, env=()):
        super().__init__(name, "real", full, quick)
        self.programs = programs
        self.script = script
        self.env = dict(env)

    def command(self, bench):
        return [*self.interpreter(), given(self.script),
                str(self.arguments(bench)[0])]

    def interpreter(self):
        return [need(*self.programs)]


class Python(Script):
    def interpreter(self):
        # Not what the PATH says: that may be a script that starts another.
        return [sys.executable, "-S"]


class Sqlite(Row):
    def command(self, bench):
        return [need("sqlite3"), "-batch", "-init", os.devnull, ":memory:",
                f".read {given('work.sql')}"]


class Cc1(Row):
    def command(self, bench):
        path = written(bench, "large.c",
                       sources.c_source(self.arguments(bench)[0]))
        return [compiler_pass("gcc", "cc1"), "-quiet", "-O1", "-w", path,
                "-o", "-"]


class Cc1plus(Row):
    def command(self, bench):
        program = compiler_pass("g++", "cc1plus")
        path = written(bench, "templates.cpp",
                       sources.cxx_source(self.arguments(bench)[0]))
        # cc1plus alone does not know every folder that the driver gives it.
        done = os.path.join(bench.args.scratch, "templates.ii")
        subprocess.run(["g++", "-std=c++17", "-E", "-P", path, "-o", done],
                       check=True)
        return [program, "-quiet", "-std=c++17", "-O1", "-w", "-fpreprocessed",
                done, "-o", "-"]


GIT_ENV = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
           "GIT_PAGER": "cat", "GIT_TERMINAL_PROMPT": "0"}


class Git(Row):
    """On a repository made by git fast-import, once for each size."""
    env = GIT_ENV

    def repository(self, bench):
        git = need("git")
        commits = self.arguments(bench)[0]
        path = os.path.join(bench.args.scratch, f"history-{commits}.git")
        if os.path.exists(os.path.join(path, "complete")):
            return path
        shutil.rmtree(path, ignore_errors=True)
        env = {**os.environ, **GIT_ENV}
        subprocess.run([git, "init", "-q", "--bare", "-b", "main", path],
                       check=True, env=env, stdin=subprocess.DEVNULL)
        # Loose objects, so that gc has something to do.
        subprocess.run([git, "-C", path, "-c", "fastimport.unpackLimit=1000000",
                        "fast-import", "--quiet"], check=True, env=env,
                       input=sources.history(200, commits).encode())
        with open(os.path.join(path, "complete"), "w", encoding="utf-8"):
            pass
        return path


class GitLog(Git):
    def command(self, bench):
        return [need("git"), "-C", self.repository(bench), "log", "-p",
                "--stat", "-M", "--format=fuller"]


class GitGc(Git):
    """Each time on a fresh copy. What gc leaves is read by a git of its own."""

    def command(self, bench):
        self.copy = os.path.join(bench.args.scratch, "gc.git")
        self.from_path = self.repository(bench)
        # Without fsync, or it waits for the disk to have the copy.
        return [need("git"), "-C", self.copy, "-c", "core.fsync=none",
                "-c", "pack.threads=2", "gc", "--quiet", "--prune=now"]

    def before(self, bench):
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.from_path, self.copy)

    def after(self, bench):
        env = {**os.environ, **GIT_ENV}
        checks = [["count-objects", "-v"], ["fsck", "--full", "--strict"],
                  ["rev-list", "--all", "--objects"]]
        text = b""
        for check in checks:
            result = subprocess.run(["git", "-C", self.copy, *check], env=env,
                                    capture_output=True, check=False)
            if result.returncode != 0:
                raise Failed(f"git {check[0]} after gc: "
                             f"{result.stderr.decode()[-200:]}")
            text += b"\n".join(line for line in result.stdout.splitlines()
                               if not line.startswith(b"size-pack"))
        shutil.rmtree(self.copy, ignore_errors=True)
        return text


class Redis(Row):
    """redis-server under the allocator; its own benchmark, which is not, drives
    it over the loopback. Time is the benchmark's; CPU and peak the server's.
    The benchmark's keys differ from run to run: what is compared is the data
    that a script makes afterwards."""

    own_malloc = True  # Debian's links libjemalloc

    WORK = [["-t", "set,get,incr", "-d", "64", "-r", "100000"],
            ["-t", "lpush,rpush,lpop,sadd,hset,zadd", "-d", "32", "-r", "50000"],
            ["-t", "set,get", "-d", "1024", "-r", "20000"]]

    def command(self, bench):
        self.client = need("redis-benchmark")
        self.cli = need("redis-cli")
        return [need("redis-server")]

    def run(self, bench, argv, preload):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = str(s.getsockname()[1])
        server = Running(bench, [
            *argv, "--bind", "127.0.0.1", "--port", port, "--save", "",
            "--appendonly", "no", "--daemonize", "no", "--dir",
            bench.args.scratch, "--loglevel", "warning",
            "--enable-debug-command", "local"], preload)
        try:
            self.wait(port, server)
            begin = time.monotonic()
            for work in self.WORK:
                self.ask([self.client, "-h", "127.0.0.1", "-p", port, "-q",
                          "-P", "16", "-c", "20", "-n",
                          str(self.arguments(bench)[0]), *work])
            wall = time.monotonic() - begin
            cli = [self.cli, "-h", "127.0.0.1", "-p", port]
            self.ask([*cli, "flushall"])
            output = (self.ask([*cli, "--eval", given("work_redis.lua"), ",",
                                str(self.arguments(bench)[0] // 10)])
                      + self.ask([*cli, "debug", "digest"]))
            self.ask([*cli, "shutdown", "nosave"])
        except BaseException:
            server.kill()
            raise
        result = server.finish()
        return {**result, "wall": wall, "output": output}

    def ask(self, argv):
        result = subprocess.run(argv, capture_output=True, timeout=120,
                                stdin=subprocess.DEVNULL, check=False)
        if result.returncode != 0:
            raise Failed(f"{argv[0]}: {result.stderr.decode()[-200:]}")
        return result.stdout

    def wait(self, port, server):
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", int(port))) == 0:
                    return
            if server.ended():
                break
            time.sleep(0.02)
        raise Failed("redis-server does not answer")


REAL = [
    Sqlite("sqlite3", "real", (), ()),
    Redis("redis", "real", (150000,), (30000,)),
    Python("python3", [], "work.py", (4,), (1,),
           env={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0",
                "PYTHONDONTWRITEBYTECODE": "1"}),
    Cc1("cc1", "real", (350,), (60,)),
    Cc1plus("cc1plus", "real", (4,), (0,)),
    Script("perl", ["perl"], "work.pl", (10,), (2,),
           env={"PERL_HASH_SEED": "0", "PERL_PERTURB_KEYS": "0"}),
    Script("lua", ["lua5.4", "lua"], "work.lua", (20,), (4,)),
    GitLog("git-log", "real", (300,), (60,)),
    GitGc("git-gc", "real", (300,), (60,)),
]
