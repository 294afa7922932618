"""The questions of lab 2: short scripts for a TLB, and programs that run on it.

What a script should come to is what the reference TLB says; what a program's misses should be
is worked out here, from the rule alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hw.mmu import FLUSH_CR3
from hw.paging import U, W
from hw.tlb import GLOBAL, Tlb
from labs.answering.tlb import IN_ORDER, content, perform
from labs.evidence import Expectation
from labs.lab import Check
from labs.question import Question

CASES = 12
PIECES = {2: 1 << 9, 3: 1 << 18}
"""4 KiB pieces of a large page, by its level."""


@dataclass(slots=True)
class Script:
    """Operations on a TLB, which the reference has carried out as they were written down."""

    random: Random
    sets: int
    ways: int
    tlb: Tlb = field(init=False)
    rows: list[list[Any]] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    audited: bool = False
    """Ask after every operation whether the bookkeeping is in order, not for its result."""

    def __post_init__(self) -> None:
        self.tlb = Tlb(self.sets, self.ways)

    def do(self, *row: Any) -> None:
        self.rows.append(list(row))
        self.results.append(perform(self.tlb, list(row)))

    def fill(self, vpn: int, tag: int, level: int = 1) -> None:
        """What the MMU does at a miss: it looks up before it fills."""
        if self.tlb.lookup(vpn, tag) is None:
            pfn = self.random.randrange(1, 1 << 12)
            self.do("fill", vpn, tag, pfn, W | U, self.random.random() < 0.5, level)

    def look(self, *vpns: int, pcid: int) -> None:
        for vpn in vpns:
            self.do("lookup", vpn, pcid)

    def pages(self, count: int, in_set: int | None = None) -> list[int]:
        """Different pages, all of one set if it is given."""
        chosen = self.random.sample(range(1 << 8), count)
        if in_set is None:
            return chosen
        return [vpn * self.sets + in_set for vpn in chosen]

    def pcids(self, count: int) -> list[int]:
        return self.random.sample(range(1, 10), count)

    def any_set(self) -> int:
        return self.random.randrange(self.sets)

    def question(self) -> Question:
        """Every result in turn, and the content at the end; or the bookkeeping all along."""
        told = {"shape": [self.sets, self.ways], "operations": self.rows, "audit": self.audited}
        expected = [
            Expectation(["answer", key], value, says)
            for number in range(1, len(self.rows) + 1)
            for key, value, says in self._of_operation(number)
        ]
        expected.append(Expectation(["answer", "content"], content(self.tlb), "the content"))
        return Question(f"Tlb({self.sets}, {self.ways})", told, expected)

    def _of_operation(self, number: int) -> Iterator[tuple[str, str, str]]:
        *before, this = map(_call, self.rows[:number])
        context = f"after {'; '.join(before)}: " if before else ""
        if self.audited:
            yield f"books {number}", IN_ORDER, f"{context}after {this} the bookkeeping"
        else:
            yield str(number), self.results[number - 1], context + this


def _call(row: list[Any]) -> str:
    """An operation as one would write it, but for what no rule depends on."""
    name, *arguments = row
    if name == "fill":
        vpn, tag, pfn, _, _, level = arguments
        owner = "GLOBAL" if tag == GLOBAL else str(tag)
        size = {1: "", 2: ", 2 MiB", 3: ", 1 GiB"}[level]
        return f"fill({vpn:#x}, {owner}, frame {pfn:#x}{size})"
    if name == "flush_pcid":
        return f"flush_pcid({arguments[0]})"
    return f"{name}({arguments[0]:#x}, {arguments[1]})" if arguments else f"{name}()"


def _lookup(random: Random) -> Script:
    script = Script(random, 4, 2)
    (pcid,), here = script.pcids(1), script.any_set()
    there, absent = script.pages(2), script.pages(2, here)
    script.look(absent[0], pcid=pcid)
    for vpn in there:
        script.fill(vpn, pcid)
    script.fill(absent[1], pcid)
    script.look(*there, *absent, pcid=pcid)
    return script


def _tags(random: Random) -> Script:
    script = Script(random, 2, 4)
    pcids, (vpn,) = random.sample(range(1, 4096), 4), script.pages(1)
    for pcid in pcids[:3]:
        script.fill(vpn, pcid)
    for pcid in random.sample(pcids, 4):
        script.look(vpn, pcid=pcid)
    return script


def _globals(random: Random) -> Script:
    script = Script(random, 2, 4)
    pcids, (shared, own) = script.pcids(3), script.pages(2)
    script.fill(shared, GLOBAL)
    script.fill(own, pcids[0])
    for pcid in (*pcids, 0):
        script.look(shared, own, pcid=pcid)
    return script


def _sets(random: Random) -> Script:
    script = Script(random, random.choice((2, 4, 8)), 2)
    here, (pcid,) = script.any_set(), script.pcids(1)
    for vpn in (*script.pages(3, here), *script.pages(2, (here + 1) % script.sets)):
        script.fill(vpn, pcid)
    return script


def _holes(random: Random) -> Script:
    """A way that was flushed is filled before anything is evicted, and ages go on."""
    script = Script(random, 2, 3)
    here, (pcid,) = script.any_set(), script.pcids(1)
    pages = script.pages(6, here)
    for vpn in pages[:3]:
        script.fill(vpn, pcid)
    script.do("flush_page", random.choice(pages[:3]), pcid)
    for vpn in pages[3:]:
        script.fill(vpn, pcid)
    return script


def _fifo(random: Random) -> Script:
    """Hits between the fills: they show a buffer that evicts the least recently used."""
    script = Script(random, random.choice((1, 2)), random.choice((2, 3, 4)))
    here, (pcid,) = script.any_set(), script.pcids(1)
    pages = script.pages(script.ways + 3, here)
    for number, vpn in enumerate(pages):
        script.fill(vpn, pcid)
        script.look(pages[max(0, number - script.ways + 1)], pcid=pcid)
    script.look(pages[0], pcid=pcid)
    return script


def _invlpg(random: Random) -> Script:
    """One of the pages has two entries that `mine` could use: its own, and a global one."""
    script = Script(random, 2, 4)
    (mine, other), (page, shared, kept, twice) = script.pcids(2), script.pages(4)
    for vpn, tag in ((page, mine), (page, other), (shared, GLOBAL), (kept, mine)):
        script.fill(vpn, tag)
    script.do("flush_page", page, mine)
    script.do("flush_page", shared, random.choice((mine, other)))
    script.look(page, kept, pcid=mine)
    script.look(page, shared, pcid=other)
    script.fill(twice, mine)
    script.fill(twice, GLOBAL)
    script.do("flush_page", twice, mine)
    return script


def _pieces(random: Random) -> Script:
    """One large page in pieces, a neighbour of it, and small pages inside another's range."""
    script, level = Script(random, 4, 8), random.choice((2, 2, 3))
    (mine, other), size = script.pcids(2), PIECES[level]
    start = random.randrange(1, 1 << 9) * size
    inside = [start + offset for offset in random.sample(range(size), 4)]
    for vpn in inside[:3]:
        script.fill(vpn, mine, level)
    script.fill(inside[0], other, level)
    script.fill(start + size + random.randrange(size), mine, level)
    script.fill(random.randrange(start), mine)
    script.do("flush_page", random.choice(inside), mine)
    script.look(*inside[:3], pcid=mine)
    return script


def _flush_pcid(random: Random) -> Script:
    script = Script(random, 4, 4)
    (mine, other), pages = script.pcids(2), script.pages(4)
    for vpn in pages[:3]:
        script.fill(vpn, mine)
    script.fill(pages[0], other)
    script.fill(pages[3], GLOBAL)
    script.do("flush_pcid", mine)
    script.look(*pages, pcid=mine)
    script.look(pages[0], pcid=other)
    return script


def _books(random: Random) -> Script:
    """All operations, in an order of their own."""
    script = Script(random, 2, 2, audited=True)
    pcids, pages = script.pcids(2), [random.randrange(8) for _ in range(6)]
    for _ in range(24):
        vpn, pcid = random.choice(pages), random.choice(pcids)
        match random.randrange(8):
            case 0:
                script.do("flush_page", vpn, pcid)
            case 1:
                script.do(*random.choice((("flush_pcid", pcid), ("flush_all",))))
            case 2:
                script.fill(vpn + PIECES[2] * random.randrange(2), pcid, 2)
            case _:
                script.fill(vpn, random.choice((pcid, pcid, GLOBAL)))
    return script


SCRIPTS: dict[str, Callable[[Random], Script]] = {
    "lookup": _lookup,
    "tags": _tags,
    "globals": _globals,
    "sets": _sets,
    "holes": _holes,
    "fifo": _fifo,
    "invlpg": _invlpg,
    "pieces": _pieces,
    "flush_pcid": _flush_pcid,
    "books": _books,
}

# Programs ---------------------------------------------------------------------------------------

EXAM_PAGE, PAGES, PAGE = 0x6000_0000_0000, 0x5000_0000_0000, 4096
SETS = 16
QUIET_SETS = range(9, 12)
"""Sets of a data TLB of 16 that no other page of `exam_tlb` falls into."""
DATA_SIDE = 1
NEW = 100
"""The number of the first new page's content in <exam_stale.c>."""
RAM_MIB = 16
LINES = 4_000_000


def _run(
    about: str,
    program: str,
    words: list[str],
    expected: list[Expectation],
    machine: dict[str, Any],
    **more: Any,
) -> Question:
    """A run of a program on a small machine."""
    told = {
        "program": program,
        "words": words,
        "machine": {"ram_mib": RAM_MIB, **machine},
        "cycles": 20_000_000,
        "lines": LINES,
        **more,
    }
    return Question(about, told, expected, RAM_MIB << 20)


def _counts(random: Random) -> Question:
    """Pages of one set, in an order of which some find their entry and some do not."""
    ways, letters = random.choice((2, 3)), "abcd"
    pattern = "".join(random.choice(letters) for _ in range(24))
    first = random.choice(QUIET_SETS)
    fills, evictions = _fifo_counts(pattern, ways)
    expected = [Expectation(["answer", "status"], 0, "the exit status", decimal=True)]
    for letter in sorted(fills):
        vpn = (PAGES >> 12) + first + (ord(letter) - ord("a")) * SETS
        filled = {"side": DATA_SIDE, "vpn": vpn}
        says = f"of {pattern.count(letter)} stores into page '{letter}' ({vpn:#x}), those that"
        expected += [
            Expectation(["count", "tlb_fill", filled], fills[letter], f"{says} had to walk"),
            Expectation(
                ["count", "tlb_fill", {"side": DATA_SIDE, "old_vpn": vpn}],
                evictions.get(letter, 0),
                f"evictions of page '{letter}' ({vpn:#x})",
            ),
        ]
    about = f"exam_tlb, stores into '{pattern}' in one set of {ways} ways"
    words = [str(first), str(SETS), pattern]
    return _run(about, "exam_tlb", words, expected, {"dtlb": [SETS, ways]})


def _fifo_counts(pattern: str, ways: int) -> tuple[dict[str, int], dict[str, int]]:
    """How often each page is filled and evicted in one set that nobody else uses."""
    queue: list[str] = []
    fills: dict[str, int] = {}
    evictions: dict[str, int] = {}
    for letter in pattern:
        if letter in queue:
            continue
        fills[letter] = fills.get(letter, 0) + 1
        if len(queue) == ways:
            gone = queue.pop(0)
            evictions[gone] = evictions.get(gone, 0) + 1
        queue.append(letter)
    return fills, evictions


def _seen(slot: int, number: int, says: str) -> Expectation:
    """The program has put what it saw into an answer of its own."""
    return Expectation(["number", "p1", EXAM_PAGE + 8 * (1 + slot)], {"mix": NEW + number}, says)


def _at_the_end(expected: list[Expectation]) -> list[Expectation]:
    """All of them at the program's only stop, and that it came so far at all."""
    for one in expected:
        one.at = "looked"
    return [*expected, Expectation(["answer", "status"], 0, "the exit status", decimal=True)]


def _tag(random: Random) -> Question:
    pages = random.randrange(2, 7)
    expected = [
        _seen(page, page, f"what the parent read at {PAGES + page * PAGE:#x} after the change")
        for page in range(pages)
    ]
    return _run(
        f"exam_stale tag {pages}",
        "exam_stale",
        ["tag", str(pages)],
        _at_the_end(expected),
        {},
        stops=["looked"],
    )


def _kept(random: Random) -> Question:
    """For a kernel that flushes at every load: parent and child take turns, nothing changes."""
    turns = random.randrange(5, 9)
    expected = [_seen(who, who, f"what process {who} read back") for who in range(2)]
    flushes = Expectation(
        ["count", "tlb_flush", {"why": FLUSH_CR3}],
        {"at_most": 4},
        "CR3 loads that emptied a TLB of a space that had not changed",
    )
    looked = [*_at_the_end(expected), flushes]
    words = ["kept", str(turns)]
    return _run(f"exam_stale kept {turns}", "exam_stale", words, looked, {}, stops=["looked"])


def _reuse(random: Random) -> Question:
    children, pcids = random.randrange(4, 8), random.choice((2, 3))
    expected = [
        _seen(child, child, f"what child {child} read back at {PAGES:#x}")
        for child in range(children)
    ]
    about = f"exam_stale reuse {children}, {pcids} PCIDs"
    words = ["reuse", str(children)]
    looked = _at_the_end(expected)
    return _run(about, "exam_stale", words, looked, {}, stops=["looked"], config={"pcids": pcids})


def _core(random: Random) -> Question:
    pages, threads = random.randrange(2, 7), 3
    expected = [
        _seen(
            thread * pages + page,
            page,
            f"what thread {thread} read at {PAGES + page * PAGE:#x} after the change",
        )
        for thread in range(threads)
        for page in range(pages)
    ]
    about, words = f"exam_stale core {pages}, 4 cores", ["core", str(pages)]
    looked = _at_the_end(expected)
    return _run(about, "exam_stale", words, looked, {"cpus": 4}, stops=["looked"])


PROGRAMS: dict[str, tuple[Callable[[Random], Question], ...]] = {
    "counts": (_counts, _counts, _counts),
    "hunt_tag": (_tag, _tag, _kept),
    "hunt_reuse": (_reuse, _reuse),
    "hunt_core": (_core, _core),
}


def questions(check: Check, seed: int) -> list[Question]:
    """The questions of one check: the same seed gives the same ones."""
    random = Random(f"{check.name} {seed}")
    if check.name in SCRIPTS:
        return [SCRIPTS[check.name](random).question() for _ in range(CASES)]
    return [maker(random) for maker in PROGRAMS[check.name]]
