# SPDX-License-Identifier: MIT
"""What scripts do: records, text, JSON, syntax trees, sorting, closures."""
import ast
import hashlib
import json
import random
import re
import sys


class Record:
    def __init__(self, number, name, tags):
        self.number = number
        self.name = name
        self.tags = tags


def records(rng, count):
    words = ["".join(rng.choices("abcdefghij", k=rng.randint(3, 12)))
             for _ in range(2000)]
    return [Record(i, " ".join(rng.choices(words, k=3)),
                   {rng.choice(words): rng.random() for _ in range(4)})
            for i in range(count)]


def grouped(items):
    by_word = {}
    for item in items:
        for word in item.name.split():
            by_word.setdefault(word, []).append(item.number)
    return sorted((len(v), k) for k, v in by_word.items())[-5:]


def round_trip(items):
    text = json.dumps([vars(i) for i in items])
    return len(text), len(json.loads(text))


def syntax():
    source = "\n".join(f"def f{i}(a, b):\n    return [a * {i} + x for x in "
                       f"range(b) if x % {i + 1}]" for i in range(600))
    tree = ast.parse(source)
    return sum(1 for _ in ast.walk(tree))


def text_work(items):
    text = "\n".join(i.name for i in items)
    pieces = re.findall(r"\b[a-e]+\w*\b", text)
    return len(pieces), hashlib.sha256("".join(pieces).encode()).hexdigest()[:16]


def main():
    rounds = int(sys.argv[1])
    rng = random.Random(1)
    for _ in range(rounds):
        items = records(rng, 20000)
        print(grouped(items))
        print(round_trip(items), text_work(items), syntax())
        items.sort(key=lambda i: (len(i.name), i.name))
        print(items[0].name, sum(len(i.tags) for i in items))


if __name__ == "__main__":
    main()
