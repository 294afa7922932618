"""What one run of the emulator leaves to its core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hw.decode import Instruction


class Trap(NamedTuple):
    """An exception that stopped the guest."""

    vector: int
    error: int
    va: int


@dataclass(slots=True)
class Stretch:
    """One run of the emulator, from its entry to what stopped it."""

    alone: bool = False
    """It has one instruction only."""
    passes: bool = False
    """It may run an instruction at an exit."""
    passes_next: bool = False
    """The next stretch may."""
    restarts: bool = False
    """Its last instruction stores into code: it must begin again, alone."""
    trap: Trap | None = None
    rip_after: int | None = None
    """Where the guest goes on, if not where the emulator says."""
    begun: int | None = None
    """How many instructions had begun, if the emulator went on after the last one."""
    unretired: int = 0
    """1 if the last instruction did not retire."""
    charged: int = 0
    """How many instructions are on the clock already."""
    undo: dict[str, int] | None = None
    """Registers to restore: the emulator carried out an instruction that was refused."""
    help: tuple[int, Instruction] | None = None
    """The emulator would get the next instruction wrong: the remedy of `hw/corrections.py`."""
    failure: BaseException | None = None
    """What a vector raised."""
