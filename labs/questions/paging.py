"""The questions of lab 3: words for the program `exam_paging`, made from a seed, and what memory
should then look like.

What replacement should do is worked out by the simulator of a textbook, which knows no kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from labs.evidence import END, Expectation
from labs.lab import ROOT, Check
from labs.question import Question

PROGRAM = "exam_paging"
PAGE, WORD = 4096, 8
BASE, ELSEWHERE, ANSWERS = 0x500000000000, 0x510000000000, 0x600000000000
STACK_TOP, STACK_PAGES, GUARD_PAGES = 0x7FFFFFFFE000, 2048, 16
NEXT_TABLE = 560, 1000
"""Pages below the end of the stack that the table of its first pages does not serve."""
NONE, READ, WRITE = 0, 1, 3
SHARED, PRIVATE, ANONYMOUS = 1, 2, 0x20
SIGBUS, SIGSEGV, NOT_MAPPED, NOT_ALLOWED, PAST_END = 7, 11, 1, 2, 2
KEPT_FREE = 4
"""Frames that the kernel has free whenever a program runs: one fault never takes more than 5."""
LINES, CYCLES, CYCLES_WITH_A_DISK = 400_000, 5_000_000, 50_000_000
FIFO, CLOCK = "fifo", "clock"


@dataclass(slots=True)
class Scene:
    """What the program does, the stops that it makes, and what should be seen at each."""

    about: str
    words: list[str] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    expected: list[Expectation] = field(default_factory=list)
    ram_mib: int = 4
    swap_mib: int = 0
    replace: str = CLOCK

    def map(self, va: int, pages: int, prot: int = WRITE, kind: int = PRIVATE | ANONYMOUS) -> None:
        self.words.append(f"m{va:x},{pages:x},{prot:x},{kind:x}")

    def store(self, va: int, number: int) -> None:
        self.words.append(f"s{va:x},{number:x}")

    def load(self, va: int, slot: int = 0) -> None:
        self.words.append(f"l{va:x},{slot:x}")

    def do(self, *words: str) -> None:
        self.words += words

    def stop(self, name: str) -> None:
        """The judge looks; expectations that follow are about this moment."""
        self.words.append(f"!{len(self.stops):x}")
        self.stops.append(name)

    def sees(self, sees: list[Any], value: Any, says: str, at: str = "") -> None:
        self.expected.append(Expectation(sees, value, says, at or self.stops[-1]))

    def number(self, who: str, va: int, value: Any, says: str) -> None:
        self.sees(["number", who, va], value, says)

    def view(self, va: int, number: int) -> None:
        """Attach a VAS that shows a page of its own there."""
        self.words.append(f"v{va:x},1,{number:x}")

    def attempt(self, how: str, va: int, signal: int, code: int, slot: int) -> None:
        """An access that is refused with this signal, or with none."""
        self.words.append(f"{how}{va:x},{slot:x}")
        verb = {"r": "load from", "w": "store to", "x": "jump to"}[how]
        told = (signal, va, code) if signal else (0, 0, 0)
        says = ("the signal", "the signal's address", "the signal's code")
        for i, (value, what) in enumerate(zip(told, says, strict=True)):
            place = ["number", "p1", ANSWERS + (slot + i) * WORD]
            text = f"after the {verb} {va:#x}, {what}"
            self.expected.append(Expectation(place, value, text, "tried"))

    def question(self) -> Question:
        """The program must reach its end, and every stop, or nothing was seen there."""
        machine = {"ram_mib": self.ram_mib, "swap_mib": self.swap_mib}
        cycles = CYCLES_WITH_A_DISK if self.swap_mib else CYCLES
        told = {
            "program": PROGRAM,
            "words": self.words,
            "stops": self.stops,
            "machine": machine,
            "config": {"replace": self.replace},
            "lines": LINES,
            "cycles": cycles,
        }
        whole = [
            Expectation(["answer", "ended"], "well", "how the program ended"),
            Expectation(["answer", "stops"], self.stops, "the list of stops that it reached"),
        ]
        return Question(self.about, told, self.expected + whole, self.ram_mib << 20)


def page(number: int, base: int = BASE) -> int:
    """The address of a page of a mapping."""
    return base + number * PAGE


# Part A: demand ---------------------------------------------------------------------------------


def _lazy(random: Random) -> Scene:
    pages = random.randrange(8, 13)
    loaded, stored = _split(random, range(pages), 2, 3)
    scene = Scene(f"{pages} pages are mapped, {len(loaded)} loaded from, {len(stored)} stored to")
    scene.map(BASE, pages)
    scene.stop("mapped")
    resident = ["resident", "p1", BASE, page(pages)]
    scene.sees(resident, 0, "the number of resident pages of the mapping")
    for number in loaded:
        scene.load(page(number))
    for number in stored:
        scene.store(page(number), number)
    scene.stop("touched")
    for number in sorted(loaded):
        scene.number("p1", page(number), 0, f"the first word of page {number}, only loaded from,")
    for number in sorted(stored):
        scene.number("p1", page(number), {"mix": number}, f"what was stored to page {number}")
    scene.sees(resident, len(loaded) + len(stored), "the number of resident pages of the mapping")
    return scene


def _rights(random: Random) -> Scene:
    scene = Scene("a page is read only, one is closed, and none of them may be executed")
    read_only, closed, data = (page(n) for n in random.sample(range(0, 60, 3), 3))
    scene.map(read_only, 2, READ)
    scene.map(closed, 1, NONE)
    scene.map(data, 1)
    scene.load(read_only)
    scene.attempt("w", read_only, SIGSEGV, NOT_ALLOWED, 1)
    scene.attempt("w", read_only + PAGE, SIGSEGV, NOT_ALLOWED, 4)
    scene.attempt("r", closed, SIGSEGV, NOT_ALLOWED, 7)
    scene.attempt("x", data, SIGSEGV, NOT_ALLOWED, 10)
    scene.stop("tried")
    scene.sees(["rights", "p1", read_only], "r", "the rights of the page that is read only")
    return scene


def _file(random: Random) -> Scene:
    offset = random.randrange(3)
    scene = Scene("one file is mapped twice, privately, and only loaded from")
    scene.map(BASE, 3, WRITE, PRIVATE)
    scene.map(ELSEWHERE, 3, READ, PRIVATE)
    scene.load(page(offset))
    scene.load(page(offset, ELSEWHERE))
    scene.stop("loaded")
    scene.number("p1", page(offset), _word_of_file(offset, 0), f"the first word of page {offset}")
    places = ["same", "p1", page(offset), "p1", page(offset, ELSEWHERE)]
    scene.sees(places, True, "one frame in both mappings")
    scene.sees(["rights", "p1", page(offset)], "r", "the rights of a page that is still the file's")
    return scene


def _private(random: Random) -> Scene:
    first, second = random.sample(range(4), 2)
    scene = Scene("one file is mapped twice, privately, and two pages of one mapping are stored to")
    scene.map(BASE, 4, WRITE, PRIVATE)
    scene.map(ELSEWHERE, 4, READ, PRIVATE)
    scene.load(page(first))
    for number in (first, second):
        scene.load(page(number, ELSEWHERE))
        scene.store(page(number) + WORD, number)
    scene.stop("stored")
    for number in (first, second):
        words = _word_of_file(number, 0), _word_of_file(number, 1)
        which = f"word 1 of page {number}"
        scene.number("p1", page(number) + WORD, {"mix": number}, f"{which}, stored to,")
        scene.number("p1", page(number), words[0], f"word 0 of page {number}, from the file,")
        scene.number(
            "p1", page(number, ELSEWHERE) + WORD, words[1], f"{which} of the other mapping"
        )
    return scene


def _beyond(random: Random) -> Scene:
    pages = len(_bytes_of_file()) + PAGE - 1 >> 12
    behind = page(pages + random.randrange(3))
    scene = Scene(f"a file of {pages} pages is mapped as {pages + 4}")
    scene.map(BASE, pages + 4, WRITE, PRIVATE)
    scene.attempt("r", page(pages - 1), 0, 0, 1)
    scene.attempt("r", behind, SIGBUS, PAST_END, 4)
    scene.attempt("w", behind, SIGBUS, PAST_END, 7)
    scene.stop("tried")
    return scene


def _bytes_of_file() -> bytes:
    return (ROOT / "userland" / "bin" / PROGRAM).read_bytes()


def _word_of_file(number: int, word: int) -> int:
    at = number * PAGE + word * WORD
    return int.from_bytes(_bytes_of_file()[at : at + WORD], "little")


# Part B: fork -----------------------------------------------------------------------------------


def _filled(random: Random, about: str, kind: int = PRIVATE | ANONYMOUS) -> tuple[Scene, int]:
    """Pages with two numbers in each, and one that was never touched behind them."""
    pages = random.randrange(4, 8)
    scene = Scene(about)
    scene.map(BASE, pages + 1, WRITE, kind)
    for number in range(pages):
        scene.store(page(number), number)
        scene.store(page(number) + WORD, number + 100)
    return scene, pages


def _sharing(random: Random) -> Scene:
    scene, pages = _filled(random, "a process fills pages and forks")
    scene.do("(", "-1", ")")
    scene.stop("forked")
    for number in range(pages):
        _is_same(scene, number, shared=True)
        for who, name in (("p1", "parent"), ("p2", "child")):
            says = f"the {name}'s rights on page {number}"
            scene.sees(["rights", who, page(number)], "r", says)
        scene.sees(["marks", "p1", page(number)], "AD", f"the parent's A and D of page {number}")
        scene.sees(["marks", "p2", page(number)], "none", f"the child's A and D of page {number}")
    scene.sees(["frame", "p2", page(pages)], None, "the child's frame of a page never touched")
    scene.do("+1", "W")
    return scene


def _is_same(scene: Scene, number: int, *, shared: bool) -> None:
    places = ["same", "p1", page(number), "p2", page(number)]
    scene.sees(places, shared, f"one frame for parent and child behind page {number}")


def _stale(random: Random) -> Scene:
    scene, pages = _filled(random, "the parent goes on storing after the fork")
    scene.do("(", "-1", ")")
    for number in range(pages):
        scene.store(page(number), number + 200)
    scene.stop("stored")
    for number in range(pages):
        scene.number("p2", page(number), {"mix": number}, f"what the child has in page {number}")
        says = f"what the parent has in page {number}"
        scene.number("p1", page(number), {"mix": number + 200}, says)
    scene.do("+1", "W")
    return scene


def _copies(random: Random) -> Scene:
    scene, pages = _filled(random, "the child stores to one page")
    written = random.randrange(pages)
    scene.do("(")
    scene.store(page(written), 300)
    scene.do("+1", "-2", ")", "-1")
    scene.stop("stored")
    scene.number("p1", page(written), {"mix": written}, f"what the parent has in page {written}")
    scene.number("p2", page(written), {"mix": 300}, f"what the child stored to page {written}")
    says = f"the word behind it, which the child did not store to in page {written},"
    scene.number("p2", page(written) + WORD, {"mix": written + 100}, says)
    for number in range(pages):
        _is_same(scene, number, shared=number != written)
    scene.do("+2", "W")
    return scene


def _last(random: Random) -> Scene:
    scene, pages = _filled(random, "the child copies one page and ends; the parent stores to two")
    copied, left = random.sample(range(pages), 2)
    scene.do("(", "-1")
    scene.store(page(copied), 300)
    scene.do(")")
    scene.stop("forked")
    scene.do("+1", "W")
    scene.store(page(copied), 400)
    scene.store(page(left), 401)
    scene.stop("alone")
    for number, value in ((copied, 400), (left, 401)):
        scene.number("p1", page(number), {"mix": value}, f"what was stored to page {number}")
        says = f"the frame of page {number}, which nobody else had any more, kept"
        scene.sees(["kept", "p1", page(number), "forked"], True, says)
        scene.sees(["rights", "p1", page(number)], "rw", f"the rights on page {number}")
    return scene


def _shared(random: Random) -> Scene:
    about = "a process maps shared memory, forks, and the child stores to it"
    scene, pages = _filled(random, about, SHARED | ANONYMOUS)
    written = random.randrange(pages)
    scene.do("(", "-1")
    scene.store(page(written), 300)
    scene.do("+2", "-3", ")")
    scene.stop("forked")
    for who, name in (("p1", "parent"), ("p2", "child")):
        says = f"the {name}'s rights on page {written}"
        scene.sees(["rights", who, page(written)], "rw", says)
    scene.do("+1", "-2")
    scene.stop("stored")
    _is_same(scene, written, shared=True)
    scene.number("p1", page(written), {"mix": 300}, f"what the parent finds in page {written}")
    scene.do("+3", "W")
    return scene


def _leak(random: Random) -> Scene:
    scene, pages = _filled(random, "parent and child store to the same pages, and end")
    written = random.sample(range(pages), 3)
    scene.do("(")
    for number in written:
        scene.store(page(number), 300 + number)
    scene.do(")")
    for number in written:
        scene.store(page(number), 400 + number)
    scene.do("W")
    says = "the number of frames with anonymous memory, after everybody has ended,"
    scene.sees(["held", "anonymous"], 0, says, END)
    return scene


# Part C: what is not there ----------------------------------------------------------------------


def _nowhere(random: Random) -> Scene:
    scene = Scene("two mappings have a hole between them")
    hole = random.randrange(2, 9)
    scene.map(BASE, 2)
    scene.map(page(2 + hole), 2)
    for slot, how in enumerate("rwx"):
        scene.attempt(how, page(2 + random.randrange(hole)), SIGSEGV, NOT_MAPPED, 1 + 3 * slot)
    scene.attempt("r", page(4 + hole), SIGSEGV, NOT_MAPPED, 10)
    scene.attempt("w", page(-random.randrange(30, 60)), SIGSEGV, NOT_MAPPED, 13)
    scene.stop("tried")
    return scene


def _stack(random: Random) -> Scene:
    """The second page lies below the first: pages that moved with the stack would be one."""
    depths = sorted(random.sample(range(20, 900), 4))
    order = sorted(random.sample(depths, 2))
    order += random.sample([depth for depth in depths if depth not in order], 2)
    scene = Scene(f"the stack is stored to, {', '.join(map(str, order))} pages below its end")
    for depth in order:
        scene.store(STACK_TOP - depth * PAGE, depth)
    scene.stop("grown")
    for depth in depths:
        says = f"what was stored {depth} pages below the stack's end"
        scene.number("p1", STACK_TOP - depth * PAGE, {"mix": depth}, says)
    low, high = STACK_TOP - depths[-1] * PAGE, STACK_TOP - (depths[0] - 1) * PAGE
    scene.sees(["resident", "p1", low, high], 4, "the number of resident pages of that stretch")
    return scene


def _limit(random: Random) -> Scene:
    scene = Scene(f"the stack may have {STACK_PAGES} pages")
    floor = STACK_TOP - STACK_PAGES * PAGE
    scene.attempt("w", floor - random.randrange(1, 100) * WORD, SIGSEGV, NOT_MAPPED, 1)
    scene.attempt("w", floor, 0, 0, 4)
    scene.stop("tried")
    return scene


def _guard(random: Random) -> Scene:
    other = STACK_TOP - random.randrange(100, 1000) * PAGE
    scene = Scene("another mapping lies below the stack")
    scene.map(other, 1)
    scene.store(other, 1)
    nearest = other + PAGE + GUARD_PAGES * PAGE
    scene.attempt("w", nearest - PAGE, SIGSEGV, NOT_MAPPED, 1)
    scene.attempt("w", other + PAGE, SIGSEGV, NOT_MAPPED, 4)
    scene.attempt("w", nearest, 0, 0, 7)
    scene.attempt("w", nearest - PAGE, SIGSEGV, NOT_MAPPED, 10)
    scene.stop("tried")
    scene.number("p1", other, {"mix": 1}, "what the other mapping holds")
    return scene


def _views(random: Random) -> Scene:
    """A view shows the stack and something of its VAS, which the process itself does not see."""
    other = STACK_TOP - random.randrange(*NEXT_TABLE) * PAGE
    scene = Scene("the process has a VAS attached, which has a page below the stack")
    scene.view(other, 1)
    nearest = other + PAGE + GUARD_PAGES * PAGE
    scene.attempt("w", nearest - PAGE, SIGSEGV, NOT_MAPPED, 1)
    scene.store(nearest, 2)
    scene.do("i1")
    scene.load(nearest, 4)
    scene.load(other, 5)
    scene.stop("tried")
    scene.number("p1v1", nearest, {"mix": 2}, "what the view shows where the stack has grown to")
    scene.number(
        "p1v1", other, {"mix": 1}, "what the view still shows of the VAS, below the stack,"
    )
    scene.number("p1", ANSWERS + 4 * WORD, {"mix": 2}, "what the thread inside reads there")
    scene.number("p1", ANSWERS + 5 * WORD, {"mix": 1}, "what it reads in the VAS's page")
    scene.do("i0")
    return scene


# Part D: replacement ----------------------------------------------------------------------------


def simulate(policy: str, frames: int, references: Sequence[int]) -> tuple[list[int], int]:
    """The victims and the number of faults, after OSTEP, chapter 22: a queue and a use bit."""
    queue: list[int] = []
    used: set[int] = set()
    victims, faults = [], 0
    for number in references:
        if number not in queue:
            faults += 1
            if len(queue) == frames:
                while policy == CLOCK and queue[0] in used:
                    used.remove(queue[0])
                    queue.append(queue.pop(0))
                victims.append(queue.pop(0))
            queue.append(number)
        used.add(number)
    return victims, faults


def _short(about: str, replace: str, frames: int) -> Scene:
    """Everything but the question's pages is locked, and those have so many frames."""
    scene = Scene(f"{about}; {replace}, {frames} frames", ram_mib=1, swap_mib=1, replace=replace)
    scene.do("L")
    scene.map(BASE, 64)
    scene.do(f"B{frames + KEPT_FREE:x}")
    return scene


def _refer(scene: Scene, references: Sequence[int], frames: int) -> None:
    """Store at the first reference of a page, load at each other one."""
    seen: set[int] = set()
    for number in references:
        if number in seen:
            scene.load(page(number))
        else:
            scene.store(page(number), number)
        seen.add(number)
    scene.stop("done")
    victims, faults = simulate(scene.replace, frames, references)
    scene.sees(["listed", "page_out", "page", {}], victims, "the list of pages that left", END)
    back = faults - len(seen)
    scene.sees(["count", "page_in", {}], back, "the number of pages that came back", END)
    resident = ["resident", "p1", BASE, page(64)]
    scene.sees(resident, min(frames, len(seen)), "the number of resident pages")


def _string(random: Random, replace: str) -> Scene:
    """A string on which the two policies soon choose otherwise."""
    while True:
        frames = random.randrange(3, 7)
        references = [random.randrange(frames + 3) for _ in range(28)]
        fifo, clock = (simulate(policy, frames, references)[0] for policy in (FIFO, CLOCK))
        if fifo[:4] != clock[:4]:
            break
    scene = _short("a reference string", replace, frames)
    _refer(scene, references, frames)
    return scene


BELADY = (1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5)
"""Belady, Nelson and Shedler, CACM 12:6 (1969): 9 faults with 3 frames and 10 with 4."""


def _belady(random: Random, frames: int) -> Scene:
    names = random.sample(range(64), 6)
    scene = _short("Belady's string", FIFO, frames)
    _refer(scene, [names[number] for number in BELADY], frames)
    return scene


def _hot(random: Random) -> Scene:
    """One page is used between all others."""
    frames, (hot, *others) = random.randrange(4, 7), random.sample(range(64), 20)
    references = [hot]
    for number in others:
        references += [number, hot]
    scene = _short("one page is used all the time", CLOCK, frames)
    _refer(scene, references, frames)
    return scene


def _locked(random: Random) -> Scene:
    frames, pages = random.randrange(3, 6), random.randrange(2, 5)
    about = f"{pages} pages are locked, {frames} frames are left"
    scene = Scene(about, ram_mib=1, swap_mib=1, replace=FIFO)
    scene.map(ELSEWHERE, pages)
    for number in range(pages):
        scene.store(page(number, ELSEWHERE), number + 100)
    scene.do("L")
    scene.map(BASE, 64)
    scene.do(f"B{frames + KEPT_FREE:x}")
    _refer(scene, range(20), frames)
    resident = ["resident", "p1", ELSEWHERE, page(pages, ELSEWHERE)]
    scene.sees(resident, pages, "the number of locked pages in memory")
    return scene


def _everywhere(random: Random) -> Scene:
    """The hot page is shared after a fork, and only the child uses it."""
    hot, rounds, frames = random.randrange(50, 64), 40, 14
    scene = Scene("a page is used by the child alone", ram_mib=1, swap_mib=1)
    scene.do("L")
    scene.map(BASE, 64)
    scene.store(page(hot), hot)
    scene.do("(")
    for turn in range(rounds):
        scene.do(f"-{2 * turn + 1:x}")
        scene.load(page(hot))
        scene.do(f"+{2 * turn + 2:x}")
    end = 2 * rounds + 1
    scene.do(f"-{end:x}", ")", f"B{frames + KEPT_FREE:x}")
    for turn in range(rounds):
        scene.store(page(turn), turn)
        scene.do(f"+{2 * turn + 1:x}", f"-{2 * turn + 2:x}")
    scene.stop("done")
    scene.number("p2", page(hot), {"mix": hot}, "what the child has in its page")
    scene.do(f"+{end:x}", "W")
    left = ["count", "page_out", {"page": hot}]
    says = "how often the page that the child uses left memory (once: all were in use)"
    scene.sees(left, {"at_most": 1}, says, END)
    return scene


MAKERS: dict[str, tuple[Callable[[Random], Scene], ...]] = {
    "lazy": (_lazy,),
    "rights": (_rights,),
    "file": (_file,),
    "private": (_private,),
    "beyond": (_beyond,),
    "sharing": (_sharing,),
    "stale": (_stale,),
    "copies": (_copies,),
    "last": (_last,),
    "shared": (_shared,),
    "leak": (_leak,),
    "nowhere": (_nowhere,),
    "stack": (_stack,),
    "limit": (_limit,),
    "guard": (_guard, _views),
    "fifo": (lambda random: _string(random, FIFO),),
    "belady": (lambda random: _belady(random, 3), lambda random: _belady(random, 4)),
    "clock": (lambda random: _string(random, CLOCK),),
    "hot": (_hot,),
    "locked": (_locked,),
    "everywhere": (_everywhere,),
}


def questions(check: Check, seed: int) -> list[Question]:
    """The questions of one check: the same seed gives the same ones."""
    random = Random(f"{check.name} {seed}")
    return [maker(random).question() for maker in MAKERS[check.name]]


def _split(random: Random, among: Sequence[int], first: int, second: int) -> tuple[list[int], ...]:
    chosen = random.sample(among, first + second)
    return chosen[:first], chosen[first:]
