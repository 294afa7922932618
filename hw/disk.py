"""The paging disk: blocks of 4 KiB, for pages that memory has no room for.

A solid-state disk without a queue: the caller waits until the disk has answered.  The kernel
decides what a block means.  A block that was never written reads as zeroes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hw import costs, trace
from hw.memory import PAGE_SIZE, ZERO_PAGE

DISK_READ = trace.declare("disk_read", "block:Q", "A block was read from the paging disk.")
DISK_WRITE = trace.declare("disk_write", "block:Q", "A block was written to the paging disk.")


@dataclass(slots=True)
class DiskState:
    """What a checkpoint keeps: the blocks that were written and not given up since."""

    blocks: dict[int, bytes] = field(default_factory=dict)
    reads: int = 0
    writes: int = 0


class Disk:
    """`count` blocks.  `charge` bills a primitive to the core whose turn it is."""

    def __init__(self, state: DiskState, count: int, charge: Callable[[int], None]) -> None:
        self.state = state
        self.count = count
        self.charge = charge
        self.trace: trace.Trace | None = None

    def read(self, block: int) -> bytes:
        """The 4,096 bytes of a block."""
        self._check(block)
        self.state.reads += 1
        self.charge(costs.DISK_READ)
        if self.trace:
            self.trace.emit(DISK_READ, block)
        return self.state.blocks.get(block, ZERO_PAGE)

    def write(self, block: int, data: bytes) -> None:
        """Replace the contents of a block."""
        self._check(block)
        if len(data) != PAGE_SIZE:
            raise ValueError(f"a block has {PAGE_SIZE} bytes, not {len(data)}")
        self.state.writes += 1
        self.charge(costs.DISK_WRITE)
        if self.trace:
            self.trace.emit(DISK_WRITE, block)
        self.state.blocks[block] = data

    def discard(self, block: int) -> None:
        """Give up what is in a block (the TRIM command of real disks)."""
        self.state.blocks.pop(block, None)

    def _check(self, block: int) -> None:
        if not 0 <= block < self.count:
            raise ValueError(f"the paging disk has {self.count} blocks, and no block {block}")
