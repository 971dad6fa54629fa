# SPDX-License-Identifier: MIT
"""Inputs for the real programs that are too large to keep: a C file, a C++
file and the history of a repository. The same bytes every time."""
import random


def c_source(functions):
    """A large C file as code generators write it."""
    rng = random.Random(3)
    out = ["typedef unsigned long word;", "extern word input(word);",
           "extern void output(const char *, word);"]
    for i in range(functions):
        out.append(c_function(rng, i))
    out.append("word (*const table[])(struct record0 *, word) = {")
    out.extend(f"  (word (*)(struct record0 *, word))f{i}," for i in
               range(functions))
    out.append("};")
    return "\n".join(out) + "\n"


def c_function(rng, i):
    fields = rng.randint(3, 9)
    members = "".join(f" word m{j};" for j in range(fields))
    lines = [f"struct record{i} {{{members} struct record{i} *next; }};",
             f"word f{i}(struct record{i} *r, word n) {{",
             f"  word a = n * {rng.randint(3, 999)}, b = r->m0;",
             "  for (word i = 0; i < n; i++) {",
             f"    switch ((a + i) % {fields}) {{"]
    for j in range(fields):
        lines.append(f"    case {j}: b += r->m{j} ^ (a >> {rng.randint(1, 30)});"
                     f" r->m{(j + 1) % fields} = input(b + {rng.randint(0, 99)});"
                     " break;")
    lines.append("    }")
    lines.append(f"    if (b & {1 << rng.randint(0, 20)}) r = r->next;")
    if i > 0:
        lines.append(f"    else a += f{rng.randrange(i)}((void *)r, b % 7);")
    lines.append("  }")
    lines.append(f'  output("function {i} of {rng.randint(0, 10**6)}", a);')
    lines.append("  return a + b;\n}")
    return "\n".join(lines)


CXX_HEAD = """\
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

template <int... I> struct list {};
template <int H, class L> struct prepend;
template <int H, int... I> struct prepend<H, list<I...>> {
  using type = list<H, I...>;
};
template <int N, class L> struct insert;
template <int N> struct insert<N, list<>> { using type = list<N>; };
template <int N, int H, int... T> struct insert<N, list<H, T...>> {
  using type = typename std::conditional_t<(N <= H),
      prepend<N, list<H, T...>>,
      prepend<H, typename insert<N, list<T...>>::type>>::type;
};
template <class L> struct sorted;
template <> struct sorted<list<>> { using type = list<>; };
template <int H, int... T> struct sorted<list<H, T...>> {
  using type = typename insert<H, typename sorted<list<T...>>::type>::type;
};
template <class L> struct total;
template <int... I> struct total<list<I...>> {
  static constexpr int value = (0 + ... + I);
};
template <int N> struct tag {
  int value = N;
  friend bool operator<(const tag &a, const tag &b) { return a.value < b.value; }
};
template <class... T> int visit_all(std::variant<T...> v) {
  return std::visit([](const auto &x) { return x.value; }, v);
}
"""


def cxx_source(units):
    """A C++ file that makes the compiler instantiate much."""
    rng = random.Random(5)
    out = [CXX_HEAD]
    for i in range(units):
        numbers = ", ".join(str(rng.randint(0, 999)) for _ in range(24))
        a, b, c = 3 * i, 3 * i + 1, 3 * i + 2
        out.append(f"""\
int unit{i}(const std::string &s) {{
  using order = sorted<list<{numbers}>>::type;
  std::map<tag<{a}>, std::vector<std::tuple<tag<{b}>, std::string>>> m;
  m[tag<{a}>{{}}].emplace_back(tag<{b}>{{}}, s);
  std::unordered_map<std::string, std::function<int(tag<{c}>)>> calls;
  calls[s] = [&](tag<{c}> t) {{ return t.value + static_cast<int>(m.size()); }};
  std::variant<tag<{a}>, tag<{b}>, tag<{c}>> v = tag<{b}>{{}};
  auto p = std::make_unique<std::vector<tag<{c}>>>(s.size());
  std::sort(p->begin(), p->end());
  return total<order>::value + calls[s](tag<{c}>{{}}) + visit_all(v);
}}
""")
    return "".join(out)


def history(files, commits):
    """A stream for git fast-import."""
    rng = random.Random(7)
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 9)))
             for _ in range(500)]

    def line():
        return " ".join(rng.choices(words, k=8)) + "\n"

    texts = {f"dir{i % 12}/file{i}.txt": [line() for _ in range(150)]
             for i in range(files)}
    out = []
    for n in range(commits):
        message = f"commit {n}\n\n{line()}"
        out.append(f"commit refs/heads/main\nmark :{n + 1}\n"
                   f"committer A Person <a@example.org> {10**9 + n * 600} +0000\n"
                   f"data {len(message)}\n{message}\n")
        changed = texts if n == 0 else rng.sample(sorted(texts), 6)
        for name in changed:
            lines = texts[name]
            for _ in range(5):
                lines[rng.randrange(len(lines))] = line()
            if rng.random() < 0.3:
                lines.insert(rng.randrange(len(lines)), line())
            text = "".join(lines)
            out.append(f"M 100644 inline {name}\ndata {len(text)}\n{text}\n")
    return "".join(out)
