"""How lab 3 asks: words for the program `exam_paging`, and what memory should then look like."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from labs.evidence import Expectation
from labs.question import Question

PROGRAM = "exam_paging"
PAGE, WORD = 4096, 8
BASE, ELSEWHERE, ANSWERS = 0x500000000000, 0x510000000000, 0x600000000000
STACK_TOP, STACK_PAGES, GUARD_PAGES = 0x7FFFFFFFE000, 2048, 16
NONE, READ, WRITE = 0, 1, 3
SHARED, PRIVATE, ANONYMOUS = 1, 2, 0x20
SIGBUS, SIGSEGV, NOT_MAPPED, NOT_ALLOWED, PAST_END = 7, 11, 1, 2, 2
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
    vas_limit_mib: int | None = None

    def map(
        self,
        va: int,
        pages: int,
        prot: int = WRITE,
        kind: int = PRIVATE | ANONYMOUS,
        first_page: int = 0,
    ) -> None:
        """A mapping; not an anonymous one is of the exam program's file, from `first_page` on."""
        self.words.append(f"m{va:x},{pages:x},{prot:x},{kind:x},{first_page:x}")

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
            "config": {"replace": self.replace, "vas_limit_mib": self.vas_limit_mib},
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
