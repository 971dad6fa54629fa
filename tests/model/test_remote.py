# SPDX-License-Identifier: MIT
"""Every interleaving of one owner and two freeing threads on one span, by the
protocol of src/heap/tremote.c: nothing is touched after it was freed, nothing is
freed twice, one notice at most is on its way, and at rest an empty span is known
to be empty by its owner or has been given back.

A step is one access to what threads share. State: the span's fields, each thread's
slots, the owner's stack of steps still to do, each freer's place.
"""
import sys
from collections import deque, namedtuple

N, FULL_FREES, NOTICE = [int(a) for a in sys.argv[1:]] or (3, 1, 1)
S = namedtuple("S", "count armed claimed done left_bit out inbox pages struct "
               "pending where left own bin carved mine todo f")
# f: per freer (slots, place, loaded word, loaded left)
CUR, PART, FULL, GONE = "cur", "part", "full", "gone"


class Bad(Exception):
    pass


def check(cond, text):
    if not cond:
        raise Bad(text)


def word(s):
    return (s.count, s.armed, s.claimed, s.done, s.left_bit, s.out)


def in_use(s):
    return s.mine + sum(f[0] for f in s.f)


def free_struct(s):
    check(s.struct, "struct freed twice")
    return s._replace(struct=False)


def release(s):
    check(s.struct and s.pages, "release of what is gone")
    check(in_use(s) == 0 and s.count == 0 and not s.claimed, "release in use")
    check(not s.pending and not s.inbox and
          not any(f[1] in ("notice", "cnotice") for f in s.f), "release with a notice")
    return s._replace(struct=False, pages=False, where=GONE)


# --- the owner's steps: state -> list of states ---

def push(s, *steps):
    return s._replace(todo=steps + s.todo)


def disarm(s):
    pending = s.pending or not s.armed
    return [s._replace(armed=False, out=0, pending=pending)]


def offer(s):
    if s.count == s.left:
        return [push(s, "absorb")]
    armed = s.armed or not s.pending
    return [s._replace(armed=armed, out=s.out if s.claimed else s.left)]


def absorb(s):
    if s.count == 0 or s.claimed:
        return [s]
    check(s.pages, "links read in pages that are gone")
    return [s._replace(count=0, armed=False, out=0, own=s.own + s.count,
                       left=s.left - s.count)]


def file_part(s):
    s = s._replace(where=PART)
    return [push(s, "offer") if s.left else s]


def keep(s):
    out = [push(s, "file_part")]
    if not s.pending:
        out.append(release(s))
    return out


def event(s):
    if s.where == CUR:
        return [s._replace(bin=s.own, own=0, left=s.carved)]
    if s.where == PART:
        return [push(s, "disarm", "keep")]
    return [push(s._replace(left=s.carved - FULL_FREES), "disarm", "event_full")]


def event_full(s):
    return [push(s, "file_part" if s.left else "keep")]


def refill(s):
    if s.claimed:
        return [push(s, "drop")]
    if s.own:
        return [s._replace(bin=s.own, own=0, left=s.carved)]
    return [push(s, "harvest")]


def harvest(s):
    if s.count and not s.claimed:
        check(s.pages, "harvest of what is gone")
        return [s._replace(bin=s.count, count=0, armed=False, out=0)]
    if s.carved < N:
        return [s._replace(carved=s.carved + 1, left=s.left + 1, bin=1)]
    return [push(s, "retire")]


def retire(s):
    if not s.pending:
        if word(s) != (0, False, False, False, False, 0):
            return [push(s, "refill")]
        s = s._replace(armed=True)
    return [s._replace(where=FULL, left=FULL_FREES)]


def unfile(s):
    return [push(s, "disarm") if s.where == PART and s.left else s]


def drop(s):
    return [push(s, "unfile", "drop2") if s.where == PART else push(s, "drop2")]


def drop2(s):
    s = s._replace(where=GONE)
    return [s if s.pending else push(s, "leave")]


def leave(s):
    check(s.struct, "LEFT in a struct that is gone")
    s = s._replace(left_bit=True)
    return [free_struct(s) if s.done else s]


def receive(s):
    if s.claimed:
        first = ("unfile",) if s.where in (PART, FULL) else ()
        return [push(s, *first, "gone", "unpend", "leave")]
    if s.where == CUR:
        return [push(s, "unpend")]
    check(s.where in (PART, FULL), "notice for a span of no list")
    return [push(s, "unfile", "unpend", "look")]


def look(s):
    if s.where == FULL:
        s = s._replace(left=s.carved - (FULL_FREES - s.left))
    return [push(s, "absorb", "look2")]


def look2(s):
    return [push(s, "file_part")] if s.left else [release(s)]


STEPS = dict(disarm=disarm, offer=offer, absorb=absorb, file_part=file_part, keep=keep,
             event=event, event_full=event_full, refill=refill, harvest=harvest,
             retire=retire, unfile=unfile, drop=drop, drop2=drop2, leave=leave,
             receive=receive, look=look, look2=look2,
             gone=lambda s: [s._replace(where=GONE)],
             unpend=lambda s: [s._replace(pending=False)],
             current=lambda s: [s._replace(where=CUR)])


def begin(s):
    """What the owner may do next when it is at rest."""
    if s.inbox:
        check(s.struct, "inbox holds a struct that is gone")
        yield push(s._replace(inbox=False), "receive")
    if s.where == GONE:
        return
    check(s.struct, "a list holds a struct that is gone")
    if s.mine:
        check(s.pages, "own free in pages that are gone")
        t = s._replace(mine=s.mine - 1, own=s.own + 1, left=s.left - 1)
        yield push(t, "event") if t.left == 0 else t
    if s.where == CUR and s.bin:
        check(s.pages, "allocation in pages that are gone")
        t = s._replace(bin=s.bin - 1)
        yield t._replace(mine=t.mine + 1)
        for i, (n, place, w, l) in enumerate(s.f):
            if place == "idle" and n < 2:
                f = list(t.f)
                f[i] = (n + 1, place, w, l)
                yield t._replace(f=tuple(f))
    if s.where == CUR and not s.bin:
        yield push(s, "refill")
    if s.where == PART:
        yield push(s, "unfile", "current")
        if s.claimed:
            yield push(s, "drop")
        elif s.count:
            yield push(s, "unfile", "absorb", "file_part")


def owner(s):
    if s.todo:
        check(s.struct, "owner's step %s in a struct that is gone" % s.todo[0])
        return STEPS[s.todo[0]](s._replace(todo=s.todo[1:]))
    return list(begin(s))


# --- the freers ---

def freer(s, i):
    n, place, w, l = s.f[i]

    def at(t, *new):
        f = list(t.f)
        f[i] = new
        return t._replace(f=tuple(f))

    if place == "idle":
        return [at(s, n, "left", word(s), 0)] if n else []
    check(s.struct, "freer at %s in a struct that is gone" % place)
    if place == "left":
        return [at(s, n, "cas", w, s.left)]
    if place == "cas":
        if word(s) != w:
            return [at(s, n, "left", word(s), 0)]
        count, armed, claimed, _, _, out = w
        check(not claimed and s.pages, "free in a claimed span")
        count += 1
        if count == (out or N):
            t = s._replace(count=0, armed=False, claimed=True, out=0)
            return [at(t, n - 1, "give", armed, 0)]
        notice = armed and count >= (l if out else NOTICE)
        t = s._replace(count=count, armed=armed and not notice)
        return [at(t, n - 1, "notice" if notice else "idle", None, 0)]
    if place == "give":
        check(s.pages, "pages freed twice")
        check(in_use(s) == 0, "claim of a span in use")
        return [at(s._replace(pages=False), n, "cnotice" if w else "done", None, 0)]
    if place in ("notice", "cnotice"):
        check(not s.inbox, "two notices")
        return [at(s._replace(inbox=True), n,
                   "done" if place == "cnotice" else "idle", None, 0)]
    assert place == "done"
    t = at(s._replace(done=True), n, "idle", None, 0)
    return [free_struct(t) if t.left_bit else t]


def at_rest(s):
    """No slot in use, nothing under way."""
    if s.todo or s.inbox or in_use(s) or any(f[1] != "idle" for f in s.f):
        return
    if s.claimed and s.where == GONE:
        check(not s.struct, "claimed struct is never freed")
    if s.where == FULL and not s.claimed:
        check(s.count < NOTICE and FULL_FREES > 1, "empty full span is lost")
    # A freer may have read `left` before the owner's last free: then the owner finds
    # out when it next comes by.
    if s.where == PART and not s.claimed and s.left:
        check(s.out > s.count, "empty partial span is lost")


def explore():
    start = S(0, False, False, False, False, 0, False, True, True, False, CUR, 0, 0, 0,
              0, 0, (), ((0, "idle", None, 0),) * 2)
    seen, stack = {start: None}, deque([start])
    while stack:
        s = stack.popleft()
        try:
            at_rest(s)
            new = owner(s) + freer(s, 0) + freer(s, 1)
        except Bad as e:
            print("BAD:", e)
            trace = []
            while s is not None:
                trace.append(s)
                s = seen[s]
            for a, b in zip(trace[:0:-1], trace[-2::-1]):
                print("  ", ", ".join("%s=%s" % (k, getattr(b, k)) for k in
                                      S._fields if getattr(a, k) != getattr(b, k)))
            return 1
        for t in new:
            if t not in seen:
                seen[t] = s
                stack.append(t)
    print(len(seen), "states")
    return 0


if __name__ == "__main__":
    sys.exit(explore())
