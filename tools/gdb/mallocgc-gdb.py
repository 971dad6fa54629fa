# SPDX-License-Identifier: MIT
"""mallocgc in gdb: type descriptors decoded, and the heap looked at.

    (gdb) break mgc_newobject
    (gdb) run
    (gdb) p *type              a struct mgc_type with its name, kind and mask
    (gdb) mgc-object ADDR      the object that holds ADDR, its type and its span
    (gdb) mgc-span ADDR        the span that holds ADDR
    (gdb) mgc-heap             the heap by span class

Nothing is called in the program: it all works on a core file too. The structs
are read by their DWARF names, so the library needs its debug information (a
build with -g, not stripped); p *type needs only that of the program.

gdb loads this file with libmallocgc.so if the directory is trusted (add-auto-load
-safe-path DIR); with the static library, use: source mallocgc-gdb.py
"""
import gdb
import gdb.printing

PAGE_SHIFT = 13
ARENA_SHIFT = 26
PAGES_PER_ARENA = 1 << (ARENA_SHIFT - PAGE_SHIFT)
WORD = 8

KINDS = ["invalid", "bool", "int", "int8", "int16", "int32", "int64", "uint",
         "uint8", "uint16", "uint32", "uint64", "uintptr", "float32", "float64",
         "complex64", "complex128", "array", "chan", "func", "interface", "map",
         "pointer", "slice", "string", "struct", "unsafe.Pointer"]
KIND_MASK = 0x1f
KIND_STRUCT = 25
KIND_GCPROG = 0x40
TFLAGS = [(1, "UNCOMMON"), (2, "EXTRA_STAR"), (4, "NAMED"),
          (8, "REGULAR_MEMORY"), (16, "GCMASK_ONDEMAND"), (32, "DIRECT_IFACE")]
TFLAG_EXTRA_STAR = 2
FIELD_POINTER = 1
FIELD_EACH = 2
FIELD_RECORD_SIZE = 40
TYPE_SIZE = 48
STATES = ["dead", "in use", "manual"]
# Words of a layout that are listed before it is cut.
MAX_WORDS = 64


# ---- reading memory ----------------------------------------------------------

def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def unsigned(address, size):
    return int.from_bytes(read(address, size), "little")


def signed(address, size):
    return int.from_bytes(read(address, size), "little", signed=True)


def atomic(value):
    """The number in one of the library's struct atomic_*, or a plain one."""
    if value.type.strip_typedefs().code == gdb.TYPE_CODE_STRUCT:
        value = value[value.type.fields()[0].name]
    return int(value)


def place_relative(address):
    """What a 32-bit offset refers to; None when it is 0."""
    offset = signed(address, 4)
    return address + offset if offset else None


def name_record(address):
    """The string of a name record: uleb128 length, bytes, NUL."""
    length, shift = 0, 0
    while True:
        byte = unsigned(address, 1)
        address += 1
        length |= (byte & 0x7f) << shift
        shift += 7
        if not byte & 0x80:
            break
    return read(address, length).decode("utf-8", "replace")


# ---- type descriptors --------------------------------------------------------

class Type:
    """A struct mgc_type at an address of the program."""

    def __init__(self, value):
        self.value = value
        self.address = int(value.address)
        self.size = int(value["size"])
        self.ptrdata = int(value["ptrdata"])
        self.tflag = int(value["tflag"])
        self.kind = int(value["kind"])

    @property
    def name(self):
        field = self.address + self.offset_of("str")
        record = place_relative(field)
        name = name_record(record) if record else ""
        return name[1:] if self.tflag & TFLAG_EXTRA_STAR else name

    @property
    def pointer_type_name(self):
        other = place_relative(self.address + self.offset_of("ptr_to_this"))
        if not other:
            return "none"
        value = gdb.Value(other).cast(self.value.type.pointer()).dereference()
        return f'"{Type(value).name}"'

    def offset_of(self, field):
        for f in self.value.type.strip_typedefs().fields():
            if f.name == field:
                return f.bitpos // 8
        raise KeyError(field)

    @property
    def kind_name(self):
        number = self.kind & KIND_MASK
        name = KINDS[number] if number < len(KINDS) else str(number)
        return name + (" | GCPROG" if self.kind & KIND_GCPROG else "")

    @property
    def tflag_names(self):
        names = [name for bit, name in TFLAGS if self.tflag & bit]
        return " | ".join(names) or "0"

    def pointer_words(self):
        """Indices of the words that may hold pointers, as far as MAX_WORDS."""
        nwords = min(self.ptrdata // WORD, MAX_WORDS)
        if self.ptrdata == 0:
            return set()
        if self.kind & KIND_GCPROG:
            return self.program_words(nwords)
        mask = int.from_bytes(read(int(self.value["gcdata"]), (nwords + 7) // 8),
                              "little")
        return {i for i in range(nwords) if mask >> i & 1}

    def records(self):
        """The field records of a struct type."""
        if self.kind & KIND_MASK != KIND_STRUCT:
            return []
        tail = self.address + TYPE_SIZE
        first = place_relative(tail)
        return records_at(first, unsigned(tail + 4, 4)) if first else []

    def program_words(self, nwords):
        program = int(self.value["gcdata"])
        first = place_relative(program + 8)
        words = set()
        if first:
            run_program(records_at(first, unsigned(program + 12, 4)), 0, nwords,
                        words)
        return words

    def fields_by_word(self):
        """Field names at the words where they begin."""
        names, records, i = {}, self.records(), 0
        while i < len(records):
            record = records[i]
            if record["name"]:
                names.setdefault(record["offset"] // WORD, []).append(
                    record["name"])
            # What belongs to an array is relative to its elements.
            i += 1 + (record["nsub"] if record["flags"] & FIELD_EACH else 0)
        return names

    def draw(self):
        """The type's words, one line each; long runs of one sort together."""
        pointers, names = self.pointer_words(), self.fields_by_word()
        total = (self.size + WORD - 1) // WORD
        shown = min(total, MAX_WORDS)
        lines, i = [], 0
        while i < shown:
            mark = "pointer" if i in pointers else "-"
            end = i + 1
            while (end < shown and end not in names
                   and (end in pointers) == (i in pointers)):
                end += 1
            words = f"word {i}" if end == i + 1 else f"words {i}-{end - 1}"
            label = ", ".join(names.get(i, []))
            lines.append(f"    {words:<12} +{i * WORD:<5} {mark:<8} {label}"
                         .rstrip())
            i = end
        if total > shown:
            lines.append(f"    ... {total - shown} more words")
        return "\n".join(lines)


def records_at(address, count):
    records = []
    for i in range(count):
        at = address + i * FIELD_RECORD_SIZE
        data = read(at, FIELD_RECORD_SIZE)
        name = place_relative(at)
        records.append({
            "name": name_record(name) if name else "",
            "flags": data[5],
            "nsub": int.from_bytes(data[6:8], "little"),
            "offset": int.from_bytes(data[8:16], "little"),
            "size": int.from_bytes(data[16:24], "little"),
            "stride": int.from_bytes(data[24:32], "little")})
    return records


def run_program(records, base, nwords, words):
    """Adds the pointer words that the records tell of, below nwords."""
    i = 0
    while i < len(records):
        record = records[i]
        group = records[i + 1:i + 1 + record["nsub"]]
        start = base + record["offset"]
        if record["flags"] & FIELD_EACH and record["stride"]:
            for k in range(record["size"] // record["stride"]):
                if start + k * record["stride"] >= nwords * WORD:
                    break
                run_program(group, start + k * record["stride"], nwords, words)
        elif record["flags"] & FIELD_POINTER:
            for word in range(start // WORD, (start + record["size"]) // WORD):
                if word < nwords:
                    words.add(word)
        i += 1 + record["nsub"]


class TypePrinter:
    """p *type"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        if self.value.address is None:
            return "mgc_type (a copy: its name and mask are out of reach)"
        t = Type(self.value)
        return f"{t.name or 'unnamed'} ({t.kind_name}, {t.size} bytes)"

    def children(self):
        if self.value.address is None:
            for field in self.value.type.strip_typedefs().fields():
                yield field.name, self.value[field.name]
            return
        t = Type(self.value)
        mask = "".join("*" if i in t.pointer_words() else "."
                       for i in range(min(t.ptrdata // WORD, MAX_WORDS)))
        if t.ptrdata // WORD > MAX_WORDS:
            mask += "..."
        for field in self.value.type.strip_typedefs().fields():
            shown = {"tflag": t.tflag_names, "kind": t.kind_name,
                     "str": f'"{t.name}"',
                     "gcdata": f"{int(self.value['gcdata']):#x} [{mask}]",
                     "hash": f"{int(self.value['hash']):#010x}",
                     "ptr_to_this": t.pointer_type_name}
            small = field.name in ("align", "field_align")
            yield field.name, (int(self.value[field.name]) if small else
                               shown.get(field.name, self.value[field.name]))
        yield "layout", "\n" + t.draw() + "\n "


# ---- the heap ----------------------------------------------------------------

class NoHeap(gdb.GdbError):
    pass


class Heap:
    """The default heap of the program."""

    def __init__(self):
        try:
            pointer = atomic(gdb.parse_and_eval("heap_default_ptr"))
            struct = gdb.lookup_type("struct heap")
        except gdb.error as error:
            raise NoHeap(f"no debug information of libmallocgc: {error}")
        if pointer == 0:
            raise NoHeap("the heap was not used yet")
        self.value = gdb.Value(pointer).cast(struct.pointer()).dereference()
        self.span_pointer = gdb.lookup_type("struct mspan").pointer()
        self.arena_pointer = gdb.lookup_type("struct heap_arena").pointer()

    @property
    def sweepgen(self):
        return atomic(self.value["sweepgen"])

    def collections(self):
        gc = gdb.lookup_type("struct gc").pointer()
        pointer = self.value["gc"]
        n = int(pointer.cast(gc)["stats"]["num_gc"]) if int(pointer) else 0
        return f"{n} collection{'' if n == 1 else 's'}"

    def arena_of(self, address):
        arenas = self.value["arenas"]
        index = (address >> ARENA_SHIFT) - int(arenas["first"])
        if not 0 <= index < int(arenas["count"]):
            return None
        pointer = atomic(arenas["entry"][index])
        if pointer == 0:
            return None
        return gdb.Value(pointer).cast(self.arena_pointer).dereference()

    def span_of(self, address):
        arena = self.arena_of(address)
        if arena is None:
            return None
        page = (address >> PAGE_SHIFT) & (PAGES_PER_ARENA - 1)
        pointer = atomic(arena["spans"][page])
        return self.span_at(pointer) if pointer else None

    def span_at(self, pointer):
        value = gdb.Value(pointer).cast(self.span_pointer).dereference()
        return Span(self, value)

    def arenas(self):
        for i in range(int(self.value["narenas"])):
            yield self.value["all_arenas"][i].dereference()

    def spans(self):
        """Every span that is in use."""
        for arena in self.arenas():
            in_use = read(int(arena["page_in_use"].address),
                          PAGES_PER_ARENA // 8)
            for i, byte in enumerate(in_use):
                for bit in range(8):
                    if byte >> bit & 1:
                        pointer = atomic(arena["spans"][i * 8 + bit])
                        if pointer:
                            yield self.span_at(pointer)

    def pointer_words(self, start, size):
        """Words of an object that the arena's bitmap says are pointers."""
        words = []
        for i in range(min(size // WORD, MAX_WORDS)):
            address = start + i * WORD
            arena = self.arena_of(address)
            if arena is None:
                break
            index = (address & ((1 << ARENA_SHIFT) - 1)) // WORD
            bits = unsigned(int(arena["bitmap"].address) + index // 8, 1)
            if bits >> (index % 8) & 1:
                words.append(i)
        return words

    def runs(self):
        """Slots that threads hold ready: (thread id, first, end)."""
        try:
            thread = gdb.parse_and_eval("thread_registry")["head"]
        except gdb.error:
            return
        while int(thread):
            cache = thread["cache"]
            if int(cache):
                runs = cache["pub"]["run"]
                low, high = runs.type.range()
                for i in range(low, high + 1):
                    cur, end = int(runs[i]["cur"]), int(runs[i]["end"])
                    if end and cur < end:
                        yield int(thread["tid"]), cur, end
            thread = thread["next"]


class Span:
    def __init__(self, heap, value):
        self.heap = heap
        self.value = value
        self.base = int(value["base"])
        self.limit = int(value["limit"])
        self.elemsize = int(value["elemsize"])
        self.nelems = int(value["nelems"])
        self.npages = int(value["npages"])
        spanclass = atomic(value["spanclass"])
        self.sizeclass = spanclass >> 1
        self.noscan = bool(spanclass & 1)
        self.state = atomic(value["state"])
        self.sweepgen = atomic(value["sweepgen"])

    def bits(self):
        """(alloc, mark) of all slots, as two big numbers."""
        nwords = (self.nelems + 63) // 64
        data = read(int(self.value["bits"]), nwords * 16)
        alloc = mark = 0
        for i in range(nwords):
            alloc |= int.from_bytes(data[16 * i:16 * i + 8], "little") << 64 * i
            mark |= int.from_bytes(data[16 * i + 8:16 * i + 16],
                                   "little") << 64 * i
        return alloc, mark

    def allocated(self):
        return bin(self.bits()[0]).count("1")

    def index_of(self, address):
        return (address - self.base) // self.elemsize

    def type(self):
        pointer = atomic(self.value["masktype"])
        if pointer == 0:
            return None
        struct = gdb.lookup_type("struct mgc_type").pointer()
        return Type(gdb.Value(pointer).cast(struct).dereference())

    def class_name(self):
        size = "large" if self.sizeclass == 0 else f"size class {self.sizeclass}"
        return size + (", noscan" if self.noscan else ", scan")

    def sweep_state(self):
        behind = (self.heap.sweepgen - self.sweepgen) & 0xffffffff
        return {2: "needs sweeping", 1: "being swept", 0: "swept",
                0xfffffffd: "swept, in a thread's cache"}.get(
                    behind, f"sweepgen {self.sweepgen}")

    def describe(self):
        state = STATES[self.state] if self.state < len(STATES) else self.state
        print(f"span    {int(self.value.address):#x}: [{self.base:#x}, "
              f"{self.limit:#x}), {self.npages} pages, {state}")
        print(f"        {self.class_name()}, {self.nelems} slots of "
              f"{self.elemsize} bytes, {self.allocated()} taken, "
              f"{self.sweep_state()}")


def address_argument(argument):
    if not argument:
        raise gdb.GdbError("an address is needed")
    value = gdb.parse_and_eval(argument)
    if value.type.strip_typedefs().code == gdb.TYPE_CODE_ARRAY:
        value = value.address
    return int(value.cast(gdb.lookup_type("unsigned long")))


def find_span(heap, address):
    span = heap.span_of(address)
    if span is None:
        raise gdb.GdbError(f"{address:#x} is not in the heap")
    return span


class ObjectCommand(gdb.Command):
    """mgc-object ADDR: the object that holds ADDR, its type and its span."""

    def __init__(self):
        super().__init__("mgc-object", gdb.COMMAND_DATA,
                         gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        heap = Heap()
        address = address_argument(argument)
        span = find_span(heap, address)
        if span.state != 1 or not span.base <= address < span.limit:
            span.describe()
            raise gdb.GdbError(f"{address:#x} is in no object of this span")
        index = span.index_of(address)
        start = span.base + index * span.elemsize
        offset = address - start
        inside = f" (+{offset} into it)" if offset else ""
        print(f"object  {start:#x}{inside}: slot {index} of {span.nelems}, "
              f"{span.elemsize} bytes, {self.slot_state(heap, span, index)}")
        self.describe_type(heap, span, start)
        span.describe()

    @staticmethod
    def slot_state(heap, span, index):
        alloc, mark = span.bits()
        if not alloc >> index & 1:
            return "free"
        start = span.base + index * span.elemsize
        for tid, first, end in heap.runs():
            if first <= start < end:
                return f"free, next in line of thread {tid}"
        return "allocated" + (", marked" if mark >> index & 1 else "")

    @staticmethod
    def describe_type(heap, span, start):
        if span.noscan:
            print("type    no pointers")
            return
        known = span.type()
        if known:
            what = "its element type" if span.sizeclass == 0 else "the span's mask"
            print(f"type    {known.name} ({what}; {known.size} bytes, ptrdata "
                  f"{known.ptrdata})")
            print(known.draw())
        elif span.sizeclass != 0:
            words = heap.pointer_words(start, span.elemsize)
            print("type    unknown; pointer words: "
                  + (", ".join(map(str, words)) or "none"))
        else:
            print("type    unknown: every word may be a pointer")


class SpanCommand(gdb.Command):
    """mgc-span ADDR: the span that holds ADDR."""

    def __init__(self):
        super().__init__("mgc-span", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        heap = Heap()
        span = find_span(heap, address_argument(argument))
        span.describe()
        known = span.type()
        if known:
            print(f"type    {known.name}")
        if span.nelems > 1:
            self.draw_slots(span)

    @staticmethod
    def draw_slots(span):
        alloc, mark = span.bits()
        marked = bin(mark).count("1")
        print(f"slots   # taken, * taken and marked, . free ({marked} marked)")
        for first in range(0, span.nelems, 64):
            row = ""
            for i in range(first, min(first + 64, span.nelems)):
                row += ("*" if mark >> i & 1 else
                        "#" if alloc >> i & 1 else ".")
            print(f"  {first:>6}  {row}")


class HeapCommand(gdb.Command):
    """mgc-heap: the heap by span class."""

    def __init__(self):
        super().__init__("mgc-heap", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        heap = Heap()
        narenas = int(heap.value["narenas"])
        print(f"heap    {int(heap.value.address):#x}: {narenas} "
              f"arena{'' if narenas == 1 else 's'} of 64 MiB, "
              f"{heap.collections()} (sweepgen {heap.sweepgen})")
        totals = {}
        for span in heap.spans():
            key = (span.sizeclass, span.noscan)
            size, spans, slots, taken, held, used = totals.get(
                key, (span.elemsize, 0, 0, 0, 0, 0))
            n = span.allocated()
            totals[key] = (size, spans + 1, slots + span.nelems, taken + n,
                           held + (span.npages << PAGE_SHIFT),
                           used + n * span.elemsize)
        print(f"{'class':>6} {'bytes':>7} {'':7} {'spans':>7} {'slots':>9} "
              f"{'taken':>9} {'in use':>12} {'held':>12}")
        for (sizeclass, noscan), row in sorted(totals.items()):
            size, spans, slots, taken, held, used = row
            kind = "noscan" if noscan else "scan"
            print(f"{sizeclass:>6} {size if sizeclass else 'large':>7} {kind:7} "
                  f"{spans:>7} {slots:>9} {taken:>9} {used:>12} {held:>12}")
        print(f"{'total':>6} {'':7} {'':7} {self.total(totals, 1):>7} "
              f"{self.total(totals, 2):>9} {self.total(totals, 3):>9} "
              f"{self.total(totals, 5):>12} {self.total(totals, 4):>12}")

    @staticmethod
    def total(totals, column):
        return sum(row[column] for row in totals.values())


# ---- registration ------------------------------------------------------------

def register():
    printers = gdb.printing.RegexpCollectionPrettyPrinter("mallocgc")
    printers.add_printer("mgc_type", "^mgc_type$", TypePrinter)
    gdb.printing.register_pretty_printer(gdb.current_objfile(), printers,
                                         replace=True)
    ObjectCommand()
    SpanCommand()
    HeapCommand()
    # The collector stops and restarts threads with two real-time signals
    # (src/os/signals.h), SIGRTMIN + 6 and + 7; they are not for the user.
    for signal in ("SIG40", "SIG41"):
        gdb.execute(f"handle {signal} nostop noprint pass", to_string=True)


register()
