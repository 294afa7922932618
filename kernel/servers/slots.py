"""Bytes on their way in pieces: what pipes and sockets have in common.

Each piece is moved as a whole or not at all, and one that was read in part gives no room back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kernel.abi.errno import E, KernelError


@dataclass(slots=True)
class Slot:
    """A piece on its way: `data` from `start` on is still to read."""

    data: bytearray
    start: int = 0

    @property
    def left(self) -> int:
        """How many bytes are still to read."""
        return len(self.data) - self.start

    def waiting(self, count: int) -> bytes:
        """The next bytes, at most `count`."""
        return bytes(self.data[self.start : self.start + count])


Kind = TypeVar("Kind", bound=Slot)


def pieces(slots: Sequence[Kind], count: int, room: int) -> Iterator[tuple[Kind, bytes]]:
    """What a read of `count` bytes gets of each slot, in order; the first slot always comes.

    It ends before the slot for whose bytes the caller has no `room`.  EFAULT: that is the first.
    """
    done = 0
    for slot in slots:
        piece = slot.waiting(count - done)
        if done + len(piece) > room:
            if not done:
                raise KernelError(E.FAULT)
            return
        yield slot, piece
        done += len(piece)
        if done == count:
            return
