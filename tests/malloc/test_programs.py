#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_programs.py LIBRARY NAME: a program that people use says the same with the
library preloaded as without. Exit status 77 when it is not installed.
"""
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def need(*names):
    """The first of the programs that is installed."""
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    return skip(f"{names[0]} is not installed")


class Place:
    """A directory and an environment, with or without the library."""

    def __init__(self, library):
        self.work = tempfile.mkdtemp(prefix="mgc")
        self.env = {**os.environ, "LC_ALL": "C", "HOME": self.work}
        self.env.pop("LD_PRELOAD", None)
        if library:
            self.env["LD_PRELOAD"] = library
        self.said = []

    def write(self, name, text):
        path = os.path.join(self.work, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def run(self, *command, stdin="", check=True, **env):
        """Its output, which is also what is compared."""
        done = subprocess.run(command, input=text_bytes(stdin), cwd=self.work,
                              env={**self.env, **env}, timeout=90,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False)
        self.said.append((done.returncode, done.stdout))
        if check and done.returncode != 0:
            sys.stdout.write(done.stderr.decode(errors="replace")[-3000:])
        return done.stdout.decode(errors="replace")

    def close(self):
        shutil.rmtree(self.work, ignore_errors=True)


def text_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


# --- the programs -----------------------------------------------------------

SQL = """
create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i+1 from n where i < 60000)
insert into t select i, printf('%08x-%s', i*2654435761 % 4294967296, hex(i)),
  i*1.5 from n;
create index tb on t(b);
select count(*), sum(a), max(b), avg(c) from t;
select substr(b,1,2) as k, count(*), group_concat(a % 7, '') from t
  where a < 3000 group by k order by k limit 40;
update t set b = b || b where a % 3 = 0;
delete from t where a % 5 = 0;
select count(*), sum(length(b)), min(b) from t;
select x.a, y.a from t x join t y on y.a = x.a * 2 order by x.b limit 25;
pragma integrity_check;
"""


def sqlite3(place):
    place.run(need("sqlite3"), ":memory:", stdin=SQL)


PYTHON = """
import hashlib, json, threading, zlib
out = {}
def work(n):
    d, s = {}, []
    for i in range(12000):
        d["%d-%d" % (n, i)] = [i, str(i) * (i % 17), {i: (i, i + 1)}]
        s.append(("x" * (i * 7919 % 500)).encode())
        if i % 100 == 0:
            s = sorted(s, reverse=True)[:300]
    text = json.dumps({k: v[1] for k, v in sorted(d.items())})
    packed = zlib.compress(text.encode() + b"".join(s), 6)
    big = bytearray()
    for i in range(2000):
        big += bytes([i % 256]) * (i % 997)
    out[n] = hashlib.sha256(zlib.decompress(packed) + big).hexdigest()
threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
[t.start() for t in threads]
[t.join() for t in threads]
for n in sorted(out): print(n, out[n])
"""


def python3(place):
    script = place.write("threads.py", PYTHON)
    place.run(sys.executable, script, PYTHONMALLOC="malloc")


PERL = r"""
my (%h, @l);
for my $i (1..60000) {
  my $k = sprintf("%x", $i * 2654435761 % 4294967296);
  $h{substr($k, 0, 3)} .= $k;
  push @l, [$i, $k, { n => $i, s => "y" x ($i % 200) }];
  splice(@l, 0, 500) if @l > 2000;
}
my $n = 0;
for my $k (sort keys %h) {
  my $v = $h{$k};
  $v =~ s/([a-f])(\d)/$2$1/g;
  $n += length($v);
  print "$k ", substr($v, 0, 12), "\n" if $n % 50 == 0;
}
print "$n ", scalar(@l), " $l[100][1]\n";
"""


def perl(place):
    place.run(need("perl"), "-", stdin=PERL, PERL_HASH_SEED="0")


LUA = """
local t, n = {}, 0
for i = 1, 120000 do
  local s = string.format("%d:%s", i, string.rep("z", i % 60))
  t[#t + 1] = {i, s, {s .. "!"}}
  n = n + #s
  if #t > 5000 then
    table.sort(t, function(a, b) return a[2] < b[2] end)
    local u = {}
    for k = 1, #t, 2 do u[#u + 1] = t[k] end
    t = u
  end
end
local parts = {}
for i = 1, 3000 do parts[i] = t[i % #t + 1][2]:rep(3):reverse() end
print(n, #t, #table.concat(parts, ","), t[17][2])
"""


def lua(place):
    place.run(need("lua5.4", "lua5.3", "lua"), place.write("a.lua", LUA))


def git(place):
    program = need("git")
    rng = random.Random(1)
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
           for what, value in (("NAME", "n"), ("EMAIL", "e@example.org"),
                               ("DATE", "2020-01-01T00:00:00Z"))}

    def run(*words):
        return place.run(program, "-c", "pack.threads=4", "-c", "gc.auto=0",
                         "-c", "init.defaultBranch=main", *words, **who,
                         GIT_CONFIG_NOSYSTEM="1")

    run("init", "-q", ".")
    lines = [f"line {i} {rng.random()}" for i in range(1500)]
    for commit in range(6):
        for i in range(25):
            rng.shuffle(lines)
            place.write(f"d{i % 5}/f{i}", "\n".join(lines[:rng.randrange(900)]))
        run("add", ".")
        run("commit", "-q", "-m", f"commit {commit}")
    run("gc", "-q", "--aggressive", "--prune=now")
    run("fsck", "--full", "--strict", "--no-progress")
    run("rev-list", "--objects", "--all")
    run("log", "--stat", "--format=%H %T", "-M")
    run("blame", "d1/f1")


def c_source():
    """A file of many functions, all different."""
    rng = random.Random(2)
    text = ["#include <stdio.h>", "#include <string.h>", "#include <math.h>",
            "struct s { int a[8]; double d; struct s *next; };"]
    for i in range(80):
        ops = "\n  ".join(
            f"x = x {rng.choice('+-*^')} (p->a[{rng.randrange(8)}] "
            f"{rng.choice(['<<', '>>', '&'])} {rng.randrange(1, 9)});"
            for _ in range(12))
        text.append(f"""
long f{i}(struct s *p, long x, const char *t) {{
  switch (x & 7) {{ case 0: return x; case 1: x += (long)strlen(t);
  case 2: x ^= {rng.randrange(1 << 20)}; break; default: p = p->next; }}
  for (int i = 0; i < {rng.randrange(3, 40)}; i++) {{
  {ops}
  if (p->d > {rng.random()}) p->d = sqrt(p->d * x); }}
  return {f"f{i - 1}(p, x, t)" if i else "x"};
}}""")
    return "\n".join(text)


def cc1(place):
    place.run(need("gcc", "cc"), "-O2", "-S", "-o", "-",
              place.write("a.c", c_source()))


CPP = """
#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>
template <int N> struct chain { chain<N - 1> rest; std::map<int, std::string> m;
  int f(int x) { m[x] = std::to_string(N); return rest.f(x) + (int)m.size(); } };
template <> struct chain<0> { int f(int x) { return x; } };
int run(const std::string &s) {
  std::vector<std::function<int(int)>> v;
  v.push_back([&](int i) { return i + (int)s.size(); });
  std::sort(v.begin(), v.end(), [](auto &, auto &) { return false; });
  return chain<40>().f((int)v.size());
}
"""


def cc1plus(place):
    place.run(need("g++", "c++"), "-std=c++17", "-O0", "-S", "-o", "-",
              place.write("a.cc", CPP))


JAVA = """
import java.util.*;
import java.util.concurrent.*;
import java.util.zip.*;
public class Work {
  static long work(int n) throws Exception {
    Map<String, byte[]> m = new HashMap<>();
    Deflater d = new Deflater();
    long sum = 0;
    for (int i = 0; i < 4000; i++) {
      byte[] b = ("entry " + n + " " + i).repeat(i % 40 + 1).getBytes();
      d.reset(); d.setInput(b); d.finish();
      byte[] out = new byte[b.length + 64];
      sum += d.deflate(out);
      m.put("k" + i % 500, b);
      java.nio.ByteBuffer.allocateDirect(i % 5000 + 1).put(0, (byte)1);
    }
    return sum + m.size();
  }
  public static void main(String[] a) throws Exception {
    ExecutorService e = Executors.newFixedThreadPool(4);
    List<Future<Long>> l = new ArrayList<>();
    for (int i = 0; i < 8; i++) { int n = i; l.add(e.submit(() -> work(n))); }
    for (Future<Long> f : l) System.out.println(f.get());
    e.shutdown();
  }
}
"""


def java(place):
    program = need("java")
    source = place.write("Work.java", JAVA)
    place.run(program, "-Xmx128m", "-XX:TieredStopAtLevel=1", source)


NODE = """
const zlib = require('zlib'), crypto = require('crypto');
const { Worker, isMainThread, parentPort, workerData } =
  require('worker_threads');
function work(n) {
  const h = crypto.createHash('sha256'), keep = [];
  for (let i = 0; i < 1500; i++) {
    const b = Buffer.alloc(i * 37 % 9000 + 1, 'n' + n + 'i' + i);
    h.update(zlib.inflateSync(zlib.deflateSync(b)));
    keep[i % 50] = Buffer.concat([b, b]);
  }
  return h.digest('hex');
}
if (isMainThread) {
  const out = [];
  let left = 4;
  for (let n = 0; n < 4; n++) {
    const w = new Worker(__filename, { workerData: n });
    w.on('message', m => { out[n] = m; });
    w.on('exit', () => { if (--left === 0) console.log(out.join('\\n')); });
  }
} else parentPort.postMessage(work(workerData));
"""


def node(place):
    place.run(need("node", "nodejs"), place.write("w.js", NODE))


def redis(place):
    server = need("redis-server")
    path = os.path.join(place.work, "s")
    with subprocess.Popen(
            [server, "--port", "0", "--unixsocket", path, "--save", "",
             "--dir", place.work, "--io-threads", "2"], env=place.env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            place.said.append(redis_talk(path))
        finally:
            process.terminate()
        place.said.append(process.wait(20))


def redis_talk(path):
    conn = socket.socket(socket.AF_UNIX)
    conn.settimeout(30)
    for _ in range(200):
        try:
            conn.connect(path)
            break
        except OSError:
            time.sleep(0.05)
    replies = []

    def ask(*words):
        parts = [text_bytes(str(word)) for word in words]
        conn.sendall(b"*%d\r\n" % len(parts) +
                     b"".join(b"$%d\r\n%s\r\n" % (len(part), part)
                              for part in parts))
        line = b""
        while not line.endswith(b"\r\n"):
            line += conn.recv(1)
        if line[:1] == b"$" and line != b"$-1\r\n":
            left = int(line[1:]) + 2
            while left:
                got = conn.recv(left)
                line += got
                left -= len(got)
        replies.append(line)

    for i in range(3000):
        ask("SET", f"k{i}", "v" * (i * 31 % 3000))
        ask("APPEND", f"k{i // 2}", "w" * (i % 100))
        ask("RPUSH", f"l{i % 20}", f"item {i}")
        ask("ZADD", "z", i * 7919 % 10007, f"m{i % 700}")
        ask("HSET", f"h{i % 50}", f"f{i}", i * "x"[: i % 2])
        if i % 3 == 0:
            ask("DEL", f"k{i // 3}")
    ask("EVAL", "local s = 0; for i = 1, 20000 do s = s + #redis.call('GET', "
        "'k2999') end; return s", 0)
    ask("DEBUG", "DIGEST")
    ask("SAVE")
    ask("BGREWRITEAOF")
    ask("DBSIZE")
    ask("GET", "k2500")
    ask("FLUSHALL")
    ask("MEMORY", "PURGE")
    return replies[:-1]


def postgres(place):
    """Not compared with another run: pgbench's own sums must agree."""
    found = shutil.which("initdb")
    if not found:
        folders = [os.path.join("/usr/lib/postgresql", name, "bin", "initdb")
                   for name in (os.listdir("/usr/lib/postgresql")
                                if os.path.isdir("/usr/lib/postgresql") else [])]
        found = next((path for path in folders if os.path.exists(path)), None)
    if not found or not (need("pgbench") and need("psql")):
        skip("postgres is not installed")
    folder = os.path.dirname(os.path.realpath(found))
    user = None
    if os.getuid() == 0:  # which it refuses to run as
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = next((u for u in ("postgres", "nobody") if u in names), None)
        if not user:
            skip("no user to run postgres as")
        os.chown(place.work, pwd.getpwnam(user).pw_uid, -1)
        os.chmod(place.work, 0o755)
    data = os.path.join(place.work, "data")
    env = {**place.env, "PGHOST": place.work, "PGUSER": "mgc"}

    def run(name, *words, check=True):
        done = subprocess.run([os.path.join(folder, name), *words], env=env,
                              user=user, cwd=place.work, timeout=90, text=True,
                              stdin=subprocess.DEVNULL, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if check and done.returncode != 0:
            print(f"{name}: {done.returncode}\n{done.stdout[-3000:]}")
            sys.exit(1)
        return done.stdout

    run("initdb", "-D", data, "-U", "mgc", "-A", "trust", "-N")
    with subprocess.Popen(
            [os.path.join(folder, "postgres"), "-D", data, "-k", place.work,
             "-c", "listen_addresses=", "-c", "fsync=off", "-c",
             "max_parallel_workers_per_gather=2"], env=env, user=user,
            cwd=place.work, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(200):
                if "accepting" in run("pg_isready", check=False):
                    break
                time.sleep(0.05)
            postgres_talk(run)
        finally:
            server.send_signal(signal.SIGINT)
        if server.wait(30) != 0:
            print(f"the server ended with {server.returncode}")
            sys.exit(1)


def postgres_talk(run):
    run("pgbench", "-i", "-q", "-s", "1", "postgres")
    out = run("pgbench", "-c", "4", "-j", "2", "-t", "150", "postgres")
    if "actually processed: 600/600" not in out:
        print(out)
        sys.exit(1)
    sums = run("psql", "-At", "-d", "postgres", "-c",
               "select (select sum(abalance) from pgbench_accounts), "
               "(select sum(delta) from pgbench_history), "
               "(select count(*) from pgbench_history)").strip().split("|")
    if sums[0] != sums[1] or sums[2] != "600":
        print(f"sums differ: {sums}")
        sys.exit(1)


def tools(place):
    """sort with threads, tar, xz, awk: each in a shell's pipe."""
    rng = random.Random(3)
    words = "\n".join(str(rng.random()) for _ in range(150000))
    place.write("words", words + "\n")
    place.run("sh", "-c", "sort --parallel=4 -S 4M words | cksum")
    place.run("sh", "-c", "awk '{ n[substr($0, 3, 3)]++ } END "
              "{ for (k in n) print k, n[k] }' words | sort | cksum")
    place.run("sh", "-c", "tar cf - words | gzip -9 | gzip -d | tar xOf - "
              "| cksum")
    place.run("sh", "-c", "ls -laR /etc 2>/dev/null | wc -l; "
              "grep -c '7.*3.*1' words")


PROGRAMS = {f.__name__: f for f in (sqlite3, python3, perl, lua, git, cc1,
                                    cc1plus, java, node, redis, postgres,
                                    tools)}


def main():
    library, name = sys.argv[1:3]
    maps = subprocess.run(["cat", "/proc/self/maps"], stdout=subprocess.PIPE,
                          env={**os.environ, "LD_PRELOAD": library}, text=True,
                          check=True).stdout
    if os.path.realpath(library) not in maps:
        print("the library is not preloaded")
        sys.exit(1)
    said = []
    for preload in ([library] if name == "postgres" else [None, library]):
        place = Place(preload)
        started = time.monotonic()
        try:
            PROGRAMS[name](place)
        finally:
            place.close()
        text = repr(place.said).replace(place.work, "WORK")
        said.append(re.sub(r"0x[0-9a-f]{6,}", "ADDRESS", text))
        print(f"{'preloaded' if preload else 'alone'}: "
              f"{time.monotonic() - started:.2f} s, {len(text)} bytes")
    if len(said) == 2 and said[0] != said[1]:
        at = next((i for i, (a, b) in enumerate(zip(*said)) if a != b), 0)
        print(f"different from character {at}:\n  alone     "
              f"{said[0][at - 40:at + 160]}\n  preloaded "
              f"{said[1][at - 40:at + 160]}")
        sys.exit(1)
    statuses = [s[0] for s in place.said if isinstance(s, tuple)]
    if any(statuses):
        print(f"exit statuses {statuses}: nothing was tested")
        sys.exit(1)


if __name__ == "__main__":
    main()
