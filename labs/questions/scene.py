"""One run of an exam program as a question: its numbers, and what is then seen at its stops.

The labs on address spaces are asked by it.  What a scene does stands in the program.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from kernel.abi.errno import E
from labs.evidence import END, Expectation
from labs.question import Question
from userland.programs import describe, read_program

RAM_MIB = 8
LINES = 100_000
BUDGET_CYCLES = 1_000_000
PAGE, MIB_2, GIB, GIB_512 = 1 << 12, 1 << 21, 1 << 30, 1 << 39
VALUES_OF_A_PLACE = 100
EXAM_PAGE = 0x6000_0000_0000
STACK, TEXT = 0x7FFF_FFFF_D000, 0x40_0000
ESRCH, EACCES, EFAULT, EBUSY, EINVAL = 3, 13, 14, 16, 22
WORDS_FOR = {"p": "process", "t": "thread", "v": "VAS", "c": "core"}


@dataclass(slots=True)
class Scene:
    """`program` plays `name`; the expectations are added one by one."""

    program: str
    about: str
    name: str
    numbers: list[int]
    stops: list[str]
    config: dict[str, Any] = field(default_factory=dict)
    expected: list[Expectation] = field(default_factory=list)

    def see(self, at: str, says: str, value: Any, *sees: Any) -> None:
        """At the stop `at` this look has this value; `says` is what it is called."""
        decimal = isinstance(value, int) and value < PAGE
        self.expected.append(Expectation(list(sees), value, says, at, decimal))

    def said(self, at: str, slot: int, says: str, value: Any) -> None:
        """What the program put into its page of answers."""
        self.see(at, says, value, "number", "p1", EXAM_PAGE + slot * 8)

    def errnos(self, at: str, *calls: tuple[str, int]) -> None:
        """The program's answers in order: what was called, and the errno that should come."""
        for slot, (call, errno) in enumerate(calls, 1):
            name = f" (E{E(errno).name})" if errno else ""
            self.said(at, slot, f"the errno of {call.rstrip(',')}{name}", errno)

    def absent(self, at: str, va: int, *whos: str) -> None:
        """Nobody of these sees anything there."""
        for who in whos:
            self.see(at, f"what {told(who)} sees at {va:#x}", None, "rights", who, va)

    def shows(self, at: str, who: str, owner: str, va: int, what: str) -> None:
        """`who` sees the very frame that `owner` has there."""
        says = f"{told(who)} and {told(owner)} having one frame at {va:#x}, {what},"
        self.see(at, says, True, "same", who, va, owner, va)

    def holds(self, at: str, who: str, va: int, name: int, page: int = 0) -> None:
        """A page of a range that the program filled."""
        va += page * PAGE
        value = {"mix": VALUES_OF_A_PLACE * name + page}
        self.see(at, f"the word that {told(who)} has at {va:#x}", value, "number", who, va)

    def question(self, cycles: int = BUDGET_CYCLES) -> Question:
        """All of it; the program must come to its end, by all of its stops."""
        self.see(END, f"the end of {self.program}", "well", "answer", "ended")
        self.see(END, "the stops that it made", self.stops, "answer", "stops")
        asked = {
            "program": self.program,
            "words": [self.name, *map(hex, self.numbers)],
            "stops": self.stops,
            "machine": {"ram_mib": RAM_MIB},
            "config": self.config,
            "lines": LINES,
            "cycles": cycles,
        }
        return Question(self.about, asked, self.expected, RAM_MIB << 20)


def told(root: str) -> str:
    """A root of page tables in words."""
    pid, _, vid = root[1:].partition("v")
    if vid:
        return f"process {pid} in VAS {vid}"
    return f"{WORDS_FOR[root[0]]} {pid}"


def places(random: Random, count: int) -> list[int]:
    """Addresses in top-level slots of their own, far from everything."""
    slots = random.sample(range(16, 96), count)
    return [slot * GIB_512 + random.randrange(GIB_512 // PAGE - 64) * PAGE for slot in slots]


def symbol(program: str, name: str) -> int:
    """Where a program has a variable."""
    symbols = describe(program, read_program(program))["symbols"]
    return next(int(at) for at, _, found in symbols if found == name)
