"""Frames: who holds each 4 KiB of physical memory, and how many times.

Invariants (`kernel.invariants` checks them): the count of a frame is the number of memory objects
and page tables that hold it; a free frame has count 0 and is on the free list exactly once.  A
frame that is handed out holds zeroes, or its new owner overwrites it at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hw import costs, trace
from hw.machine import Machine
from kernel.abi.errno import E, KernelError, Panic
from kernel.mm.extents import Zone

FREE, MACHINE, TABLE, ANONYMOUS, FILE, SEGMENT, KERNEL = range(7)
OWNERS = ("free", "machine", "page table", "anonymous", "file", "segment", "kernel")

FRAME = trace.declare(
    "frame", "pfn:Q old_refs:H refs:H old_owner:B owner:B", "A frame was taken, shared or let go."
)


@dataclass(slots=True)
class Account:
    """The frames that one user pays for beyond the life of his processes.

    `limit` is the most frames that he may have; None: no limit.
    """

    limit: int | None
    charged: int = 0
    """The frames that he has."""
    owned: int = 0
    """His VASes and segments.  An empty segment takes no frame, but counts here."""

    def admit(self) -> None:
        """May the user have one frame more?  Raises ENOMEM at the limit."""
        if self.limit is not None and self.charged >= self.limit:
            raise KernelError(E.NOMEM)


@dataclass(slots=True)
class Frames:
    """The frame table.  `refs[pfn]` and `owners[pfn]` describe one frame each."""

    machine: Machine
    refs: list[int] = field(init=False)
    owners: bytearray = field(init=False)
    free: list[int] = field(init=False)
    fresh: bytearray = field(init=False)
    """1 for a frame that was never handed out: memory starts as zeroes."""
    zone: Zone = field(init=False)  # the frames of NVM, which `kernel.nvm` alone gives out

    def __post_init__(self) -> None:
        count, first = self.machine.memory.frames, self.machine.first_free_frame
        dram = self.machine.nvm.first_pfn
        self.zone = Zone(dram, [(dram, count - dram)] if count > dram else [])
        self.refs = [1] * first + [0] * (count - first)
        self.owners = bytearray([MACHINE]) * first + bytearray([FREE]) * (count - first)
        self.free = list(range(dram - 1, first - 1, -1))
        self.fresh = bytearray([1]) * count

    def allocate(self, owner: int, *, zero: bool = True) -> int:
        """A frame with one reference.  Raises ENOMEM when there is none.

        `zero=False` is for a caller that overwrites the whole frame before anyone sees it.
        """
        if not self.free:
            raise KernelError(E.NOMEM)
        pfn = self.free.pop()
        self.refs[pfn], self.owners[pfn] = 1, owner
        if zero:
            if not self.fresh[pfn]:
                self.machine.memory.zero_frame(pfn)
            self.machine.charge(costs.FRAME_ZERO)
        self.fresh[pfn] = 0
        if self.machine.trace:
            self.machine.trace.emit(FRAME, pfn, 0, 1, FREE, owner)
        return pfn

    def copy(self, source: int, owner: int) -> int:
        """A new frame with the contents of `source`.  Raises ENOMEM."""
        pfn = self.allocate(owner, zero=False)
        self.machine.memory.copy_frame(source, pfn)
        self.machine.charge(costs.FRAME_COPY)
        return pfn

    def hold(self, pfn: int) -> None:
        """One more holder."""
        count = self.refs[pfn]
        if not count:
            raise Panic(f"frame {pfn:#x} is free and was shared")
        self.refs[pfn] = count + 1
        if self.machine.trace:
            owner = self.owners[pfn]
            self.machine.trace.emit(FRAME, pfn, count, count + 1, owner, owner)

    def release(self, pfn: int) -> None:
        """One holder less; the last one frees the frame."""
        count = self.refs[pfn]
        if not count:
            raise Panic(f"frame {pfn:#x} is free and was released")
        owner = self.owners[pfn]
        self.refs[pfn] = count - 1
        if count == 1:
            self.owners[pfn] = FREE
            (self.free if pfn < self.zone.first else self.zone.waiting).append(pfn)
        if self.machine.trace:
            self.machine.trace.emit(FRAME, pfn, count, count - 1, owner, self.owners[pfn])

    def used(self) -> list[int]:
        """Every frame that is not free, in order."""
        return [pfn for pfn, count in enumerate(self.refs) if count]
