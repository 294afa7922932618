"""What a trace does not hold and a machine has told: the contents of frames, and how often other
TLBs would have missed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hw.mmu import CAUSES

NO_MACHINE = "this needs a machine, and a file has none", "run.py panel PROGRAM starts one"
"""What is missing, and the remedy."""
RUNS = "The machine runs: Space pauses it, and then its memory is shown."
ASKED = "The machine executes this stretch again, to see what was here ..."
NOT_IN_WINDOW = "This frame is not in the window of instructions; Esc leaves it."
FRAMES_KEPT = 1024
"""4 MiB."""


def without_machine() -> str:
    """The sentence that a panel shows where only a machine could tell more."""
    words = "; ".join(NO_MACHINE)
    return f"{words[0].upper()}{words[1:]}."


@dataclass(slots=True)
class Pages:
    """What frames hold now, held before the last step, and held at marker A; `why` says why a
    frame is missing."""

    now: Mapping[int, bytes] = field(default_factory=dict)
    before: Mapping[int, bytes] = field(default_factory=dict)
    marked: Mapping[int, bytes] = field(default_factory=dict)
    why: str = field(default_factory=without_machine)


@dataclass(slots=True)
class Memory:
    """The contents of frames that the machine has told, by place and frame."""

    kept: OrderedDict[tuple[int, int], bytes] = field(default_factory=OrderedDict)
    nothing: set[tuple[int, int]] = field(default_factory=set)
    """What was asked for and not told: frames beyond the end of memory."""
    looked: tuple[object, ...] = ()
    """How the session looked when memory was last asked for. While it looks the same, there is
    nothing new to ask."""

    def at(self, place: int) -> dict[int, bytes]:
        """The known frames of a place."""
        return {pfn: content for (at, pfn), content in self.kept.items() if at == place}

    def forget_after(self, place: int) -> None:
        """Forget what came after a place: the run goes on differently from there."""
        for key in [key for key in self.kept if key[0] > place]:
            del self.kept[key]
        self.nothing.clear()
        self.looked = ()


class Variant(NamedTuple):
    """A machine with other TLBs, how far it ran, and how often each TLB missed, by cause."""

    name: str
    instructions: int
    cycles: int
    misses: tuple[tuple[int, ...], tuple[int, ...]]

    def total(self, side: int) -> int:
        return sum(self.misses[side])

    @property
    def all(self) -> int:
        return self.total(0) + self.total(1)

    def causes(self, side: int) -> str:
        """`30 cold, 6 capacity`."""
        rows = zip(self.misses[side], CAUSES, strict=True)
        return ", ".join(f"{count:,} {cause}" for count, cause in rows if count)
