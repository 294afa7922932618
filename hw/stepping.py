"""Stepping: a core runs one instruction at a time, with a record before each and for each store.

The trace of a run has none of these records.  A debugger or the panel lets the machine execute a
stretch again to get them.
"""

from __future__ import annotations

from collections.abc import Callable

from hw import trace
from hw.cpu import Core
from hw.engine import EVERYWHERE, GENERAL_REGISTERS

INSTRUCTION = trace.declare(
    *("instruction", " ".join(f"{name}:Q" for name in GENERAL_REGISTERS)),
    "An instruction is about to run, with these registers; only where a core is stepped.",
)
STORE = trace.declare(
    "store",
    "pa:Q data:s",
    "The instruction stored these bytes, as they are after it; only where a core is stepped.",
)
PAGE = trace.declare(
    "page",
    "place:Q pfn:Q data:s",
    "What a frame holds at this record of the run; only where memory is looked at.",
)


class Approach:
    """Runs a core at full speed until it has retired `instructions`.

    It then calls `arrived`, which puts another stepper in this one's place.
    """

    def __init__(self, core: Core, instructions: int, arrived: Callable[[], None]) -> None:
        self.core = core
        self.instructions = instructions
        self.arrived = arrived
        core.stepper = self._run

    def _run(self, most: int) -> int:
        core = self.core
        gap = self.instructions - core.state.instructions
        if gap > 0:
            return core.step(min(most, gap))
        self.arrived()
        return core.stepper(most) if core.stepper and core.stepper != self._run else 0


class Stepper:
    """Steps a core.  `before` is called ahead of each instruction."""

    def __init__(self, core: Core, before: Callable[[], None]) -> None:
        self.core = core
        self.before = before
        self._stored: list[tuple[int, int]] = []
        core.watch_stores(self._note, *EVERYWHERE)
        core.stepper = self._step

    def _note(self, pa: int, size_bytes: int) -> None:
        self._stored.append((pa, size_bytes))

    def _step(self, _: int) -> int:
        core, port = self.core, self.core.trace
        assert port is not None
        self.before()
        port.emit(INSTRUCTION, *core.registers().values())
        self._stored.clear()
        retired = core.step()
        for pa, size_bytes in self._stored:
            port.emit(STORE, pa, core.memory.read(pa, size_bytes))
        return retired
